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
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.installation import Creation
from models.cygwin.machine import build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, UserProcess, start
from models.cygwin.protocol import P_NOWAIT
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from scenarios.spec import Measured, Outcome, Spec
from sim.engine import Steps
from sim.estimators import quantile, summary
from sim.streams import Replication

KINDS = ("fork", "exec", "spawn")
SEEN = ((10.0, 23.0, "seen in 2001"), (134.0, 169.0, "seen in Cygwin 3.x"))  # [KiB], COSTS §1, §i
_CONSOLES = 3
_ASSUMED = "copy_bandwidth, page_touch"


def _between(name: str, values: tuple[int, ...], low: int, high: int) -> None:
    for value in values:
        if not low <= value <= high:
            raise ValueError(f"{name} ({value}) must be from {low} to {high}")


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

    heap_kib: tuple[int, ...] = (16, 64, 155, 512, 1024, 4096)
    fds: tuple[int, ...] = (3, 64)
    sockets: tuple[int, ...] = (0, 1, 8)
    creations: int = 60
    processors: int = 2
    common_kib: int = 155

    def __post_init__(self) -> None:
        _between("heap_kib", self.heap_kib, 16, 4096)
        _between("common_kib", (self.common_kib,), 16, 4096)
        _between("fds", self.fds, _CONSOLES, 256)
        _between("sockets", self.sockets, 0, 60)
        _between("creations", (self.creations,), 1, 1000)
        _between("processors", (self.processors,), 1, 60)


class Place(NamedTuple):
    """One point of the sweeps. Every field is *input*."""

    heap_kib: int
    fds: int
    sockets: int

    def __str__(self) -> str:
        return f"heap_kib={self.heap_kib} fds={self.fds} sockets={self.sockets}"


