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
from models.cygwin.installation import Creation
from models.cygwin.machine import Machine, build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, UserProcess, start
from models.cygwin.protocol import P_NOWAIT
from models.cygwin.section_life import HANDLE, VIEW, Hold, child_of, of_creation
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from models.win32.thread import Process
from scenarios.spec import Measured, Outcome, Spec
from sim.engine import Steps
from sim.streams import Replication

WAYS = ("fork", "fork, socket", "exec", "spawn", "spawn native", "exec native")
_SHORT = {"UnmapViewOfFile": "unmap", "CloseHandle": "close", "end of process": "its end", "": "-"}


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    heap_kib: size of the cygheap [KiB] -- input
    child_ms: how long a Cygwin child works [ms]; native_ms: how long a native one runs -- input
    processors: of the machine -- input
    """

    heap_kib: int = 155
    child_ms: float = 20.0
    native_ms: float = 50.0
    processors: int = 2

    def __post_init__(self) -> None:
        if not 16 <= self.heap_kib <= 4096:
            raise ValueError(f"heap_kib ({self.heap_kib}) must be from 16 to 4096")
        for name in ("child_ms", "native_ms"):
            if not 0 < getattr(self, name) <= 86_400_000:
                raise ValueError(f"{name} ({getattr(self, name):g}) must be above 0, a day at most")
        if not 1 <= self.processors <= 60:
            raise ValueError(f"processors ({self.processors}) must be from 1 to 60")


SPEC = Spec(
    name="who_can_see_it",
    question=__doc__.splitlines()[0],
    parameters=Parameters(),
    schemes=("shared-memory-1.3.3", "shared-memory", "blocking"),
    system="nt+9x",
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


def table(results: dict[str, Outcome], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: one for each handle and view."""
    yield ["scheme", "sys", "way", "who", "handle [ms]", "view [ms]"]
    for scheme, o in results.items():
        short = scheme.replace("shared-memory", "shared")
        for system in _systems(results):
            for way in WAYS:
                holds = o.drawn[f"{system} {way}"]["holds"]
                for who in dict.fromkeys(h[0] for h in holds):
                    cells = [_span(holds, who, what) for what in (HANDLE, VIEW)]
                    yield [short, system, way, who, *cells]
                if not holds:
                    yield [short, system, way, "nobody", "", ""]


def conclusions(results: dict[str, Outcome], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from the numbers just found."""
    for scheme, o in results.items():
        for system in _systems(results):
            if not any(o.drawn[f"{system} {way}"]["holds"] for way in WAYS):
                yield f"{scheme} on {system}: there is no section", "exact"
                continue
            late = [w for w in WAYS if o.value(_at(w), "view_outlasts_start", system)]
            both = [w for w in WAYS if o.value(_at(w), "both_views_us", system) > 0]
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


def figures(results: dict[str, Outcome], point: Parameters, system: str, profile: Profile,
            seed: int) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): the lanes of each scheme on each system."""
    from sim.plots_lanes import Lane, Span, lanes

    for scheme, o in results.items():
        for name in system.split("+"):
            rows: list[Lane] = []
            spans: list[Span] = []
            for way in WAYS:
                found = o.drawn[f"{name} {way}"]
                for who, (began, ended) in found["lives"].items():
                    rows.append(Lane(who, max(began, 0.0), ended, way))
                    spans += [
                        Span(len(rows) - 1, what, since, until)
                        for holder, what, since, until, _ in found["holds"]
                        if holder == who
                    ]
            title = f"{scheme} on {name}: who holds the section with the heap"
            yield (
                f"lanes_{scheme}_{name}",
                lanes(rows, spans, title, "after the call [ms]", "the process exists"),
            )


def _machine(
    point: Parameters, way: str, scheme: str, system: str, profile: Profile,
    replication: Replication,
) -> Machine:  # fmt: skip
    """The machine at its end."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, point.processors, PLACES,
        calls=True,
    )  # fmt: skip
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


def _at_main(o: Outcome, system: str) -> str:
    """Who has what when the child reaches main() or its entry; ways that are alike together."""
    ways: dict[str, list[str]] = {}
    for way in WAYS:
        handle, view = (o.value(_at(way), f"{what}_at_main", system) for what in (HANDLE, VIEW))
        ways.setdefault(f"view {view}, handle {handle}", []).append(way)
    return "; ".join(f"{answer} ({', '.join(some)})" for answer, some in ways.items())


def _native(o: Outcome, scheme: str, system: str) -> Iterator[tuple[str, str]]:
    """What a child without Cygwin does with what it inherited."""
    for way in WAYS:
        if not way.endswith("native"):
            continue
        held, life = (o.value(_at(way), m, system) for m in ("child_handle_us", "child_life_us"))
        n = o.value(_at(way), "heap_bytes", system)
        if held is None or life is None:
            text = "as long as the run lasts"
        else:
            whole = abs(held - life) < 1e-6 * life
            text = "all of its life" if whole else f"{held / life:.0%} of its life"
        yield (
            f"{scheme} on {system}, {way}: the child keeps its handle {text}, and with it {n:,}"
            " bytes stay committed",
            "structural",
        )


def _span(holds: list[Any], who: str, what: str) -> str:
    """From when to when, and what ended it."""
    for holder, kind, since, until, by in holds:
        if (holder, kind) == (who, what):
            end = "" if until is None else f"{until:.2f}"
            return f"{since:.2f}-{end} {by}"
    return "none"


def _at(way: str) -> str:
    return f"way={way.replace(', ', '-').replace(' ', '-')}"


def _systems(results: dict[str, Outcome]) -> list[str]:
    return list(dict.fromkeys(row.system for o in results.values() for row in o.rows))


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
