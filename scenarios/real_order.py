"""Does a simulated creation make the calls that the real DLL made, in the same order?

A process creation is taken out of a call log of a real DLL and made once more on the simulator,
under the scheme of that DLL.  Parent's and child's calls stand side by side, each line marked:

    =  the same call about the same objects       -  in the log only
    !  the same call, another size or object      +  in the run only
    ~  one side only, and `cygsim order check` allows it

Another log: `--set logs=FILE,FILE`; other creations of it, counted from 1: `--set creations=1,2`.
Each log is run under the scheme of its DLL and on its system; a scheme without a log has no rows.
Times are not compared: those of a log are the tracer's, those of the run are chosen.

Source: the call logs of the DLLs (`tests/data/msys1`, README there).
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.call_beside import MARKS, SAME, Beside, beside, roles, text
from models.cygwin.call_chart import chart
from models.cygwin.call_check import simulate, unmodelled
from models.cygwin.call_log import CallLog, read_log
from models.cygwin.call_versions import Variant, variants
from models.cygwin.call_windows import Window, is_reduced, windows
from models.win32.cost_profile import Profile
from scenarios.call_log_files import A_LOG, call_log_file
from scenarios.parameters import check, named, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from sim.errors import InputError
from sim.results import input_digest
from sim.streams import Replication

SAMPLES = (
    "cygwin-1.3.2-rebuilt/fork-exec-true", "cygwin-1.3.3/fork-exec-true",
    "cygwin-1.3.19/sock-fork", "msys-1.0.12/fork-exec-true",
)  # fmt: skip
WORDS = {  # mark -> its measure
    "=": "calls_same", "!": "calls_other", "-": "calls_real_only", "+": "calls_simulated_only",
    "~": "calls_allowed",
}  # fmt: skip
WIDTH = 31  # columns of a call in the table, so that a line has 80 -- chosen
MOST = 10_000  # creations of a log; the longest has 201 -- chosen


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    logs: which call logs -- input
    creations: which creations of each log, from 1 -- input
    """

    logs: tuple[str, ...] = named(SAMPLES, A_LOG)
    creations: tuple[int, ...] = parameter((2,), "1", 1, MOST)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="real_order",
    question=__doc__.splitlines()[0],
    paragraph="hand-over",
    without_heap=True,
    parameters=Parameters(),
    schemes=("blocking", "shared-memory-1.3.3", "shared-memory", "msys-1.0"),
    own_machine=True,
    limits=(
        "order, flags, sizes and objects of calls are compared; times are not",
        "the four samples, or logs that are given; calls that no request determines are left "
        "out, as `cygsim order check` says",
        "a log has one machine and one lineage of processes",
    ),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """The creations of the logs whose DLL has this scheme; nothing is random."""
    known = variants(schemes.get)
    rows: list[Measured] = []
    tables, charts = {}, {}
    for name in point.logs:
        path = call_log_file(name)
        log = read_log(path)
        variant = known.get(log.dll_set)
        if variant is None:
            allowed = f"allowed are {', '.join(known)}"
            raise InputError(f"{path}:1", f"no scheme for the DLL {log.dll_set!r}", allowed)
        if variant.scheme.name != scheme:
            continue
        for number, found, drawn in _creations(path, log, variant, point.creations, replication):
            at = f"log={log.dll_set}/{log.name} creation={number}"
            rows += _measures(at, found)
            tables[at], charts[at] = _lines(found), drawn
    return Outcome(rows, [], {"tables": tables, "charts": charts})


def _creations(
    path: Path,
    log: CallLog,
    variant: Variant,
    numbers: tuple[int, ...],
    replication: Replication,
) -> Iterator[tuple[int, Beside, Any]]:
    """(number, both sides, chart) of each creation asked for. Raises InputError without one."""
    real = _windows(path, log, variant)
    run = simulate(log, real, variant, variant.scheme)
    if replication.made is not None:
        replication.made(run.run.installation)
    for number in numbers:
        if number > len(real):
            raise InputError(f"{path}", f"there is no creation {number}", f"1 to {len(real)}")
        try:
            found = beside(run.comparison(), number)
        except LookupError:
            what = f"creation {number} is not in the run"
            raise InputError(f"{path}", what, "a log that `cygsim order check` passes") from None
        yield number, found, chart(found, log.calls, run.calls)


def _windows(path: Path, log: CallLog, variant: Variant) -> list[Window]:
    real = windows(log.calls)
    reason = unmodelled(log, real, variant) if real else "no creation in it"
    if not reason and is_reduced(log.calls):
        reason = "it keeps only some kinds of call"
    if reason:
        raise InputError(f"{path}", reason, "a whole log that `cygsim order check` passes")
    return real


