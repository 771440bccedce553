"""1.1, before there was a cygheap: a child has what its parent writes, or what Windows passes on.

Fork: the parent waits {subproc_ready, child} 300 s, stops the child's main thread, writes program
data, user heap, stack and the DLL's own data into it, lets it go on and waits once more.  The table
of descriptors is part of that data.

Exec and spawn: the table goes along behind child_info in lpReserved2, argv by the command line, the
environment in its block.  All of that is there when CreateProcess returns, so that no child reads
anything of its parent, and none of a spawn comes too late.  An exec waits all the same {child,
signal_arrived, subproc_ready} without a limit: for it, whoever took its place is its child, and it
gives that to its own parent only when it knows that it is a Cygwin process.  A program without the
DLL never says so; its stub stands in until it ends.

A child knows its parent by an inherited handle of the thread that waits for children, and other
processes by their records in the section that all share (`early_process.py`).

Releases 1.1.1 (2000-05-14) and 1.1.3 (2000-07-27) differ in one muto, in where a fork child closes
its parent's handle, and in sizes.  Until 2000-09-03 (b0e82b74f, the first cygheap).

Source: logs of the two DLLs (CYGWIN.md §i).  No log has a spawn: that it waits for nothing is
inferred from 2000-10-14, when that came (§0); its order of calls is assumed to be that of an exec.
Assumed, too: how large the DLL is beyond its data, and that vfork was fork.
"""

from __future__ import annotations

from contextlib import suppress
from types import MappingProxyType

from models.cygwin import children, command_line, dll_data, early_process
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.creation_steps import (
    SIGNAL_WOKE,
    creation_flags,
    let_go,
    sync_with_child,
    wait_for_child,
    wait_for_exec,
    write_fork_memory,
)
from models.cygwin.cygheap.no_heap import NO_HEAP
from models.cygwin.data_table import packed
from models.cygwin.errors import TryAgain
from models.cygwin.installation import Creation
from models.cygwin.process import CygwinProcess
from models.cygwin.process_table import Record
from models.cygwin.protocol import P_DETACH, P_OVERLAY, P_WAIT, Request
from models.cygwin.version import (
    EXEC_STARTUP_1_1,
    FIRST_STARTUP_1_1,
    FORK_END_1_1,
    FORK_RETURN_1_1,
    FORK_STARTUP_1_1,
    Version,
)
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.waits import INFINITE, WAIT_OBJECT_0
from sim.engine import Steps

_READY_WOKE = WAIT_OBJECT_0 + 2
_BOTH_MS = 1  # how long an exec whose child has ended looks whether it was a Cygwin process


