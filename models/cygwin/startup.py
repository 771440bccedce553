"""dll_crt0: what happens in a process with Cygwin's DLL before its main() runs.

A first process has no Cygwin parent and makes everything itself.  A child of exec or spawn gets the
heap and takes argv, environment and descriptors out of it.  A fork child gets the heap, tells the
parent, is filled with the parent's memory, and returns from fork() in its place.  The order of the
calls is the release's (`Version.first_startup` and its sisters).

Source: dcrt0.cc and fork.cc of aa9d50a1c (CYGWIN.md §b1, §c2); order of calls from the logs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from weakref import ref

from models.cygwin import (
    children,
    directories,
    dll_data,
    dlls_3_6,
    first_process,
    installation_sections,
    signal_pipe,
    startup_1_1,
    startup_1_5,
    startup_1_7,
    startup_3_6,
    startup_arguments,
    vfork,
)
from models.cygwin.child_fixups import descriptors_after_fork, new_socket, reads
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.cygheap.c_allocator import EndlessWalk, HeapFatal, UndefinedAccess
from models.cygwin.descriptors import PIPE, DescriptorTable
from models.cygwin.early_death import EXIT_FORK_FAILED
from models.cygwin.errors import ApiFatal, ForkAborted, NotExecuted
from models.cygwin.installation import Creation, Installation, Program
from models.cygwin.process import CygwinProcess
from models.cygwin.section_transfer import no_room
from models.cygwin.version import FORK_WAIT_MS, Version
from models.win32.errors import AccessViolation, Win32Error
from models.win32.handles import CURRENT_PROCESS, CURRENT_THREAD
from models.win32.kernel import Kernel
from models.win32.thread import Thread
from models.win32.waits import WAIT_OBJECT_0
from sim.engine import Steps

Call = Callable[[CygwinProcess, ChildInfo | None], None]
StepsOf = Callable[[CygwinProcess, ChildInfo | None], Steps]

_EXIT_FATAL = 1  # api_fatal's exit code
_EXIT_NOT_EXECUTED = 126  # of a shell's child whose exec failed


def entry(
    installation: Installation, program: Program, version: Version | None = None
) -> children.EntryPoint:
    """The entry point of an image that is linked with Cygwin and whose main() is `program`.

    `version` has the addresses of this image where they are not the installation's.
    """

    def steps(kernel: Kernel, thread: Thread) -> Steps:
        p = CygwinProcess(installation, thread)
        installation.loaded[thread.process.pid] = ref(p)
        p.version = version or installation.version
        info = thread.process.startup
        try:
            if info is not None and info.type is ChildType.FORK:
                main = yield from _fork_child(p, info)
            else:
                yield from _start(p, info)
                main = program
            _reached_main(p)
            yield from main(p)
        except UndefinedAccess as error:
            raise AccessViolation(p.version.dll_bss[0] + 4 * error.args[0], "read") from error
        except NotExecuted:
            yield from p.exit(_EXIT_NOT_EXECUTED)  # the message is written down
        except AccessViolation:
            if not p.version.handles_faults:
                raise
            yield from startup_1_5.die_of_fault(p)
        except (ApiFatal, HeapFatal) as error:
            aborted = isinstance(error, ForkAborted)
            if not (aborted and info is not None and info.silent):
                p.fail(str(error).replace("%E", "Win32 error 0"))  # as users saw it (§i)
            code = EXIT_FORK_FAILED if aborted else _EXIT_FATAL
            yield from kernel.exit_process(thread, code)
        except EndlessWalk as error:
            yield from kernel.spin(thread, str(error))  # it never comes to main(), nor to an end
        yield from p.exit(0)

    return steps


def _reached_main(p: CygwinProcess) -> None:
    creation = p.me.process.tag
    if isinstance(creation, Creation) and creation.main_us is None:
        creation.main_us = p.now()
    if p.installation.watch is not None:
        p.installation.watch.started(p)


def _start(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    """Start-up of a first process (no `info`) or of a child of exec or spawn."""
    startup = p.version.first_startup if info is None else p.version.exec_startup
    p.me.debt_us += p.me.costs.init_us
    yield from _run(startup, p, info)
    yield from _sigproc_init(p, None if p.version.exec_pipe_bytes else info, wait=True)


def _fork_child(p: CygwinProcess, info: ChildInfo) -> Steps:
    """Start-up of a fork child: heap, hand-shake, fix-ups. The program that it goes on with."""
    k, me = p.k, p.me
    me.debt_us += me.costs.init_us
    yield from _run(p.version.fork_startup, p, info)
    yield from k.set_event(me, info.subproc_ready)
    woke = yield from k.wait_for_single_object(me, info.forker_finished, FORK_WAIT_MS)
    if woke != WAIT_OBJECT_0:
        raise ApiFatal("WFSO timed out")
    dll_data.load(p)
    main = p.continuation()
    yield from _run(p.version.fork_return, p, info)
    if not p.version.hexec_last:
        _own_hexec(p, info)
    descriptors_after_fork(p, info.parent)
    yield from k.set_event(me, info.subproc_ready)
    if p.version.fork_waits_twice:
        yield from startup_3_6.last_wait(p, info)
        return main
    if p.version.fork_end:
        yield from _run(p.version.fork_end, p, info)
        return main
    for handle in (info.parent, info.subproc_ready, info.forker_finished):
        k.close_handle(me, handle)
    if p.version.hexec_last:
        _own_hexec(p, info)
    yield from _sigproc_init(p, info, wait=False)
    if p.version.cancel_points:
        _signal_event(p, info)
    return main


def _own_hexec(p: CygwinProcess, info: ChildInfo) -> None:
    """A handle of its own for a fork child's execs, in place of the one that came along."""
    k, me = p.k, p.me
    if info.hexec:
        k.close_handle(me, info.hexec)
    p.h_exec = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, CURRENT_PROCESS, inherit=True)


