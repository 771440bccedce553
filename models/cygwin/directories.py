"""The working directory and the root, which lie in the cygheap and so are inherited.

cwd is two strings (HEAP_STR), the POSIX name and the Win32 name, reallocated in place where they
fit.  A chroot is one record of 528 bytes (HEAP_MOUNT) behind a pointer in the heap's header, made
by the first chroot and freed by a chroot to `/`; a process that was never confined has none.

Source: path.cc and cygheap.cc of aa9d50a1c (CYGWIN.md §a8, §b4): the record's size and that nothing
else frees it; its type, how its words lie and that `/` frees it are assumed.
"""

from __future__ import annotations

from struct import Struct

from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.layout import HeapType

ROOT_RECORD = Struct("<260sI260sI")  # POSIX name, its length, Win32 name, its length
NAME_BYTES = 259  # longest name that the record holds, without NUL


def set_cwd(heap: Cygheap, posix: bytes, win32: bytes) -> None:
    """The working directory has these names from now on."""
    cwd = heap.era.cwd_offset
    for offset, name in ((cwd, posix), (cwd + 4, win32)):
        block = heap.crealloc(heap.memory.read32(offset), len(name) + 1)
        heap.memory.write32(offset, block)
        heap.memory.write(block - heap.base, name + b"\0")


def cwd_of(heap: Cygheap) -> bytes:
    """The POSIX name of the working directory, b"" before the first chdir."""
    return heap.string(heap.memory.read32(heap.era.cwd_offset))


def set_root(heap: Cygheap, posix: bytes, win32: bytes) -> None:
    """The root of all names from now on; `/` lifts it. Raises ValueError for a longer name."""
    for name in (posix, win32):
        if len(name) > NAME_BYTES:
            raise ValueError(
                f"root ({len(name)} characters) must have at most {NAME_BYTES} of them"
            )
    offset = heap.era.root_offset
    record = heap.memory.read32(offset)
    if posix == b"/":
        if record:
            heap.cfree(record)
            heap.memory.write32(offset, 0)
        return
    if not record:
        record = heap.ccalloc(HeapType.HEAP_MOUNT, 1, ROOT_RECORD.size)
        heap.memory.write32(offset, record)
    heap.memory.write(record - heap.base, ROOT_RECORD.pack(posix, len(posix), win32, len(win32)))


def root_of(heap: Cygheap) -> bytes:
    """The POSIX name of the root, b"/" where there was no chroot."""
    record = heap.memory.read32(heap.era.root_offset)
    if not record:
        return b"/"
    name, length, _, _ = ROOT_RECORD.unpack(heap.memory.read(record - heap.base, ROOT_RECORD.size))
    return bytes(name[:length])
