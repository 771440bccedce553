"""A process of a trace while its rows are read.

Work has places among the ops: before each row one with the recorded time outside calls, and the
next row with `cpu` spreads the CPU time over them (rule 1 of the traces' README).
"""

from __future__ import annotations

from typing import Any

from models.cygwin.trace_tables import End, Table
from models.cygwin.workload import Op


class Tracee:
    """A process while its rows are read.

    ops: ops so far; a list of one number is a place for work, None is nothing -- state
    table: its descriptors -- state
    end_s: when its last call returned [s] -- state
    clock_us: CPU time up to which work is placed; None before it is known -- state
    places: indices in ops of places for work since then -- state
    quiet: nothing that another process sees came after the last place -- state
    pure, waited, lines: as in ProcessFacts -- output
    follows: the child forked last, until the next event that is no descriptor work -- state
    made: pipe objects made before the first exec; None after it -- state
    half: the peer of a socketpair whose second end is still to come -- state
    """

    __slots__ = (
        "clock_us", "end_s", "exec_line", "exit_line", "follows", "fork_line", "half", "made",
        "ops", "parent", "pid", "places", "pure", "quiet", "table", "waited", "waiting",
    )  # fmt: skip

    def __init__(self, pid: int, parent: int, line: int, table: Table, end_s: float) -> None:
        self.pid = pid
        self.parent = parent
        self.fork_line, self.exec_line, self.exit_line = line, 0, 0
        self.ops: list[Any] = []
        self.table = table
        self.end_s = end_s
        self.clock_us: int | None = 0
        self.places: list[int] = []
        self.quiet = False
        self.pure = True
        self.waited = False
        self.follows: Tracee | None = None
        self.waiting = False
        self.made: set[int] | None = set()
        self.half: End | None = None

    def place_gap(self, gap_s: float) -> None:
        """Keep a place for work, with the time outside calls before this row."""
        if self.quiet:
            self.ops[self.places[-1]][0] += gap_s
        else:
            self.places.append(len(self.ops))
            self.ops.append([gap_s])
            self.quiet = True

    def place_work(self, cpu_us: int, kernel_us: int) -> None:
        """Spread the CPU time since the last such row over the places."""
        ops, places = self.ops, self.places
        total = 0 if self.clock_us is None else cpu_us - self.clock_us
        self.clock_us = cpu_us + kernel_us
        if total <= 0:
            for index in places:
                ops[index] = None
        elif len(places) == 1:
            ops[places[0]] = (Op.WORK, float(total))
        else:
            gaps = sum(ops[index][0] for index in places)
            if gaps <= 0:
                ops[places[-1]][0] = gaps = 1.0
            for index in places:
                ops[index] = (Op.WORK, total * ops[index][0] / gaps)
        places.clear()
        self.quiet = False

    def loud(self, op: tuple[Any, ...]) -> None:
        """Add an op that another process can see, or that takes its time."""
        self.ops.append(op)
        self.quiet = False

    def close(self, fd: int) -> None:
        """Close a descriptor that may be open."""
        if self.table.gives_up(fd):
            self.quiet = False
        if self.table.close(fd):
            self.ops.append((Op.CLOSE, fd))
