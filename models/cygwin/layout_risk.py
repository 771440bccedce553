"""How likely DLLs that are linked with --enable-auto-image-base collide.

The rule puts each DLL of a process into one of its slots.  Names of five letters and more spread
evenly over them, which is assumed here; among names that differ in three letters alone two share
a slot 2.4 times as often (`test_longer_names_spread_evenly`).

DLLs collide with each other, and under the 32-bit rules with Cygwin's own DLL and with the heap
that era B keeps right behind it.  All are of one size here, for which the probability is also
counted exactly: sets of slots far enough apart, in the runs of slots that keep clear of the heap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.cygwin.auto_image_base import Rule
from models.cygwin.cygheap.layout import B
from models.cygwin.layout_ranges import Range, up
from models.cygwin.version import Version
from models.win32.memory import PAGE_BYTES
from sim.streams import Replication

STREAM = "cygwin/auto-image-base"
_DRAWS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Collisions:
    """In how many of `replications` something happened. Every field is *output*.

    any: at least one of the others; each_other: two DLLs share an address; heap: one lies in the
    heap's place; cygwin: one lies on Cygwin's own DLL
    """

    replications: int
    any: int
    each_other: int
    heap: int
    cygwin: int


def cygwin_zones(rule: Rule) -> tuple[Range, Range] | None:
    """(Cygwin's own DLL, the heap of era B behind it) for a rule whose programs have both."""
    if not rule.heap_follows_dll:
        return None
    base = Version.dll_base
    heap = up(base + Version.dll_bytes)
    heap_bytes = (B.cygheapsize + PAGE_BYTES - 1) & -PAGE_BYTES
    return Range(base, base + Version.dll_bytes), Range(heap, heap + heap_bytes)


def simulate(rule: Rule, dlls: int, size_bytes: int, replications: int, seed: int) -> Collisions:
    """Draw the slots of `dlls` DLLs of one process, `replications` times."""
    stream = Replication(seed, 0).stream(STREAM)
    rows = max(1, _DRAWS_AT_ONCE // dlls)
    apart = _slots_apart(rule, size_bytes)
    zones = cygwin_zones(rule)
    counts = np.zeros(4, dtype=np.int64)
    done = 0
    while done < replications:
        count = min(rows, replications - done)
        slots = stream.integers(rule.slots, size=(rows, dlls))[:count]
        slots.sort(axis=1)
        met = (np.diff(slots, axis=1) < apart).any(axis=1)
        on_heap = _any_in(rule, slots, size_bytes, zones[1] if zones else None)
        on_dll = _any_in(rule, slots, size_bytes, zones[0] if zones else None)
        happened = (met | on_heap | on_dll, met, on_heap, on_dll)
        counts += [int(flags.sum()) for flags in happened]
        done += count
    return Collisions(replications, *(int(n) for n in counts))


def exact_any(rule: Rule, dlls: int, size_bytes: int) -> float:
    """Probability that DLLs collide with each other, the heap, or Cygwin's DLL."""
    zones = cygwin_zones(rule)
    return _collision(rule, dlls, size_bytes, list(zones) if zones else [])


def exact_each_other(rule: Rule, dlls: int, size_bytes: int) -> float:
    """Probability that two of the DLLs share an address."""
    return _collision(rule, dlls, size_bytes, [])


def exact_zone(rule: Rule, dlls: int, size_bytes: int, zone: int) -> float:
    """Probability that one lies in a zone: 0 Cygwin's DLL, 1 the heap."""
    zones = cygwin_zones(rule)
    if zones is None:
        return 0.0
    free = sum(last - first for first, last in _runs(rule, size_bytes, [zones[zone]]))
    return _share(rule.slots**dlls - free**dlls, rule.slots**dlls)


def _slots_apart(rule: Rule, size_bytes: int) -> int:
    return -(-size_bytes // rule.slot_bytes)


def _any_in(
    rule: Rule, slots: npt.NDArray[np.int64], size_bytes: int, zone: Range | None
) -> npt.NDArray[np.bool_]:
    if zone is None:
        return np.zeros(len(slots), dtype=np.bool_)
    first, last = _barred(rule, size_bytes, zone)
    found: npt.NDArray[np.bool_] = np.any((slots >= first) & (slots < last), axis=1)
    return found


def _barred(rule: Rule, size_bytes: int, zone: Range) -> tuple[int, int]:
    """Slots [first, last) from which a DLL reaches into the zone."""
    first = (zone.base - size_bytes - rule.base) // rule.slot_bytes + 1
    last = -((rule.base - zone.end) // rule.slot_bytes)
    clip = [min(max(slot, 0), rule.slots) for slot in (first, last)]
    return clip[0], clip[1]


def _runs(rule: Rule, size_bytes: int, zones: list[Range]) -> list[tuple[int, int]]:
    """Runs [first, last) of slots from which a DLL keeps clear of all zones."""
    runs, at = [], 0
    for first, last in sorted(_barred(rule, size_bytes, zone) for zone in zones):
        if first == last:
            continue
        if first > at:
            runs.append((at, first))
        at = max(at, last)
    return [*runs, (at, rule.slots)]


def _collision(rule: Rule, dlls: int, size_bytes: int, zones: list[Range]) -> float:
    """1 - P(no two closer than a DLL's length, none reaches into a zone)."""
    apart = _slots_apart(rule, size_bytes)
    if (dlls - 1) * apart >= rule.slots:
        return 1.0
    runs = _runs(rule, size_bytes, zones)  # they lie farther apart than a DLL is long
    ways = [1] + [0] * dlls  # by number of DLLs placed in the runs so far
    for first, last in runs[:-1]:
        own = [_spread(last - first, n, apart) for n in range(dlls + 1)]
        ways = [sum(ways[i] * own[n - i] for i in range(n + 1)) for n in range(dlls + 1)]
    rest = runs[-1][1] - runs[-1][0]
    good = sum(ways[i] * _spread(rest, dlls - i, apart) for i in range(dlls + 1) if ways[i])
    every: int = rule.slots**dlls
    return _share(every - good * math.factorial(dlls), every)


def _share(part: int, whole: int) -> float:
    """Quotient of two whole numbers of any length, rounded once."""
    return part / whole


def _spread(slots: int, dlls: int, apart: int) -> int:
    """Sets of `dlls` slots out of a row of `slots`, neighbours at least `apart` from each other."""
    if dlls == 0:
        return 1
    room = slots - (dlls - 1) * (apart - 1)
    return math.comb(room, dlls) if room >= dlls else 0
