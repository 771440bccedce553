"""What a run writes down: rows of calls, and one flat record for each thing measured.

Rows of calls cost as much as the calls themselves, so they are kept only when asked for: the
machine tests one reference (`trace.calls is None`) and does nothing more.  Records are always kept;
they are what measures read.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Row(NamedTuple):
    """One call, or one end of a call that can block.

    t_us: when; for a call without a wait, when it was done
    pid, tid: who
    name: the API's exact name, or a function's own name for a bracket
    phase: "" (whole call), "call", "return", "begin" or "end" (a bracket)
    args: what was asked for and answered
    """

    t_us: float
    pid: int
    tid: int
    name: str
    phase: str
    args: dict[str, Any]


class Trace:
    """Rows and records of one run.

    calls: rows in the order in which they happened, None if nobody asked for them -- output
    records: flat records in the order in which they were finished -- output
    """

    __slots__ = ("calls", "records")

    def __init__(self, calls: bool = False) -> None:
        self.calls: list[Row] | None = [] if calls else None
        self.records: list[Any] = []

    def rows(self, pid: int | None = None, tid: int | None = None) -> list[Row]:
        """The rows of a process or thread, by time. Empty if calls were not kept."""
        rows = [
            row
            for row in self.calls or ()
            if (pid is None or row.pid == pid) and (tid is None or row.tid == tid)
        ]
        return sorted(rows, key=lambda row: row.t_us)
