"""Whether a heap is as a heap must be: its chain ends, lies below its end, and has all its blocks.

Nothing here changes the heap, and nothing is known of how it came to be: only its bytes and its
end are looked at.  A chain that leads to itself is followed once.

Source: what golden traces h19, h20 and h21 show of heaps that grew while they were handed over.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from models.cygwin.cygheap.c_allocator import Entry
from models.cygwin.cygheap.heap import Heap
from models.win32.errors import AccessViolation


class Condition(NamedTuple):
    """What is wrong with a heap. Every field is *output*.

    missing: how many of the blocks that it should have its chain does not reach
    beyond: how many blocks of its chain begin at or behind its end
    cyclic: its chain leads back into itself
    fault: the address at which following its chain faults, None if it does not
    """

    missing: int
    beyond: int
    cyclic: bool
    fault: int | None

    @property
    def sound(self) -> bool:
        """Whether nothing is."""
        return self == (0, 0, False, None)


def condition(heap: Heap, expected: Collection[int]) -> Condition:
    """What is wrong with a heap that should have blocks at the addresses `expected`."""
    entries, fault = _chain(heap)
    reached = {entry.start for entry in entries}
    end = heap.base + heap.max
    beyond = sum(start >= end for start in reached)
    missing = sum(start not in reached for start in expected)
    cyclic = fault is None and bool(entries) and _older(heap, entries[-1].start) != 0
    return Condition(missing, beyond, cyclic, fault)


def starts(heap: Heap) -> frozenset[int]:
    """Where the blocks of the chain begin, as far as it can be followed."""
    return frozenset(entry.start for entry in _chain(heap)[0])


def _chain(heap: Heap) -> tuple[list[Entry], int | None]:
    """The blocks, newest first, and the address at which the chain faults."""
    entries: list[Entry] = []
    walker = heap.chain()
    try:
        while (entry := next(walker, None)) is not None:
            entries.append(entry)
    except AccessViolation as error:
        return entries, error.address
    return entries, None


def _older(heap: Heap, start: int) -> int:
    """The pointer of a block to the next older one."""
    word_bytes = heap.era.word_bytes
    return int.from_bytes(heap.load(start + word_bytes, word_bytes), "little")
