"""The allocator of the cygheap of Cygwin 3.6, 64-bit, byte for byte.

A block is {bucket or free link, prev, type, never written, dead pointer, user data ...}.  Blocks
are linked into one chain, newest first, and never leave it; a freed block goes to the front of its
class's list.  An allocation writes the low half of the block's first word only: what the upper half
of an old link was stays there, and so a reused block looks different to the walk from a fresh one.

What must stay true: the heap's bytes are the only truth beside `max`; a child needs the bytes
alone.  Accesses come in the C code's order, so that a damaged heap faults where the real one did.

Source: mm/cygheap.cc of Cygwin commit c6680700f.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

from models.cygwin.cygheap.c_allocator import (
    Commit,
    EndlessWalk,
    Entry,
    HeapFatal,
    UndefinedAccess,
    followed,
    signed,
)
from models.cygwin.cygheap.layout import NBUCKETS
from models.cygwin.cygheap.modern_bytes import ModernBytes
from models.cygwin.cygheap.modern_layout import (
    COMMIT_STEP_BYTES,
    ENTRY_BYTES,
    MASK32,
    MASK64,
    TABLE_BYTES,
    USER_OFFSET_BYTES,
    ModernEra,
    ModernType,
)
from models.win32.memory import Memory
from sim.errors import SimError

_BUCKET = Struct("<I")
_WORD = Struct("<Q")
_ENTRY = Struct("<QQi")  # bucket or link, prev, type
_HEADS = Struct(f"<{NBUCKETS}Q")
_STR = int(ModernType.HEAP_STR)
_1_STR = int(ModernType.HEAP_1_STR)
_1_START = int(ModernType.HEAP_1_START)
_1_MAX = int(ModernType.HEAP_1_MAX)
_2_MAX = int(ModernType.HEAP_2_MAX)


def round_up(size_bytes: int) -> int:
    """The next multiple of 64 KiB [bytes]."""
    return (size_bytes + COMMIT_STEP_BYTES - 1) & -COMMIT_STEP_BYTES


class ModernHeap(ModernBytes):
    """One process's view of its cygheap.

    max: cygheap_max - base [bytes] -- state
    lock_acquires: how often the lock was taken in this process -- state
    buckets: None, as the list heads are in the heap -- constant
    commit: commits (offset, size) [bytes] of the region or raises SimError or ValueError -- input

    An address of 0 that comes back means NULL: there is no room, or no class that large.
    """

    __slots__ = ("commit", "era", "lock_acquires", "max")
    buckets: list[int] | None = None

    def __init__(
        self,
        era: ModernEra,
        memory: Memory,
        base: int,
        max_bytes: int,
        commit: Commit | None = None,
    ) -> None:
        super().__init__(memory, base)
        self.era = era
        self.max = max_bytes
        self.lock_acquires = 0
        self.commit: Commit = memory.commit if commit is None else commit

    @classmethod
    def first_process(
        cls, era: ModernEra, memory: Memory, base: int, commit: Commit | None = None
    ) -> ModernHeap:
        """A fresh heap in a region that is reserved and empty; its first 3 MiB get committed.

        Raises HeapFatal if they cannot be.
        """
        try:
            (commit or memory.commit)(0, era.first_commit_bytes)
        except (SimError, ValueError) as error:
            raise HeapFatal("initial cygheap VirtualAlloc failed, %E") from error
        for offset, value in era.init_dwords:
            memory.write(offset, _BUCKET.pack(value))
        return cls(era, memory, base, era.header_bytes, commit)

    def child(self, max_bytes: int | None = None, commit: Commit | None = None) -> ModernHeap:
        """The heap that a child reads: [0, max), before its walk.

        max_bytes: what the child was told, if that is not this heap's `max`.  The child commits
        3 MiB or as much as it reads.  Raises AccessViolation where the parent has nothing to read.
        """
        size = self.max if max_bytes is None else max_bytes
        memory = self.memory.head_copy(size)
        memory.commit(0, max(self.era.first_commit_bytes, round_up(size)))
        return ModernHeap(self.era, memory, self.base, size, commit)

    # -- allocation ------------------------------------------------------------------------------

    def cmalloc(self, kind: int, n: int) -> int:
        """Address of a block for `n` user bytes; its old contents stay."""
        start = self._entry(n)
        return self._creturn(kind, start, n) if start else 0

    def ccalloc(self, kind: int, count: int, size: int) -> int:
        """Address of a block of `count * size` bytes (modulo 2^64), cleared."""
        n = (count * size) & MASK64
        start = self._entry(n)
        if not start:
            return 0
        self.clear(start + USER_OFFSET_BYTES, n)
        return self._creturn(kind, start, n)

    def crealloc(self, user: int, n: int) -> int:
        """Address of the block grown to `n` bytes; in place if its class has room. 0 means NULL.

        The part that is new is not cleared; the old block stays where there is no room.
        """
        if not user:
            return self.cmalloc(_STR, n)
        start = user - USER_OFFSET_BYTES
        kind = self.load32(start + ENTRY_BYTES)
        b = self.load32(start) - self.era.stored_offset
        if not 0 <= b < NBUCKETS:
            raise UndefinedAccess(b)
        held = self.era.classes[b]
        if (n + ENTRY_BYTES) & MASK32 > held:
            old, start = start, self._entry(n)
            if not start:
                return 0
            self.store(start + ENTRY_BYTES, self.load(old + ENTRY_BYTES, held))
            self._free(old)
        return self._creturn(kind, start, n)

    def cmalloc_abort(self, kind: int, n: int) -> int:
        """`cmalloc`, but the process dies instead of getting NULL. Raises HeapFatal."""
        return _or_die(self.cmalloc(kind, n), "cmalloc")

    def ccalloc_abort(self, kind: int, count: int, size: int) -> int:
        """`ccalloc`, but the process dies instead of getting NULL. Raises HeapFatal."""
        return _or_die(self.ccalloc(kind, count, size), "ccalloc")

    def crealloc_abort(self, user: int, n: int) -> int:
        """`crealloc`, but the process dies instead of getting NULL. Raises HeapFatal.

        Not for a new block: there the code calls cmalloc, and NULL comes back.
        """
        grown = self.crealloc(user, n)
        return _or_die(grown, "crealloc") if user else grown

    def cstrdup(self, text: bytes) -> int:
        """Address of a copy of `text` and a 0 byte that lives on, HEAP_STR."""
        return self._stored(_STR, text + b"\0")

    def cstrdup1(self, text: bytes) -> int:
        """Address of a copy of `text` and a 0 byte for the next image, HEAP_1_STR."""
        return self._stored(_1_STR, text + b"\0")

    def cwcsdup(self, text: bytes) -> int:
        """`cstrdup` of wide characters, given as their bytes."""
        return self._stored(_STR, text + b"\0\0")

    def cwcsdup1(self, text: bytes) -> int:
        """`cstrdup1` of wide characters, given as their bytes."""
        return self._stored(_1_STR, text + b"\0\0")

    def cstrdup1_many(self, texts: Iterable[bytes]) -> list[int]:
        """The addresses of `cstrdup1(text)` for each text, in order."""
        return [self._stored(_1_STR, text + b"\0") for text in texts]

    def string(self, user: int) -> bytes:
        """The C string in the block at `user`, b"" for NULL."""
        if not user:
            return b""
        b = self.load32(user - USER_OFFSET_BYTES) - self.era.stored_offset
        return self.load(user, self.era.classes[b] - ENTRY_BYTES).split(b"\0", 1)[0]

    # -- release ---------------------------------------------------------------------------------

    def cfree(self, user: int) -> None:
        """Put a block in front of its class's list. Freeing twice does what the C code does."""
        self._free(user - USER_OFFSET_BYTES)

    def cfree_many(self, users: Iterable[int]) -> None:
        """`cfree` of each address, in order."""
        for user in users:
            self._free(user - USER_OFFSET_BYTES)

    def walk(self, execed: bool) -> None:
        """cygheap_fixup_in_child: mark tagged blocks, free marked ones; a fork child walks too.

        A block whose first word is 0 is taken for the end of a free list.  With indices from 0 on
        so is every fresh block of the smallest class: it is neither marked nor freed.
        Raises EndlessWalk if the chain is cyclic, AccessViolation on a damaged heap.
        """
        era, base, unpack = self.era, self.base, _ENTRY.unpack_from
        if execed:
            self.store64(base + era.user_heap_offset, 0)
            self.store64(base + era.hooks_offset, 0)
        free_from = NBUCKETS + era.stored_offset
        at = self.head
        # NOTE: for speed: the page is looked up when it changes; a method call a word took 3 times
        # as long on the chains of 10,000 blocks that the leak makes
        page, page_start = self.memory.page(0), base
        limit = self.memory.committed_pages() << 8  # blocks of 16 bytes that fit
        for _ in range(limit):
            if not at:
                return
            o = at - page_start
            if not 0 <= o <= 4076:
                page_start, o = at & -4096, at & 4095
                if at < base or o > 4076:
                    at, page_start = self._slow_visit(at, execed, free_from), -1 << 70
                    continue
                page = self._page(at)
            word0, prev, kind = unpack(page, o)
            if word0 and kind > _1_START and word0 & MASK32 < free_from:
                self._visit(at, kind, execed)
                page = self._page(page_start)
            at = prev
        raise EndlessWalk(limit)

    def _visit(self, at: int, kind: int, execed: bool) -> None:
        """What the walk does with a block in use that is not an ordinary one."""
        if kind > _2_MAX:
            self._free(at)
        elif not execed:
            return
        elif kind > _1_MAX:
            self._free(at)
        else:
            self.store32(at + ENTRY_BYTES, kind + _1_MAX)

    def _slow_visit(self, at: int, execed: bool, free_from: int) -> int:
        """One step of the walk for an entry that crosses a page's end; the next entry."""
        word0 = self.load64(at)
        if word0 and word0 & MASK32 < free_from:
            kind = signed(self.load32(at + ENTRY_BYTES))
            if kind > _1_START:
                self._visit(at, kind, execed)
        return self.load64(at + 8)

    # -- the chain -------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Address of the newest block, 0 if there is none."""
        return self.load64(self.base + self.era.chain_offset)

    def heads(self) -> list[int]:
        """The first entry of each of the 32 free lists, absolute, 0 where a list is empty."""
        return list(_HEADS.unpack(self.memory.read(self.era.buckets_offset, _HEADS.size)))

    def chain(self) -> Iterator[Entry]:
        """The blocks, newest first.

        Ends before an entry that was seen already; raises AccessViolation where the chain leaves
        the committed heap.
        """
        yield from followed(self.head, 8, self.load64, self.load32)

    # -- the steps -------------------------------------------------------------------------------

    def csbrk(self, n: int) -> int:
        """Address of the old end after moving it by `n` bytes; 0 if that cannot be committed.

        A commit starts at the next 64 KiB boundary and is a multiple of 64 KiB long, so near the
        end of the reserve a small request may fit where a large one does not.
        """
        last, at_once = self.max, self.era.first_commit_bytes
        new = last + n
        if new > at_once and (start := max(at_once, round_up(last))) < new:
            try:
                self.commit(start, round_up(new - start))
            except (SimError, ValueError):
                return 0
        self.max = new
        return self.base + last

    def _entry(self, n: int) -> int:
        """_cmalloc: the block's address, without its type; 0 means NULL."""
        era, memory = self.era, self.memory
        b = era.class_table[n] if n < TABLE_BYTES else era.search(n)
        if b >= NBUCKETS:
            return 0
        self.lock_acquires += 1
        page0, at = memory.writable_page(0), era.buckets_offset + 8 * b
        (head,) = _WORD.unpack_from(page0, at)
        if head:
            _WORD.pack_into(page0, at, self.load64(head))
            self.store32(head, b + era.stored_offset)
            return int(head)
        start = self.csbrk(era.classes[b] + ENTRY_BYTES)
        if start:
            self.store32(start, b + era.stored_offset)
            (newest,) = _WORD.unpack_from(page0, era.chain_offset)
            self.store64(start + 8, newest)
            _WORD.pack_into(page0, era.chain_offset, start)
        return start

    def _free(self, start: int) -> None:
        self.lock_acquires += 1
        b = self.load32(start) - self.era.stored_offset
        head = self.base + self.era.buckets_offset + 8 * b
        self.store64(start, self.load64(head))
        self.store64(head, start)

    def _creturn(self, kind: int, start: int, n: int) -> int:
        """creturn: stores the type, lifts the end to the block's if it is below; user address."""
        self.store32(start + ENTRY_BYTES, kind & MASK32)
        user = start + USER_OFFSET_BYTES
        self.max = max(self.max, user + (n & MASK32) - self.base)
        return user

    def _stored(self, kind: int, content: bytes) -> int:
        user = self.cmalloc(kind, len(content))
        if user:
            self.store(user, content)
        return user


def _or_die(user: int, function: str) -> int:
    if not user:
        raise HeapFatal(f"{function} would have returned NULL")
    return user
