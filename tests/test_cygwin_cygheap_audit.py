"""What a heap's bytes say: blocks, garbage that goes, garbage that stays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from heaps import BASE, fresh
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.audit import (
    Chain,
    blocks,
    committed_bytes,
    digest_bytes,
    garbage,
    garbage_in,
)
from models.cygwin.cygheap.layout import ERAS, A, B, C, HeapType, R


def size_of(heap: Cygheap, users: Iterable[int]) -> int:
    starts = {u - 16 - BASE for u in users}
    return sum(b.size_bytes for b in blocks(heap) if b.offset_bytes in starts)


def test_blocks_fill_the_heap_from_header_to_top():
    heap = fresh(B)
    users = [heap.cmalloc(t, n) for t, n in ((0, 56), (1, 4), (6, 20), (9, 28))]
    heap.cfree(users[1])
    heap.walk()
    found = blocks(heap)
    assert found[0].offset_bytes == B.header_bytes
    assert sum(b.size_bytes for b in found) == heap.max - B.header_bytes
    assert [b.in_use for b in found] == [True, False, True, True]
    assert [b.label for b in found] == ["HEAP_FHANDLER", "HEAP_STR", "HEAP_1_STR", "HEAP_1_EXEC"]
    assert [b.generation for b in found] == [None, None, 1, 1]
    assert [b.type for b in found] == [0, 1, 106, 109]


def test_nothing_live_means_no_garbage():
    heap = fresh(B)
    users = [heap.cmalloc(1, 20), heap.cstrdup1(b"x")]
    assert garbage(heap, set(users)) == (0, 0)


def test_untagged_is_leaked_and_tagged_is_pending():
    heap = fresh(B)
    lost, tagged, kept = heap.cstrdup(b"lost"), heap.cstrdup1(b"tagged"), heap.cstrdup(b"kept")
    assert garbage(heap, {kept}) == (size_of(heap, [lost]), size_of(heap, [tagged]))
    heap.walk()
    assert garbage(heap, {kept, tagged}) == (size_of(heap, [lost]), 0)


@pytest.mark.parametrize("era", [B, C, R], ids=lambda era: era.name)
def test_free_blocks_in_a_list_are_no_garbage(era):
    heap = fresh(era)
    users = heap.cstrdup1_many([b"x" * n for n in range(0, 200, 7)])
    heap.cfree_many(users)
    assert garbage(heap, set()) == (0, 0)


def test_era_a_loses_its_free_blocks_at_an_exec():
    heap = fresh(A)
    users = heap.cstrdup1_many([b"x" * n for n in range(0, 200, 7)])
    heap.cfree_many(users[:10])
    assert garbage(heap, set(users[10:])) == (0, 0)
    heap.clear_buckets()
    assert garbage(heap, set(users[10:])) == (size_of(heap, users[:10]), 0)


def test_a_tail_that_the_walk_put_into_bucket_0_is_lost():
    """Era A frees a marked tail again, into a list that no request looks at."""
    heap = fresh(A)
    user = heap.cstrdup1(b"x")
    heap.walk()
    heap.cfree(user)
    heap.clear_buckets()
    heap.walk()
    assert heap.heads()[0] == user - 16
    assert garbage(heap, set()) == (size_of(heap, [user]), 0)


def test_a_cyclic_chain_is_counted_once():
    heap = fresh(B)
    user = heap.cmalloc(HeapType.HEAP_BUF, 20)
    heap.memory.write32(user - BASE - 12, user - 16)
    assert garbage(heap, set()) == (72, 0)


def test_a_chain_into_nowhere_counts_nothing():
    heap = fresh(B)
    heap.cmalloc(HeapType.HEAP_BUF, 20)
    heap.memory.write32(0, 0x70000000)
    assert garbage(heap, set()) == (0, 0)


def test_digest_bytes_end_at_the_top():
    heap = fresh(B)
    heap.cstrdup(b"x" * 5000)
    assert digest_bytes(heap) == heap.memory.read(0, heap.max)


@given(
    st.sampled_from(list(ERAS.values())),
    st.lists(st.tuples(st.sampled_from([1, 3, 6, 7, 106]), st.integers(0, 900)), max_size=40),
    st.randoms(use_true_random=False),
)
def test_garbage_and_live_and_reachable_make_the_whole(era, requests, chance):
    heap = fresh(era)
    users = [heap.cmalloc(*request) for request in requests]
    freed = [u for u in users if chance.random() < 0.3]
    live = {u for u in users if u not in freed and chance.random() < 0.5}
    heap.cfree_many(freed)
    leaked, pending = garbage(heap, live)
    lost = [u for u in users if u not in freed and u not in live]
    tagged = [u for u, (kind, _) in zip(users, requests, strict=True) if kind > 5 and u in lost]
    assert pending == size_of(heap, tagged)
    assert leaked == size_of(heap, lost) - pending
    heap.clear_buckets()
    if era is A:
        assert garbage(heap, live)[0] == leaked + size_of(heap, freed)


@given(st.sampled_from(list(ERAS.values())), st.data())
def test_garbage_is_the_same_with_what_earlier_heaps_left(era, data):
    known: dict[tuple[int, int], Chain] = {}
    for _ in range(6):
        heap = fresh(era)
        users = heap.cstrdup1_many([b"x" * n for n in (5, 5, 40, 40, 5, 100)])
        heap.cfree_many(data.draw(st.lists(st.sampled_from(users), unique=True)))
        if data.draw(st.booleans()):
            heap.walk()
        live = np.array(data.draw(st.lists(st.sampled_from(users))), np.int64)
        found = garbage_in(heap, committed_bytes(heap), live, known)
        assert found == garbage(heap, live.tolist())


def test_a_list_through_something_that_is_no_block_is_followed_anew():
    known: dict[tuple[int, int], Chain] = {}
    seen = []
    for leads_on in (False, True):
        heap = fresh(B)
        first, amid, last = heap.cstrdup1_many([b"x" * 30] * 3)
        heap.cfree_many([last, first])
        heap.memory.write32(first - 16 - BASE, amid + 8)
        heap.memory.write32(amid + 8 - BASE, last - 16 if leads_on else 0)
        live = np.array([amid], np.int64)
        seen.append(garbage_in(heap, committed_bytes(heap), live, known))
        assert seen[-1] == garbage(heap, [amid])
    assert seen[0] != seen[1]
