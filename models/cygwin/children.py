"""Children of a Cygwin process: registering them, hearing of their end, and reaping.

Three threads take part.  The main thread registers a child and waits for it; wait_subproc waits for
the process handles of all children; the signal thread reaps a child that the main thread waits for.

A process that execs stays the same child: its stub writes a handle of the new process into its own
pinfo, a section that the parent has mapped too, and exits.  wait_subproc sees that the handle there
is not the one that it waited for, and adopts it.

Source: sigproc.cc and pinfo.cc of aa9d50a1c (CYGWIN.md §c2, §c3); order of calls from the logs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.process_table import Record
from models.cygwin.version import (
    EXIT_SIGNALLED,
    JOIN_MS,
    MAX_CHILDREN,
    MAX_ZOMBIES,
    PID_RING,
    SIGNAL_DONE_MS,
)
from models.win32.address_space import Region
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.memory import Memory
from models.win32.thread import Thread
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess
    from models.win32.kernel import Kernel

Commit = Callable[[int, int], object]
EntryPoint = Callable[["Kernel", Thread], Steps]

# The signal thread also makes three semaphores and an event for signals between processes, which
# nothing here sends: their cost is charged, they themselves are left out.
_MORE_OBJECTS = 4

PACKET_BYTES = 192  # what a signal thread reads at once, a sigpacket (assumed)

# Words of a pinfo section (their places are assumed).
PID, H_PROCESS, PPID_HANDLE, WINPID, SIGNAL = 0, 8, 12, 16, 20


@dataclass(slots=True, eq=False)
class Child:
    """A registered child.

    pid: Cygwin pid -- constant
    h_process: what wait_subproc waits for -- state
    h_first: handle of the process that was registered, closed at reaping -- constant
    h_pinfo, view: its pinfo -- constant
    zombie: it has ended and nobody has reaped it -- state
    record: its record, where pinfos lie in a section that all share (1.1) -- constant
    rd_proc_pipe, h_waiter, code: what tells of its end, the thread that reads it, and how it
        ended, from Cygwin 3.6 -- state
    """

    pid: int
    h_process: int
    h_first: int
    h_pinfo: int
    view: Region
    zombie: bool = False
    rd_proc_pipe: int = 0
    h_waiter: int = 0
    code: int | None = None
    record: Record | None = None

    @property
    def pinfo(self) -> Memory | Record:
        """The child's pinfo, as this process sees it."""
        memory = self.record or self.view.memory
        assert memory is not None
        return memory


@dataclass(slots=True)
class Waiter:
    """The main thread in waitpid. pid: whom it waits for -- input; code -- output"""

    pid: int
    code: int | None = None


def pinfo_name(winpid: int) -> str:
    """What the pinfo section of a process is called."""
    return f"cygpid.{winpid:x}"


def sigcatch_name(winpid: int) -> str:
    """What the semaphore is called by which a process hears of signals."""
    return f"cygwin1.sigcatch.{winpid:x}"


def subproc_init(p: CygwinProcess) -> Steps:
    """Before the first child: the event and the thread that children need."""
    if not p.wake_children:
        p.wake_children = p.k.create_event(p.me, manual=False, role="wait_subproc")
        p.h_wait_subproc = yield from make_thread(
            p, lambda thread: wait_subproc(p, thread), "wait_subproc", p.version.waiter_inherited
        )


def make_thread(
    p: CygwinProcess, start: Callable[[Thread], Steps], role: str, inherit: bool = False
) -> Steps:
    """Start a thread of the DLL's own: its handle, 0 where the release does not keep it."""
    k, me, suspended = p.k, p.me, p.version.thread_suspended
    handle = yield from k.create_thread(me, start, suspended, role, inherit)
    if suspended:
        yield from k.resume_thread(me, handle)
        k.close_handle(me, handle)
        handle = 0
    elif p.version.threads_closed:
        k.close_handle(me, handle)
        handle = 0
    return handle


