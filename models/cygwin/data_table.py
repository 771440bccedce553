"""The descriptor table of a Cygwin without a cygheap: in the process's own data.

A fork child has it because its parent writes the DLL's data into it (`dll_data.py`); an image after
an exec or a spawn finds it behind child_info in lpReserved2, without what is closed at exec.  Both
times it is a row of bytes: how many there are, then for each its number, fhandler and two names.

What must stay true: nothing passes from a process to its child but these bytes.

Source: logs of 1.1.1 and 1.1.3, where a pipe takes 86 bytes of lpReserved2 and /dev/null 78: 64 and
two names with their NUL.  How the 64 are filled is assumed.
"""

from __future__ import annotations

from struct import Struct

from models.cygwin.descriptors import CLASSES, Descriptor, DescriptorTable

FHANDLER_BYTES = 64
_COUNT = Struct("<I")
_HEAD = Struct("<IBBHII")  # number, class, close-on-exec, unused, handle, second handle


class DataTable(DescriptorTable):
    """dtable of a process that has no heap to keep it in."""

    __slots__ = ()

    def __init__(self) -> None:
        self.open = {}
        self.held = None
        self._sockets = 0

    def add(
        self,
        fd: int,
        kind: str,
        handle: int,
        second: int,
        cloexec: bool,
        win32_name: bytes,
        name: bytes,
        counted: bool = True,
        extend_first: bool = True,
    ) -> Descriptor:
        """Open `fd`, which must be free."""
        made = Descriptor(0, kind, handle, second, cloexec)
        made.texts = win32_name, name
        self.open[fd] = made
        return made

    def names(self, descriptor: Descriptor) -> tuple[bytes, bytes]:
        """The Win32 and POSIX names of a descriptor."""
        return descriptor.texts or (b"", b"")

    def remove(self, fd: int) -> Descriptor:
        """Forget `fd`; its handles are the caller's to close."""
        return self.open.pop(fd)

    def store(self, descriptor: Descriptor) -> None:
        """Nothing lies anywhere until the table is packed."""

    def blocks(self) -> list[int]:
        """It has no blocks of a heap."""
        return []


def packed(table: DescriptorTable, execed: bool = False) -> bytes:
    """A table as a row of bytes; `execed`: without what is closed at exec."""
    kept = {fd: d for fd, d in table.open.items() if not (execed and d.cloexec)}
    rows = [_COUNT.pack(len(kept))]
    for fd, d in sorted(kept.items()):
        number = CLASSES.index(d.kind)
        head = _HEAD.pack(fd, number, d.cloexec, 0, d.handle, d.second)
        texts = (text.partition(b"\0")[0] + b"\0" for text in table.names(d))
        rows += (head.ljust(FHANDLER_BYTES, b"\0"), *texts)
    return b"".join(rows)


def unpacked(row: bytes) -> DataTable:
    """The table that such a row of bytes describes."""
    table = DataTable()
    at = _COUNT.size
    for _ in range(_COUNT.unpack_from(row)[0]):
        fd, number, cloexec, _, handle, second = _HEAD.unpack_from(row, at)
        middle = row.index(b"\0", at + FHANDLER_BYTES)
        end = row.index(b"\0", middle + 1)
        names = row[at + FHANDLER_BYTES : middle], row[middle + 1 : end]
        table.add(fd, CLASSES[number], handle, second, bool(cloexec), *names)
        at = end + 1
    return table
