"""The free lists of a cygheap of 2001 as its bytes have them, and what is wrong with them.

A list is sound if every block in it has the list's size and it ends with a link of 0.  The walk
that takes the end of a list for a block in use (CYGWIN.md §b3) leaves three kinds of damage: a
list that leads back into itself, one that goes on in blocks of another size, and in the end one
whose head is no address but the number of a bucket, read as a link from a block that had been
handed out meanwhile.  Nothing here changes the heap.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.cygwin.cygheap import audit
from models.cygwin.cygheap.allocator import Cygheap


@dataclass(frozen=True)
class FreeLists:
    """What the 32 lists of one heap lead to. Every field is *output*.

    lengths: bucket -> blocks met until the list ends, leaves the heap or meets one again
    loops: buckets whose list comes back to a block that it has met
    mixed: buckets whose list holds a block of another size; bucket 0, which has no size, left out
    heads: bucket -> head that lies outside the heap
    """

    lengths: dict[int, int]
    loops: tuple[int, ...]
    mixed: tuple[int, ...]
    heads: dict[int, int]

    @property
    def sound(self) -> bool:
        """Whether every request finds what it must, list 0 apart, which nobody asks."""
        return not self.loops and not self.mixed and not self.heads


def free_lists(heap: Cygheap) -> FreeLists:
    """The lists as the allocator would follow them. Raises AccessViolation on a broken chain."""
    sizes = {heap.base + b.offset_bytes: b.size_bytes for b in audit.blocks(heap)}
    lengths: dict[int, int] = {}
    loops, mixed, heads = [], [], {}
    for bucket, head in enumerate(heap.heads()):
        if not head:
            continue
        if head not in sizes:
            heads[bucket] = head
        met, ends = _followed(heap, head, sizes)
        lengths[bucket] = len(met)
        if not ends:
            loops.append(bucket)
        if bucket and any(sizes[at] != 8 + (1 << bucket) for at in met):
            mixed.append(bucket)
    return FreeLists(lengths, tuple(loops), tuple(mixed), heads)


def _followed(heap: Cygheap, head: int, sizes: dict[int, int]) -> tuple[list[int], bool]:
    """The blocks of a list, and whether it comes to an end."""
    met: dict[int, None] = {}
    at = head
    while at in sizes:
        if at in met:
            return list(met), False
        met[at] = None
        at = heap.memory.read32(at - heap.base)
    return list(met), True
