"""Chains of execs against the golden traces of the real code, and to their real ends."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from models.cygwin.compile_trace import load_workload
from models.cygwin.cygheap.allocator import HeapFatal
from models.cygwin.cygheap.layout import ERAS
from models.cygwin.descent import execs_behind
from models.cygwin.exec_chain import (
    OLD_APPLICATION,
    SHAPES,
    TAGGED,
    UNTAGGED,
    ExecChain,
    Lost,
    constant_arguments,
    execs_until_full,
    lost_blocks,
)
from models.win32.errors import AccessViolation

GOLDEN = Path(__file__).parent / "data" / "golden"
TRACES = Path(__file__).parent / "data" / "traces"
CHAINS = {
    "h07_execchain": (TAGGED, "constant"),
    "h08_execchain_untagged": (UNTAGGED, "constant"),
    "h10_execchain_vary": (TAGGED, "varying"),
}
FILES = [p for name in CHAINS for p in sorted(GOLDEN.glob(f"[ABC]/{name}.jsonl.gz"))]


def golden_tops(path: Path) -> tuple[list[int], dict[str, object]]:
    """cygheap_max of each exec of a golden trace, and its end line."""
    values = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [v[2] for v in values if isinstance(v, list) and v[0] == "x"], values[-1]


def test_every_chain_of_every_era_is_there():
    assert {(p.parent.name, p.name.removesuffix(".jsonl.gz")) for p in FILES} == {
        (era, name) for era in "ABC" for name in CHAINS
    }


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.name[:3]}")
def test_every_heap_of_a_golden_chain_is_met(path):
    tops, end = golden_tops(path)
    tag, shape = CHAINS[path.name.removesuffix(".jsonl.gz")]
    chain = ExecChain(ERAS[path.parent.name], tag)
    assert [chain.exec(SHAPES[shape](i)) for i in range(len(tops))] == tops
    if end["end"] == "crash":
        with pytest.raises(AccessViolation, match="0x00000005"):
            chain.exec(SHAPES[shape](len(tops)))
        assert end["msg"] == "access violation at 0x00000005"


@pytest.mark.parametrize(("era", "by_one"), [("A", 264), ("B", 296)])
def test_an_old_application_leaks_less(era, by_one):
    chain = ExecChain(ERAS[era], OLD_APPLICATION)
    tops = [chain.exec(constant_arguments(i)) for i in range(20)]
    assert {b - a for a, b in pairwise(tops)} == {by_one}


@pytest.mark.parametrize("era", "ACB")
def test_a_reserve_ends_when_the_arithmetic_says(era):
    small = replace(ERAS[era], cygheapsize=120_000)
    chain = ExecChain(small, UNTAGGED)
    tops: list[int] = []

    def to_the_end() -> None:
        for i in range(200):
            tops.append(chain.exec(constant_arguments(i)))

    with pytest.raises(HeapFatal):
        to_the_end()
    more = execs_until_full(small, tops[9], tops[9] - tops[8])
    assert more is not None
    assert 10 + more == len(tops) == chain.execs


def test_a_heap_that_does_not_grow_is_never_full():
    assert execs_until_full(ERAS["B"], 10_896, 0) is None


def test_what_is_lost_is_named():
    chain = ExecChain(ERAS["A"])
    for i in range(3):
        late = [chain.heap.cstrdup(b"one")]
        chain.exec(constant_arguments(i), lambda heap, late=late: heap.cfree_many(late))
    assert lost_blocks(chain.heap) == [Lost("HEAP_STR", 24, 3)]


def test_an_unknown_tag_is_refused():
    with pytest.raises(ValueError, match="tag"):
        ExecChain(ERAS["A"], "marked")


@pytest.mark.parametrize(
    ("name", "median", "most"), [("git-workflow", 4, 9), ("make-j4-sed", 7, 12)]
)
def test_lines_of_descent_are_those_of_the_recorder(name, median, most):
    """Medians and maxima of the traces' own statistics."""
    behind = sorted(execs_behind(load_workload(TRACES / f"{name}.jsonl.gz")))
    assert (behind[len(behind) // 2], behind[-1]) == (median, most)
