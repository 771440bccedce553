"""Sequence charts of one creation of each kind, drawn from the calls of a small run of its own.

Kinds: a fork; a fork with a socket open, where the two-step schemes fix the copy up before the
child runs; an exec of a Cygwin program by a fork child whose parent lives; a _P_NOWAIT spawn of a
program that is not linked with Cygwin and runs for 0.8 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from models.cygwin import schemes
from models.cygwin.arguments import Arguments
from models.cygwin.descriptors import CONSOLE
from models.cygwin.errors import TryAgain
from models.cygwin.images import cygwin_image, native_image
from models.cygwin.installation import Creation, Program
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_NOWAIT
from models.cygwin.sequence import Sequence, sequence
from models.cygwin.startup import entry
from models.win32.cost_profile import Profile
from models.win32.kernel import Kernel
from models.win32.system import SYSTEMS
from models.win32.thread import Thread
from sim.engine import Steps
from sim.streams import Replication

KINDS = {  # kind -> what the title says
    "fork": "fork",
    "fork_socket": "fork with a socket open",
    "exec": "exec of a Cygwin program",
    "spawn": "_P_NOWAIT spawn of a native program of 0.8 s",
}
QUICK_KINDS = ("fork_socket", "exec", "spawn")  # each function of the document is in one
_NATIVE_US = 800_000.0  # how long the native program runs -- chosen
_PROCESSORS = 2  # chosen
_ARGUMENTS = Arguments([b"prog", b"file"], [b"PATH=/usr/bin:/bin", b"HOME=/home/user"])


def charts(
    names: Iterable[str],
    system: str,
    profile: Profile,
    replication: Replication,
    kinds: Iterable[str] = tuple(KINDS),
) -> Iterator[tuple[str, Any]]:
    """(file stem, figure) of each kind under each scheme, without those that made no child."""
    from sim import plots

    for name in names:
        for kind in kinds:
            try:
                made = chart(kind, name, system, profile, replication)
            except ValueError:  # memory did not suffice for one
                continue
            title = f"{name}, {system}: {KINDS[kind]}"
            figure = plots.sequence_chart(
                made.lanes, made.steps, title, made.waits, made.arrows, made.objects, made.brackets
            )
            yield f"sequence_{kind}_{name}", figure


def chart(
    kind: str, scheme: str, system: str, profile: Profile, replication: Replication
) -> Sequence:
    """What happens in one creation of `kind`.

    Raises KeyError for another kind or scheme, ValueError if it made no child.
    """
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, _PROCESSORS, 2, calls=True
    )
    program = {"fork": _forks, "fork_socket": _forks_with_socket, "exec": _execs,
               "spawn": _spawns}[kind]  # fmt: skip
    machine.start("sh", program(machine))
    machine.kernel.engine.run()
    wanted = kind.partition("_")[0]
    records = machine.kernel.trace.records
    made = [r for r in records if isinstance(r, Creation) and r.kind == wanted]
    if not made:
        raise ValueError(f"there was no {wanted}")
    creation = made[0]
    return sequence(machine.kernel, creation)


def _forks(machine: Machine, socket: bool = False) -> Program:
    def steps(p: CygwinProcess) -> Steps:
        yield from _begin(p, machine)
        if socket:
            p.socket(3)
            yield from p.work(1.0)
        yield from _fork_and_wait(p, _leaves)

    return steps


def _forks_with_socket(machine: Machine) -> Program:
    return _forks(machine, socket=True)


def _execs(machine: Machine) -> Program:
    version = machine.installation.version
    image = cygwin_image(version, "prog", entry(machine.installation, _leaves))

    def child(p: CygwinProcess) -> Steps:
        p.me.costs = machine.draws.at(1)
        yield from p.work(1.0)
        yield from p.execute(image, _ARGUMENTS)

    def steps(p: CygwinProcess) -> Steps:
        yield from _begin(p, machine)
        yield from _fork_and_wait(p, child)

    return steps


def _spawns(machine: Machine) -> Program:
    def native(kernel: Kernel, thread: Thread) -> Steps:
        yield from kernel.sleep(thread, _NATIVE_US)
        return 0

    image = native_image(machine.installation.version, "native", native)

    def steps(p: CygwinProcess) -> Steps:
        yield from _begin(p, machine)
        with suppress(TryAgain):  # the message is written down
            yield from p.spawn(P_NOWAIT, image, _ARGUMENTS)

    return steps


def _fork_and_wait(p: CygwinProcess, child: Program) -> Steps:
    with suppress(TryAgain):  # the message is written down
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)


def _begin(p: CygwinProcess, machine: Machine) -> Steps:
    """A shell with a console; the last call before the creation is over when that begins."""
    for fd in range(3):
        p.open(fd, CONSOLE)
    p.me.costs = machine.draws.at(0)
    yield from p.work(1.0)


def _leaves(p: CygwinProcess) -> Steps:
    yield from p.exit(0)
