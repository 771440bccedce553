"""What the bytes of a 64-bit cygheap say: its blocks, and which of them no walk will ever free.

Nothing here changes the heap.  The first word alone does not tell the end of a free list from a
fresh block of the smallest class, so the lists are followed.
"""

from __future__ import annotations

from collections.abc import Container

from models.cygwin.cygheap.audit import Block
from models.cygwin.cygheap.modern import ModernHeap
from models.cygwin.cygheap.modern_layout import ModernType
from models.win32.errors import AccessViolation

_1_START = int(ModernType.HEAP_1_START)
_1_MAX = int(ModernType.HEAP_1_MAX)
_2_MAX = int(ModernType.HEAP_2_MAX)
_NAMES = {int(kind): kind.name for kind in ModernType}


class ModernBlock(Block):
    """One block. generation: None too of a tagged block that the walk does not see."""

    __slots__ = ()

    @property
    def leaks(self) -> bool:
        """Whether it is tagged and in use, and yet no walk will free it."""
        return self.in_use and self.type > _1_START and self.generation is None

    @property
    def label(self) -> str:
        """The HEAP_ name of its type, without the mark; the number if it has none."""
        plain = self.type
        if plain not in _NAMES and _1_START < plain - _1_MAX <= _1_MAX:
            plain -= _1_MAX
        return _NAMES.get(plain, f"type {self.type}")


def free_blocks(heap: ModernHeap) -> set[int]:
    """Addresses of the blocks that the free lists lead to, up to where a list leaves the heap."""
    found: set[int] = set()
    first, end = heap.base + heap.era.header_bytes, heap.base + heap.max
    for at in heap.heads():
        while first <= at < end and at not in found:
            found.add(at)
            at = heap.load64(at)
    return found


def blocks(heap: ModernHeap) -> list[ModernBlock]:
    """The blocks that the chain reaches, by rising offset.

    Raises AccessViolation if the chain leaves the committed heap. A cycle is followed once.
    """
    entries, free = sorted(heap.chain()), free_blocks(heap)
    ends = [entry.start for entry in entries[1:]] + [heap.base + heap.max]
    found = []
    for entry, end in zip(entries, ends, strict=False):  # one end too many if there is no block
        generation = None
        if entry.type > _1_START and entry.word0:
            generation = int(entry.type > _1_MAX)
        size = max(0, end - entry.start)
        in_use = entry.start not in free
        found.append(ModernBlock(entry.start - heap.base, size, in_use, entry.type, generation))
    return found


def garbage(heap: ModernHeap, live: Container[int]) -> tuple[int, int]:
    """Garbage that stays for ever, and garbage that the walks of coming execs free [bytes].

    `live` holds the user addresses that the image's living objects refer to.  What is tagged and in
    use but looks to the walk like the end of a free list stays.  Lists are in the header, so no
    free block is lost.  Of a chain that leaves the heap nothing is known: (0, 0).
    """
    leaked = pending = 0
    try:
        found = blocks(heap)
    except AccessViolation:
        return 0, 0
    first_user = heap.base + heap.era.user_offset_bytes
    for block in found:
        if block.in_use and first_user + block.offset_bytes not in live:
            if block.generation is None:
                leaked += block.size_bytes
            else:
                pending += block.size_bytes
    return leaked, pending


def leaked_bytes(heap: ModernHeap) -> int:
    """Size of the tagged blocks in use that no walk will mark or free [bytes]."""
    return sum(block.size_bytes for block in blocks(heap) if block.leaks)
