"""The smallest moves after which nothing in an address space overlaps.

An image that is in the way of most others is moved first, to the nearest 64 KiB boundary at which
it fits; where two are equally in the way, the one with the shorter way.  For a single overlap this
is the shortest move there is (`tests/test_cygwin_layout.py` holds it against all places).  Cygwin's
DLL is moved, with its heap, only where that is less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.cygwin.layout_heap import HeapPlan
from models.cygwin.layout_ranges import LOWEST, Range, degrees, highest_for, nearest_place

MOST_CONFLICTS = 500  # images in the way; beyond that every DLL has to be laid out anew
_MOST_TIES = 8


class Move(NamedTuple):
    """Image number `image` of the space goes from `base` to `to`."""

    image: int
    base: int
    to: int


Moves = list[Move]


def smallest_moves(
    ranges: Sequence[Range], dll: int | None, plan: HeapPlan | None, heap: Range | None
) -> Moves | None:
    """Moves that make room; [] where nothing overlaps, None if none were found.

    `dll` is the position of Cygwin's DLL in `ranges`, `heap` what its heap takes.
    """
    fixed = [] if heap is None else [heap]
    if heap is not None and heap.end > (highest := highest_for(heap.base)):
        fixed.append(Range(highest, heap.end))  # the system's half
    busy = degrees([*ranges, *fixed])
    if not busy.any():
        return []
    if int((busy > 0).sum()) > MOST_CONFLICTS:
        return None
    follows = dll is not None and plan is not None and plan.offset is not None
    pinned = {dll} if follows else set()
    choices = [_clear(ranges, fixed, pinned)]
    if (
        follows
        and dll is not None
        and plan is not None
        and (busy[dll] or busy[len(ranges) :].any())
    ):
        choices.append(_with_dll(ranges, dll, plan))
    found = [moves for moves in choices if moves is not None]
    return min(found, key=_cost, default=None)


def _cost(moves: Moves) -> tuple[int, int]:
    return len(moves), sum(abs(move.to - move.base) for move in moves)


def _clear(
    ranges: Sequence[Range], fixed: Sequence[Range], pinned: set[int | None]
) -> Moves | None:
    """Move all that is in the way, but nothing that is fixed or pinned."""
    now = list(ranges)
    moves: Moves = []
    while True:
        busy = degrees([*now, *fixed])
        movable = [i for i in range(len(now)) if busy[i] and i not in pinned]
        if not movable:
            return None if busy.any() else moves
        most = max(busy[i] for i in movable)
        ties = [i for i in movable if busy[i] == most][:_MOST_TIES]
        choices = [move for i in ties if (move := _nearest(now, fixed, i)) is not None]
        if not choices:
            return None
        best = min(choices, key=lambda m: (abs(m.to - m.base), _size(now[m.image]), m.image))
        now[best.image] = Range(best.to, best.to + _size(now[best.image]))
        moves.append(best)


def _nearest(now: Sequence[Range], fixed: Sequence[Range], i: int) -> Move | None:
    others = [*now[:i], *now[i + 1 :], *fixed]
    to = nearest_place(others, now[i].base, _size(now[i]), LOWEST, highest_for(now[i].end))
    return None if to is None else Move(i, now[i].base, to)


def _with_dll(ranges: Sequence[Range], dll: int, plan: HeapPlan) -> Moves | None:
    """Clear the others, then put the DLL and its heap where both fit."""
    numbers = [i for i in range(len(ranges)) if i != dll]
    cleared = _clear([ranges[i] for i in numbers], [], set())
    if cleared is None:
        return None
    now = {i: ranges[i] for i in numbers}
    moves = [Move(numbers[m.image], m.base, m.to) for m in cleared]
    for m in moves:
        now[m.image] = Range(m.to, m.to + _size(ranges[m.image]))
    base, offset, heap_bytes = ranges[dll].base, plan.offset or 0, plan.page_bytes
    barred = []  # bases at which the DLL or the heap would meet somebody
    for other in now.values():
        barred.append(_positive(other.base - _size(ranges[dll]) + 1, other.end))
        barred.append(_positive(other.base - offset - heap_bytes + 1, other.end - offset))
    highest = highest_for(ranges[dll].end) - offset - heap_bytes + 1
    to = nearest_place(barred, base, 1, LOWEST, highest)
    return None if to is None else [*moves, Move(dll, base, to)]


def _positive(base: int, end: int) -> Range:
    return Range(max(base, 0), max(end, 1))


def _size(taken: Range) -> int:
    return taken.end - taken.base
