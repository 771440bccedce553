"""The cygheap's bytes by absolute address, as the process's own loads and stores see them.

An access faults where the real one would: at the first byte that is not committed.  Every address
is taken modulo 2^32; words may be unaligned (a damaged heap has such pointers).

What must stay true: pages are committed from the base upwards without a gap, as csbrk does it.
"""

from __future__ import annotations

from models.win32.errors import AccessViolation
from models.win32.memory import Memory

_MASK = 0xFFFFFFFF


class HeapBytes:
    """Memory at an address.

    memory: may be shared with other processes (a section) -- input
    base: address of the memory's first byte, 64 KiB aligned -- constant
    """

    __slots__ = ("base", "memory")

    def __init__(self, memory: Memory, base: int) -> None:
        self.memory = memory
        self.base = base

    def store(self, user: int, content: bytes) -> None:
        """Write `content` at an absolute address, upwards until it is done or faults."""
        offset = user - self.base
        room = self._room(offset, len(content))
        self.memory.write(offset, content[:room] if room < len(content) else content)
        if room < len(content):
            raise AccessViolation((user + room) & _MASK, "write")

    def load(self, user: int, size_bytes: int) -> bytes:
        """The bytes at an absolute address. Raises AccessViolation at the first bad one."""
        offset = user - self.base
        room = self._room(offset, size_bytes)
        if room < size_bytes:
            raise AccessViolation((user + room) & _MASK, "read")
        return self.memory.read(offset, size_bytes)

    def _load(self, address: int) -> int:
        """The word at an absolute address, aligned or not."""
        address &= _MASK
        offset = address - self.base
        if offset >= 0:
            try:
                if offset & 3:
                    return int.from_bytes(self.memory.read(offset, 4), "little")
                return self.memory.read32(offset)
            except AccessViolation as error:
                raise self._violation(error, offset, "read") from None
        raise AccessViolation(address, "read")

    def _store(self, address: int, value: int) -> None:
        address &= _MASK
        offset = address - self.base
        if offset < 0:
            raise AccessViolation(address, "write")
        try:
            if offset & 3:
                self.memory.write(offset, (value & _MASK).to_bytes(4, "little"))
            else:
                self.memory.write32(offset, value)
        except AccessViolation as error:
            raise self._violation(error, offset, "write") from None

    def _writable(self, i: int) -> memoryview:
        """Page `i` for writing; a fault names the absolute address."""
        try:
            return self.memory.writable_page(i)
        except AccessViolation as error:
            raise self._violation(error, 0, "write") from None

    def _violation(self, error: AccessViolation, offset: int, what: str) -> AccessViolation:
        """The fault as the process sees it: the first bad byte of an access at `offset`."""
        return AccessViolation((self.base + max(error.address, offset)) & _MASK, what)

    def _room(self, offset: int, size_bytes: int) -> int:
        """How many of the bytes from `offset` on are committed."""
        if offset < 0:
            return 0
        pages = self.memory.pages
        i = offset >> 12
        while i < len(pages) and pages[i] is not None and (i << 12) < offset + size_bytes:
            i += 1
        return max(0, min(size_bytes, (i << 12) - offset))

    def _clear(self, user: int, n: int) -> None:
        room = self._room(user - self.base, n)
        if room:
            self.memory.write(user - self.base, bytes(room))
        if room < n:
            raise AccessViolation((user + room) & _MASK, "write")

    def _copy(self, source: int, target: int, size_bytes: int) -> None:
        """memcpy, upwards; it faults where the first of the two ends."""
        readable = self._room(source - self.base, size_bytes)
        writable = self._room(target - self.base, size_bytes)
        whole = min(readable, writable)
        if whole:
            self.memory.write(target - self.base, self.memory.read(source - self.base, whole))
        if whole < size_bytes:
            if readable == whole:
                raise AccessViolation((source + whole) & _MASK, "read")
            raise AccessViolation((target + whole) & _MASK, "write")
