"""The demonstration: recorded workloads under both handshakes, tables and figures.

Three parts: a native program in the background; a recorded make that spawns its tools, once with
Cygwin's compilers and once with native ones; and a recorded git session as it was.  The traces lie
beside the tests, so that a fresh checkout has them.
"""

from __future__ import annotations

from pathlib import Path

from scenarios import replay_command, run_command
from scenarios.options import ReplayOptions, RunOptions
from sim.errors import InputError

TRACES = Path(__file__).resolve().parent.parent / "tests" / "data" / "traces"
TOOLS = ("sh", "gcc", "cc1", "as", "collect2", "ld", "sed", "mv", "mkdir", "rm")  # make's own

_FINDINGS = """\
What to see:
* without spawning (part 4) fork and exec take the same time under all schemes, within a few per
  cent: each waits for its child either way (structural; the times themselves are assumed).
* spawn is where they part: before 1.3.3 it returned only when a Cygwin child had started, and
  when a native child had ended (structural).
* the shared-memory schemes read nothing out of the parent (exact), and lose no heap over
  exec chains, while the older heap loses what an image frees before its exec (exact).
* a section is copied once on NT and twice on 9x: `cygsim replay TRACE --system 9x` counts it.
"""


def run(out: str) -> int:
    """Exit code of the demonstration; its tables go to stdout, its figures to the folder `out`."""
    folder = Path(out)
    make, git = (_trace(name) for name in ("make-j4-sed", "git-workflow"))
    _head("1. A native program in the background")
    run_command.run(RunOptions("background_native", quick=True, out=str(folder / "background")))
    _head("2. A recorded make -j4 in which programs are spawned")
    replay_command.run(ReplayOptions(make, spawn=TOOLS, out=str(folder / "make-spawns")))
    _head("3. The same with native compilers, spawned and not waited for")
    replay_command.run(
        ReplayOptions(
            make,
            native=("cc1",),
            background=("cc1",),
            schemes=("blocking", "shared-memory"),
            out=str(folder / "make-native"),
        )
    )
    _head("4. A recorded git session: fork and exec only")
    replay_command.run(ReplayOptions(git, out=str(folder / "git")))
    _head("Findings")
    print(_FINDINGS)
    print(f"Figures and results.csv are in {folder}")
    return 0


def _trace(name: str) -> str:
    path = TRACES / f"{name}.jsonl.gz"
    if not path.exists():
        raise InputError(str(path), "the demonstration's trace is not there", "a full checkout")
    return str(path)


def _head(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}\n")
