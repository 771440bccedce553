"""After how many execs does a shell of 2001-09-06 die, of which arguments, and what lies there?

For fourteen and a half hours Cygwin's tree had the heads of the free lists in the heap, so that an
exec'ed child inherits them, and the old walk, which takes the last block of a list (its link is 0)
for one in use with bucket 0 and frees it once more.  Followed are

* chains of execs of the heap alone: sets that never change, the recorded ones of the golden traces
  h07, h10 and h11, sets that grow, and sets that differ by chance;
* one shell that forks and execs command after command, where the line never gets longer;
* whole processes, and recorded workloads, as they would have run that day.

The same under the walk of 1.3.3, which skips a link of 0.  Source: CYGWIN.md §0 (C), §b2, §b3.
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
from models.cygwin.cygheap.heap import early
from models.cygwin.cygheap.layout import Era
from models.cygwin.installation import Watch
from models.cygwin.machine import Machine
from models.win32.cost_profile import Profile
from scenarios.free_list_chains import DRAWN, SHAPES, Course, commands, faults, followed
from scenarios.free_list_machines import recorded, shell
from scenarios.free_list_words import (
    WHOLE,
    at_drawn,
    at_shape,
    at_trace,
    deaths_by_exec,
    rows_of_scheme,
    sentences,
    survival,
)
from scenarios.parameters import check, named, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from scenarios.trace_files import A_TRACE, RECORDED, trace_digests, trace_file
from sim.streams import Replication

COMMANDS = 200  # that one shell runs one after the other -- chosen


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    execs: how long a chain is at most -- input
    chains: how many are drawn of each kind that differs by chance -- input
    images: how many execs the child of the whole shell is to make -- input
    traces: recorded workloads, by name or path, that are run as of that day -- input
    """

    execs: int = parameter(120, "1", 30, 600)
    chains: int = parameter(60, "1", 1, 1000)
    images: int = parameter(30, "1", 1, 200)
    traces: tuple[str, ...] = named(RECORDED, A_TRACE)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="free_list_bug",
    question=__doc__.splitlines()[0],
    paragraph="arguments",
    parameters=Parameters(),
    limits=(
        "the tree of one day; no call log of a DLL of that day was found",
        "chains h07, h10 and h11 are those of golden traces, byte for byte; other sets are chosen "
        "or drawn",
        "what a program writes into a string that it shares with another is left out",
    ),
    quick=(("execs", 40), ("chains", 10), ("traces", RECORDED[:1])),
    headlines=(("strings=varying", "dies_at_exec"), ("drawn=arguments-8", "died")),
    narrow=(("execs", 40), ("chains", 2), ("images", 20), ("traces", ("mini-pipeline.ptrec",))),
    schemes=("2001-09-06", "shared-memory-1.3.3"),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All chains of the heap that goes with a scheme, its whole shell, the recorded workloads."""
    era = early(schemes.get(scheme).version.era)
    rows, lists = _named_chains(point, era)
    rows += _drawn_chains(point, era, replication)
    _, seen = shell(scheme, system, profile, replication, point.images)
    rows.append(Measured(WHOLE, "completed_execs", "1", seen.execs, 0))
    rows.append(Measured(WHOLE, "exit_code", "1", seen.code, 0))
    rows.append(Measured(WHOLE, "message", "", seen.message or "none", 0))
    for name in point.traces:
        rows += _recorded(name, scheme, system, profile, replication)
    return Outcome(rows, [], {"lists": lists})


def places(point: Parameters) -> Iterator[str]:
    """The points of the results that are a machine."""
    yield WHOLE


def inputs(point: Parameters) -> dict[str, str]:
    """Digest of each recorded workload that is run, for the manifest."""
    return trace_digests(point.traces)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of the whole shell at its end, with `watch` looking on."""
    return shell(scheme, system, profile, replication, point.images, watch)[0]


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): the free lists up to the death, and who lives how long."""
    from sim import plots

    for name, r in results.items():
        lists = r.drawn("lists")[0]
        xs = list(map(float, range(1, 1 + max(map(len, lists.values())))))
        dead = r.value(at_shape("varying"), "dies_at_exec")
        bad = r.value(at_shape("varying"), "lists_damaged_at_exec")
        end = f"bad from exec {bad} on, dies at {dead}" if dead else f"lives {len(xs)} execs"
        yield (
            f"free_lists_{name}",
            plots.lines(
                {label: (xs, ys) for label, ys in lists.items()},
                "execs in the chain [1]",
                "blocks met on the way [1]",
                f"Free lists, {name}, commands in turn (h10): {end}",
            ),
        )
    yield "survival", survival(results, point.execs)


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: each chain under each scheme, then the workloads."""
    yield ["strings of each exec", "lists bad", "string wrong", "dies at", "address"]
    for name, r in results.items():
        yield [f"under {name}", "", "", "", ""]
        yield from rows_of_scheme(r, point.chains)
    yield [""] * 5
    yield ["recorded workload", "processes", "died", "first at", "median at"]
    for name, r in results.items():
        yield [f"under {name}", "", "", "", ""]
        for trace in point.traces:
            yield [f"  {Path(trace).name}", *deaths_by_exec(r, at_trace(trace))]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications; only DRAWN differs between them."""
    yield from sentences(results, point.execs, point.chains, point.traces)


# ---- the measures --------------------------------------------------------------------------------


def _named_chains(point: Parameters, era: Era) -> tuple[list[Measured], dict[str, list[float]]]:
    """The chains whose sets are known, and the lengths of three lists of golden h10's."""
    rows: list[Measured] = []
    lists: dict[str, list[float]] = {}
    for name, (shape, _) in SHAPES.items():
        course = followed(era, shape, point.execs)
        rows += _rows(at_shape(name), course)
        rows.append(Measured(at_shape(name), "dies_of_string", "", course.request or "none", 0))
        alive = commands(era, shape, COMMANDS)
        rows.append(Measured(at_shape(name), "commands_of_one_shell", "1", alive, 0))
        if name == "varying":
            lists = {
                f"list {b}, {2**b} bytes" if b else "list 0": [
                    float(seen.lengths.get(b, 0)) for seen in course.lists
                ]
                for b in (0, 5, 6, 7)
            }
    return rows, lists


