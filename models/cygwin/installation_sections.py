"""The sections that all processes of an installation share: its table of terminals, its mounts.

Source: shared.cc of aa9d50a1c; order of calls from the logs.
"""

from __future__ import annotations

from models.cygwin.child_info import ChildInfo
from models.cygwin.process import CygwinProcess
from models.win32.address_space import Region
from models.win32.errors import Win32Error


def shared(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The section that all Cygwin processes share; its inherited handle stands in the heap."""
    if info is None:
        p.h_shared = open_or_make(p, "cygwin1.shared", p.version.shared_bytes, "cygwin shared")
    else:
        p.h_shared = p.heap.memory.read32(p.heap.era.shared_offset)
    map_shared(p)


def map_shared(p: CygwinProcess) -> Region:
    """The view of the section that all share: at its place, or anywhere if that cannot be."""
    k, me = p.k, p.me
    try:
        return k.map_view_of_file_ex(me, p.h_shared, p.version.shared_address, "cygwin shared")
    except Win32Error:
        return k.map_view_of_file_ex(me, p.h_shared, 0, "cygwin shared")


def root(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The mount table: made or opened by a first process, inherited after that."""
    k, me = p.k, p.me
    if info is None:
        p.h_root = open_or_make(p, "cygwin1.root", p.version.root_bytes, "cygwin root")
    else:
        p.h_root = info.mount_h
    k.map_view_of_file_ex(me, p.h_root, name="cygwin root")


def open_or_make(p: CygwinProcess, name: str, size_bytes: int, role: str) -> int:
    """A section of the installation: the first process that wants it makes it."""
    handle = p.k.open_file_mapping(p.me, name, inherit=True)
    if handle is None:
        handle, _ = p.k.create_file_mapping(p.me, size_bytes, inherit=True, name=name, role=role)
    return handle


def open_root(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The mount table, opened by name whoever the parent is."""
    k, me = p.k, p.me
    p.h_root = k.open_file_mapping(me, "cygwin1.root", inherit=True) or 0
    k.map_view_of_file_ex(me, p.h_root, name="cygwin root")
