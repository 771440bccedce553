"""The machines of `double_fork`: a program that puts another into the background by two forks.

The parent forks a middle process and waits for it; the middle one forks the background process and
exits.  Each machine is built, run to its end and handed over; what is read off it stands here too.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

from models.cygwin import exec_pipe, schemes
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import Scheme
from models.win32.cost_profile import Profile
from models.win32.emulation import Translation
from models.win32.system import SYSTEMS
from sim.engine import Steps
from sim.errors import InputError
from sim.streams import Replication

WAYS = {  # of ending a waiting thread -> how a table calls it
    exec_pipe.TERMINATED: "terminate (to 3.5)",
    exec_pipe.ASKED: "suspend, terminate",
    exec_pipe.STOPPED: "suspend, look, terminate",
    exec_pipe.CANCELLED: "cancel its I/O first",
}
PARENT, MIDDLE, BACKGROUND = 1, 2, 3  # how the processes are counted
# What the exit finds the waiting thread doing (`Thread.doing`) -> how a table calls it.
STATES = {
    "shielded": "has the lock", "lock": "waits for the lock", "runs": "runs",
    "io": "in other I/O", "pipe": "in ReadFile", "ended": "has ended",
}  # fmt: skip
_ENDING = ("SuspendThread", "TerminateThread", "CancelSynchronousIo")


@dataclass(frozen=True)
class Times:
    """How long what takes. Every field is *input*.

    translated: what new code costs, None on its own processor
    io_us: of the call on another file that the waiting thread begins with
    later_us: that the middle process works between its fork and its exit
    closing_us: that the exit works between ending the thread and closing the pipe
    lives_us: that the background process lives
    """

    translated: Translation | None
    io_us: float
    later_us: float
    closing_us: float
    lives_us: float


@dataclass(frozen=True)
class Seen:
    """What came of one double fork. Every field is *output*.

    state: what the waiting thread was doing when the exit came to it, as STATES has it
    pieces: of new code that the thread had begun by then
    exit_us: from the middle process's exit to its end, None if it never ended
    held: it did not end before the background process did
    parent_held: nor did its parent, which waits for it
    orphaned: a lock of its emulator's is held by a thread that is gone
    """

    state: str
    pieces: int
    exit_us: float | None
    held: bool
    parent_held: bool
    orphaned: bool


def scheme(name: str, way: str) -> Scheme:
    """A scheme of 3.6 with one of the ways of ending a waiting thread. Raises InputError."""
    found = copy(schemes.get(name))
    if not found.version.ends_waiter:
        raise InputError("--scheme", f"under {name} no exit ends a thread so", "child-copy")
    found.version = replace(found.version, ends_waiter=way)
    return found


def double_fork(
    name: str, way: str, times: Times, system: str, profile: Profile, replication: Replication,
    processors: int, watch: Watch | None = None,
) -> tuple[Machine, Seen]:  # fmt: skip
    """The machine at its end, and what came of it."""
    machine = build(
        scheme(name, way), SYSTEMS[system], profile, replication, processors, 2, calls=True
    )
    installation = machine.installation
    installation.watch = watch
    installation.emulated = times.translated
    installation.waiter_io_us, installation.exit_work_us = times.io_us, times.closing_us
    began: list[tuple[float, CygwinProcess]] = []

    def background(p: CygwinProcess) -> Steps:
        yield from p.sleep(times.lives_us)
        yield from p.exit(0)

    def middle(p: CygwinProcess) -> Steps:
        p.me.costs = machine.draws.at(1)
        yield from p.fork(background, Creation(1, "fork", MIDDLE, "daemon", child=BACKGROUND))
        yield from p.work(times.later_us)
        began.append((p.now(), p))
        yield from p.exit(0)

    def parent(p: CygwinProcess) -> Steps:
        p.me.costs = machine.draws.at(0)
        pid = yield from p.fork(middle, Creation(0, "fork", PARENT, "daemon", child=MIDDLE))
        yield from p.waitpid(pid)

    machine.start("daemon", parent)
    machine.kernel.engine.run()
    return machine, _seen(machine, *began[0])


def _seen(machine: Machine, exit_us: float, p: CygwinProcess) -> Seen:
    """Read one run: `p` is the middle process, whose exit began at `exit_us`."""
    kernel, middle = machine.kernel, p.me.process
    assert kernel.calls is not None
    came = next(r for r in kernel.calls if r.pid == middle.pid and r.name in _ENDING)
    thread = came.args["h"]
    begun = [r for r in kernel.calls if r.tid == thread.tid and r.name == "AcquireSRWLockExclusive"]
    (background,) = (q for q in kernel.processes.values() if q.parent_pid == middle.pid)
    ended = middle.ended_us
    assert background.ended_us is not None
    return Seen(
        STATES[came.args["found"]],
        sum(r.t_us <= came.t_us for r in begun),
        None if ended is None else ended - exit_us,
        ended is None or ended >= background.ended_us,
        (waits := kernel.processes[middle.parent_pid].ended_us) is None
        or waits >= background.ended_us,
        p.code_cache is not None and p.code_cache.orphaned,
    )
