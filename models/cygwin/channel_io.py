"""What a recorded program does with a channel: take its bytes, put bytes in.

A channel is what joins two recorded processes: a pipe or one direction of a socket.  Cygwin's
programs and native ones read and write it by the same calls.  What a record without an answer in it
leaves open is settled here for both: a read that did not block takes what is there, and what
nobody can read any more is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from models.cygwin.workload import EOF, NOBLOCK, Item
from models.win32.errors import Win32Error
from models.win32.kernel import Kernel
from models.win32.objects import PipeEnd
from models.win32.thread import Thread
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.replay import ReplayRun


def read(
    run: ReplayRun, k: Kernel, me: Thread, handle: int, op: Item, killed: Callable[[], bool]
) -> Steps:
    """Op READ on `handle`: take its bytes as they come, then with EOF wait for the end of file.

    `killed`: whether a signal that ends the process is under way; it waits for nothing then.
    """
    _, _, channel, n, flags = op
    if flags & NOBLOCK or killed():
        pipe = run.channel(channel)
        taken = min(n, pipe.held_bytes)
        pipe.held_bytes -= taken
        pipe.capacity_bytes += n - taken
        return
    while n > 0 and not killed():
        got = yield from k.read_file(me, handle, n)
        if not got:
            return
        n -= got
    if flags & EOF:
        while (yield from k.read_file(me, handle, 1 << 30)):
            pass


def write(
    run: ReplayRun, k: Kernel, me: Thread, handle: int, op: Item, give_up: Callable[[], bool]
) -> Steps:
    """Op WRITE on `handle`: put its bytes in as room comes.

    Where it would have to wait it asks `give_up`: True lets the rest go in over the capacity, as
    for a write that did not block, and for sockets and channels handed on (rule 4).
    """
    _, _, channel, n, flags = op
    if not n:
        return
    facts = run.workload.channels[channel]
    free = bool(flags & NOBLOCK) or facts.passed or facts.socket
    try:
        yield from k.write_file(me, handle, n, lambda: free or give_up())
    except Win32Error:
        if facts.passed:
            run.channel(channel).held_bytes += n


def end_of(run: ReplayRun, me: Thread, handles: Iterable[int], writes: bool) -> int:
    """The one of `handles` that is such an end of a channel; 0 if none is (any more)."""
    for handle in handles:
        if handle:
            obj = me.process.handles.get(handle)
            if isinstance(obj, PipeEnd) and obj.writes == writes:
                return handle
    run.tally.stale_reads += 1
    return 0
