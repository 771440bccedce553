"""What does a child get if another thread of its parent allocates while it is being made?

The document's note: "it is vital that the cygwin heap should not grow during this process.
Currently, there is no guard against this happening so this operation is not thread safe."  Here a
process has a second thread, which sleeps until a moment of the creation and then allocates once in
the cygheap.  The moments are the steps of the whole creation, each between two Win32 calls of the
caller or of the child.  The child looks at its heap, allocates too, and execs.

What is wrong is read off the heap's bytes: blocks that the chain does not reach, a block that the
child is given although its chain has it already, a chain that leads to itself; and what comes of it
is seen on the machine: a crash, or a walk that never ends.  Then the same with each of three guards
(`models/cygwin/schemes/guarded.py`), with what they cost the creation and the other thread.

In a run with `p3-800-w2000`, seed 1: with a socket under shared-memory, growth from the note of the
heap's end to the late copy ends in a walk that never ends, as in golden traces h19 and h20 (on 9x
after a truncated chain, h21); the old blocking scheme has a longer window, to the child's read.
With `--set processors=1` the window of the two steps is closed, because the caller keeps the
processor from the note to the copy (assumed: a thread that wakes up does not get ahead of it).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.cygheap.heap import early
from models.cygwin.installation import Watch
from models.cygwin.machine import Machine
from models.cygwin.programs import PLACES
from models.cygwin.schemes.guarded import NONE, READ, guards_of
from models.win32.cost_profile import Profile
from models.win32.costs import CostDraws
from scenarios.background_machines import failures
from scenarios.creation_ways import KINDS, asked, check_ways, ways_parameter
from scenarios.messages import legend
from scenarios.parameters import check, parameter
from scenarios.race_cases import cases, longest, told_late
from scenarios.race_machines import (
    Ran,
    Setting,
    native_spawn_us,
    reference,
    steps_of_call,
    to_page_end,
)
from scenarios.race_words import (
    NATIVE_SECONDS,
    PAGE_END,
    Map,
    about_columns,
    about_guards,
    about_late,
    about_native,
    about_page_end,
    about_sizes,
    about_windows,
    guard_row,
    key,
    letters,
    longest_wait_ms,
    short,
    spans,
    stretch_rows,
)
from scenarios.spec import Measured, Outcome, Replicated, Spec, systems_in
from sim.streams import Replication

_FEW_STEPS = 3  # with the heap ending with a page -- chosen


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    ways: fork, exec or spawn, or each with a socket open -- input
    bytes_allocated: what the other thread asks for; 100 is served from a free list -- input
    longest: of each creation so many of its longest steps are tried -- input
    processors: of the machine; with three the other thread does not wait for one -- input
    """

    ways: tuple[str, ...] = ways_parameter()
    bytes_allocated: tuple[int, ...] = parameter((100, 20, 5000), "bytes", 0, 1_000_000)
    longest: int = parameter(1000, "1", 1, 1000)
    processors: int = parameter(3, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)
        check_ways(self.ways)


