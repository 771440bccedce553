"""What of the parent's heap arrives in a child: told is its end, copied are its bytes.

The two are taken at two moments.  `told` is cygheap_max as child_info has it; `copied` is how many
bytes were in use when they were copied, with what stood in them then.  Without growth between the
two moments they are the same.  Otherwise the child has the newest chain and an older end (a section
that was filled late), the newest chain without its newest blocks (only the told bytes were copied),
or an end beyond its bytes (it was told late).

This is the heap alone.  On the machine the same comes of the calls: child_info tells, `fill` or
ReadProcessMemory copies, `attach_heap` believes what was told; tests hold both against the golden
traces, byte for byte.

Source: cygheap.cc of aa9d50a1c (CYGWIN.md §c1, hazards); golden traces h19, h20, h21.
"""

from __future__ import annotations

from models.cygwin.cygheap.allocator import Cygheap
from models.win32.memory import Memory


def transferred(
    parent: Cygheap, told: int, copied: int, base: int | None = None, execed: bool = True
) -> Cygheap:
    """The heap of a child that does nothing yet: end `told`, bytes [base, `copied`) as they are.

    told, copied: [bytes] from the base -- input
    base: another address than the parent's; nothing in the bytes is changed for it -- input
    execed: era A's list heads, which are not in the bytes, stay behind -- input
    """
    memory = Memory(parent.memory.size_bytes)
    memory.commit(0, copied)
    memory.copy_from(parent.memory, 0, 0, copied)
    heads = None if execed else parent.buckets
    return Cygheap.attach(parent.era, memory, parent.base if base is None else base, told, heads)
