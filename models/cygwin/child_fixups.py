"""What a child does about descriptors whose handles did not come along.

A fork child fetches them from its living parent and makes sockets anew from the protocol
information in its copy of the heap; where that is stale, it has the socket that it inherited, or
fetches it too.

Source: fhandler.cc, fhandler_socket.cc of aa9d50a1c (CYGWIN.md §f); order of calls from the logs.
"""

from __future__ import annotations

from models.cygwin.descriptors import PIPE, SOCKET, WRITES, DescriptorTable
from models.cygwin.process import CygwinProcess
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.objects import File, PipeEnd


def descriptors_after_fork(p: CygwinProcess, parent: int) -> None:
    """The table as the parent left it in the heap, fixed up; without a heap it is there already."""
    if p.version.has_heap:
        p.fds = DescriptorTable(p.heap)
        p.fds.read()
        fixup_after_fork(p, parent)


def fixup_after_fork(p: CygwinProcess, parent: int) -> None:
    """Handles that were not inherited are fetched from the parent, sockets made anew (§f)."""
    for d in p.fds.open.values():
        if d.kind == PIPE and p.version.pipe_guards and reads(p, d.handle):
            p.k.create_event(p.me, manual=False, role="pipe guard")
        if d.info:
            d.handle, d.second = new_socket(p, d.info, (d.handle, d.second), parent)
        elif d.cloexec:
            d.handle, d.second = (_fetch(p, parent, h) for h in (d.handle, d.second))
        else:
            continue
        p.fds.store(d)


def _fetch(p: CygwinProcess, parent: int, handle: int) -> int:
    if not handle or not parent:
        return 0
    return p.k.duplicate_handle(p.me, parent, handle, CURRENT_PROCESS)


def new_socket(
    p: CygwinProcess, info: int, handles: tuple[int, int], parent: int
) -> tuple[int, int]:
    """WSASocket from what lies in this heap; where that is stale, the handle from the parent."""
    raw = p.heap.memory.read(info - p.heap.base, 16)
    made = []
    for i, handle in enumerate(handles):
        if not handle:
            made.append(0)
            continue
        try:
            made.append(p.k.wsa_socket(p.me, raw[8 * i :], inherit=False))
        except Win32Error:
            made.append(handle if _is_socket(p, handle) else _fetch(p, parent, handle))
    return made[0], made[1]


def reads(p: CygwinProcess, handle: int) -> bool:
    """Whether the handle is that of a pipe's read end."""
    obj = p.me.process.handles.look(handle)
    return not (
        obj.writes if isinstance(obj, PipeEnd) else isinstance(obj, File) and obj.what == WRITES
    )


def _is_socket(p: CygwinProcess, handle: int) -> bool:
    """Whether the socket itself was inherited."""
    handles = p.me.process.handles
    obj = handles.look(handle)
    return isinstance(obj, File) and obj.what == SOCKET and handles.inherits(handle)
