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
from models.cygwin.errors import TryAgain
from models.cygwin.images import native_image
from models.cygwin.installation import Watch
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import P_DETACH, P_NOWAIT
from models.win32.cost_profile import Profile
from models.win32.image import Image
from models.win32.kernel import Kernel
from models.win32.system import SYSTEMS
from models.win32.thread import Thread
from scenarios.creation_charts import KINDS, QUICK_KINDS, charts
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec, in_words
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

    seconds: tuple[float, ...] = parameter(
        (0.1, 0.8, 2.0, 10.0, math.inf), "s", 0, 86_400, above=True, never=True
    )
    make_jobs: int = parameter(4, "1", 1, 60)
    compiles: int = parameter(12, "1", 1, 60)
    compile_seconds: float = parameter(2.0, "s", 0, 86_400, above=True)
    processors: int = parameter(2, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="background_native",
    question=__doc__.splitlines()[0],
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
            failed = _failures(machine)
            outcome = "failed" if failed else "blocked" if who else "finished"
            at = _at(way, seconds)
            rows.append(Measured(at, "prompt_away_us", "us", away_us, int(away_us is None)))
            rows.append(Measured(at, "outcome", "", outcome, 0))
            where = f"{scheme}, {way}, T = {_label(seconds)}"
            notes += [f"{where}: {line}" for line in (*failed, *who)]
    machine, native = _make_machine(point, scheme, system, profile, replication)
    running, makespan_us = _compilers(machine, native)
    at, failed = _at_make(point), _failures(machine)
    rows.append(Measured(at, "outcome", "", "failed" if failed else "finished", 0))
    rows.append(Measured(at, "mean_running", "1", running, int(running is None)))
    rows.append(Measured(at, "makespan_us", "us", makespan_us, int(makespan_us is None)))
    notes += [f"{scheme}, make: {line}" for line in failed]
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


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): prompt over T, compilers at once, and a chart of each creation."""
    from sim import plots

    finite = [s for s in point.seconds if not math.isinf(s)]
    xs = [s if not math.isinf(s) else 2 * max(finite, default=1.0) for s in point.seconds]
    series: dict[str, tuple[list[float], list[float | None]]] = {}
    drawn = [(name, "nowait", f"{name}: spawn") for name in results]
    drawn.append((next(iter(results)), "shell", f"{next(iter(results))}: fork and exec"))
    for name, way, text in drawn:
        means = [results[name].mean(_at(way, s), "prompt_away_us") for s in point.seconds]
        series[text] = (xs, [None if m is None else m.mean / 1e6 for m in means])
    count = len(next(iter(results.values())).outcomes)
    averaged = f", means of {count} replications" if count > 1 else ""
    last = "; the last point never ends" if math.inf in point.seconds else ""
    yield "prompt_away", plots.lines(
        series, f"native program runs [s]{last}", "prompt away [s]",
        f"How long the prompt stays away{averaged}", logarithmic=True,
    )  # fmt: skip
    at = _at_make(point)
    running = {name: r.mean(at, "mean_running") for name, r in results.items()}
    known = {name: mean.mean for name, mean in running.items() if mean is not None}
    if known:
        yield (
            "make_running",
            plots.plain_bars(
                list(known),
                list(known.values()),
                f"make -j{point.make_jobs} of native compilers{averaged}",
                "compilers running at once, mean over the run [1]",
            ),
        )
    kinds = QUICK_KINDS if quick else tuple(KINDS)
    yield from charts(list(results), system, profile, Replication(seed, 0), kinds)


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: way, T, then one column a scheme."""
    yield ["way", "T [s]", *results]
    for seconds in point.seconds:
        label = _label(seconds)
        for way in WAYS:
            yield [way, label, *(_cell(r, _at(way, seconds)) for r in results.values())]
            if label == "0.8" and way != "shell":
                yield ["  (real code)", "", *(REAL.get(n, {}).get(way, "") for n in results)]
    at = _at_make(point)
    means = [r.mean(at, "mean_running") for r in results.values()]
    cells = ["failed" if mean is None else f"{mean.mean:.2f}" for mean in means]
    yield [f"make -j{point.make_jobs}, at once", f"{point.compile_seconds:g}", *cells]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications, and no more than that."""
    finite = [s for s in point.seconds if not math.isinf(s)]
    for name, r in results.items():
        if _any_failed(r, point):
            yield f"{name}: memory ran out or a program died; nothing follows", "structural"
            continue
        if finite:
            yield _of_spawn(name, r, finite)
        if math.inf in point.seconds:
            away = r.values(_at("nowait", math.inf), "prompt_away_us")
            never = sum(value is None for value in away)
            if never:
                yield (
                    f"{name}: when the native program never ends, spawn never returns "
                    f"(in {never} of {len(away)} replications)",
                    "structural",
                )
        mean = r.mean(_at_make(point), "mean_running")
        if mean is not None:
            words = in_words(mean, 1.0, "")
            yield f"{name}: make -j{point.make_jobs} has {words} compilers running", "assumed"
    whole = {name: r for name, r in results.items() if not _any_failed(r, point)}
    held = [name for name, r in whole.items() if _shell_is_held(r, point)]
    if free := [name for name in whole if name not in held]:
        which = "under every scheme" if len(free) == len(results) else "under " + ", ".join(free)
        yield f"a shell that forks and execs is not held, whatever T is, {which}", "structural"
    for name in held:
        yield f"{name}: a shell that forks and execs is held as well", "structural"


def _of_spawn(name: str, r: Replicated, finite: list[float]) -> tuple[str, str]:
    """What spawn does to its caller, over all T that end."""
    away = {s: r.values(_at("nowait", s), "prompt_away_us") for s in finite}
    count = len(r.outcomes)
    if all(v is not None and v >= s * 1e6 for s, values in away.items() for v in values):
        often = "the one replication" if count == 1 else f"each of {count} replications"
        return (
            f"{name}: spawn holds its caller for as long as the native program runs (in {often})",
            "structural",
        )
    means = [r.mean(_at("nowait", s), "prompt_away_us") for s in finite]
    came = [mean for mean in means if mean is not None]
    if len(came) < len(means):
        return f"{name}: spawn does not return in every replication", "structural"
    largest = max(came, key=lambda mean: mean.mean)
    smallest = min(mean.mean for mean in came)
    words = in_words(largest, 1e-3, "ms")
    if largest.mean <= 1.05 * smallest:
        return f"{name}: spawn returns after {words}, whatever T is", "assumed"
    return f"{name}: spawn returns after {words} at the longest, and it depends on T", "assumed"


def _shell_is_held(r: Replicated, point: Parameters) -> bool:
    """Whether how long the prompt is away depends on T where a shell forks and execs."""
    away = [v for s in point.seconds for v in r.values(_at("shell", s), "prompt_away_us")]
    if any(v is None for v in away):
        return True
    rows = zip(*(r.values(_at("shell", s), "prompt_away_us") for s in point.seconds), strict=True)
    return any(max(own) > 1.05 * min(own) for own in rows)


def _any_failed(r: Replicated, point: Parameters) -> bool:
    return any("failed" in r.values(place, "outcome") for place in places(point))


def _cell(r: Replicated, at: str) -> str:
    """The mean in a cell of the table; in how many replications it never came."""
    if "failed" in r.values(at, "outcome"):
        return "failed"
    away = r.values(at, "prompt_away_us")
    never = sum(value is None for value in away)
    if never:
        return "never" if never == len(away) else f"never in {never} of {len(away)}"
    return f"{sum(away) / len(away) / 1000:,.1f} ms"


def _label(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds:g}"


def _at(way: str, seconds: float) -> str:
    """The point of a prompt in the results."""
    return f"way={way} seconds={_label(seconds)}"


def _at_make(point: Parameters) -> str:
    """The point of the make in the results."""
    return f"way=make jobs={point.make_jobs} seconds={point.compile_seconds:g}"


def _native(machine: Machine, seconds: float) -> Image:
    """A program without Cygwin that sleeps for `seconds` and exits with 6."""

    def steps(kernel: Kernel, thread: Thread) -> Steps:
        yield from kernel.sleep(thread, None if math.isinf(seconds) else seconds * 1e6)
        return 6

    return native_image(machine.installation.version, "nat", steps)


def _prompt(
    scheme: str, system: str, profile: Profile, replication: Replication,
    processors: int, way: str, seconds: float, watch: Watch | None = None,
) -> tuple[Machine, list[float]]:  # fmt: skip
    """The machine at its end, and the time until the prompt was back [us], if it ever was."""
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, processors, 2)
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


def _failures(machine: Machine) -> list[str]:
    """One line for each message that a user saw, and for each crash."""
    crashes = [(program, text) for _, _, program, text in machine.kernel.crashes]
    seen = [(f.program, f.message) for f in machine.installation.failures]
    return [f"{program} failed: {text}" for program, text in (*seen, *crashes)]


def _shell(p: CygwinProcess, machine: Machine, way: str, native: Image, back: list[float]) -> Steps:
    """A prompt, one command in the background, and the prompt again."""
    for fd in range(3):
        p.open(fd, CONSOLE)
    p.me.costs = machine.draws.at(0)
    yield from p.work(1.0)
    began = p.now()
    arguments = Arguments([b"nat", b"sleep"], _ENV)
    try:
        if way == "shell":
            yield from p.fork(lambda child: _exec(child, machine, native, arguments))
        else:
            mode = P_NOWAIT if way == "nowait" else P_DETACH
            yield from p.spawn(mode, native, arguments)
    except TryAgain:
        return  # the message is written down
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


def _compilers(machine: Machine, native: Image) -> tuple[float | None, float | None]:
    """(mean number of compilers running at once, how long make runs [us]); None without any."""
    processes = list(machine.kernel.processes.values())
    compilers = [q for q in processes if q.image is native]
    if not compilers:
        return None, None
    busy_us = sum((q.ended_us or 0.0) - q.created_us for q in compilers)
    ended_us = processes[0].ended_us or machine.kernel.engine.now
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
        try:
            pid = yield from p.spawn(P_NOWAIT, native, Arguments([b"cc", b"-c"], _ENV))
        except TryAgain:
            break  # the message is written down
        running.append(pid)
    for pid in running:
        yield from p.waitpid(pid)


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