def _measures(at: str, found: Beside) -> Iterator[Measured]:
    marks = [line.mark for line in found.lines]
    yield Measured(at, "kind", "", found.real.kind, 0)
    for mark, measure in WORDS.items():
        yield Measured(at, measure, "1", marks.count(mark), 0)
    for side, window in (("real", found.real), ("simulated", found.simulated)):
        yield Measured(at, f"heap_{side}", "bytes", int(window.info.get("n", 0)), 0)
    yield Measured(at, "waits", "", _waits(found), 0)


def _waits(found: Beside) -> str:
    """What ended the parent's waits that agree, in order."""
    named = roles(found.real)
    ended = [
        text(line.real, named)
        for line in found.lines
        if line.part == "parent" and line.mark == SAME and line.real is not None
        and line.real.name.startswith("WaitFor") and line.real.name.endswith("return")
    ]  # fmt: skip
    return ", then ".join(ended)


def _lines(found: Beside) -> list[tuple[str, str, str, str]]:
    """(part, real, mark, simulated) of each line, in words."""
    real, simulated = roles(found.real), roles(found.simulated)
    return [
        (
            line.part,
            text(line.real, real) if line.real is not None else "",
            line.mark,
            text(line.simulated, simulated) if line.simulated is not None else "",
        )
        for line in found.lines
    ]


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): each creation as a sequence chart, log and run side by side."""
    from sim import plots

    for scheme, found in results.items():
        for at, made in found.drawn("charts")[0].items():
            log, creation = (word.partition("=")[2] for word in at.split())
            kind = found.value(at, "kind")
            title = f"{log}, {kind} (creation {creation}), and the same simulated ({scheme})"
            figure = plots.sequence_chart(
                made.lanes, made.steps, title, made.waits, made.arrows, made.objects,
                rows=made.rows,
            )  # fmt: skip
            yield f"order_{log.replace('/', '_')}_{creation}", figure


def inputs(point: Parameters) -> dict[str, str]:
    """Digest of each log, for the manifest."""
    return {name: input_digest(call_log_file(name)) for name in point.logs}


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first."""
    yield ["", "real", "", "simulated"]
    for scheme, found in results.items():
        for at, lines in found.drawn("tables")[0].items():
            yield ["", "", "", ""]
            title = at.partition("=")[2].replace("/", " ").replace("creation=", "")
            yield from (["", *cells] for cells in _cells(title, "", scheme))
            for part, real, mark, simulated in lines:
                first, *more = _cells(real, mark, simulated)
                yield [part, *first]
                yield from (["", *cells] for cells in more)


def _cells(real: str, mark: str, simulated: str) -> list[list[str]]:
    """Both calls in lines of the column's width; the mark stands in the first."""
    left, right = (textwrap.wrap(words, WIDTH) or [""] for words in (real, simulated))
    count = max(len(left), len(right))
    left += [""] * (count - len(left))
    right += [""] * (count - len(right))
    return [
        [a.ljust(WIDTH), mark if i == 0 else "", b]
        for i, (a, b) in enumerate(zip(left, right, strict=True))
    ]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows for each creation."""
    for scheme, found in results.items():
        for at in found.drawn("tables")[0]:
            where = f"{scheme}, {at.partition('=')[2]} ({found.value(at, 'kind')})"
            yield f"{where}: {_agreement(found, at)}", "exact"
            if ended := found.value(at, "waits"):
                yield f"{where}: on both sides the parent's waits end: {ended}", "structural"
    if not any(found.drawn("tables")[0] for found in results.values()):
        yield "no log is of a DLL with these schemes", "exact"
        return
    yield ("what the first process had in its heap before its first creation is taken from the "
           "first size of the log", "assumed")  # fmt: skip


def _agreement(found: Replicated, at: str) -> str:
    counts = {mark: found.value(at, measure) for mark, measure in WORDS.items()}
    real, simulated = found.value(at, "heap_real"), found.value(at, "heap_simulated")
    heap = f"a heap of {real:,} bytes" if real == simulated else (
        f"heaps of {real:,} and {simulated:,} bytes"
    )  # fmt: skip
    same = f"{counts[SAME]} calls are the same"
    others = [f"{count} {MARKS[mark]}" for mark, count in counts.items() if mark != SAME and count]
    return f"{same}, with {heap}; {'; '.join(others) or 'none differs'}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