def _sigproc_init(p: CygwinProcess, info: ChildInfo | None, wait: bool) -> Steps:
    """Start the signal thread; a program that is not forked waits until it runs."""
    k, me = p.k, p.me
    ready = 0
    for what in p.version.signal_objects:
        if what == "pipe":
            signal_pipe.create(p, me)
        elif what in ("ready", "ready-once"):
            ready = k.create_event(me, manual=what == "ready", role="signal thread ready")
        elif what == "arrived":
            p.signal_arrived = k.create_event(me, manual=True, role="signal_arrived")
        elif what == "mask":
            k.create_event(me, manual=False, role="signal mask")
        elif what == "own":
            if wait:  # a fork child does so later
                _thread(p, info)
        else:
            yield from children.make_thread(p, signal_pipe.steps(p, info, ready), "signal")
    if wait:
        yield from k.wait_for_single_object(me, ready)
        k.close_handle(me, ready)


def _run(words: tuple[str, ...], p: CygwinProcess, info: ChildInfo | None) -> Steps:
    for call, steps in _meaning(words):
        if call is not None:
            call(p, info)
        elif steps is not None:
            yield from steps(p, info)


@lru_cache(maxsize=64)
def _meaning(words: tuple[str, ...]) -> list[tuple[Call | None, StepsOf | None]]:
    """Each word as a call, or else as steps."""
    return [(_CALLS.get(word), None if word in _CALLS else _STEPS[word]) for word in words]


# ---- the steps that the release's lists name -------------------------------------------------