SPEC = Spec(
    name="exec_latency",
    question=" ".join(__doc__.partition("\n\n")[0].split()),
    parameters=Parameters(),
    quick=(("heap_kib", (16, 155, 1024, 4096)), ("sockets", (0, 8)), ("creations", 12)),
    system="nt+9x",
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All points of the sweeps under one scheme in one replication."""
    rows: list[Measured] = []
    drawn: dict[str, Any] = {}
    for name in system.split("+"):
        for place in places(point):
            creations = _creations(place, point, scheme, name, profile, replication)
            for kind in KINDS:
                some = [c for c in creations if c.kind == kind]
                took = [_took_us(c) for c in some]
                drawn[f"{name} {kind} {place}"] = took
                rows += [m._replace(system=name) for m in _measures(str(place), kind, some, took)]
    return Outcome(rows, [], drawn)


def places(point: Parameters) -> list[Place]:
    """The points of the sweeps, each once."""
    base = common(point)
    sweeps = [base._replace(heap_kib=size) for size in point.heap_kib] + [base]
    sweeps += [base._replace(fds=fds) for fds in point.fds]
    sweeps += [base._replace(sockets=sockets) for sockets in point.sockets]
    return list(dict.fromkeys(sweeps))


def common(point: Parameters) -> Place:
    """The point that all sweeps go through."""
    return Place(point.common_kib, point.fds[0], point.sockets[0])


def table(results: dict[str, Outcome], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: median and 95th percentile [ms] by scheme."""
    yield ["p50 / p95 ms   KiB fds sockets", *(_short(name) for name in results)]
    for system in _systems(results):
        for kind in KINDS:
            for place in places(point):
                cells = [
                    " / ".join(
                        f"{o.value(str(place), f'{kind}_{part}', system) / 1000:.3g}"
                        for part in ("p50", "p95")
                    )
                    for o in results.values()
                ]
                what = f"{kind:6} {system:5}{place.heap_kib:>6}{place.fds:>4}{place.sockets:>8}"
                yield [what, *cells]


def conclusions(results: dict[str, Outcome], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from the numbers just found."""
    yield from _who_waits(results, point)
    yield from _two_steps(results, point)
    system = _systems(results)[0]
    base = common(point)
    low, high = (base._replace(heap_kib=f(point.heap_kib)) for f in (min, max))
    if high != low:
        yield from _by_heap(results, low, high, system)
    busiest = base._replace(sockets=max(point.sockets))
    if busiest != base:
        for kind in KINDS:
            parts = [
                f"{_short(name)} {_more(o, kind, base, busiest, system):.2f} ms"
                for name, o in results.items()
            ]
            text = f"what {busiest.sockets - base.sockets} more sockets add to a median {kind}"
            yield f"{text} on {system}: {', '.join(parts)} (winsock_call)", "assumed"


def figures(results: dict[str, Outcome], point: Parameters, system: str, profile: Profile,
            seed: int) -> Iterator[tuple[str, Any]]:  # fmt: skip
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
                f"Median latency, band to the 95th percentile; {_about(base, point, name, 0)}",
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
                    f" {_about(base, point, name, field)}",
                ),
            )  # fmt: skip
        groups = {
            kind: {scheme: _ecdf(o.drawn[f"{name} {kind} {base}"]) for scheme, o in results.items()}
            for kind in KINDS
        }
        yield (
            f"ecdf_{name}",
            plots_panels.panels(
                groups, "latency [ms]", "share of creations [1]",
                f"Distribution of latencies; {_about(base, point, name, None)}",
                plain=True,
            ),
        )  # fmt: skip


def _by_heap(
    results: dict[str, Outcome], low: Place, high: Place, system: str
) -> Iterator[tuple[str, str]]:
    """What a MiB costs, and what share of a creation the sizes are that were really seen."""
    for kind in KINDS:
        parts, shares = [], []
        for name, o in results.items():
            sizes = [o.value(str(p), f"{kind}_heap_bytes", system) for p in (low, high)]
            per_kib = _more(o, kind, low, high, system) * 1024 / (sizes[1] - sizes[0])
            parts.append(f"{_short(name)} {per_kib * 1024:.1f} ms")
            rest = o.value(str(low), f"{kind}_p50", system) / 1000 - per_kib * sizes[0] / 1024
            if rest <= 0 and per_kib <= 0:
                continue  # nothing takes time
            shares.append(
                [per_kib * kib / (rest + per_kib * kib) for *band, _ in SEEN for kib in band]
            )
        between = f"between {low.heap_kib} and {high.heap_kib} KiB"
        text = f"what a MiB of heap adds to a median {kind} on {system}, {between}"
        yield f"{text}: {', '.join(parts)} ({_ASSUMED})", "assumed"
        for i, (*_, word) in enumerate(SEEN if shares else ()):
            least, most = (f(s[2 * i + k] for s in shares) for k, f in ((0, min), (1, max)))
            yield (
                f"of a median {kind} on {system} the sizes {word} are {least:.1%} to {most:.1%}"
                f" (straight line {between}; {_ASSUMED})",
                "assumed",
            )


def _creations(
    place: Place, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication,
) -> list[Creation]:  # fmt: skip
    """The creations of one point, in their order."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, point.processors, PLACES
    )
    start(machine, Program("sh", lambda p: _maker(p, place, point.creations)))
    machine.kernel.engine.run()
    return [r for r in machine.kernel.trace.records if isinstance(r, Creation)]


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
        child = yield from p.fork(_becomes)
        yield from p.waitpid(child)
        child = yield from p.spawn(P_NOWAIT, Program("true", _leaves))
        yield from p.waitpid(child)


def _becomes(p: UserProcess) -> Steps:
    yield from p.exec(Program("true", _leaves))


def _leaves(p: UserProcess) -> Steps:
    yield from p.exit(0)


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


def _who_waits(results: dict[str, Outcome], point: Parameters) -> Iterator[tuple[str, str]]:
    """Whether the caller of each kind waited for its child, over all points."""
    for kind in KINDS:
        shares = {name: _share(o, f"{kind}_waited", kind) for name, o in results.items()}
        all_of = [_short(name) for name, (some, n) in shares.items() if some == n]
        none_of = [_short(name) for name, (some, _) in shares.items() if some == 0]
        rest = [f"{_short(s)} {a} of {n}" for s, (a, n) in shares.items() if 0 < a < n]
        text = [f"every {kind} waits for its child under " + ", ".join(all_of)] if all_of else []
        text += [f"no {kind} waits under " + ", ".join(none_of)] if none_of else []
        text += [f"some {kind}s wait: " + ", ".join(rest)] if rest else []
        yield "; ".join(text), "structural"


def _two_steps(results: dict[str, Outcome], point: Parameters) -> Iterator[tuple[str, str]]:
    """Which points took two steps."""
    for name, o in results.items():
        steps: dict[bool, set[int]] = {False: set(), True: set()}
        for place in places(point):
            for system in _systems(results):
                for kind in KINDS:
                    steps[place.sockets > 0].add(o.value(str(place), f"{kind}_steps", system))
        said = [
            f"{word} a socket open: {_steps(steps[key])}"
            for key, word in ((False, "without"), (True, "with"))
            if steps[key]
        ]
        yield f"{name}, {'; '.join(said)}", "exact"


def _steps(found: set[int]) -> str:
    words = {0: "no section", 1: "a section in one step", 2: "a section in two steps"}
    return " or ".join(words[n] for n in sorted(found))


def _share(o: Outcome, measure: str, kind: str) -> tuple[int, int]:
    some = sum(row.value for row in o.rows if row.measure == measure)  # type: ignore[misc]  # counts
    return some, sum(row.value for row in o.rows if row.measure == f"{kind}_n")  # type: ignore[misc]  # counts


def _more(o: Outcome, kind: str, a: Place, b: Place, system: str) -> float:
    """How much longer the median at `b` is [ms]."""
    took = [float(o.value(str(p), f"{kind}_p50", system)) for p in (a, b)]
    return (took[1] - took[0]) / 1000


def _panels(
    results: dict[str, Outcome], some: list[Place], field: int, system: str
) -> dict[str, dict[str, Any]]:
    from sim.plots_panels import Series

    def line(o: Outcome, kind: str) -> Series:
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


def _about(base: Place, point: Parameters, system: str, swept: int | None) -> str:
    words = (f"heap {base.heap_kib} KiB", f"{base.fds} files", f"{base.sockets} sockets")
    kept = [word for i, word in enumerate(words) if i != swept]
    return f"{system}, {', '.join(kept)}, n={point.creations}"


def _systems(results: dict[str, Outcome]) -> list[str]:
    return list(dict.fromkeys(row.system for o in results.values() for row in o.rows))


def _short(scheme: str) -> str:
    return scheme.replace("shared-memory", "shared")


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
