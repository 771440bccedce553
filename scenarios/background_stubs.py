"""The machines of `background_native` in which a stub stands in for a native program.

An exec leaves a stub where the new program is not linked with Cygwin: it waits {program,
signal_arrived, subproc_ready} and ends with the program's code.  Here a shell starts a native
program in the foreground, becomes one itself, starts one that starts another and ends, has signals
arrive while it or the stub waits, and has its stub killed, by Cygwin's kill or by TerminateProcess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from models.cygwin import children, schemes
from models.cygwin.arguments import Arguments
from models.cygwin.descriptors import CONSOLE
from models.cygwin.errors import TryAgain
from models.cygwin.images import native_image
from models.cygwin.installation import Program, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_NOWAIT
from models.cygwin.section_life import HANDLE, holds
from models.win32.cost_profile import Profile
from models.win32.image import Image
from models.win32.kernel import Kernel
from models.win32.system import SYSTEMS
from models.win32.thread import Process, Thread
from scenarios.background_machines import ENV, failures, native_program
from scenarios.spec import Measured
from sim.engine import Steps
from sim.streams import Replication

FOREGROUND, EXECED, GRANDCHILD = "foreground", "exec", "grandchild"
SIGNALS_SPAWN, SIGNALS_STUB = "signals-spawn", "signals-stub"
KILL, TERMINATE = "kill-stub", "terminate-stub"
STUB_WAYS = (FOREGROUND, EXECED, GRANDCHILD, SIGNALS_SPAWN, SIGNALS_STUB, KILL, TERMINATE)
SIGKILL = 9
_SIGNALS = 150  # that arrive, more than a wait stands -- chosen
_CODE = 1  # that TerminateProcess gives the stub -- chosen


@dataclass(eq=False)
class Noted:
    """What the shell noted. Every field is *output*.

    called_us: when the program was started
    began_us, back_us: when the prompt went and came back; of a kill, its call and its answer
    """

    called_us: float = 0.0
    began_us: float = 0.0
    back_us: float | None = None
    code: int | None = None


Times = tuple[float | None, float | None]


class Course(NamedTuple):
    """One machine over time [s]. Every field is *output*; None for what never came.

    away: the prompt; lives: name, begin and end of each process
    sections: which process had a handle of a heap section, from when until when
    """

    away: Times
    lives: list[tuple[str, float | None, float | None]]
    sections: list[tuple[int, float | None, float | None]]


@dataclass(frozen=True)
class Stub:
    """One machine at its end."""

    machine: Machine
    noted: Noted

    @property
    def natives(self) -> list[Process]:
        """The native programs, in the order of their making."""
        every = self.machine.kernel.processes.values()
        return [q for q in every if q.image.name == "nat"]

    @property
    def failed(self) -> list[str]:
        """What failed, in the words that a user saw."""
        return failures(self.machine)

    def measures(self, at: str) -> Iterator[Measured]:
        """What is written down of it; of one that failed, only that."""
        noted, kernel = self.noted, self.machine.kernel
        if self.failed or not self.natives:
            yield Measured(at, "outcome", "", "failed", 0)
            return
        away = None if noted.back_us is None else noted.back_us - noted.began_us
        yield Measured(at, "prompt_away_us", "us", away, int(away is None))
        yield Measured(at, "exit_code", "1", noted.code, 0)
        last = self.natives[-1]
        ran = None if last.ended_us is None else last.ended_us - last.created_us
        yield Measured(at, "native_us", "us", ran, int(ran is None))
        outlives = None
        if last.ended_us is not None and noted.back_us is not None:
            outlives = last.ended_us - noted.back_us
        yield Measured(at, "native_outlives_us", "us", outlives, int(outlives is None))
        mine = [h for h in holds(kernel) if h.process in self.natives]
        ends = [h.until_us for h in mine if h.until_us is not None]
        held = max(ends) - min(h.from_us for h in mine) if ends else 0.0
        yield Measured(at, "section_held_us", "us", held, 0)
        blocked = any(q.alive for q in kernel.processes.values())
        yield Measured(at, "outcome", "", "blocked" if blocked else "finished", 0)

    def course(self) -> Course:
        """What goes on, in seconds after the start of the program."""
        noted, kernel = self.noted, self.machine.kernel

        def seconds(t_us: float | None) -> float | None:
            return None if t_us is None else (t_us - noted.called_us) / 1e6

        lives = [(q.image.name, seconds(q.created_us), seconds(q.ended_us))
                 for q in kernel.processes.values()]  # fmt: skip
        sections = [
            (list(kernel.processes).index(h.process.pid), seconds(h.from_us), seconds(h.until_us))
            for h in holds(kernel)
            if h.what == HANDLE
        ]
        return Course((seconds(noted.began_us), seconds(noted.back_us)), lives, sections)


def stub(
    scheme: str, system: str, profile: Profile, replication: Replication, processors: int,
    way: str, seconds: float, signal_ms: float, watch: Watch | None = None,
) -> Stub:  # fmt: skip
    """The machine of one way at its end; its native program runs for `seconds`."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, processors, 2, calls=True
    )
    machine.installation.watch = watch
    noted = Noted()
    native = native_program(machine, seconds)
    if way == GRANDCHILD:
        native = _starts(machine, native)
    first = machine.start(
        "sh", lambda p: _shell(p, machine, way, native, seconds, signal_ms, noted)
    )
    machine.kernel.engine.run()
    if way == EXECED and first is not None:  # its prompt is that of who started it
        noted.back_us, noted.code = first.ended_us, first.exit_code
    return Stub(machine, noted)


