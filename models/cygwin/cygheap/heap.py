"""What a process does with its cygheap, in any era, and how it comes to have one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.c_allocator import Commit, Entry
from models.cygwin.cygheap.heap_layout import HeapLayout
from models.cygwin.cygheap.layout import Era
from models.cygwin.cygheap.modern import ModernHeap
from models.cygwin.cygheap.modern_layout import ModernEra
from models.win32.memory import Memory
from sim.errors import InputError


class Heap(Protocol):
    """One process's view of its cygheap; `Cygheap` and `ModernHeap` are two of them.

    memory, base, max, lock_acquires, commit, word, set_word: as there
    buckets: list heads that the DLL keeps in its own data, None where they are in the heap
    """

    memory: Memory
    base: int
    max: int
    lock_acquires: int
    commit: Commit
    word: Callable[[int], int]
    set_word: Callable[[int, int], None]

    @property
    def era(self) -> HeapLayout:
        """Its layout."""

    @property
    def buckets(self) -> list[int] | None:
        """List heads that are not in the heap."""

    @property
    def head(self) -> int:
        """Address of the newest block."""

    def heads(self) -> list[int]:
        """The first entry of each free list, absolute."""

    def chain(self) -> Iterator[Entry]:
        """The blocks, newest first."""

    def cmalloc(self, kind: int, n: int) -> int:
        """Address of a block for `n` user bytes."""

    def ccalloc(self, kind: int, count: int, size: int) -> int:
        """Address of a block of `count * size` bytes, cleared."""

    def crealloc(self, user: int, n: int) -> int:
        """Address of the block grown to `n` bytes."""

    def cfree(self, user: int) -> None:
        """Give a block back."""

    def cfree_many(self, users: Iterable[int]) -> None:
        """Give several back, in order."""

    def cstrdup(self, text: bytes) -> int:
        """Address of a copy that lives on."""

    def cstrdup1(self, text: bytes) -> int:
        """Address of a copy for the next image."""

    def cstrdup1_many(self, texts: Iterable[bytes]) -> list[int]:
        """Addresses of several, in order."""

    def string(self, user: int) -> bytes:
        """The C string in a block, b"" for NULL."""

    def load(self, user: int, size_bytes: int, /) -> bytes:
        """The bytes at an absolute address."""

    def walk(self, execed: bool) -> None:
        """cygheap_fixup_in_child, once the bytes are there."""


def first_process(layout: HeapLayout, memory: Memory, base: int, commit: Commit) -> Heap:
    """A fresh heap in a region that is reserved and empty. Raises HeapFatal without memory."""
    if isinstance(layout, ModernEra):
        return ModernHeap.first_process(layout, memory, base, commit)
    return Cygheap.first_process(early(layout), memory, base, commit)


def attach(layout: HeapLayout, memory: Memory, base: int, max_bytes: int, commit: Commit) -> Heap:
    """A child's heap over bytes that were handed over."""
    if isinstance(layout, ModernEra):
        return ModernHeap(layout, memory, base, max_bytes, commit)
    return Cygheap.attach(early(layout), memory, base, max_bytes, commit=commit)


def early_heap(heap: Heap) -> Cygheap:
    """A heap of 2001 as what it is. Raises TypeError for another."""
    if not isinstance(heap, Cygheap):
        raise TypeError(f"heap (era {heap.era.name}) must be one of 2001: A, B, C or R")
    return heap


def early(layout: HeapLayout, why: str = "it is 64-bit", ask: str = "") -> Era:
    """A layout of 2001 as what it is. Raises InputError for another, which a scheme brings.

    why: what keeps the question from being asked of another; ask: the scenario that answers it
    """
    if not isinstance(layout, Era):
        what = f"the heap of era {layout.name} is not followed here: {why}"
        instead = f"cygsim run {ask}, or " if ask else ""
        raise InputError("--scheme", what, f"{instead}a scheme of era A, R or B")
    return layout
