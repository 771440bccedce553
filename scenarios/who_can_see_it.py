"""Who has a handle or a view of the section with the heap, from when until when?

One child is made by each way: a fork, a fork with a socket open, an exec, a spawn, and a spawn and
an exec of a program that is not linked with Cygwin.  All handles and views of the section are told
from the calls of the run.

The document says that the only process with a view to the shared memory is the child.  That is so
once the parent has cleaned up; what comes before, and what a child without Cygwin keeps, is seen
here.

In a run with `p3-800-w2000`, seed 1, under 1.3.4 a fork's parent has its view until 4 us after the
child may run, under 1.3.3 until 4.3 ms before; a native child that runs for 50 ms has its handle
for all of the 53.6 ms that it exists.
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
from models.cygwin.protocol import P_NOWAIT
from models.cygwin.section_life import HANDLE, VIEW, Hold, child_of, of_creation
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from models.win32.thread import Process
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec, in_words, systems_in
from sim.engine import Steps
from sim.estimators import mean_interval
from sim.streams import Replication

WAYS = ("fork", "fork, socket", "exec", "spawn", "spawn native", "exec native")
_SHORT = {"UnmapViewOfFile": "unmap", "CloseHandle": "close", "end of process": "end", "": "-"}


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    heap_kib: size of the cygheap [KiB] -- input
    child_ms: how long a Cygwin child works [ms]; native_ms: how long a native one runs -- input
    processors: of the machine -- input
    """

    heap_kib: int = parameter(155, "KiB", 16, 4096)
    child_ms: float = parameter(20.0, "ms", 0, 86_400_000, above=True)
    native_ms: float = parameter(50.0, "ms", 0, 86_400_000, above=True)
    processors: int = parameter(2, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="who_can_see_it",
    question=__doc__.splitlines()[0],
    paragraph="hand-over",
    parameters=Parameters(),
    schemes=("shared-memory-1.3.3", "shared-memory", "blocking"),
    system="nt+9x",
    limits=(
        "how long a view lasts rests on assumed costs; who has it, and in which order, on the "
        "calls alone",
        "order and flags of the calls are checked against call logs of 1.3.2, 1.3.3 and 1.3.19",
        "one creation of each kind, on an idle machine",
    ),
    headlines=(
        ("way=fork", "caller_handle_us"),
        ("way=fork", "both_views_us"),
        ("way=fork", "child_life_us"),
    ),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All ways under one scheme in one replication."""
    rows: list[Measured] = []
    drawn: dict[str, Any] = {}
    for name in system.split("+"):
        for way in WAYS:
            machine = _machine(point, way, scheme, name, profile, replication)
            creation = _watched(machine, way)
            found = _found(machine, creation)
            drawn[f"{name} {way}"] = found
            rows += [m._replace(system=name) for m in _measures(way, machine, creation, found)]
    return Outcome(rows, [], drawn)


def places(point: Parameters) -> Iterator[str]:
    """The points of the results, each a machine of its own."""
    yield from map(_at, WAYS)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one way at its end, with `watch` looking on. Raises KeyError."""
    way = {_at(one): one for one in WAYS}[place]
    return _machine(point, way, scheme, system, profile, replication, watch)


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: one for each handle and view."""
    yield ["scheme", "sys", "way", "who", "handle [ms]", "view [ms]"]
    for scheme, o in results.items():
        short = scheme.replace("shared-memory", "shared")
        for system in systems_in(results):
            for way in WAYS:
                runs = _holds(o, system, way)
                holders = dict.fromkeys(h[0] for holds in runs for h in holds)
                for who in holders:
                    cells = [_span(runs, who, what) for what in (HANDLE, VIEW)]
                    yield [short, system, way, who, *cells]
                if not holders:
                    yield [short, system, way, "nobody", "", ""]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    for scheme, o in results.items():
        for system in systems_in(results):
            if not any(holds for way in WAYS for holds in _holds(o, system, way)):
                yield f"{scheme} on {system}: there is no section", "exact"
                continue
            late = _where(o, "view_outlasts_start", system)
            both = _where(o, "both_views_us", system)
            text = (
                f"the caller still has its view when the child may run: {', '.join(late)}"
                if late else "no view of the caller's is left when the child may run"
            )  # fmt: skip
            yield f"{scheme} on {system}: {text}", "structural"
            text = f"both have one at once: {', '.join(both)}" if both else "never both at once"
            text += " (create_process, loader, cygwin_init)"
            yield f"{scheme} on {system}, a view in caller and child: {text}", "assumed"
            yield f"{scheme} on {system}, at main(): {_at_main(o, system)}", "exact"
            yield from _native(o, scheme, system)


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): the lanes of each scheme on each system."""
    from sim.plots_lanes import Lane, Span, lanes

    for scheme, o in results.items():
        for name in system.split("+"):
            rows: list[Lane] = []
            spans: list[Span] = []
            for way in WAYS:
                found = o.drawn(f"{name} {way}")[0]
                for who, (began, ended) in found["lives"].items():
                    rows.append(Lane(who, max(began, 0.0), ended, way))
                    spans += [
                        Span(len(rows) - 1, what, since, until)
                        for holder, what, since, until, _ in found["holds"]
                        if holder == who
                    ]
            title = f"{scheme} on {name}: who holds the section with the heap"
            if len(o.outcomes) > 1:
                title += " (first replication)"
            yield (
                f"lanes_{scheme}_{name}",
                lanes(rows, spans, title, "after the call [ms]", "the process exists"),
            )


def _machine(
    point: Parameters, way: str, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch | None = None,
) -> Machine:  # fmt: skip
    """The machine at its end."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, point.processors, PLACES,
        calls=True,
    )  # fmt: skip
    machine.installation.watch = watch
    start(machine, Program("sh", lambda p: _maker(p, point, way)))
    machine.kernel.engine.run()
    return machine


def _maker(p: UserProcess, point: Parameters, way: str) -> Steps:
    """Make the child that `way` says, and wait for it."""
    new = Program.native("native", point.native_ms / 1000)
    if not way.endswith("native"):
        new = Program("new", lambda q: _works(q, point))
    for _ in range(3):
        p.open("/dev/tty")
    if way.endswith("socket"):
        p.socket()
    p.fill_heap(point.heap_kib * 1024)
    if way.startswith("spawn"):
        child = yield from p.spawn(P_NOWAIT, new)
    elif way.startswith("exec"):
        child = yield from p.fork(lambda q: _becomes(q, new))
    else:
        child = yield from p.fork(lambda q: _works(q, point))
    yield from p.waitpid(child)


def _works(p: UserProcess, point: Parameters) -> Steps:
    yield from p.work(point.child_ms * 1000)


def _becomes(p: UserProcess, new: Program) -> Steps:
    yield from p.exec(new)


def _watched(machine: Machine, way: str) -> Creation:
    """The creation that a way is about."""
    kind = way.split(",")[0].split()[0]
    return next(
        r for r in machine.kernel.trace.records if isinstance(r, Creation) and r.kind == kind
    )


def _found(machine: Machine, creation: Creation) -> dict[str, Any]:
    """Lives and holds of caller and child, in ms after the call; others by their program's name."""
    child = child_of(machine.kernel, creation)
    parent = machine.kernel.processes[child.parent_pid]
    zero = creation.called_us

    def ms(t_us: float | None) -> float | None:
        return None if t_us is None else (t_us - zero) / 1000

    def who(process: Process) -> str:
        names = {parent.pid: "caller", child.pid: "child"}
        return names.get(process.pid, process.image.name)

    holds = of_creation(machine.kernel, creation)
    return {
        "lives": {who(p): (ms(p.created_us), ms(p.ended_us)) for p in (parent, child)},
        "holds": [
            (who(h.process), h.what, ms(h.from_us), ms(h.until_us), _SHORT[h.ended_by])
            for h in holds
        ],
        "start": _view_and_start(machine, holds, child),
        "both_us": _both_us(holds, parent, child),
    }


def _view_and_start(machine: Machine, holds: list[Hold], child: Process) -> tuple[bool, float]:
    """Whether the caller unmaps its view after the call by which the child may run; by how much.

    Both calls are of one thread, so their order is the program's and no matter of time.
    """
    rows = machine.kernel.trace.rows(pid=child.parent_pid)
    started = unmapped = -1
    views = {h.number for h in holds if h.what == VIEW and h.process.pid == child.parent_pid}
    for i, row in enumerate(rows):
        made = row.name == "CreateProcess" and row.args.get("child") is child
        if made or (row.name == "ResumeThread" and row.args["h"] is child.threads[0]):
            started = i
        if row.name == "UnmapViewOfFile" and row.args["addr"] in views and unmapped < 0:
            unmapped = i
    if unmapped < started:
        return False, 0.0
    return True, rows[unmapped].t_us - rows[started].t_us


def _both_us(holds: list[Hold], parent: Process, child: Process) -> float:
    """How long caller and child both have a view [us]."""
    views = {h.process.pid: h for h in holds if h.what == VIEW}
    mine, its = views.get(parent.pid), views.get(child.pid)
    if mine is None or mine.until_us is None or its is None:
        return 0.0
    return max(0.0, mine.until_us - its.from_us)


def _measures(
    way: str, machine: Machine, creation: Creation, found: dict[str, Any]
) -> Iterator[Measured]:
    at = _at(way)
    outlasts, by_us = found["start"]
    yield Measured(at, "view_outlasts_start", "1", int(outlasts), 0)
    yield Measured(at, "view_after_start_us", "us", by_us, 0)
    yield Measured(at, "both_views_us", "us", found["both_us"], 0)
    yield Measured(at, "section_steps", "1", creation.section_steps, 0)
    yield Measured(at, "heap_bytes", "bytes", creation.heap_bytes, 0)
    main_ms = ((creation.main_us or 0.0) - creation.called_us) / 1000
    for what in (HANDLE, VIEW):
        mine = [h for h in found["holds"] if h[1] == what]
        there = [h for h in mine if h[2] <= main_ms and (h[3] is None or h[3] > main_ms)]
        names = "+".join(dict.fromkeys(h[0] for h in there)) or "nobody"
        yield Measured(at, f"{what}_at_main", "", names, 0)
        for who in ("caller", "child"):
            held = [h for h in mine if h[0] == who]
            never = any(h[3] is None for h in held)
            us = None if never else 1000 * sum(h[3] - h[2] for h in held)
            yield Measured(at, f"{who}_{what}_us", "us", us, int(never))
    child = child_of(machine.kernel, creation)
    life = None if child.ended_us is None else child.ended_us - child.created_us
    yield Measured(at, "child_life_us", "us", life, int(life is None))


def _at_main(o: Replicated, system: str) -> str:
    """Who has what when the child reaches main() or its entry; ways that are alike together."""
    ways: dict[str, list[str]] = {}
    for way in WAYS:
        handle, view = (o.value(_at(way), f"{what}_at_main", system) for what in (HANDLE, VIEW))
        ways.setdefault(f"view {view}, handle {handle}", []).append(way)
    return "; ".join(f"{answer} ({', '.join(some)})" for answer, some in ways.items())


def _native(o: Replicated, scheme: str, system: str) -> Iterator[tuple[str, str]]:
    """What a child without Cygwin does with what it inherited."""
    for way in WAYS:
        if not way.endswith("native"):
            continue
        spans = (o.values(_at(way), m, system) for m in ("child_handle_us", "child_life_us"))
        shares = [None if None in pair else pair[0] / pair[1] for pair in zip(*spans, strict=True)]
        n = o.value(_at(way), "heap_bytes", system)
        known = [share for share in shares if share is not None]
        if len(known) < len(shares):
            text = "as long as the run lasts"
        elif all(abs(share - 1) < 1e-6 for share in known):
            text = "all of its life"
        else:
            text = f"{in_words(mean_interval(known), 100, '%')} of its life"
        yield (
            f"{scheme} on {system}, {way}: the child keeps its handle {text}, and with it {n:,}"
            " bytes stay committed",
            "structural",
        )


def _holds(o: Replicated, system: str, way: str) -> list[list[Any]]:
    """The holds of each replication: (who, what, since, until, what ended it)."""
    return [found["holds"] for found in o.drawn(f"{system} {way}")]


def _where(o: Replicated, measure: str, system: str) -> list[str]:
    """The ways in which a measure is above 0, with in how many replications if not in all."""
    words = []
    for way in WAYS:
        values = o.values(_at(way), measure, system)
        often = sum(value > 0 for value in values)
        if often:
            part = "" if often == len(values) else f" (in {often} of {len(values)} replications)"
            words.append(f"{way}{part}")
    return words


def _span(runs: list[list[Any]], who: str, what: str) -> str:
    """From when to when on average, and what ended it."""
    firsts = (next((h for h in holds if h[:2] == (who, what)), None) for holds in runs)
    found = [hold for hold in firsts if hold is not None]
    if not found:
        return "none"
    ends = [until for _, _, _, until, _ in found if until is not None]
    end = _ms(sum(ends) / len(ends)) if len(ends) == len(found) else ""
    by = "/".join(dict.fromkeys(hold[4] for hold in found))
    return f"{_ms(sum(hold[2] for hold in found) / len(found))}-{end} {by}"


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.0f}"


def _at(way: str) -> str:
    return f"way={way.replace(', ', '-').replace(' ', '-')}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
