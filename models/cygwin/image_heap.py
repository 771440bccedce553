"""A cygheap that is a section of the DLL's image, as from 2005 on: nothing reserves or commits it.

Assumed: that it cannot grow past its section; the real one went on behind the image.
Source: CYGWIN.md §a8, §d; logs of 1.5.18 and 1.7.7, which have no VirtualAlloc of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.win32.errors import ERROR_INVALID_ADDRESS, Win32Error

if TYPE_CHECKING:
    from models.cygwin.children import Commit
    from models.cygwin.process import CygwinProcess
    from models.cygwin.version import Version
    from models.win32.address_space import Region


def section(p: CygwinProcess) -> Region:
    """Where the heap is in a process, before anything was done to it."""
    region = p.me.process.space.find(p.version.heap_address)
    assert region is not None
    return region


def first(p: CygwinProcess) -> Region:
    """The place of a first process's heap: reserved, if the image has none."""
    version = p.version
    if version.heap_in_image:
        return section(p)
    size = version.era.cygheapsize
    return p.k.virtual_reserve(p.me, version.heap_address, size, "cygheap")


def committer(version: Version) -> Commit:
    """What takes the place of a commit: pages are there. Raises Win32Error 487 past the end."""

    def commit(offset: int, size_bytes: int) -> None:
        if offset + size_bytes > version.era.reserve_bytes:
            raise Win32Error(ERROR_INVALID_ADDRESS, "cygheap", "the DLL's section is full")

    return commit
