"""How long do fork, exec and spawn take, by scheme, size of the heap, open files and sockets?

A process whose cygheap is as large as asked for forks a child that execs, waits for it, and spawns
the same program with _P_NOWAIT; so many times.  A fork and a spawn take from the call to its return
in the caller, an exec from the call to main() of the new program.

Three sweeps start from one point: the size of the heap, with the sizes that were really seen shaded
(10 to 23 KB in the logs of 1.3.2 and 1.3.3; 137 to 173 KB in Cygwin 3.x); open files; open sockets.
Both systems meet the same costs, so that what differs is the way of the heap; 9x on the machine of
its own time is `--system 9x --profile p3-800-w98`.

In a run of 60 creations a point, `p3-800-w2000`, seed 1, on NT a MiB of heap adds 11.2 ms.  Of a
median fork 10 to 23 KB of heap are 0.8 to 1.8 %, 137 to 173 KB are 9.4 to 11.6 %; of a median exec
0.9 to 2.1 % and 11.0 to 13.6 %.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, UserProcess, start
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from scenarios.latency_words import (
    KINDS,
    SEEN,
    Place,
    by_heap,
    more,
    short,
    smallest_heaps,
    two_steps,
    who_waits,
)
from scenarios.one_of_each import one_of_each
from scenarios.parameters import check, parameter
from scenarios.spec import (
    ASSUMED_TIMES,
    Measured,
    Outcome,
    Replicated,
    Spec,
    each_in_words,
    systems_in,
)
from sim.engine import Steps
from sim.estimators import mean_interval, quantile, summary
from sim.streams import Replication

_CONSOLES = 3


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    heap_kib: sizes of the cygheap when the child is made [KiB] -- input
    fds: open files, three consoles among them; sockets: open besides -- input
    creations: how many of each kind at each point -- input
    processors: of the machine -- input
    common_kib: size of the heap while files and sockets are varied [KiB] -- input

    The point that all sweeps go through has `common_kib` and the first of `fds` and of `sockets`.
    """

    heap_kib: tuple[int, ...] = parameter((16, 64, 155, 512, 1024, 4096), "KiB", 16, 4096)
    fds: tuple[int, ...] = parameter((_CONSOLES, 64), "1", _CONSOLES, 256)
    sockets: tuple[int, ...] = parameter((0, 1, 8), "1", 0, 60)
    creations: int = parameter(60, "1", 1, 1000)
    processors: int = parameter(2, "1", 1, 60)
    common_kib: int = parameter(155, "KiB", 16, 4096)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="exec_latency",
    question=" ".join(__doc__.partition("\n\n")[0].split()),
    paragraph="hand-over",
    free_heap=True,
    spawns=True,
    parameters=Parameters(),
    quick=(("heap_kib", (16, 155, 1024, 4096)), ("sockets", (0, 8)), ("creations", 12)),
    system="nt+9x",
    limits=(
        ASSUMED_TIMES,
        "measured creations have no disk, paging or cache; a program's image is found at once",
        "asked about are 16 to 4,096 KiB of heap, up to 256 files and 60 sockets; "
        "program data and user heap are the profile's",
        "one process makes children one by one; server_load has several at once",
    ),
    headlines=tuple(
        ("heap_kib={common_kib} fds={fds[0]} sockets={sockets[0]}", f"{kind}_p50")
        for kind in ("spawn", "fork", "exec")
    ),
    narrow=(("heap_kib", (155,)), ("fds", (3,)), ("sockets", (0,)), ("creations", 12)),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All points of the sweeps under one scheme in one replication."""
    rows: list[Measured] = []
    drawn: dict[str, Any] = {}
    for name in system.split("+"):
        for place in sweeps(point):
            creations = _creations(place, point, scheme, name, profile, replication)
            for kind in KINDS:
                some = [c for c in creations if c.kind == kind]
                took = [_took_us(c) for c in some]
                drawn[f"{name} {kind} {place}"] = took
                rows += [m._replace(system=name) for m in _measures(str(place), kind, some, took)]
    return Outcome(rows, [], drawn)


def places(point: Parameters) -> Iterator[str]:
    """The points of the results, each a machine of its own."""
    yield from map(str, sweeps(point))


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one point at its end, with `watch` looking on. Raises KeyError."""
    where = {str(one): one for one in sweeps(point)}[place]
    return _machine(where, point, scheme, system, profile, replication, watch)


