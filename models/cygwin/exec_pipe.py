"""How a parent hears of its child's end from Cygwin 3.6 on: a pipe, not a handle.

Each child holds the write end of a pipe whose read end is with its parent, where a thread reads it.
An exec hands the write end on, so that the parent sees one process under one pid; the end of the
file says that the last of its images is gone.  A process that exits by itself leaves its code in
its pinfo, which outlives the image that the parent made; for one that does not, the code is that of
the process whose handle the parent has.

An exit ends these threads and lets go of the children (`proc_terminate`).  They are terminated: up
to 3.5 at once, from 3.6.0 on when they have been stopped and that has been made sure of, since on
an emulated processor one may have a lock of the emulator's.  Two other ways were tried.  (The stub
of an exec only ends; what the real one does to its threads before is left out.)

What must stay true: one process has the write end, and two during an exec; no other child inherits
it, since its owner makes it uninheritable while it creates one.

Source: MODERN.md §6.1, §6.3 (pinfo.cc, sigproc.cc of c6680700f); proc_terminate of sigproc.cc and
terminate_thread of cygthread.cc, before and after the patch of 2024-11-19 (msys2-runtime#234) and
its partial revert (msys2-runtime#243).  Assumed: that the code lies in the pinfo, and where; how
much of what follows a thread's start and an exit's calls is new code.
"""

from __future__ import annotations

from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from models.cygwin.children import PID, PPID_HANDLE, WINPID, Child, pinfo_name, reap
from models.cygwin.errors import SilentFailure
from models.win32.errors import ERROR_OPERATION_ABORTED, Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.object_calls import HANDLE_FLAG_INHERIT
from models.win32.objects import PipeEnd
from models.win32.thread import Thread
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.child_info import ChildInfo
    from models.cygwin.process import CygwinProcess

CHILD_RECORD = Struct("<QQQQ")  # of an unreaped child in the exec information (words assumed)
EXIT_CODE, EXIT_CODE_SET = 24, 28  # words of a pinfo
# How an exit ends a thread that waits for a child (`Version.ends_waiter`).
TERMINATED = "TerminateThread"  # to 3.5
ASKED = "SuspendThread, TerminateThread"  # tried in 2024, hung
STOPPED = "SuspendThread, GetThreadContext, TerminateThread"  # from 3.6.0 on
CANCELLED = "CancelSynchronousIo, else as 3.6.0"  # MSYS2 for some days of November 2024
NEW_IN_THREAD, NEW_IN_EXIT = 6, 1  # pieces of code that run for the first time (assumed)


def prefork(p: CygwinProcess) -> tuple[int, int]:
    """A pipe for a child to be: (read end, write end that it inherits); our own stays here."""
    _inheritable(p, p.wr_proc_pipe, False)
    k, me = p.k, p.me
    r, w = k.create_pipe(me, p.version.exec_pipe_bytes, inherit=False, name="exec pipe")
    _inheritable(p, w, True)
    return r, w


def postfork(p: CygwinProcess, write_end: int) -> Steps:
    """Close the end that the child has now; an exec of ours can hand on our own again."""
    yield from p.k.settle(p.me)
    p.k.close_handle(p.me, write_end)
    _inheritable(p, p.wr_proc_pipe, True)


def remember(p: CygwinProcess, h_process: int, winpid: int, read_end: int) -> Child:
    """Register a child whose process exists; nobody looks at its pipe yet."""
    k, me = p.k, p.me
    h_pinfo, _ = k.create_file_mapping(
        me, p.version.pinfo_bytes, name=pinfo_name(winpid), role="pinfo"
    )
    view = k.map_view_of_file_ex(me, h_pinfo, name="cygpid", ex=p.version.pinfo_view_ex)
    child = Child(winpid, h_process, h_process, h_pinfo, view, rd_proc_pipe=read_end)
    for word in (PID, WINPID):
        child.pinfo.write32(word, winpid)
    child.pinfo.write32(PPID_HANDLE, 0)
    p.children.append(child)
    return child