SPEC = Spec(
    name="heap_growth_race",
    question=__doc__.splitlines()[0],
    paragraph="hand-over",
    parameters=Parameters(),
    limits=(
        "a copy, an allocation and a free are each there or not; a read torn by one is left out",
        "one allocation in each creation, between two calls; how often real programs do that is "
        "not asked",
        "outcomes are checked byte for byte against golden traces h19, h20 and h21",
        "what a guard costs rests on assumed costs; no release had one of them",
    ),
    headlines=(("native guard=none", "spawn_us"), ("native guard=read", "spawn_us")),
    quick=(("bytes_allocated", (100, 20)), ("longest", 3)),
    narrow=(("ways", ("spawn",)), ("bytes_allocated", (100,)), ("longest", 1)),
    system="nt+9x",
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """The whole map under one scheme, without and with each guard, in one replication."""
    why = "what can go wrong is told from heaps of 2001"
    era = early(schemes.get(scheme).version.era, why, "growth_window")
    rows: list[Measured] = []
    drawn: dict[str, Any] = {}
    notes: list[str] = []
    for name in system.split("+"):
        setting = _setting(point, scheme, name, profile, replication)
        found = [
            Measured(f"late bytes={n}", "outcome", "", told_late(era, name, n), 0)
            for n in point.bytes_allocated
        ]
        for way in asked(point.ways):
            bare = reference(setting, way, point.bytes_allocated[0])
            if failed := failures(bare.machine):
                notes += [f"{scheme}, {name}, {way}: {line}" for line in failed]
                continue
            for guard in guards_of(scheme):
                one = _map(point, replace(setting, guard=guard), way, bare)
                drawn[key(name, way, guard)] = one
                found += _measures(way, guard, one)
            if (pad := to_page_end(bare.creation.heap_bytes)) is not None:
                one = _at_page_end(point, replace(setting, pad_bytes=pad), way)
                drawn[key(name, way, PAGE_END)] = one
                found += _measures(way, PAGE_END, one)
        for guard in (NONE, READ):
            us = native_spawn_us(replace(setting, guard=guard), NATIVE_SECONDS)
            found.append(Measured(f"native guard={guard}", "spawn_us", "us", us, int(us is None)))
        rows += [row._replace(system=name) for row in found]
    return Outcome(rows, notes, drawn)


def places(point: Parameters) -> Iterator[str]:
    """The machines in which the other thread sleeps on, one for each way."""
    yield from map(_at, asked(point.ways))


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one way at its end, with no growth. Raises KeyError."""
    way = {_at(one): one for one in asked(point.ways)}[place]
    setting = _setting(point, scheme, system, profile, replication)
    return reference(setting, way, point.bytes_allocated[0], watch).machine


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: stretches of steps that are bad; then the guards."""
    known = letters(results)
    yield ["way", "bytes", "from this call on", "steps", "[ms]", "then"]
    for name, o in results.items():
        for system in systems_in(results):
            yield [f"{short(name)}, {system}", "", "", "", "", ""]
            yield from stretch_rows(o, system, known)
    yield [""] * 6
    yield ["guard", "bad/all", "thread waits [ms]", "native", "longer", ""]
    for name, o in results.items():
        for system in systems_in(results):
            yield [f"{short(name)}, {system}", "", "", "", "", ""]
            for guard in guards_of(name):
                yield guard_row(o, system, guard)


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    yield from legend(letters(results))
    yield about_columns(), "exact"
    for name, o in results.items():
        if not any(one.by_bytes[n] for one in o.outcomes[0].drawn.values() for n in one.by_bytes):
            yield f"{name}: no step was tried, for none takes any time or no child came", "assumed"
            continue
        for system in systems_in(results):
            yield from about_windows(name, o, system, point.processors)
            yield from about_page_end(name, o, system)
        yield from about_late(name, o, systems_in(results), point.bytes_allocated)
        yield from about_sizes(name, o)
        yield from about_guards(name, o, guards_of(name))
        yield from about_native(name, o, systems_in(results))
    yield (
        "a copy, an allocation and a free are each there or not: a read that is torn by one, which "
        "the old scheme takes without the lock, is not in these numbers",
        "assumed",
    )


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): moment and size to outcome; how long the other thread waits."""
    from sim import plots
    from sim.plots_lanes import lanes

    for name, o in results.items():
        for one in systems_in(results):
            rows, marks = spans(o, one)
            if rows:
                title = f"{name} on {one}: what growth at that moment comes to"
                yield (
                    f"race_{name}_{one}",
                    lanes(rows, marks, title, "after the call [ms]", "sound"),
                )
    waits = [
        (f"{short(name)}, {guard}", max(longest_wait_ms(o, kind, guard) for kind in KINDS))
        for name, o in results.items()
        for guard in guards_of(name)
    ]
    yield (
        "other_thread_waits",
        plots.plain_bars(
            [text for text, _ in waits], [ms for _, ms in waits],
            "How long the other thread waits at most, by guard", "waits for the heap's lock [ms]",
        ),
    )  # fmt: skip


def _setting(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Setting:
    draws = CostDraws(profile, replication, PLACES)
    return Setting(scheme, NONE, system, profile, replication, point.processors, draws)


def _map(point: Parameters, setting: Setting, way: str, bare: Ran) -> Map:
    """All sizes and moments of one way with one guard; `bare` is the run without either."""
    whole = bare
    if setting.guard != NONE:
        whole = reference(setting, way, point.bytes_allocated[0])
    steps = longest(steps_of_call(bare), point.longest)
    return Map(
        {n: tuple(cases(setting, way, n, steps, whole)) for n in point.bytes_allocated},
        bare.creation.called_us, whole.latency_us,
    )  # fmt: skip


def _at_page_end(point: Parameters, padded: Setting, way: str) -> Map:
    """Without a guard, the heap ending with a page when that is noted; the longest steps only."""
    few = replace(point, longest=min(point.longest, _FEW_STEPS))
    return _map(few, padded, way, reference(padded, way, point.bytes_allocated[0]))


def _measures(way: str, guard: str, one: Map) -> Iterator[Measured]:
    """What is written down of one map."""
    for n, found in one.by_bytes.items():
        for case in found:
            at = f"{_at(way)} guard={guard} bytes={n} step={case.planned.number}"
            after = f"{case.planned.who} {case.planned.call}".strip()
            yield Measured(at, "after", "", after, 0)
            yield Measured(at, "outcome", "", case.outcome, 0)
            yield Measured(at, "sees", "", case.said, 0)
            waited_us = case.waited_us
            yield Measured(at, "waited_us", "us", waited_us, int(waited_us is None))
            never = case.latency_us is None
            yield Measured(at, "latency_us", "us", case.latency_us, int(never))
    at = f"{_at(way)} guard={guard}"
    yield Measured(at, "latency_alone_us", "us", one.alone_us, int(one.alone_us is None))


def _at(way: str) -> str:
    return f"way={way.replace(', ', '-')}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
