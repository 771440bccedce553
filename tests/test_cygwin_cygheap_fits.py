"""Other ways to cut blocks: against the byte-exact heap, a dict model, and known numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin.argument_requests import follow, follow_workload, requests, requests_of
from models.cygwin.arguments import Arguments
from models.cygwin.compile_trace import load_workload
from models.cygwin.cygheap.fits import (
    FirstFit,
    Lists,
    exact_size,
    medians,
    modern,
    power_of_two,
)
from models.cygwin.cygheap.layout import ERAS
from models.cygwin.exec_chain import SHAPES, ExecChain, constant_arguments

MINI = Path(__file__).parent / "data" / "traces" / "mini-pipeline.ptrec.jsonl.gz"
FRESH = {
    "A": lambda: Lists(power_of_two(ERAS["A"]), survive=False),
    "B": lambda: Lists(power_of_two(ERAS["B"])),
    "medians": lambda: Lists(medians),
    "exact": lambda: Lists(exact_size),
    "first-fit": FirstFit,
    "M": lambda: Lists(modern, unseen_bytes=48),
}


@pytest.mark.parametrize("era", "AB")
@pytest.mark.parametrize("shape", SHAPES)
def test_lists_end_where_the_real_heap_ends(era, shape):
    chain = ExecChain(ERAS[era])
    real = [chain.exec(SHAPES[shape](i)) for i in range(60)]
    tops = follow(FRESH[era](), [requests_of(SHAPES[shape](i)) for i in range(60)]).tops
    assert {a - b for a, b in zip(real, tops, strict=True)} == {real[0] - tops[0]}


def test_the_modern_heap_loses_48_bytes_for_each_short_string():
    """1008 = 21 strings of up to 15 characters (MODERN.md §4, golden M h07)."""
    argv, env = constant_arguments(0)[:2]
    asked = requests_of(Arguments(argv, (*env, b"WINDIR=C:\\WINNT")), 8)
    tops = follow(FRESH["M"](), [asked] * 20).tops
    assert tops[-1] - tops[-2] == 1008
    mended = follow(Lists(modern), [asked] * 20).tops
    assert mended[-1] == mended[-2]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (power_of_two(ERAS["A"]), {0: 24, 20: 40, 21: 72}),
        (power_of_two(ERAS["B"]), {0: 24, 16: 40, 17: 72, 20: 72}),
        (modern, {0: 48, 16: 48, 17: 64, 32: 64, 33: 80, 48: 80, 49: 112}),
        (medians, {0: 24, 8: 24, 9: 32, 16: 32, 17: 40, 24: 40, 25: 56}),
        (exact_size, {0: 16, 1: 24, 8: 24, 9: 32}),
    ],
)
def test_sizes_of_blocks(size, wanted):
    assert {n: size(n) for n in wanted} == wanted


@pytest.mark.parametrize("name", FRESH)
@given(ops=st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=80))
def test_blocks_in_use_never_overlap(name, ops):
    heap = FRESH[name]()
    used: dict[int, int] = {}
    for take, number in ops:
        if take or not used:
            address = heap.alloc(number)
            size = heap.size_of(address)
            assert size >= number + 16
            assert all(address + size <= a or a + s <= address for a, s in used.items())
            assert address + size <= heap.top
            used[address] = size
        else:
            address = sorted(used)[number % len(used)]
            del used[address]
            heap.free(address)


@given(numbers=st.lists(st.integers(0, 300), min_size=1, max_size=30), seed=st.randoms())
def test_first_fit_joins_everything_that_is_freed(numbers, seed):
    heap = FirstFit()
    made = [heap.alloc(n) for n in numbers]
    top = heap.top
    seed.shuffle(made)
    for address in made:
        heap.free(address)
    heap.alloc(top - 16)
    assert heap.top == top


@pytest.mark.parametrize("name", FRESH)
def test_a_fork_child_changes_nothing_in_its_parent(name):
    heap = FRESH[name]()
    heap.free(heap.alloc(20))
    child = heap.copy()
    child.alloc(20)
    child.alloc(500)
    assert (heap.alloc(20), heap.hits) == (0, 1)
    assert child.top > heap.top


def test_a_workload_is_followed_through_its_forks():
    workload = load_workload(MINI)
    found = follow_workload(FRESH["B"](), workload)
    assert len(found.tops) == workload.counts.execs
    assert 0 < found.hits < found.allocations
    assert found.asked_bytes < found.block_bytes
    assert found.worst == 1


def test_a_set_is_what_the_spec_lists():
    assert requests([2, 5], [10]).sizes == [28, 28, 3, 6, 8, 11]
    assert requests([2, 5], [10]).vector == 4
    assert requests([2], [10], 8).sizes == [48, 48, 3, 96, 11]
