"""The last pass over a program: what only the end of the trace tells.

Places for work become WORK or nothing and join; ends get their channels; reads and writes of a
pipe that one process alone uses go; kills stay where they end their target.
"""

from __future__ import annotations

from typing import Any

from models.cygwin.workload import NO_CHANNEL, Channel, Item, Op, Program


class Pipe:
    """A channel while its trace is read.

    read_bytes, written_bytes: over its whole life -- state
    reader, writer: the only pid, 0 for nobody yet, -1 for several -- state
    """

    __slots__ = ("passed", "read_bytes", "reader", "socket", "writer", "written_bytes")

    def __init__(self, socket: bool = False) -> None:
        self.read_bytes = self.written_bytes = 0
        self.reader = self.writer = 0
        self.passed = False
        self.socket = socket

    def count_read(self, pid: int, n: int) -> None:
        """A process reads `n` bytes."""
        self.read_bytes += n
        self.reader = pid if self.reader in (0, pid) else -1

    def count_written(self, pid: int, n: int) -> None:
        """A process writes `n` bytes."""
        self.written_bytes += n
        self.writer = pid if self.writer in (0, pid) else -1

    def channel(self) -> Channel:
        """What the run needs of it."""
        return Channel(
            prefilled_bytes=max(self.read_bytes - self.written_bytes, 0),
            owner_only=self.reader == self.writer > 0,
            passed=self.passed,
            socket=self.socket,
        )


def finished(
    ops: list[Any],
    killed: bool,
    killed_pids: set[int],
    channels: tuple[Channel, ...],
    estimated: bool,
) -> Program:
    """The program made of raw ops.

    killed: a KILL ends this process; killed_pids: all such processes
    estimated: places for work that nobody filled hold the work, in seconds
    """
    out: list[Item] = []
    for op in ops:
        if op is None:
            continue
        if type(op) is list:
            if estimated and op[0] > 0:
                _add_work(out, op[0] * 1e6)
        elif op[0] == Op.WORK:
            _add_work(out, op[1])
        elif op[0] < Op.EXIT:
            out.append(op)
        else:
            _add_special(out, op, killed, killed_pids, channels)
    if not out or out[-1][0] != Op.EXIT:
        out.append((Op.EXIT, 0, 0, False, 0))
    return tuple(out)


def _add_work(out: list[Item], us: float) -> None:
    if us <= 0:
        return
    if out and out[-1][0] == Op.WORK:
        out[-1] = (Op.WORK, out[-1][1] + us)
    else:
        out.append((Op.WORK, us))


def _add_special(
    out: list[Item], op: Item, killed: bool, killed_pids: set[int], channels: tuple[Channel, ...]
) -> None:
    kind = op[0]
    if kind in (Op.READ, Op.WRITE):
        if not channels[op[2]].owner_only:
            out.append(op)
    elif kind == Op.OPEN:
        fd, letter, end, cloexec = op[1:]
        reads = end.reads if end.unknown == NO_CHANNEL else end.unknown
        out.append((Op.OPEN, fd, letter, reads, end.writes, cloexec))
    elif kind == Op.SOCKET:
        fd, end, cloexec, domain = op[1:]
        out.append((Op.SOCKET, fd, end.reads, end.writes, cloexec, domain))
    elif kind == Op.KILL:
        if op[1] in killed_pids:
            out.append(op)
    elif kind == Op.EXIT:
        out.append((Op.EXIT, op[1], op[2], killed, op[4]))
    else:
        out.append(op)
