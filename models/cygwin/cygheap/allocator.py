"""The allocator of the cygheap, byte for byte: cmalloc, cfree, crealloc, csbrk and the walk.

A block is {bucket or free link, prev, type, never written, user data ...}.  Blocks are linked into
one chain, newest first, and never leave it; a freed block goes to the front of its bucket's list.
What must stay true: every method leaves the same bytes, `max` and lock count as the plain steps of
`CAllocator` would; the heap's bytes are the only truth, no shadow of them is kept.

Pointers are absolute addresses.  Every fast path covers the common case (aligned, inside one
committed page) and falls back to `_slow_*`, which follow the C code's order of accesses, so that
a damaged heap faults at the address where the real one did.

Source: cygheap.cc of Cygwin trees 4abaaac33, 128f2650a and aa9d50a1c.
"""

# NOTE: for speed. Paths are inlined on purpose: cstrdup1 in a loop of one method call a word took
# 4.1 us, inlined 0.6 us; `Struct.pack_into` for a string takes 55 ns, a cast and a slice 141 ns.

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any

from models.cygwin.cygheap.c_allocator import (
    CAllocator,
    Commit,
    EndlessWalk,
    Entry,
    HeapFatal,
    UndefinedAccess,
)
from models.cygwin.cygheap.layout import TABLE_BYTES, Era, HeapType
from models.win32.memory import Memory

_MASK = 0xFFFFFFFF
_NOWHERE = 1 << 62  # no page: a store may have replaced it, so look it up again
_HEADER = Struct("=IIi")  # bucket, prev, type of a fresh block
_STRINGS = tuple(Struct(f"{n}s") for n in range(513))  # *constant*: text and its 0 byte
_STR = int(HeapType.HEAP_STR)
_1_STR = int(HeapType.HEAP_1_STR)

__all__ = ["Commit", "Cygheap", "EndlessWalk", "Entry", "HeapFatal", "UndefinedAccess"]


