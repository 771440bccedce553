"""Release 1.3.3: the heap goes into a section before CreateProcess, always in one step.

Parent: make the section, map it, commit and copy the heap, unmap it, create the child, close the
handle.  Only an exec (`_P_OVERLAY`) still waits {child, signal_arrived, subproc_ready}; the other
spawn modes start their child suspended, register it, resume it and return.  So a program without
Cygwin no longer holds the caller of spawn; it still holds the stub of an exec.  _P_VFORK is typed
EXEC as before 1.3.3 but gets no event any more, so that its Cygwin child complains of handle 0.

With a socket open the child starts suspended and is fixed up as in later versions, but the copy was
taken before: the child finds stale protocol information, its WSASocket fails with 10022, and a fork
child fetches the handle from its parent.  (The document describes the two-step copy under 1.3.3; it
came two days later, e2e078278, first released in 1.3.4.)

The parent's view is gone before CreateProcess, so no view of the parent's overlaps the child.

Source: logs of release 1.3.3 (CYGWIN.md §i); trees of 2001-07-17 to 2001-09-12 (§c1, §f).
"""

from __future__ import annotations

from types import MappingProxyType

from models.cygwin import children, heap_guard
from models.cygwin.arguments import free_arguments
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.creation_steps import (
    HeapSection,
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
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_DETACH, P_OVERLAY, P_VFORK, P_WAIT, Request
from models.cygwin.section_transfer import (
    cygheap_fixup_in_child,
    cygheap_setup_for_child,
    unmap,
)
from models.cygwin.version import CHILD_HAS_READ, HANDED_OVER, VFORK_R, Version
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from sim.engine import Steps


class SharedMemory133:
    """One step, and the snapshot is taken before the sockets are fixed up."""

    name = "shared-memory-1.3.3"
    since = "2001-07-17"
    until = "2001-09-14"
    summary = "the heap is copied into a section before CreateProcess; only an exec waits"
    on_9x = True
    loses_spawned = False
    version = Version(
        name="1.3.3",
        era=layout.R,
        heap_address=0x614E0000,
        child_info_bytes=MappingProxyType({"fork": 44, "exec": 44}),
        vfork=VFORK_R,
    )

    def parent_side(self, p: CygwinProcess, request: Request) -> Steps:
        """Make the child. Runs in the caller's main thread."""
        if request.type is ChildType.FORK:
            return self._fork(p, request)
        return self._spawn(p, request)

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        """cygheap_fixup_in_child: map the section, on 9x copy it. Runs in the child."""
        return cygheap_fixup_in_child(p, info)

    def hands_heap(self, request: Request) -> bool:
        """Whether the child is given the heap: always, for the parent does not know its image."""
        return True

    def steps(self, p: CygwinProcess) -> int:
        """In how many steps the section is made and filled."""
        return 1

    def before_create(self, p: CygwinProcess) -> Steps:
        """The section with the heap in it; the view is unmapped before CreateProcess."""

        def steps() -> Steps:
            section: HeapSection = yield from cygheap_setup_for_child(p, copy_now=True)
            unmap(p, section)
            return section._replace(view=0)

        return p.installation.bracket(p, "cygheap_setup_for_child", steps())

    def after_create(
        self, p: CygwinProcess, section: HeapSection | None, pid: int, kind: str
    ) -> Steps:
        """Let go of the section, then fix up the sockets for the child, which is suspended."""
        if section:
            p.k.close_handle(p.me, section.handle)
        if p.fds.sockets:
            steps = fixup_before(p, pid, execed=kind == "exec")
            yield from p.installation.bracket(p, f"fixup_before_{kind}", steps)

    def hand_pinfo(self, p: CygwinProcess, child: children.Child | None, h_process: int) -> None:
        """What a spawned child holds of its pinfo before it runs: nothing."""

    def _fork(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation = p.k, p.me, request.creation
        yield from children.subproc_init(p)
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        finished = k.create_event(me, manual=False, inherit=True, role="forker_finished")
        k.virtual_query(me, p.stack_range()[0])
        yield from heap_guard.hold(p)
        section = yield from self.before_create(p)
        yield from heap_guard.meet(p)
        info = fork_info(p, parent, ready, finished, section.handle)
        creation.heap_bytes, creation.section_steps = info.n, self.steps(p)
        flags = creation_flags(p, suspended=p.fds.sockets > 0)
        try:
            h_process, h_thread, pid = yield from k.create_process(
                me, request.image, True, flags, info, creation
            )
        except Win32Error:
            let_go(p, (parent, ready, finished), section)
            raise
        k.close_handle(me, parent)
        yield from self.after_create(p, section, pid, "fork")
        yield from heap_guard.reached(p, HANDED_OVER)
        if p.fds.sockets:
            yield from k.resume_thread(me, h_thread)
        yield from children.remember(p, h_process, pid)
        children.keep_pid(p, h_process)
        yield from finish_fork(p, creation, (h_process, h_thread), (ready, finished), pid)
        return pid

    def _spawn(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation, mode = p.k, p.me, request.creation, request.mode
        overlay = mode == P_OVERLAY
        if not overlay:
            yield from children.subproc_init(p)
        ready = 0
        if overlay or p.version.heap_guard == CHILD_HAS_READ:
            ready = k.create_event(me, manual=True, inherit=True, role="subproc_ready")
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        assert request.arguments is not None
        blocks = put_arguments(p, request.arguments, overlay)
        yield from heap_guard.hold(p)
        section = (yield from self.before_create(p)) if self.hands_heap(request) else None
        yield from heap_guard.meet(p)
        kind = ChildType.EXEC if mode in (P_OVERLAY, P_VFORK) else ChildType.SPAWN
        info = exec_info(p, mode, kind, blocks, parent, ready, section)
        creation.heap_bytes, creation.section_steps = info.n, self.steps(p) if section else 0
        suspended = not overlay or p.fds.sockets > 0
        try:
            h_process, h_thread, pid = yield from k.create_process(
                me, request.image, True, creation_flags(p, suspended, mode), info, creation
            )
        except Win32Error:
            let_go(p, (ready,), section, blocks, parent)
            raise
        yield from self.after_create(p, section, pid, "exec")
        yield from heap_guard.reached(p, HANDED_OVER)
        if overlay:
            if suspended:
                yield from k.resume_thread(me, h_thread)
            yield from p.close_all_files()
            k.close_handle(me, h_thread)
            p.h_execed = h_process
            woke = yield from wait_for_exec(p, creation, h_process, ready)
            watched = (h_process, p.signal_arrived)
            yield from leave_to_child(p, creation, h_process, ready, woke, watched)
        child = yield from children.remember(p, h_process, pid)
        self.hand_pinfo(p, child, h_process)
        yield from k.resume_thread(me, h_thread)
        k.close_handle(me, h_thread)
        if ready:
            yield from wait_for_exec(p, creation, h_process, ready)
            k.close_handle(me, ready)
        code = (yield from p.waitpid(pid)) if mode == P_WAIT else 0
        free_arguments(p.heap, blocks)
        k.close_handle(me, parent)
        if mode == P_WAIT:
            return code
        return 0 if mode == P_DETACH else pid


SCHEME = SharedMemory133()
