"""What 1.7.7 does otherwise before main(): its sections have places of their own below the DLL.

Source: calls of the logs of 1.7.7; what each section is for: shared.cc of 2010.
"""

from __future__ import annotations

from collections.abc import Callable

from models.cygwin import children
from models.cygwin.arguments import read_arguments
from models.cygwin.child_info import ChildInfo
from models.cygwin.process import CygwinProcess
from models.win32.address_space import Region
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS

SHARED_AT, USER_AT, PINFO_AT = 0x60FB0000, 0x60FC0000, 0x60FE0000  # as its logs have them


def _shared_at(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The section of all Cygwin processes: no handle of it is handed on."""
    size = p.version.shared_bytes
    p.h_shared = _named(p, "cygwin1.shared", size, SHARED_AT, "cygwin shared")


def _user_at(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The section of all processes of a user, with the mount table."""
    p.h_root = _named(p, "cygwin1.user", p.version.root_bytes, USER_AT, "cygwin root")


def _named(p: CygwinProcess, name: str, size_bytes: int, address: int, role: str) -> int:
    handle, _ = p.k.create_file_mapping(p.me, size_bytes, inherit=True, name=name, role=role)
    _map_at(p, handle, address, role)
    return handle


def _map_at(p: CygwinProcess, handle: int, address: int, role: str) -> Region:
    """A view at its place; anywhere on 98, whose views have a place of their own."""
    try:
        return p.k.map_view_of_file_ex(p.me, handle, address, role)
    except Win32Error:
        return p.k.map_view_of_file_ex(p.me, handle, 0, role)


def _pinfo_at(p: CygwinProcess, info: ChildInfo | None) -> None:
    """Own pinfo: under the own pid, or handed on by an exec."""
    k, me = p.k, p.me
    if info is not None and info.takes_over:
        p.handed = read_arguments(p.heap, info.moreinfo)
        p.h_pinfo = k.duplicate_handle(
            me, CURRENT_PROCESS, p.handed.pinfo, CURRENT_PROCESS, close_source=True
        )
    else:
        name = children.pinfo_name(me.process.pid)
        p.h_pinfo, _ = k.create_file_mapping(me, p.version.pinfo_bytes, name=name, role="pinfo")
    region = _map_at(p, p.h_pinfo, PINFO_AT, "cygpid")
    assert region.memory is not None
    p.pinfo, p.pinfo_view = region.memory, region
    p.pid = info.cygpid if info is not None and info.takes_over else me.process.pid
    p.pinfo.write32(children.PID, p.pid)
    p.pinfo.write32(children.WINPID, me.process.pid)


CALLS: dict[str, Callable[[CygwinProcess, ChildInfo | None], None]] = {
    "shared-at": _shared_at,
    "user-at": _user_at,
    "pinfo-at": _pinfo_at,
}
