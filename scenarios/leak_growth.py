"""How does the cygheap grow over a chain of execs, with and without tags, in each era?

The heap is followed over 600 execs: argument sets that never change and such that do, tagged as
the document tells it and untagged (the child of an old application frees its environment itself),
in the layouts A (before 1.3.3), C (one day of September 2001), R (1.3.3) and B (1.3.4), and with
`--scheme child-copy` M (3.6, 64-bit), of which short_strings tells more.  Then what
an image frees *before* its exec: era A keeps the heads of the free lists outside the heap, so that
whatever is free at the exec is lost.  One change at a time shows what ended it: the heads in the
heap, and the walk mended.  Then whole simulated processes that open and close a file, and how long
the chains of recorded workloads are.

Seen on the real code: 2,056 bytes an exec in 1.3.2, 80 in 1.1.8, none in 1.3.3 (CYGWIN.md §i).
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
from models.cygwin.cygheap.heap_layout import HeapLayout
from models.cygwin.descent import execs_behind
from models.cygwin.descriptors import CONSOLE
from models.cygwin.exec_chain import (
    SHAPES,
    TAGGED,
    TAGS,
    UNTAGGED,
    Lost,
    constant_arguments,
    execs_until_full,
    lost_blocks,
)
from models.cygwin.images import cygwin_image
from models.cygwin.installation import Creation, Watch
from models.cygwin.kept_workloads import workload_of
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.startup import entry
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from scenarios.leak_chains import (
    FREES,
    HEADS_MOVED,
    SHOWN,
    VARIANTS,
    WALK_MENDED,
    at_exec,
    at_freed,
    grown,
    growth,
    lost,
    lost_rows,
)
from scenarios.leak_words import (
    about_frees,
    about_tags,
    bars,
    label,
    loss,
    lost_words,
    series,
    sizes,
)
from scenarios.parameters import check, named, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from scenarios.trace_files import A_TRACE, RECORDED, trace_digests, trace_file
from sim.engine import Steps
from sim.streams import Replication

REAL = {"blocking": 2056, "shared-memory-1.3.3": 0, "shared-memory": 0}  # an exec, CYGWIN.md §i
REAL_1_1_8 = 80  # the same in 1.1.8, which has era A's heap too
_WHOLE = "whole=file"
_NEVER_WERE = (HEADS_MOVED, WALK_MENDED)


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    execs: how long the chains of the heap alone are -- input
    images: how many whole processes follow each other -- input
    traces: recorded workloads, by name or path, whose chains are counted -- input
    """

    execs: int = parameter(600, "1", 36, 1000)
    images: int = parameter(40, "1", 8, 200)
    traces: tuple[str, ...] = named(RECORDED, A_TRACE)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="leak_growth",
    question=__doc__.splitlines()[0],
    paragraph="arguments",
    parameters=Parameters(),
    quick=(("execs", 120), ("images", 12)),
    narrow=(("execs", 120), ("images", 8), ("traces", ("mini-pipeline.ptrec",))),
    limits=(
        "heaps of eras A, B and C are checked byte for byte against golden traces, R against "
        "call logs of 1.3.3",
        "what an image allocates besides argv, environment and descriptors is left out",
        "sizes of the argument sets are those of recorded workloads of today, or chosen",
        "the eras' 32-bit heaps; Cygwin 3.6 is in short_strings",
    ),
    headlines=((_WHOLE, "growth_bytes_per_exec"), (_WHOLE, "cygheap_bytes")),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """The heaps that go with one scheme, its whole processes, and the recorded chains."""
    rows: list[Measured] = []
    for era in _eras(scheme):
        if era not in _NEVER_WERE:
            for tag in TAGS:
                for shape in SHAPES:
                    rows += grown(era, tag, shape, point.execs)
        for freed in FREES:
            rows += lost(era, freed, point.execs)
    rows += _whole(point, scheme, system, profile, replication)
    rows += _recorded(point)
    return Outcome(rows, [])