class Cygheap(CAllocator):
    """One process's view of its cygheap, with the fast paths."""

    __slots__ = ()

    @classmethod
    def first_process(
        cls, era: Era, memory: Memory, base: int, commit: Commit | None = None
    ) -> Cygheap:
        """A fresh heap in a region that is reserved and empty; one page gets committed.

        Raises HeapFatal if that page cannot be committed.
        """
        heap = cls(era, memory, base, era.header_bytes, None, commit)
        heap._commit(heap.max, 1)
        for offset, value in era.init_dwords:
            memory.write32(offset, value)
        return heap

    @classmethod
    def attach(
        cls,
        era: Era,
        memory: Memory,
        base: int,
        max_bytes: int,
        buckets: list[int] | None = None,
        commit: Commit | None = None,
    ) -> Cygheap:
        """A child's heap over bytes that were transferred; nothing but the bytes is needed.

        Era A: `buckets` is the parent's list for a fork (it is copied), None after an exec.
        """
        heads = None if buckets is None else list(buckets)
        return cls(era, memory, base, max_bytes, heads, commit)

    # -- allocation ------------------------------------------------------------------------------

    def cmalloc(self, kind: int, n: int) -> int:
        """Address of a block for `n` user bytes; its old contents stay.

        Raises HeapFatal (no room), AccessViolation (a damaged heap).
        """
        if 0 <= n < TABLE_BYTES:
            b = self._table[n]
            memory = self.memory
            pages: list[Any] = memory.pages
            own = memory.own
            base = self.base
            p0 = pages[0] if own[0] else memory.writable_page(0)
            heads: Any = self.buckets or p0
            h = self._heads_word + b
            head = heads[h]
            if not head:
                last = self.max
                o = last & 4095
                if o and o + 8 + (1 << b) < 4096 and (i := last >> 12) < len(pages):
                    page = pages[i] if own[i] else self._writable(i)
                    self.max = last + 8 + (1 << b)
                    c = self._chain_word
                    _HEADER.pack_into(page, o, b, p0[c], kind)
                    p0[c] = base + last
                    self.lock_acquires += 1
                    return base + last + 16
            elif head > base and not head & 3:
                start = head - base
                i, o = start >> 12, start & 4095
                user = start + 16
                if i < len(pages) and o < 4080 and user + n <= self.max:
                    page = pages[i] if own[i] else self._writable(i)
                    w = o >> 2
                    heads[h] = page[w]
                    page[w] = b
                    page[w + 2] = kind & _MASK
                    self.lock_acquires += 1
                    return int(head) + 16
        return self._slow_cmalloc(kind, n, n)

    def ccalloc(self, kind: int, count: int, size: int) -> int:
        """Address of a block of `count * size` bytes (modulo 2^32), cleared."""
        n = (count * size) & _MASK
        if n < TABLE_BYTES:
            user = self.cmalloc(kind, n)
            offset = user - self.base
            if n and offset + n <= len(self.memory.pages) << 12:
                self.memory.write(offset, bytes(n))
            else:
                self.clear(user, n)
            return user
        start = self._slow_entry(n)
        self.clear(start + 16, n)
        return self._creturn(kind, start, count if self.era.bump_by_count else n)

    def crealloc(self, user: int, n: int) -> int:
        """Address of the block grown to `n` bytes; in place if its class has room. 0 means NULL."""
        if not user:
            return self.cmalloc(_STR, n)
        start = (user - 16) & _MASK
        stored = self._load(start + 8)
        kind = stored - (1 << 32) if stored >> 31 else stored
        old_bytes = 1 << (self._load(start) & 31)  # the shift of i386
        new_bytes = (n + 8) & _MASK
        if new_bytes >> 31 or new_bytes <= old_bytes:
            return self._creturn(kind, start, n)
        new = self._slow_entry(n)
        self._copy(start + 8, new + 8, old_bytes)
        self.cfree(user)
        return self._creturn(kind, new, n)

    def string(self, user: int) -> bytes:
        """The C string in the block at `user`, b"" for NULL."""
        if not user:
            return b""
        offset = user - self.base
        room = (1 << (self.memory.read32(offset - 16) & 31)) - 8
        return self.memory.read(offset, room).split(b"\0", 1)[0]

    def cstrdup(self, text: bytes) -> int:
        """Address of a copy of `text` that lives on (HEAP_STR)."""
        user = self.cmalloc(_STR, len(text) + 1)
        self._store_text(user, text)
        return user

    def cstrdup1(self, text: bytes) -> int:
        """Address of a copy of `text` that dies with the child's image (HEAP_1_STR)."""
        user = self.cmalloc(_1_STR, len(text) + 1)
        self._store_text(user, text)
        return user

    def cstrdup1_many(self, texts: Iterable[bytes]) -> list[int]:
        """The addresses of `cstrdup1(text)` for each text, in order."""
        memory = self.memory
        pages: list[Any] = memory.pages
        own, base, table = memory.own, self.base, self._table
        writable, strings, pack = memory.writable_page, _STRINGS, _HEADER.pack_into
        c, h0, lists = self._chain_word, self._heads_word, self.buckets
        p0 = pages[0] if own[0] else writable(0)
        heads: Any = lists or p0
        committed = len(pages)
        last = self.max
        users: list[int] = []
        add = users.append
        locks = 0
        for text in texts:
            n = len(text) + 1
            if n < 513:
                b = table[n]
                head = heads[h0 + b]
                if not head:
                    o, i = last & 4095, last >> 12
                    after = o + 8 + (1 << b)
                    if o and after < 4096 and i < committed:
                        page = pages[i] if own[i] else writable(i)
                        pack(page, o, b, p0[c], 6)
                        head = base + last
                        p0[c] = head
                        strings[n].pack_into(page, o + 16, text)
                        last += 8 + (1 << b)
                        add(head + 16)
                        locks += 1
                        continue
                elif head > base:
                    start = head - base
                    o, i = start & 4095, start >> 12
                    if (
                        o + 16 + n <= 4096
                        and i < committed
                        and not o & 3
                        and start + 16 + n <= last
                    ):
                        page = pages[i] if own[i] else writable(i)
                        w = o >> 2
                        heads[h0 + b] = page[w]
                        page[w] = b
                        page[w + 2] = 6
                        strings[n].pack_into(page, o + 16, text)
                        add(head + 16)
                        locks += 1
                        continue
            self.max = last
            add(self.cstrdup1(text))
            last = self.max
            committed = len(pages)
        self.max = last
        self.lock_acquires += locks
        return users

    # -- release ---------------------------------------------------------------------------------

    def cfree(self, user: int) -> None:
        """Put a block in front of its bucket's list. Freeing twice does what the C code does."""
        start = user - 16
        o = start - self.base
        if o >= 0 and not o & 3:
            memory = self.memory
            pages: list[Any] = memory.pages
            own = memory.own
            i = o >> 12
            if i < len(pages):
                page = pages[i] if own[i] else self._writable(i)
                w = (o & 4095) >> 2
                b = page[w]
                if b < 32:
                    heads = self.buckets or (pages[0] if own[0] else memory.writable_page(0))
                    h = self._heads_word + b
                    page[w] = heads[h]
                    heads[h] = start
                    self.lock_acquires += 1
                    return
        self._slow_free(start)

    def cfree_many(self, users: Iterable[int]) -> None:
        """`cfree` of each address, in order."""
        memory = self.memory
        pages: list[Any] = memory.pages
        own, base = memory.own, self.base
        writable, h0, committed = memory.writable_page, self._heads_word, len(memory.pages)
        p0 = pages[0] if own[0] else writable(0)
        heads: Any = self.buckets or p0
        locks = 0
        for user in users:
            o = user - base - 16
            i = o >> 12
            if 0 <= i < committed and not o & 3:
                page = pages[i] if own[i] else writable(i)
                w = (o & 4095) >> 2
                b = page[w]
                if b < 32:
                    page[w] = heads[h0 + b]
                    heads[h0 + b] = user - 16
                    locks += 1
                    continue
            self._slow_free(user - 16)
        self.lock_acquires += locks

    def walk(self, execed: bool = True) -> None:
        """cygheap_fixup_in_child: mark tagged blocks, free those that the parent's image marked.

        An exec child forgets the parent's user heap first. A fork child (`execed` false) does not
        walk. Raises EndlessWalk if the chain is cyclic, AccessViolation on a damaged heap.
        """
        if not execed:
            return
        era, memory, base = self.era, self.memory, self.base
        if era.heapbase_offset is not None:
            memory.write32(era.heapbase_offset, 0)
        pages: list[Any] = memory.pages
        own, h0 = memory.own, self._heads_word
        heads: Any = self.buckets
        # in use: below 32; 0 is the end of a free list, except to the code with the bug
        lowest = 0 if era.walk_frees_tails else 1
        unpack, locks, mine, i = _HEADER.unpack_from, 0, False, 0
        page, page_start = pages[0], base
        at = self.head
        limit = 2 * ((len(pages) << 9) + 8)  # blocks of 8 bytes that fit, and page changes
        for _ in range(limit):
            p = at - page_start
            if 0 <= p < 4085:
                word0, prev, kind = unpack(page, p)
                if kind > 5 and lowest <= word0 < 32:
                    if p & 3:
                        self._slow_visit(at, word0, kind)
                        prev, page_start = self._load(at + 4), _NOWHERE
                    else:
                        if not mine:
                            page, mine = memory.writable_page(i), True
                        if kind < 100:
                            page[(p >> 2) + 2] = kind + 100
                        else:
                            heads = heads or memory.writable_page(0)
                            page[p >> 2] = heads[h0 + word0]
                            heads[h0 + word0] = at
                            locks += 1
                at = prev
            elif not at:
                break
            else:
                i = (at - base) >> 12
                if 0 <= i < len(pages) and pages[i] is not None and (at & 4095) < 4085:
                    page, mine, page_start = pages[i], bool(own[i]), base + (i << 12)
                else:
                    at = self._slow_step(at, lowest)
                    page_start = _NOWHERE
        else:
            raise EndlessWalk(limit)
        self.lock_acquires += locks

    def _store_text(self, user: int, text: bytes) -> None:
        """strcpy: the text and its 0 byte."""
        offset = user - self.base
        o = offset & 4095
        n = len(text) + 1
        memory = self.memory
        i = offset >> 12
        if n < 513 and o + n <= 4096 and 0 <= i < len(memory.pages):
            page: Any = memory.pages[i] if memory.own[i] else self._writable(i)
            _STRINGS[n].pack_into(page, o, text)
            return
        self.store(user, text + b"\0")
