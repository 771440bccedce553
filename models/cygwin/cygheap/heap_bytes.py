"""The cygheap's bytes by absolute address, as the process's own loads and stores see them.

An access faults where the real one would: at the first byte that is not committed.  Every address
is taken modulo 2^32 here, modulo 2^64 in `modern_bytes`; words may be unaligned (a damaged heap has
such pointers).
"""

from __future__ import annotations

from collections.abc import Callable

from models.win32.errors import AccessViolation
from models.win32.memory import Memory

_MASK = 0xFFFFFFFF
_PIECE_BYTES = 1 << 20  # of a long run that is cleared -- chosen


class HeapBytes:
    """Memory at an address.

    memory: may be shared with other processes (a section) -- input
    base: address of the memory's first byte, 64 KiB aligned -- constant
    word, set_word: load and store a pointer at an offset that is a multiple of its size -- constant
    """

    __slots__ = ("base", "memory", "set_word", "word")
    address_mask = _MASK

    def __init__(self, memory: Memory, base: int) -> None:
        self.memory = memory
        self.base = base
        self.word: Callable[[int], int] = memory.read32
        self.set_word: Callable[[int, int], None] = memory.write32

    def store(self, user: int, content: bytes) -> None:
        """Write `content` at an absolute address, upwards until it is done or faults."""
        offset = user - self.base
        room = self._room(offset, len(content))
        self.memory.write(offset, content[:room] if room < len(content) else content)
        if room < len(content):
            raise AccessViolation((user + room) & self.address_mask, "write")

    def load(self, user: int, size_bytes: int) -> bytes:
        """The bytes at an absolute address. Raises AccessViolation at the first bad one."""
        offset = user - self.base
        room = self._room(offset, size_bytes)
        if room < size_bytes:
            raise AccessViolation((user + room) & self.address_mask, "read")
        return self.memory.read(offset, size_bytes)

    def clear(self, user: int, size_bytes: int) -> None:
        """Write zeros, upwards until it is done or faults."""
        offset = user - self.base
        room = self._room(offset, size_bytes)
        for at in range(0, room, _PIECE_BYTES):
            self.memory.write(offset + at, bytes(min(_PIECE_BYTES, room - at)))
        if room < size_bytes:
            raise AccessViolation((user + room) & self.address_mask, "write")

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
        return min(size_bytes, self.memory.committed_run(offset) - offset)

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