def _rows(at: str, course: Course) -> list[Measured]:
    return [
        Measured(at, "completed_execs", "1", course.execs, 0),
        Measured(at, "dies_at_exec", "1", course.dies_at, int(course.dies_at is None)),
        Measured(at, "fault_address", "1", course.fault, 0),
        Measured(at, "lists_damaged_at_exec", "1", course.damaged_at, 0),
        Measured(at, "list_loops_at_exec", "1", course.loop_at, 0),
        Measured(at, "list_of_mixed_sizes_at_exec", "1", course.mixed_at, 0),
        Measured(at, "string_wrong_at_exec", "1", course.wrong_at, 0),
    ]


def _drawn_chains(point: Parameters, era: Era, replication: Replication) -> list[Measured]:
    """Of each kind that differs by chance: how many died by which exec, and of what."""
    rows: list[Measured] = []
    for name, kind in DRAWN.items():
        draw = replication.stream(f"scenarios/free lists {name}")
        courses = [
            followed(era, kind.shape(draw), point.execs, every_list=False)
            for _ in range(point.chains)
        ]
        at = at_drawn(name)
        dead = sorted(c.dies_at for c in courses if c.dies_at is not None)
        rows.append(Measured(at, "died", "1", len(dead), 0))
        rows.append(Measured(at, "first_death_at_exec", "1", dead[0] if dead else None, 0))
        wrong = sum(c.wrong_at is not None for c in courses)
        rows.append(Measured(at, "chains_with_a_wrong_string", "1", wrong, 0))
        for execs in range(0, point.execs + 1):
            alive = sum(c.execs >= execs for c in courses)
            rows.append(Measured(f"{at} execs={execs}", "alive", "1", alive, 0))
        for what, count in faults(courses):
            rows.append(Measured(f"{at} fault={what.replace(' ', '-')}", "died", "1", count, 0))
    return rows


def _recorded(
    name: str, scheme: str, system: str, profile: Profile, replication: Replication
) -> list[Measured]:
    """A recorded workload as it would have run with the scheme's heap."""
    ran, at = recorded(trace_file(name), scheme, system, profile, replication), at_trace(name)
    deaths = ran.deaths
    middle = deaths[len(deaths) // 2] if deaths else None
    return [
        Measured(at, "outcome", "", ran.outcome, 0),
        Measured(at, "processes", "1", ran.processes, 0),
        Measured(at, "processes_recorded", "1", ran.recorded, 0),
        Measured(at, "processes_died", "1", len(deaths), 0),
        Measured(at, "first_death_at_exec", "1", deaths[0] if deaths else None, 0),
        Measured(at, "median_death_at_exec", "1", middle, 0),
        Measured(at, "programs_died", "", ", ".join(ran.programs) or "none", 0),
    ]


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
