"""The program of one recorded process, carried out op by op as a Cygwin program.

`workload.py` has the table of ops.  A fork child goes on with its own ops; after an exec the same
process goes on as another image.  A vfork child's ops up to its exec are carried out by its parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.cygwin import channel_io, vfork
from models.cygwin.blocked import workload_pid
from models.cygwin.descriptors import CONSOLE, DISK, PIPE, SOCKET, Descriptor
from models.cygwin.errors import TryAgain
from models.cygwin.installation import Creation
from models.cygwin.process import CygwinProcess
from models.cygwin.workload import FORK_KINDS, NATIVE, NO_CHANNEL, Item, Op
from models.win32.objects import PipeEnd
from models.win32.waits import signalled
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.replay import ReplayRun

EXIT_NO_EXEC = 127  # what programs exit with when an exec has failed
_KINDS = {"t": CONSOLE}  # letters of the trace that are no plain file


class RecordedProgram:
    """A process of the trace from one op on, until it execs or ends.

    pid: as the trace counts -- constant
    opened: what a first process finds open, None for a child that finds it in its heap -- input
    children: pid of the trace -> Cygwin pid, of children made so far -- state
    """

    __slots__ = ("_at", "_ops", "children", "opened", "pid", "run")

    def __init__(self, run: ReplayRun, pid: int, start: int, opened: Any = None) -> None:
        self.run = run
        self.pid = pid
        self.opened = opened
        self.children: dict[int, int] = {}
        self._ops = run.workload.programs[pid]
        self._at = start

    def steps(self, p: CygwinProcess) -> Steps:
        """The steps of the main thread. Does not return to the caller: the process ends."""
        run, draws_scale = self.run, self.run.draws.cpu_scale
        k, me = p.k, p.me
        run.begin(self.pid)
        if self.opened is not None:
            self._open_first(p)
        if self._at or self.opened is not None or p.me.process.tag.kind != "fork":
            run.image_started(self.pid, p)
        run.heap_seen(p)
        for op in self._ops[self._at :]:
            code = op[0]
            self._at += 1
            # NOTE: for speed, the most frequent op is written out: a third of all ops
            if code == Op.WORK:
                me.debt_us += op[1] * draws_scale
                if (burst := k.pay(me)) is not None:
                    yield burst
            elif code == Op.CLOSE:
                if op[1] in p.fds.open:
                    yield from p.close(op[1])
            else:
                yield from _HANDLERS[code](self, p, op)

    # ---- one method an op --------------------------------------------------------------------

    def _dup(self, p: CygwinProcess, op: Item) -> Steps:
        _, fd, source, cloexec = op
        if source in p.fds.open:
            yield from p.dup2(source, fd, bool(cloexec))

    def as_guest(self, p: CygwinProcess) -> Steps:
        """The ops of a vfork child in its parent's process, until it execs or exits."""
        try:
            yield from self._guest_ops(p)
        except TryAgain:
            self._at = len(self._ops) - 1  # its exec failed, so all that is left is its exit
            yield from p.exit(EXIT_NO_EXEC)

    def _guest_ops(self, p: CygwinProcess) -> Steps:
        for op in self._ops:
            if op[0] == Op.EXIT:
                yield from p.exit(op[1] or 0)  # a fork child will do this op again
            self._at += 1
            if op[0] == Op.WORK:
                yield from p.work(op[1] * self.run.draws.cpu_scale)
            elif op[0] != Op.CLOSE:
                yield from _HANDLERS[op[0]](self, p, op)
            elif op[1] in p.fds.open:
                yield from p.close(op[1])

    def _vfork(self, p: CygwinProcess, op: Item) -> Steps:
        _, child, place, _, heap_kib, _, _ = op
        run = self.run
        if heap_kib:
            p.grow_user_heap(heap_kib * 1024)
        p.me.costs = run.draws.at(place)
        guest = RecordedProgram(run, child, 0)
        creation = Creation(place, "vfork", self.pid, p.me.process.image.name, child=child)
        run.count_creation("vfork")
        run.begin(child, self.pid)
        try:
            self.children[child] = yield from p.vfork(guest.as_guest, creation, guest.steps)
        except TryAgain:
            return

    def _fork(self, p: CygwinProcess, op: Item) -> Steps:
        _, child, place, kind, heap_kib, _, _ = op
        run = self.run
        if kind == "vfork" and run.vfork and vfork.is_real(p):
            yield from self._vfork(p, op)
            return
        p.grow_user_heap(heap_kib * 1024 if heap_kib else run.installation.sizes.user_heap)
        p.me.costs = run.draws.at(place)
        program = RecordedProgram(run, child, 0)
        creation = Creation(place, "fork", self.pid, p.me.process.image.name, child=child)
        run.count_creation(kind if kind in FORK_KINDS else FORK_KINDS[0])
        run.begin(child, self.pid)
        try:
            self.children[child] = yield from p.fork(program.steps, creation)
        except TryAgain:
            return

    def _exec(self, p: CygwinProcess, op: Item) -> Steps:
        _, place, prog, _, argv, env, script, _, flags, _ = op
        run = self.run
        p.me.costs = run.draws.at(place)
        image = run.image(flags, prog, self.pid, self._at, self._handles(p, flags))
        native = bool(flags & NATIVE)
        creation = Creation(place, "exec", self.pid, prog, "_P_OVERLAY", native, child=self.pid)
        run.new_image(self.pid)
        yield from p.execute(image, run.arguments(argv, env, bool(script)), creation)

    def _spawn(self, p: CygwinProcess, op: Item) -> Steps:
        (_, child, place, _, mode, prog, _, argv, env, script, _, flags, heap_kib, _, _, _,
         kind) = op  # fmt: skip
        run = self.run
        if heap_kib:
            p.grow_user_heap(heap_kib * 1024)
        p.me.costs = run.draws.at(place)
        image = run.image(flags, prog, child, 0, self._handles(p, flags))
        creation = Creation(place, "spawn", self.pid, prog, mode, bool(flags & NATIVE), child=child)
        run.count_creation(kind)
        run.begin(child, self.pid)
        run.new_image(child)
        try:
            got = yield from p.spawn(mode, image, run.arguments(argv, env, bool(script)), creation)
        except TryAgain:
            return
        self.children[child] = got

    def _exec_fail(self, p: CygwinProcess, op: Item) -> Steps:
        """A search along PATH: each attempt is one call that finds no file (assumed)."""
        p.me.debt_us += op[1] * p.me.costs.call_us
        self.run.tally.failed_execs += op[1]
        yield from ()

    def _exit(self, p: CygwinProcess, op: Item) -> Steps:
        _, code, sig, killed, _ = op
        k, me = p.k, p.me
        if killed:
            handle = k.new_handle(me, self.run.kill_event(self.pid), False)
            yield from k.wait_for_single_object(me, handle)
        yield from k.settle(me)
        self.run.at_exit(self.pid, p)
        yield from p.exit(code or (128 + sig if sig else 0))

    def _wait(self, p: CygwinProcess, op: Item) -> Steps:
        cygpid = self.children.get(op[1])
        if cygpid is None:
            self.run.tally.lost_waits += 1
            return
        yield from p.waitpid(cygpid)

    def _read(self, p: CygwinProcess, op: Item) -> Steps:
        handle = self._end(p, op[1], writes=False)
        if handle:
            yield from channel_io.read(self.run, p.k, p.me, handle, op, self._killed)

    def _write(self, p: CygwinProcess, op: Item) -> Steps:
        handle = self._end(p, op[1], writes=True)
        if handle:
            pipe = self.run.channel(op[2])
            yield from channel_io.write(
                self.run, p.k, p.me, handle, op,
                lambda: self._killed() or _holds_all(p, pipe.read_end),
            )  # fmt: skip

    def _pipe(self, p: CygwinProcess, op: Item) -> Steps:
        _, fd, write_fd, channel, cloexec = op
        pipe = self.run.channel(channel)
        p.adopt(fd, PIPE, pipe.read_end, None, bool(cloexec))
        p.adopt(write_fd, PIPE, pipe.write_end, None, bool(cloexec))
        yield from ()

    def _cloexec(self, p: CygwinProcess, op: Item) -> Steps:
        if op[1] in p.fds.open:
            p.set_cloexec(op[1], bool(op[2]))
        yield from ()

    def _open(self, p: CygwinProcess, op: Item) -> Steps:
        _, fd, kind, reads, writes, cloexec = op
        if reads != NO_CHANNEL:
            p.adopt(fd, PIPE, self.run.channel(reads).read_end, None, bool(cloexec))
        elif writes != NO_CHANNEL:
            p.adopt(fd, PIPE, self.run.channel(writes).write_end, None, bool(cloexec))
        else:
            p.open(fd, _KINDS.get(kind, DISK), bool(cloexec))
        yield from ()

    def _socket(self, p: CygwinProcess, op: Item) -> Steps:
        _, fd, reads, writes, cloexec, _ = op
        if reads == NO_CHANNEL or writes == NO_CHANNEL:
            p.socket(fd, bool(cloexec))
        else:
            ends = self.run.channel(reads).read_end, self.run.channel(writes).write_end
            p.adopt(fd, SOCKET, ends[0], ends[1], bool(cloexec))
        yield from ()

    def _until(self, p: CygwinProcess, op: Item) -> Steps:
        left = op[1] - p.now()
        if left > 0:
            yield from p.sleep(left)

    def _sleep(self, p: CygwinProcess, op: Item) -> Steps:
        yield from p.sleep(op[1])

    def _chdir(self, p: CygwinProcess, op: Item) -> Steps:
        p.chdir(op[1])
        yield from ()

    def _kill(self, p: CygwinProcess, op: Item) -> Steps:
        yield from p.k.settle(p.me)
        event = self.run.kill_event(op[1])
        event.is_set = True
        signalled(event)
        p.k.interrupt_pipes(
            process for process in p.k.processes.values() if workload_pid(process) == op[1]
        )

    def _setsid(self, p: CygwinProcess, op: Item) -> Steps:
        yield from ()

    # ---- parts -------------------------------------------------------------------------------

    def _open_first(self, p: CygwinProcess) -> None:
        """What a process without a Cygwin parent has open."""
        for op in self.opened.get("ops", ()):
            for _ in _HANDLERS[op[0]](self, p, op):
                raise AssertionError("opening does not wait")
        for fd, (kind, handle, second) in self.opened.get("fds", {}).items():
            p.inherit(fd, kind, handle, second)
        cwd = self.opened.get("cwd")
        if cwd is not None:  # an imported strace does not tell
            p.chdir(cwd)

    def _handles(self, p: CygwinProcess, flags: int) -> Any:
        """What a native image is told of: handles that it inherits, by descriptor."""
        if not flags & NATIVE:
            return None
        return {fd: (d.kind, d.handle, d.second) for fd, d in p.fds.open.items() if not d.cloexec}

    def _end(self, p: CygwinProcess, fd: int, writes: bool) -> int:
        """The handle of a pipe end behind `fd`, 0 if there is none (any more)."""
        d: Descriptor | None = p.fds.open.get(fd)
        handles = () if d is None else (d.handle, d.second)
        return channel_io.end_of(self.run, p.me, handles, writes)

    def _killed(self) -> bool:
        return self.run.killed(self.pid)


def _holds_all(p: CygwinProcess, end: PipeEnd) -> bool:
    """Whether this process has every handle that there is of `end`."""
    table = p.me.process.handles
    return 0 < end.refs == sum(table.get(handle) is end for handle in table.handles())


_HANDLERS = {
    Op.DUP: RecordedProgram._dup,
    Op.FORK: RecordedProgram._fork,
    Op.EXEC: RecordedProgram._exec,
    Op.EXIT: RecordedProgram._exit,
    Op.WAIT: RecordedProgram._wait,
    Op.READ: RecordedProgram._read,
    Op.WRITE: RecordedProgram._write,
    Op.PIPE: RecordedProgram._pipe,
    Op.CLOEXEC: RecordedProgram._cloexec,
    Op.OPEN: RecordedProgram._open,
    Op.SOCKET: RecordedProgram._socket,
    Op.SPAWN: RecordedProgram._spawn,
    Op.EXEC_FAIL: RecordedProgram._exec_fail,
    Op.UNTIL: RecordedProgram._until,
    Op.SLEEP: RecordedProgram._sleep,
    Op.CHDIR: RecordedProgram._chdir,
    Op.KILL: RecordedProgram._kill,
    Op.SETSID: RecordedProgram._setsid,
}
