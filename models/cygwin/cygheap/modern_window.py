"""The heap window: a parent's other thread allocates while its child is being created.

The child is told the heap's size before CreateProcess and reads the heap after it.  Since 3.6.5 the
parent holds the heap lock all that time, so the other thread waits; before, whatever it allocated
was half in what the child read.  Torn reads are not modelled: an allocation is there or not.

Source: MODERN.md §6.4; Cygwin commits 9b667234b and 8a5d39527 (2025).
"""

from __future__ import annotations

from typing import NamedTuple

from models.cygwin.cygheap.c_allocator import EndlessWalk
from models.cygwin.cygheap.modern import ModernHeap
from models.cygwin.cygheap.modern_chain import Request, exec_chain
from models.cygwin.cygheap.modern_layout import ENTRY_BYTES, ModernEra, ModernType
from models.win32.errors import AccessViolation


class Created(NamedTuple):
    """What became of the children. Every field is *output*.

    kept, lost: how many of the blocks that the parent had at the note the child reaches or not
    first, second: how the walks of the child and of the child's own child ended
    """

    kept: int
    lost: int
    first: str
    second: str


def parent_heap(era: ModernEra, request: Request) -> ModernHeap:
    """The heap of an image that was exec'ed with `request` and has freed its vector."""
    chain = exec_chain(era, iter((request, request)))
    return next(chain)


def fill_first_commit(heap: ModernHeap) -> None:
    """Allocate until the heap ends exactly where the first commit does."""
    sizes = [held + ENTRY_BYTES for held in heap.era.classes if held]
    smallest = sizes[0]
    while room := heap.era.first_commit_bytes - heap.max:
        size = max(s for s in sizes if s == room or s <= room - smallest)
        heap.cmalloc(ModernType.HEAP_BUF, size - 2 * ENTRY_BYTES)


def create(heap: ModernHeap, execed: bool, guarded: bool, n: int) -> Created:
    """Create a child while another thread of the parent allocates `n` bytes, and a child of it."""
    before = {entry.start for entry in heap.chain()}
    told = heap.max
    if not guarded:
        heap.cmalloc(ModernType.HEAP_BUF, n)
    child = heap.child(told)
    first = _walked(child, execed)
    if first != "ends":
        return Created(0, len(before), first, "")
    kept = len(before & {entry.start for entry in child.chain()})
    child.cmalloc(ModernType.HEAP_BUF, largest_fresh(child))
    return Created(kept, len(before) - kept, first, _walked(child.child(), execed))


def largest_fresh(heap: ModernHeap) -> int:
    """The largest request that no free list can serve [bytes]."""
    heads = heap.heads()
    b = max(i for i, held in enumerate(heap.era.classes) if held and not heads[i])
    return heap.era.classes[b] - ENTRY_BYTES


def _walked(heap: ModernHeap, execed: bool) -> str:
    """How the walk of a child's heap ends."""
    try:
        heap.walk(execed)
    except EndlessWalk:
        return "never ends"
    except AccessViolation as error:
        return f"faults at {error.address:#x}"
    return "ends"