def sweeps(point: Parameters) -> list[Place]:
    """The points of the sweeps, each once."""
    base = common(point)
    found = [base._replace(heap_kib=size) for size in point.heap_kib] + [base]
    found += [base._replace(fds=fds) for fds in point.fds]
    found += [base._replace(sockets=sockets) for sockets in point.sockets]
    return list(dict.fromkeys(found))


def common(point: Parameters) -> Place:
    """The point that all sweeps go through."""
    return Place(point.common_kib, point.fds[0], point.sockets[0])


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: median and 95th percentile [ms] by scheme."""
    yield ["p50 / p95 ms   KiB fds sockets", *(short(name) for name in results)]
    for system in systems_in(results):
        for kind in KINDS:
            for place in sweeps(point):
                cells = [
                    " / ".join(
                        _ms(o.value(str(place), f"{kind}_{part}", system))
                        for part in ("p50", "p95")
                    )
                    for o in results.values()
                ]
                what = f"{kind:6} {system:5}{place.heap_kib:>6}{place.fds:>4}{place.sockets:>8}"
                yield [what, *cells]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    yield from who_waits(results)
    yield from two_steps(results, sweeps(point))
    system = systems_in(results)[0]
    base = common(point)
    yield from smallest_heaps(results, sweeps(point), system)
    low, high = (base._replace(heap_kib=f(point.heap_kib)) for f in (min, max))
    if high != low:
        yield from by_heap(results, low, high, system)
    busiest = base._replace(sockets=max(point.sockets))
    if busiest != base:
        for kind in KINDS:
            added = {
                short(name): mean_interval(
                    [more(o, kind, base, busiest, system) for o in r.outcomes]
                )
                for name, r in results.items()
            }
            text = f"what {busiest.sockets - base.sockets} more sockets add to a median {kind}"
            yield f"{text} on {system}: {each_in_words(added, 1, 'ms')} (winsock_call)", "assumed"


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): latency over heap, files and sockets; distributions at one point."""
    from sim import plots_panels

    base = common(point)
    bands = [plots_panels.Band(*band) for band in SEEN]
    for name in system.split("+"):
        sizes = [base._replace(heap_kib=n) for n in sorted({*point.heap_kib, base.heap_kib})]
        yield (
            f"latency_by_heap_{name}",
            plots_panels.panels(
                _panels(results, sizes, 0, name), "cygheap in use [KiB]", "latency [ms]",
                f"Median latency, band to the 95th percentile;"
                f" {_about(results, base, point, name, 0)}",
                bands, logarithmic=True,
            ),
        )  # fmt: skip
        for field, word, values in ((1, "files", point.fds), (2, "sockets", point.sockets)):
            some = [base._replace(**{Place._fields[field]: n}) for n in sorted(set(values))]
            if len(some) < 2 or name != system.split("+")[0]:
                continue  # the second system adds nothing here that the table does not say
            yield (
                f"latency_by_{word}_{name}",
                plots_panels.panels(
                    _panels(results, some, field, name), f"open {word} [1]", "latency [ms]",
                    f"Median latency, band to the 95th percentile;"
                    f" {_about(results, base, point, name, field)}",
                ),
            )  # fmt: skip
        groups = {
            kind: {
                scheme: _ecdf(_pooled(o, f"{name} {kind} {base}")) for scheme, o in results.items()
            }
            for kind in KINDS
        }
        yield (
            f"ecdf_{name}",
            plots_panels.panels(
                groups, "latency [ms]", "share of creations [1]",
                f"Distribution of latencies; {_about(results, base, point, name, None)}",
                plain=True,
            ),
        )  # fmt: skip