def remember(p: CygwinProcess, h_process: int, winpid: int, keep: bool = False) -> Steps:
    """Register a child whose process exists; the record. `keep`: `keep_pid` on the way (1.1.8).

    Returns None if the process has 62 living children already: the child runs, nobody will hear
    of it (what the caller makes of the refusal is assumed). Zombies stand in a table of their own.
    """
    k, me = p.k, p.me
    h_pinfo, _ = k.create_file_mapping(
        me, p.version.pinfo_bytes, name=pinfo_name(winpid), role="pinfo"
    )
    view = k.map_view_of_file_ex(me, h_pinfo, name="cygpid", ex=p.version.pinfo_view_ex)
    assert view.memory is not None
    if _too_many(p.children, MAX_CHILDREN, zombies=False):
        return None
    if keep:
        keep_pid(p, h_process)
    first = k.duplicate_handle(me, CURRENT_PROCESS, h_process, CURRENT_PROCESS)
    try:
        to_me = k.duplicate_handle(me, CURRENT_PROCESS, p.h_self, h_process, inherit=True)
    except Win32Error:
        to_me = 0  # it is gone already; its end will be noticed like any other
    memory = view.memory
    memory.write32(PID, winpid)
    memory.write32(WINPID, winpid)
    memory.write32(H_PROCESS, h_process)
    memory.write32(PPID_HANDLE, to_me)
    child = Child(winpid, h_process, first, h_pinfo, view)
    p.children.append(child)
    yield from k.set_event(me, p.wake_children)
    return child


def hand_pinfo(p: CygwinProcess, child: Child | None, h_process: int) -> None:
    """A handle of its pinfo for a spawned child, whose value nobody is told; none if it is dead."""
    if child is not None:
        with suppress(Win32Error):
            p.k.duplicate_handle(p.me, CURRENT_PROCESS, child.h_pinfo, h_process)


def keep_pid(p: CygwinProcess, h_process: int) -> None:
    """Fork keeps a handle of its last 8 children, so that their pids are not given out again."""
    if len(p.ring) >= PID_RING:
        p.k.close_handle(p.me, p.ring.pop(0))
    p.ring.append(p.k.duplicate_handle(p.me, CURRENT_PROCESS, h_process, CURRENT_PROCESS))


def keep_zombie(p: CygwinProcess, h_process: int) -> None:
    """The parent closes its handle of a child that came to nothing; its record has another.

    The pinfo is told, or wait_subproc would take the closed one for that of a new image.
    """
    for child in p.children:
        if child.h_process == h_process:
            child.h_process = child.h_first
            child.pinfo.write32(H_PROCESS, child.h_first)


def wait_subproc(p: CygwinProcess, thread: Thread) -> Steps:
    """Steps of the thread that waits for children, and for word of new ones."""
    k = p.k
    while True:
        alive = [child for child in p.children if not child.zombie]
        handles = [p.wake_children, *[child.h_process for child in alive]]
        try:
            woke = yield from k.wait_polling(thread, handles, p.version.poll_ms)
        except Win32Error:
            if all(child.h_process in handles for child in alive):
                raise
            continue  # the main thread has closed one meanwhile (`keep_zombie`): look again
        if woke == 0:
            if p.exiting:
                alive = [child for child in p.children if not child.zombie]
                handles = [p.wake_children, *(child.h_process for child in alive)]
                yield from k.wait_for_multiple_objects(thread, handles, False, 0)  # a last look
                k.close_handle(thread, p.wake_children)
                yield from k.exit_thread(thread)
            continue
        child = alive[woke - 1]
        if p.version.asks_for_code:
            k.get_exit_code_process(thread, child.h_process)
        adopted = child.pinfo.read32(H_PROCESS)
        if adopted != child.h_process:
            k.close_handle(thread, child.h_process)
            child.h_process = adopted
            continue
        child.zombie = True
        waited_for = p.waiter is not None and p.waiter.pid == child.pid
        if not waited_for and _too_many(p.children, MAX_ZOMBIES, zombies=True):
            _forget(p, thread, child)
        yield from k.release_semaphore(thread, p.sigcatch)