def _self(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.h_self = p.k.duplicate_handle(p.me, CURRENT_PROCESS, CURRENT_PROCESS, CURRENT_PROCESS)


def _thread(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.h_thread = p.k.duplicate_handle(p.me, CURRENT_PROCESS, CURRENT_THREAD, CURRENT_PROCESS)


def _grandparent(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The parent's handle of its own parent came along; only the image after an exec needs it."""
    if info is not None and info.pppid_handle:
        if info.takes_over:
            p.ppid_handle = info.pppid_handle
        else:
            p.k.close_handle(p.me, info.pppid_handle)


def _ppid(p: CygwinProcess, info: ChildInfo | None) -> None:
    """What an exec was told of its parent, where the handle that came along is not closed."""
    if info is not None and info.type is ChildType.EXEC:
        p.ppid_handle = info.pppid_handle


def _hexec(p: CygwinProcess, info: ChildInfo | None) -> None:
    """An exec hands on what the caller has for its own execs; a spawn child closes it.

    In 1.3.19 it does so later, together with its parent's handle (log `vfork-make`).
    """
    if info is not None and info.hexec:
        if info.type is ChildType.EXEC:
            p.h_exec = info.hexec
        elif not p.version.hexec_last:
            p.k.close_handle(p.me, info.hexec)


def _muto(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.k.create_event(p.me, manual=False, role="muto")


def _heap(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    if info is None:
        try:
            first_process.make_heap(p)
        except Win32Error as error:
            text = "Couldn't reserve space for cygwin's heap"
            if not p.version.heap_address:
                raise ApiFatal(f"{text}, Win32 error 0") from error
            if p.version.null_pointer_said:
                p.fail(f"init_cheap: VirtualAlloc pointer is null, Win32 error {error.code}")
            raise no_room(p, p.version.heap_address, text) from error
        return
    steps = p.installation.scheme.child_side(p, info)
    yield from p.installation.bracket(p, "cygheap_fixup_in_child", steps)


def _walk(p: CygwinProcess, info: ChildInfo | None) -> None:
    era = p.heap.era
    if era.heapbase_offset is not None:
        p.heap.memory.write32(era.heapbase_offset, 0)
    p.installation.on_heap(p.heap, "walk", lambda: p.heap.walk(execed=True))


def _mutex(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.k.create_mutex(p.me)


def _signal_event(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.h_cancel = p.k.create_event(p.me, manual=True, role="thread signal")


def _stack(p: CygwinProcess, info: ChildInfo | None) -> None:
    if info is not None:
        p.stack_bytes = info.stack_bytes
    p.k.virtual_query(p.me, p.stack_range()[0])


def _pinfo(p: CygwinProcess, info: ChildInfo | None) -> None:
    """Own pinfo: made here or by the parent under our pid, or handed on by an exec."""
    k, me = p.k, p.me
    if info is not None and info.takes_over:
        p.h_pinfo = k.duplicate_handle(
            me,
            CURRENT_PROCESS,
            startup_arguments.handed(p, info).pinfo,
            CURRENT_PROCESS,
            close_source=True,
        )
    else:
        name = children.pinfo_name(me.process.pid)
        p.h_pinfo, _ = k.create_file_mapping(me, p.version.pinfo_bytes, name=name, role="pinfo")
    region = k.map_view_of_file_ex(me, p.h_pinfo, name="cygpid", ex=p.version.pinfo_view_ex)
    assert region.memory is not None
    p.pinfo, p.pinfo_view = region.memory, region
    if info is not None and info.takes_over:
        p.pid = info.cygpid
    else:
        p.pid = me.process.pid
        p.pinfo.write32(children.PID, p.pid)
    p.pinfo.write32(children.WINPID, me.process.pid)


def _descriptors(p: CygwinProcess, info: ChildInfo | None) -> None:
    """fdtab: a new one, or the parent's without what is closed at exec."""
    if info is None:
        first_process.make_descriptors(p)
        return
    p.fds = DescriptorTable(p.heap)
    p.fds.read()
    for fd, d in list(p.fds.open.items()):
        if d.kind == PIPE and p.version.pipe_guards and not d.cloexec and reads(p, d.handle):
            p.k.create_event(p.me, manual=False, role="pipe guard")
        if d.cloexec:
            p.fds.remove(fd)
        elif d.info:
            d.handle, d.second = new_socket(p, d.info, (d.handle, d.second), 0)
            p.fds.store(d)


def _fdtab(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The table alone: names of user and directory come when somebody asks for them."""
    p.fds = DescriptorTable(p.heap)
    p.fds.create()
    p.heap.memory.write32(p.heap.era.shared_offset, p.h_shared)


def _parent(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The parent's handle is closed; 1.3.19 closes here what else a spawn child has no use for."""
    assert info is not None
    p.k.close_handle(p.me, info.parent)
    if p.version.hexec_last and info.type is not ChildType.EXEC:
        for handle in (info.hexec, info.pppid_handle):
            if handle:
                p.k.close_handle(p.me, handle)


def _user_heap(p: CygwinProcess, info: ChildInfo | None) -> None:
    """malloc's address space: anywhere, or where the fork parent has it."""
    k, me, size = p.k, p.me, p.version.user_heap_reserve_bytes
    if info is None or info.type is not ChildType.FORK:
        size = p.version.user_heap_new_bytes or size
        p.user_heap = k.virtual_reserve(me, p.version.user_heap_address, size, "user heap")
        return
    try:
        p.user_heap = k.virtual_reserve(me, info.heapbase, size, "user heap")
    except Win32Error as error:
        if p.version.signal_pipe:
            raise startup_3_6.no_user_heap(info, size, error.code) from error
        raise ApiFatal(
            f"1. unable to allocate heap {info.heapbase:#x}, heap_chunk_size {size}, "
            f"pid {p.me.process.pid}, Win32 error {error.code}"
        ) from error
    k.virtual_commit(me, info.heapbase, info.heap_bytes)
    p.user_heap_bytes = info.heap_bytes


def _held(p: CygwinProcess, info: ChildInfo | None) -> None:
    vfork.vfork_child_fixup(p)


def _title(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.h_mutex = p.k.create_mutex(p.me, name="cygwin1.title_mutex")


_CALLS: dict[str, Call] = {
    "self": _self,
    "thread": _thread,
    "muto": _muto,
    "mutex": _mutex,
    "signal-event": _signal_event,
    "walk": _walk,
    "no-directory": directories.forget,
    "stack": _stack,
    "pinfo": _pinfo,
    "descriptors": _descriptors,
    "fdtab": _fdtab,
    "shared": installation_sections.shared,
    "user-heap": _user_heap,
    "root": installation_sections.root,
    "open-root": installation_sections.open_root,
    "title": _title,
    "grandparent": _grandparent,
    "held": _held,
    "ppid": _ppid,
    "hexec": _hexec,
    "parent": _parent,
    **startup_3_6.CALLS,
    **dlls_3_6.CALLS,
    **startup_arguments.CALLS,
    **startup_1_1.CALLS,
    **startup_1_5.CALLS,
    **startup_1_7.CALLS,
}
_STEPS: dict[str, StepsOf] = {
    "heap": _heap,
    "settle": lambda p, info: p.k.settle(p.me),
    "signals": lambda p, info: _sigproc_init(p, None, wait=False),
    "signals-wait": lambda p, info: _sigproc_init(p, None, wait=True),
    **startup_3_6.STEPS,
    **startup_1_1.STEPS,
    **startup_1_5.STEPS,
}
