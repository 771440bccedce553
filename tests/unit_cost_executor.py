"""A second, plain reading of a workload: runs it by the rules, with one cost for everything.

No handshakes, no heap, no limit of processors; time moves by WORK, SLEEP and a fixed cost of each
op.  It proves that the ops of a workload can be carried out to the end, and counts what it did.
"""

from __future__ import annotations

import heapq
from collections import Counter

from models.cygwin.workload import EOF, NO_CHANNEL, NOBLOCK, P_WAIT, Op, Workload

Entry = tuple[int, int]  # the channels a descriptor reads and writes
PLAIN: Entry = (NO_CHANNEL, NO_CHANNEL)


class Pipe:
    """Bytes on their way: level, capacity, and how many descriptors hold each end."""

    def __init__(self, level: int, capacity: int, passed: bool) -> None:
        self.level, self.capacity, self.passed = level, capacity, passed
        self.readers: Counter[int] = Counter()  # pid -> descriptors
        self.writers: Counter[int] = Counter()


class Running:
    """A process: where it is, its table, and what is left of a read or write begun."""

    def __init__(self, pid: int, table: dict[int, Entry], cloexec: set[int]) -> None:
        self.pid, self.table, self.cloexec = pid, table, cloexec
        self.at = 0
        self.left = -1
        self.created = False


