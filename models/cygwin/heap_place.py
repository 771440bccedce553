"""Where a first process's cygheap lies: reserved, in a section, or in the DLL's own image.

Reserved (VirtualAlloc) in most releases until 2005.  From 2001-07-17 to 2001-08-04, and on NT for
eleven days from 2001-08-20, it was a view of a section wherever the system put it.  From 2005 on it
is a section of the DLL's image: nothing reserves or commits it.

Assumed: that a heap in the image cannot grow past its section; the real one went on behind it.
Source: CYGWIN.md §0, §a8, §d; logs of 1.5.18 and 1.7.7, which have no VirtualAlloc of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.win32.errors import ERROR_INVALID_ADDRESS, Win32Error

if TYPE_CHECKING:
    from models.cygwin.children import Commit
    from models.cygwin.process import CygwinProcess
    from models.cygwin.version import Version
    from models.win32.address_space import Region
    from models.win32.thread import Thread


def section(p: CygwinProcess) -> Region:
    """Where the heap is in a process whose DLL has it in its image."""
    region = p.me.process.space.find(p.version.heap_address)
    assert region is not None
    return region


def first(p: CygwinProcess) -> Region:
    """The place of a first process's heap. Raises Win32Error if it is taken."""
    k, version = p.k, p.version
    size = version.era.cygheapsize
    if version.heap_in_image:
        return section(p)
    if p.k.system.name in version.first_heap_in_section:
        handle, _ = k.create_file_mapping(p.me, size, reserve=True, role="cygheap")
        return k.map_view_of_file_ex(p.me, handle, version.heap_address, "cygheap")
    return k.virtual_reserve(p.me, version.heap_address, size, "cygheap")


def committer(p: CygwinProcess, base: int, me: Thread) -> Commit:
    """How the heap at `base` gets its memory when `me` allocates."""
    k, version = p.k, p.version
    if version.heap_in_image:
        return _in_image(version)
    touched = version.era.touched_bytes
    return lambda offset, size_bytes: k.virtual_commit(me, base + offset, size_bytes, touched)


def _in_image(version: Version) -> Commit:
    """What takes the place of a commit: pages are there. Raises Win32Error 487 past the end."""

    def commit(offset: int, size_bytes: int) -> None:
        if offset + size_bytes > version.era.reserve_bytes:
            raise Win32Error(ERROR_INVALID_ADDRESS, "cygheap", "the DLL's section is full")

    return commit
