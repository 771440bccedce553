"""The machines of `limits`: a program that asks for more and more of one thing until it ends.

Each is built, run to its end and read: what was had, how many of it, and what the user saw.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from models.cygwin import schemes
from models.cygwin.errors import TryAgain
from models.cygwin.installation import Watch
from models.cygwin.machine import Machine, build
from models.cygwin.program_file import Body, Program
from models.cygwin.programs import PLACES, NoChild, UserProcess, start
from models.cygwin.protocol import P_NOWAIT
from models.cygwin.section_life import ROLE
from models.win32.cost_profile import Profile
from models.win32.errors import Win32Error
from models.win32.memory import PAGE_BYTES
from models.win32.objects import Section
from models.win32.system import SYSTEMS
from models.win32.thread import Process
from sim.engine import Steps
from sim.streams import Replication

FORK, SPAWN, SHELL = "fork", "spawn", "shell"
CHILD_US = 600e6  # how long a living child lives; longer than it takes to make all -- chosen
_SETTLE_US = 200e3  # until a background job has its program, or has failed -- chosen


@dataclass(frozen=True)
class Ground:
    """What all machines of one run have in common. Every field is *input*."""

    scheme: str
    system: str
    profile: Profile
    replication: Replication
    processors: int
    watch: Watch | None = None

    def machine(self, calls: bool = False) -> Machine:
        """A machine without programs."""
        made = build(
            schemes.get(self.scheme), SYSTEMS[self.system], self.profile, self.replication,
            self.processors, PLACES, calls,
        )  # fmt: skip
        made.installation.watch = self.watch
        return made


@dataclass(eq=False)
class Asked:
    """What the program noted. Every field is *output*.

    made: how many it got; refused: how many it was refused, or could not wait for
    again: one more could be had after one was given back
    handles: open in it at the end; per_one: how many more most of them cost
    text: what its call said when it was refused
    dead: pids of children that it has waited for; held: those that Windows still knows
    """

    made: int = 0
    refused: int = 0
    again: bool = False
    handles: int = 0
    per_one: float = 0.0
    text: str = ""
    dead: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)


NotedBody = Callable[[UserProcess, Asked], Steps]


@dataclass(eq=False)
class Reached:
    """A machine at its end, and what its program noted."""

    machine: Machine
    asked: Asked

    @property
    def messages(self) -> list[str]:
        """What was printed, the first first, and what Windows ended a program for."""
        installation, kernel = self.machine.installation, self.machine.kernel
        said = [(f.at_us, f.message) for f in (*installation.failures, *installation.messages)]
        said += [(at_us, text) for at_us, _, _, text in kernel.crashes]
        return [text for _, text in sorted(said)]

    @property
    def widest_wait(self) -> int:
        """Most handles that one wait was for. The run must have kept its calls."""
        rows = self.machine.kernel.calls or []
        return max((len(row.args["hs"]) for row in rows if "hs" in row.args), default=0)

    @property
    def sections(self) -> list[Section]:
        """Sections with a copy of a heap that some living process still holds."""
        alive = [q for q in self.machine.kernel.processes.values() if q.alive]
        every = [obj for q in alive for obj in q.handles.table().values()]
        return list({id(o): o for o in every if isinstance(o, Section) and o.role == ROLE}.values())

    @property
    def section_bytes(self) -> int:
        """What those sections have committed."""
        return sum(s.memory.committed_pages() * PAGE_BYTES for s in self.sections)

    def running(self, name: str) -> int:
        """How many processes of a program there are."""
        every = self.machine.kernel.processes.values()
        return sum(q.alive and q.image.name == name for q in every)

    @property
    def goes_on(self) -> bool:
        """Whether the program that was refused came to its own end, and could have tried again."""
        first = self._first
        return bool(self.messages) and first is not None and first.exit_code == 0

    @property
    def caller_waits(self) -> bool:
        """Whether the first program still waits, and so never came to its end."""
        return self._first is not None and self._first.alive

    @property
    def _first(self) -> Process | None:
        """The first program's process, None if there was no memory for it."""
        return next(iter(self.machine.kernel.processes.values()), None)


def children(ground: Ground, way: str, asked: int) -> Reached:
    """Living children, made by fork or spawn, and then waited for, each by its pid."""
    return _run(ground, lambda p, noted: _family(p, noted, way, asked, _lives), calls=True)


