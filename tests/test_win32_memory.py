"""Pages and their copies, against plain byte arrays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.win32.errors import AccessViolation
from models.win32.memory import PAGE_BYTES, ZERO_PAGE, Memory

PAGES = 4
SIZE = PAGES * PAGE_BYTES


def committed(size_bytes: int = SIZE, content: bytes = b"") -> Memory:
    memory = Memory(size_bytes)
    memory.commit(0, size_bytes)
    if content:
        memory.write(0, content)
    return memory


# -- commit -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked, got", [(1, 4096), (4096, 4096), (4097, 8192), (5_123_160, 5_124_096)]
)
def test_reservation_is_whole_pages(asked, got):
    assert Memory(asked).size_bytes == got


@pytest.mark.parametrize(
    "offset, size, new",
    [
        (0, 1, 1),
        (0, 4096, 1),
        (0, 4097, 2),
        (4095, 2, 2),
        (4096, 4096, 1),
        (5000, 0, 1),
        (0, SIZE, 4),
    ],
)
def test_commit_takes_every_page_that_it_touches(offset, size, new):
    memory = Memory(SIZE)
    assert memory.commit(offset, size) == new
    assert memory.committed_pages() == new
    assert memory.is_committed(offset)


def test_commit_again_keeps_the_bytes_and_counts_only_new_pages():
    memory = Memory(SIZE)
    memory.commit(4096, 1)
    memory.write(4096, b"kept")
    assert memory.commit(0, SIZE) == PAGES - 1
    assert memory.read(4096, 4) == b"kept"
    assert memory.commit(0, SIZE) == 0


def test_commit_behind_a_gap_leaves_the_gap_uncommitted():
    memory = Memory(SIZE)
    assert memory.commit(8192, 1) == 1
    assert not memory.is_committed(0)
    assert not memory.is_committed(4096)
    assert memory.committed_pages() == 1


@pytest.mark.parametrize("offset, size", [(SIZE, 1), (0, SIZE + 1), (SIZE - 1, 2), (-1, 1)])
def test_commit_beyond_the_reservation_is_refused(offset, size):
    memory = Memory(SIZE)
    with pytest.raises(ValueError, match="must end within"):
        memory.commit(offset, size)
    assert memory.committed_pages() == 0


def test_decommitted_pages_lose_their_bytes():
    memory = committed(content=b"x" * SIZE)
    assert memory.decommit(4096, 1) == 1
    assert memory.decommit(4096, 1) == 0
    assert memory.committed_pages() == PAGES - 1
    with pytest.raises(AccessViolation):
        memory.read(4096, 1)
    memory.commit(4096, 1)
    assert memory.read(4096, 4096) == bytes(4096)


def test_fresh_pages_are_zero_and_cost_no_memory():
    memory = committed()
    assert memory.read(0, SIZE) == bytes(SIZE)
    assert all(page is ZERO_PAGE for page in memory.pages)


def test_the_shared_zero_page_cannot_be_written():
    committed().write32(0, 1)
    assert bytes(ZERO_PAGE) == bytes(PAGE_BYTES)
    with pytest.raises(TypeError):
        ZERO_PAGE[0] = 1


# -- words and bytes ----------------------------------------------------------------------------


def test_words_are_little_endian_and_taken_modulo_2_to_the_32():
    memory = committed()
    memory.write32(8, 0x1_0403_0201)
    assert memory.read(8, 4) == bytes([1, 2, 3, 4])
    assert memory.read32(8) == 0x04030201
    memory.write32(8, -1)
    assert memory.read32(8) == 0xFFFFFFFF


@pytest.mark.parametrize("offset", [4096, SIZE, -4, SIZE * 10])
def test_uncommitted_word_faults_at_its_page(offset):
    memory = Memory(SIZE)
    memory.commit(0, 1)
    for call in (lambda: memory.read32(offset), lambda: memory.write32(offset, 1)):
        with pytest.raises(AccessViolation) as caught:
            call()
        assert caught.value.address == offset & -PAGE_BYTES


def test_read_across_an_uncommitted_page_faults_there():
    memory = Memory(SIZE)
    memory.commit(0, 4096)
    memory.commit(8192, 4096)
    with pytest.raises(AccessViolation) as caught:
        memory.read(100, 9000)
    assert caught.value.args == (4096, "read")


def test_write_across_an_uncommitted_page_leaves_what_came_before():
    memory = Memory(SIZE)
    memory.commit(0, 4096)
    with pytest.raises(AccessViolation) as caught:
        memory.write(4000, b"y" * 200)
    assert caught.value.args == (4096, "write")
    assert memory.read(4000, 96) == b"y" * 96


# -- copies -------------------------------------------------------------------------------------


def test_whole_pages_are_shared_until_one_side_writes():
    source = committed(content=b"s" * SIZE)
    target = committed()
    target.copy_from(source, 0, 0, SIZE)
    assert all(a is b for a, b in zip(source.pages, target.pages, strict=True))
    source.write32(0, 7)
    target.write32(4096, 9)
    assert source.read32(0) == 7
    assert target.read(0, 4) == b"ssss"
    assert source.read(4096, 4) == b"ssss"
    assert source.pages[2] is target.pages[2]


def test_part_of_a_page_leaves_the_rest_of_the_target_s_page():
    source = committed(content=b"s" * 8192)
    target = committed(content=b"t" * 8192)
    target.copy_from(source, 0, 0, 5000)
    assert target.read(0, 8192) == b"s" * 5000 + b"t" * 3192
    assert source.read(0, 8192) == b"s" * 8192


def test_part_of_a_page_is_shared_when_the_rest_is_equal():
    source = committed(content=b"s" * 5000)
    target = committed()
    target.copy_from(source, 0, 0, 5000)
    assert target.pages[1] is source.pages[1]
    target.write32(4096, 0)
    assert source.read(4096, 4) == b"ssss"


def test_owned_pages_are_written_in_place():
    memory = committed(content=b"a")
    page = memory.pages[0]
    memory.write(10, b"b")
    assert memory.pages[0] is page


@pytest.mark.parametrize("unaligned", [(1, 0), (0, 1), (3, 3)])
def test_unaligned_copies_are_right_too(unaligned):
    s, t = unaligned
    source = committed(content=bytes(range(256)) * 32)
    target = committed()
    target.copy_from(source, s, t, 6000)
    assert target.read(t, 6000) == source.read(s, 6000)


@pytest.mark.parametrize("hole", ["source", "target"])
def test_copy_over_an_uncommitted_page_copies_nothing(hole):
    source, target = committed(content=b"s" * SIZE), committed(content=b"t" * SIZE)
    (source if hole == "source" else target).decommit(4096, 1)
    with pytest.raises(AccessViolation) as caught:
        target.copy_from(source, 0, 0, SIZE)
    assert caught.value.args == (4096, "read" if hole == "source" else "write")
    assert target.read(0, 4096) == b"t" * 4096


def test_copy_of_nothing_does_nothing():
    Memory(SIZE).copy_from(Memory(SIZE), 0, 0, 0)


def test_fork_copy_is_another_memory_with_the_same_bytes():
    memory = committed(content=b"before")
    memory.decommit(8192, 1)
    twin = memory.fork_copy()
    memory.write(0, b"parent")
    twin.write(4096, b"child")
    assert twin.read(0, 6) == b"before"
    assert memory.read(4096, 5) == bytes(5)
    assert not twin.is_committed(8192)
    assert twin.committed_pages() == memory.committed_pages() == PAGES - 1


# -- against a model ----------------------------------------------------------------------------

places = st.integers(0, SIZE - 1)
numbers = st.integers(0, 2)
# Mostly what programs do: whole pages; besides, any range.
starts = st.sampled_from([0, 4096, 8192]) | places
lengths = st.sampled_from([0, 1, 4096, 5000, 8192, SIZE]) | st.integers(0, SIZE)
actions = st.one_of(
    st.tuples(st.just("write"), numbers, places, st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("fill"), numbers, starts, lengths),
    st.tuples(st.just("word"), numbers, places, st.integers(0, 2**32 - 1)),
    st.tuples(st.just("copy"), numbers, numbers, starts, starts, lengths),
    st.tuples(st.just("fork"), numbers, numbers),
    st.tuples(st.just("commit"), numbers, places, lengths),
    st.tuples(st.just("decommit"), numbers, places, st.integers(0, 5000)),
)


class Model:
    """Bytes and which pages are committed; what every `Memory` must look like from outside."""

    def __init__(self) -> None:
        self.content = bytearray(SIZE)
        self.pages = [True] * PAGES

    def twin(self) -> Model:
        made = Model()
        made.content[:] = self.content
        made.pages[:] = self.pages
        return made

    def touched(self, offset: int, size: int) -> range:
        return range(offset // 4096, (offset + max(size, 1) - 1) // 4096 + 1)

    def ok(self, offset: int, size: int) -> bool:
        return all(self.pages[i] for i in self.touched(offset, size))

    def decommit(self, offset: int, size: int) -> int:
        gone = [i for i in self.touched(offset, size) if i < PAGES and self.pages[i]]
        for i in gone:
            self.pages[i] = False
            self.content[i * 4096 : (i + 1) * 4096] = bytes(4096)
        return len(gone)


@given(st.lists(actions, max_size=30))
def test_memories_behave_like_separate_byte_arrays(script):
    real = [committed() for _ in range(3)]
    model = [Model() for _ in range(3)]
    for action, who, *rest in script:
        memory, wanted = real[who], model[who]
        if action in ("write", "fill", "word"):
            offset, what = rest
            if action == "word":
                offset &= -4
                content = what.to_bytes(4, "little")
            else:
                content = what if action == "write" else b"f" * what
            content = content[: SIZE - offset]
            if not content or not wanted.ok(offset, len(content)):
                continue
            if action == "word":
                memory.write32(offset, what)
            else:
                memory.write(offset, content)
            wanted.content[offset : offset + len(content)] = content
        elif action == "copy":
            other, s, t, size = rest
            size = min(size, SIZE - s, SIZE - t)
            if other == who or size == 0:
                continue
            if model[other].ok(s, size) and wanted.ok(t, size):
                memory.copy_from(real[other], s, t, size)
                wanted.content[t : t + size] = model[other].content[s : s + size]
            elif (s | t) & 4095 == 0:  # else a memcpy writes up to the first bad page
                with pytest.raises(AccessViolation):
                    memory.copy_from(real[other], s, t, size)
        elif action == "fork":
            (other,) = rest
            if other != who:
                real[other], model[other] = memory.fork_copy(), wanted.twin()
        elif action == "commit":
            offset, size = rest
            size = min(size, SIZE - offset)
            new = [i for i in wanted.touched(offset, size) if not wanted.pages[i]]
            assert memory.missing_pages(offset, size) == len(new)
            assert memory.commit(offset, size) == len(new)
            for i in new:
                wanted.pages[i] = True
        else:
            offset, size = rest
            assert memory.decommit(offset, size) == wanted.decommit(offset, size)
        for m, w in zip(real, model, strict=True):
            assert m.committed_pages() == sum(w.pages)
            for i in range(PAGES):
                assert m.is_committed(i * 4096) == w.pages[i]
                if w.pages[i]:
                    assert m.read(i * 4096, 4096) == w.content[i * 4096 : (i + 1) * 4096]


def owners(memories: list[Memory]) -> None:
    """No page that a memory says to own may be held by another."""
    for memory in memories:
        for i, page in enumerate(memory.pages):
            if memory.own[i]:
                holders = [page is other for m in memories for other in m.pages]
                assert sum(holders) == 1
                assert page is not ZERO_PAGE


@given(
    st.lists(st.tuples(numbers, numbers, st.integers(0, 2), lengths, st.booleans()), max_size=15)
)
def test_a_page_is_owned_by_one_memory_at_most(script):
    memories = [committed() for _ in range(3)]
    for source, target, page, size, write in script:
        if write:
            memories[source].write32(page * 4096, size)
        elif source != target:
            size = min(size, SIZE - page * 4096)
            memories[target].copy_from(memories[source], 0, page * 4096, size)
        owners(memories)


def test_a_page_whose_sharer_has_gone_is_written_in_place():
    first, second = Memory.zeroed(PAGE_BYTES), Memory.zeroed(PAGE_BYTES)
    first.write32(0, 7)
    second.copy_from(first, 0, 0, PAGE_BYTES)
    shared = id(second.pages[0])
    second.write32(4, 8)
    assert id(second.pages[0]) != shared  # the first still has it
    third = Memory.zeroed(PAGE_BYTES)
    third.copy_from(first, 0, 0, PAGE_BYTES)
    del first
    third.write32(4, 9)
    assert (id(third.pages[0]), third.read32(0), third.read32(4)) == (shared, 7, 9)
