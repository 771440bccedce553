"""Addresses by ld's rule, overlaps, room for the heap, messages, and the smallest move."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin import layout_risk
from models.cygwin.auto_image_base import RULES, Rule
from models.cygwin.cygheap.layout import A, B
from models.cygwin.layout_check import check_reports, check_spaces
from models.cygwin.layout_moves import smallest_moves
from models.cygwin.layout_ranges import LOWEST, Range, degrees, nearest_place, overlaps
from models.cygwin.listing import Listing, read_listing
from models.cygwin.listing_entries import ListedImage, Space
from sim.estimators import proportion_interval

DATA = Path(__file__).parent / "data" / "layout"
MSYS_HEAP_BYTES = 5_139_308
GRAIN = 0x10000


def rows(name):
    text = (DATA / name).read_text(encoding="utf-8")
    return [line.split(",") for line in text.splitlines() if line and line[0] != "#"]


def checked(*images, era=None, heap_size=None, more=()):
    """The verdict on the first of some spaces, images as (name, base, size)."""
    spaces = [Space("", tuple(ListedImage(*image) for image in s)) for s in (images, *more)]
    return check_spaces(Listing("x", "", tuple(spaces)), era, heap_size)


# -- ld's rule --------------------------------------------------------------------------------

HEAD, *REAL_32_AND_64 = rows("ld_auto_image_base.csv")
REAL = [
    (row[0], rule, row[column])
    for row in REAL_32_AND_64
    for column, rule in enumerate(HEAD[1:], start=1)
] + [(name, "x86_64", address) for name, address in rows("auto_image_base_cygwin64.csv")]


@pytest.mark.parametrize(("name", "rule", "address"), REAL)
def test_an_address_is_the_linker_s(name, rule, address):
    assert RULES[rule].address(name) == int(address, 16)


def test_every_address_of_the_perl_listing_follows_from_a_name():
    names = {row[0].split("/")[-1]: row[0] for row in rows("auto_image_base_cygwin64.csv")}
    for image in read_listing(DATA / "perl5-22104-rebase-i.txt").spaces[0].images:
        assert RULES["x86_64"].address(names[image.short_name]) == image.base


def test_one_letter_changes_the_address_and_so_does_a_folder():
    rule = RULES["mingw32"]
    assert len({rule.address(name) for name in ("foo.dll", "fop.dll", "x/foo.dll")}) == 3


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_rules_have_their_slots(rule):
    assert rule.slots * rule.slot_bytes == rule.mask + rule.slot_bytes
    assert (rule.slots, rule.slot_bytes) in [(1024, 0x40000), (131_072, GRAIN)]


@pytest.mark.parametrize(("letters", "even"), [(3, False), (6, True), (9, True)])
def test_longer_names_spread_evenly(letters, even):
    """Pearson's statistic over 1,024 slots: mean 1,023, standard deviation 45."""
    rule, count = RULES["2001"], np.zeros(1024)
    for word in np.random.default_rng(1).integers(97, 123, size=(20_000, letters), dtype=np.uint8):
        address = rule.address(b"cyg" + word.tobytes() + b".dll")
        count[(address - rule.base) // rule.slot_bytes] += 1
    expected = count.sum() / rule.slots
    statistic = ((count - expected) ** 2 / expected).sum()
    assert bool(statistic < 1023 + 5 * 45.2) is even


# -- overlaps ---------------------------------------------------------------------------------


def test_the_overlap_of_the_perl_listing_is_found():
    (verdict,) = check_spaces(read_listing(DATA / "perl5-22104-rebase-i.txt"))
    (overlap,) = verdict.overlaps
    assert (overlap.first.short_name, overlap.second.short_name) == (
        "cygperl5_39_10.dll",
        "mro.dll",
    )
    assert overlap.shared == Range(0x41E510000, 0x41E510000 + 0x2C000)
    assert not verdict.fits
    assert verdict.messages == [
        "child_info_fork::abort: address space needed by 'mro.dll' (0x41E510000) is already "
        "occupied"
    ]


@pytest.mark.parametrize(
    "name", ["babun-477-cygwin32-rebaseall.txt", "msysgit-311-msys1-rebaseall.txt"]
)
def test_a_rebased_listing_has_no_overlap(name):
    (verdict,) = check_spaces(read_listing(DATA / name))
    assert verdict.fits
    assert verdict.moves == []


ranges = st.lists(
    st.tuples(st.integers(1, 60), st.integers(1, 9)).map(
        lambda t: Range(t[0] * GRAIN, t[0] * GRAIN + t[1] * 0x5000)
    ),
    max_size=12,
)


@given(ranges)
def test_overlaps_and_degrees_agree_with_all_pairs(found):
    pairs = {
        frozenset((i, j))
        for i, j in itertools.combinations(range(len(found)), 2)
        if found[i].base < found[j].end and found[j].base < found[i].end
    }
    assert {frozenset(pair) for pair in overlaps(found, 1000)} == pairs
    assert [int(d) for d in degrees(found)] == [
        sum(i in pair for pair in pairs) for i in range(len(found))
    ]


@given(ranges, st.integers(1, 60), st.integers(1, 9))
def test_nearest_place_agrees_with_a_look_at_all_places(taken, base, size):
    base, size, low, high = base * GRAIN, size * 0x5000, GRAIN, 64 * GRAIN
    free = [
        place
        for place in range(low, high - size + 1, GRAIN)
        if all(place + size <= r.base or place >= r.end for r in taken)
    ]
    best = min(free, key=lambda place: (abs(place - base), -place), default=None)
    assert nearest_place(taken, base, size, low, high) == best


@given(ranges)
def test_after_the_moves_nothing_overlaps(found):
    moves = smallest_moves(found, None, None, None)
    now = list(found)
    for number, base, to in moves:
        assert now[number].base == base
        assert to % GRAIN == 0
        assert to >= LOWEST
        now[number] = Range(to, to + now[number].end - base)
    assert not degrees(now).any()
    assert bool(moves) == bool(degrees(found).any())


@given(ranges.filter(lambda found: len(overlaps(found, 99)) == 1))
def test_a_single_overlap_needs_the_shortest_move_of_all(found):
    shortest = []
    for number in {i for pair in overlaps(found, 9) for i in pair}:
        others = [r for i, r in enumerate(found) if i != number]
        size = found[number].end - found[number].base
        for to in range(LOWEST, 200 * GRAIN, GRAIN):
            if all(to + size <= r.base or to >= r.end for r in others):
                shortest.append(abs(to - found[number].base))
    (move,) = smallest_moves(found, None, None, None)
    assert abs(move.to - move.base) == min(shortest)


def test_a_thousand_dlls_at_one_place_are_counted_and_not_moved():
    (verdict,) = checked(*((f"{n}.dll", 0x10000000, GRAIN) for n in range(1000)))
    assert verdict.overlaps_total == 1000 * 999 // 2
    assert len(verdict.overlaps) == 10_000
    assert verdict.moves is None


# -- the heap ---------------------------------------------------------------------------------

DLL = ("C:\\bin\\cygwin1.dll", 0x61000000, 0x100000)


def test_an_image_in_the_heap_s_place_is_refused_with_the_words_of_the_time():
    (verdict,) = checked(DLL, ("foo.dll", 0x61300000, 0x40000), era="B")
    assert not verdict.fits
    assert [image.name for image in verdict.blockers] == ["foo.dll"]
    assert verdict.room == Range(0x61100000, 0x61300000)
    assert verdict.messages == [
        "AllocationBase 0x0, BaseAddress 0x61100000, RegionSize 0x200000, State 0x10000",
        "PROG: *** Couldn't reserve space for cygwin's heap, Win32 error 0",
    ]
    assert [(m.image.name, m.to) for m in verdict.moves] == [("foo.dll", 0x615E0000)]


@pytest.mark.parametrize("base", [0x615E0000, 0x60FC0000, 0x10000000])
def test_an_image_beside_the_heap_does_no_harm(base):
    (verdict,) = checked(DLL, ("foo.dll", base, 0x40000), era="B")
    assert verdict.fits
    assert verdict.moves == []
    assert verdict.messages == []


def test_the_heap_needs_whole_pages_and_not_more():
    end = 0x61100000 + ((B.cygheapsize + 0xFFF) & ~0xFFF)
    for base, fits in ((end, True), (end - 0x1000, False)):
        (verdict,) = checked(DLL, ("foo.dll", base, 0x40000), era="B")
        assert verdict.heap_fits is fits


def test_the_real_release_has_a_gap_in_which_a_dll_does_no_harm():
    real = ("cygwin1.dll", 0x61000000, 0xFB000)
    harmless, late = ("foo.dll", 0x61300000, 0x40000), ("foo.dll", 0x61700000, 0x40000)
    assert checked(real, harmless)[0].fits
    assert not checked(real, late)[0].fits
    assert not checked(real, harmless, era="B")[0].fits
    assert checked(real, late)[0].heap.base == 0x614E0000


@pytest.mark.parametrize("folder", ["cygwin-1.3.3", "msys-1.0.12"])
def test_the_words_are_those_of_the_call_log(folder):
    """A DLL right at the heap's place: what the real program printed, first process and child."""
    dll = {"cygwin-1.3.3": ("cygwin1.dll", 0x61000000, 0xFB000),
           "msys-1.0.12": ("msys-1.0.dll", 0x68000000, 0x10B000)}[folder]  # fmt: skip
    heap = {"cygwin-1.3.3": 0x614E0000, "msys-1.0.12": 0x68570000}[folder]
    first = {
        "cygwin-1.3.3": "AllocationBase 0x614E0000, BaseAddress 0x614E0000, RegionSize 0x1000, "
        "State 0x1000",
        "msys-1.0.12": "AllocationBase 0x68570000, BaseAddress 0x68570000, RegionSize 0x1000, "
        "State 0x1000",
    }[folder]
    (verdict,) = checked(dll, ("colat.dll", heap, 0x1000))
    last = "PROG: *** Couldn't reserve space for cygwin's heap, Win32 error 0"
    assert verdict.messages == [first, last]
    assert verdict.child_messages[0] == "m." + first.replace(", ", ", m.")
    assert verdict.child_messages[1].startswith(
        f"PROG: *** Couldn't reserve space for cygwin's heap (0x{heap:X} <"
    )


def test_cygwin_itself_moves_where_that_is_one_move_instead_of_two():
    blockers = [("a.dll", 0x61300000, 0x40000), ("b.dll", 0x61400000, 0x40000)]
    (verdict,) = checked(DLL, *blockers, era="B")
    ((move),) = verdict.moves
    assert move.image.name == DLL[0]
    (again,) = checked((DLL[0], move.to, DLL[2]), *blockers, era="B")
    assert again.fits
    for shorter in range(GRAIN, abs(move.to - DLL[1]), GRAIN):
        for to in (DLL[1] - shorter, DLL[1] + shorter):
            assert not checked((DLL[0], to, DLL[2]), *blockers, era="B")[0].fits


def test_a_heap_that_would_reach_past_the_user_half_is_refused():
    (verdict,) = checked((DLL[0], 0x7FC00000, 0x100000), era="B")
    assert not verdict.fits
    ((move),) = verdict.moves
    assert checked((DLL[0], move.to, 0x100000), era="B")[0].fits


def test_an_overlap_with_cygwin_s_own_dll_is_one():
    (verdict,) = checked(DLL, ("foo.dll", 0x61080000, 0x10000), era="B")
    assert verdict.overlaps_total == 1
    assert verdict.heap_fits
    assert not verdict.fits
    assert verdict.messages == [
        "PROG: *** unable to remap foo.dll to same address as parent -- ADDRESS"
    ]


def test_in_era_a_the_first_process_cannot_collide_and_a_child_can():
    exe = ("a.exe", 0x400000, 0x80000)
    other = ("big.exe", 0x400000, 0x200000)
    first, child = checked(exe, DLL, era="A", more=[(other, DLL)])
    assert first.fits
    assert first.heap.base == 0x480000
    assert first.plan.size_bytes == A.cygheapsize
    assert not child.fits
    assert child.messages == [
        "PROG: *** Couldn't reserve space for cygwin's heap (0x480000) in child, cygheap, "
        "Win32 error 0"
    ]
    assert checked(other, DLL, era="A", more=[(exe, DLL)])[1].fits


def test_a_heap_size_of_one_s_own_is_taken():
    foo = ("foo.dll", 0x61300000, 0x40000)
    assert checked(DLL, foo, era="B", heap_size=0x200000)[0].fits
    assert not checked(DLL, foo, era="B", heap_size=0x200001)[0].fits


def test_the_modern_heap_has_a_window_of_its_own():
    dll = ("msys-2.0.dll", 0x210040000, 0x300000)
    assert checked(dll, ("a.dll", 0x7FFFF0000, 0x10000))[0].fits
    (verdict,) = checked(dll, ("a.dll", 0x7FFFF0000, 0x20000))
    assert not verdict.fits
    ((move),) = verdict.moves
    assert move.to == 0x7FFFE0000


def test_the_dll_of_a_log_without_sizes_is_as_large_as_the_release_s():
    (verdict,) = checked(("cygwin1.dll", 0x61000000, None), ("a.dll", 0x61000000, None))
    assert verdict.overlaps_total == 1
    assert verdict.heap.base == 0x61100000


# -- the real failures --------------------------------------------------------------------------

FAILURES = rows("init_cheap_failures.csv")


@pytest.mark.parametrize("row", FAILURES[1:], ids=lambda row: row[3])
def test_a_real_failure_is_refused_and_a_heap_that_fits_is_not(row):
    real = dict(zip(FAILURES[0], row, strict=True))
    heap, room = int(real["base_address"], 16), int(real["region_size"], 16)
    dll = ("msys-1.0.dll", heap - 0x570000, 0x10B000)
    blocker = ("blocker.dll", heap + room, 0x10000)
    (verdict,) = checked(dll, blocker)
    assert not verdict.fits
    assert verdict.plan.size_bytes == MSYS_HEAP_BYTES
    assert verdict.messages[0] == (
        f"AllocationBase 0x0, BaseAddress 0x{heap:X}, RegionSize 0x{room:X}, State 0x10000"
    )
    assert checked(dll, blocker, heap_size=room)[0].fits
    assert not checked(dll, blocker, heap_size=room + 1)[0].fits


def test_the_table_of_failures_says_the_same():
    reports = read_listing(DATA / "init_cheap_failures.csv").reports
    assert not any(v.fits for v in check_reports(reports, heap_size=MSYS_HEAP_BYTES))
    for report in reports:
        (fits,) = check_reports([report], heap_size=report.size_bytes)
        assert fits.fits
        (short,) = check_reports([report], heap_size=report.size_bytes + 1)
        assert short.missing_bytes == GRAIN


# -- risk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dlls", [1, 2, 8, 20])
@pytest.mark.parametrize("rule", ["2001", "i686", "x86_64", "mingw32"])
def test_the_drawn_share_covers_the_counted_probability(dlls, rule):
    size = 0x50000 if RULES[rule].slots == 1024 else 0x4000000
    found = layout_risk.simulate(RULES[rule], dlls, size, 40_000, 5)
    exact = [
        layout_risk.exact_any(RULES[rule], dlls, size),
        layout_risk.exact_each_other(RULES[rule], dlls, size),
        layout_risk.exact_zone(RULES[rule], dlls, size, 1),
        layout_risk.exact_zone(RULES[rule], dlls, size, 0),
    ]
    hits = (found.any, found.each_other, found.heap, found.cygwin)
    for probability, n in zip(exact, hits, strict=True):
        share = proportion_interval(n, 40_000, 0.9999)
        assert share.low <= probability <= share.high


def test_the_counted_probability_agrees_with_all_placements():
    rule = Rule("whole", 0x60A00000, 0x00FC0000, heap_follows_dll=True)
    size = 0x50000
    dll, heap = layout_risk.cygwin_zones(rule)
    bases = [rule.base + n * rule.slot_bytes for n in range(rule.slots)]
    bad = total = 0
    assert len([b for b in bases if b + size <= dll.base]) > 3
    for placed in itertools.product(bases, repeat=2):
        taken = [Range(base, base + size) for base in placed]
        total += 1
        bad += bool(degrees(taken).any()) or any(
            r.base < z.end and z.base < r.end for r in taken for z in (dll, heap)
        )
    assert layout_risk.exact_any(rule, 2, size) == pytest.approx(bad / total, abs=1e-12)


def test_the_heap_alone_takes_about_two_percent_of_the_slots():
    assert layout_risk.exact_zone(RULES["2001"], 1, 0x40000, 1) == 20 / 1024


def test_more_dlls_than_fit_always_collide():
    found = layout_risk.simulate(RULES["2001"], 1025, 1, 20, 1)
    assert found.any == found.each_other == 20
    assert layout_risk.exact_each_other(RULES["2001"], 1025, 1) == 1.0


def test_the_same_seed_draws_the_same_and_more_replications_go_on():
    args = (RULES["2001"], 8, 0x40000)
    once = layout_risk.simulate(*args, 1000, 3)
    assert layout_risk.simulate(*args, 1000, 3) == once
    assert layout_risk.simulate(*args, 1000, 4) != once
