"""`cygsim report`: the report of a finished run, as Markdown."""

from __future__ import annotations

import sys
from pathlib import Path

from scenarios.stress_report import stress_report
from scenarios.stress_subject import read_subject
from sim.documents import write_atomically
from sim.errors import InputError


def report(run: str, stress: bool, output: str | None) -> int:
    """Write the report to a file or to stdout; 0. Raises InputError."""
    if not stress:
        raise InputError("report", "there is no other report than --stress yet", "--stress")
    if output is not None and Path(output).suffix.lower() != ".md":
        raise InputError("--output", f"{output}: the report is Markdown", "NAME.md")
    text = stress_report(read_subject(Path(run)))
    if output is None:
        sys.stdout.write(text)
        return 0
    path = Path(output)
    if not path.parent.is_dir():
        raise InputError("--output", f"{path.parent} is no folder", "NAME.md in a folder")
    write_atomically(path, text)
    return 0