def zombies(ground: Ground, way: str, asked: int) -> Reached:
    """Children that end at once, one after the other, and are waited for only then."""
    return _run(ground, lambda p, noted: _family(p, noted, way, asked, _ends, _SETTLE_US))


def descriptors(ground: Ground, most: int) -> Reached:
    """Open files, more and more."""
    return _run(ground, lambda p, noted: _opener(p, noted, most))


def natives(ground: Ground, way: str, heap_kib: int, commit_bytes: int, most: int) -> Reached:
    """Programs without Cygwin that never end, in the background, until memory is gone."""
    return _run(
        ground, lambda p, noted: _starter(p, noted, way, heap_kib, most), commit_bytes=commit_bytes
    )


def held_pids(ground: Ground, way: str, rounds: int) -> Reached:
    """Children that end and are waited for; then each is looked for by its Windows pid."""
    return _run(ground, lambda p, noted: _mourner(p, noted, way, rounds))


def _run(
    ground: Ground, body: NotedBody, calls: bool = False, commit_bytes: int | None = None
) -> Reached:
    machine, noted = ground.machine(calls), Asked()
    if commit_bytes is not None:
        machine.kernel.commit_limit_bytes = commit_bytes
    start(machine, Program("sh", lambda p: body(p, noted)))
    machine.kernel.engine.run()
    return Reached(machine, noted)


def _family(
    p: UserProcess, noted: Asked, way: str, asked: int, body: Body, pause_us: float = 0.0
) -> Steps:
    handles = p.dll.me.process.handles
    pids, counts = [], [len(handles)]
    try:
        for _ in range(asked):
            pids.append((yield from _child(p, way, body)))
            counts.append(len(handles))
            yield from p.sleep(pause_us)
    except TryAgain as error:
        noted.text = str(error)
    noted.handles = counts[-1]
    noted.per_one = median([b - a for a, b in pairwise(counts)] or [0])
    for pid in pids:
        try:
            yield from p.waitpid(pid)
        except NoChild:
            noted.refused += 1
        else:
            noted.made += 1
    with suppress(TryAgain):  # the message is written down
        last = yield from _child(p, way, _ends)
        noted.again = (yield from p.waitpid(last)) == 0


def _child(p: UserProcess, way: str, body: Body) -> Steps:
    if way == FORK:
        return (yield from p.fork(body))
    return (yield from p.spawn(P_NOWAIT, Program("new", body)))


def _lives(p: UserProcess) -> Steps:
    yield from p.sleep(CHILD_US)


def _ends(p: UserProcess) -> Steps:
    yield from p.exit(0)


def _opener(p: UserProcess, noted: Asked, most: int) -> Steps:
    handles = p.dll.me.process.handles
    for noted.made in range(most):
        noted.handles = len(handles)
        p.dll.open(noted.made)
    noted.made = most
    yield from p.work(1)


def _starter(p: UserProcess, noted: Asked, way: str, heap_kib: int, most: int) -> Steps:
    native = Program.native("nat")
    for _ in range(3):
        p.open("/dev/tty")
    p.fill_heap(heap_kib * 1024)
    failures = p.dll.installation.failures
    while noted.made < most and not failures:
        try:
            if way == SHELL:
                yield from p.fork(lambda q: _becomes(q, native))
            else:
                yield from p.spawn(P_NOWAIT, native)
        except TryAgain as error:
            noted.text = str(error)
            return
        noted.made += 1
        yield from p.sleep(_SETTLE_US)


def _becomes(p: UserProcess, native: Program) -> Steps:
    yield from p.exec(native)


def _mourner(p: UserProcess, noted: Asked, way: str, rounds: int) -> Steps:
    try:
        for _ in range(rounds):
            pid = yield from _child(p, way, _ends)
            yield from p.waitpid(pid)
            noted.dead.append(pid)
    except TryAgain as error:
        noted.text = str(error)
    noted.held = [pid for pid in noted.dead if _is_there(p, pid)]


def _is_there(p: UserProcess, pid: int) -> bool:
    try:
        p.dll.k.close_handle(p.dll.me, p.dll.k.open_process(p.dll.me, pid))
    except Win32Error:
        return False
    return True
