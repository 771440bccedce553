"""The demonstration: recorded workloads under both handshakes, tables and figures.

Four parts: a native program in the background; a recorded make that spawns its tools, once with
Cygwin's compilers and once with native ones; and a recorded git session as it was.  What they show
is said at the end, from their results (`demo_findings.py`).  The traces lie beside the tests, so
that a fresh checkout has them.
"""

from __future__ import annotations

from pathlib import Path

from scenarios import replay_command, run_command
from scenarios.cli_output import print_wrapped
from scenarios.demo_findings import findings
from scenarios.options import ReplayOptions, RunOptions
from sim.errors import InputError

TRACES = Path(__file__).resolve().parent.parent / "tests" / "data" / "traces"
_ENDINGS = {"mini-pipeline": ".ptrec"}
TOOLS = ("sh", "gcc", "cc1", "as", "collect2", "ld", "sed", "mv", "mkdir", "rm")  # make's own


def run(out: str) -> int:
    """Exit code of the demonstration; its tables go to stdout, its figures to the folder `out`."""
    folder = Path(out)
    make, git, mini = (_trace(name) for name in ("make-j4-sed", "git-workflow", "mini-pipeline"))
    _head("1. A native program in the background")
    background = run_command.report(
        RunOptions("background_native", quick=True, out=str(folder / "background"))
    )
    _head("2. A recorded make -j4 in which programs are spawned")
    spawning = replay_command.report(
        ReplayOptions(make, spawn=TOOLS, out=str(folder / "make-spawns"))
    )
    _head("3. The same with native compilers, spawned and not waited for")
    native = replay_command.report(
        ReplayOptions(
            make,
            native=("cc1",),
            background=("cc1",),
            schemes=("blocking", "shared-memory"),
            out=str(folder / "make-native"),
        )
    )
    _head("4. A recorded git session: fork and exec only")
    plain = replay_command.report(ReplayOptions(git, out=str(folder / "git")))
    nt, nine = (
        replay_command.results_of(ReplayOptions(mini, schemes=("shared-memory",), system=system))
        for system in ("nt", "9x")
    )
    _head("Findings")
    for label, text in findings(background, spawning, native, plain, nt, nine):
        print_wrapped(f"[{label}] {text}", "  ")
    print()
    print_wrapped(f"Figures and results.csv are in {folder}")
    return 0


def _trace(name: str) -> str:
    path = TRACES / f"{name}{_ENDINGS.get(name, '')}.jsonl.gz"
    if not path.exists():
        raise InputError(str(path), "the demonstration's trace is not there", "a full checkout")
    return str(path)


def _head(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}\n")
