"""How long does the prompt stay away when a native program is started in the background?

A program that is not linked with Cygwin runs for T seconds, or for ever.  It is started

* by a shell that forks and execs (`&`): the shell goes on after the fork, its stub waits;
* by a program that calls spawn with _P_NOWAIT, and with _P_DETACH;
* by a make -jN that spawns native compilers: how many run at once, on average?

Under `blocking` spawn waits for the child to say that it has read the heap.  A native child never
says so, and what ends the wait is its own end: nothing here declares it, the handles waited on do.

Measured on the real code (Cygwin 1.3.2 rebuilt; spec of the logs): an 800 ms native program holds
_P_NOWAIT 826 ms and _P_DETACH 821 ms in 1.3.2, 10 to 30 ms in 1.3.3.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.arguments import Arguments
from models.cygwin.blocked import blocked
from models.cygwin.descriptors import CONSOLE
from models.cygwin.images import native_image
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_DETACH, P_NOWAIT
from models.cygwin.sequence import sequence
from models.win32.cost_profile import Profile
from models.win32.image import Image
from models.win32.kernel import Kernel
from models.win32.system import SYSTEMS
from models.win32.thread import Thread
from scenarios.spec import Measured, Outcome, Spec
from sim.engine import Steps
from sim.streams import Replication

WAYS = ("shell", "nowait", "detach")
REAL = {  # 800 ms native program, CYGWIN.md §i: scheme -> way -> [ms]
    "blocking": {"nowait": "826", "detach": "821"},
    "shared-memory-1.3.3": {"nowait": "10..30", "detach": "10..30"},
}
_ENV = [b"PATH=/usr/local/bin:/usr/bin:/bin", b"HOME=/home/user", b"TERM=cygwin"]


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    seconds: how long the native program runs; inf never ends [s] -- input
    make_jobs, compiles: N of make -jN, and how many compilers it starts -- input
    compile_seconds: how long each runs [s] -- input
    processors: of the machine -- input
    """

    seconds: tuple[float, ...] = (0.1, 0.8, 2.0, 10.0, math.inf)
    make_jobs: int = 4
    compiles: int = 12
    compile_seconds: float = 2.0
    processors: int = 2

    def __post_init__(self) -> None:
        for value in self.seconds:
            if not (0 < value <= 86_400 or math.isinf(value)):
                raise ValueError(f"seconds ({value:g}) must be above 0 and at most 86400, or never")
        if not 0 < self.compile_seconds <= 86_400:
            raise ValueError(
                f"compile_seconds ({self.compile_seconds:g}) must be above 0 and at most 86400"
            )
        for name in ("make_jobs", "compiles", "processors"):
            if not 1 <= getattr(self, name) <= 60:
                raise ValueError(f"{name} ({getattr(self, name)}) must be from 1 to 60")


