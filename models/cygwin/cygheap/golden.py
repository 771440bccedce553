"""Golden traces: which era a file is of, and its replay.

`golden_trace` tells what a trace is, `golden_early` and `golden_modern` what an era makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.cygwin.cygheap.golden_early import EarlyTrace
from models.cygwin.cygheap.golden_file import open_lines
from models.cygwin.cygheap.golden_modern import ModernTrace
from models.cygwin.cygheap.golden_trace import GoldenTrace, Mismatch, Summary, broken, parsed
from models.cygwin.cygheap.layout import ERAS

__all__ = ["GoldenTrace", "Mismatch", "Summary", "open_trace", "replay"]


def open_trace(where: str, lines: Iterator[tuple[int, bytes]]) -> GoldenTrace:
    """The trace whose header is the first of `lines`. Raises InputError if it is not one."""
    number, raw = next(lines, (1, b""))
    if not raw:
        raise broken(where, number, "the file is empty")
    header = parsed(where, number, raw)
    if not isinstance(header, dict) or "trace" not in header or "era" not in header:
        schema = header.get("schema") if isinstance(header, dict) else None
        if isinstance(schema, str):
            raise broken(where, number, f"the schema is {schema!r:.60}")
        raise broken(where, number, "the first line is not the header of a golden trace")
    name = header["era"]
    if name == "M":
        return ModernTrace(where, lines, header)
    if isinstance(name, str) and name in ERAS:
        return EarlyTrace(where, lines, header)
    raise broken(where, number, f"the era is {name!r:.40}")


def replay(path: Path | str) -> Summary | Mismatch:
    """Replay the golden file at `path` (plain or gzip; "-" is standard input).

    Raises InputError if it cannot be read or is not a golden trace.
    """
    with open_lines(path) as lines:
        return open_trace(str(path), lines).replay()
