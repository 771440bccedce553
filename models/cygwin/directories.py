"""The working directory and the root, which lie in the cygheap and so are inherited.

cwd is two strings (HEAP_STR), the POSIX name and the Win32 name, reallocated in place where they
fit.  A chroot is one record of 528 bytes (HEAP_MOUNT) behind a pointer in the heap's header, made
by the first chroot and freed by a chroot to `/`; a process that was never confined has none.

Source: path.cc and cygheap.cc of aa9d50a1c (CYGWIN.md §a8, §b4): the record's size and that nothing
else frees it; its type, how its words lie and that `/` frees it are assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.cygwin import early_process
from models.cygwin.cygheap.heap import Heap
from models.cygwin.cygheap.layout import HeapType

if TYPE_CHECKING:
    from models.cygwin.child_info import ChildInfo
    from models.cygwin.process import CygwinProcess


def set_cwd(heap: Heap, posix: bytes, win32: bytes) -> None:
    """The working directory has these names from now on."""
    era = heap.era
    names = [(era.cwd_offset, posix + b"\0"), (era.cwd_win32_offset, win32 + b"\0")]
    if era.wide_names:
        names = [(era.cwd_win32_offset, win32.decode().encode("utf-16-le") + b"\0\0"), names[0]]
    for offset, name in names:
        block = heap.crealloc(heap.word(offset), len(name))
        heap.set_word(offset, block)
        heap.memory.write(block - heap.base, name)


def change(p: CygwinProcess, posix: bytes, win32: bytes) -> None:
    """chdir(): in the heap, or without one in a variable of the DLL's."""
    if p.version.has_heap:
        set_cwd(p.heap, posix, win32)
    else:
        p.directory = posix


def directory_of(p: CygwinProcess) -> bytes:
    """getcwd(), b"" before the first chdir."""
    return cwd_of(p.heap) if p.version.has_heap else p.directory


def confine(p: CygwinProcess, posix: bytes, win32: bytes) -> None:
    """chroot(): in the heap, or without one in the process's record. Raises ValueError."""
    if p.version.has_heap:
        set_root(p.heap, posix, win32)
    else:
        early_process.chroot(p, posix)


def cwd_of(heap: Heap) -> bytes:
    """The POSIX name of the working directory, b"" before the first chdir."""
    return heap.string(heap.word(heap.era.cwd_offset))


def set_root(heap: Heap, posix: bytes, win32: bytes) -> None:
    """The root of all names from now on; `/` lifts it. Raises ValueError for a longer name."""
    layout = heap.era.root_record
    longest = layout.size // 2 - 5  # without NUL and the word of its length
    for name in (posix, win32):
        if len(name) > longest:
            raise ValueError(f"root ({len(name)} characters) must have at most {longest} of them")
    offset = heap.era.root_offset
    record = heap.word(offset)
    if posix == b"/":
        if record:
            heap.cfree(record)
            heap.set_word(offset, 0)
        return
    if not record:
        record = heap.ccalloc(HeapType.HEAP_MOUNT, 1, layout.size)
        heap.set_word(offset, record)
    heap.memory.write(record - heap.base, layout.pack(posix, len(posix), win32, len(win32)))


def root_of(heap: Heap) -> bytes:
    """The POSIX name of the root, b"/" where there was no chroot."""
    layout, record = heap.era.root_record, heap.word(heap.era.root_offset)
    if not record:
        return b"/"
    name, length, _, _ = layout.unpack(heap.memory.read(record - heap.base, layout.size))
    return bytes(name[:length])


def root_name(p: CygwinProcess) -> bytes:
    """The POSIX name of a process's root."""
    return root_of(p.heap) if p.version.has_heap else early_process.root_of(p)


def ask(p: CygwinProcess) -> None:
    """Where an image does not inherit the names of its directory: find them out, once.

    Source: logs of 1.1.8, whose heap grows by both names in each image that execs, and not in one
    that only forks.
    """
    heap, names = p.heap, p.version.directory
    if names is not None and not heap.word(heap.era.cwd_offset):
        set_cwd(heap, *names)


def forget(p: CygwinProcess, info: ChildInfo | None) -> None:
    """A new image of such a release: the names stay where they are, and nobody refers to them."""
    for offset in (p.heap.era.cwd_offset, p.heap.era.cwd_win32_offset):
        p.heap.set_word(offset, 0)
