"""Committed bytes: lists of 4 KiB pages in numpy buffers, copied when one side writes.

A `Memory` is what a private allocation, an image's data or a pagefile-backed section consists of.
Two views of one section hold the same `Memory`, so each sees what the other writes.  A copy
(`ReadProcessMemory`, `WriteProcessMemory`, the memcpy into a section) gives the receiver the same
page buffers and marks them as shared on both sides; whoever writes first takes a copy of that page.

What must stay true: `own[i]` is 1 only if no other `Memory` holds `pages[i]`; a page that is not
committed is None; the shared zero page is never owned.

Pages are memoryviews of 32-bit words over numpy buffers: a word costs 50-100 ns that way, 205 ns as
a numpy scalar (STYLE: "Memory").
"""

from __future__ import annotations

from sys import getrefcount
from typing import Any

import numpy as np

from models.win32.errors import AccessViolation

PAGE_BYTES = 4096  # i386 page size
PAGE_SHIFT = 12
ALLOCATION_GRANULARITY = 65536  # of reservations and views, GetSystemInfo
_WORDS = PAGE_BYTES // 4
_PAGES_AT_ONCE = 16  # in one numpy buffer, which is there as long as one of them is -- chosen

Page = memoryview

_unused: list[Page] = []  # pages of numpy buffers that nobody has had yet -- state


def _view(words: Any) -> Page:
    return memoryview(words)


def _copy(page: Page) -> Page:
    # NOTE: for speed: a buffer for many pages; one of its own takes twice as long, and a creation
    # copies seven
    if not _unused:
        words = _view(np.empty(_PAGES_AT_ONCE * _WORDS, np.uint32))
        _unused.extend(words[i : i + _WORDS] for i in range(0, len(words), _WORDS))
    copy = _unused.pop()
    copy[:] = page
    return copy


def _head(page: Any, end: int) -> bytes:
    found: bytes = page.cast("B")[:end].tobytes()
    return found


def _tail(page: Any, start: int) -> bytes:
    found: bytes = page.cast("B")[start:].tobytes()
    return found


def _frozen_zero_page() -> Page:
    words = np.zeros(_WORDS, np.uint32)
    words.flags.writeable = False
    return _view(words)


ZERO_PAGE = _frozen_zero_page()  # *constant*: stands for every committed page nobody wrote yet


def _references(pages: list[Page | None], i: int) -> int:
    page = pages[i]
    return getrefcount(page)


# What `_references` says of a page in one list. Releases of Python count differently, so it is seen
# once instead of written down.
_ONLY_HOLDER = _references([_copy(ZERO_PAGE)], 0)