def signal_thread(p: CygwinProcess, thread: Thread, info: ChildInfo | None, ready: int) -> Steps:
    """Steps of the signal thread: tell the parent of an exec that we live, then serve signals."""
    k = p.k
    p.sigcatch = k.create_semaphore(thread, name=sigcatch_name(p.me.process.pid), role="sigcatch")
    thread.debt_us += _MORE_OBJECTS * thread.costs.handle_us
    if info is not None and info.type is not ChildType.FORK:
        yield from _tell_parent(p, thread, info)
    if info is not None and info.takes_over and p.version.pid_link_bytes:
        name = pinfo_name(p.me.process.pid)
        link, _ = k.create_file_mapping(thread, p.version.pid_link_bytes, name=name)
        k.map_view_of_file_ex(thread, link, name="cygpid link", ex=p.version.pinfo_view_ex)
    yield from k.set_event(thread, ready)
    while True:
        yield from k.wait_for_single_object(thread, p.sigcatch)
        signal = p.pinfo.read32(SIGNAL)
        if signal:
            yield from _die_of(p, thread, signal)
        if p.waiter is not None:
            child = find(p, p.waiter.pid)
            if child is not None and child.zombie:
                yield from reap(p, thread, child)


def _die_of(p: CygwinProcess, thread: Thread, signal: int) -> Steps:
    """A signal that ends a process. A stub passes it on to what it stands in for, and lives on.

    Source: logs `native-killed-stub`; that any other process ends at once is assumed.
    """
    p.pinfo.write32(SIGNAL, 0)
    victim = p.h_execed or CURRENT_PROCESS
    with suppress(Win32Error):
        yield from p.k.terminate_process(thread, victim, EXIT_SIGNALLED | signal << 8)


def kill(p: CygwinProcess, pid: int, signal: int) -> Steps:
    """kill(): whether there is such a process. Runs in the main thread; calls as in the logs.

    `signal` is one that ends a process.
    """
    k, me = p.k, p.me
    h_pinfo = k.open_file_mapping(me, pinfo_name(pid))
    if h_pinfo is None:
        return False
    view = k.map_view_of_file_ex(me, h_pinfo, name="cygpid", ex=p.version.pinfo_view_ex)
    assert view.memory is not None
    view.memory.write32(SIGNAL, signal)
    sigcatch = k.open_semaphore(me, sigcatch_name(view.memory.read32(WINPID)))
    yield from k.release_semaphore(me, sigcatch)
    k.close_handle(me, sigcatch)
    k.unmap_view_of_file(me, view.base)
    k.close_handle(me, h_pinfo)
    return True


def _tell_parent(p: CygwinProcess, thread: Thread, info: ChildInfo) -> Steps:
    """SetEvent(subproc_ready): of an exec always, of a spawn where there is such an event."""
    k, ready = p.k, info.subproc_ready
    if not ready and info.type is not ChildType.EXEC:
        return
    try:
        yield from k.set_event(thread, ready)
    except Win32Error as error:
        text = f"wait_sig: SetEvent (subproc_ready) failed, Win32 error {error.code}"
        p.installation.say(p.pid, p.me.process.image.name, text)
        return
    k.close_handle(thread, ready)


def ask_signal_thread(p: CygwinProcess) -> Steps:
    """Wait until the signal thread has heard: how fork holds signals back and lets them come.

    From 1.5.18 to 1.7.7.
    """
    k, me = p.k, p.me
    heard = k.create_event(me, manual=False, role="signal heard")
    p.waits.asked.append(heard)
    yield from tell_signal_thread(p, me)
    yield from k.wait_for_single_object(me, heard, SIGNAL_DONE_MS)
    k.close_handle(me, heard)


