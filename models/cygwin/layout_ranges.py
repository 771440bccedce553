"""Taken ranges of an address space that need not be disjoint: overlaps, and where there is room.

A listing may say that two images lie in the same place, which a real address space refuses; so
these are arrays of ranges, not an `AddressSpace`.  Addresses are below 2^47, sizes above 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.win32.memory import ALLOCATION_GRANULARITY
from models.win32.system import NT

GRAIN = ALLOCATION_GRANULARITY
LOWEST = NT.lowest
HIGHEST_32 = NT.highest
HIGHEST_64 = 0x7FFF_FFFE_0000  # user half of a 64-bit process, the last 64 KiB apart

Integers = npt.NDArray[np.int64]


class Range(NamedTuple):
    """From `base` up to `end`, which is no longer part of it."""

    base: int
    end: int


def highest_for(end: int) -> int:
    """One past the last address that a process with something up to `end` can use."""
    return HIGHEST_32 if end <= 1 << 32 else HIGHEST_64


def overlaps(ranges: Sequence[Range], most: int) -> list[tuple[int, int]]:
    """Pairs of positions in `ranges` that share an address, by address; at most `most` of them.

    The first of a pair is the one with the lower base.
    """
    order = sorted(range(len(ranges)), key=lambda i: (ranges[i], i))
    found: list[tuple[int, int]] = []
    for place, i in enumerate(order):
        for j in order[place + 1 :]:
            if ranges[j].base >= ranges[i].end:
                break
            found.append((i, j))
            if len(found) == most:
                return found
    return found


def degrees(ranges: Sequence[Range]) -> Integers:
    """How many others each range overlaps."""
    bases, ends = _columns(ranges)
    begun = np.searchsorted(np.sort(bases), ends, side="left")
    over = np.searchsorted(np.sort(ends), bases, side="right")
    result: Integers = begun - over - 1
    return result


def gaps(ranges: Sequence[Range], low: int, high: int) -> Iterator[Range]:
    """The free ranges between `low` and `high`, by address."""
    at = low
    for base, end in sorted(ranges):
        if base > at:
            yield Range(at, min(base, high))
        at = max(at, end)
        if at >= high:
            return
    yield Range(at, high)


def lowest_place(ranges: Sequence[Range], size_bytes: int, low: int, high: int) -> int | None:
    """The lowest 64 KiB boundary with that much room behind it; None if there is none."""
    for base, end in gaps(ranges, low, high):
        place = up(base)
        if end - place >= size_bytes:
            return place
    return None


def nearest_place(
    ranges: Sequence[Range], base: int, size_bytes: int, low: int, high: int
) -> int | None:
    """The 64 KiB boundary nearest to `base` with that much room, the higher of two; else None."""
    best: int | None = None
    for start, end in gaps(ranges, low, high):
        first, last = up(start), down(end - size_bytes)
        if first > last:
            continue
        for place in (min(max(down(base), first), last), min(max(up(base), first), last)):
            if best is None or (abs(place - base), -place) < (abs(best - base), -best):
                best = place
        if start > base and best is not None:  # later gaps are farther away
            break
    return best


def up(address: int) -> int:
    """The next 64 KiB boundary."""
    return (address + GRAIN - 1) & -GRAIN


def down(address: int) -> int:
    """The 64 KiB boundary before."""
    return address & -GRAIN


def _columns(ranges: Sequence[Range]) -> tuple[Integers, Integers]:
    table = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
