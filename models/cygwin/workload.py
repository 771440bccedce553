"""A recorded workload as programs: for each process a tuple of ops, and nothing of its clock.

An op is a flat tuple whose first item is one of the `Op` numbers; what follows is fixed for each:

    op           items after the number
    WORK         us                                     CPU of the program itself [us], above 0
    CLOSE        fd
    DUP          fd, from_fd, cloexec                   an open `fd` is closed by it; never itself
    FORK         child, place, kind, heap_kib, stack_kib, line
    EXEC         place, prog, img, argv, env, script, cwd, flags, line
    EXIT         code, sig, killed, line
    WAIT         child                                  until it has exited; at once if it has
    READ         fd, channel, n, flags                  flags: EOF, NOBLOCK
    WRITE        fd, channel, n, flags                  flags: NOBLOCK
    PIPE         fd, write_fd, channel, cloexec
    CLOEXEC      fd, on
    OPEN         fd, kind, reads, writes, cloexec       kind is one letter, as in the trace
    SOCKET       fd, reads, writes, cloexec, dom        dom "inet", "unix", ... or None
    SPAWN        child, place, exec_place, mode, prog, img, argv, env, script, cwd, flags,
                 heap_kib, stack_kib, line, exec_line, kind
    EXEC_FAIL    count                                  that many attempts in a row
    UNTIL        t_us                                   not before this time since the start
    SLEEP        us
    CHDIR        length                                 of the new working directory
    KILL         target, sig                            only kills that end their target
    SETSID       -

Descriptors.  A process has one table: fd -> what is open, cloexec.  FORK gives the child a copy,
EXEC closes what has cloexec, EXIT closes all; the tables follow from the ops alone.  `channel` is
an index into `Workload.channels`, one for each pipe made in the trace and two for each
socketpair; `reads` and `writes` are the channel that a descriptor is a read or a write end of, -1
for none.  PIPE makes both ends; DUP copies them.  The first ops of the root are OPENs: what it was
started with.  An fd that OPEN, SOCKET or PIPE names is free.

Channels.  READ takes bytes as they come until it has `n`; with EOF it then waits until no process
has a write end.  It also ends when there are not enough bytes and no write end.  WRITE puts bytes
in as room comes; what is left is dropped as soon as no process has a read end (not if
`passed`: the end may be under way over a socket, and the bytes go in at once).  A write by a
process that alone has the read ends never blocks: NOBLOCK where that was so in the trace, and the
executor asks again when it would block.  A NOBLOCK write goes in beyond the capacity.  A NOBLOCK
read takes what is there, at most `n`; what was missing is added to the channel's capacity for
good, so that it neither starves a later reader nor blocks the writer.  Reads and writes that
never block by rules 3, 4 and 7 of the traces' README stand in no program.

Kills.  A kill whose target's own exit does not carry the signal is left out: it changes nothing.
Where it does, the target's last op is EXIT with `killed` True: the target runs to that place, and
dies there as soon as the KILL has been done, not before.  From the KILL on its reads and writes
are NOBLOCK: it was perhaps killed in one that the smaller pipe here does not let end.  (In
lighttpd-cgi all 228 kills reach processes that end by themselves or are already gone: no KILL, no
`killed`.)

The end.  Every program ends with EXIT; line 0 means that the trace has no exit of that process.
The program of the root has its first image as an EXEC like any other: the executor starts the
root by it.  A spawned child's program (SPAWN) begins behind its exec.

Source: the traces' README, rules 1-12.  Times in microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

Item = tuple[Any, ...]  # one op
Program = tuple[Item, ...]


class Op:
    """Numbers of the ops, frequent ones first -- constant."""

    WORK = 0
    CLOSE = 1
    DUP = 2
    FORK = 3
    EXEC = 4
    EXIT = 5
    WAIT = 6
    READ = 7
    WRITE = 8
    PIPE = 9
    CLOEXEC = 10
    OPEN = 11
    SOCKET = 12
    SPAWN = 13
    EXEC_FAIL = 14
    UNTIL = 15
    SLEEP = 16
    CHDIR = 17
    KILL = 18
    SETSID = 19


OP_NAMES = tuple(name for name in vars(Op) if name.isupper())  # in the order of the numbers

# Flags of READ and WRITE.
EOF = 1  # the read ends with end of file
NOBLOCK = 2  # never blocks

# Flags of EXEC and SPAWN.
NATIVE = 1  # the image that starts is not linked with Cygwin
FROM_NATIVE = 2  # the image that asks is not: one CreateProcess without child_info

# `kind` of FORK.
FORK_KINDS = ("fork", "vfork", "spawn")

# `mode` of SPAWN.
P_WAIT = "_P_WAIT"  # returns when the child has exited; no WAIT follows for that child
P_NOWAIT = "_P_NOWAIT"

NO_CHANNEL = -1


@dataclass(frozen=True)
class Counts:
    """What the trace asks for, whatever the conversions.

    forks: fork and vfork -- constant
    execs: the root's first included -- constant
    failed_execs: attempts, not runs of them -- constant
    """

    processes: int
    forks: int
    execs: int
    spawns: int
    failed_execs: int


class Channel(NamedTuple):
    """One direction of a pipe or socketpair.

    prefilled_bytes: read but written by nobody recorded; available from the start -- constant
    owner_only: one process alone reads and writes it; no op of it exists -- constant
    passed: an end of it came to a process over a unix socket -- constant
    socket: of a socketpair; its writes never block -- constant
    """

    prefilled_bytes: int
    owner_only: bool
    passed: bool
    socket: bool


class ProcessFacts(NamedTuple):
    """Where the trace tells of a process.

    parent: pid, 0 for the root -- constant
    fork_line, exec_line, exit_line: line numbers from 1; 0 for none; the first exec -- constant
    pure: between fork and first exec stands only what one spawn call can do (rule 10) -- constant
    waited: the parent's next event other than descriptor work waits for it -- constant
    """

    parent: int
    fork_line: int
    exec_line: int
    exit_line: int
    pure: bool
    waited: bool


@dataclass(frozen=True)
class Workload:
    """A trace made ready to run.

    where: the file's name, for messages -- constant
    sh: what /bin/sh was; stdio: descriptors 0-2 of the root, one letter each -- constant
    cpus: processors of the recording machine -- constant
    work: "measured", "estimated" (an import has no CPU times) or "unknown" -- constant
    envs: environment number -> lengths of its strings without NUL, sorted -- constant
    channels: index -> Channel -- constant
    creations: number of creation places; each fork, vfork, spawn and exec event of the trace is
        one, numbered in file order from 0 (the root's first exec among them) -- constant
    programs: pid -> ops -- constant
    processes: pid -> ProcessFacts, in order of birth -- constant
    converted: creations that became one SPAWN because their program was named -- constant
    not_converted: asked for by name, but not possible by rule 10 -- constant
    """

    where: str
    name: str
    sh: str
    cpus: int
    stdio: str
    work: str
    counts: Counts
    envs: dict[int, tuple[int, ...]]
    channels: tuple[Channel, ...]
    creations: int
    programs: dict[int, Program]
    processes: dict[int, ProcessFacts]
    converted: int = 0
    not_converted: int = 0


@dataclass(frozen=True)
class Conversion:
    """What a run asks to change, as names of programs (`prog` or `img` of an exec).

    native: images that are not linked with Cygwin -- input
    spawn: fork+exec of it becomes one spawn, _P_WAIT if the parent then waits for it -- input
    background: the same, always _P_NOWAIT -- input
    """

    native: frozenset[str] = frozenset()
    spawn: frozenset[str] = frozenset()
    background: frozenset[str] = frozenset()
