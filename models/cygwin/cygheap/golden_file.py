"""The file of a golden trace: what is allowed in one, and how much of it is read."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from sim import lines

LINE_LIMIT_BYTES = 8 << 20  # of one line -- chosen
FILE_LIMIT_BYTES = 1 << 30  # of the unpacked file -- chosen
ALLOWED = "allowed is a golden cygheap trace of era A, B, C or M"


def open_lines(path: Path | str) -> AbstractContextManager[lines.Lines]:
    """`sim.lines.open_lines` within the limits of a golden trace. Raises InputError."""
    return lines.open_lines(path, ALLOWED, LINE_LIMIT_BYTES, FILE_LIMIT_BYTES)
