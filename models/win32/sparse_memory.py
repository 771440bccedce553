"""Committed bytes of a reservation that is far larger than what is used of it.

A `Memory` has an entry for every page up to its last committed one.  Here committed ranges are a
short sorted list and only pages that somebody wrote take space, so a commit at 8 GiB costs as much
as one at 0.  Otherwise it behaves like a `Memory`: a copy shares pages until one side writes.

What must stay true: ranges are disjoint, ascending and do not touch; every page that is kept lies
in one; a page in `mine` is held by no other `SparseMemory`.
"""

from __future__ import annotations

from bisect import bisect_right

from models.win32.errors import AccessViolation
from models.win32.memory import PAGE_BYTES, PAGE_SHIFT, ZERO_PAGE, Page


class SparseMemory:
    """Bytes behind a region, from offset 0 to `size_bytes`.

    mine: pages that nobody else holds, by number -- state
    shared: pages that another `SparseMemory` may hold too, by number -- state
    starts, ends: committed ranges [pages] -- state
    size_bytes: what was reserved, a multiple of the page size -- constant
    """

    __slots__ = ("ends", "mine", "shared", "size_bytes", "starts")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = (size_bytes + PAGE_BYTES - 1) & -PAGE_BYTES
        self.mine: dict[int, Page] = {}
        self.shared: dict[int, Page] = {}
        self.starts: list[int] = []
        self.ends: list[int] = []

    def commit(self, offset: int, size_bytes: int) -> int:
        """Commit every page that [offset, offset + size_bytes) touches; how many were new [pages].

        Pages committed before keep their bytes. Raises ValueError beyond the reservation.
        """
        first = offset >> PAGE_SHIFT
        end = ((offset + (size_bytes or 1) - 1) >> PAGE_SHIFT) + 1
        if offset < 0 or end << PAGE_SHIFT > self.size_bytes:
            raise ValueError(
                f"commit of {size_bytes} bytes at {offset:#x} must end within {self.size_bytes:#x}"
            )
        # ranges that overlap [first, end) or touch it become one with it
        low = bisect_right(self.starts, first)
        if low and self.ends[low - 1] >= first:
            low -= 1
        high = bisect_right(self.starts, end)
        before = sum(self.ends[low:high]) - sum(self.starts[low:high])
        if low < high:
            first = min(first, self.starts[low])
            end = max(end, self.ends[high - 1])
        self.starts[low:high] = [first]
        self.ends[low:high] = [end]
        return end - first - before

    def committed_pages(self) -> int:
        """How many pages are committed."""
        return sum(self.ends) - sum(self.starts)

    def committed_run(self, offset: int) -> int:
        """Where the committed range that holds `offset` ends [bytes]; `offset` if none does."""
        i = bisect_right(self.starts, offset >> PAGE_SHIFT) - 1
        if offset < 0 or i < 0:
            return offset
        return max(offset, self.ends[i] << PAGE_SHIFT)

    def page(self, i: int) -> Page:
        """Page `i` for reading. Raises AccessViolation(offset) if it is not committed."""
        page = self.mine.get(i) or self.shared.get(i)
        if page is None:
            self._check(i, "read")
            return ZERO_PAGE
        return page

    def writable_page(self, i: int) -> Page:
        """Page `i` for writing, copied first if anyone shares it.

        Raises AccessViolation(offset) if it is not committed.
        """
        page = self.mine.get(i)
        if page is None:
            old = self.shared.pop(i, None)
            if old is None:
                self._check(i, "write")
                old = ZERO_PAGE
            page = self.mine[i] = memoryview(bytearray(old)).cast("I")
        return page

    def read(self, offset: int, size_bytes: int) -> bytes:
        """The bytes [offset, offset + size_bytes).

        Raises AccessViolation at the first page that is not committed.
        """
        first, start = offset >> PAGE_SHIFT, offset & (PAGE_BYTES - 1)
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
        i, start, at, n = offset >> PAGE_SHIFT, offset & (PAGE_BYTES - 1), 0, len(data)
        while at < n:
            take = min(n - at, PAGE_BYTES - start)
            self.writable_page(i).cast("B")[start : start + take] = data[at : at + take]
            at += take
            i += 1
            start = 0

    def head_copy(self, size_bytes: int) -> SparseMemory:
        """Another memory of the same reservation that holds the first `size_bytes` and no more.

        Whole pages are shared until one side writes; nothing else is committed in the copy. Raises
        AccessViolation at the first page that is not committed here.
        """
        end = self.committed_run(0)
        if size_bytes > end:
            raise AccessViolation(end, "read")
        twin = SparseMemory(self.size_bytes)
        if not size_bytes:
            return twin
        twin.commit(0, size_bytes)
        self.shared |= self.mine
        self.mine = {}
        full, tail = size_bytes >> PAGE_SHIFT, size_bytes & (PAGE_BYTES - 1)
        twin.shared = {i: page for i, page in self.shared.items() if i < full}
        if tail and full in self.shared:
            twin.write(full << PAGE_SHIFT, self.read(full << PAGE_SHIFT, tail))
        return twin

    def _check(self, i: int, what: str) -> None:
        """Raises AccessViolation unless page `i` is committed."""
        at = bisect_right(self.starts, i) - 1
        if at < 0 or i >= self.ends[at]:
            raise AccessViolation(i << PAGE_SHIFT, what)