def _pooled(r: Replicated, name: str) -> list[float | None]:
    """The latencies of all replications."""
    return [took for one in r.drawn(name) for took in one]


def _creations(
    place: Place, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication,
) -> list[Creation]:  # fmt: skip
    """The creations of one point, in their order."""
    machine = _machine(place, point, scheme, system, profile, replication)
    return [r for r in machine.kernel.trace.records if isinstance(r, Creation)]


def _machine(
    place: Place, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch | None = None,
) -> Machine:  # fmt: skip
    """The machine of one point at its end."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, point.processors, PLACES
    )
    machine.installation.watch = watch
    start(machine, Program("sh", lambda p: _maker(p, place, point.creations)))
    machine.kernel.engine.run()
    return machine


def _maker(p: UserProcess, place: Place, count: int) -> Steps:
    """Open what is asked for, let the heap have its size, and make children one by one."""
    for _ in range(_CONSOLES):
        p.open("/dev/tty")
    for _ in range(place.fds - _CONSOLES):
        p.open("/usr/share/misc/magic")
    for _ in range(place.sockets):
        p.socket()
    p.fill_heap(place.heap_kib * 1024)
    for _ in range(count):
        yield from one_of_each(p)


def _took_us(c: Creation) -> float | None:
    end = c.main_us if c.kind == "exec" else c.returned_us
    return None if end is None else end - c.called_us


def _measures(
    at: str, kind: str, creations: list[Creation], took_us: list[float | None]
) -> Iterator[Measured]:
    found = summary(took_us)
    censored = int(found["censored"] or 0)
    for part in ("p50", "p95", "p99", "mean", "max"):
        yield Measured(at, f"{kind}_{part}", "us", found[part], censored)
    waited = sum(c.waits > 0 for c in creations)
    yield Measured(at, f"{kind}_n", "1", len(creations), 0)
    yield Measured(at, f"{kind}_waited", "1", waited, 0)
    yield Measured(at, f"{kind}_steps", "1", max(c.section_steps for c in creations), 0)
    sizes = quantile([float(c.heap_bytes) for c in creations], 0.5)
    yield Measured(at, f"{kind}_heap_bytes", "bytes", sizes, 0)


def _ms(us: float | None) -> str:
    return "never" if us is None else f"{us / 1000:.3g}"


def _panels(
    results: dict[str, Replicated], some: list[Place], field: int, system: str
) -> dict[str, dict[str, Any]]:
    from sim.plots_panels import Series

    def line(o: Replicated, kind: str) -> Series:
        xs = [float(place[field]) for place in some]
        mids, highs = (
            [o.value(str(p), f"{kind}_{part}", system) / 1000 for p in some]
            for part in ("p50", "p95")
        )
        return Series(xs, mids, mids, highs)

    return {kind: {name: line(o, kind) for name, o in results.items()} for kind in KINDS}


def _ecdf(took_us: list[float | None]) -> Any:
    """The share of creations that took at most x [ms], as steps; what never came is left out."""
    from sim.plots_panels import Series

    came = sorted(us / 1000 for us in took_us if us is not None)
    xs, ys = [], []
    for i, x in enumerate(came):
        xs += [x, x]
        ys += [i / len(took_us), (i + 1) / len(took_us)]
    return Series(xs, ys)


def _about(
    results: dict[str, Replicated], base: Place, point: Parameters, system: str, swept: int | None
) -> str:
    words = (f"heap {base.heap_kib} KiB", f"{base.fds} files", f"{base.sockets} sockets")
    kept = [word for i, word in enumerate(words) if i != swept]
    count = len(next(iter(results.values())).outcomes)
    times = f" in each of {count} replications" if count > 1 else ""
    return f"{system}, {', '.join(kept)}, n={point.creations}{times}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