class BeforeHeap:
    """The parent writes, or passes on by CreateProcess; there is no heap."""

    name = "1.1"
    since = "2000-05-14"
    until = "2000-09-03"
    summary = "no cygheap: fork writes, an exec passes its descriptors in lpReserved2"
    on_9x = True
    loses_spawned = False
    version = Version(
        name="1.1.3",
        era=NO_HEAP,
        heap_address=0,
        child_info_bytes=MappingProxyType({"fork": 32, "exec": 32}),
        pinfo_bytes=0, pid_link_bytes=0, shared_bytes=270_744, root_bytes=0,
        dll_bytes=0x90000, dll_data=(0x61079000, 14_592), dll_bss=(0x61082000, 22_436),
        exe_data=(0x411000, 516), exe_bss=(0x412000, 4_800),
        stack_base=0x420000, stack_reserve_bytes=0x2000000,
        user_heap_reserve_bytes=134_217_728, hexec_last=True, orphan_signals=False,
        signal_objects=("ready-once", "arrived", "thread", "mask"),
        waiter_inherited=True, poll_ms=500, asks_for_code=True,
        first_startup=FIRST_STARTUP_1_1, fork_startup=FORK_STARTUP_1_1,
        exec_startup=EXEC_STARTUP_1_1, fork_return=FORK_RETURN_1_1, fork_end=FORK_END_1_1,
    )  # fmt: skip

    def parent_side(self, p: CygwinProcess, request: Request) -> Steps:
        """Make the child. Runs in the caller's main thread."""
        if request.type is ChildType.FORK:
            return self._fork(p, request)
        if request.mode == P_OVERLAY:
            return self._exec(p, request)
        return self._spawn(p, request)

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        """There is nothing to hand over; no start-up asks for it."""
        yield from ()

    # ---- fork --------------------------------------------------------------------------------

    def _fork(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation = p.k, p.me, request.creation
        dll_data.save(p)  # so that what cannot be written is known before there is a child
        record: Record = yield from early_process.new_record(p)
        ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        finished = k.create_event(me, manual=False, inherit=True, role="forker_finished")
        yield from children.subproc_init(p)
        k.virtual_query(me, p.stack_range()[0])
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        info = ChildInfo(
            ChildType.FORK, p.version.child_info_bytes["fork"], record.pid, ready, parent, 0,
            p.h_shared, 0, 0, forker_finished=finished, heapbase=p.user_heap.base,
            heap_bytes=p.user_heap_bytes, stack_bytes=p.stack_bytes,
            parent_alive=p.h_wait_subproc,
        )  # fmt: skip
        flags = creation_flags(p, suspended=False)
        try:
            child = yield from k.create_process(me, request.image, True, flags, info, creation)
        except Win32Error:
            let_go(p, (parent, ready, finished))
            record.free()
            raise
        k.close_handle(me, parent)
        h_process, h_thread, _ = child
        try:
            yield from self._fill(p, creation, child, (ready, finished), record)
        except (TryAgain, Win32Error):
            if not any(one.record is record for one in p.children):
                k.close_handle(me, h_process)
                record.free()
            for handle in (h_thread, ready, finished):
                k.close_handle(me, handle)
            raise
        for handle in (ready, h_thread, finished):
            k.close_handle(me, handle)
        return record.pid

    def _fill(
        self,
        p: CygwinProcess,
        creation: Creation,
        child: tuple[int, int, int],
        events: tuple[int, int],
        record: Record,
    ) -> Steps:
        """The hand-shake: the child stands still while it is written into. Raises TryAgain."""
        (h_process, h_thread, winpid), (ready, finished) = child, events
        k, me, who = p.k, p.me, (p, creation, h_process, ready, record.pid)
        yield from sync_with_child(*who, "waiting for longjmp")
        with suppress(Win32Error):  # it has ended: what is written next says so
            yield from k.suspend_thread(me, h_thread)
        yield from write_fork_memory(p, h_process)
        yield from k.wait_for_single_object(me, h_process, 0)
        yield from early_process.register(p, h_process, winpid, record)
        yield from k.set_event(me, finished)
        yield from k.resume_thread(me, h_thread)
        yield from sync_with_child(*who, "child loading dlls")

    # ---- exec and spawn ----------------------------------------------------------------------

    def _create(
        self, p: CygwinProcess, request: Request, record: Record, ready: int, alive: int
    ) -> Steps:
        """CreateProcess of another image: handles of its process and thread, its Windows pid."""
        assert request.arguments is not None
        kind = ChildType.EXEC if request.mode == P_OVERLAY else ChildType.SPAWN
        info = ChildInfo(
            kind, p.version.child_info_bytes["exec"], record.pid, ready, 0, 0, p.h_shared, 0, 0,
            parent_alive=alive,
        )  # fmt: skip
        parameters = command_line.Parameters(
            packed(p.fds, execed=True),
            command_line.block(request.arguments.argv),
            command_line.block(request.arguments.env),
            p.directory,
        )
        flags = creation_flags(p, True, request.mode)
        return p.k.create_process(
            p.me, request.image, True, flags, info, request.creation, parameters=parameters
        )

    def _exec(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation, record = p.k, p.me, request.creation, early_process.record_of(p)
        ready = k.create_event(me, manual=True, inherit=True, role="subproc_ready")
        yield from children.subproc_init(p)
        alive = p.h_wait_subproc
        if p.h_parent_alive:  # the new image is our parent's child, not ours
            alive = k.duplicate_handle(
                me, CURRENT_PROCESS, p.h_parent_alive, CURRENT_PROCESS, inherit=True
            )
        try:
            h_process, h_thread, _ = yield from self._create(p, request, record, ready, alive)
        except Win32Error:
            let_go(p, (ready, alive if p.h_parent_alive else 0))
            raise
        yield from p.close_all_files()
        yield from early_process.stop_children(p)
        yield from k.resume_thread(me, h_thread)
        k.close_handle(me, h_thread)
        p.h_execed = h_process
        woke = yield from wait_for_exec(p, creation, h_process, ready)
        yield from self._stub(p, creation, h_process, ready, woke)

    def _stub(
        self, p: CygwinProcess, creation: Creation, h_process: int, ready: int, woke: int
    ) -> Steps:
        """The end of an exec in its stub; does not return."""
        k, me = p.k, p.me
        if woke != _READY_WOKE:
            code = k.get_exit_code_process(me, h_process) if woke != SIGNAL_WOKE else 0
            yield from k.wait_for_single_object(me, ready, _BOTH_MS)
            k.close_handle(me, ready)
            k.close_handle(me, h_process)
            yield from early_process.leave(p, code)
        k.close_handle(me, ready)
        given = yield from early_process.parent_lives(p)
        code = 0
        if given:
            yield from early_process.give_to_parent(p, h_process)
        else:
            yield from wait_for_child(p, creation, (h_process,), INFINITE)
            code = k.get_exit_code_process(me, h_process)
            if p.installation.watch is not None:
                p.installation.watch.ending(p)
        k.close_handle(me, h_process)
        k.close_handle(me, p.h_mutex)
        yield from early_process.let_go(p, code)

    def _spawn(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, mode = p.k, p.me, request.mode
        record: Record = yield from early_process.new_record(p)
        yield from children.subproc_init(p)
        try:
            h_process, h_thread, winpid = yield from self._create(
                p, request, record, 0, p.h_wait_subproc
            )
        except Win32Error:
            record.free()
            raise
        yield from early_process.register(p, h_process, winpid, record)
        yield from k.resume_thread(me, h_thread)
        k.close_handle(me, h_thread)
        if mode == P_WAIT:
            return (yield from p.waitpid(record.pid))
        return 0 if mode == P_DETACH else record.pid


SCHEME = BeforeHeap()
