"""Cygwin 3.6: the child reads its parent's heap again, and the parent waits only for who will.

Parent: child_info carries base and end of the heap and a handle of the parent; the parent waits
until the child has read.  Before a spawn it looks into the program's import table: one without the
DLL gets no event and is not waited for, so that the old complaint does not come back.  A spawned
Cygwin child is waited for in every mode, without a limit but for its end; a fork child 300 s,
twice.  The child's event comes earlier than in 2001: as soon as it has its descriptors.

Child: reserve 8 GiB at 0x800000000, commit 3 MiB or what is in use, one ReadProcessMemory; after
that the walk, in a fork child too.  A fork child reads the rest of its parent's memory in the same
way; the parent writes only the stack and the data of linked DLLs.

An exec passes on the write end of its pipe, and its children; the stub ends as soon as the new
image has the heap, except without a Cygwin parent or before a foreign program, whose stand-in it
is until that ends.

From the note of the heap's end until the child has read the parent holds the heap lock
(`Version.heap_guard`; before 3.6.5 nothing kept another thread from changing the heap meanwhile).
An exec whose child died early makes it again as `early_death` has it; a fork is EAGAIN, and any
other spawn has an ordinary dead child.

At most 5119 children are on record.  A fork beyond them ends its child, and is EAGAIN; so is a
spawn, whose child stays as it was made, suspended.

A program on a cygexec mount, or one that cannot be read, is taken for Cygwin's: without the DLL it
holds its caller until it ends, in every mode, as before 1.3.3, and the heap's lock with it.

Since 2025-03-18 (3.6.0); the guard since 2025-07-19 (9b667234b) and 2025-09-19 (8a5d39527).
Source: Cygwin commit c6680700f (MODERN.md §5, §6); for the limit sigproc.cc and spawn.cc at
msys2-runtime commit 049660ba0.  Assumed: places and sizes of DLL and program data, what SYSTEMROOT
and WINDIR say.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from models.cygwin import exec_pipe, fork_3_6, heap_guard, signal_pipe
from models.cygwin.arguments import (
    ArgumentBlocks,
    Arguments,
    free_arguments,
    put_argv,
    put_environment,
)
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.creation_steps import (
    creation_flags,
    exec_info,
    fixup_before,
    wait_for_child,
)
from models.cygwin.cygheap.modern import round_up
from models.cygwin.cygheap.modern_layout import M
from models.cygwin.early_death import tries_left
from models.cygwin.errors import ApiFatal, TryAgain
from models.cygwin.images import imports_cygwin
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_DETACH, P_OVERLAY, P_WAIT, Request
from models.cygwin.startup_3_6 import child_copy
from models.cygwin.version import (
    CHILD_HAS_READ,
    EXEC_STARTUP_3_6,
    FIRST_STARTUP_3_6,
    FORK_STARTUP_3_6,
    UNGUARDED,
    Version,
)
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.srw_lock import SRW_CALLS
from models.win32.waits import INFINITE, WAIT_OBJECT_0
from sim.engine import Steps

DIED = WAIT_OBJECT_0 + 1  # index of the process in the wait for a child
# Variables that the DLL adds where they are missing (environ.cc); what they say is assumed.
_ADDED = (b"SYSTEMROOT=C:\\WINDOWS", b"WINDIR=C:\\WINDOWS")


class _Passed(NamedTuple):
    """What a spawn or exec passes on. Every field is *constant*; a handle of 0 is none.

    known: the program imports the DLL, so that it will read and report
    ready, parent: for a child that does; read_end, write_end: of the pipe that tells of its end
    """

    blocks: ArgumentBlocks
    known: bool
    ready: int
    parent: int
    read_end: int
    write_end: int


class ChildCopy:
    """The child reads; the parent waits for a Cygwin child."""

    name = "child-copy"
    since = "2025-03-18"
    until = ""
    summary = "the child reads the living parent's heap; a program without Cygwin is not waited for"
    on_9x = True
    loses_spawned = False
    version = Version(
        name="3.6.6",
        era=M,
        heap_address=0x800000000,
        child_info_bytes=MappingProxyType({"fork": 136, "exec": 136}),  # assumed
        dll_base=0x180040000, dll_bytes=0x2A0000,
        dll_data=(0x180200000, 14_184), dll_bss=(0x180220000, 221_976),
        exe_base=0x100400000,
        exe_data=(0x100485000, 21_688), exe_bss=(0x10048B000, 31_708),
        stack_base=0x7FFC00000,
        shared_address=0x1A0000000,
        signal_objects=("pipe", "ready", "arrived", "thread"),
        user_heap_reserve_bytes=0x20000000, user_heap_address=0xA00000000,
        exec_pipe_bytes=16,
        fork_waits_twice=True,
        mount_in_fork=True,
        lock_calls=SRW_CALLS,
        heap_guard=CHILD_HAS_READ,
        ends_waiter=exec_pipe.STOPPED,
        max_children=1024 + 4095,  # _NPROCS, _NPROCS_2
        first_startup=FIRST_STARTUP_3_6,
        fork_startup=FORK_STARTUP_3_6,
        fork_return=("load-dlls",),
        exec_startup=EXEC_STARTUP_3_6,
    )  # fmt: skip

    def parent_side(self, p: CygwinProcess, request: Request) -> Steps:
        """Make the child, wait for it if it is Cygwin's. Runs in the caller's main thread."""
        if request.type is ChildType.FORK:
            return fork_3_6.fork(p, request)
        return self._spawn(p, request)

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        """cygheap_fixup_in_child: read the heap out of the parent. Runs in the child."""
        k, me, era, n = p.k, p.me, M, info.n
        try:
            region = k.virtual_reserve(me, info.cygheap, p.version.era.cygheapsize, "cygheap")
            at_once = max(era.first_commit_bytes, round_up(n))
            k.virtual_commit(me, info.cygheap, at_once, touched_bytes=n)
        except Win32Error as error:
            raise ApiFatal(
                f"Couldn't allocate space for child's heap {info.cygheap:#X}, size {n}, "
                f"Win32 error {error.code}"
            ) from error
        yield from child_copy(p, info.parent, "cygheap", info.cygheap, n)
        assert region.memory is not None
        p.attach_heap(region.memory, info.cygheap, n)

    def _spawn(self, p: CygwinProcess, request: Request) -> Steps:
        k, me, mode = p.k, p.me, request.mode
        overlay = mode == P_OVERLAY
        assert request.image is not None
        unread = request.image.name in p.installation.taken_for_cygwin
        known = unread or imports_cygwin(k, me, request.image)
        blocks = self._put(p, request, known)
        ready = 0
        if known:
            ready = k.create_event(me, manual=False, inherit=True, role="subproc_ready")
        parent = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)
        read_end, write_end = 0, p.wr_proc_pipe
        if not overlay:
            read_end, write_end = (0, 0) if mode == P_DETACH else exec_pipe.prefork(p)
        if not known:
            exec_pipe.keep_from(p, parent, write_end)
        if overlay:
            signal_pipe.execing(p)
        passed = _Passed(blocks, known, ready, parent, read_end, write_end)
        try:
            made = yield from self._until_ready(p, request, passed)
        except (TryAgain, Win32Error):
            heap_guard.drop(p)
            if overlay:
                signal_pipe.exec_failed(p)
            if read_end:
                yield from exec_pipe.postfork(p, write_end)
                k.close_handle(me, read_end)
            self._close(p, ready, parent)
            free_arguments(p.heap, blocks)
            raise
        h_process, pid, child, woke = made
        if overlay:
            yield from self._leave(p, request, h_process, known and woke == WAIT_OBJECT_0)
        self._close(p, ready, parent)
        if child is None:
            k.close_handle(me, h_process)
        else:
            yield from exec_pipe.postfork(p, write_end)
            yield from exec_pipe.attach(p, child)
        code = (yield from p.waitpid(pid)) if mode == P_WAIT else 0
        free_arguments(p.heap, blocks)
        if mode == P_WAIT:
            return code
        return 0 if mode == P_DETACH else pid

    def _until_ready(self, p: CygwinProcess, request: Request, passed: _Passed) -> Steps:
        """CreateProcess until a Cygwin child has what it needs, under the guard; once more for an
        exec whose child died and is worth it.

        Its handle, its pid, its record and what ended the wait.  Raises Win32Error.
        """  # fmt: skip
        k, me, mode = p.k, p.me, request.mode
        overlay = mode == P_OVERLAY
        kind = ChildType.EXEC if overlay else ChildType.SPAWN
        retry = p.version.proc_retry
        while True:
            yield from heap_guard.hold(p)
            info = exec_info(p, mode, kind, passed.blocks, passed.parent, passed.ready)
            info = info._replace(wr_proc_pipe=passed.write_end)
            request.creation.heap_bytes = info.n
            made = yield from self._create(p, request, info, passed.known)
            h_process, h_thread, pid = made
            child = None
            if overlay:
                p.h_execed = h_process
            if passed.read_end:
                self._check_room(p, h_process, h_thread)
                child = exec_pipe.remember(p, h_process, pid, passed.read_end)
                k.duplicate_handle(me, CURRENT_PROCESS, child.h_pinfo, h_process)
            if not passed.known and passed.write_end:
                exec_pipe.give_to(p, passed.write_end, h_process)
            if self._suspended(p, mode, passed.known):
                yield from k.resume_thread(me, h_thread)
            k.close_handle(me, h_thread)
            woke = WAIT_OBJECT_0
            if passed.known:
                handles = passed.ready, h_process
                woke = yield from wait_for_child(p, request.creation, handles, INFINITE)
            heap_guard.drop(p)
            left = None
            if overlay and woke == DIED:
                left = tries_left(k.get_exit_code_process(me, h_process), retry)
            if left is None:
                return h_process, pid, child, woke
            retry = left
            p.h_execed = 0
            k.close_handle(me, h_process)

    def _check_room(self, p: CygwinProcess, h_process: int, h_thread: int) -> None:
        """Where a child has no room on record it is left as it is: nobody ever resumes it."""
        try:
            exec_pipe.check_room(p)
        except TryAgain:
            self._close(p, h_process, h_thread)
            raise

    def _close(self, p: CygwinProcess, *handles: int) -> None:
        for handle in handles:
            if handle:
                p.k.close_handle(p.me, handle)

    def _put(self, p: CygwinProcess, request: Request, known: bool) -> ArgumentBlocks:
        """The set of an exec or spawn (§5); argv goes there only for a Cygwin program."""
        assert request.arguments is not None
        argv, env, script = request.arguments
        names = {text.split(b"=", 1)[0].upper() for text in env}
        added = [text for text in _ADDED if text.split(b"=", 1)[0] not in names]
        arguments = Arguments(argv, [*env, *added], script)
        more = exec_pipe.CHILD_RECORD.size * len(p.children)
        blocks = put_argv(p.heap, arguments, more, copied=known)
        put_environment(p.heap, blocks, arguments, 0)
        if request.mode == P_OVERLAY and known:
            exec_pipe.record_children(p, blocks.info)
        return blocks

    def _create(self, p: CygwinProcess, request: Request, info: ChildInfo, known: bool) -> Steps:
        mode = request.mode
        flags = creation_flags(p, self._suspended(p, mode, known), mode)
        made = yield from p.k.create_process(
            p.me, request.image, True, flags, info, request.creation
        )
        if p.fds.sockets:
            yield from p.installation.bracket(
                p, "fixup_before_exec", fixup_before(p, made[2], execed=True)
            )
        return made

    def _suspended(self, p: CygwinProcess, mode: str, known: bool) -> bool:
        return mode != P_OVERLAY or not known or p.fds.sockets > 0

    def _leave(self, p: CygwinProcess, request: Request, h_process: int, taken_over: bool) -> Steps:
        """The end of an exec in its stub; does not return.

        It goes at once if the new image lives and has the pipe to a Cygwin parent; otherwise it
        waits for the program and ends as that does.
        """
        k, me = p.k, p.me
        yield from p.close_all_files()
        code = 0
        if not (taken_over and p.wr_proc_pipe):
            yield from wait_for_child(p, request.creation, (h_process,), INFINITE)
            code = k.get_exit_code_process(me, h_process)
            code = signal_pipe.signalled(p) or code
            if not taken_over:
                exec_pipe.leave(p, code)
        if p.installation.watch is not None and not taken_over:
            p.installation.watch.ending(p)
        yield from k.exit_process(me, code)


class Unguarded(ChildCopy):
    """As it was until 3.6.4: another thread can change the heap while a child reads it."""

    name = "child-copy-3.6.4"
    until = "2025-10-09"
    summary = "as child-copy, but nothing guards the heap while the child reads it"
    version = replace(ChildCopy.version, name="3.6.4", heap_guard=UNGUARDED)


SCHEME = ChildCopy()
BEFORE_3_6_5 = Unguarded()
