"""Places of the heap against what can be in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.cygwin.placement import (
    CHILD,
    FATES,
    FINE,
    FIRST,
    GROWTH,
    MISHAPS,
    REMEDIES,
    fate,
    heap_range,
    slots,
    slots_hit,
)

BY_NAME = {r.name: r for r in REMEDIES}
WANTED = {
    "fixed": {"at-the-heap": CHILD, "low-memory": CHILD},
    "os-chosen": {"at-the-heap": CHILD, "lowest-memory": CHILD},
    "after-dll": {
        "dll-behind": FIRST,
        "dll-behind-child": CHILD,
        "dll-behind-grows": FIRST,
        "at-the-heap": CHILD,
    },
    "inside-image": {"dll-behind-grows": GROWTH, "at-the-heap": CHILD, "dll-moved": CHILD},
    "0x800000000": {"at-the-heap": CHILD},
}


@pytest.mark.parametrize("name", WANTED)
def test_fates(name):
    found = {m.name: fate(BY_NAME[name], m) for m in MISHAPS}
    assert found == {m.name: FINE for m in MISHAPS} | WANTED[name]
    assert set(found.values()) <= set(FATES)


def test_places_are_those_of_the_releases():
    assert heap_range(BY_NAME["fixed"])[0] == 0x12010000
    assert heap_range(BY_NAME["after-dll"])[0] == 0x61100000
    assert heap_range(BY_NAME["0x800000000"]) == (0x800000000, 0xA00000000)


def test_a_dll_hits_the_place_behind_in_20_of_1024_slots():
    """CYGWIN.md §d: 5,107,712 bytes are 20 slots of 256 KiB."""
    behind = BY_NAME["after-dll"]
    assert slots_hit(behind, True) == slots_hit(behind, False) == 20
    assert 1024 - len(slots(behind)) == 4  # on the DLL itself
    half = replace(behind, reserve_bytes=behind.reserve_bytes // 2)
    assert slots_hit(half, True) == 10


@pytest.mark.parametrize("name", set(WANTED) - {"after-dll"})
def test_no_slot_hits_the_other_places(name):
    assert slots_hit(BY_NAME[name], True) == slots_hit(BY_NAME[name], False) == 0


@pytest.mark.parametrize("remedy", REMEDIES, ids=lambda r: r.name)
def test_without_a_mishap_all_is_fine(remedy):
    nothing = replace(MISHAPS[0], size_bytes=0)
    assert fate(remedy, nothing) == FINE
