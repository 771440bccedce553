"""What does a recorded workload take under each scheme, and what of it is waiting for children?

The same runs as `cygsim replay` makes, as a scenario, so that a design, a precision, the two
intervals and the ranks of the assumed costs can be asked of a whole workload, not of single
creations alone.  A vfork is what the scheme's time had.

A run that comes to no end has no makespan: it is counted, and its time is in no mean.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.installation import Watch
from models.cygwin.kept_workloads import workload_of
from models.cygwin.machine import Machine
from models.cygwin.replay import ReplayRun, prepare
from models.cygwin.replay import run as carry_out
from models.cygwin.replay_result import result
from models.cygwin.workload import Workload
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from scenarios.history import LIMITS_OF_A_REPLAY as LIMITS
from scenarios.latency_words import short
from scenarios.parameters import check, named, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec, each_in_words
from scenarios.trace_files import A_TRACE, trace_digests, trace_file
from sim.estimators import Interval
from sim.streams import Replication

_TOTALS = {  # of the replay's document -> unit
    "makespan_us": "us",
    "handshake_wait_us": "us",
    "bytes_copied": "bytes",
    "creations": "1",
}
_HEAP = ("peak_bytes", "leaked_bytes")


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    traces: recorded workloads, by name or path -- input
    processors: of the machine -- input
    """

    traces: tuple[str, ...] = named(("git-workflow", "make-j4-sed"), A_TRACE)
    processors: int = parameter(4, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="recorded_work",
    question=__doc__.splitlines()[0],
    paragraph="background",
    without_heap=True,
    parameters=Parameters(),
    quick=(("traces", ("mini-pipeline.ptrec",)),),
    limits=LIMITS,
    headlines=(("trace={traces[0]}", "makespan_us"), ("trace={traces[0]}", "handshake_wait_us")),
    narrow=(("traces", ("mini-pipeline.ptrec",)),),
)


def inputs(point: Parameters) -> dict[str, str]:
    """Digest of each recorded workload, for the manifest."""
    return trace_digests(point.traces)


@lru_cache(maxsize=4)
def _workload(path: str) -> Workload:
    return workload_of(path)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """Every workload under one scheme in one replication."""
    rows: list[Measured] = []
    notes: list[str] = []
    for trace in point.traces:
        done = carry_out(_ready(trace, point, scheme, system, profile, replication))
        found = result(done, replication.number).document
        ended = found["outcome"] == "finished"
        at = _at(trace)
        rows.append(Measured(at, "outcome", "", found["outcome"], 0))
        for measure, unit in _TOTALS.items():
            value = found[measure] if ended or measure == "creations" else None
            rows.append(Measured(at, measure, unit, value, int(value is None)))
        for measure in _HEAP:
            value = found["cygheap"][measure]
            if value is not None:  # it has a cygheap
                rows.append(Measured(at, f"cygheap_{measure}", "bytes", value, 0))
        if not ended:
            notes.append(f"{scheme}, {trace}: {found['outcome']}")
    return Outcome(rows, notes)


def places(point: Parameters) -> Iterator[str]:
    """The points of the results, each a machine of its own."""
    yield from map(_at, point.traces)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one workload at its end, with `watch` looking on. Raises KeyError."""
    trace = {_at(trace): trace for trace in point.traces}[place]
    ready = _ready(trace, point, scheme, system, profile, replication)
    ready.installation.watch = watch
    carry_out(ready)
    return Machine(ready.installation, ready.draws)


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first."""
    yield ["trace", "scheme", "takes [s]", "waits [s]", "copied MB", "peak KiB", "leaked KiB"]
    for trace in point.traces:
        for scheme, o in results.items():
            span, waits, copied = (
                o.mean(_at(trace), m) for m in ("makespan_us", "handshake_wait_us", "bytes_copied")
            )
            names = [f"cygheap_{m}" for m in _HEAP]
            heap = (o.value(_at(trace), name) if _has(o, trace, name) else None for name in names)
            yield [
                _shown(trace), short(scheme), _scaled(span, 1e-6, 2), _scaled(waits, 1e-6, 2),
                _scaled(copied, 1e-6, 0), *map(_in_kib, heap),
            ]  # fmt: skip


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    for trace in point.traces:
        at, name = _at(trace), _shown(trace)
        spans = {short(s): mean for s, o in results.items() if (mean := o.mean(at, "makespan_us"))}
        if spans:
            yield f"{name} takes {each_in_words(spans, 1e-6, 's')} (all costs)", "assumed"
        for scheme, o in results.items():
            if o.value(at, "outcome") != "finished":
                yield f"{name} under {scheme}: {o.value(at, 'outcome')}", "structural"
            if not _has(o, trace, "cygheap_leaked_bytes"):
                yield f"{name} under {scheme}: there is no cygheap to lose anything", "exact"
                continue
            leaked = o.value(at, "cygheap_leaked_bytes")
            yield f"{name} under {scheme}: {leaked:,.0f} bytes of heaps are lost for ever", "exact"


def figures(
    results: dict[str, Replicated], point: Parameters, system: str, profile: Profile, seed: int,
    quick: bool,
) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): how long each workload takes, and what of it is waiting."""
    from sim import plots

    for measure, stem, what in (
        ("makespan_us", "takes", "How long each recorded workload takes"),
        ("handshake_wait_us", "waits", "How long its processes wait for children to be made"),
    ):
        labels, values = [], []
        for trace in point.traces:
            for scheme, o in results.items():
                if (mean := o.mean(_at(trace), measure)) is not None:
                    labels.append(f"{_shown(trace)}, {short(scheme)}")
                    values.append(mean.mean / 1e6)
        if values:
            yield stem, plots.plain_bars(labels, values, what, "mean [s]")


def _in_kib(size_bytes: float | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / 1024:,.0f}"


def _has(replicated: Replicated, trace: str, measure: str) -> bool:
    return replicated.outcomes[0].has(_at(trace), measure)


def _at(trace: str) -> str:
    return f"trace={Path(trace).name}"


def _shown(trace: str) -> str:
    return Path(trace).name.split(".")[0]


def _ready(
    trace: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication,
) -> ReplayRun:  # fmt: skip
    return prepare(
        _workload(trace_file(trace)), schemes.get(scheme), profile, SYSTEMS[system], replication,
        point.processors,
    )  # fmt: skip


def _scaled(mean: Interval | None, scale: float, digits: int) -> str:
    return "never" if mean is None else f"{mean.mean * scale:,.{digits}f}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
