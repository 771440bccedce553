"""The machines of `child_dies`: a caller that makes one child, and what kills it.

The caller has had a child before, so that what the first one costs it is there already.  It looks
at its handles and at the named sections before the creation, when it knows what became of it, and
after it has waited for whatever it still has on record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from models.cygwin import schemes
from models.cygwin.creation_window import Step, step_at, steps_of
from models.cygwin.errors import TryAgain
from models.cygwin.images import native_image
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, boot, build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, UserProcess, start
from models.cygwin.protocol import P_NOWAIT
from models.cygwin.section_life import child_of
from models.win32.cost_profile import Profile
from models.win32.errors import STATUS_ACCESS_VIOLATION
from models.win32.kernel import Kernel
from models.win32.objects import KernelObject
from models.win32.system import SYSTEMS
from models.win32.thread import Thread
from scenarios.background_machines import failures
from scenarios.messages import general
from sim.engine import Steps
from sim.streams import Replication

KILLED, CRASHED = "TerminateProcess", "crash"
CAUSES = (KILLED, CRASHED)
EAGAIN, BLOCKED, CODE = "EAGAIN", "blocked", "exit code"
_LOOKS_AGAIN_US = 1.0  # a killer that does not find its victim yet -- chosen
LIVES_US = 1_000.0  # how long the new program works -- chosen


class Survey(NamedTuple):
    """What a process holds. handles: by role; sections: named pinfos; records: of children."""

    handles: Counter[str]
    sections: int
    records: int
    committed_bytes: int


@dataclass(eq=False)
class Seen:
    """What the caller saw. Every field is *output*; None where it never came to that.

    code: what waitpid said; error: text of an EAGAIN
    knew_us: when it had its answer
    known, waited: what it held then, and after it had waited for all on its record
    """

    code: int | None = None
    error: str = ""
    knew_us: float | None = None
    known: Survey | None = None
    waited: Survey | None = None


@dataclass(eq=False)
class Ran:
    """One run. creation: the one that this is about, a mere request if it never came to it"""

    machine: Machine
    seen: Seen
    creation: Creation

    @property
    def failed(self) -> list[str]:
        """What went wrong, in the words that a user saw."""
        return failures(self.machine)

    @property
    def died_us(self) -> float | None:
        """When the child ended."""
        return child_of(self.machine.kernel, self.creation).ended_us


class Death(NamedTuple):
    """What one death of the child came to. Every field is *output*.

    step: in which it died; result: EAGAIN, "exit code" or "blocked"
    code: what the caller got, None if nothing
    message: what was printed
    lost_us: from the call until the caller knew; None if it never did
    noticed_us: from the death until then
    left: handles beyond those that a child which lives leaves; sections, records: the same
    still: what of all this a wait does not take away
    bytes: committed beyond that, once it has waited
    """

    step: Step
    cause: str
    result: str
    code: int | None
    message: str
    lost_us: float | None
    noticed_us: float | None
    left: Counter[str]
    sections: int
    records: int
    still: Counter[str]
    bytes: int

    @property
    def text(self) -> str:
        """The message without the numbers that differ from death to death."""
        return general(self.message)


@dataclass(frozen=True)
class Setting:
    """What the machines of one scheme have in common. Every field is *input*."""

    scheme: str
    system: str
    profile: Profile
    replication: Replication
    processors: int
    heap_kib: int
    code: int


def reference(setting: Setting, way: str, watch: Watch | None = None) -> Ran:
    """The run in which nobody dies."""
    return _run(setting, way, None, KILLED, 0, watch)


def deaths(setting: Setting, way: str, every: int) -> Iterator[Death]:
    """The child killed in each `every`th step of its creation, by each cause.

    None if the run in which nobody dies fails.
    """
    whole = reference(setting, way)
    if whole.failed:
        return
    steps = steps_of(whole.machine.kernel, whole.creation)
    child = child_of(whole.machine.kernel, whole.creation).pid
    for cause in CAUSES:
        for step in steps[::every]:
            ran = _run(setting, way, step.middle_us, cause, child)
            died_us = ran.died_us
            hit = None if died_us is None else step_at(steps, died_us)
            if hit is not None:
                yield _death(hit, cause, ran, whole)


def _run(
    setting: Setting, way: str, at_us: float | None, cause: str, child: int,
    watch: Watch | None = None,
) -> Ran:  # fmt: skip
    """The machine at its end. `child`: Windows pid of the one that dies at `at_us`."""
    machine = build(
        schemes.get(setting.scheme), SYSTEMS[setting.system], setting.profile,
        setting.replication, setting.processors, PLACES, calls=True,
    )  # fmt: skip
    machine.installation.watch = watch
    seen = Seen()
    start(machine, Program("sh", lambda p: _caller(p, setting, way, seen)))
    k = machine.kernel
    killer_us = at_us if cause == KILLED else None
    _killer(machine, killer_us, child, setting.code)
    if at_us is not None and cause == CRASHED:
        k.engine.deadline(at_us, lambda: _crash(k, child))
    k.engine.run()
    records = [r for r in k.trace.records if isinstance(r, Creation) and r.kind == _kind(way)]
    return Ran(machine, seen, records[-1] if records else Creation(-1, _kind(way), 0, ""))


def _killer(machine: Machine, at_us: float | None, child: int, code: int) -> None:
    """Another process of the machine: it sleeps, finds the child by its id, and terminates it.

    It begins as much earlier as it takes to wake up and to open the process.
    """

    def steps(k: Kernel, me: Thread) -> Steps:
        yield from k.settle(me)
        if at_us is None:
            return 0
        costs = me.costs
        early_us = costs.wake_us + costs.handle_us + costs.call_us
        yield from k.sleep(me, max(0.0, at_us - early_us - k.engine.now))
        while child not in k.processes:
            yield from k.sleep(me, _LOOKS_AGAIN_US)
        handle = k.open_process(me, child)
        if k.processes[child].alive:
            yield from k.terminate_process(me, handle, code)
        return 0

    image = native_image(machine.installation.version, "kill", steps)
    costs = machine.draws.at(-1)
    boot(machine.installation, image, costs, Creation(-1, "boot", 0, "kill"))


def _crash(k: Kernel, child: int) -> None:
    """An access violation in the child, which nothing handles."""
    process = k.processes.get(child)
    if process is not None and process.alive:
        k.end_process(process, STATUS_ACCESS_VIOLATION, None)


def _caller(p: UserProcess, setting: Setting, way: str, seen: Seen) -> Steps:
    """A child that nothing befalls, then the one that this is about."""
    for _ in range(3):
        p.open("/dev/tty")
    p.fill_heap(setting.heap_kib * 1024)
    try:
        first = yield from p.fork(_leaves)
    except TryAgain:
        return  # the message is written down
    yield from p.waitpid(first)
    if way.endswith("socket"):
        p.socket()
    try:
        child = yield from _create(p, way)
    except TryAgain as error:
        seen.error = str(error)
    else:
        seen.code = yield from p.waitpid(child)
    seen.knew_us = p.dll.now()
    seen.known = _survey(p)
    for one in list(p.dll.children):
        yield from p.waitpid(one.pid)
    seen.waited = _survey(p)


def _create(p: UserProcess, way: str) -> Steps:
    kind = _kind(way)
    if kind == "spawn":
        return (yield from p.spawn(P_NOWAIT, Program("new", _works)))
    return (yield from p.fork(_becomes if kind == "exec" else _works))


def _works(p: UserProcess) -> Steps:
    yield from p.work(LIVES_US)


def _leaves(p: UserProcess) -> Steps:
    yield from p.exit(0)


def _becomes(p: UserProcess) -> Steps:
    yield from p.exec(Program("new", _works))


def _kind(way: str) -> str:
    return way.partition(",")[0]


def _survey(p: UserProcess) -> Survey:
    k = p.dll.k
    objects: list[KernelObject] = list(p.dll.me.process.handles.table().values())
    names = [n for n, obj in k.names.items() if n.startswith("cygpid.") and obj.refs]
    handles = Counter(obj.role or obj.kind for obj in objects)
    return Survey(handles, len(names), len(p.dll.children), k.committed_bytes)


def _death(step: Step, cause: str, ran: Ran, whole: Ran) -> Death:
    """One run held against the one in which nobody dies."""
    seen, normal, installation = ran.seen, whole.seen, ran.machine.installation
    said = [f.message for f in (*installation.failures, *installation.messages)]
    message = " / ".join(said)
    if seen.knew_us is None or seen.known is None or seen.waited is None:
        return Death(step, cause, BLOCKED, None, message, None, None, Counter(), 0, 0, Counter(), 0)
    assert normal.known is not None
    assert normal.waited is not None
    assert ran.died_us is not None
    return Death(
        step, cause, EAGAIN if seen.error else CODE, seen.code, message,
        seen.knew_us - ran.creation.called_us, seen.knew_us - ran.died_us,
        seen.known.handles - normal.known.handles,
        seen.known.sections - normal.known.sections,
        seen.known.records - normal.known.records,
        seen.waited.handles - normal.waited.handles,
        seen.waited.committed_bytes - normal.waited.committed_bytes,
    )  # fmt: skip
