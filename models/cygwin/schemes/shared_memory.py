"""From 1.3.4: the heap goes into a section, in one step, or in two as soon as a socket is open.

One step: the section is filled before CreateProcess; view and handle go after it, so the parent's
view overlaps the child that may already run.  Two steps: the child is created suspended with an
empty section; the sockets are fixed up, which writes into the parent's heap; then the section is
filled, and the child is resumed.  It sees the sockets as they are.

Only an exec (`_P_OVERLAY`) waits {child, signal_arrived, subproc_ready}; `_P_VFORK` is typed SPAWN
like the others.  The document lets the
child start when the clean-up returns; that is so for fork and exec, while the other spawn modes are
always suspended and resumed after the child is registered.

The heap must not grow between the two steps: the new end is not told to the child.  Nothing guards
against it here.

Since 2001-09-14 (e2e078278), until ce95c6407 of 2005-06-01.
Source: Cygwin tree aa9d50a1c of 2001-10-28 (CYGWIN.md §c1 NEW, §c2, §c3); order of calls from the
logs of 1.3.19 (§i).
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
from models.cygwin.protocol import P_DETACH, P_OVERLAY, P_WAIT, Request
from models.cygwin.section_transfer import (
    cygheap_fixup_in_child,
    cygheap_setup_for_child,
    cygheap_setup_for_child_cleanup,
)
from models.cygwin.version import CHILD_HAS_READ, HANDED_OVER, VFORK_B, Version
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from sim.engine import Steps


class SharedMemory:
    """One step without sockets, two with them."""

    name = "shared-memory"
    since = "2001-09-14"
    until = "2005-06-01"
    summary = "as 1.3.3, but with a socket open the section is filled after CreateProcess"
    on_9x = True
    loses_spawned = False
    version = Version(
        name="1.3.4",
        era=layout.B,
        heap_address=0x61100000,
        child_info_bytes=MappingProxyType({"fork": 44, "exec": 44}),
        vfork=VFORK_B,
    )

    def parent_side(self, p: CygwinProcess, request: Request) -> Steps:
        """Make the child. Runs in the caller's main thread."""
        if request.type is ChildType.FORK:
            return self._fork(p, request)
        return self._spawn(p, request)

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        """cygheap_fixup_in_child: map the section, on 9x copy it. Runs in the child."""
        return cygheap_fixup_in_child(p, info)

    def _fork(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation = p.k, p.me, request.creation
        yield from children.subproc_init(p)
        two_steps = p.fds.sockets > 0
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        finished = k.create_event(me, manual=False, inherit=True, role="forker_finished")
        k.virtual_query(me, p.stack_range()[0])
        yield from heap_guard.hold(p)
        section = yield from self._setup(p, two_steps)
        yield from heap_guard.meet(p)
        info = fork_info(p, parent, ready, finished, section.handle)
        creation.heap_bytes, creation.section_steps = info.n, 2 if two_steps else 1
        flags = creation_flags(p, suspended=two_steps)
        try:
            h_process, h_thread, pid = yield from k.create_process(
                me, request.image, True, flags, info, creation
            )
        except Win32Error:
            let_go(p, (parent, ready, finished), section)
            raise
        k.close_handle(me, parent)
        if two_steps:
            yield from p.installation.bracket(
                p, "fixup_before_fork", fixup_before(p, pid, execed=False)
            )
        yield from self._cleanup(p, section, two_steps)
        yield from heap_guard.reached(p, HANDED_OVER)
        if two_steps:
            yield from k.resume_thread(me, h_thread)
        yield from children.remember(p, h_process, pid)
        children.keep_pid(p, h_process)
        yield from finish_fork(p, creation, (h_process, h_thread), (ready, finished), pid)
        return pid

    def _spawn(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, creation, mode = p.k, p.me, request.creation, request.mode
        overlay = mode == P_OVERLAY
        two_steps = p.fds.sockets > 0
        if not overlay:
            yield from children.subproc_init(p)
        ready = 0
        if overlay or p.version.heap_guard == CHILD_HAS_READ:
            ready = k.create_event(me, manual=True, inherit=True, role="subproc_ready")
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        assert request.arguments is not None
        blocks = put_arguments(p, request.arguments, overlay)
        yield from heap_guard.hold(p)
        section = yield from self._setup(p, two_steps)
        kind = ChildType.EXEC if overlay else ChildType.SPAWN
        yield from heap_guard.meet(p)
        info = exec_info(p, mode, kind, blocks, parent, ready, section)
        creation.heap_bytes, creation.section_steps = info.n, 2 if two_steps else 1
        suspended = not overlay or two_steps
        try:
            h_process, h_thread, pid = yield from k.create_process(
                me, request.image, True, creation_flags(p, suspended, mode), info, creation
            )
        except Win32Error:
            let_go(p, (ready,), section, blocks, parent)
            raise
        if two_steps:
            yield from p.installation.bracket(
                p, "fixup_before_exec", fixup_before(p, pid, execed=True)
            )
        yield from self._cleanup(p, section, two_steps)
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
        children.hand_pinfo(p, child, h_process)
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

    def _setup(self, p: CygwinProcess, two_steps: bool) -> Steps:
        steps = cygheap_setup_for_child(p, copy_now=not two_steps)
        return p.installation.bracket(p, "cygheap_setup_for_child", steps)

    def _cleanup(self, p: CygwinProcess, section: HeapSection, two_steps: bool) -> Steps:
        steps = cygheap_setup_for_child_cleanup(p, section, copy_now=two_steps)
        return p.installation.bracket(p, "cygheap_setup_for_child_cleanup", steps)


SCHEME = SharedMemory()
