"""What a step did to a heap, kept for the next heap with the same bytes.

The processes of one workload fork from the same shells and exec the same programs again and again,
so their heaps meet the same step with the same bytes.  A step is anything that reads and changes
nothing but the heap: its bytes, its top, its list heads and its lock count, and that commits pages.
What it does follows from these, so an effect that was found once is put in place of the work.

What must stay true: kept pages are shared as between two `Memory`, so whoever writes copies first;
commits are carried out each time, in their order.
"""

# NOTE: for speed. In configure-hello half of all arguments of an exec and of all walks were met
# before; such a one takes 4 us instead of 40, any other 45. It is a fiftieth of the run.

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.heap_layout import HeapLayout
from models.win32.memory import Page

Result = TypeVar("Result")

_MOST_BYTES = 16 << 20  # kept of heaps that were met; then all of it is forgotten


class Content:
    """Whole pages, at least one, as a key: a sum of their words finds them, their bytes decide."""

    __slots__ = ("_sum", "content")

    def __init__(self, content: bytes) -> None:
        self.content = content
        # NOTE: for speed: the hash of 16 KiB of bytes takes 3.4 us, this 1.6
        self._sum = int(np.add.reduce(np.frombuffer(content, np.uint64)))

    def __hash__(self) -> int:
        return self._sum

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and self.content == other.content


class Effect(NamedTuple):
    """What a heap is after a step, and what the step returned. Every field is *output*."""

    pages: list[Page | None]
    max: int
    buckets: list[int] | None
    locks: int  # how many more
    commits: list[tuple[int, int]]
    result: Any


class HeapEffects:
    """The effects met in one run, on heaps of one era.

    era: whose heaps; on others every step is carried out -- constant
    """

    def __init__(self, era: HeapLayout) -> None:
        self.era = era
        self._met: dict[Hashable, Effect] = {}
        self._met_bytes = 0

    def of(self, heap: Cygheap, step: Hashable, carry_out: Callable[[], Result]) -> Result:
        """Do to `heap` what `carry_out` does and return what it returns, which nobody may change.

        step: names what is done, with all that it depends on besides the heap
        Raises what `carry_out` raises; such a step is not kept.  A commit must not fail on one heap
        where it succeeds on another: where memory can run out, call `carry_out` yourself.
        """
        memory, buckets = heap.memory, heap.buckets
        if memory.holes or not memory.pages or heap.era is not self.era:
            return carry_out()
        content = b"".join(memory.pages)  # type: ignore[arg-type]  # without holes: all are pages
        heads = None if buckets is None else tuple(buckets)
        key = step, heap.base, heap.max, heads, Content(content)
        effect = self._met.get(key)
        if effect is None:
            self._forget(2 * len(content))
            effect = self._met[key] = _observed(heap, carry_out)
        else:
            for offset, size_bytes in effect.commits:
                heap.commit(offset, size_bytes)
            memory.pages[:] = effect.pages
            heap.max = effect.max
            heap.lock_acquires += effect.locks
            if buckets is not None and effect.buckets is not None:
                buckets[:] = effect.buckets
        memory.own[:] = bytes(len(memory.pages))
        result: Result = effect.result
        return result

    def _forget(self, more_bytes: int) -> None:
        """Make room for an effect on a heap whose key and pages take so much."""
        self._met_bytes += more_bytes
        if self._met_bytes > _MOST_BYTES:
            self._met.clear()
            self._met_bytes = more_bytes


def _observed(heap: Cygheap, carry_out: Callable[[], Any]) -> Effect:
    """Carry a step out and see what it does."""
    commit, locks = heap.commit, heap.lock_acquires
    commits: list[tuple[int, int]] = []

    def noted(offset: int, size_bytes: int) -> object:
        commits.append((offset, size_bytes))
        return commit(offset, size_bytes)

    heap.commit = noted
    try:
        result = carry_out()
    finally:
        heap.commit = commit
    buckets = None if heap.buckets is None else heap.buckets.copy()
    more = heap.lock_acquires - locks
    return Effect(heap.memory.pages.copy(), heap.max, buckets, more, commits, result)
