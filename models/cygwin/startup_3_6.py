"""What Cygwin 3.6 does otherwise before main(): the child fetches its parent's memory.

A fork child reads heap, DLL data, user heap and program data out of the waiting parent; only the
stack and the data of other DLLs are written into it, between its two reports.  A child of exec or
spawn reports from its main thread, as soon as it has its descriptors and its children.

Source: dcrt0.cc and fork.cc of c6680700f (MODERN.md §6.1, §6.2).
"""

from __future__ import annotations

from collections.abc import Callable

from models.cygwin import children, exec_pipe
from models.cygwin.child_info import ChildInfo
from models.cygwin.errors import ApiFatal, ForkAborted
from models.cygwin.process import CygwinProcess
from models.cygwin.version import FORK_WAIT_MS
from models.win32.errors import PartialCopy, Win32Error
from models.win32.memory import PAGE_BYTES
from sim.engine import Steps


def child_copy(p: CygwinProcess, parent: int, what: str, address: int, size_bytes: int) -> Steps:
    """One ReadProcessMemory of a range that lies alike in both. In the child. Raises ApiFatal."""
    k, me = p.k, p.me
    if not size_bytes:
        return
    try:
        yield from k.read_process_memory(me, parent, address, address, size_bytes)
    except Win32Error as error:
        done = error.done_bytes if isinstance(error, PartialCopy) else 0
        raise ApiFatal(
            f"{what} read copy failed, {address:#x}..{address + size_bytes:#x}, done {done}, "
            f"windows pid {me.process.parent_pid}, Win32 error {error.code}"
        ) from error


def no_user_heap(info: ChildInfo, size_bytes: int, code: int) -> ForkAborted:
    """What a fork child says whose user heap has no room where its parent has it (mm/heap.cc)."""
    top = info.heapbase + info.heap_bytes
    return ForkAborted(
        f"couldn't allocate heap, Win32 error {code}, base {info.heapbase:#x}, top {top:#x}, "
        f"reserve_size {size_bytes}, allocsize {info.heap_bytes}, page_const {PAGE_BYTES}"
    )


def last_wait(p: CygwinProcess, info: ChildInfo) -> Steps:
    """The second wait for the parent, which comes whether there is anything to load or not."""
    k, me = p.k, p.me
    if (yield from k.wait_for_single_object(me, info.forker_finished, FORK_WAIT_MS)):
        raise ApiFatal("WFSO timed out")
    for handle in (info.parent, info.subproc_ready, info.forker_finished):
        k.close_handle(me, handle)


def _fork_walk(p: CygwinProcess, info: ChildInfo | None) -> None:
    """A fork child frees what no child is to have; nothing is marked."""
    p.heap.walk(execed=False)


def _proc_pipe(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The write end by which the parent learns of this process's end."""
    assert info is not None
    p.wr_proc_pipe = info.wr_proc_pipe


def _dll_memory(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    """Data and bss of the DLL, then the user heap."""
    assert info is not None
    yield from child_copy(p, info.parent, "dll data", *p.version.dll_data)
    yield from child_copy(p, info.parent, "dll bss", *p.version.dll_bss)
    yield from child_copy(p, info.parent, "user heap", info.heapbase, info.heap_bytes)


def _program_memory(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    assert info is not None
    yield from child_copy(p, info.parent, "data", *p.version.exe_data)
    yield from child_copy(p, info.parent, "bss", *p.version.exe_bss)


def _pinfo_by_name(p: CygwinProcess, info: ChildInfo | None) -> None:
    """Own pinfo, under the pid that an exec keeps."""
    assert info is not None
    k, me = p.k, p.me
    p.pid = info.cygpid if info.takes_over else me.process.pid
    name = children.pinfo_name(p.pid)
    p.h_pinfo, _ = k.create_file_mapping(me, p.version.pinfo_bytes, name=name, role="pinfo")
    region = k.map_view_of_file_ex(me, p.h_pinfo, name="cygpid", ex=p.version.pinfo_view_ex)
    assert region.memory is not None
    p.pinfo = region.memory
    p.pinfo.write32(children.PID, p.pid)
    p.pinfo.write32(children.WINPID, me.process.pid)


def _reattach(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    assert info is not None
    yield from exec_pipe.reattach_children(p, info)


def _ready(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    """SetEvent(subproc_ready): the parent need not wait any longer."""
    assert info is not None
    if info.subproc_ready:
        yield from p.k.set_event(p.me, info.subproc_ready)
        p.k.close_handle(p.me, info.subproc_ready)


CALLS: dict[str, Callable[[CygwinProcess, ChildInfo | None], None]] = {
    "fork-walk": _fork_walk,
    "proc-pipe": _proc_pipe,
    "pinfo-by-name": _pinfo_by_name,
}
STEPS: dict[str, Callable[[CygwinProcess, ChildInfo | None], Steps]] = {
    "dll-memory": _dll_memory,
    "program-memory": _program_memory,
    "reattach": _reattach,
    "ready": _ready,
}
