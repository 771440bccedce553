"""1.7.7: a spawned Cygwin child is waited for again, and it fetches the rest of a fork itself.

Between the rollback of 2005 and 3.6.  The parent looks into the program's import table.  A Cygwin
child sets subproc_ready as soon as it has its pinfo, in every mode, and its parent waits
{subproc_ready, child} for it without a limit; the race of 1.5.18 is over.  A program without the
DLL gets no event.  _P_NOWAIT and _P_DETACH do not wait for it, but _P_VFORK and _P_NOWAITO wait
for its end, as all did before 1.3.3.

A fork child reads heap, DLL data, user heap and program data out of its parent, which writes the
stack and the data of linked DLLs; it waits for each step 300 s.  A fork child that dies in its
start-up is made again five times.

How a parent hears of a child's end is 1.5.18's way, but the pipe comes after the hand-over.  The
stub of an exec lets go of its files first where the program is foreign, then lets it run.

Since 2005-07-17 (e8454a340; the reading of a fork's data since ad02bb70e of 2005-12); followed by
3.6 of 2025-03-18, the variants between which were not looked at.
Source: logs of the DLL 1.7.7 of 2010 (CYGWIN.md §e, §i).  Assumed: places of objects that its logs
do not have, as they are made through ntdll; where waitpid of a _P_WAIT stands among its calls; that
the heap begins on a page (the DLL's: 0x61239790).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import ClassVar

from models.cygwin import children, dll_data, exec_pipe, given_pipe, signal_pipe
from models.cygwin.arguments import free_arguments
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.creation_steps import (
    create_reader,
    creation_flags,
    exec_info,
    fixup_before,
    fork_info,
    put_arguments,
    wait_for_child,
)
from models.cygwin.cygheap.layout import Era
from models.cygwin.errors import TryAgain
from models.cygwin.images import imports_cygwin
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_DETACH, P_NOWAIT, P_OVERLAY, P_WAIT, Request
from models.cygwin.schemes.rollback_1_5_18 import ERA, Rollback1518
from models.cygwin.version import (
    EXEC_STARTUP_1_7_7,
    FIRST_STARTUP_1_7_7,
    FORK_END_1_7_7,
    FORK_STARTUP_1_7_7,
    FORK_WAIT_MS,
)
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.process_calls import (
    CREATE_SEPARATE_WOW_VDM,
    CREATE_SUSPENDED,
    CREATE_UNICODE_ENVIRONMENT,
    DETACHED_PROCESS,
    NORMAL_PRIORITY_CLASS,
)
from models.win32.waits import INFINITE, WAIT_OBJECT_0, WAIT_TIMEOUT
from sim.engine import Steps

_LINKED = "linked dll data/bss"


@dataclass(frozen=True, kw_only=True)
class _Inherited(Era):
    """As 1.5.18's, but a socket's handle is inherited like any other."""

    socket_info_bytes: ClassVar[int] = 0


_FIELDS = {field.name: getattr(ERA, field.name) for field in fields(ERA)}
_ERA = _Inherited(**{**_FIELDS, "commit_id": "release 1.7.7"})


class ChildReads177(Rollback1518):
    """The child reads; the parent waits for a Cygwin child in every mode."""

    name = "1.7.7"
    loses_spawned = False
    since = "2005-07-17"
    until = "2025-03-18"
    summary = "as 1.5.18, but a Cygwin child is waited for, and reads the data of a fork too"
    version = replace(
        Rollback1518.version,
        name="1.7.7",
        era=_ERA,
        heap_address=0x61239000,
        child_info_bytes=MappingProxyType({"fork": 288, "exec": 76}),
        spawn_flags=NORMAL_PRIORITY_CLASS | CREATE_UNICODE_ENVIRONMENT | CREATE_SEPARATE_WOW_VDM,
        dll_bytes=0x239000, dll_data=(0x61159000, 36_260), dll_bss=(0x611D4000, 211_600),
        heap_page_bytes=0x10000, user_heap_new_bytes=406_847_488, proc_retry=5,
        asks_before_wait=True, death_arrives=False,
        signal_objects=("ready", "mask", "thread", "own"),
        first_startup=FIRST_STARTUP_1_7_7, fork_startup=FORK_STARTUP_1_7_7,
        exec_startup=EXEC_STARTUP_1_7_7, fork_return=(), fork_end=FORK_END_1_7_7,
    )  # fmt: skip

    # ---- fork --------------------------------------------------------------------------------

    def _fork(self, p: CygwinProcess, request: Request) -> Steps:
        k, me = p.k, p.me
        ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        parent = self._self_handle(p)
        yield from children.ask_signal_thread(p)
        finished = k.create_event(me, manual=False, inherit=True, role="forker_finished")
        dll_data.save(p)
        info = fork_info(p, parent, ready, finished)
        request.creation.heap_bytes = info.n
        try:
            pid = yield from self._made(p, request, info)
        except (TryAgain, Win32Error):
            yield from self._let_go(p, finished, (ready, parent))
            raise
        yield from self._let_go(p, finished, (ready, parent))
        return pid

    def _made(self, p: CygwinProcess, request: Request, info: ChildInfo) -> Steps:
        """The child and the hand-shake with it. Raises TryAgain."""
        h_process, pid = yield from self._create_fork(p, request, info)
        child = exec_pipe.remember(p, h_process, pid, 0)
        yield from given_pipe.watch(p, child)
        yield from self._fill(p, h_process)
        yield from p.k.set_event(p.me, info.forker_finished)
        yield from self._second_sync(p, request, (info.subproc_ready, h_process), pid)
        return pid

    def _let_go(self, p: CygwinProcess, finished: int, handles: tuple[int, int]) -> Steps:
        """What a fork closes, whatever came of it, before and after it lets signals come."""
        p.k.close_handle(p.me, finished)
        yield from given_pipe.let_signals_come(p)
        for handle in handles:
            p.k.close_handle(p.me, handle)

    def _create_fork(self, p: CygwinProcess, request: Request, info: ChildInfo) -> Steps:
        """CreateProcess until a child has read what it needs. Raises TryAgain."""
        k, me, retry = p.k, p.me, p.version.proc_retry
        while True:
            flags = creation_flags(p, suspended=p.fds.sockets > 0)
            h_process, h_thread, pid = yield from k.create_process(
                me, request.image, True, flags, info, request.creation
            )
            if p.fds.sockets:
                yield from p.installation.bracket(
                    p, "fixup_before_fork", fixup_before(p, pid, execed=False)
                )
                yield from k.resume_thread(me, h_thread)
            k.close_handle(me, h_thread)
            handles = info.subproc_ready, h_process
            woke = yield from wait_for_child(p, request.creation, handles, FORK_WAIT_MS)
            if woke == WAIT_OBJECT_0:
                return h_process, pid
            code = k.get_exit_code_process(me, h_process)
            if woke == WAIT_TIMEOUT:
                yield from k.terminate_process(me, h_process, 1)
            k.close_handle(me, h_process)
            if woke == WAIT_TIMEOUT:
                raise TryAgain(f"wait failed, pid {pid}, Win32 error 258")
            if not retry:
                raise TryAgain(
                    "child -1 - died waiting for longjmp before initialization, "
                    f"retry {retry}, exit code 0x{code:X}, errno 11"
                )
            retry -= 1

    def _fill(self, p: CygwinProcess, h_process: int) -> Steps:
        """The stack, and the data of linked DLLs; what cannot be written ends the fork."""
        ranges = [("stack", p.stack_range()), *((_LINKED, one) for one in p.version.linked)]
        for what, (address, size) in ranges:
            if not size:
                continue
            try:
                yield from p.k.write_process_memory(p.me, h_process, address, address, size)
            except Win32Error as error:
                raise TryAgain(f"{what} copy failed, Win32 error {error.code}") from error

    def _second_sync(
        self, p: CygwinProcess, request: Request, handles: tuple[int, int], pid: int
    ) -> Steps:
        woke = yield from wait_for_child(p, request.creation, handles, FORK_WAIT_MS)
        if woke == WAIT_TIMEOUT:
            yield from p.k.terminate_process(p.me, handles[1], 1)
            raise TryAgain(f"wait failed, pid {pid}, Win32 error 258")
        if woke != WAIT_OBJECT_0:
            raise TryAgain(f"child {pid} - died waiting for dll loading, errno 11")

    # ---- exec and spawn ----------------------------------------------------------------------

    def _spawn(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation, mode = p.k, p.me, request.creation, request.mode
        overlay = mode == P_OVERLAY
        assert request.arguments is not None
        assert request.image is not None
        known = imports_cygwin(k, me, request.image)
        blocks = put_arguments(p, request.arguments, overlay)
        if overlay and not p.h_exec:
            p.h_exec = self._self_handle(p)
        ready = 0
        if known:
            ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        parent = self._self_handle(p)
        kind = ChildType.EXEC if overlay else ChildType.SPAWN
        info = exec_info(p, mode, kind, blocks, parent, ready)
        creation.heap_bytes = info.n
        suspended = not overlay or not known or p.fds.sockets > 0
        flags = p.version.spawn_flags | (CREATE_SUSPENDED if suspended else 0)
        flags |= DETACHED_PROCESS if mode == P_DETACH else 0
        h_process, h_thread, pid = yield from create_reader(p, request, info, flags, blocks)
        yield from self._register(p, mode, h_process, pid)
        if overlay and not known:
            p.h_execed = h_process  # who kills the stub ends it
            yield from p.close_all_files()
        if suspended:
            yield from k.resume_thread(me, h_thread)
        k.close_handle(me, h_thread)
        took_over = yield from self._wait(p, request, h_process, ready)
        if overlay:
            yield from self._leave_stub(p, h_process, pid, known, took_over)
        for handle in (ready, parent):
            if handle and mode != P_WAIT:
                k.close_handle(me, handle)
        code = (yield from p.waitpid(pid)) if mode == P_WAIT else 0
        free_arguments(p.heap, blocks)
        if mode == P_WAIT:
            for handle in (ready, parent):
                if handle:
                    k.close_handle(me, handle)
            return code
        return 0 if mode == P_DETACH else pid

    def _wait(self, p: CygwinProcess, request: Request, h_process: int, ready: int) -> Steps:
        """sync: until the child has the heap, or is gone; whether it has the heap.

        A program without the DLL is not waited for where the mode is DETACH or NOWAIT.
        """
        if not ready and request.mode in (P_DETACH, P_NOWAIT):
            return False
        handles = (ready, h_process) if ready else (h_process,)
        woke = yield from wait_for_child(p, request.creation, handles, INFINITE)
        if handles[woke] == ready:
            return True
        p.k.get_exit_code_process(p.me, h_process)
        yield from signal_pipe.lock_to_exit(p)
        return False

    def _register(self, p: CygwinProcess, mode: str, h_process: int, pid: int) -> Steps:
        """Who hears of the child's end: of an exec whoever heard of the caller's."""
        if mode == P_OVERLAY:
            given_pipe.hand_on(p, h_process)
            return
        child = exec_pipe.remember(p, h_process, pid, 0)
        children.hand_pinfo(p, child, h_process)
        if mode != P_DETACH:
            yield from given_pipe.watch(p, child)

    def _self_handle(self, p: CygwinProcess) -> int:
        return p.k.duplicate_handle(
            p.me, CURRENT_PROCESS, CURRENT_PROCESS, CURRENT_PROCESS, inherit=True
        )

    def _leave_stub(
        self, p: CygwinProcess, h_process: int, pid: int, known: bool, took_over: bool
    ) -> Steps:
        """The stub of an exec; does not return."""
        k, me = p.k, p.me
        p.h_execed = h_process
        piped, code = given_pipe.own_end(p.pinfo), 0
        if took_over and piped:
            k.close_handle(me, h_process)
            p.h_execed = 0
        if known:
            yield from p.close_all_files()
        if took_over and not piped:
            yield from k.wait_for_single_object(me, h_process, 0)
            code = yield from self._as_parent(p, h_process, pid)
        elif not took_over:
            code = yield from self._stand_in(p, h_process)
        yield from k.exit_process(me, code << 8 if piped else code)


SCHEME = ChildReads177()