SPEC = Spec(
    name="background_native",
    question=__doc__.splitlines()[0],
    paragraph="background",
    parameters=Parameters(),
    quick=(("seconds", (0.1, 0.8, math.inf)), ("compiles", 6)),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All ways and times under one scheme in one replication."""
    rows: list[Measured] = []
    notes: list[str] = []
    for seconds in point.seconds:
        for way in WAYS:
            machine, back = _prompt(
                scheme, system, profile, replication, point.processors, way, seconds
            )
            away_us = back[0] if back else None
            who = _who_waits(machine)
            outcome = "blocked" if who else "finished"
            at = _at(way, seconds)
            rows.append(Measured(at, "prompt_away_us", "us", away_us, int(away_us is None)))
            rows.append(Measured(at, "outcome", "", outcome, 0))
            notes += [f"{scheme}, {way}, T = {_label(seconds)}: {line}" for line in who]
    running, makespan_us = _make(point, scheme, system, profile, replication)
    at = _at_make(point)
    rows.append(Measured(at, "mean_running", "1", running, 0))
    rows.append(Measured(at, "makespan_us", "us", makespan_us, 0))
    return Outcome(rows, notes)


def places(point: Parameters) -> Iterator[str]:
    """The points of the results, each a machine of its own."""
    yield from (_at(way, seconds) for seconds in point.seconds for way in WAYS)
    yield _at_make(point)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one point at its end, with `watch` looking on. Raises KeyError."""
    for seconds in point.seconds:
        for way in WAYS:
            if place == _at(way, seconds):
                return _prompt(scheme, system, profile, replication, point.processors, way,
                               seconds, watch=watch)[0]  # fmt: skip
    if place != _at_make(point):
        raise KeyError(place)
    machine, _ = _make_machine(point, scheme, system, profile, replication, watch)
    return machine


def figures(results: dict[str, Outcome], point: Parameters, system: str, profile: Profile,
            seed: int) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): prompt over T, compilers at once, and one chart a scheme."""
    from sim import plots

    finite = [s for s in point.seconds if not math.isinf(s)]
    xs = [s if not math.isinf(s) else 2 * max(finite, default=1.0) for s in point.seconds]
    series: dict[str, tuple[list[float], list[float | None]]] = {}
    drawn = [(name, "nowait", f"{name}: spawn") for name in results]
    drawn.append((next(iter(results)), "shell", "any scheme: fork and exec"))
    for name, way, text in drawn:
        ys = [results[name].value(_at(way, s), "prompt_away_us") for s in point.seconds]
        series[text] = (xs, [None if y is None else y / 1e6 for y in ys])
    last = "; the last point never ends" if math.inf in point.seconds else ""
    yield "prompt_away", plots.lines(
        series, f"native program runs [s]{last}", "prompt away [s]",
        "How long the prompt stays away",
    )  # fmt: skip
    at = _at_make(point)
    yield (
        "make_running",
        plots.plain_bars(
            list(results),
            [float(outcome.value(at, "mean_running") or 0.0) for outcome in results.values()],
            f"make -j{point.make_jobs} of native compilers",
            "compilers running at once, mean over the run [1]",
        ),
    )
    for name in results:
        rep = Replication(seed, 0)
        chart = _chart(name, system, profile, rep)
        yield f"sequence_{name}", chart


def table(results: dict[str, Outcome], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: way, T, then one column a scheme."""
    yield ["way", "T [s]", *results]
    for seconds in point.seconds:
        label = _label(seconds)
        for way in WAYS:
            at = _at(way, seconds)
            cells = [_milliseconds(o.value(at, "prompt_away_us")) for o in results.values()]
            yield [way, label, *cells]
            if label == "0.8" and way != "shell":
                yield ["  (real code)", "", *(REAL.get(n, {}).get(way, "") for n in results)]
    at = _at_make(point)
    cells = [f"{o.value(at, 'mean_running'):.2f}" for o in results.values()]
    yield [f"make -j{point.make_jobs}, at once", f"{point.compile_seconds:g}", *cells]


def conclusions(results: dict[str, Outcome], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from the numbers just found."""
    for name, outcome in results.items():
        held = [
            outcome.value(_at("nowait", s), "prompt_away_us")
            for s in point.seconds
            if not math.isinf(s)
        ]
        times = [s * 1e6 for s in point.seconds if not math.isinf(s)]
        waits = all(h is not None and h >= t for h, t in zip(held, times, strict=True))
        if waits and times:
            yield (
                f"{name}: spawn holds its caller for as long as the native program runs",
                "structural",
            )
        elif times:
            longest = max(h or 0.0 for h in held)
            yield f"{name}: spawn returns within {longest / 1000:.1f} ms, whatever T is", "assumed"
    yield (
        "a shell that forks and execs is never held: its stub is, under every scheme",
        "structural",
    )


def _label(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds:g}"


def _at(way: str, seconds: float) -> str:
    """The point of a prompt in the results."""
    return f"way={way} seconds={_label(seconds)}"


def _at_make(point: Parameters) -> str:
    """The point of the make in the results."""
    return f"way=make jobs={point.make_jobs} seconds={point.compile_seconds:g}"


def _milliseconds(value: float | None) -> str:
    return "never" if value is None else f"{value / 1000:,.1f} ms"


def _native(machine: Machine, seconds: float) -> Image:
    """A program without Cygwin that sleeps for `seconds` and exits with 6."""

    def steps(kernel: Kernel, thread: Thread) -> Steps:
        yield from kernel.sleep(thread, None if math.isinf(seconds) else seconds * 1e6)
        return 6

    return native_image(machine.installation.version, "nat", steps)


def _prompt(
    scheme: str, system: str, profile: Profile, replication: Replication,
    processors: int, way: str, seconds: float, calls: bool = False, watch: Watch | None = None,
) -> tuple[Machine, list[float]]:  # fmt: skip
    """The machine at its end, and the time until the prompt was back [us], if it ever was."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, processors, 2, calls
    )
    machine.installation.watch = watch
    back: list[float] = []
    machine.start("sh", lambda p: _shell(p, machine, way, _native(machine, seconds), back))
    machine.kernel.engine.run()
    return machine, back