def tell_signal_thread(p: CygwinProcess, by: Thread) -> Steps:
    """A packet without a signal (`signal_pipe`): there is something for the thread to look at."""
    yield from p.k.write_file(by, p.h_sendsig, PACKET_BYTES)


def _too_many(some: list[Child], most: int, zombies: bool) -> bool:
    """Whether there are `most` among them already, of zombies or of those that live."""
    return len(some) >= most and sum(child.zombie is zombies for child in some) >= most


def find(p: CygwinProcess, pid: int) -> Child | None:
    """The registered child with that pid, or None."""
    for child in p.children:
        if child.pid == pid:
            return child
    return None


def reap(p: CygwinProcess, by: Thread, child: Child) -> Steps:
    """Take a zombie's exit code to whoever waits, and let go of it."""
    k = p.k
    assert p.waiter is not None
    p.children.remove(child)
    code = child.code
    p.waiter.code = k.get_exit_code_process(by, child.h_process) if code is None else code
    yield from k.set_event(by, p.h_wait)
    _release(k, by, child, p.version.pipe_given)


def _forget(p: CygwinProcess, by: Thread, child: Child) -> None:
    """There are too many zombies already: nobody will hear of this one."""
    p.children.remove(child)
    _release(p.k, by, child)


def _release(k: Kernel, by: Thread, child: Child, pipe_given: bool = False) -> None:
    """Close what is kept of a child that is over; where it had a pipe, its process last."""
    if child.h_waiter:
        k.close_handle(by, child.h_waiter)
    if child.record is not None:
        k.close_handle(by, child.h_process)
        child.record.free()
        return
    if pipe_given:
        k.unmap_view_of_file(by, child.view.base)
        k.close_handle(by, child.h_pinfo)
        if child.h_process:
            k.close_handle(by, child.h_process)
        return
    k.close_handle(by, child.h_process)
    if child.h_first != child.h_process:
        k.close_handle(by, child.h_first)
    k.unmap_view_of_file(by, child.view.base)
    k.close_handle(by, child.h_pinfo)


def waitpid(p: CygwinProcess, pid: int) -> Steps:
    """Wait for a child: its exit code, None if it is not ours. Runs in the main thread."""
    k, me = p.k, p.me
    if p.version.cancel_points:
        yield from k.wait_for_single_object(me, p.h_cancel, 0)
    if p.version.asks_before_wait:
        yield from ask_signal_thread(p)
    if not p.h_wait:
        p.h_wait = k.create_event(me, manual=True, role="waitpid")
    yield from k.reset_event(me, p.h_wait)
    child = find(p, pid)
    if child is None:
        return None
    waiter = p.waiter = Waiter(pid)
    if child.zombie:
        yield from reap(p, me, child)
    if p.version.cancel_points:
        yield from k.wait_for_multiple_objects(me, (p.h_wait, p.h_cancel))
    else:
        yield from k.wait_for_single_object(me, p.h_wait)
    p.waiter = None
    return waiter.code


def stop_waiting(p: CygwinProcess) -> Steps:
    """At exit: end wait_subproc and let go of all children, as proc_terminate does."""
    k, me = p.k, p.me
    if p.installation.watch is not None:
        p.installation.watch.ending(p)
    if not p.wake_children:
        return
    yield from k.set_event(me, p.wake_children)
    p.exiting = True  # not before the event is set: the thread may wake for another reason
    if p.h_wait_subproc:
        yield from k.wait_for_single_object(me, p.h_wait_subproc, JOIN_MS)
        k.close_handle(me, p.h_wait_subproc)
    elif p.version.thread_suspended:
        return  # nobody waits for the thread, which still looks at the children
    for child in p.children:
        k.close_handle(me, child.h_process)
        k.unmap_view_of_file(me, child.view.base)
        k.close_handle(me, child.h_pinfo)
