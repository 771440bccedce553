"""The allocator: where blocks go, what survives, how eras differ, how it dies."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from heaps import BASE, child_of, fresh, image, loop_search
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin.cygheap.allocator import Cygheap, EndlessWalk, HeapFatal, UndefinedAccess
from models.cygwin.cygheap.layout import ERAS, A, B, C, HeapType, R
from models.win32.errors import ERROR_COMMITMENT_LIMIT, AccessViolation, Win32Error
from models.win32.memory import Memory

GOLDEN = Path(__file__).parent / "data" / "golden"
ALL = pytest.mark.parametrize("era", ERAS.values(), ids=lambda era: era.name)


# -- layout ---------------------------------------------------------------------------------------


def test_sizes_and_offsets_are_the_compiled_ones():
    assert [(e.header_bytes, e.cygheapsize) for e in (A, C, R, B)] == [
        (88, 5_123_160),
        (220, 5_123_292),
        (236, 5_123_308),
        (240, 5_107_312),
    ]
    assert [e.first_fd_offset for e in (A, C, B)] == [76, 204, 224]
    assert A.reserve_bytes == 5_124_096
    assert B.fhandler_bytes["pipe"] == 72
    assert R.fhandler_bytes == A.fhandler_bytes


def test_a_variant_is_a_replacement():
    older = replace(A, header_bytes=92, cygheapsize=5_123_164)
    assert fresh(older).max == 92
    assert older.bucket_table == A.bucket_table
    with pytest.raises(ValueError, match=r"header_bytes \(91\) must be"):
        replace(A, header_bytes=91)


@given(
    st.integers(0, 0xFFFFFFFF)
    | st.builds(lambda b, d: ((1 << b) + d) & 0xFFFFFFFF, st.integers(0, 32), st.integers(-32, 32))
)
def test_the_search_finds_what_the_loop_finds(n):
    for era in ERAS.values():
        found = era.search(n)[0]
        assert found == loop_search(n, era.search_slack_bytes, era.search_signed)


@pytest.mark.parametrize(
    ("n", "in_a", "in_b"), [(20, 40, 72), (52, 72, 136), (116, 136, 264), (0, 24, 24)]
)
def test_bytes_that_a_request_takes(n, in_a, in_b):
    for era, taken in ((A, in_a), (B, in_b), (C, in_b), (R, in_b)):
        heap = fresh(era)
        heap.cmalloc(HeapType.HEAP_BUF, n)
        assert heap.max - era.header_bytes == taken


# -- one process ----------------------------------------------------------------------------------


@ALL
def test_a_fresh_heap_has_one_page_and_one_word(era):
    heap = fresh(era)
    assert (heap.max, heap.memory.committed_pages()) == (era.header_bytes, 1)
    words = [heap.memory.read32(o) for o in range(0, 4096, 4)]
    assert [(4 * i, w) for i, w in enumerate(words) if w] == [(era.first_fd_offset, 3)]
    assert list(heap.chain()) == []


@ALL
def test_the_block_freed_last_is_reused_first(era):
    heap = fresh(era)
    a, b, _ = (heap.cstrdup1(b"x" * 20) for _ in range(3))
    heap.cfree(a)
    heap.cfree(b)
    assert [heap.cmalloc(1, 21) for _ in range(2)] == [b, a]


@ALL
def test_realloc_copies_keeps_the_type_and_frees(era):
    heap = fresh(era)
    old = heap.cmalloc(HeapType.HEAP_1_ARGV, 16)
    heap.store(old, bytes(range(16)))
    assert heap.crealloc(old, 17) == old
    new = heap.crealloc(old, 200)
    assert new != old
    assert heap.load(new, 16) == bytes(range(16))
    assert heap.memory.read32(new - BASE - 8) == HeapType.HEAP_1_ARGV
    assert heap.cmalloc(1, 16) == old


def test_realloc_counts_locks_as_the_code_takes_them():
    heap = fresh(B)
    user = heap.crealloc(0, 16)
    assert heap.lock_acquires == 1
    heap.crealloc(user, 24)  # in place
    assert heap.lock_acquires == 1
    heap.crealloc(user, 25)
    assert heap.lock_acquires == 3


def test_freeing_a_free_block_follows_its_word_as_an_index():
    heap = fresh(B)
    first, user = heap.cmalloc(1, 10), heap.cmalloc(1, 10)
    heap.cfree(first)
    heap.cfree(user)
    with pytest.raises(AccessViolation) as caught:
        heap.cfree(user)  # its word is the address of `first`
    assert caught.value.address == (BASE + 4 + 4 * (first - 16)) & 0xFFFFFFFF


def test_growth_asks_for_pages_and_dies_after_the_top_moved():
    memory = Memory(B.reserve_bytes)
    asked = []

    def commit(offset, size_bytes):
        asked.append((offset, size_bytes))
        if len(asked) == 3:
            raise Win32Error(ERROR_COMMITMENT_LIMIT, "VirtualAlloc", "full")
        memory.commit(offset, size_bytes)

    heap = Cygheap.first_process(B, memory, BASE, commit)
    heap.cmalloc(1, 5000)
    with pytest.raises(HeapFatal, match="couldn't commit memory for cygwin heap, %E"):
        heap.cmalloc(1, 3000)
    assert asked == [(240, 1), (240, 8200), (8440, 4104)]
    assert heap.max == sum(asked[-1])


def test_a_page_that_starts_at_the_top_is_committed_by_the_next_call():
    heap = fresh(replace(B, header_bytes=248))
    while heap.max < 4096:
        heap.csbrk(8)
    assert (heap.max, heap.memory.committed_pages()) == (4096, 1)
    heap.csbrk(8)
    assert heap.memory.committed_pages() == 2


def test_era_a_reads_past_its_array_for_a_gigabyte():
    with pytest.raises(UndefinedAccess):
        fresh(A).cmalloc(3, 0x3FFFFFF5)


def test_a_cyclic_chain_never_ends():
    heap = fresh(B)
    user = heap.cmalloc(3, 20)
    heap.memory.write32(user - BASE - 12, user - 16)
    with pytest.raises(EndlessWalk, match="chain is cyclic"):
        heap.walk()


def test_a_chain_that_leaves_the_heap_faults_where_it_points():
    heap = fresh(B)
    user = heap.cmalloc(3, 20)
    heap.memory.write32(user - BASE - 12, 0x12345678)
    with pytest.raises(AccessViolation) as caught:
        heap.walk()
    assert caught.value.address == 0x12345678


# -- generations ----------------------------------------------------------------------------------


def test_an_exec_child_forgets_the_user_heap_only_where_it_is_in_the_header():
    for era in (B, R):
        heap = fresh(era)
        heap.memory.write32(132, 0x0A010000)
        assert child_of(heap, True).memory.read32(132) == 0
    heap = fresh(C)
    heap.memory.write32(132, heap.cmalloc(1, 528))  # root is there
    assert child_of(heap, True).memory.read32(132) == heap.memory.read32(132)


@ALL
def test_a_tagged_block_lives_for_two_execs(era):
    heap = fresh(era)
    heap.cstrdup(b"stays")
    user = heap.cstrdup1(b"goes")
    once = child_of(heap, True)
    assert [entry.type for entry in once.chain()] == [106, 1]
    twice = child_of(once, True)
    assert twice.cmalloc(1, 5) == user


@ALL
def test_free_lists_survive_an_exec_only_in_the_header(era):
    heap = fresh(era)
    user = heap.cmalloc(1, 20)
    heap.cfree(user)
    assert (child_of(heap, True).cmalloc(1, 20) == user) == era.buckets_in_header
    assert child_of(heap, False).cmalloc(1, 20) == user


@ALL
def test_a_child_s_writes_never_change_the_parent(era):
    parent = fresh(era)
    users = parent.cstrdup1_many([b"v" * n for n in range(300)])
    before = image(parent)
    for execed in (True, False):
        child = child_of(parent, execed)
        child.cfree_many(users)
        child.cstrdup1_many([b"w" * n for n in range(300)])
        child.crealloc(users[0], 9000)
        assert image(parent) == before
        kept = image(child)
        parent.cfree(parent.cstrdup(b"later"))
        assert image(child) == kept
        before = image(parent)


@pytest.mark.parametrize(("era", "tops"), [(A, (8936, 10360)), (B, (9312, 10896))])
def test_equal_execs_do_not_grow_after_the_second(era, tops):
    """CYGWIN.md b6, first and third row: the set of h07, 600 execs."""
    heap, one_set = exec_chain(era)
    seen = []
    for _ in range(600):
        vector = run_exec(heap, one_set)
        seen.append(heap.max)
        heap = child_of(heap, True)
        heap.cfree(vector)
    assert (seen[0], seen[1]) == tops
    assert set(seen[1:]) == {tops[1]}


@pytest.mark.parametrize(("era", "step", "end"), [(A, 1424, 861_912), (B, 1584, 958_128)])
def test_untagged_execs_grow_by_a_whole_set(era, step, end):
    """CYGWIN.md b6, untagged: nothing frees what no walk knows."""
    heap, one_set = exec_chain(era)
    seen = []
    for _ in range(600):
        vector = run_exec(heap, one_set, untagged=True)
        seen.append(heap.max)
        heap = child_of(heap, True)
        heap.cfree(vector)
    assert {b - a for a, b in pairwise(seen)} == {step}
    assert seen[-1] == end


def exec_chain(era):
    """A heap as h07 has it before the first exec, and what one exec allocates."""
    path = GOLDEN / era.name / "h07_execchain.jsonl.gz"
    ops = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[1:]]
    ops = [op for op in ops if isinstance(op, list)]
    start = next(i for i, op in enumerate(ops) if op[:2] == ["z", 9])
    end = next(i for i, op in enumerate(ops) if op[0] == "x")
    heap = fresh(era)
    for op in ops[:start]:
        allocate(heap, op)
    return heap, ops[start:end]


def run_exec(heap, one_set, untagged=False):
    """Allocate one set; the address of the environment vector, the second 1_ARGV."""
    users = [allocate(heap, op, untagged) for op in one_set]
    return [u for u, op in zip(users, one_set, strict=True) if op[:2] == ["m", 7]][-1]


def allocate(heap, op, untagged=False):
    name, one = op[0], op[1]
    if name == "S":
        return (heap.cstrdup if untagged else heap.cstrdup1)(one.encode())
    if name == "s":
        return heap.cstrdup(one.encode())
    if name == "r":
        return heap.crealloc(0, op[2])
    kind = HeapType.HEAP_STR if untagged else one
    return heap.ccalloc(kind, op[2], op[3]) if name == "z" else heap.cmalloc(kind, op[2])