class Memory:
    """Bytes behind a region, from offset 0 to `size_bytes`.

    pages: one entry a page, None where nothing is committed -- state
    own: one byte a page, 1 if nobody else holds that buffer -- state
    size_bytes: what was reserved, a multiple of the page size -- constant
    holes: how many entries of `pages` are None -- state

    `pages` may be shorter than the reservation: pages behind its end are not committed.
    """

    __slots__ = ("holes", "own", "pages", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = (size_bytes + PAGE_BYTES - 1) & -PAGE_BYTES
        self.pages: list[Page | None] = []
        self.own = bytearray()
        self.holes = 0

    @classmethod
    def zeroed(cls, size_bytes: int) -> Memory:
        """Memory with every page committed; `size_bytes` is a multiple of the page size."""
        # NOTE: for speed: without what `__init__` makes only to be replaced; five for a process
        made = cls.__new__(cls)
        count = size_bytes >> PAGE_SHIFT
        made.size_bytes = size_bytes
        made.pages = [ZERO_PAGE] * count
        made.own = bytearray(count)
        made.holes = 0
        return made

    def commit(self, offset: int, size_bytes: int) -> int:
        """Commit every page that [offset, offset + size_bytes) touches; how many were new [pages].

        Pages committed before keep their bytes. Raises ValueError beyond the reservation.
        """
        first = offset >> PAGE_SHIFT
        last = (offset + (size_bytes or 1) - 1) >> PAGE_SHIFT
        if offset < 0 or (last + 1) << PAGE_SHIFT > self.size_bytes:
            raise ValueError(
                f"commit of {size_bytes} bytes at {offset:#x} must end within {self.size_bytes:#x}"
            )
        pages, own = self.pages, self.own
        have = len(pages)
        if first >= have:
            pages.extend([None] * (first - have))
            self.holes += first - have
            pages.extend([ZERO_PAGE] * (last + 1 - first))
            own.extend(bytes(last + 1 - have))
            return last + 1 - first
        new = 0
        if last >= have:
            pages.extend([ZERO_PAGE] * (last + 1 - have))
            own.extend(bytes(last + 1 - have))
            new = last + 1 - have
            last = have - 1
        if not self.holes:
            return new
        for i in range(first, last + 1):
            if pages[i] is None:
                pages[i] = ZERO_PAGE
                own[i] = 0
                new += 1
                self.holes -= 1
        return new

    def decommit(self, offset: int, size_bytes: int) -> int:
        """Give back every page that the range touches; how many were committed [pages]."""
        first = offset >> PAGE_SHIFT
        last = min((offset + max(size_bytes, 1) - 1) >> PAGE_SHIFT, len(self.pages) - 1)
        gone = 0
        for i in range(first, last + 1):
            if self.pages[i] is not None:
                self.pages[i] = None
                self.own[i] = 0
                gone += 1
        self.holes += gone
        return gone

    def clear(self) -> None:
        """Give back everything."""
        self.pages.clear()
        self.own.clear()
        self.holes = 0

    def committed_pages(self) -> int:
        """How many pages are committed."""
        return len(self.pages) - self.holes

    def missing_pages(self, offset: int, size_bytes: int) -> int:
        """How many pages a commit of the range would add."""
        first = offset >> PAGE_SHIFT
        last = (offset + (size_bytes or 1) - 1) >> PAGE_SHIFT
        if not self.holes:
            return max(0, last + 1 - max(first, len(self.pages)))
        part = self.pages[first : last + 1]
        return last + 1 - first - len(part) + part.count(None)

    def is_committed(self, offset: int) -> bool:
        """Whether the page at `offset` is committed."""
        i = offset >> PAGE_SHIFT
        return 0 <= i < len(self.pages) and self.pages[i] is not None

    def committed_run(self, offset: int) -> int:
        """Where the committed range that holds `offset` ends [bytes]; `offset` if none does."""
        pages, first = self.pages, offset >> PAGE_SHIFT
        if not 0 <= first < len(pages) or pages[first] is None:
            return offset
        if not self.holes:
            return len(pages) << PAGE_SHIFT
        end = first
        while end < len(pages) and pages[end] is not None:
            end += 1
        return end << PAGE_SHIFT

    def page(self, i: int) -> Page:
        """Page `i` for reading. Raises AccessViolation(offset) if it is not committed."""
        if 0 <= i < len(self.pages):
            page = self.pages[i]
            if page is not None:
                return page
        raise AccessViolation(i << PAGE_SHIFT, "read")

    def writable_page(self, i: int) -> Page:
        """Page `i` for writing, copied first if anyone shares it.

        Raises AccessViolation(offset) if it is not committed.
        """
        pages: list[Any] = self.pages
        if 0 <= i < len(pages) and pages[i] is not None:
            if not self.own[i]:
                # NOTE: for speed: a page that only this list still holds needs no copy; that is so
                # for every third one, whose sharer has ended.  No variable may hold it here.
                if _references(pages, i) > _ONLY_HOLDER:
                    pages[i] = _copy(pages[i])
                self.own[i] = 1
            page: Page = pages[i]
            return page
        raise AccessViolation(i << PAGE_SHIFT, "write")

    # NOTE: for speed: the accessors below index the page themselves; through `page` and
    # `writable_page` they took twice as long, and a creation makes about 60 of them

    def read32(self, offset: int) -> int:
        """The little-endian word at `offset` (a multiple of 4)."""
        try:
            page: Any = self.pages[offset >> PAGE_SHIFT] if offset >= 0 else None
            word: int = page[(offset & 4095) >> 2]
            return word
        except (IndexError, TypeError):
            raise AccessViolation(offset & -PAGE_BYTES, "read") from None

    def write32(self, offset: int, value: int) -> None:
        """Store a word at `offset` (a multiple of 4); `value` is taken modulo 2^32."""
        i = offset >> PAGE_SHIFT
        if 0 <= i < len(self.own) and self.own[i]:
            page: Any = self.pages[i]
        else:
            page = self.writable_page(i)
        page[(offset & 4095) >> 2] = value & 0xFFFFFFFF

    def read64(self, offset: int) -> int:
        """The little-endian 64-bit word at `offset` (a multiple of 8)."""
        try:
            page: Any = self.pages[offset >> PAGE_SHIFT] if offset >= 0 else None
            i = (offset & 4095) >> 2
            return int(page[i] | page[i + 1] << 32)
        except (IndexError, TypeError):
            raise AccessViolation(offset & -PAGE_BYTES, "read") from None

    def write64(self, offset: int, value: int) -> None:
        """Store a 64-bit word at `offset` (a multiple of 8); `value` is taken modulo 2^64."""
        page: Any = self.writable_page(offset >> PAGE_SHIFT)
        i = (offset & 4095) >> 2
        page[i], page[i + 1] = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF

    def read(self, offset: int, size_bytes: int) -> bytes:
        """The bytes [offset, offset + size_bytes).

        Raises AccessViolation at the first page that is not committed.
        """
        first, start = offset >> PAGE_SHIFT, offset & 4095
        if start + size_bytes <= PAGE_BYTES:
            return self.page(first).cast("B")[start : start + size_bytes].tobytes()
        last = (offset + size_bytes - 1) >> PAGE_SHIFT
        whole = b"".join([self.page(i) for i in range(first, last + 1)])
        return whole[start : start + size_bytes]

    def write(self, offset: int, data: bytes) -> None:
        """Store `data` at `offset`.

        Raises AccessViolation at the first page that is not committed; pages before it are then
        written, as a memcpy would leave them.
        """
        i, start, n = offset >> PAGE_SHIFT, offset & 4095, len(data)
        if start + n <= PAGE_BYTES:
            if 0 <= i < len(self.own) and self.own[i]:
                page: Any = self.pages[i]
            else:
                page = self.writable_page(i)
            page.cast("B")[start : start + n] = data
            return
        at = 0
        while at < n:
            take = min(n - at, PAGE_BYTES - start)
            self.writable_page(i).cast("B")[start : start + take] = data[at : at + take]
            at += take
            i += 1
            start = 0

    def copy_from(self, source: Memory, source_offset: int, offset: int, size_bytes: int) -> None:
        """Copy `size_bytes` from `source`; whole pages are shared until one side writes.

        Both ranges must be committed, else AccessViolation and nothing is copied.
        """
        if size_bytes <= 0:
            return
        if (source_offset | offset) & 4095:
            start = offset & 4095
            if source_offset & 4095 != start or not self._same_head(source, source_offset, offset):
                self.write(offset, source.read(source_offset, size_bytes))
                return
            source_offset, offset, size_bytes = (
                source_offset - start,
                offset - start,
                size_bytes + start,
            )
        s, d = source_offset >> PAGE_SHIFT, offset >> PAGE_SHIFT
        full, tail = size_bytes >> PAGE_SHIFT, size_bytes & 4095
        count = full + (1 if tail else 0)
        if source.holes or s + count > len(source.pages):
            source._must_have(s, count, "read")
        if self.holes or d + count > len(self.pages):
            self._must_have(d, count, "write")
        if tail:
            last, mine = source.pages[s + full], self.pages[d + full]
            if last is mine or _tail(last, tail) == _tail(mine, tail):
                full += 1  # the rest of the page is equal: share it like the others
            else:
                self.write((d + full) << PAGE_SHIFT, _head(last, tail))
        self.pages[d : d + full] = source.pages[s : s + full]
        self.own[d : d + full] = source.own[s : s + full] = bytes(full)

    def head_copy(self, size_bytes: int) -> Memory:
        """Another memory of the same reservation that holds the first `size_bytes` and no more.

        Raises AccessViolation at the first page that is not committed here.
        """
        end = self.committed_run(0)
        if size_bytes > end:
            raise AccessViolation(end, "read")
        twin = Memory(self.size_bytes)
        if size_bytes:
            twin.commit(0, size_bytes)
            twin.copy_from(self, 0, 0, size_bytes)
        return twin

    def _must_have(self, first: int, count: int, what: str) -> None:
        """Raise AccessViolation at the first of the pages that is not committed, if any."""
        part = self.pages[first : first + count]
        bad = next((k for k, page in enumerate(part) if page is None), len(part))
        if bad < count:
            raise AccessViolation((first + bad) << PAGE_SHIFT, what)

    def _same_head(self, source: Memory, source_offset: int, offset: int) -> bool:
        """Whether two pages hold the same bytes before these places, which are alike in them."""
        theirs, mine = source.page(source_offset >> PAGE_SHIFT), self.page(offset >> PAGE_SHIFT)
        start = offset & 4095
        return theirs is mine or _head(theirs, start) == _head(mine, start)

    def fork_copy(self) -> Memory:
        """Another `Memory` with the same bytes, every page shared until one side writes."""
        twin = Memory(self.size_bytes)
        twin.pages = self.pages.copy()
        count = len(twin.pages)
        twin.own = bytearray(count)
        twin.holes = self.holes
        self.own = bytearray(count)
        return twin
