"""The 64-bit cygheap of era M: what the golden traces do not ask, and its relatives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin.cygheap import modern_audit
from models.cygwin.cygheap.c_allocator import EndlessWalk, HeapFatal, UndefinedAccess
from models.cygwin.cygheap.modern import ModernHeap
from models.cygwin.cygheap.modern_layout import (
    BEFORE,
    INDEX_FROM_1,
    STORE_PLUS_1,
    VARIANTS,
    M,
    ModernEra,
    ModernType,
)
from models.win32.errors import AccessViolation
from models.win32.memory import Memory

BASE = 0x800000000
ALL = pytest.mark.parametrize("era", VARIANTS.values(), ids=lambda era: era.name)
REPAIRED = [BEFORE, INDEX_FROM_1, STORE_PLUS_1]


def fresh(era: ModernEra) -> ModernHeap:
    return ModernHeap.first_process(era, Memory(era.reserve_bytes), BASE)


def after_exec(heap: ModernHeap) -> ModernHeap:
    child = heap.child()
    child.walk(True)
    return child


def test_the_classes_are_powers_of_two_and_their_medians():
    assert M.classes[:6] == (32, 48, 64, 96, 128, 192)
    assert M.classes[-2:] == (1_048_576, 1_572_864)
    assert BEFORE.classes[:4] == (0, 24, 32, 48)
    assert INDEX_FROM_1.classes[:3] == (0, 32, 48)
    assert {len(era.classes) for era in VARIANTS.values()} == {32}


@ALL
@given(st.one_of(st.integers(0, 1 << 21), st.integers((1 << 32) - 40, (1 << 32) + 40)))
def test_the_class_is_the_smallest_that_holds_the_request(era, n):
    size = (n + 16) % (1 << 32)
    wanted = [b for b, held in enumerate(era.classes) if held and held >= size]
    assert era.search(n) == min(wanted, default=32)


def test_a_reused_block_keeps_the_upper_half_of_its_link():
    heap = fresh(M)
    users = [heap.cmalloc(3, 10) for _ in range(3)]
    for user in users:
        heap.cfree(user)
    assert [heap.cmalloc(3, 10) for _ in users] == users[::-1]
    words = [heap.load64(user - 32) for user in users]
    assert words == [0, BASE & ~0xFFFFFFFF, BASE & ~0xFFFFFFFF]  # the list's tail has no upper half


def test_a_fresh_tagged_string_of_15_characters_is_never_freed():
    heap = fresh(M)
    short, long = heap.cstrdup1(b"x" * 15), heap.cstrdup1(b"x" * 16)
    heap = after_exec(after_exec(heap))
    blocks = {BASE + b.offset_bytes + 32: b for b in modern_audit.blocks(heap)}
    assert (blocks[short].in_use, blocks[short].generation) == (True, None)
    assert not blocks[long].in_use
    assert modern_audit.leaked_bytes(heap) == 48


@pytest.mark.parametrize("era", REPAIRED, ids=lambda era: era.name)
def test_a_repaired_walk_frees_it(era):
    heap = fresh(era)
    short = heap.cstrdup1(b"x" * 15)
    heap = after_exec(heap)
    assert heap.load32(short - 16) == ModernType.HEAP_1_STR + 100
    heap = after_exec(heap)
    assert heap.cstrdup1(b"y" * 15) == short
    assert modern_audit.leaked_bytes(heap) == 0


@ALL
def test_the_largest_class_is_used_and_freed_again(era):
    """An index of 31 that is stored as 32 must not look like a free block."""
    heap = fresh(era)
    user = heap.cmalloc(ModernType.HEAP_1_BUF, era.classes[-1] - 16)
    assert user
    assert heap.cmalloc(ModernType.HEAP_1_BUF, era.classes[-1] - 15) == 0
    heap = after_exec(after_exec(heap))
    assert heap.heads()[31] == user - 32
    assert heap.crealloc(heap.cmalloc(3, era.classes[-1] - 16), 5) == user


@ALL
def test_a_fork_child_walks_for_type_3_only(era):
    heap = fresh(era)
    kinds = {kind: heap.cmalloc(kind, 40) for kind in (12, 101, 201)}
    child = heap.child()
    child.walk(False)
    assert [b.in_use for b in modern_audit.blocks(child)] == [True, True, False]
    assert child.load32(kinds[12] - 16) == 12
    assert child.lock_acquires == 1


def test_a_write_behind_the_read_is_not_in_the_child():
    heap = fresh(M)
    heap.cmalloc(3, 10)
    told = heap.max
    heap.cmalloc(3, 10)
    child = heap.child(told)
    assert child.load(BASE + told, 48) == bytes(48)
    assert child.head == BASE + told


def test_null_and_deaths():
    heap = fresh(M)
    user = heap.cmalloc_abort(3, 10)
    assert heap.crealloc_abort(0, 1 << 31) == 0
    for call in (
        lambda: heap.cmalloc_abort(3, 1 << 31),
        lambda: heap.ccalloc_abort(3, 2, 1 << 30),
        lambda: heap.crealloc_abort(user, 1 << 31),
    ):
        with pytest.raises(HeapFatal, match="would have returned NULL"):
            call()
    assert heap.lock_acquires == 1
    heap.store32(user - 32, 77)
    with pytest.raises(UndefinedAccess):
        heap.crealloc(user, 100)


def test_a_chain_that_leads_out_of_the_heap_faults_at_its_address():
    heap = fresh(M)
    user = heap.cmalloc(3, 10)
    heap.store64(user - 24, 0x812345678)
    with pytest.raises(AccessViolation) as caught:
        heap.walk(True)
    assert caught.value.address == 0x812345678
    heap.store64(user - 24, user - 32)
    with pytest.raises(EndlessWalk):
        heap.walk(True)


@given(st.integers(0, 4095), st.sampled_from([0, 5, 33, 1 << 35, (1 << 35) + 5]),
       st.sampled_from([3, 12, 112, 201, -5]))  # fmt: skip
def test_an_entry_across_a_page_s_end_is_walked_like_any_other(shift, word0, kind):
    """A damaged chain may lead anywhere; where the entry lies must not matter."""
    seen = []
    for at in (BASE + 0x20000, BASE + 0x20000 + shift):
        heap = fresh(M)
        heap.store64(at, word0)
        heap.store64(at + 8, 0)
        heap.store32(at + 16, kind % (1 << 32))
        heap.store64(BASE + M.chain_offset, at)
        heap.walk(True)
        link = heap.load64(at)
        seen.append(
            (link, heap.load32(at + 16), heap.lock_acquires, [h and h - at for h in heap.heads()])
        )
    assert seen[0] == seen[1]


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("s"), st.integers(0, 90)),
        st.tuples(st.just("f"), st.integers(0, 30)),
        st.tuples(st.just("r"), st.integers(0, 30), st.integers(0, 300)),
        st.tuples(st.just("x")),
    ),
    max_size=60,
)


@ALL
@given(OPS)
def test_untagged_blocks_keep_their_contents(era, ops):
    """Against a dict: what lives is never handed out again, moved or changed."""
    heap, live = fresh(era), {}
    for i, op in enumerate(ops):
        if op[0] == "x":
            heap = after_exec(heap)
        elif op[0] == "s":
            text = bytes([65 + i % 26]) * op[1]
            user = heap.cstrdup(text)
            assert user not in live
            live[user] = text
            heap.cstrdup1(text)
        elif live:
            user = sorted(live)[op[1] % len(live)]
            text = live.pop(user)
            if op[0] == "f":
                heap.cfree(user)
            else:
                user = heap.crealloc(user, max(op[2], len(text) + 1))
                assert user not in live
                live[user] = text
        for user, text in live.items():
            assert heap.load(user, len(text) + 1) == text + b"\0"


@pytest.mark.parametrize("change", [{"header_bytes": 88}, {"cygheapsize": 1}])
def test_a_layout_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        ModernEra(**change)
