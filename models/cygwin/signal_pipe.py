"""How a signal reaches a process from 2005 on: a pipe, not a semaphore.

Each process makes a pipe whose read end its signal thread reads; the value of the write end's
handle stands in its pinfo.  Who kills duplicates that handle out of the process and writes a packet
to it.  The code that a parent sees is the signal's.

In 3.6 a stub that execs takes the value out of its pinfo, for the new image puts its own there; a
stub before a program without Cygwin is reached by the second value that it leaves.  A signal ends a
stub's program, which ends with the signal's number, however many come: none of them ends the stub's
wait.

In 1.5.18 and 1.7.7 the signal thread makes the pipe, and what the process itself has for that
thread (`ask_signal_thread`, a child's end) comes through it too.  A signal ends a stub's program
and then the stub, whose main thread gets no further than the lock that the signal thread holds.

Source: sigproc.cc (sig_send, wait_sig), exceptions.cc (sigpacket::process), pinfo.cc and spawn.cc
of Cygwin 3.x, read at msys2-runtime commit 049660ba0; logs `cyg-killed` of 1.5.18 and 1.7.7 and
`native-killed-stub` of 1.7.7, signal_exit of exceptions.cc of 2004 and of 1.7.  Assumed: the size
of a packet, where the words lie in a pinfo, that the sender does not wait for an image whose pipe
is not there yet, that any process but a stub ends at once, and that a stub of 1.5.18 does as one
of 1.7.7.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from models.cygwin import children, exec_pipe
from models.cygwin.children import PACKET_BYTES, WINPID, pinfo_name
from models.cygwin.errors import TryAgain
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.memory import Memory
from models.win32.thread import Thread
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.child_info import ChildInfo
    from models.cygwin.process import CygwinProcess

PIPE_PACKETS = 65  # NSIG, of which the pipe holds so many
# Words of a pinfo. PACKET is what the packet says: the machine's pipes keep no bytes.
SENDSIG, EXEC_SENDSIG, EXEC_WINPID, PACKET = 32, 36, 40, 44


def create(p: CygwinProcess, by: Thread) -> None:
    """The pipe of this process, its write end named in the pinfo."""
    p.h_readsig, p.h_sendsig = p.k.create_pipe(
        by, PIPE_PACKETS * PACKET_BYTES, inherit=False, name="signal pipe"
    )
    p.pinfo.write32(SENDSIG, p.h_sendsig)


def steps(p: CygwinProcess, info: ChildInfo | None, ready: int) -> Callable[[Thread], Steps]:
    """What the signal thread of the process's release does."""
    if p.version.pipe_given:
        return lambda thread: given_thread(p, thread, ready)
    if p.version.signal_pipe:
        return lambda thread: signal_thread(p, thread, ready)
    return lambda thread: children.signal_thread(p, thread, info, ready)


def signal_thread(p: CygwinProcess, thread: Thread, ready: int) -> Steps:
    """Steps of the signal thread: say that it runs, then take one packet after the other."""
    yield from p.k.set_event(thread, ready)
    while True:
        if (yield from p.k.read_file(thread, p.h_readsig, PACKET_BYTES)):
            yield from _die_of(p, thread, p.pinfo.read32(PACKET))


def given_thread(p: CygwinProcess, thread: Thread, ready: int) -> Steps:
    """Steps of the signal thread of 1.5.18 and 1.7.7: signals, and what the process itself asks."""
    create(p, thread)
    yield from p.k.set_event(thread, ready)
    while (yield from p.k.read_file(thread, p.h_readsig, PACKET_BYTES)):
        while p.waits.asked:
            yield from p.k.set_event(thread, p.waits.asked.pop(0))
        signal = p.pinfo.read32(PACKET)
        if signal:
            yield from _signal_exit(p, thread, signal)
        child = children.find(p, p.waiter.pid) if p.waiter is not None else None
        if child is not None and child.zombie:
            yield from children.reap(p, thread, child)


def taken_over(p: CygwinProcess) -> None:
    """A new image of 1.5.18 or 1.7.7 has its stub's pinfo: there is no pipe to reach it yet."""
    p.pinfo.write32(SENDSIG, 0)


