"""The audit of a heap of any era: its blocks, and which of them are garbage."""

from __future__ import annotations

from models.cygwin.cygheap import audit, modern_audit
from models.cygwin.cygheap.audit import Addresses, Block, Chain
from models.cygwin.cygheap.heap import Heap, early_heap
from models.cygwin.cygheap.modern import ModernHeap


def blocks(heap: Heap) -> list[Block]:
    """The blocks that the chain reaches, by rising offset."""
    if isinstance(heap, ModernHeap):
        return list(modern_audit.blocks(heap))
    return audit.blocks(early_heap(heap))


def listed_blocks(heap: Heap) -> set[int]:
    """Addresses of the free blocks that can come back."""
    if isinstance(heap, ModernHeap):
        return modern_audit.free_blocks(heap)
    return audit.listed_blocks(early_heap(heap))


def garbage_in(
    heap: Heap, content: bytes, live: Addresses, known: dict[tuple[int, int], Chain]
) -> tuple[int, int]:
    """Garbage that stays for ever, and garbage that coming execs free [bytes]; see `audit`."""
    if isinstance(heap, ModernHeap):
        return modern_audit.garbage(heap, set(live.tolist()))
    return audit.garbage_in(early_heap(heap), content, live, known)
