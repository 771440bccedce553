"""What the bytes of a cygheap say: its blocks, and which of them are garbage.

Nothing here changes the heap.  A block's size is the distance to the next one, since blocks lie
side by side from the header to the top; its own bytes lose the size when it is freed.
"""

# NOTE: for speed. `garbage` of 100 blocks in 15 KiB and their digest bytes take 36 us, from
# one joined copy of the pages; a load for each word would take 70 us more.

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from models.cygwin.cygheap.c_allocator import CAllocator
from models.cygwin.cygheap.layout import FIRST_BUCKET, NBUCKETS, HeapType
from models.win32.errors import AccessViolation
from models.win32.memory import ZERO_PAGE

_UNTAGGED = int(HeapType.HEAP_1_START)
_MARKED = int(HeapType.HEAP_1_MAX)


@dataclass(frozen=True, slots=True)
class Block:
    """One block. All fields are *output*.

    generation: None of a block that no walk frees, 0 of a tagged one that the next exec marks, 1 of
    a marked one that the next exec frees
    """

    offset_bytes: int  # of the block's start, from the base
    size_bytes: int  # to the next block or the top
    in_use: bool
    type: int  # signed, with the mark
    generation: int | None

    @property
    def label(self) -> str:
        """The HEAP_ name of its type, without the mark; the number if it has none."""
        plain = self.type - _MARKED if self.type >= _MARKED else self.type
        try:
            return HeapType(plain).name
        except ValueError:
            return f"type {self.type}"


def digest_bytes(heap: CAllocator) -> bytes:
    """The bytes [base, base + max), what a digest of the heap is taken over.

    Raises AccessViolation where they are not committed.
    """
    return heap.load(heap.base, heap.max)


def blocks(heap: CAllocator) -> list[Block]:
    """The blocks that the chain reaches, by rising offset.

    Raises AccessViolation if the chain leaves the committed heap. A cycle is followed once.
    """
    entries = sorted(heap.chain())
    ends = [entry.start for entry in entries[1:]] + [heap.base + heap.max]
    found = []
    for entry, end in zip(entries, ends, strict=False):  # one end too many if there is no block
        generation = None
        if entry.type > _UNTAGGED:
            generation = int(entry.type >= _MARKED)
        in_use = 0 < entry.word0 < NBUCKETS
        size = max(0, end - entry.start)
        found.append(Block(entry.start - heap.base, size, in_use, entry.type, generation))
    return found


def garbage(heap: CAllocator, live: Collection[int]) -> tuple[int, int]:
    """Garbage that stays for ever, and garbage that the walks of coming execs free [bytes].

    `live` holds the user addresses that the image's living objects refer to (a set).  Pending is
    every other tagged block in use: a marked one goes at the next exec, one of this image at the
    exec after that.  Leaked is the rest in use, and free blocks that no list reaches which an
    allocation looks into (era A after an exec).
    """
    base = heap.base
    try:
        words = _words(heap)
        at = words[heap.era.chain_offset >> 2]
        upper = base + heap.max
        leaked = pending = 0
        free: dict[int, int] = {}
        while at:
            if not base <= at < upper or at & 3:
                return _damaged(heap, live)
            w = (at - base) >> 2
            word0 = words[w]
            if 0 < word0 < 32:
                if at + 16 not in live:
                    if 5 < words[w + 2] < 1 << 31:
                        pending += upper - at
                    else:
                        leaked += upper - at
            elif at + 16 not in live:
                free[at] = upper - at
            upper = at
            at = words[w + 1]
    except IndexError:
        return _damaged(heap, live)
    return leaked + _unreachable(heap, words, free), pending


def _words(heap: CAllocator) -> memoryview:
    """A copy of the heap's whole committed pages as 32-bit words."""
    count = (heap.max + 4095) >> 12
    pages = heap.memory.pages[:count]
    return memoryview(b"".join([page or ZERO_PAGE for page in pages])).cast("I")


def _unreachable(heap: CAllocator, words: memoryview, free: dict[int, int]) -> int:
    """Size of the free blocks that no list from bucket 3 on leads to [bytes]; empties `free`."""
    if not free:
        return 0
    base = heap.base
    offset = heap.era.buckets_offset >> 2
    heads = heap.buckets or words[offset : offset + NBUCKETS]
    for at in heads[FIRST_BUCKET:]:
        while at in free:
            del free[at]
            at = words[(at - base) >> 2]
    return sum(free.values())


def _damaged(heap: CAllocator, live: Collection[int]) -> tuple[int, int]:
    """`garbage` of a chain that is not in the order of allocation: what it still reaches."""
    try:
        some = blocks(heap)
    except AccessViolation:
        return 0, 0
    lost = [b for b in some if heap.base + b.offset_bytes + 16 not in live]
    pending = sum(b.size_bytes for b in lost if b.in_use and b.generation is not None)
    leaked = sum(b.size_bytes for b in lost if b.in_use and b.generation is None)
    free = {heap.base + b.offset_bytes: b.size_bytes for b in lost if not b.in_use}
    return leaked + _unreachable(heap, _words(heap), free), pending
