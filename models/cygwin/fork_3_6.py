"""fork of Cygwin 3.6, the parent's side: a child that reads, and reports twice.

The heap lock is held from the note of the heap's end until the stack is written.  The child has
reported first when it has read all that is its parent's, then when it has its descriptors.  Whoever
dies on the way is EAGAIN, as is a child beyond those that the process can have on record.

With the forkables directory a fork that failed is tried once more, from hard links of the files as
they were when this process was made, whatever lies under their names by now; the first try says
nothing.  From then on this process and its fork children begin with the links.

Source: fork.cc of c6680700f (MODERN.md §6.1); frok::parent and frok::error at msys2-runtime commit
8f7df4277.  Assumed: where the DLL keeps that there are links.  Left out: making them, which is free
here, those of DLLs loaded at run time, and the mutex that keeps the directory.
"""

from __future__ import annotations

from contextlib import suppress

from models.cygwin import dll_data, dlls_3_6, exec_pipe, heap_guard
from models.cygwin.child_info import ChildInfo
from models.cygwin.creation_steps import creation_flags, fixup_before, fork_info, wait_for_child
from models.cygwin.early_death import EXIT_FORK_FAILED
from models.cygwin.errors import SilentFailure, TryAgain
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import Request
from models.cygwin.version import FORK_WAIT_MS
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.waits import WAIT_OBJECT_0, WAIT_TIMEOUT
from sim.engine import Steps

_LINKED = 200  # of the DLL's bss: whether there are links


def fork(p: CygwinProcess, request: Request) -> Steps:
    """The child's pid. Runs in the caller's main thread. Raises TryAgain, Win32Error."""
    if not p.installation.forkables:
        return (yield from _once(p, request, False))
    links = request._replace(image=p.loaded)
    memory, at = p.me.process.space.memory_at(p.version.dll_bss[0] + _LINKED)
    if memory.read32(at):
        return (yield from _once(p, links, False))
    try:
        return (yield from _once(p, request, True))
    except (TryAgain, Win32Error):
        memory.write32(at, 1)
        return (yield from _once(p, links, False))


def _once(p: CygwinProcess, request: Request, silent: bool) -> Steps:
    """One try; `silent`: the child does not say why it cannot be."""
    k, me, creation = p.k, p.me, request.creation
    ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
    parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
    finished = k.create_event(me, manual=False, inherit=True, role="forker_finished")
    dll_data.save(p)
    yield from heap_guard.hold(p)
    read_end, write_end = exec_pipe.prefork(p)
    info = fork_info(p, parent, ready, finished)._replace(wr_proc_pipe=write_end, silent=silent)
    creation.heap_bytes = info.n
    ours = [ready, parent, finished]
    try:
        h_process, h_thread, pid = yield from _create_fork(p, request, info)
    except (TryAgain, Win32Error):
        yield from exec_pipe.postfork(p, write_end)
        heap_guard.drop(p)
        for handle in (*ours, read_end):
            k.close_handle(me, handle)
        raise
    ours.append(h_thread)
    child = exec_pipe.remember(p, h_process, pid, read_end)
    yield from exec_pipe.postfork(p, write_end)
    try:
        yield from _fill(p, h_process, finished)
        yield from _second_sync(p, request, ready, h_process, pid)
        yield from dlls_3_6.write_data(p, h_process)
    except TryAgain:
        heap_guard.drop(p)
        with suppress(Win32Error):  # it has ended by itself
            yield from k.terminate_process(me, h_process, 1)
        yield from exec_pipe.forget(p, child)
        for handle in (*ours, h_process):
            k.close_handle(me, handle)
        raise
    yield from exec_pipe.attach(p, child)
    yield from k.set_event(me, finished)
    for handle in ours:
        k.close_handle(me, handle)
    return pid


def _create_fork(p: CygwinProcess, request: Request, info: ChildInfo) -> Steps:
    """CreateProcess until the child has read what it needs. Raises TryAgain.

    A child that died is not made again (`early_death`).
    """
    k, me, creation = p.k, p.me, request.creation
    flags = creation_flags(p, suspended=p.fds.sockets > 0)
    h_process, h_thread, pid = yield from k.create_process(
        me, request.image, True, flags, info, creation
    )
    if p.fds.sockets:
        yield from p.installation.bracket(
            p, "fixup_before_fork", fixup_before(p, pid, execed=False)
        )
        yield from k.resume_thread(me, h_thread)
    handles = info.subproc_ready, h_process
    woke = yield from wait_for_child(p, creation, handles, FORK_WAIT_MS)
    if woke == WAIT_OBJECT_0:
        try:
            exec_pipe.check_room(p)
        except TryAgain:
            yield from k.terminate_process(me, h_process, 1)
            k.close_handle(me, h_thread)
            k.close_handle(me, h_process)
            raise
        return h_process, h_thread, pid
    code = k.get_exit_code_process(me, h_process)
    if woke == WAIT_TIMEOUT:
        yield from k.terminate_process(me, h_process, 1)
    k.close_handle(me, h_thread)
    k.close_handle(me, h_process)
    if woke == WAIT_TIMEOUT:
        raise TryAgain(f"wait failed, pid {pid}, Win32 error 258")
    error = SilentFailure if code == EXIT_FORK_FAILED else TryAgain
    raise error(
        f"child -1 - forked process {pid} died unexpectedly, retry {p.version.proc_retry}, "
        f"exit code {code:#x}, errno 11"
    )


def _fill(p: CygwinProcess, h_process: int, finished: int) -> Steps:
    """Steps 8 to 10: the stack, then the heap is free; DLLs; let the child go on."""
    k, me = p.k, p.me
    try:
        address, size = p.stack_range()
        yield from k.write_process_memory(me, h_process, address, address, size)
        heap_guard.drop(p)
        for address, size in p.version.linked:
            if size:
                yield from k.write_process_memory(me, h_process, address, address, size)
    except Win32Error as error:
        raise TryAgain(
            f"stack write copy failed, {address:#x}..{address + size:#x}, Win32 error {error.code}"
        ) from error
    yield from k.set_event(me, finished)


def _second_sync(p: CygwinProcess, request: Request, ready: int, h_process: int, pid: int) -> Steps:
    k, me = p.k, p.me
    woke = yield from wait_for_child(p, request.creation, (ready, h_process), FORK_WAIT_MS)
    if woke == WAIT_OBJECT_0:
        return
    if woke == WAIT_TIMEOUT:
        yield from k.terminate_process(me, h_process, 1)
        raise TryAgain(f"wait failed, pid {pid}, Win32 error 258")
    silent = k.get_exit_code_process(me, h_process) == EXIT_FORK_FAILED  # the child has said it
    error = SilentFailure if silent else TryAgain
    raise error(f"child {pid} - died waiting for dll loading, errno 11")
