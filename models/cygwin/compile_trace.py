"""From a recorded trace to programs: the rules of the traces' README, row by row.

One pass over the rows.  Each process has a list of ops, its descriptor table and the CPU time up
to which its work is placed.  What only the end of the file tells (how a pipe end that came from
outside is used, who else uses a pipe, how a process dies) is filled in by `trace_finish`.

* Work (rule 1): before each row a place is kept with the recorded time outside calls; the next
  row with `cpu` spreads the CPU time over the places since the last one.  The root's clock begins
  at its first row with `cpu`: what was before is the recorder's.  Without any `cpu` the recorded
  times themselves are the work ("estimated"); without `us` in any row there is none ("unknown").
  Work joins across ops that no other process can see (all but those that wait, move bytes, make
  or end a process, kill, or give up this process's last hold on a pipe end): what another process
  sees still comes after the same work.
* Waits (rule 2) with a child become WAIT, others vanish, as do poll and sigwait (rule 6: what they
  wait for is the next event), connect, bind, listen and vfork_done.
* Tables: where a recorded table differs from the one that follows from the rows (calls that the
  recorder could not see), CLOSE, OPEN and CLOEXEC ops make it so.
* Sole holder (rule 3): at a write the writer's table is looked at, and if it has a read end, all
  others' too, as they are at that row of the file.
* Passed descriptors: an open like any other; the channel is marked, see `workload`.

Source: the traces' README.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.cygwin.proctrace import ProcTrace, Row
from models.cygwin.trace_finish import Pipe, finished
from models.cygwin.trace_scripts import is_script
from models.cygwin.trace_tables import End, Table
from models.cygwin.tracee import Tracee
from models.cygwin.workload import EOF, NOBLOCK, Counts, Op, ProcessFacts, Workload

_DESCRIPTOR_WORK = frozenset(
    ["fd_open", "fd_dup", "fd_close", "fd_cloexec", "fd_close_range", "pipe", "vfork_done"]
)
_ONE_SPAWN = _DESCRIPTOR_WORK | {"chdir", "setsid", "exec_fail", "exec"}  # rule 10
_US = 1e6  # microseconds in a second


class TraceCompiler:
    """Everything known while one trace is read."""

    def __init__(self, trace: ProcTrace) -> None:
        self.trace = trace
        root = Tracee(1, 0, 0, Table(), float("inf"))
        root.clock_us = None
        root.pure = False
        self.tracees = {1: root}
        self.alive = {1: root}
        self.pipes: list[Pipe] = []
        self.pipe_of: dict[int, int] = {}  # pipe object -> channel
        self.socket_of: dict[int, End] = {}  # socketpair object -> its end
        self.envs: dict[int, tuple[int, ...]] = {}
        self.kills: set[tuple[int, int]] = set()
        self.creations = 0
        self.counted = dict.fromkeys(("fork", "vfork", "spawn", "exec", "exec_fail"), 0)
        self.measured = self.timed = False

    def run(self) -> Workload:
        """Read all rows. Raises InputError."""
        handlers = self._handlers()
        tracees = self.tracees
        for line, row in self.trace.rows():
            event = row["ev"]
            if event == "env_def":
                self.envs[row["env"]] = tuple(row["lens"])
                continue
            me = tracees[row["pid"]]
            self._place(me, row)
            if me.follows is not None:
                self._follow(me, event, row)
            if me.made is not None and me.pure and event not in _ONE_SPAWN:
                me.pure = event == "wr" and row["ob"] in me.made
            handle = handlers.get(event)
            if handle is not None:
                handle(me, row, line)
        return self._workload()

    def _handlers(self) -> dict[str, Callable[[Tracee, Row, int], None]]:
        return {
            "fd_close": self._close, "fd_dup": self._dup, "fd_open": self._open,
            "fd_cloexec": self._cloexec, "fd_close_range": self._close_range,
            "pipe": self._pipe, "socket_open": self._socket, "accept": self._accept,
            "socketpair": self._socketpair, "rd": self._read, "wr": self._write,
            "fork": self._birth, "vfork": self._birth, "spawn": self._birth,
            "exec": self._exec, "exec_fail": self._exec_fail, "exit": self._exit,
            "wait_end": self._wait, "wait_poll": self._wait, "sleep": self._sleep,
            "kill": self._kill, "setsid": self._setsid, "chdir": self._chdir,
        }  # fmt: skip

    def _place(self, me: Tracee, row: Row) -> None:
        """Rule 1: the gap before this row, and the work up to it if it has `cpu`."""
        end_s = row.get("te") or row["t"]
        us = row.get("us")
        gap_s = end_s - me.end_s
        if us is not None:
            gap_s -= us / _US
            self.timed = True
        me.end_s = end_s
        cpu_us = row.get("cpu")
        if cpu_us is None:
            if gap_s > 0:
                me.place_gap(gap_s)
            return
        self.measured = True
        me.place_gap(max(gap_s, 0.0))
        me.place_work(cpu_us, row.get("kcpu", 0))

    def _follow(self, me: Tracee, event: str, row: Row) -> None:
        """Does the parent wait for the child that it has just made?"""
        if event in _DESCRIPTOR_WORK:
            return
        if event == "wait_begin":
            me.waiting = True
            return
        if me.waiting and event != "wait_end":
            return
        if event in ("wait_end", "wait_poll") and me.follows is not None:
            me.follows.waited = row["got"] == me.follows.pid
        me.follows = None
        me.waiting = False

    # -- processes --------------------------------------------------------------------------------

    def _place_number(self, event: str) -> int:
        self.counted[event] += 1
        self.creations += 1
        return self.creations - 1

    def _birth(self, me: Tracee, row: Row, line: int) -> None:
        event, pid = row["ev"], row["child"]
        self._agree(me, row["fds"])
        mem = row.get("mem") or {}
        place = self._place_number(event)
        me.loud((Op.FORK, pid, place, event, mem.get("heap"), mem.get("stk"), line))
        child = Tracee(pid, me.pid, line, me.table.copy(), row["t"])
        self.tracees[pid] = self.alive[pid] = me.follows = child
        me.waiting = False

    def _exec(self, me: Tracee, row: Row, line: int) -> None:
        if me.pid == 1 and not me.exec_line:
            self._agree(me, row["fds"])
        prog, img = sys.intern(row["prog"]), sys.intern(row["img"])
        argv, script = tuple(row["argv"]), is_script(prog, img)
        place, cwd = self._place_number("exec"), row.get("cwd")
        me.loud((Op.EXEC, place, prog, img, argv, row["env"], script, cwd, 0, line))
        me.table.drop_cloexec()
        self._agree(me, row["fds"])
        me.exec_line = me.exec_line or line
        me.made = None

    def _exec_fail(self, me: Tracee, row: Row, line: int) -> None:
        self.counted["exec_fail"] += row["c"]
        me.ops.append((Op.EXEC_FAIL, row["c"]))

    def _exit(self, me: Tracee, row: Row, line: int) -> None:
        me.loud((Op.EXIT, row.get("code", 0), row.get("sig", 0), False, line))
        me.exit_line = line
        del self.alive[me.pid]

    def _wait(self, me: Tracee, row: Row, line: int) -> None:
        if row["got"] > 0:
            me.loud((Op.WAIT, row["got"]))

    def _sleep(self, me: Tracee, row: Row, line: int) -> None:
        me.loud((Op.SLEEP, float(row["us"])))

    def _setsid(self, me: Tracee, row: Row, line: int) -> None:
        me.ops.append((Op.SETSID,))

    def _chdir(self, me: Tracee, row: Row, line: int) -> None:
        me.ops.append((Op.CHDIR, row.get("cwd", row.get("arg", 1))))

    def _kill(self, me: Tracee, row: Row, line: int) -> None:
        if row["to"] in self.alive:
            me.loud((Op.KILL, row["to"], row["sig"]))
            self.kills.add((row["to"], row["sig"]))

    # -- descriptors ------------------------------------------------------------------------------

    def _put(self, me: Tracee, fd: int, end: End, cloexec: int) -> None:
        """An open descriptor from nowhere: OPEN, or SOCKET for a socket of this process."""
        me.close(fd)
        me.table.put(fd, end, cloexec)

    def _open(self, me: Tracee, row: Row, line: int) -> None:
        fd, cloexec = row["fd"], row["cx"]
        end = self._end(row["k"], row["ob"])
        if row.get("passed"):
            for channel in (end.unknown, end.reads, end.writes):
                if channel >= 0:
                    self.pipes[channel].passed = True
        self._put(me, fd, end, cloexec)
        me.ops.append((Op.OPEN, fd, end.kind, end, cloexec))

    def _end(self, kind: str, thing: int) -> End:
        """What a descriptor from outside is, as far as it is known yet."""
        if kind == "p":
            return End(kind, thing, unknown=self.pipe_of.get(thing, -1))
        if kind == "s" and thing in self.socket_of:
            return self.socket_of[thing]
        return End(kind, thing)

    def _dup(self, me: Tracee, row: Row, line: int) -> None:
        fd, source, cloexec = row["fd"], row["from"], row["cx"]
        end = me.table.ends.get(source)
        if end is None or end.kind != row["k"] or end.thing != row["ob"]:
            self._open(me, row, line)
            return
        if fd == source:
            self._set_cloexec(me, fd, cloexec)
            return
        if me.table.gives_up(fd):
            me.quiet = False
        me.table.put(fd, end, cloexec)
        me.ops.append((Op.DUP, fd, source, cloexec))

    def _close(self, me: Tracee, row: Row, line: int) -> None:
        me.close(row["fd"])

    def _cloexec(self, me: Tracee, row: Row, line: int) -> None:
        self._set_cloexec(me, row["fd"], row["on"])

    def _set_cloexec(self, me: Tracee, fd: int, on: int) -> None:
        on = 1 if on else 0
        if fd in me.table.ends and (fd in me.table.cloexec) != on:
            me.table.set_cloexec(fd, on)
            me.ops.append((Op.CLOEXEC, fd, on))

    def _close_range(self, me: Tracee, row: Row, line: int) -> None:
        lowest, highest, flags = row["lo"], row["hi"], row["fl"]
        for fd in sorted(fd for fd in me.table.ends if lowest <= fd <= highest):
            if row.get("err"):
                break
            if flags & 4:
                self._set_cloexec(me, fd, 1)
            else:
                me.close(fd)

    def _pipe(self, me: Tracee, row: Row, line: int) -> None:
        fd, write_fd, thing, cloexec = row["fd"], row["wfd"], row["ob"], row["cx"]
        channel = self.pipe_of[thing] = len(self.pipes)
        self.pipes.append(Pipe())
        self._put(me, fd, End("p", thing, reads=channel), cloexec)
        self._put(me, write_fd, End("p", thing, writes=channel), cloexec)
        me.ops.append((Op.PIPE, fd, write_fd, channel, cloexec))
        if me.made is not None:
            me.made.add(thing)

    def _socket(self, me: Tracee, row: Row, line: int) -> None:
        self._new_socket(me, row, End("s", row["ob"]))

    def _new_socket(self, me: Tracee, row: Row, end: End) -> None:
        self._put(me, row["fd"], end, row["cx"])
        me.ops.append((Op.SOCKET, row["fd"], end, row["cx"], row.get("dom")))

    def _accept(self, me: Tracee, row: Row, line: int) -> None:
        self._until(me, row)
        self._socket(me, row, line)

    def _socketpair(self, me: Tracee, row: Row, line: int) -> None:
        """One row for each end: the second reads what the first writes."""
        first, me.half = me.half, None
        if first is None:
            reads = len(self.pipes)
            self.pipes += [Pipe(socket=True), Pipe(socket=True)]
            end = me.half = End("s", row["ob"], reads=reads, writes=reads + 1)
        else:
            end = End("s", row["ob"], reads=first.writes, writes=first.reads)
        self.socket_of[row["ob"]] = end
        self._new_socket(me, row, end)

    def _until(self, me: Tracee, row: Row) -> None:
        me.loud((Op.UNTIL, row["t"] * _US))

    def _channel(self, me: Tracee, row: Row, reads: bool) -> int:
        """The channel that a rd or wr uses, -1 for one from outside."""
        if row["k"] == "p":
            end = me.table.ends.get(row["fd"])
            if end is not None and end.unknown >= 0 and end.thing == row["ob"]:
                end.resolve(reads)
            return self.pipe_of.get(row["ob"], -1)
        pair = self.socket_of.get(row["ob"]) if row["k"] == "s" else None
        if pair is None:
            return -1
        return pair.reads if reads else pair.writes

    def _read(self, me: Tracee, row: Row, line: int) -> None:
        channel, n = self._channel(me, row, True), row["n"]
        failed, eof = row.get("err"), row.get("eof", 0)
        if channel < 0:
            if not failed and row["k"] in "ps":
                self._until(me, row)
            return
        self.pipes[channel].count_read(me.pid, n)
        if failed:
            eof = 0
        if n or eof:
            flags = (EOF if eof else 0) | (NOBLOCK if failed else 0)
            me.loud((Op.READ, row["fd"], channel, n, flags))

    def _write(self, me: Tracee, row: Row, line: int) -> None:
        channel, n = self._channel(me, row, False), row["n"]
        if channel < 0:
            return
        pipe = self.pipes[channel]
        pipe.count_written(me.pid, n)
        if n:
            free = bool(row.get("err")) or pipe.socket or self._alone(me, channel)
            me.loud((Op.WRITE, row["fd"], channel, n, NOBLOCK if free else 0))

    def _alone(self, me: Tracee, channel: int) -> bool:
        """Rule 3: does this process hold the read ends of the channel, and nobody else?"""
        return me.table.reads(channel) and not any(
            other.table.reads(channel) for other in self.alive.values() if other is not me
        )

    def _agree(self, me: Tracee, recorded: list[list[Any]]) -> None:
        """Make the table the recorded one, if it is not."""
        table = me.table
        if table.equals(recorded):
            return
        want = {entry[0]: entry for entry in recorded}
        for fd in [fd for fd in table.ends if fd not in want]:
            me.close(fd)
        for fd, kind, thing, cloexec in want.values():
            end = table.ends.get(fd)
            if end is None or end.kind != kind or end.thing != thing:
                self._open(me, {"fd": fd, "k": kind, "ob": thing, "cx": cloexec}, 0)
            self._set_cloexec(me, fd, cloexec)

    # -- the end ----------------------------------------------------------------------------------

    def _workload(self) -> Workload:
        head, counted = self.trace.header, self.counted
        work = "measured" if self.measured else "estimated" if self.timed else "unknown"
        channels = tuple(pipe.channel() for pipe in self.pipes)
        exits = {pid: me.ops[-1][2] for pid, me in self.tracees.items() if me.exit_line}
        kills = {target for target, sig in self.kills if sig and exits.get(target) == sig}
        return Workload(
            where=self.trace.where,
            name=head["name"],
            sh=head["sh"],
            cpus=head["cpus"],
            stdio=head["stdio"],
            work=work,
            counts=Counts(
                processes=len(self.tracees),
                forks=counted["fork"] + counted["vfork"],
                execs=counted["exec"],
                spawns=counted["spawn"],
                failed_execs=counted["exec_fail"],
            ),
            envs=self.envs,
            channels=channels,
            creations=self.creations,
            programs={
                pid: finished(me.ops, pid in kills, kills, channels, work == "estimated")
                for pid, me in self.tracees.items()
            },
            processes={pid: _facts(me) for pid, me in self.tracees.items()},
        )


def _facts(me: Tracee) -> ProcessFacts:
    pure = me.pure and me.exec_line > 0
    lines = (me.fork_line, me.exec_line, me.exit_line)
    return ProcessFacts(me.parent, *lines, pure=pure, waited=me.waited)


def load_workload(path: str | Path) -> Workload:
    """The workload of one trace file, "-" for standard input. Raises InputError."""
    return TraceCompiler(ProcTrace(path)).run()