def _who_waits(machine: Machine) -> list[str]:
    """One line for each program that is still held, and for what."""
    return [
        f"{e['program']} since {e['since_us'] / 1e6:.3f} s for "
        + ", ".join(w["name"] for w in e["waits_for"])
        for e in blocked(machine.kernel)
    ]


def _shell(p: CygwinProcess, machine: Machine, way: str, native: Image, back: list[float]) -> Steps:
    """A prompt, one command in the background, and the prompt again."""
    for fd in range(3):
        p.open(fd, CONSOLE)
    p.me.costs = machine.draws.at(0)
    yield from p.work(1.0)
    began = p.now()
    arguments = Arguments([b"nat", b"sleep"], _ENV)
    if way == "shell":
        yield from p.fork(lambda child: _exec(child, machine, native, arguments))
    else:
        mode = P_NOWAIT if way == "nowait" else P_DETACH
        yield from p.spawn(mode, native, arguments)
    back.append(p.now() - began)


def _exec(p: CygwinProcess, machine: Machine, native: Image, arguments: Arguments) -> Steps:
    """What the shell's child does: become the native program."""
    p.me.costs = machine.draws.at(1)
    yield from p.execute(native, arguments)


def _make_machine(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication,
    watch: Watch | None = None,
) -> tuple[Machine, Image]:  # fmt: skip
    """make -jN: the machine at its end, and the compilers' image."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, point.processors,
        point.compiles,
    )  # fmt: skip
    machine.installation.watch = watch
    native = _native(machine, point.compile_seconds)
    machine.start("make", lambda p: _make_steps(p, machine, point, native))
    machine.kernel.engine.run()
    return machine, native


def _make(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> tuple[float, float]:
    """make -jN: (mean number of compilers running at once, how long make runs [us])."""
    machine, native = _make_machine(point, scheme, system, profile, replication)
    process = next(iter(machine.kernel.processes.values()))
    compilers = [q for q in machine.kernel.processes.values() if q.image is native]
    busy_us = sum((q.ended_us or 0.0) - q.created_us for q in compilers)
    ended_us = process.ended_us or machine.kernel.engine.now
    began_us = min(q.created_us for q in compilers)
    return busy_us / (ended_us - began_us), ended_us - began_us


def _make_steps(p: CygwinProcess, machine: Machine, point: Parameters, native: Image) -> Steps:
    """Keep N compilers running until all have been started, then wait for the rest."""
    for fd in range(3):
        p.open(fd, CONSOLE)
    running: list[int] = []
    for number in range(point.compiles):
        if len(running) == point.make_jobs:
            yield from p.waitpid(running.pop(0))
        p.me.costs = machine.draws.at(number)
        pid = yield from p.spawn(P_NOWAIT, native, Arguments([b"cc", b"-c"], _ENV))
        running.append(pid)
    for pid in running:
        yield from p.waitpid(pid)


def _chart(scheme: str, system: str, profile: Profile, replication: Replication) -> Any:
    """The sequence chart of one _P_NOWAIT spawn of a native program of 0.8 s."""
    from sim import plots

    machine, _ = _prompt(scheme, system, profile, replication, 2, "nowait", 0.8, calls=True)
    creation = next(
        r for r in machine.kernel.trace.records if isinstance(r, Creation) and r.kind == "spawn"
    )
    made = sequence(machine.kernel, creation)
    return plots.sequence_chart(
        made.lanes, made.steps, f"{scheme}: _P_NOWAIT of a native program of 0.8 s",
        made.waits, made.arrows, made.objects, made.brackets,
    )  # fmt: skip


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
