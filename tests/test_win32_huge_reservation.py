"""Committed bytes of a huge reservation: far commits, holes, and copies of the head that share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.win32.errors import AccessViolation
from models.win32.memory import Memory

GIB = 1 << 30
SMALL = 16 << 12
RANGES = st.tuples(st.integers(0, SMALL - 1), st.integers(1, SMALL)).map(
    lambda r: (r[0], min(r[1], SMALL - r[0]))
)


def test_a_commit_far_up_commits_nothing_below():
    memory = Memory(8 * GIB)
    assert memory.commit(8 * GIB - 65536, 65536) == 16
    memory.write(8 * GIB - 8, b"far up!!")
    assert memory.committed_pages() == 16
    assert memory.read(8 * GIB - 12, 12) == bytes(4) + b"far up!!"
    assert memory.committed_run(4096) == 4096
    assert memory.committed_run(8 * GIB - 65536) == 8 * GIB
    with pytest.raises(AccessViolation) as caught:
        memory.read(4096, 1)
    assert caught.value.address == 4096


@given(st.lists(RANGES, max_size=12), st.integers(0, SMALL - 1))
def test_a_run_ends_at_the_first_page_that_is_not_committed(ranges, offset):
    memory = Memory(SMALL)
    for start, size in ranges:
        memory.commit(start, size)
    page = offset >> 12
    while memory.is_committed(page << 12):
        page += 1
    assert memory.committed_run(offset) == (page << 12 if page > offset >> 12 else offset)


@given(st.integers(0, (SMALL >> 3) - 1), st.integers(0, (1 << 64) - 1))
def test_a_64_bit_word_is_two_of_32(i, value):
    memory = Memory(SMALL)
    memory.commit(0, SMALL)
    memory.write64(8 * i, value)
    assert memory.read64(8 * i) == value
    assert memory.read(8 * i, 8) == value.to_bytes(8, "little")
    assert memory.read32(8 * i + 4) == value >> 32


def test_64_bit_words_fault_where_nothing_is_committed():
    memory = Memory(SMALL)
    for offset in (-8, 0, SMALL):
        with pytest.raises(AccessViolation):
            memory.read64(offset)
        with pytest.raises(AccessViolation):
            memory.write64(offset, 1)


@given(st.integers(0, SMALL), st.integers(0, SMALL - 4), st.booleans())
def test_a_copy_of_the_head_shares_until_one_side_writes(size, offset, child_writes):
    parent = Memory(SMALL)
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
    parent = Memory(SMALL)
    parent.commit(0, 4096)
    with pytest.raises(AccessViolation) as caught:
        parent.head_copy(4097)
    assert caught.value.address == 4096