def check_room(p: CygwinProcess) -> None:
    """Raise SilentFailure if the process has as many children on record as it can have."""
    most = p.version.max_children
    if most and len(p.children) >= most:
        raise SilentFailure(f"proc table overflow: hit {most} processes, errno 11")


def attach(p: CygwinProcess, child: Child) -> Steps:
    """Start the thread that reads the child's pipe."""
    child.h_waiter = yield from p.k.create_thread(
        p.me, lambda thread: _proc_waiter(p, thread, child), role="proc_waiter"
    )


def forget(p: CygwinProcess, child: Child) -> Steps:
    """A child that came to nothing before it was attached."""
    k, me = p.k, p.me
    p.children.remove(child)
    yield from k.settle(me)
    for handle in (child.rd_proc_pipe, child.h_pinfo):
        k.close_handle(me, handle)
    k.unmap_view_of_file(me, child.view.base)


def leave(p: CygwinProcess, code: int) -> None:
    """An image that exits by itself says how."""
    p.pinfo.write32(EXIT_CODE, code)
    p.pinfo.write32(EXIT_CODE_SET, 1)


def proc_terminate(p: CygwinProcess) -> Steps:
    """At exit: end the threads that wait for children, and let go of those. In the main thread."""
    k, me = p.k, p.me
    p.exiting = True
    for child in p.children:
        waiting = not child.zombie and child.h_waiter
        if waiting:
            yield from _new_code(p, me, NEW_IN_EXIT)
            yield from _end_waiter(p, child)
            yield from _new_code(p, me, NEW_IN_EXIT)
            yield from k.work(me, p.installation.exit_work_us)
        k.unmap_view_of_file(me, child.view.base)
        if waiting:
            with suppress(Win32Error):  # the thread was done after all, and has closed it
                yield from k.close_pipe_end(me, child.rd_proc_pipe)
        for handle in (child.h_waiter, child.h_process, child.h_pinfo):
            if handle:
                k.close_handle(me, handle)
    p.children.clear()


def _end_waiter(p: CygwinProcess, child: Child) -> Steps:
    """End the thread that waits for a child, in the release's way."""
    k, me, way = p.k, p.me, p.version.ends_waiter
    if way == CANCELLED:
        try:
            yield from k.cancel_synchronous_io(me, child.h_waiter)
        except Win32Error:
            pass  # it is in no such call: the hard way
        else:
            return
    if way != TERMINATED:
        with suppress(Win32Error):  # it has ended meanwhile
            yield from k.suspend_thread(me, child.h_waiter)
    if way in (STOPPED, CANCELLED):
        yield from k.get_thread_context(me, child.h_waiter)
    yield from k.terminate_thread(me, child.h_waiter)
    yield from k.wait_for_single_object(me, child.h_waiter)


def record_children(p: CygwinProcess, info: int) -> None:
    """An exec takes its children along: their handles are inherited, and named in the heap."""
    records = b""
    for child in p.children:
        read_end = 0 if child.zombie else child.rd_proc_pipe
        for handle in (child.h_process, read_end):
            _inheritable(p, handle, True)
        records += CHILD_RECORD.pack(child.pid, child.h_process, read_end, 0)
    fixed = p.heap.era.exec_info.words.size
    p.heap.memory.write32(info + fixed - 8 - p.heap.base, len(p.children))
    p.heap.memory.write(info + fixed - p.heap.base, records)


