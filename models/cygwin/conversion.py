"""A workload whose programs start in another way: spawned, or native.

`convert` makes one SPAWN in the parent of a child's FORK and first EXEC, where rule 10 of the
traces' README allows it.  What the child did before its exec the parent then does itself, in its
own ops: it saves the descriptors that the child replaces (a dup to a free number from 10 on, as a
shell does, with close-on-exec), sets close-on-exec on those that the child closes, redirects,
changes directory, spawns, and puts all back.  The child's work before its exec moves too, so the
sum of WORK stays.  A SETSID stays with the child, as its first op.

A native image forks nothing: each fork+exec in it becomes a SPAWN with FROM_NATIVE, whatever the
child does before its exec.

With _P_WAIT the parent stands still while the child lives.  A descriptor that the child does not
get, and that the parent closes right after the fork, is therefore closed before the spawn: so a
reader sees its end of file, as it did.  The counts of the workload stay the trace's own.

Source: CONTRACT §5; the traces' README, rule 10.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace

from models.cygwin.workload import (
    FROM_NATIVE,
    NATIVE,
    P_NOWAIT,
    P_WAIT,
    Conversion,
    Item,
    Op,
    Program,
    Workload,
)
from sim.errors import InputError

FIRST_SAVED_FD = 10  # bash, redir.c: saves descriptors from 10 on
ROOT_DIRECTORY_LENGTH = 1  # "/", assumed where the trace has no working directory


class OpenSet:
    """Which descriptors a process has open, and its directory, while its ops are read.

    fds, cloexec: open descriptors; those with close-on-exec -- state
    cwd: length of the working directory -- state
    prog, native: the image it runs; whether that is no Cygwin program -- state
    """

    __slots__ = ("cloexec", "cwd", "fds", "native", "prog")

    def __init__(self) -> None:
        self.fds: set[int] = set()
        self.cloexec: set[int] = set()
        self.cwd = ROOT_DIRECTORY_LENGTH
        self.prog = "-"
        self.native = False

    def copy(self) -> OpenSet:
        """What a child begins with."""
        child = OpenSet()
        child.fds, child.cloexec = self.fds.copy(), self.cloexec.copy()
        child.cwd, child.prog, child.native = self.cwd, self.prog, self.native
        return child

    def apply(self, op: Item) -> None:
        """Follow one op."""
        kind = op[0]
        if kind == Op.CLOSE:
            self.fds.discard(op[1])
            self.cloexec.discard(op[1])
        elif kind == Op.CLOEXEC:
            self._flag(op[1], op[2])
        elif kind == Op.CHDIR:
            self.cwd = op[1]
        elif kind == Op.EXEC:
            self.fds -= self.cloexec
            self.cloexec.clear()
            self.prog = op[2] if op[2] == op[3] else f"{op[2]} ({op[3]})"
            self.cwd = self.cwd if op[7] is None else op[7]
        else:
            for fd in assigned(op):
                self.fds.add(fd)
                self._flag(fd, op[_CLOEXEC_AT[kind]])

    def _flag(self, fd: int, on: int) -> None:
        if on:
            self.cloexec.add(fd)
        else:
            self.cloexec.discard(fd)


_CLOEXEC_AT = {Op.DUP: 3, Op.PIPE: 4, Op.OPEN: 5, Op.SOCKET: 4}
_DESCRIPTOR_OPS = frozenset((*_CLOEXEC_AT, Op.CLOSE, Op.CLOEXEC, Op.WORK))


def assigned(op: Item) -> tuple[int, ...]:
    """The descriptors that an op opens."""
    if op[0] == Op.PIPE:
        return op[1], op[2]
    return (op[1],) if op[0] in _CLOEXEC_AT else ()


class Converter:
    """One conversion of one workload."""

    def __init__(self, workload: Workload, asked: Conversion) -> None:
        self.workload = workload
        self.asked = asked
        self.programs = dict(workload.programs)
        self.start: dict[int, OpenSet] = {1: OpenSet()}
        self.converted = self.not_converted = 0

    def run(self) -> Workload:
        """All programs, parents before their children. Raises InputError."""
        for pid in self.workload.processes:
            self.programs[pid] = self._program(self.programs[pid], self.start.pop(pid))
        return replace(
            self.workload,
            programs=self.programs,
            converted=self.converted,
            not_converted=self.not_converted,
        )

    def _program(self, ops: Program, now: OpenSet) -> Program:
        out: list[Item] = []
        skipped: set[int] = set()
        for index, op in enumerate(ops):
            if index in skipped:
                continue
            if op[0] == Op.FORK:
                self._fork(ops, index, now, out, skipped)
                continue
            if op[0] == Op.EXEC:
                op = self._marked(op, now)
            now.apply(op)
            out.append(op)
        return tuple(out)

    def _marked(self, op: Item, now: OpenSet) -> Item:
        """The EXEC with its flags; the process then runs that image."""
        flags = self._flags(op, now)
        now.native = bool(flags & NATIVE)
        return (*op[:8], flags, op[9]) if flags else op

    def _flags(self, exec_op: Item, now: OpenSet) -> int:
        starts = NATIVE if _named(exec_op, self.asked.native) else 0
        return starts | (FROM_NATIVE if now.native else 0)

    def _fork(
        self, ops: Program, index: int, now: OpenSet, out: list[Item], skipped: set[int]
    ) -> None:
        """A FORK as it was, or as a SPAWN."""
        fork = ops[index]
        child = fork[1]
        theirs = self.programs[child]
        at = next((i for i, op in enumerate(theirs) if op[0] == Op.EXEC), -1)
        if now.native:
            self._check_native_child(fork, theirs, at, now)
        named = at >= 0 and self._is_named(theirs[at])
        possible = now.native or (named and self.workload.processes[child].pure)
        self.converted += named and possible
        self.not_converted += named and not possible
        if not possible:
            self.start[child] = now.copy()
            out.append(fork)
            return
        exec_op = theirs[at]
        wait_at = self._wait_index(ops, index, exec_op, now)
        spawn = _Spawn(now, theirs[:at], ops[index + 1 : wait_at] if wait_at else ())
        mode = P_WAIT if wait_at else P_NOWAIT
        call = (
            *(Op.SPAWN, child, fork[2], exec_op[1], mode),
            *exec_op[2:8],
            *(self._flags(exec_op, now), fork[4], fork[5], fork[6], exec_op[9], fork[3]),
        )
        for op in spawn.ops(call):
            now.apply(op)
            out.append(op)
        if wait_at:
            skipped.add(wait_at)
            skipped.update(index + 1 + i for i in spawn.early.values())
        self._begin_child(child, theirs[:at], theirs[at:], now)

    def _begin_child(self, child: int, before: Program, after: Program, now: OpenSet) -> None:
        """The child's program begins behind its exec, with the table that the exec leaves."""
        first = now.copy()
        for op in before:
            first.apply(op)
        self._marked(after[0], first)
        first.apply(after[0])
        self.start[child] = first
        self.programs[child] = tuple(op for op in before if op[0] == Op.SETSID) + after[1:]

    def _is_named(self, exec_op: Item) -> bool:
        return _named(exec_op, self.asked.spawn) or _named(exec_op, self.asked.background)

    def _wait_index(self, ops: Program, index: int, exec_op: Item, now: OpenSet) -> int:
        """Where the parent waits for the child, if the spawn itself is to wait; else 0."""
        child = ops[index][1]
        if now.native or _named(exec_op, self.asked.background):
            return 0
        if not self.workload.processes[child].waited:
            return 0
        wait = (Op.WAIT, child)
        return next((i for i in range(index + 1, len(ops)) if ops[i] == wait), 0)

    def _check_native_child(self, fork: Item, theirs: Program, at: int, now: OpenSet) -> None:
        if at < 0 or any(op[0] == Op.FORK for op in theirs[:at]):
            raise InputError(
                f"{self.workload.where}:{fork[6]}",
                f"the native program {now.prog} forks a child that runs on without exec",
                "a native program only starts others",
            )