def lock_to_exit(p: CygwinProcess) -> Steps:
    """A stub's main thread, before it ends: for ever where a signal is ending the process."""
    if p.waits.signal:
        held = p.k.create_event(p.me, manual=False, role="muto")
        yield from p.k.wait_for_single_object(p.me, held)


def execing(p: CygwinProcess) -> None:
    """An exec is under way: the pid is the new image's, and this process has another place."""
    p.pinfo.write32(EXEC_SENDSIG, p.h_sendsig)
    p.pinfo.write32(EXEC_WINPID, p.me.process.pid)
    p.pinfo.write32(SENDSIG, 0)


def exec_failed(p: CygwinProcess) -> None:
    """The exec came to nothing: this process is to be reached as before."""
    p.pinfo.write32(SENDSIG, p.h_sendsig)


def kill(p: CygwinProcess, pid: int, signal: int) -> Steps:
    """kill(): whether there is such a process. Runs in the main thread.

    `signal` is one that ends a process.  Raises TryAgain where it has no pipe yet.
    """
    k, me = p.k, p.me
    h_pinfo = k.open_file_mapping(me, pinfo_name(pid))
    if h_pinfo is None:
        return False
    view = k.map_view_of_file_ex(me, h_pinfo, name="cygpid", ex=p.version.pinfo_view_ex)
    pinfo = view.memory
    assert pinfo is not None
    where = (SENDSIG, WINPID) if pinfo.read32(SENDSIG) else (EXEC_SENDSIG, EXEC_WINPID)
    sendsig, winpid = map(pinfo.read32, where)
    there = not pinfo.read32(exec_pipe.EXIT_CODE_SET)
    if there and sendsig:
        there = yield from _send(p, winpid, sendsig, pinfo, signal)
    k.unmap_view_of_file(me, view.base)
    k.close_handle(me, h_pinfo)
    if there and not sendsig:
        raise TryAgain("sendsig handle never materialized")
    return there


def signalled(p: CygwinProcess) -> int | None:
    """The code with which a stub ends because of a signal, None if it had none."""
    signal = p.pinfo.read32(PACKET)
    return _code(signal) if signal else None


def _send(p: CygwinProcess, winpid: int, sendsig: int, pinfo: Memory, signal: int) -> Steps:
    """Write the packet: whether there was anyone to read it."""
    k, me = p.k, p.me
    try:
        process = k.open_process(me, winpid)
    except Win32Error:
        return False
    try:
        write_end = k.duplicate_handle(me, process, sendsig, CURRENT_PROCESS)
    except Win32Error:
        return False
    finally:
        k.close_handle(me, process)
    pinfo.write32(PACKET, signal)
    try:
        yield from k.write_file(me, write_end, PACKET_BYTES)
    except Win32Error:
        return False
    finally:
        k.close_handle(me, write_end)
    return True


def _die_of(p: CygwinProcess, thread: Thread, signal: int) -> Steps:
    """A signal that ends a process: a stub ends its program, and waits for it as before."""
    k = p.k
    if p.h_execed:
        with suppress(Win32Error):
            yield from k.terminate_process(thread, p.h_execed, signal)
        return
    exec_pipe.leave(p, _code(signal))
    yield from k.exit_process(thread, _code(signal))


def _signal_exit(p: CygwinProcess, thread: Thread, signal: int) -> Steps:
    """A signal that ends a process of 1.5.18 or 1.7.7, its program first where it is a stub."""
    k = p.k
    p.waits.signal = signal
    if p.h_execed:
        with suppress(Win32Error):
            yield from k.terminate_process(thread, p.h_execed, signal)
    elif p.version.death_arrives:
        yield from k.set_event(thread, p.signal_arrived)
    exec_pipe.leave(p, _code(signal))
    yield from k.exit_process(thread, signal)


def _code(signal: int) -> int:
    """What a parent is told of a death by signal, as a shell that is no child of Cygwin's has it.

    The number in the upper byte, where that of an exit is in the lower.
    """
    return signal << 8