def _shell(
    p: CygwinProcess, machine: Machine, way: str, native: Image, seconds: float, signal_ms: float,
    noted: Noted,
) -> Steps:  # fmt: skip
    for fd in range(3):
        p.open(fd, CONSOLE)
    p.me.costs = machine.draws.at(0)
    yield from p.work(1.0)
    arguments = Arguments([b"nat", b"sleep"], ENV)
    noted.called_us = noted.began_us = p.now()
    if way == EXECED:
        yield from p.execute(native, arguments)
    try:
        if way == SIGNALS_SPAWN:
            yield from _timer(p, signal_ms)
            child = yield from p.spawn(P_NOWAIT, native, arguments)
            noted.back_us = p.now()
        else:
            child = yield from p.fork(_becomes(machine, native, arguments, way, signal_ms))
    except TryAgain:
        return  # the message is written down
    if way == SIGNALS_SPAWN:
        noted.code = yield from p.waitpid(child)
        return
    if way in (KILL, TERMINATE):
        yield from p.sleep(seconds * 1e6 / 2)
        noted.began_us = p.now()
        yield from _end(p, way, child)
    noted.code = yield from p.waitpid(child)
    noted.back_us = p.now()


def _becomes(
    machine: Machine, native: Image, arguments: Arguments, way: str, signal_ms: float
) -> Program:
    def steps(p: CygwinProcess) -> Steps:
        p.me.costs = machine.draws.at(1)
        if way == SIGNALS_STUB:
            yield from _timer(p, signal_ms)
        yield from p.execute(native, arguments)

    return steps


def _end(p: CygwinProcess, way: str, child: int) -> Steps:
    """End the stub: as the shell's kill does, or as a task manager does."""
    if way == KILL:
        yield from p.kill(child, SIGKILL)
        return
    registered = children.find(p, child)
    assert registered is not None
    handle = p.k.open_process(p.me, registered.pinfo.read32(children.WINPID))
    yield from p.k.terminate_process(p.me, handle, _CODE)
    p.k.close_handle(p.me, handle)


def _timer(p: CygwinProcess, signal_ms: float) -> Steps:
    """A thread by which a signal with a handler arrives again and again."""

    def steps(thread: Thread) -> Steps:
        for _ in range(_SIGNALS):
            yield from p.k.sleep(thread, signal_ms * 1000)
            yield from p.k.set_event(thread, p.signal_arrived)

    yield from p.k.create_thread(p.me, steps)


def _starts(machine: Machine, native: Image) -> Image:
    """A program without Cygwin that starts another one, which inherits its handles, and ends."""

    def steps(kernel: Kernel, me: Thread) -> Steps:
        yield from kernel.create_process(me, native, True)
        return 2

    return native_image(machine.installation.version, "nat", steps)
