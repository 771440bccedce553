"""Committed bytes of a huge reservation: ranges, pages, and copies that share."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.win32.errors import AccessViolation
from models.win32.memory import Memory
from models.win32.sparse_memory import SparseMemory

GIB = 1 << 30
SMALL = 16 << 12


def test_a_commit_far_up_takes_no_page_below():
    tracemalloc.start()
    try:
        memory = SparseMemory(8 * GIB)
        assert memory.commit(8 * GIB - 65536, 65536) == 16
        memory.write(8 * GIB - 8, b"far up!!")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000
    assert memory.committed_pages() == 16
    assert memory.read(8 * GIB - 12, 12) == bytes(4) + b"far up!!"
    with pytest.raises(AccessViolation) as caught:
        memory.read(4096, 1)
    assert caught.value.address == 4096


def test_a_commit_beyond_the_reservation_is_refused():
    memory = SparseMemory(SMALL)
    with pytest.raises(ValueError, match="must end within 0x10000"):
        memory.commit(SMALL - 1, 2)
    assert memory.committed_pages() == 0


RANGES = st.tuples(st.integers(0, SMALL - 1), st.integers(1, SMALL)).map(
    lambda r: (r[0], min(r[1], SMALL - r[0]))
)


@given(st.lists(st.tuples(st.sampled_from("cw"), RANGES, st.integers(1, 255)), max_size=30))
def test_it_does_what_memory_does(steps):
    sparse, plain = SparseMemory(SMALL), Memory(SMALL)
    for what, (offset, size), value in steps:
        if what == "c":
            assert sparse.commit(offset, size) == plain.commit(offset, size)
        else:
            errors = []
            for memory in (sparse, plain):
                try:
                    memory.write(offset, bytes([value]) * size)
                    errors.append(None)
                except AccessViolation as error:
                    errors.append(error.address)
            assert errors[0] == errors[1]
    assert sparse.committed_pages() == plain.committed_pages()
    for i in range(SMALL >> 12):
        end = sparse.committed_run(i << 12)
        assert (end > i << 12) == plain.is_committed(i << 12)
        if end > i << 12:
            assert sparse.read(i << 12, 4096) == plain.read(i << 12, 4096)


@given(st.integers(0, SMALL), st.integers(0, SMALL - 4), st.booleans())
def test_a_copy_of_the_head_shares_until_one_side_writes(size, offset, child_writes):
    parent = SparseMemory(SMALL)
    parent.commit(0, SMALL)
    content = bytes(range(256)) * (SMALL >> 8)
    parent.write(0, content)
    child = parent.head_copy(size)
    child.commit(0, SMALL)
    writer, other = (child, parent) if child_writes else (parent, child)
    before = other.read(0, SMALL)
    writer.write(offset, b"new!")
    assert other.read(0, SMALL) == before
    assert writer.read(offset, 4) == b"new!"
    assert (before if not child_writes else content)[:size] == content[:size]
    if not child_writes:
        assert before[size:] == bytes(SMALL - size)


def test_the_head_copied_must_be_committed():
    parent = SparseMemory(SMALL)
    parent.commit(0, 4096)
    with pytest.raises(AccessViolation) as caught:
        parent.head_copy(4097)
    assert caught.value.address == 4096