class _Spawn:
    """What the parent does in the child's place.

    now: the parent's descriptors at the fork; before: the child's ops up to its exec -- input
    early: descriptors closed before the spawn -> where in the ops after the fork they were
        closed -- output
    """

    def __init__(self, now: OpenSet, before: Program, window: Program) -> None:
        self.now = now.copy()
        self.before = before
        named = {fd for op in before for fd in assigned(op)}
        self.replaced = sorted(named & now.fds)
        free = (fd for fd in range(FIRST_SAVED_FD, 1 << 30) if fd not in now.fds | named)
        self.saved = dict(zip(self.replaced, free, strict=False))
        self.early = self._early(window)

    def _early(self, window: Program) -> dict[int, int]:
        """Descriptors that the parent closes at once and the child does not get."""
        child = self.now.copy()
        for op in self.before:
            child.apply(op)
        kept = child.fds - child.cloexec
        early: dict[int, int] = {}
        for i, op in enumerate(window):
            if op[0] not in (Op.WORK, Op.CLOSE, Op.CLOEXEC):
                break
            if op[0] == Op.CLOSE and op[1] in self.now.fds - kept and op[1] not in self.saved:
                early[op[1]] = i
        return early

    def ops(self, call: Item) -> Iterable[Item]:
        """Save, redirect, spawn, restore."""
        work = self.now.copy()
        out: list[Item] = [(Op.DUP, copy, fd, 1) for fd, copy in self.saved.items()]
        for op in self.before:
            out += self._redirect(op)
        for op in out:
            work.apply(op)
        out += [(Op.CLOSE, fd) for fd in self.early if fd in work.fds]
        out.append(call)
        return out + self._restore(work)

    def _redirect(self, op: Item) -> list[Item]:
        """The child's op as the parent's."""
        if op[0] == Op.SETSID:
            return []
        inherited = op[0] == Op.CLOSE and op[1] in self.now.fds and op[1] not in self.saved
        if not inherited or op[1] in self.early:
            return [op]
        return [(Op.CLOEXEC, op[1], 1)]

    def _restore(self, work: OpenSet) -> list[Item]:
        out: list[Item] = []
        for fd, copy in self.saved.items():
            out.append((Op.DUP, fd, copy, int(fd in self.now.cloexec)))
            out.append((Op.CLOSE, copy))
        for fd in sorted(self.now.fds - self.saved.keys() - self.early.keys()):
            flag = fd in self.now.cloexec
            if flag != (fd in work.cloexec):
                out.append((Op.CLOEXEC, fd, int(flag)))
        copies = set(self.saved.values())
        out += [(Op.CLOSE, fd) for fd in sorted(work.fds - self.now.fds - copies)]
        if any(op[0] == Op.CHDIR for op in self.before):
            out.append((Op.CHDIR, self.now.cwd))
        return out


def convert(workload: Workload, asked: Conversion) -> Workload:
    """The workload as asked.

    Raises InputError if a name is in no exec of the trace, or if a native image has a child that
    runs on without exec.  An exec that is named but cannot be one spawn is only counted.
    """
    if not (asked.native or asked.spawn or asked.background):
        return workload
    known = {
        str(name)
        for program in workload.programs.values()
        for op in program
        if op[0] == Op.EXEC
        for name in op[2:4]
    }
    _check_names("--native", asked.native, known, workload.where)
    _check_names("--spawn", asked.spawn, known, workload.where)
    _check_names("--background", asked.background, known, workload.where)
    return Converter(workload, asked).run()


def _check_names(option: str, asked: frozenset[str], known: set[str], where: str) -> None:
    for name in sorted(asked - known):
        near = difflib.get_close_matches(name, sorted(known), 3, 0.3) or sorted(known)[:5]
        raise InputError(
            f"{option} {name}", f"no such program in {where}", f"it has {', '.join(near)}"
        )


def _named(exec_op: Item, names: frozenset[str]) -> bool:
    return exec_op[2] in names or exec_op[3] in names
