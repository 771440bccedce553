"""Before 1.3.3: the child reads the parent's heap out of the living parent, which waits for it.

Parent: child_info carries base and end of the heap and a handle of the parent, and the parent waits
until the child says that it is done.  For a fork it waits {subproc_ready, child} 300 s, twice, as
every Cygwin does.  For an exec *and for a spawn of every mode* it waits {child, signal_arrived,
subproc_ready} without a limit.  A Cygwin child sets subproc_ready from its signal thread, long
after the copy; a child without Cygwin never does, so what ends that wait is the child's own end.
_P_VFORK is typed EXEC like an exec, and nothing comes of that here: its child has an event.

Child: reserve the range that the parent's heap has, commit as much as is in use, ReadProcessMemory.

Where this differs from the document: a fork parent waits in later versions too; what 1.3.3 ended is
the wait of spawn.  "For ever" is as long as the child runs, or a hundred signals.

What differs between the releases is data of their `Version`: in 1.1.8 (2001-01-30) the stub of an
exec whose parent is dead or not Cygwin ends with 0x20000, in 1.3.2 (2001-05-08) with the code of
its child.

Since 2000-10-14 (aece55b98) for every spawn mode; until the section of 2001-07-17 (5457dfcb8).
Source: Cygwin tree 4abaaac33 of 2001-06-19 (CYGWIN.md §c1 OLD, §c2, §c3 step 9 OLD); the order of
calls from the logs of 1.3.2 rebuilt (§i).
"""

from __future__ import annotations

from types import MappingProxyType

from models.cygwin import children, heap_guard
from models.cygwin.arguments import free_arguments
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.creation_steps import (
    SIGNAL_WOKE,
    create_reader,
    creation_flags,
    exec_info,
    finish_fork,
    fixup_before,
    fork_info,
    leave_to_child,
    let_go,
    put_arguments,
    wait_for_exec,
)
from models.cygwin.cygheap import layout
from models.cygwin.errors import ApiFatal
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_DETACH, P_OVERLAY, P_VFORK, P_WAIT, Request
from models.cygwin.version import FIRST_STARTUP_A, HANDED_OVER, VFORK_A, Version
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.waits import WAIT_OBJECT_0
from sim.engine import Steps


class Blocking:
    """The child reads, the parent waits."""

    name = "blocking"
    since = "2000-10-14"
    until = "2001-07-17"
    summary = "the child reads the living parent's heap; the parent waits, in every spawn mode"
    on_9x = True
    loses_spawned = False
    version = Version(
        name="2001-06-19",
        era=layout.A,
        heap_address=0,
        child_info_bytes=MappingProxyType({"fork": 40, "exec": 40}),
        first_startup=FIRST_STARTUP_A,
        vfork=VFORK_A,
    )

    def parent_side(self, p: CygwinProcess, request: Request) -> Steps:
        """Make the child and wait until it has the heap. Runs in the caller's main thread."""
        if request.type is ChildType.FORK:
            return self._fork(p, request)
        return self._spawn(p, request)

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        """cygheap_fixup_in_child: read the heap out of the parent. Runs in the child."""
        k, me, size = p.k, p.me, p.version.era.cygheapsize
        try:
            region = k.virtual_reserve(me, info.cygheap, size, "cygheap")
        except Win32Error as error:
            raise ApiFatal(
                f"Couldn't reserve space for cygwin's heap (0x{info.cygheap:X}) in child, cygheap, "
                "Win32 error 0"
            ) from error
        try:
            k.virtual_commit(me, info.cygheap, info.n)
        except Win32Error as error:
            raise ApiFatal(
                f"Couldn't allocate space for child's heap {info.cygheap:#X}, size {info.n}, "
                f"Win32 error {error.code}"
            ) from error
        try:
            yield from k.read_process_memory(me, info.parent, info.cygheap, info.cygheap, info.n)
        except Win32Error as error:
            raise ApiFatal(
                f"Couldn't read parent's cygwin heap 0 bytes != {info.n}, Win32 error {error.code}"
            ) from error
        assert region.memory is not None
        p.attach_heap(region.memory, info.cygheap, info.n)

    def waits(self, mode: str) -> bool:
        """Whether the caller of an exec or spawn waits until the child has the heap: always."""
        return True

    def _fork(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation = p.k, p.me, request.creation
        yield from children.subproc_init(p)
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        finished = k.create_event(me, manual=False, inherit=True, role="forker_finished")
        k.virtual_query(me, p.stack_range()[0])
        yield from heap_guard.hold(p)
        info = fork_info(p, parent, ready, finished)
        creation.heap_bytes = info.n
        flags = creation_flags(p, suspended=p.fds.sockets > 0)
        try:
            h_process, h_thread, pid = yield from k.create_process(
                me, request.image, True, flags, info, creation
            )
        except Win32Error:
            let_go(p, (parent, ready, finished))
            raise
        k.close_handle(me, parent)
        if p.fds.sockets:
            yield from p.installation.bracket(
                p, "fixup_before_fork", fixup_before(p, pid, execed=False)
            )
            yield from k.resume_thread(me, h_thread)
        yield from heap_guard.reached(p, HANDED_OVER)
        yield from children.remember(p, h_process, pid, keep=p.version.ring_first)
        if not p.version.ring_first:
            children.keep_pid(p, h_process)
        yield from finish_fork(p, creation, (h_process, h_thread), (ready, finished), pid)
        return pid

    def _spawn(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation, mode = p.k, p.me, request.creation, request.mode
        overlay = mode == P_OVERLAY
        if not overlay:
            yield from children.subproc_init(p)
        ready = 0
        if self.waits(mode):
            ready = k.create_event(me, manual=True, inherit=True, role="subproc_ready")
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        assert request.arguments is not None
        blocks = put_arguments(p, request.arguments, overlay)
        kind = ChildType.EXEC if mode in (P_OVERLAY, P_VFORK) else ChildType.SPAWN
        yield from heap_guard.hold(p)
        info = exec_info(p, mode, kind, blocks, parent, ready)
        creation.heap_bytes = info.n
        suspended = not overlay or p.fds.sockets > 0
        flags = creation_flags(p, suspended, mode)
        h_process, h_thread, pid = yield from create_reader(p, request, info, flags, blocks)
        if not overlay:
            yield from children.remember(p, h_process, pid)
        if suspended:
            yield from k.resume_thread(me, h_thread)
        yield from heap_guard.reached(p, HANDED_OVER)
        k.close_handle(me, h_thread)
        p.h_execed = h_process if overlay else 0
        woke = SIGNAL_WOKE
        if ready:
            woke = yield from wait_for_exec(p, creation, h_process, ready)
        if overlay:
            yield from leave_to_child(p, creation, h_process, ready, woke, (h_process,))
        if woke == WAIT_OBJECT_0:
            k.get_exit_code_process(me, h_process)
        if ready:
            k.close_handle(me, ready)
        code = (yield from p.waitpid(pid)) if mode == P_WAIT else 0
        free_arguments(p.heap, blocks)
        k.close_handle(me, parent)
        if mode == P_WAIT:
            return code
        return 0 if mode == P_DETACH else pid


SCHEME = Blocking()
