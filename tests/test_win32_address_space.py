"""Reservations, views and images in one address space: what fits where, and the errors."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.win32.address_space import AddressSpace, Region
from models.win32.errors import AccessViolation, Win32Error
from models.win32.image import Part, load
from models.win32.memory import PAGE_BYTES
from models.win32.objects import Section
from models.win32.system import NT, WIN9X

GRAIN = 65536
CYGHEAP_9X = 0x61100000


@pytest.fixture
def space() -> AddressSpace:
    return AddressSpace(NT)


def refused(code: int, call, *arguments):
    with pytest.raises(Win32Error) as caught:
        call(*arguments)
    assert caught.value.code == code
    return caught.value


# -- reserve ------------------------------------------------------------------------------------


def test_wanted_address_goes_down_to_64_kib_and_the_end_up_to_a_page(space):
    region = space.reserve(0x20012345, 1)
    assert region.base == 0x20010000
    assert region.end == 0x20013000
    region = space.reserve(0x30000000, 4097)
    assert (region.base, region.size_bytes) == (0x30000000, 8192)


def test_system_chooses_the_lowest_fit_on_64_kib(space):
    first = space.reserve(0, 100)
    second = space.reserve(0, 100)
    assert (first.base, first.size_bytes) == (NT.lowest, PAGE_BYTES)
    assert second.base == NT.lowest + GRAIN
    space.remove(first)
    assert space.reserve(0, GRAIN).base == NT.lowest
    assert space.reserve(0, 2 * GRAIN).base == NT.lowest + 2 * GRAIN


def test_a_hole_that_is_too_small_is_passed_over(space):
    space.reserve(0x20000, GRAIN)
    assert space.reserve(0, GRAIN + 1).base == 0x30000
    assert space.reserve(0, GRAIN).base == 0x10000


def test_overlap_is_487_and_names_what_is_there(space):
    space.reserve(0x61100000, 5 << 20, "cygheap")
    for address, size in (
        (0x61100000, 1),
        (0x610F0000, GRAIN + 1),
        (0x61400000, 4096),
        (0x61000000, 1 << 28),
    ):
        error = refused(487, space.reserve, address, size)
        assert "cygheap" in str(error)
    assert len(space.regions()) == 1


def test_ranges_that_only_touch_do_not_overlap(space):
    space.reserve(0x20000000, GRAIN)
    space.reserve(0x20010000, GRAIN)
    space.reserve(0x1FFF0000, GRAIN)
    assert [region.base for region in space.regions()] == [0x1FFF0000, 0x20000000, 0x20010000]


def test_address_inside_the_grain_of_a_neighbour_is_taken(space):
    """The rest of a 64 KiB block behind a small region is free, but nothing can begin there."""
    space.reserve(0x20000000, 4096)
    refused(487, space.reserve, 0x20008000, 4096)


@pytest.mark.parametrize("size", [0, -1])
def test_size_must_be_positive(space, size):
    refused(87, space.reserve, 0x20000000, size)


@pytest.mark.parametrize(
    "address, size", [(1, 1), (0x7FFE0000, 1), (0x7FFD0000, 2 * GRAIN), (0xFFFF0000, 1)]
)
def test_address_out_of_range_is_87(space, address, size):
    refused(87, space.reserve, address, size)


def test_nothing_large_enough_is_8(space):
    refused(8, space.reserve, 0, 0x7FFE0000)
    space.reserve(0x10000, 0x40000000)
    refused(8, space.reserve, 0, 0x40000000)


# -- views --------------------------------------------------------------------------------------


def test_two_views_show_the_same_bytes(space):
    section = Section(2 * PAGE_BYTES)
    section.memory.commit(0, 1)
    first = space.map_view(section, 0)
    second = AddressSpace(NT).map_view(section, 0x61100000)
    assert first.memory is second.memory is section.memory
    assert section.views == 2
    first.memory.write(10, b"seen")
    assert second.memory.read(10, 4) == b"seen"


@pytest.mark.parametrize("address", [0x61101000, 0x61100001, 4])
def test_view_off_64_kib_is_1132(space, address):
    refused(1132, space.map_view, Section(4096), address)


def test_view_over_a_region_is_487_and_leaves_the_section_alone(space):
    section = Section(2 * GRAIN)
    space.reserve(0x20010000, 1)
    refused(487, space.map_view, section, 0x20000000)
    assert section.views == 0


def test_9x_puts_views_above_2_gb_and_nowhere_else():
    space = AddressSpace(WIN9X)
    section = Section(4096)
    refused(487, space.map_view, section, CYGHEAP_9X)
    assert space.map_view(section, 0).base >= 0x80000000
    assert space.reserve(CYGHEAP_9X, 4096).base == CYGHEAP_9X


def test_nt_puts_views_where_private_memory_can_be(space):
    assert space.map_view(Section(4096), CYGHEAP_9X).base == CYGHEAP_9X


# -- find ---------------------------------------------------------------------------------------


def test_memory_at_gives_memory_and_offset(space):
    region = space.reserve(0x20000000, 2 * PAGE_BYTES)
    assert space.memory_at(0x20000000) == (region.memory, 0)
    assert space.memory_at(0x20001FFF) == (region.memory, 0x1FFF)


@pytest.mark.parametrize("address", [0x1FFFFFFF, 0x20002000, 0, 0xFFFFFFFF])
def test_free_address_is_an_access_violation(space, address):
    space.reserve(0x20000000, 2 * PAGE_BYTES)
    with pytest.raises(AccessViolation) as caught:
        space.memory_at(address, "write")
    assert caught.value.args == (address, "write")


def test_parts_of_an_image_are_regions_like_any_other(space):
    parts = (
        Part(0x400000, 0x10000, "program"),
        Part(0x410000, 0x3000, "program data", writable=True),
        Part(0x61000000, 0xFB000, "cygwin1.dll"),
    )
    assert load(parts, space) == 3
    refused(487, space.reserve, 0x61000000, 5 << 20)
    with pytest.raises(AccessViolation):
        space.memory_at(0x400000)
    assert space.memory_at(0x410000)[0].committed_pages() == 3


def test_overlapping_parts_cannot_be_loaded(space):
    parts = (Part(0x400000, 0x2000, "a"), Part(0x401000, 0x1000, "b"))
    refused(487, load, parts, space)


# -- random -------------------------------------------------------------------------------------

BASE, SPAN = 0x20000000, 16 * GRAIN
addresses = st.integers(0, SPAN - 1).map(lambda n: BASE + n)
sizes = st.integers(1, 3 * GRAIN)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("reserve"), addresses | st.just(0), sizes),
            st.tuples(st.just("view"), addresses.map(lambda a: a & -GRAIN) | st.just(0), sizes),
            st.tuples(st.just("remove"), st.integers(0, 30), st.just(0)),
        ),
        max_size=25,
    )
)
def test_regions_stay_disjoint_sorted_and_aligned(script):
    space = AddressSpace(NT)
    pages: dict[int, Region] = {}
    for action, address, size in script:
        if action == "remove":
            regions = space.regions()
            if regions:
                gone = regions[address % len(regions)]
                space.remove(gone)
                pages = {page: region for page, region in pages.items() if region is not gone}
            continue
        base = address & -GRAIN
        wanted = range(base // PAGE_BYTES, (address + size + PAGE_BYTES - 1) // PAGE_BYTES)
        free = not any(page in pages for page in wanted)
        try:
            made = (
                space.reserve(address, size)
                if action == "reserve"
                else space.map_view(Section(size), address)
            )
        except Win32Error as error:
            refused = (error.code, bool(address), free)
            assert refused == (487, True, False)
            continue
        assert free or not address
        assert made.base % GRAIN == 0
        assert made.size_bytes % PAGE_BYTES == 0
        assert made.size_bytes >= size
        for page in range(made.base // PAGE_BYTES, made.end // PAGE_BYTES):
            assert page not in pages
            pages[page] = made
    regions = space.regions()
    assert all(a.end <= b.base for a, b in itertools.pairwise(regions))
    for page in range(BASE // PAGE_BYTES - 1, (BASE + SPAN) // PAGE_BYTES + 1):
        assert space.find(page * PAGE_BYTES) is pages.get(page)
