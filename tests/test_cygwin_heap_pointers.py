"""Pointers in a heap: all of them are known, each dangles when the heap moves, each is counted."""

from __future__ import annotations

import pytest

from models.cygwin.cygheap.layout import ERAS
from models.cygwin.exec_chain import (
    UNTAGGED,
    ExecChain,
    constant_arguments,
    exec_child,
    landed,
    put_tagged,
)
from models.cygwin.heap_pointers import (
    CHAIN,
    CHILD_INFO,
    LISTS,
    OUTSIDE,
    FollowCounter,
    left_alone,
    pointers,
    repaired,
    start_up,
)
from models.win32.errors import AccessViolation

GRAIN = 0x10000


def handed_over(era: str, execs: int = 3, tag: str = "tagged"):
    """A heap with a set laid out for the next child."""
    chain = ExecChain(ERAS[era], tag)
    for i in range(execs):
        chain.exec(constant_arguments(i))
    return chain.heap, put_tagged(chain.heap, constant_arguments(execs))


@pytest.mark.parametrize("era", "ARB")
def test_every_word_that_looks_like_a_pointer_is_one_or_lies_in_a_dead_block(era):
    heap, blocks = handed_over(era, execs=0)
    inside = range(heap.base, heap.base + heap.max)
    looks = {i for i in range(0, heap.max & -4, 4) if heap.memory.read32(i) in inside}
    assert looks == {p.slot for p in pointers(heap, blocks)} - {OUTSIDE}


@pytest.mark.parametrize("era", "ARB")
@pytest.mark.parametrize("shift", [GRAIN, -16 * GRAIN])
def test_a_moved_heap_runs_once_all_pointers_are_moved(era, shift):
    heap, blocks = handed_over(era)
    child = landed(heap, heap.base + shift)
    for p in pointers(heap, blocks):
        if p.slot != OUTSIDE:
            child.memory.write32(p.slot, p.address + shift)
    start_up(child, blocks.info + shift)


@pytest.mark.parametrize("left_out", range(0, 122, 11))
def test_a_pointer_that_was_not_moved_faults_if_it_is_followed(left_out):
    heap, blocks = handed_over("B")
    followed = {f.pointer for f in repaired(heap, blocks, GRAIN)}
    child = landed(heap, heap.base + GRAIN)
    one = pointers(heap, blocks)[left_out]
    info = blocks.info + GRAIN * (one.slot != OUTSIDE)
    for p in pointers(heap, blocks):
        if p.slot not in (OUTSIDE, one.slot):
            child.memory.write32(p.slot, p.address + GRAIN)
    if one in followed:
        with pytest.raises(AccessViolation) as fault:
            start_up(child, info)
        assert fault.value.address == one.address
    else:
        start_up(child, info)


def test_the_chain_faults_first_and_child_info_is_a_pointer_too():
    heap, blocks = handed_over("A")
    faults = repaired(heap, blocks, GRAIN)
    assert faults[0].step == "the walk"
    assert (faults[0].pointer.kind, faults[0].pointer.slot) == (CHAIN, 0)
    assert CHILD_INFO in {f.pointer.kind for f in faults}
    assert len(set(faults)) == len(faults) < len(pointers(heap, blocks))


def test_a_heap_that_lands_where_it_was_has_no_fault():
    heap, blocks = handed_over("B")
    assert repaired(heap, blocks, 0) == []
    step, address, words = left_alone(heap, blocks, 0)
    assert (step, address) == ("main() with its strings", 0)
    assert words > 0  # the walk's marks and frees


def test_a_free_list_is_a_pointer():
    heap, blocks = handed_over("B")
    heap.cfree_many([heap.cstrdup(b"x"), heap.cstrdup(b"y")])
    assert sum(p.kind == LISTS for p in pointers(heap, blocks)) == 2  # head and one link


def test_a_long_heap_reads_its_own_other_bytes():
    heap, blocks = handed_over("B", 60, UNTAGGED)
    assert heap.max > GRAIN
    moved = range(heap.base + GRAIN, heap.base + GRAIN + heap.max)
    silent = [p for p in pointers(heap, blocks) if p.address in moved]
    assert silent
    assert left_alone(heap, blocks, GRAIN)[0] != "the walk"  # it passed without a fault


@pytest.mark.parametrize("era", "ARB")
def test_counting_leaves_the_bytes_as_they_are(era):
    heap, blocks = handed_over(era)
    plain = exec_child(heap)
    plain.cfree(blocks.env_vector)
    counter = FollowCounter.of(landed(heap, heap.base))
    start_up(counter, blocks.info)
    assert counter.memory.read(0, heap.max) == plain.memory.read(0, heap.max)
    assert counter.heads() == plain.heads()


def test_follows_are_one_for_each_block_that_a_stored_address_leads_to():
    heap, _ = handed_over("B", execs=0)
    counter = FollowCounter.of(heap)
    fresh = counter.cmalloc(1, 4)
    assert counter.follows == 0
    counter.cfree(fresh)
    assert counter.follows == 1
    assert counter.cmalloc(1, 4) == fresh
    assert counter.follows == 2
    counter.load(fresh, 4)
    assert counter.follows == 3
