"""Heaps for tests: a first process's, a child's copy, and what two equal ones have in common."""

from __future__ import annotations

from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.layout import Era
from models.win32.memory import Memory

BASE = 0x61100000


def fresh(era: Era) -> Cygheap:
    return Cygheap.first_process(era, Memory(era.reserve_bytes), BASE)


def child_of(parent: Cygheap, execed: bool) -> Cygheap:
    memory = Memory(parent.era.reserve_bytes)
    memory.commit(0, parent.max)
    memory.copy_from(parent.memory, 0, 0, parent.max)
    heads = None if execed else parent.buckets
    child = Cygheap.attach(parent.era, memory, BASE, parent.max, heads)
    child.walk(execed)
    return child


def image(heap: Cygheap) -> tuple[bytes, int, int, int, list[int]]:
    """Everything that must be equal between two ways to do the same."""
    committed = len(heap.memory.pages)
    whole = heap.memory.read(0, committed << 12)
    return whole, committed, heap.max, heap.lock_acquires, heap.heads()


def loop_search(n: int, slack: int, signed: bool) -> int:
    """The C loop, literally."""
    want = (n + 8 + slack) & 0xFFFFFFFF

    def number(x: int) -> int:
        return x - (1 << 32) if signed and x >> 31 else x

    b, size = 3, 8
    while size and number(size) < number(want):
        b, size = b + 1, (size << 1) & 0xFFFFFFFF
    return b
