"""Does the simulated machine answer the Win32 API as Windows does?

Every case is what a real program did and was answered; the simulated machine is given the same
steps.  The machine is NT here.  On 9x these answers are others, and no case speaks for it:

* Views lie in the arena above 2 GB that all processes share: MapViewOfFileEx at a private address
  fails (the `mapex_exact` and `sec_survives_parent_cleanup` cases; Cygwin's copy path for 9x).
* Handle and process ids look different: large numbers without a pattern, not multiples of 4
  (`handle_values`, `pid_multiple_of_4`).
* ReadProcessMemory and WriteProcessMemory answer other error codes (`rpm_*`, `wpm_*`), and nothing
  keeps a process from writing to pages that all share.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from models.win32.conformance import check
from models.win32.conformance_case import read_cases


def check_files(paths: Iterable[Path | str], out: TextIO, notes: TextIO) -> int:
    """Run the cases of the files, one line each to `out`; 1 if one answers wrongly, else 0.

    What of a case was not compared goes to `notes`.  Raises InputError at the first line that is
    no case, after the lines of those before it.
    """
    tally = {"ok": 0, "MISMATCH": 0, "skipped": 0}
    for path in paths:
        for case in read_cases(path):
            verdict = check(case)
            tally[verdict.result] += 1
            print(verdict.line, file=out)
            if verdict.left_out and verdict.result != "skipped":
                left_out = ", ".join(verdict.left_out)
                print(f"{case.name}: not compared: {left_out}", file=notes)
    passed, failed, skipped = tally.values()
    print(f"{passed} passed, {failed} failed, {skipped} skipped", file=out)
    return 1 if failed else 0
