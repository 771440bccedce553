"""Free lists under the walk that frees their ends: the recorded chains, byte for byte."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.cygwin.cygheap import audit
from models.cygwin.cygheap.free_lists import free_lists
from models.cygwin.cygheap.layout import ERAS, HeapType
from models.cygwin.exec_chain import (
    ExecChain,
    constant_arguments,
    scripted_arguments,
    varying_arguments,
)
from models.win32.errors import AccessViolation

GOLDEN = Path(__file__).parent / "data" / "golden"
CHAINS = {
    "h07_execchain": constant_arguments,
    "h10_execchain_vary": varying_arguments,
    "h11_execchain_script": scripted_arguments,
}
TEXT = (HeapType.HEAP_STR, HeapType.HEAP_1_STR)


def recorded(era: str, name: str) -> list[Any]:
    path = GOLDEN / era / f"{name}.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def after_execs(values: list[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(execs completed, checkpoint) of each checkpoint that comes after a child's start."""
    execs = 0
    for value in values:
        if isinstance(value, list):
            execs += value[0] == "x"
        elif value.get("ck") == 1 and execs:
            yield execs, value


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("era", ["A", "B", "C"])
def test_every_block_and_list_head_is_the_recorded_one(era, name):
    checkpoints = dict(after_execs(recorded(era, name)))
    chain = ExecChain(ERAS[era])
    compared = 0
    for number in range(max(checkpoints)):
        chain.exec(CHAINS[name](number))
        wanted = checkpoints.get(chain.execs)
        if wanted is None:
            continue
        heap = chain.heap
        assert heap.max == wanted["max"]
        assert [[b, h] for b, h in enumerate(heap.heads()) if h] == wanted["buckets"]
        found = [[e.start - heap.base, e.word0, e.type] for e in heap.chain()]
        assert len(found) == wanted["nchain"]
        if wanted["chain"] is not None:
            assert found == wanted["chain"]
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize(("name", "execs", "fault"), [
    ("h10_execchain_vary", 17, 5), ("h11_execchain_script", 25, 6),
])  # fmt: skip
def test_a_chain_dies_where_the_recorded_one_did(name, execs, fault):
    values = recorded("C", name)
    assert (values[-1]["end"], values[-1]["msg"]) == ("crash", f"access violation at {fault:#010x}")
    assert sum(isinstance(v, list) and v[0] == "x" for v in values) == execs
    chain = ExecChain(ERAS["C"])
    for number in range(execs):
        chain.exec(CHAINS[name](number))
    with pytest.raises(AccessViolation) as error:
        chain.exec(CHAINS[name](execs))
    assert error.value.address == fault
    assert chain.heap.max == values[-1]["max"]
    assert fault in free_lists(chain.heap).heads.values()


@pytest.mark.parametrize("name", ["h10_execchain_vary", "h11_execchain_script"])
def test_the_strings_of_a_dying_chain_lie_where_they_were_recorded(name):
    """The texts of the request lines, in the bytes of the parent that died."""
    values = recorded("C", name)
    chain = ExecChain(ERAS["C"])
    executed = max(execs for execs, _ in after_execs(values))
    for number in range(executed):
        chain.exec(CHAINS[name](number))
    with pytest.raises(AccessViolation):
        chain.exec(CHAINS[name](executed))
    lists = [v for v in values if isinstance(v, list)]
    last = max(i for i, v in enumerate(lists) if v[0] == "x")
    texts = {v[2]: v[1] for v in lists[last:] if v[0] == "S"}
    assert len(texts) > 20
    heap = chain.heap
    for offset, text in texts.items():
        assert heap.load(heap.base + offset, len(text) + 1) == text.encode() + b"\0"


def test_the_bad_link_is_the_number_of_a_bucket_in_a_block_in_use():
    chain = ExecChain(ERAS["C"])
    for number in range(17):
        chain.exec(varying_arguments(number))
    with pytest.raises(AccessViolation):
        chain.exec(varying_arguments(17))
    ((bucket, head),) = free_lists(chain.heap).heads.items()
    assert (bucket, head) == (6, 5)
    assert any(b.in_use and b.size_bytes == 8 + (1 << head) for b in audit.blocks(chain.heap))


def test_lists_are_damaged_long_before_the_death():
    chain = ExecChain(ERAS["C"])
    sound = []
    for number in range(17):
        chain.exec(varying_arguments(number))
        sound.append(free_lists(chain.heap).sound)
    assert sound == [True] * 4 + [False] * 13


@pytest.mark.parametrize("era", ["A", "R", "B"])
@pytest.mark.parametrize("shape", CHAINS.values())
def test_the_lists_of_other_walks_stay_sound(era, shape):
    chain = ExecChain(ERAS[era])
    for number in range(40):
        chain.exec(shape(number))
        assert free_lists(chain.heap).sound
    assert chain.execs == 40


def test_a_loop_a_wrong_size_and_a_head_outside_are_told_apart():
    heap = ExecChain(ERAS["B"]).heap
    small, large = heap.cmalloc(3, 16), heap.cmalloc(3, 40)
    for user in (small, large):
        heap.cfree(user)
    assert free_lists(heap).sound
    at, of_6 = (user - 16 - heap.base for user in (small, large))
    heap.memory.write32(at, heap.base + at)
    assert free_lists(heap).loops == (5,)
    heap.memory.write32(at, heap.base + of_6)
    assert free_lists(heap).mixed == (5,)
    heap.memory.write32(heap.era.buckets_offset + 4 * 5, 5)
    assert free_lists(heap).heads == {5: 5}
