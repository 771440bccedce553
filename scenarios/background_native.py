"""How long does the prompt stay away when a native program is started in the background?

A program that is not linked with Cygwin runs for T seconds, or for ever.  It is started

* by a shell that forks and execs (`&`): the shell goes on after the fork, its stub waits;
* by a program that vforks and execs, as make does: its release's own vfork;
* by a program that calls spawn with a mode that does not wait: _P_NOWAIT, _P_NOWAITO, _P_VFORK and
  _P_DETACH;
* by a make -jN that spawns native compilers: how many run at once, on average?

And where an exec leaves a stub that stands in for it, and in the foreground: the shell execs it
itself, it starts another one, signals arrive (a hundred end a wait), its stub is killed.

Under `blocking` spawn waits for the child to say that it has read the heap.  A native child never
says so, and what ends the wait is its own end: nothing here declares it, the handles waited on do.

Measured on the real code (Cygwin 1.3.2 rebuilt; spec of the logs): an 800 ms native program holds
_P_NOWAIT 826, _P_NOWAITO 819, _P_VFORK 871 and _P_DETACH 821 ms in 1.3.2, 10 to 30 ms in 1.3.3.
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

from models.cygwin.installation import Watch
from models.cygwin.machine import Machine
from models.win32.cost_profile import Profile
from models.win32.image import Image
from scenarios.background_machines import (
    MODES,
    compilers,
    failures,
    make,
    prompt,
    waits_for_native,
    who_waits,
)
from scenarios.background_stub_words import stub_conclusions, stub_figure, stub_places, stub_rows
from scenarios.background_stubs import Course, Stub, stub
from scenarios.creation_charts import KINDS, QUICK_KINDS, charts
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec, in_words
from sim.streams import Replication

WAYS = ("shell", "vfork", *MODES)
_ASSUMED = "all costs of the profile"
REAL = {  # 800 ms native program, CYGWIN.md §i: scheme -> way -> [ms]
    "blocking": {"nowait": "826", "nowaito": "819", "p_vfork": "871", "detach": "821"},
    "shared-memory-1.3.3": dict.fromkeys(MODES, "10..30"),
}


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    seconds: how long the native program runs; inf never ends [s] -- input
    make_jobs, compiles: N of make -jN, and how many compilers it starts -- input
    compile_seconds: how long each runs [s] -- input
    processors: of the machine -- input
    stub_seconds: how long the program runs that a stub stands in for [s] -- input
    signal_ms: how often a signal arrives where some do [ms] -- input
    """

    seconds: tuple[float, ...] = parameter(
        (0.1, 0.8, 2.0, 10.0, math.inf), "s", 0, 86_400, above=True, never=True
    )
    make_jobs: int = parameter(4, "1", 1, 60)
    compiles: int = parameter(12, "1", 1, 60)
    compile_seconds: float = parameter(2.0, "s", 0, 86_400, above=True)
    processors: int = parameter(2, "1", 1, 60)
    stub_seconds: float = parameter(2.0, "s", 0, 86_400, above=True)
    signal_ms: float = parameter(10.0, "ms", 0, 86_400_000, above=True)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="background_native",
    question=__doc__.splitlines()[0],
    paragraph="background",
    without_heap=True,
    parameters=Parameters(),
    quick=(("seconds", (0.1, 0.8, math.inf)), ("compiles", 6)),
    limits=(
        "milliseconds rest on assumed costs; that a caller waits follows from the handles",
        "checked against real 1.3.2 and 1.3.3: 819 to 871 ms, and 10 to 30 ms, for a native "
        "program of 800 ms",
        "native programs sleep for T: they use no processor, no console and no pipe",
        "signals but those to a stub are not modelled",
    ),
    headlines=(
        ("way=nowait seconds={seconds[0]}", "prompt_away_us"),
        ("way=shell seconds={seconds[0]}", "prompt_away_us"),
        ("way=make jobs={make_jobs} seconds={compile_seconds}", "mean_running"),
    ),
    narrow=(("seconds", (0.8,)), ("compiles", 6), ("stub_seconds", 0.1)),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All ways and times under one scheme in one replication."""
    rows: list[Measured] = []
    notes: list[str] = []
    for seconds in point.seconds:
        for way in WAYS:
            machine, back = prompt(
                scheme, system, profile, replication, point.processors, way, seconds
            )
            away_us = back[0] if back else None
            who = who_waits(machine)
            failed = failures(machine)
            outcome = "failed" if failed else "blocked" if who else "finished"
            at = _at(way, seconds)
            rows.append(Measured(at, "prompt_away_us", "us", away_us, int(away_us is None)))
            rows.append(Measured(at, "outcome", "", outcome, 0))
            rows.append(Measured(at, "waits_for_native", "1", waits_for_native(machine), 0))
            where = f"{scheme}, {way}, T = {_label(seconds)}"
            notes += [f"{where}: {line}" for line in (*failed, *who)]
    machine, native = _make(point, scheme, system, profile, replication)
    running, makespan_us = compilers(machine, native)
    at, failed = _at_make(point), failures(machine)
    rows.append(Measured(at, "outcome", "", "failed" if failed else "finished", 0))
    rows.append(Measured(at, "mean_running", "1", running, int(running is None)))
    rows.append(Measured(at, "makespan_us", "us", makespan_us, int(makespan_us is None)))
    notes += [f"{scheme}, make: {line}" for line in failed]
    courses: dict[str, Course] = {}
    for at, way in stub_places(point.stub_seconds).items():
        one = _stub(point, scheme, system, profile, replication, way)
        rows += one.measures(at)
        notes += [f"{scheme}, {way}: {line}" for line in one.failed]
        courses[way] = one.course()
    return Outcome(rows, notes, {"stubs": courses})


def places(point: Parameters) -> Iterator[str]:
    """The points of the results, each a machine of its own."""
    yield from (_at(way, seconds) for seconds in point.seconds for way in WAYS)
    yield _at_make(point)
    yield from stub_places(point.stub_seconds)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one point at its end, with `watch` looking on. Raises KeyError."""
    for seconds in point.seconds:
        for way in WAYS:
            if place == _at(way, seconds):
                return prompt(scheme, system, profile, replication, point.processors, way,
                               seconds, watch=watch)[0]  # fmt: skip
    if (stub_way := stub_places(point.stub_seconds).get(place)) is not None:
        return _stub(point, scheme, system, profile, replication, stub_way, watch).machine
    if place != _at_make(point):
        raise KeyError(place)
    machine, _ = _make(point, scheme, system, profile, replication, watch)
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
    name, r = list(results.items())[-1]
    courses = r.drawn("stubs")[0]
    if any(course.lives for course in courses.values()):
        first = " (first replication)" if count > 1 else ""
        yield "stubs", stub_figure(courses, f"{name}: native programs and their stubs{first}")
    kinds = QUICK_KINDS if quick else tuple(KINDS)
    yield from charts(list(results), system, profile, Replication(seed, 0), kinds)


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: way, T, then one column a scheme."""
    yield ["way", "T [s]", *results]
    for seconds in point.seconds:
        label = _label(seconds)
        for way in WAYS:
            yield [way, label, *(_cell(r, _at(way, seconds)) for r in results.values())]
            if label == "0.8" and way in MODES:
                yield ["  (real code)", "", *(REAL.get(n, {}).get(way, "") for n in results)]
    yield from stub_rows(results, point.stub_seconds)
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
            text = f"make -j{point.make_jobs} has {words} compilers running ({_ASSUMED})"
            yield f"{name}: {text}", "assumed"
    whole = {name: r for name, r in results.items() if not _any_failed(r, point)}
    for way, what in (("shell", "a shell that forks"), ("vfork", "a program that vforks")):
        held = [name for name, r in whole.items() if _is_held(r, way, point)]
        if free := [name for name in whole if name not in held]:
            which = "every scheme" if len(free) == len(results) else ", ".join(free)
            yield (
                f"{what} and execs does not wait for the native program under {which}",
                "structural",
            )
        for name in held:
            yield f"{name}: {what} and execs waits for the native program as well", "structural"
    yield from stub_conclusions(results, point.stub_seconds, point.signal_ms)


def _of_spawn(name: str, r: Replicated, finite: list[float]) -> tuple[str, str]:
    """What spawn does to its caller, over all T that end."""
    means = [r.mean(_at("nowait", s), "prompt_away_us") for s in finite]
    came = [mean for mean in means if mean is not None]
    if len(came) < len(means):
        return f"{name}: spawn does not return in every replication", "structural"
    if all(n for s in finite for n in r.values(_at("nowait", s), "waits_for_native")):
        count = len(r.outcomes)
        often = "the one replication" if count == 1 else f"each of {count} replications"
        return (
            f"{name}: spawn holds its caller for as long as the native program runs (in {often})",
            "structural",
        )
    largest = max(came, key=lambda mean: mean.mean)
    words = in_words(largest, 1e-3, "ms")
    if len(finite) == 1:
        how = f" where T is {_label(finite[0])} s"
    elif largest.mean <= 1.05 * min(mean.mean for mean in came):
        how = ", whatever T is"
    else:
        how = " at the longest, and it depends on T"
    return f"{name}: spawn returns after {words}{how} ({_ASSUMED})", "assumed"


def _is_held(r: Replicated, way: str, point: Parameters) -> bool:
    """Whether the program itself waits for the native one where it is started in that way."""
    return any(count for s in point.seconds for count in r.values(_at(way, s), "waits_for_native"))


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


def _make(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication,
    watch: Watch | None = None,
) -> tuple[Machine, Image]:  # fmt: skip
    return make(scheme, system, profile, replication, point.processors, point.make_jobs,
                point.compiles, point.compile_seconds, watch)  # fmt: skip


def _stub(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication,
    way: str, watch: Watch | None = None,
) -> Stub:  # fmt: skip
    return stub(scheme, system, profile, replication, point.processors, way, point.stub_seconds,
                point.signal_ms, watch)  # fmt: skip


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
