"""What does a child do for its heap on NT, and what more on 9x: bytes, steps, time, memory?

On NT the section with the copy is mapped where the heap belongs: one view, and the child has it.
On 9x a view cannot lie there, so the child maps the section anywhere, allocates the heap's place,
copies, and unmaps.  The older scheme reads out of the parent, on both systems alike.

Each kind of creation is made once for each size of the heap, and told from the calls: those of the
child in cygheap_fixup_in_child, those of the parent in cygheap_setup_for_child and its clean-up.
Both systems meet the same costs; the machine of 9x's own time is `--profile p3-800-w98`.

In a run with `p3-800-w2000`, seed 1, a fork of 155 KiB of heap under shared-memory: 2 calls and no
byte copied in the child on NT, 6 calls and 158,720 bytes on 9x; two copies of the heap committed at
most on NT, three on 9x.
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
from models.cygwin.section_life import child_of, heap_pages
from models.cygwin.sequence import sequence
from models.win32.cost_profile import Profile
from models.win32.memory import PAGE_BYTES
from models.win32.system import SYSTEMS
from models.win32.thread import Process
from scenarios.one_of_each import one_of_each
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec, each_in_words, systems_in
from sim.engine import Steps
from sim.streams import Replication
from sim.trace import Row

KINDS = ("fork", "exec", "spawn")
_FIXUP = "cygheap_fixup_in_child"
_SETUP, _CLEANUP = "cygheap_setup_for_child", "cygheap_setup_for_child_cleanup"
_SHORT = {
    "MapViewOfFileEx": "map",
    "UnmapViewOfFile": "unmap",
    "VirtualAlloc RESERVE": "reserve",
    "VirtualAlloc COMMIT": "commit",
    "#memcpy": "copy",
    "CloseHandle": "close",
    "CreateFileMapping": "create",
    "ReadProcessMemory": "read",
}


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    heap_kib: sizes of the cygheap when the child is made [KiB] -- input
    processors: of the machine -- input
    """

    heap_kib: tuple[int, ...] = parameter((16, 64, 155, 512, 1024, 4096), "KiB", 16, 4096)
    processors: int = parameter(2, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="nt_vs_9x",
    question=__doc__.splitlines()[0],
    paragraph="systems",
    free_heap=True,
    spawns=True,
    parameters=Parameters(),
    quick=(("heap_kib", (16, 155, 1024)),),
    system="nt+9x",
    limits=(
        "9x is its documented rules about memory and handles; its one call log (five "
        "creations of 1.3.3) is Wine's",
        "both systems meet the same costs of the profile; on 9x nearly all are estimates",
        "address space beyond the heap's place, DLLs and the 16-bit side are left out",
    ),
    headlines=(
        ("kind=fork heap_kib={heap_kib[0]}", "child_us"),
        ("kind=fork heap_kib={heap_kib[0]}", "child_copied_bytes"),
    ),
    narrow=(("heap_kib", (155,)),),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All sizes and kinds of creation under one scheme in one replication."""
    rows: list[Measured] = []
    drawn: dict[str, Any] = {}
    for name in system.split("+"):
        for size in point.heap_kib:
            machine = _machine(point, size, scheme, name, profile, replication)
            for creation in machine.kernel.trace.records:
                if isinstance(creation, Creation):
                    at = _at(creation.kind, size)
                    pages = heap_pages(machine.kernel, creation)
                    drawn[f"{name} {at}"] = [
                        ((t_us - creation.called_us) / 1000, total) for t_us, total in pages
                    ]
                    rows += [
                        m._replace(system=name) for m in _measures(at, machine, creation, pages)
                    ]
    return Outcome(rows, [], drawn)


def places(point: Parameters) -> Iterator[str]:
    """The points of the results; those of one size are one machine."""
    yield from _all(point)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one point at its end, with `watch` looking on. Raises KeyError."""
    sizes = {_at(kind, size): size for kind in KINDS for size in point.heap_kib}
    return _machine(point, sizes[place], scheme, system, profile, replication, watch)


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: one for each scheme, system, kind and size."""
    yield ["scheme", "system", "kind", "n [B]", "calls", "copied", "child us", "parent us", "peak"]
    shown = _shown_size(point)
    for name, o in results.items():
        for system in systems_in(results):
            for kind, size in [("fork", size) for size in point.heap_kib] + [
                (kind, shown) for kind in KINDS[1:]
            ]:
                at = _at(kind, size)
                n, calls, copied, child_us, parent_us = (
                    o.value(at, what, system)
                    for what in ("heap_bytes", "child_calls", "child_copied_bytes", "child_us",
                                 "parent_us")
                )  # fmt: skip
                yield [name.replace("shared-memory", "shared"), system, kind, f"{n}", f"{calls}",
                       f"{copied / n:g} n", f"{child_us:.0f}", f"{parent_us:.0f}",
                       _peak(o, at, system)]  # fmt: skip


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    systems = systems_in(results)
    for name, o in results.items():
        parts = []
        for system in systems:
            steps = _every(o, point, system, "child_steps")
            words = " or ".join(text.replace(" ", ", ") for text in steps)
            parts.append(f"on {system} {words}")
        yield f"{name}, what a child does for its heap: {'; '.join(parts)}", "exact"
        parts = []
        for system in systems:
            bytes_ = [
                (o.value(at, "child_copied_bytes", system) + o.value(at, "parent_copied_bytes",
                 system)) / o.value(at, "heap_bytes", system)
                for at in _all(point)
            ]  # fmt: skip
            peaks = _every(o, point, system, "peak_copies")
            parts.append(
                f"on {system} {_range(bytes_)} n copied, at most {_range(peaks)} copies committed"
            )
        least = [o.value(at, "peak_bytes", systems[0]) / o.value(at, "peak_copies", systems[0])
                 for at in _all(point) if _more_than_used(o, at, systems[0])]  # fmt: skip
        more = f"; a copy commits at least {min(least):,.0f} bytes" if least else ""
        yield f"{name}: {'; '.join(parts)} (n = heap in use{more})", "exact"
    if len(systems) == 2:
        yield from _times(results, point, systems)


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): the child's time over the heap; commit over time; one chart a system."""
    from sim import plots, plots_panels

    sizes = sorted(point.heap_kib)
    panels = {
        f"{kind} on {name}": {
            scheme: plots_panels.Series(
                [float(size) for size in sizes],
                [o.value(_at(kind, size), "child_us", name) / 1000 for size in sizes],
            )
            for scheme, o in results.items()
        }
        for kind in ("fork",)
        for name in system.split("+")
    }
    yield (
        "child_time",
        plots_panels.panels(
            panels, "cygheap in use [KiB]", "time in cygheap_fixup_in_child [ms]",
            "What the child needs for its heap", logarithmic=True,
        ),
    )  # fmt: skip
    size = _shown_size(point)
    several = any(len(r.outcomes) > 1 for r in results.values())
    first = " (first replication)" if several else ""
    for kind in KINDS:
        panels = {
            name: {scheme: _steps_line(o.drawn(f"{name} {_at(kind, size)}")[0])
                   for scheme, o in results.items()}
            for name in system.split("+")
        }  # fmt: skip
        yield (
            f"commit_{kind}",
            plots_panels.panels(
                panels, "after the call [ms]", "committed for copies of the heap [KiB]",
                f"One {kind} with {size} KiB of heap, from the call to the end of both{first}",
                plain=True,
            ),
        )  # fmt: skip
    scheme = list(results)[-1]
    for name in system.split("+"):
        machine = _machine(point, size, scheme, name, profile, Replication(seed, 0))
        fork = next(r for r in machine.kernel.trace.records if isinstance(r, Creation))
        made = sequence(machine.kernel, fork)
        yield (
            f"sequence_{name}",
            plots.sequence_chart(
                made.lanes, made.steps, f"{scheme} on {name}: a fork, {size} KiB of heap",
                made.waits, made.arrows, made.objects, made.brackets,
            ),
        )  # fmt: skip


def _machine(
    point: Parameters, heap_kib: int, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch | None = None,
) -> Machine:  # fmt: skip
    """The machine at its end, after one creation of each kind."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, point.processors, PLACES,
        calls=True,
    )  # fmt: skip
    machine.installation.watch = watch
    start(machine, Program("sh", lambda p: _maker(p, heap_kib)))
    machine.kernel.engine.run()
    return machine


def _maker(p: UserProcess, heap_kib: int) -> Steps:
    """Let the heap have its size; then a fork whose child execs, and a spawn."""
    for _ in range(3):
        p.open("/dev/tty")
    p.fill_heap(heap_kib * 1024)
    yield from one_of_each(p)


def _more_than_used(o: Replicated, at: str, system: str) -> bool:
    """Whether a copy commits more than the pages that are in use."""
    copies, most = (o.value(at, f"peak_{what}", system) for what in ("copies", "bytes"))
    return bool(most / copies >= o.value(at, "heap_bytes", system) + PAGE_BYTES)


def _peak(o: Replicated, at: str, system: str) -> str:
    """What copies of the heap commit at most, as a table has it."""
    if _more_than_used(o, at, system):
        return f"{o.value(at, 'peak_bytes', system) / (1 << 20):g} MiB"
    return f"{o.value(at, 'peak_copies', system):g} n"


def _measures(
    at: str, machine: Machine, creation: Creation, pages: list[tuple[float, int]]
) -> Iterator[Measured]:
    kernel, n = machine.kernel, creation.heap_bytes
    child = child_of(kernel, creation)
    yield Measured(at, "heap_bytes", "bytes", n, 0)
    for side, (calls, us) in (("child", _of_child(machine, child)),
                              ("parent", _of_parent(machine, child))):  # fmt: skip
        copied = sum(row.args["size"] for row in calls if _copies(row))
        yield Measured(at, f"{side}_steps", "", " ".join(map(_word, calls)) or "nothing", 0)
        yield Measured(at, f"{side}_calls", "1", len(calls), 0)
        yield Measured(at, f"{side}_copied_bytes", "bytes", copied, 0)
        yield Measured(at, f"{side}_us", "us", us, 0)
    whole = pages[0][1]
    yield Measured(at, "peak_bytes", "bytes", max(total for _, total in pages), 0)
    yield Measured(at, "peak_copies", "1", max(total for _, total in pages) / whole, 0)


def _of_child(machine: Machine, child: Process) -> tuple[list[Row], float]:
    """What the child called for its heap, and how long that took [us]."""
    return _inside(machine.kernel.trace.rows(pid=child.pid), _FIXUP)


def _of_parent(machine: Machine, child: Process) -> tuple[list[Row], float]:
    """The same of its parent, before CreateProcess and after it."""
    rows = machine.kernel.trace.rows(pid=child.parent_pid)
    made = next(i for i, row in enumerate(rows) if row.args.get("child") is child)
    begins = [i for i in range(made) if (rows[i].name, rows[i].phase) == (_SETUP, "begin")]
    before, before_us = _inside(rows[begins[-1] : made] if begins else [], _SETUP)
    after, after_us = _inside(rows[made:] if begins else [], _CLEANUP)
    return before + after, before_us + after_us


def _inside(rows: list[Row], function: str) -> tuple[list[Row], float]:
    """The calls between the first begin and end of a function, and the time between [us]."""
    calls: list[Row] = []
    begun: Row | None = None
    for row in rows:
        if row.name == function and row.phase == "begin":
            begun = row
        elif begun is not None and row.tid == begun.tid:
            if row.name == function:
                return calls, row.t_us - begun.t_us
            calls.append(row)
    return calls, 0.0


def _copies(row: Row) -> bool:
    return row.name in ("#memcpy", "ReadProcessMemory")


def _word(row: Row) -> str:
    name = f"{row.name} {row.args['type']}" if row.name == "VirtualAlloc" else row.name
    return _SHORT.get(name, name)


def _times(
    results: dict[str, Replicated], point: Parameters, systems: list[str]
) -> Iterator[tuple[str, str]]:
    """How much longer the child needs on the second system."""
    at = _at("fork", _shown_size(point))
    for name, o in results.items():
        means = {f"on {system}": o.mean(at, "child_us", system) for system in systems}
        needs = {where: mean for where, mean in means.items() if mean is not None}
        n = o.value(at, "heap_bytes", systems[0])
        text = f"{name}: for {n:,} bytes of heap a fork child needs"
        costs = "map_view, kernel_call, page_touch, copy_bandwidth"
        yield f"{text} {each_in_words(needs, 1, 'us')} ({costs})", "assumed"
        smaller, larger = (_at("fork", f(point.heap_kib)) for f in (min, max))
        if smaller == larger:
            continue
        for system in systems:
            copied = [o.value(x, "child_copied_bytes", system) for x in (smaller, larger)]
            ends = (o.values(x, "child_us", system) for x in (smaller, larger))
            alike = all(abs(b - a) <= 1e-6 * max(b, 1.0) for a, b in zip(*ends, strict=True))
            if alike and not any(copied):
                text = "the child copies nothing, so its time is the same for every size"
                yield f"{name} on {system}: {text}", "structural"


def _steps_line(pages: list[tuple[float, int]]) -> Any:
    """The course of a quantity that stays until it changes."""
    from sim.plots_panels import Series

    xs, ys = [0.0], [0.0]
    for x, total in pages:
        xs += [x, x]
        ys += [ys[-1], total / 1024]
    return Series(xs[2:], ys[2:])


def _all(point: Parameters) -> list[str]:
    return [_at(kind, size) for kind in KINDS for size in point.heap_kib]


def _every(o: Replicated, point: Parameters, system: str, measure: str) -> list[Any]:
    """The different values of a measure over all points, in the order met."""
    return list(dict.fromkeys(o.value(at, measure, system) for at in _all(point)))


def _range(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _shown_size(point: Parameters) -> int:
    """The size nearest to what a heap of today has."""
    return min(point.heap_kib, key=lambda size: abs(size - 155))


def _at(kind: str, size: int) -> str:
    return f"kind={kind} heap_kib={size}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
