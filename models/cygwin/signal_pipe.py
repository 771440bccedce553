"""How a signal reaches a process from Cygwin 3.6 on: a pipe, not a semaphore.

Each process makes a pipe whose read end its signal thread reads; the value of the write end's
handle stands in its pinfo.  Who kills duplicates that handle out of the process and writes a packet
to it.  A stub that execs takes the value out of its pinfo, for the new image puts its own there; a
stub before a program without Cygwin is reached by the second value that it leaves.

A signal that ends a process ends a stub's program with it, however many come: none of them ends the
stub's wait.  The code that a parent sees is the signal's; the program itself ends with its number.

Source: sigproc.cc (sig_send, wait_sig), exceptions.cc (sigpacket::process), pinfo.cc and spawn.cc
of Cygwin 3.x, read at msys2-runtime commit 049660ba0.  Assumed: the size of a packet, where the
words lie in a pinfo, that the sender does not wait for an image whose pipe is not there yet, and
that any process but a stub ends at once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from models.cygwin import exec_pipe
from models.cygwin.children import WINPID, pinfo_name
from models.cygwin.errors import TryAgain
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.memory import Memory
from models.win32.thread import Thread
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess

PACKET_BYTES = 192  # a sigpacket (assumed)
PIPE_PACKETS = 65  # NSIG, of which the pipe holds so many
# Words of a pinfo. PACKET is what the packet says: the machine's pipes keep no bytes.
SENDSIG, EXEC_SENDSIG, EXEC_WINPID, PACKET = 32, 36, 40, 44


def create(p: CygwinProcess) -> None:
    """The pipe of this process, its write end named in the pinfo."""
    p.h_readsig, p.h_sendsig = p.k.create_pipe(
        p.me, PIPE_PACKETS * PACKET_BYTES, inherit=False, name="signal pipe"
    )
    p.pinfo.write32(SENDSIG, p.h_sendsig)


def signal_thread(p: CygwinProcess, thread: Thread, ready: int) -> Steps:
    """Steps of the signal thread: say that it runs, then take one packet after the other."""
    yield from p.k.set_event(thread, ready)
    while True:
        if (yield from p.k.read_file(thread, p.h_readsig, PACKET_BYTES)):
            yield from _die_of(p, thread, p.pinfo.read32(PACKET))


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


def _code(signal: int) -> int:
    """What a parent is told of a death by signal, as a shell that is no child of Cygwin's has it.

    The number in the upper byte, where that of an exit is in the lower.
    """
    return signal << 8
