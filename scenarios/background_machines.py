"""The machines of `background_native`: a shell with one native program, and a make of native ones.

Each is built, run to its end and handed over; what is read off it stands here as well.
"""

from __future__ import annotations

import math

from models.cygwin import schemes
from models.cygwin.arguments import Arguments
from models.cygwin.blocked import blocked
from models.cygwin.descriptors import CONSOLE
from models.cygwin.errors import TryAgain
from models.cygwin.images import native_image
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_DETACH, P_NOWAIT, P_NOWAITO, P_VFORK
from models.win32.cost_profile import Profile
from models.win32.image import Image
from models.win32.kernel import Kernel
from models.win32.system import SYSTEMS
from models.win32.thread import Thread
from sim.engine import Steps
from sim.streams import Replication

MODES = {"nowait": P_NOWAIT, "nowaito": P_NOWAITO, "p_vfork": P_VFORK, "detach": P_DETACH}
NATIVE = "nat"  # what the native program is called
ENV = [b"PATH=/usr/local/bin:/usr/bin:/bin", b"HOME=/home/user", b"TERM=cygwin"]


def prompt(
    scheme: str, system: str, profile: Profile, replication: Replication,
    processors: int, way: str, seconds: float, watch: Watch | None = None,
) -> tuple[Machine, list[float]]:  # fmt: skip
    """The machine at its end, and the time until the prompt was back [us], if it ever was."""
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, processors, 2)
    machine.installation.watch = watch
    back: list[float] = []
    machine.start("sh", lambda p: _shell(p, machine, way, native_program(machine, seconds), back))
    machine.kernel.engine.run()
    return machine, back


def make(
    scheme: str, system: str, profile: Profile, replication: Replication, processors: int,
    jobs: int, compiles: int, seconds: float, watch: Watch | None = None,
) -> tuple[Machine, Image]:  # fmt: skip
    """make -j`jobs`: the machine at its end, and the image of its `compiles` compilers."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, processors, compiles
    )
    machine.installation.watch = watch
    native = native_program(machine, seconds)
    machine.start("make", lambda p: _make_steps(p, machine, jobs, compiles, native))
    machine.kernel.engine.run()
    return machine, native


def compilers(machine: Machine, native: Image) -> tuple[float | None, float | None]:
    """(mean number of compilers running at once, how long make runs [us]); None without any."""
    processes = list(machine.kernel.processes.values())
    compilers = [q for q in processes if q.image is native]
    if not compilers:
        return None, None
    busy_us = sum((q.ended_us or 0.0) - q.created_us for q in compilers)
    ended_us = processes[0].ended_us or machine.kernel.engine.now
    began_us = min(q.created_us for q in compilers)
    return busy_us / (ended_us - began_us), ended_us - began_us


def waits_for_native(machine: Machine) -> int:
    """How often the first process waited for a native program in the hand-over."""
    first = next(iter(machine.kernel.processes.values()), None)
    return sum(
        c.waits
        for c in machine.kernel.trace.records
        if isinstance(c, Creation) and c.program == NATIVE and first and c.pid == first.pid
    )


def who_waits(machine: Machine) -> list[str]:
    """One line for each program that is still held, and for what."""
    return [
        f"{e['program']} since {e['since_us'] / 1e6:.3f} s for "
        + ", ".join(w["name"] for w in e["waits_for"])
        for e in blocked(machine.kernel)
    ]


def failures(machine: Machine) -> list[str]:
    """One line for each message that a user saw, and for each crash."""
    crashes = [(program, text) for _, _, program, text in machine.kernel.crashes]
    seen = [(f.program, f.message) for f in machine.installation.failures]
    return [f"{program} failed: {text}" for program, text in (*seen, *crashes)]


def native_program(machine: Machine, seconds: float) -> Image:
    """A program without Cygwin that sleeps for `seconds` and exits with 6."""

    def steps(kernel: Kernel, thread: Thread) -> Steps:
        yield from kernel.sleep(thread, None if math.isinf(seconds) else seconds * 1e6)
        return 6

    return native_image(machine.installation.version, NATIVE, steps)


def _shell(p: CygwinProcess, machine: Machine, way: str, native: Image, back: list[float]) -> Steps:
    """A prompt, one command in the background, and the prompt again."""
    for fd in range(3):
        p.open(fd, CONSOLE)
    p.me.costs = machine.draws.at(0)
    yield from p.work(1.0)
    began = p.now()
    arguments = Arguments([b"nat", b"sleep"], ENV)
    try:
        if way in MODES:
            yield from p.spawn(MODES[way], native, arguments)
        else:
            make = p.fork if way == "shell" else p.vfork
            yield from make(lambda child: _exec(child, machine, native, arguments))
    except TryAgain:
        return  # the message is written down
    back.append(p.now() - began)


def _exec(p: CygwinProcess, machine: Machine, native: Image, arguments: Arguments) -> Steps:
    """What the shell's child does: become the native program."""
    p.me.costs = machine.draws.at(1)
    yield from p.execute(native, arguments)


def _make_steps(
    p: CygwinProcess, machine: Machine, jobs: int, compiles: int, native: Image
) -> Steps:
    """Keep N compilers running until all have been started, then wait for the rest."""
    for fd in range(3):
        p.open(fd, CONSOLE)
    running: list[int] = []
    for number in range(compiles):
        if len(running) == jobs:
            yield from p.waitpid(running.pop(0))
        p.me.costs = machine.draws.at(number)
        try:
            pid = yield from p.spawn(P_NOWAIT, native, Arguments([b"cc", b"-c"], ENV))
        except TryAgain:
            break  # the message is written down
        running.append(pid)
    for pid in running:
        yield from p.waitpid(pid)
