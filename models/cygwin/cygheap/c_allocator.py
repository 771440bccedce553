"""The C code of the allocator, one memory access at a time and in its order.

`Cygheap` falls back to these steps wherever its fast paths do not apply: at the edge of a page, for
huge requests, in a damaged heap, where the address of the first bad access matters.

What must stay true: whatever the C code keeps in the heap is kept in the heap's bytes and nowhere
else, so that a child, or another view of the same section, needs the bytes alone.  Outside are
`max` (cygheap_max) and, in era A, the list heads.

Source: cygheap.cc of Cygwin trees 4abaaac33, 128f2650a and aa9d50a1c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from models.cygwin.cygheap.heap_bytes import HeapBytes
from models.cygwin.cygheap.layout import NBUCKETS, Era, HeapType
from models.win32.memory import Memory
from sim.errors import SimError

_MASK = 0xFFFFFFFF
_MARKED = int(HeapType.HEAP_1_MAX)
_UNTAGGED = int(HeapType.HEAP_1_START)

Commit = Callable[[int, int], object]


class HeapFatal(SimError):
    """The process died in api_fatal inside the allocator. Args: (message,)."""

    def __str__(self) -> str:
        return str(self.args[0])


class EndlessWalk(SimError):
    """The chain leads back into itself, so the walk never ends. Args: (blocks seen,)."""

    def __str__(self) -> str:
        return "endless chain walk: chain is cyclic"


class UndefinedAccess(SimError):
    """The C code would index outside an array of the DLL's own data. Args: (index,)."""

    def __str__(self) -> str:
        return f"bucket {self.args[0]} is outside the array of {NBUCKETS} in the DLL's data"


class Entry(NamedTuple):
    """One block as the chain shows it."""

    start: int  # absolute address of the block; user data begin 16 bytes later
    word0: int  # bucket if in use, link if free, 0 for the end of a free list
    type: int  # signed


def followed(
    at: int, word_bytes: int, load: Callable[[int], int], load32: Callable[[int], int]
) -> Iterator[Entry]:
    """The blocks of a chain from `at` on, to the end or to one that was seen already.

    load, load32: a pointer, and a 32-bit word, at an absolute address -- input
    """
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        kind = signed(load32(at + 2 * word_bytes))
        yield Entry(at, load(at), kind)
        at = load(at + word_bytes)


def signed(word: int) -> int:
    """A 32-bit word as an int of C."""
    return word - (1 << 32) if word >> 31 else word


class CAllocator(HeapBytes):
    """The heap of one process, slow and plain.

    max: cygheap_max - base, modulo 2^32 [bytes] -- state
    buckets: list heads in the DLL's data, None where they are in the heap's header -- state
    lock_acquires: how often cygheap_protect was taken in this process -- state
    commit: commits (offset, size) [bytes] of the region or raises SimError or ValueError -- input
    """

    __slots__ = (
        "_chain_word",
        "_heads_word",
        "_table",
        "buckets",
        "commit",
        "era",
        "lock_acquires",
        "max",
    )

    def __init__(
        self,
        era: Era,
        memory: Memory,
        base: int,
        max_bytes: int,
        buckets: list[int] | None = None,
        commit: Commit | None = None,
    ) -> None:
        super().__init__(memory, base)
        self.era = era
        self.max = max_bytes
        self.commit: Commit = memory.commit if commit is None else commit
        self.lock_acquires = 0
        self.buckets: list[int] | None = None
        self._heads_word = era.buckets_offset >> 2
        if era.buckets_offset < 0:
            self.buckets = [0] * NBUCKETS if buckets is None else buckets
            self._heads_word = 0
        self._chain_word = era.chain_offset >> 2
        self._table = era.bucket_table

    # -- growth ----------------------------------------------------------------------------------

    def csbrk(self, n: int) -> int:
        """Address of the old end after moving it by `n` bytes (modulo 2^32).

        Raises HeapFatal if the pages cannot be committed; the end has moved by then.
        """
        last = self.max
        self.max = (last + n) & _MASK
        if n and (not last & 4095 or (last ^ self.max) >> 12):
            self._commit(last, n & _MASK)
        return (self.base + last) & _MASK

    def clear_buckets(self) -> None:
        """Era A: what a new image does to the heads in the DLL's data; others keep theirs."""
        if self.buckets is not None:
            self.buckets[:] = [0] * NBUCKETS

    # -- the chain -------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Address of the newest block, 0 if there is none."""
        return self.memory.read32(self.era.chain_offset)

    def heads(self) -> list[int]:
        """The first entry of each of the 32 free lists, absolute, 0 where a list is empty."""
        if self.buckets is not None:
            return list(self.buckets)
        offset = self.era.buckets_offset
        return [self.memory.read32(offset + 4 * b) for b in range(NBUCKETS)]

    def chain(self) -> Iterator[Entry]:
        """The blocks, newest first.

        Ends before an entry that was seen already; raises AccessViolation where the chain leaves
        the committed heap.
        """
        yield from followed(self.head, 4, self._load, self._load)

    # -- the steps, in the C code's order of accesses --------------------------------------------

    def _slow_step(self, at: int, lowest: int) -> int:
        """One step of the walk for an entry that is not in one committed page; the next entry."""
        word0 = self._load(at)
        if lowest <= word0 < NBUCKETS:
            kind = self._load(at + 8)
            self._slow_visit(at, word0, signed(kind))
        return self._load(at + 4)

    def _slow_visit(self, at: int, word0: int, kind: int) -> None:
        if kind <= _UNTAGGED:
            return
        if kind < _MARKED:
            self._store(at + 8, kind + _MARKED)
        else:
            self._slow_free(at)

    def _slow_cmalloc(self, kind: int, n: int, bump: int) -> int:
        return self._creturn(kind, self._slow_entry(n), bump)

    def _slow_entry(self, n: int) -> int:
        """_cmalloc: the block's address, without its type."""
        self.lock_acquires += 1
        b, size = self.era.search(n)
        head = self._load_head(b)
        if head:
            self._store_head(b, self._load(head))
            self._store(head, b)
            return head
        start = self.csbrk(size + 8)
        self._store(start, b)
        self._store(start + 4, self._load(self.base + self.era.chain_offset))
        self._store(self.base + self.era.chain_offset, start)
        return start

    def _slow_free(self, start: int) -> None:
        self.lock_acquires += 1
        start &= _MASK
        b = self._load(start)
        self._store(start, self._load_head(b))
        self._store_head(b, start)

    def _creturn(self, kind: int, start: int, length: int) -> int:
        """creturn: stores the type, lifts the end to the block's if it is below; user address."""
        self._store(start + 8, kind)
        end = (start + 16 + length) & _MASK
        if (self.base + self.max) & _MASK < end:
            self.max = (end - self.base) & _MASK
        return (start + 16) & _MASK

    def _commit(self, offset: int, size_bytes: int) -> None:
        try:
            self.commit(offset, size_bytes)
        except (SimError, ValueError) as error:
            raise HeapFatal("couldn't commit memory for cygwin heap, %E") from error

    def _load_head(self, b: int) -> int:
        if self.buckets is None:
            return self._load(self.base + self.era.buckets_offset + 4 * b)
        if b >= NBUCKETS:
            raise UndefinedAccess(b)
        return self.buckets[b]

    def _store_head(self, b: int, value: int) -> None:
        if self.buckets is None:
            self._store(self.base + self.era.buckets_offset + 4 * b, value)
        else:
            self.buckets[b] = value