def reattach_children(p: CygwinProcess, info: ChildInfo) -> Steps:
    """The image after an exec goes on as the parent of what the one before had made."""
    k, me, heap = p.k, p.me, p.heap
    at = info.moreinfo + heap.era.exec_info.words.size - heap.base
    for i in range(heap.memory.read32(at - 8)):
        raw = heap.memory.read(at + i * CHILD_RECORD.size, CHILD_RECORD.size)
        pid, h_process, read_end, _ = CHILD_RECORD.unpack(raw)
        read_end = _still_open(p, read_end)
        h_pinfo, _ = k.create_file_mapping(
            me, p.version.pinfo_bytes, name=pinfo_name(pid), role="pinfo"
        )
        view = k.map_view_of_file_ex(me, h_pinfo, name="cygpid", ex=p.version.pinfo_view_ex)
        child = Child(pid, h_process, h_process, h_pinfo, view, rd_proc_pipe=read_end)
        for handle in (h_process, read_end):
            _inheritable(p, handle, False)
        p.children.append(child)
        if read_end:
            yield from attach(p, child)
        else:
            child.zombie, child.code = True, exit_code(p, me, child)


def _still_open(p: CygwinProcess, read_end: int) -> int:
    """The read end that an exec recorded; 0 if its child ended before the exec had handed it on.

    The image before has closed it then (that the next one sees it so is assumed).
    """
    with suppress(Win32Error):
        if isinstance(p.k.object(p.me, read_end), PipeEnd):
            return read_end
    return 0


def _proc_waiter(p: CygwinProcess, thread: Thread, child: Child) -> Steps:
    """Steps of a child's own thread: read until the pipe ends, then take its code."""
    k = p.k
    yield from _new_code(p, thread, NEW_IN_THREAD)
    if p.installation.waiter_io_us:
        yield from k.synchronous_io(thread, p.installation.waiter_io_us)
    try:
        yield from _read_to_end(p, thread, child.rd_proc_pipe)
    except Win32Error as error:
        if error.code != ERROR_OPERATION_ABORTED:
            text = f"error on read of child wait pipe {child.rd_proc_pipe:#x}"
            name = p.me.process.image.name
            p.installation.say(p.pid, name, f"{text}, Win32 error {error.code}")
        yield from k.exit_thread(thread)
    if p.exiting:
        yield from k.exit_thread(thread)
    if not child.pinfo.read32(EXIT_CODE_SET):
        yield from k.wait_for_single_object(thread, child.h_process)
    child.code = exit_code(p, thread, child)
    k.close_handle(thread, child.rd_proc_pipe)
    child.zombie = True
    if p.waiter is not None and p.waiter.pid == child.pid:
        yield from reap(p, thread, child)
    yield from k.exit_thread(thread)


def _new_code(p: CygwinProcess, thread: Thread, pieces: int) -> Steps:
    """Come to `pieces` of code that nobody here has run: an emulator translates it first."""
    if p.code_cache is not None:
        yield from p.code_cache.new_code(p.k, thread, pieces)


def _read_to_end(p: CygwinProcess, thread: Thread, handle: int) -> Steps:
    """Read a child's pipe until nobody can write any more. Raises Win32Error if that fails."""
    end = p.k.object(thread, handle)
    assert isinstance(end, PipeEnd)
    while end.pipe.write_end.refs or end.pipe.held_bytes:  # stop signals would come as bytes
        yield from p.k.read_file(thread, handle, 1)


def exit_code(p: CygwinProcess, by: Thread, child: Child) -> int:
    """How a child ended: what it says itself, else the code of its Windows process."""
    if child.pinfo.read32(EXIT_CODE_SET):
        return child.pinfo.read32(EXIT_CODE)
    return p.k.get_exit_code_process(by, child.h_process)


def _inheritable(p: CygwinProcess, handle: int, on: bool) -> None:
    if handle:
        flags = HANDLE_FLAG_INHERIT if on else 0
        p.k.set_handle_information(p.me, handle, HANDLE_FLAG_INHERIT, flags)


def keep_from(p: CygwinProcess, *handles: int) -> None:
    """Handles that a program without Cygwin must not inherit."""
    for handle in handles:
        _inheritable(p, handle, False)


def give_to(p: CygwinProcess, write_end: int, h_process: int) -> None:
    """A program without Cygwin holds its write end without knowing it, and passes it on to none."""
    p.k.duplicate_handle(p.me, CURRENT_PROCESS, write_end, h_process)