class UnitCostExecutor:
    """Runs every program of a workload to its end, or until nothing moves any more."""

    def __init__(self, workload: Workload, capacity: int, creation_us: float = 1000.0) -> None:
        self.workload, self.creation_us = workload, creation_us
        self.pipes = [Pipe(c.prefilled_bytes, capacity, c.passed) for c in workload.channels]
        self.running: dict[int, Running] = {}
        self.exited: set[int] = set()
        self.killed: set[int] = set()
        self.counted: Counter[str] = Counter()
        self.work_us = 0.0
        self.now_us = 0.0
        self.blocked: dict[object, list[Running]] = {}
        self.queue: list[tuple[float, int, Running]] = []
        self.number = 0
        self._start(1, {}, set())

    def run(self) -> list[tuple[int, object]]:
        """Run; returns what is blocked at the end, as (pid, op)."""
        while self.queue:
            self.now_us, _, me = heapq.heappop(self.queue)
            self._steps(me)
        stuck = [me for waiting in self.blocked.values() for me in waiting]
        return [(me.pid, self.workload.programs[me.pid][me.at]) for me in stuck]

    def _start(self, pid: int, table: dict[int, Entry], cloexec: set[int]) -> None:
        me = self.running[pid] = Running(pid, table, cloexec)
        for entry in table.values():
            self._hold(pid, entry, 1)
        self.counted["processes"] += 1
        self._later(me, self.creation_us)

    def _later(self, me: Running, us: float) -> None:
        self.number += 1
        heapq.heappush(self.queue, (self.now_us + us, self.number, me))

    def _wake(self, key: object) -> None:
        for me in self.blocked.pop(key, ()):
            self._later(me, 0.0)

    def _steps(self, me: Running) -> None:
        program = self.workload.programs[me.pid]
        while True:
            op = program[me.at]
            kind = op[0]
            key = self._key_if_blocked(me, op)
            if key is not None:
                self.blocked.setdefault(key, []).append(me)
                return
            me.at += 1
            us = self._do(me, op)
            if kind == Op.EXIT:
                return
            if us:
                self._later(me, us)
                return

    def _key_if_blocked(self, me: Running, op: tuple) -> object:
        """What the op waits for, or None if it can be done now."""
        kind = op[0]
        if kind == Op.WAIT:
            return None if op[1] in self.exited else ("exit", op[1])
        if kind == Op.EXIT and op[3]:
            return None if me.pid in self.killed else ("kill", me.pid)
        if kind == Op.READ:
            return self._read(me, op)
        if kind == Op.WRITE:
            return self._write(me, op)
        if kind == Op.SPAWN and op[4] == P_WAIT:
            if not me.created:
                me.created = True
                self._spawn(me, op)
            if op[1] not in self.exited:
                return ("exit", op[1])
            me.created = False
        return None

    def _read(self, me: Running, op: tuple) -> object:
        _, _, channel, n, flags = op
        pipe = self.pipes[channel]
        left = n if me.left < 0 else me.left
        taken = min(left, max(pipe.level, 0))
        pipe.level -= taken
        left -= taken
        if taken:
            self._wake(("room", channel))
        if flags & NOBLOCK or me.pid in self.killed:
            pipe.capacity += left
            if left:
                self._wake(("room", channel))
            return None
        if (left or flags & EOF) and pipe.writers:
            me.left = left
            return ("bytes", channel)
        if left:
            self.counted["short reads"] += 1
        me.left = -1
        return None

    def _write(self, me: Running, op: tuple) -> object:
        _, _, channel, n, flags = op
        pipe = self.pipes[channel]
        left = n if me.left < 0 else me.left
        if not pipe.readers and not pipe.passed:
            self.counted["dropped bytes"] += left
            me.left = -1
            return None
        forced = flags & NOBLOCK or me.pid in self.killed
        free = forced or list(pipe.readers) == [me.pid] or not pipe.readers
        put = left if free else min(left, max(pipe.capacity - pipe.level, 0))
        pipe.level += put
        if put:
            self._wake(("bytes", channel))
        me.left = left - put if left > put else -1
        return ("room", channel) if left > put else None

    def _do(self, me: Running, op: tuple) -> float:
        kind = op[0]
        if kind == Op.WORK:
            self.work_us += op[1]
            return float(op[1])
        if kind == Op.SLEEP:
            return float(op[1])
        if kind == Op.UNTIL:
            return max(op[1] - self.now_us, 0.0)
        if kind in (Op.FORK, Op.EXEC, Op.SPAWN):
            return self._create(me, op)
        if kind == Op.CLOSE:
            self._close(me, op[1])
        elif kind == Op.DUP:
            self._put(me, op[1], me.table[op[2]], op[3])
        elif kind == Op.CLOEXEC:
            assert op[1] in me.table
            (me.cloexec.add if op[2] else me.cloexec.discard)(op[1])
        elif kind == Op.OPEN:
            self._new(me, op[1], (op[3], op[4]), op[5])
        elif kind == Op.SOCKET:
            self._new(me, op[1], (op[2], op[3]), op[4])
        elif kind == Op.PIPE:
            self._new(me, op[1], (op[3], NO_CHANNEL), op[4])
            self._new(me, op[2], (NO_CHANNEL, op[3]), op[4])
        elif kind == Op.EXEC_FAIL:
            self.counted["failed_execs"] += op[1]
        elif kind == Op.KILL:
            self.killed.add(op[1])
            self._wake(("kill", op[1]))
            for key in [key for key, some in self.blocked.items() if op[1] in _pids(some)]:
                self._wake(key)
        elif kind == Op.EXIT:
            for fd in list(me.table):
                self._close(me, fd)
            self.exited.add(me.pid)
            self._wake(("exit", me.pid))
        return 0.5

    def _create(self, me: Running, op: tuple) -> float:
        if op[0] == Op.FORK:
            self.counted["spawns" if op[3] == "spawn" else "forks"] += 1
            self._start(op[1], me.table.copy(), me.cloexec.copy())
        elif op[0] == Op.EXEC:
            self.counted["execs"] += 1
            for fd in list(me.cloexec):
                self._close(me, fd)
        elif op[4] != P_WAIT:
            self._spawn(me, op)
        return self.creation_us

    def _spawn(self, me: Running, op: tuple) -> None:
        self.counted["spawned"] += 1
        table = {fd: entry for fd, entry in me.table.items() if fd not in me.cloexec}
        self._start(op[1], table, set())

    def _new(self, me: Running, fd: int, entry: Entry, cloexec: int) -> None:
        assert fd not in me.table, f"process {me.pid} opens {fd}, which is open"
        self._put(me, fd, entry, cloexec)

    def _put(self, me: Running, fd: int, entry: Entry, cloexec: int) -> None:
        self._hold(me.pid, entry, 1)
        if fd in me.table:
            self._close(me, fd)
        me.table[fd] = entry
        if cloexec:
            me.cloexec.add(fd)

    def _close(self, me: Running, fd: int) -> None:
        self._hold(me.pid, me.table.pop(fd), -1)
        me.cloexec.discard(fd)

    def _hold(self, pid: int, entry: Entry, more: int) -> None:
        reads, writes = entry
        for channel, name in ((reads, "room"), (writes, "bytes")):
            if channel == NO_CHANNEL:
                continue
            pipe = self.pipes[channel]
            holders = pipe.readers if name == "room" else pipe.writers
            holders[pid] += more
            if not holders[pid]:
                del holders[pid]
                self._wake((name, channel))


def _pids(some: list[Running]) -> set[int]:
    return {me.pid for me in some}
