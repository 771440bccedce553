"""1.5.18, a month after the rollback: the child reads its parent's memory, and nobody makes sure.

The section objects of 1.3.3 to 1.5.17 are gone.  child_info has base and end of the heap and the
parent's handle again, and the heap is a section of the DLL's image, so that nothing reserves it.
A fork parent waits {subproc_ready, child} 300 s, twice, and an exec's stub {subproc_ready, child}
without a limit.  A spawn waits for nothing and has no event: a Cygwin child reads from a parent
that may be gone by then.  If it is, ReadProcessMemory fails with error 5, the child says so,
terminates its parent and goes on with an empty heap.  If it is still there it has freed the
argument set meanwhile, unless it waits for the child's end: the child frees the environment's
vector once more and dies of it with 139.

The parent hears of a child's end from a pipe that it makes after it (`given_pipe.py`).  An exec
starts its child suspended, gives it the end of the pipe and lets it run; the stub ends at once if
it has a Cygwin parent, else it stays as the child's parent.  Before a program without the DLL it
waits for that to end, as the event never comes.

Since 2005-06-01 (ce95c6407); until 2005-07-17 (e8454a340), which waits for spawned children again.
Source: logs of the DLL of 2005-07-02 (CYGWIN.md §e, §i).  Assumed: where waitpid of a _P_WAIT
stands among its calls, that the heap begins on a page (the DLL's: 0x611548e0), and that it cannot
grow past 512 KiB.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

from models.cygwin import children, exec_pipe, given_pipe, heap_place, signal_pipe
from models.cygwin.arguments import free_arguments
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.children import Child
from models.cygwin.creation_steps import (
    create_reader,
    creation_flags,
    exec_info,
    fixup_before,
    fork_info,
    let_go,
    put_arguments,
    wait_for_child,
    write_fork_memory,
)
from models.cygwin.cygheap import layout
from models.cygwin.errors import TryAgain
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_DETACH, P_OVERLAY, P_WAIT, Request
from models.cygwin.schemes.shared_memory_1_3_3 import SharedMemory133
from models.cygwin.version import (
    EXEC_STARTUP_1_5_18,
    FIRST_STARTUP_1_5_18,
    FORK_END_1_5_18,
    FORK_STARTUP_1_5_18,
    FORK_WAIT_MS,
    Version,
)
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.process_calls import CREATE_SEPARATE_WOW_VDM
from models.win32.waits import INFINITE, WAIT_OBJECT_0, WAIT_TIMEOUT
from sim.engine import Steps

_BYTE = 8  # bits by which a status is above the code of a Windows process
ERA = replace(
    layout.B, name="B", commit_id="release 1.5.18", search_slack_bytes=0, cygheapsize=512 << 10,
    fhandler_bytes=MappingProxyType(dict.fromkeys(("disk", "pipe", "socket", "console"), 400)),
)  # fmt: skip


class Rollback1518:
    """The child reads; the parent of a spawned child does not wait."""

    name = "1.5.18"
    on_9x = True
    loses_spawned = True
    since = "2005-06-01"
    until = "2005-07-17"
    summary = "the child reads the parent's heap again; a spawned child may come too late"
    version = Version(
        name="1.5.18",
        era=ERA,
        heap_address=0x61154000, heap_in_image=True,
        child_info_bytes=MappingProxyType({"fork": 288, "exec": 68}),
        pinfo_bytes=500, pid_link_bytes=8, pinfo_view_ex=True,
        spawn_flags=SharedMemory133.version.spawn_flags | CREATE_SEPARATE_WOW_VDM,
        dll_bytes=0x154000, dll_data=(0x610E2000, 19_296), dll_bss=(0x6112F000, 38_944),
        shared_address=0, shared_bytes=21_008, root_bytes=42_588,
        mount_in_fork=True, hexec_last=True, orphan_signals=False, cancel_points=True,
        threads_closed=True, handles_faults=True, death_arrives=True,
        signal_objects=("ready", "mask", "thread"),
        user_heap_reserve_bytes=402_653_184, exec_pipe_bytes=16,
        first_startup=FIRST_STARTUP_1_5_18, fork_startup=FORK_STARTUP_1_5_18,
        exec_startup=EXEC_STARTUP_1_5_18, fork_return=("muto",), fork_end=FORK_END_1_5_18,
    )  # fmt: skip

    def parent_side(self, p: CygwinProcess, request: Request) -> Steps:
        """Make the child. Runs in the caller's main thread."""
        if request.type is ChildType.FORK:
            return self._fork(p, request)
        return self._spawn(p, request)

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        """cygheap_fixup_in_child: read the heap if the parent is there. Runs in the child."""
        k, me, n = p.k, p.me, info.n
        region = heap_place.section(p)
        assert region.memory is not None
        try:
            yield from k.read_process_memory(me, info.parent, info.cygheap, info.cygheap, n)
        except Win32Error as error:
            text = (
                f"fork_copy: cygheap pass 0 failed, 0x{info.cygheap:X}..0x{info.cygheap_max:X}, "
                f"done 0, windows pid {me.process.parent_pid}, Win32 error {error.code}"
            )
            p.installation.say(me.process.pid, me.process.image.name, text)
            with suppress(Win32Error):
                yield from k.terminate_process(me, info.parent, 1)
        p.attach_heap(region.memory, info.cygheap, n)

    # ---- fork --------------------------------------------------------------------------------

    def _fork(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation = p.k, p.me, request.creation
        ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        yield from children.ask_signal_thread(p)
        finished = k.create_event(me, manual=False, inherit=True, role="forker_finished")
        k.virtual_query(me, p.stack_range()[0])
        info = fork_info(p, parent, ready, finished)
        creation.heap_bytes = info.n
        flags = creation_flags(p, suspended=p.fds.sockets > 0)
        try:
            h_process, h_thread, pid = yield from k.create_process(
                me, request.image, True, flags, info, creation
            )
        except Win32Error:
            let_go(p, (finished, ready, parent))
            raise
        if p.fds.sockets:
            yield from p.installation.bracket(
                p, "fixup_before_fork", fixup_before(p, pid, execed=False)
            )
            yield from k.resume_thread(me, h_thread)
        child = exec_pipe.remember(p, h_process, pid, 0)
        yield from given_pipe.watch(p, child)
        children.keep_pid(p, h_process)
        try:
            yield from self._handshake(p, request, child, (ready, finished))
        except TryAgain:
            k.close_handle(me, h_process)
            child.h_process = child.h_first = 0  # whoever waits for it finds nothing
            yield from self._forked(p, (h_thread, finished), (ready, parent))
            raise
        yield from self._forked(p, (h_thread, finished), (ready, parent))
        return pid

    def _forked(self, p: CygwinProcess, first: tuple[int, int], last: tuple[int, int]) -> Steps:
        """What a fork closes, whatever came of it, before and after it lets signals come."""
        for handle in first:
            p.k.close_handle(p.me, handle)
        yield from children.ask_signal_thread(p)
        for handle in last:
            p.k.close_handle(p.me, handle)

    def _handshake(
        self, p: CygwinProcess, request: Request, child: Child, events: tuple[int, int]
    ) -> Steps:
        ready, finished = events
        yield from self._sync(p, request, child, ready, "waiting for longjmp")
        yield from write_fork_memory(p, child.h_process)
        yield from p.k.set_event(p.me, finished)
        yield from self._sync(p, request, child, ready, "child loading dlls")

    def _sync(
        self, p: CygwinProcess, request: Request, child: Child, ready: int, state: str
    ) -> Steps:
        """sync_with_child: until the child is ready. Raises TryAgain if it died or took 300 s."""
        k, me = p.k, p.me
        woke = yield from wait_for_child(
            p, request.creation, (ready, child.h_process), FORK_WAIT_MS
        )
        if woke == WAIT_OBJECT_0:
            return
        if woke == WAIT_TIMEOUT:
            yield from k.terminate_process(me, child.h_process, 1)
            raise TryAgain("WaitForMultipleObjects timed out")
        yield from k.wait_for_single_object(me, ready, 0)
        raise TryAgain(f"child {child.pid} died {state} before initialization")

    # ---- exec and spawn ----------------------------------------------------------------------

    def _spawn(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation, mode = p.k, p.me, request.creation, request.mode
        overlay = mode == P_OVERLAY
        assert request.arguments is not None
        blocks = put_arguments(p, request.arguments, overlay)
        ready = 0
        if overlay:
            if not p.h_exec:
                p.h_exec = self._self_handle(p)
            ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        parent = self._self_handle(p)
        kind = ChildType.EXEC if overlay else ChildType.SPAWN
        info = exec_info(p, mode, kind, blocks, parent, ready)
        creation.heap_bytes = info.n
        flags = creation_flags(p, True, mode)
        h_process, h_thread, pid = yield from create_reader(p, request, info, flags, blocks)
        if overlay:
            given_pipe.hand_on(p, h_process)
        else:
            child = exec_pipe.remember(p, h_process, pid, 0)
            children.hand_pinfo(p, child, h_process)
            if mode != P_DETACH:
                yield from given_pipe.watch(p, child)
        yield from k.resume_thread(me, h_thread)
        k.close_handle(me, h_thread)
        if overlay:
            yield from self._leave(p, request, h_process, pid, ready)
        code = (yield from p.waitpid(pid)) if mode == P_WAIT else 0
        free_arguments(p.heap, blocks)
        k.close_handle(me, parent)
        if mode == P_WAIT:
            return code
        return 0 if mode == P_DETACH else pid

    def _self_handle(self, p: CygwinProcess) -> int:
        return p.k.duplicate_handle(p.me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)

    def _leave(
        self, p: CygwinProcess, request: Request, h_process: int, pid: int, ready: int
    ) -> Steps:
        """The stub of an exec; does not return.

        Whoever took the heap lives on under this pid.  Without a Cygwin parent the stub becomes
        its parent.  For a program that does not know the DLL it stands in until that ends.
        """
        k, me = p.k, p.me
        p.h_execed = h_process
        took_over = (
            yield from wait_for_child(p, request.creation, (ready, h_process), INFINITE)
        ) == WAIT_OBJECT_0
        if not took_over:
            yield from k.wait_for_single_object(me, ready, 0)  # it may have been both
            yield from signal_pipe.lock_to_exit(p)
        yield from p.close_all_files()
        piped = given_pipe.own_end(p.pinfo)
        if not took_over:
            code = yield from self._stand_in(p, h_process)
        else:
            code = 0 if piped else (yield from self._as_parent(p, h_process, pid))
        if p.me.process.space.find(p.pinfo_view.base) is p.pinfo_view:  # waitpid may have let go
            k.unmap_view_of_file(me, p.pinfo_view.base)
            k.close_handle(me, p.h_pinfo)
        yield from k.exit_process(me, code << _BYTE if piped else code)

    def _stand_in(self, p: CygwinProcess, h_process: int) -> Steps:
        """Wait for a program that has not taken the heap: its exit code."""
        k, me = p.k, p.me
        yield from k.wait_for_single_object(me, h_process)
        code = k.get_exit_code_process(me, h_process)
        exec_pipe.leave(p, code)
        if p.installation.watch is not None:
            p.installation.watch.ending(p)
        return code

    def _as_parent(self, p: CygwinProcess, h_process: int, pid: int) -> Steps:
        """Become the parent of the new image, which has our pinfo; signals are over."""
        child = Child(pid, h_process, h_process, p.h_pinfo, p.pinfo_view)
        p.children.append(child)
        p.exiting = True
        yield from given_pipe.watch(p, child)
        return (yield from p.waitpid(pid)) or 0


SCHEME = Rollback1518()
