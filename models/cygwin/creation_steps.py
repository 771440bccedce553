"""Parts of fork, exec and spawn that every scheme has, whatever it does with the heap.

Source: fork.cc and spawn.cc of aa9d50a1c (CYGWIN.md §c2, §c3); order of calls from the logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from models.cygwin import children, directories, dll_data, heap_guard
from models.cygwin.arguments import (
    ArgumentBlocks,
    Arguments,
    free_arguments,
    put_argv,
    put_environment,
    put_info,
)
from models.cygwin.child_info import NO_CYGPID, ChildInfo, ChildType
from models.cygwin.errors import TryAgain
from models.cygwin.installation import Creation
from models.cygwin.protocol import P_DETACH, P_OVERLAY, Request
from models.cygwin.version import (
    CHILD_HAS_READ,
    EXIT_REPARENTED,
    FORK_WAIT_MS,
    MAX_SIGNAL_WAKES,
)
from models.win32.errors import PartialCopy, Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.process_calls import (
    CREATE_SUSPENDED,
    DETACHED_PROCESS,
    NORMAL_PRIORITY_CLASS,
)
from models.win32.waits import INFINITE, WAIT_OBJECT_0, WAIT_TIMEOUT
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess


class HeapSection(NamedTuple):
    """A section for one child, as its parent sees it. handle, view: in the parent -- constant"""

    handle: int
    view: int


NO_SECTION = HeapSection(0, 0)  # the child reads the parent's memory
_OWN_RANGES = 6  # that a fork copies before those of linked DLLs
SIGNAL_WOKE = WAIT_OBJECT_0 + 1  # index of signal_arrived in the exec wait


def fork_info(
    p: CygwinProcess, parent: int, ready: int, finished: int, section: int = 0
) -> ChildInfo:
    """child_info of a fork. cygheap_max is the end of the heap now, not before."""
    heap = p.heap
    return ChildInfo(
        ChildType.FORK, p.version.child_info_bytes["fork"], NO_CYGPID, ready, parent,
        parent_handle(p), p.h_root if p.version.mount_in_fork else 0, heap.base,
        heap.base + heap.max, section, finished,
        heapbase=p.user_heap.base, heap_bytes=p.user_heap_bytes, stack_bytes=p.stack_bytes,
        hexec=p.h_exec,
    )  # fmt: skip


def exec_info(
    p: CygwinProcess,
    mode: str,
    kind: ChildType,
    blocks: ArgumentBlocks,
    parent: int,
    ready: int,
    section: HeapSection | None = NO_SECTION,
) -> ChildInfo:
    """child_info of an exec or spawn. cygheap_max is the end of the heap now, not before.

    Without a section (None) the child is told nothing of the heap.
    """
    heap = p.heap
    cygpid = p.pid if mode == P_OVERLAY else NO_CYGPID
    if section is None:
        return ChildInfo(
            kind, p.version.child_info_bytes["exec"], cygpid, ready, parent, parent_handle(p),
            0, 0, 0,
        )  # fmt: skip
    return ChildInfo(
        kind, p.version.child_info_bytes["exec"], cygpid, ready, parent, parent_handle(p),
        p.h_root, heap.base, heap.base + heap.max, section.handle, moreinfo=blocks.info,
        hexec=p.h_exec,
    )  # fmt: skip


def creation_flags(p: CygwinProcess, suspended: bool, mode: str = "") -> int:
    """Flags of CreateProcess; `mode` is that of an exec or spawn.

    A child of a process without a console gets none either, nor does one that is detached.
    """
    flags = p.version.spawn_flags if mode else NORMAL_PRIORITY_CLASS
    if suspended:
        flags |= CREATE_SUSPENDED
    if mode == P_DETACH or not p.me.process.console:
        flags |= DETACHED_PROCESS
    return flags


def parent_handle(p: CygwinProcess) -> int:
    """This process's own handle of its Cygwin parent, 0 if it has none.

    The parent put it into the pinfo that both have mapped; an exec'ed image was told.
    """
    return p.ppid_handle or p.pinfo.read32(children.PPID_HANDLE)


def put_arguments(p: CygwinProcess, arguments: Arguments, overlay: bool) -> ArgumentBlocks:
    """argv and environment, then for an exec the handle of our pinfo (§b4, §c3; order: logs)."""
    amid = p.version.pinfo_amid
    if amid or p.version.directory is not None:
        blocks = put_argv(p.heap, arguments)
        directories.ask(p)
        if not amid:
            put_environment(p.heap, blocks, arguments, 0)
    else:
        blocks = _put_strings(p, arguments)
    pinfo = 0
    if overlay:
        pinfo = p.k.duplicate_handle(
            p.me, CURRENT_PROCESS, p.h_pinfo, CURRENT_PROCESS, inherit=True
        )
    if amid:
        put_environment(p.heap, blocks, arguments, pinfo)
    else:
        put_info(p.heap, blocks, pinfo)
    return blocks


def _put_strings(p: CygwinProcess, arguments: Arguments) -> ArgumentBlocks:
    """argv and environment, without a pinfo so far."""
    heap = p.heap

    def put() -> ArgumentBlocks:
        blocks = put_argv(heap, arguments)
        put_environment(heap, blocks, arguments, 0)
        return blocks

    if arguments.script > 1:  # a level is read when the one before is in the heap
        return put()
    step = tuple(arguments.argv), tuple(arguments.env), arguments.script
    kept = p.installation.on_heap(heap, step, put)
    return ArgumentBlocks(  # another one, as the pinfo differs
        kept.info, kept.vector, kept.strings, kept.env_vector, kept.env_strings
    )


def let_go(
    p: CygwinProcess,
    handles: Iterable[int],
    section: HeapSection | None = NO_SECTION,
    blocks: ArgumentBlocks | None = None,
    parent: int = 0,
) -> None:
    """CreateProcess failed: what was made for the child is closed, unmapped and freed.

    `blocks` and `parent`, of an exec or spawn, go last.  Source: the error branches of fork.cc and
    spawn.cc and child_info_spawn's destructor (trees of 2000 to 2004; the order is theirs).
    """
    k, me = p.k, p.me
    heap, view = section or NO_SECTION
    heap_guard.drop(p)
    for handle in handles:
        if handle:
            k.close_handle(me, handle)
    if view:
        k.unmap_view_of_file(me, view)
    if blocks:
        free_arguments(p.heap, blocks)
    for handle in (heap, parent, blocks.pinfo if blocks else 0):
        if handle:
            k.close_handle(me, handle)


def create_reader(
    p: CygwinProcess, request: Request, info: ChildInfo, flags: int, blocks: ArgumentBlocks
) -> Steps:
    """CreateProcess of an exec or spawn whose child reads our heap, then what its sockets need.

    Its handles of process and thread, and its pid.  Raises Win32Error when everything for it is
    gone again.
    """
    k, me, ready, parent = p.k, p.me, info.subproc_ready, info.parent
    try:
        made = yield from k.create_process(me, request.image, True, flags, info, request.creation)
    except Win32Error:
        let_go(p, (ready,), NO_SECTION, blocks, parent)
        raise
    if p.fds.sockets:
        yield from p.installation.bracket(
            p, "fixup_before_exec", fixup_before(p, made[2], execed=True)
        )
    return made


def fixup_before(p: CygwinProcess, child_winpid: int, execed: bool) -> Steps:
    """Write into our own heap, for each socket, what the suspended child needs to make it anew."""
    heap = p.heap
    for d in p.fds.open.values():
        if not d.info or (execed and d.cloexec):
            continue
        for i, handle in enumerate((d.handle, d.second)):
            if handle:
                info = p.k.wsa_duplicate_socket(p.me, handle, child_winpid)
                heap.memory.write(d.info - heap.base + 8 * i, info[:8])
    yield from ()


def write_fork_memory(p: CygwinProcess, h_process: int) -> Steps:
    """The six ranges that a fork parent writes into its child, then those of linked DLLs.

    A range that cannot be written is the end of the child. Raises TryAgain with fork_copy's words.
    """
    version, k, me = p.version, p.k, p.me
    dll_data.save(p)
    ranges = [
        version.exe_data,
        version.exe_bss,
        (p.user_heap.base, p.user_heap_bytes),
        p.stack_range(),
        version.dll_data,
        version.dll_bss,
        *version.linked,
    ]
    for number, (address, size_bytes) in enumerate(ranges):
        if not size_bytes:
            continue
        try:
            yield from k.write_process_memory(me, h_process, address, address, size_bytes)
        except Win32Error as error:
            with suppress(Win32Error):
                yield from k.terminate_process(me, h_process, 1)
            linked = number - _OWN_RANGES
            what = "user/cygwin data" if linked < 0 else "linked dll data/bss"
            done = error.done_bytes if isinstance(error, PartialCopy) else 0
            raise TryAgain(
                f"{what} pass {number if linked < 0 else linked % 2} failed, "
                f"0x{address:X}..0x{address + size_bytes:X}, done {done}, Win32 error {error.code}"
            ) from error


def fork_handshake(
    p: CygwinProcess, creation: Creation, h_process: int, ready: int, finished: int, pid: int
) -> Steps:
    """Steps 9 to 12 of §c2: wait, fill the child, let it go on, wait again. Raises TryAgain."""
    k, me = p.k, p.me
    yield from sync_with_child(p, creation, h_process, ready, pid, "waiting for longjmp")
    yield from write_fork_memory(p, h_process)
    yield from heap_guard.reached(p, CHILD_HAS_READ)
    yield from k.set_event(me, finished)
    yield from sync_with_child(p, creation, h_process, ready, pid, "child loading dlls")


def finish_fork(
    p: CygwinProcess, creation: Creation, child: tuple[int, int], events: tuple[int, int], pid: int
) -> Steps:
    """The hand-shake, and what the parent closes after it. Raises TryAgain.

    child: handles of its process and thread; events: subproc_ready and forker_finished.
    The child's own handle stays open for wait_subproc, unless the child came to nothing.
    """
    (h_process, h_thread), (ready, finished) = child, events
    k, me = p.k, p.me
    try:
        yield from fork_handshake(p, creation, h_process, ready, finished, pid)
    except TryAgain:
        heap_guard.drop(p)
        children.keep_zombie(p, h_process)
        for handle in (h_process, h_thread, ready, finished):
            k.close_handle(me, handle)
        raise
    for handle in (ready, h_thread, finished):
        k.close_handle(me, handle)


def wait_for_child(p: CygwinProcess, creation: Creation, handles: Sequence[int], ms: int) -> Steps:
    """A wait of the hand-over, with its time written into the creation."""
    k = p.k
    creation.waits += 1
    creation.waiting_since_us = p.now()
    result = yield from k.wait_for_multiple_objects(p.me, handles, False, ms)
    creation.waited_us += k.engine.now - creation.waiting_since_us
    creation.waiting_since_us = None
    return result


def sync_with_child(
    p: CygwinProcess, creation: Creation, h_process: int, ready: int, pid: int, state: str
) -> Steps:
    """Until the child is ready, has died or 300 s are over.

    `state` is what the message calls the part of the fork (§i, logs `fork-child-dies`).
    """
    k, me = p.k, p.me
    woke = yield from wait_for_child(p, creation, (ready, h_process), FORK_WAIT_MS)
    if woke == WAIT_OBJECT_0:
        return
    if woke == WAIT_TIMEOUT:
        yield from k.terminate_process(me, h_process, 1)
        raise TryAgain("WaitForMultipleObjects timed out")
    yield from k.wait_for_single_object(me, ready, 0)  # it may have been both
    code = k.get_exit_code_process(me, h_process)
    p.installation.say(creation.pid, me.process.image.name, f"*** child state {state}")
    raise TryAgain(
        f"child {pid}(0x{h_process:X}) died before initialization with status code 0x{code:X}"
    )


def wait_for_exec(p: CygwinProcess, creation: Creation, h_process: int, ready: int) -> Steps:
    """The wait of an exec: until the child has read the heap, or is gone. The index that woke.

    Signals only reset their event; after a hundred of them the wait gives up (spawn.cc).
    """
    k, me = p.k, p.me
    handles = (h_process, p.signal_arrived, ready)
    woke = SIGNAL_WOKE
    for _ in range(MAX_SIGNAL_WAKES):
        woke = yield from wait_for_child(p, creation, handles, INFINITE)
        if woke != SIGNAL_WOKE:
            break
        yield from k.reset_event(me, p.signal_arrived)
    yield from heap_guard.reached(p, CHILD_HAS_READ)
    return woke


def leave_to_child(
    p: CygwinProcess,
    creation: Creation,
    h_process: int,
    ready: int,
    woke: int,
    watched: tuple[int, ...],
) -> Steps:
    """The end of an exec in its stub; does not return.

    If the child lives and our Cygwin parent too, the parent is given the child's handle and the
    stub ends.  Otherwise it stands in for the child until that ends: it waits for `watched`.
    """  # fmt: skip
    k, me = p.k, p.me
    took_heap = woke == WAIT_OBJECT_0 + 2
    if took_heap:
        parent = parent_handle(p)
        if parent and (yield from k.wait_for_single_object(me, parent, 0)) == WAIT_TIMEOUT:
            k.close_handle(me, ready)
            given = k.duplicate_handle(me, CURRENT_PROCESS, h_process, parent)
            p.pinfo.write32(children.H_PROCESS, given)
            k.close_handle(me, h_process)
            yield from k.exit_process(me, EXIT_REPARENTED)
        if p.version.orphan_signals:
            yield from k.set_event(me, p.signal_arrived)  # no more signals (§i, ten logs)
        for _ in range(MAX_SIGNAL_WAKES):
            woke = yield from wait_for_child(p, creation, watched, INFINITE)
            if woke == WAIT_OBJECT_0:
                break
            yield from k.reset_event(me, p.signal_arrived)
    # after too many signals the child's code is not asked for: the stub ends with 0
    code = k.get_exit_code_process(me, h_process) if woke == WAIT_OBJECT_0 else 0
    k.close_handle(me, ready)
    if took_heap and p.version.orphan_code is not None:
        with suppress(Win32Error):  # it has no parent to give it to, and tries
            k.duplicate_handle(me, CURRENT_PROCESS, h_process, 0)
        code = p.version.orphan_code
    k.close_handle(me, h_process)
    if p.installation.watch is not None:
        p.installation.watch.ending(p)
    yield from k.exit_process(me, code)