def places(point: Parameters) -> Iterator[str]:
    """The points of the results that are a machine."""
    yield _WHOLE


def inputs(point: Parameters) -> dict[str, str]:
    """Digest of each recorded workload that is read, for the manifest."""
    return trace_digests(point.traces)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of the whole processes at its end, with `watch` looking on."""
    return _machine(point, scheme, system, profile, replication, watch)[0]


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): tagged chains, untagged chains, and what is lost by what was freed."""
    from sim import plots

    eras = [(o, era) for name, o in results.items() for era in _eras(name)]
    eras = [(o, era) for o, era in eras if era not in _NEVER_WERE]
    names = {era.name for _, era in eras}
    drawn = [(o, era) for o, era in eras if era.name != "R" or "B" not in names]
    title = "Heap over a chain of execs, {}" + ("; R runs as B" if len(drawn) < len(eras) else "")
    for tag, stem in ((TAGGED, "tagged"), (UNTAGGED, "untagged")):
        found = {
            label(o, era, tag, shape): series(o, at_exec(era.name, tag, shape))
            for o, era in drawn
            for shape in SHAPES
        }
        axes = ("execs in a chain [1]", "heap in use [KiB]")
        yield stem, plots.lines(found, *axes, title.format(stem))
    shown = [bar for o, era in eras for bar in bars(o, era)]
    yield (
        "freed_before_exec",
        plots.plain_bars(
            [text for text, _ in shown],
            [value for _, value in shown],
            "Growth by one exec, by what is freed before",
            "growth by one exec [bytes]",
        ),
    )


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Sizes after execs; then what is lost by what was freed; then whole processes and chains."""
    last = str(point.execs)
    yield ["cygheap_max [bytes], exec", *map(str, SHOWN), last, "per exec"]
    for name, outcome in results.items():
        for era in _eras(name):
            if era in _NEVER_WERE:
                continue
            for tag in TAGS:
                for shape in SHAPES:
                    yield sizes(outcome, era, tag, shape, point.execs)
    eras = [(o, era) for name, o in results.items() for era in _eras(name)]
    for i in range(0, len(eras), 6):
        part = eras[i : i + 6]
        pad = [""] * (6 - len(part))
        yield [""] * 7
        yield ["lost an exec, image frees", *(era.name for _, era in part), *pad]
        for freed, text in FREES.items():
            yield [f"  {text}", *(loss(o, era, freed) for o, era in part), *pad]
    yield [""] * 7
    for name, outcome in results.items():
        real = f"{REAL[name]:,}" if name in REAL else "?"
        cells = [f"{outcome.value(_WHOLE, 'growth_bytes_per_exec'):,.0f}", "real", real]
        yield [name[:25], "", "", "", *cells]
    outcome = next(iter(results.values()))
    for trace in point.traces:
        at = _at_trace(trace)
        found = [outcome.value(at, f"execs_in_line_{m}") for m in ("median", "max")]
        yield [
            f"in line: {Path(trace).name}"[:25],
            "",
            "",
            "median",
            str(found[0]),
            "most",
            str(found[1]),
        ]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications; nothing here is drawn."""
    for name, outcome in results.items():
        for era in _eras(name):
            if era not in _NEVER_WERE:
                yield from about_tags(outcome, era)
    for name, outcome in results.items():
        for era in _eras(name):
            yield about_frees(outcome, era), "exact"
        yield _about_whole(name, outcome), "exact"
    for name, outcome in results.items():
        yield _about_recorded(name, outcome, point), "exact"
    if "blocking" in results:
        late = results["blocking"].value(at_freed("A", "late-strings"), "growth_bytes_per_exec")
        same = "as much as" if late == REAL_1_1_8 else "not what"
        yield (
            f"(*) two strings freed after the argument set was laid out cost {late:,.0f} bytes an "
            f"exec, {same} 1.1.8 lost ({REAL_1_1_8}); what 1.1.8 freed there is not in its log",
            "assumed",
        )


# ---- the measures of whole processes and of recorded ones --------------------------------------


def _eras(scheme: str) -> tuple[HeapLayout, ...]:
    """The heaps followed with a scheme, its own first."""
    return (schemes.get(scheme).version.era, *VARIANTS.get(scheme, ()))


def _whole(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> list[Measured]:
    machine, found = _machine(point, scheme, system, profile, replication)
    records = machine.kernel.trace.records
    tops = [r.heap_bytes for r in records if isinstance(r, Creation) and r.kind == "exec"]
    return [
        Measured(_WHOLE, "growth_bytes_per_exec", "bytes", growth(tops), 0),
        Measured(_WHOLE, "completed_execs", "1", len(tops), 0),
        Measured(_WHOLE, "cygheap_bytes", "bytes", tops[-1], 0),
        *lost_rows(_WHOLE, found),
    ]


def _machine(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication,
    watch: Watch | None = None,
) -> tuple[Machine, list[Lost]]:  # fmt: skip
    """Images that each open a file, close it and exec the next; what the last one finds lost."""
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, 1, point.images)
    machine.installation.watch = watch
    found: list[Lost] = []

    def image(p: CygwinProcess, left: int) -> Steps:
        if left == point.images:
            for fd in range(3):
                p.open(fd, CONSOLE)
        if not left:
            found.extend(lost_blocks(p.heap))
            return
        p.open(3)
        yield from p.close(3)
        place = point.images - left
        p.me.costs = machine.draws.at(place)
        program = entry(machine.installation, lambda q: image(q, left - 1))
        following = cygwin_image(machine.installation.version, "sh", program)
        creation = Creation(place, "exec", 1, "sh", child=1)
        yield from p.execute(following, constant_arguments(0), creation)

    machine.start("sh", lambda p: image(p, point.images))
    machine.kernel.engine.run()
    return machine, found


def _at_trace(name: str) -> str:
    return f"trace={Path(name).name}"


def _recorded(point: Parameters) -> list[Measured]:
    """How many execs lie behind each image of the recorded workloads."""
    rows = []
    for name in point.traces:
        behind = sorted(execs_behind(workload_of(trace_file(name))))
        at = _at_trace(name)
        rows.append(Measured(at, "execs", "1", len(behind), 0))
        rows.append(Measured(at, "execs_in_line_median", "1", behind[len(behind) // 2], 0))
        rows.append(Measured(at, "execs_in_line_max", "1", behind[-1], 0))
    return rows


# ---- words for them ----------------------------------------------------------------------------


def _about_whole(name: str, outcome: Replicated) -> str:
    by_one = outcome.value(_WHOLE, "growth_bytes_per_exec")
    blocks = "; ".join(lost_words(outcome, _WHOLE)) or "no block"
    real = f"; shells on the real code lost {REAL[name]:,}" if name in REAL else ""
    return (
        f"{name}: whole processes that open and close a file grow by {by_one:,.0f} bytes an "
        f"exec{real}; lost: {blocks}"
    )


def _about_recorded(name: str, outcome: Replicated, point: Parameters) -> str:
    """What the losses come to in the longest recorded line."""
    longest = max(outcome.value(_at_trace(t), "execs_in_line_max") for t in point.traces)
    era = _eras(name)[0]
    at = at_exec(era.name, UNTAGGED, "constant")
    untagged = outcome.value(at, "growth_bytes_per_exec") * longest
    by_one = outcome.value(_WHOLE, "growth_bytes_per_exec")
    full = execs_until_full(era, outcome.value(_WHOLE, "cygheap_bytes"), round(by_one))
    ends = "it never fills" if full is None else f"it is full after {full:,} more execs"
    kills = full is not None and full < longest
    return (
        f"{name}: the longest recorded line has {longest} execs, untagged that is "
        f"{untagged / 1024:,.1f} KiB of dead arguments, {100 * untagged / era.reserve_bytes:.2f} % "
        f"of the reserve; images that close a file lose {by_one * longest / 1024:,.1f} KiB "
        f"there; {ends}: {'it kills' if kills else 'the leak is copied along, it does not kill'}"
    )


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
