"""The program of a recorded process whose image is not linked with Cygwin.

It knows nothing of child_info or the cygheap.  It has handles, which it inherited; it never closes
those that it does not know, so a heap section that came along stays as long as it lives.  What it
starts in turn is one CreateProcess: a first Cygwin process, or native again.  Its exec is what
Windows has instead: the new process is started and the old one ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from models.cygwin import channel_io
from models.cygwin.descriptors import DISK, PIPE, SOCKET
from models.cygwin.installation import Creation
from models.cygwin.workload import NATIVE, NO_CHANNEL, P_WAIT, Item, Op
from models.win32.handles import CURRENT_PROCESS
from models.win32.kernel import Kernel
from models.win32.object_calls import HANDLE_FLAG_INHERIT
from models.win32.objects import File, KernelObject
from models.win32.thread import Thread
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.replay import ReplayRun

Handles = tuple[str, int, int]  # kind, handle, second handle


class NativeProgram:
    """A process of the trace from one op on, on bare Windows.

    pid: as the trace counts -- constant
    fds: descriptor of the C library -> handles; not inheritable ones in `private` -- state
    children: pid of the trace -> process handle -- state
    """

    def __init__(self, run: ReplayRun, pid: int, start: int, fds: Mapping[int, Handles]) -> None:
        self.run = run
        self.pid = pid
        self.fds = dict(fds)
        self.private: set[int] = set()
        self.children: dict[int, int] = {}
        self._ops = run.workload.programs[pid]
        self._at = start

    def steps(self, k: Kernel, me: Thread) -> Steps:
        """The steps of the main thread."""
        run = self.run
        run.begin(self.pid)
        creation = me.process.tag
        if isinstance(creation, Creation) and creation.main_us is None:
            creation.main_us = k.engine.now + me.debt_us
        for op in self._ops[self._at :]:
            self._at += 1
            if op[0] == Op.WORK:
                yield from k.work(me, op[1] * run.draws.cpu_scale)
            elif op[0] == Op.EXIT:
                yield from k.settle(me)
                run.at_exit(self.pid, None)
                yield from k.exit_process(me, op[1] or 0)
            else:
                yield from self._op(k, me, op)

    def _op(self, k: Kernel, me: Thread, op: Item) -> Steps:
        code = op[0]
        if code in (Op.EXEC, Op.SPAWN):
            yield from self._create(k, me, op)
        elif code == Op.READ:
            yield from self._read(k, me, op)
        elif code == Op.WRITE:
            yield from self._write(k, me, op)
        elif code == Op.WAIT:
            handle = self.children.pop(op[1], None)
            if handle is not None:
                yield from k.wait_for_single_object(me, handle)
                k.close_handle(me, handle)
        elif code == Op.SLEEP:
            yield from k.sleep(me, op[1])
        elif code == Op.UNTIL:
            if op[1] > k.engine.now:
                yield from k.sleep(me, op[1] - k.engine.now)
        elif code == Op.EXEC_FAIL:
            self.run.tally.failed_execs += op[1]
        else:
            yield from self._descriptor(k, me, op)

    def _descriptor(self, k: Kernel, me: Thread, op: Item) -> Steps:
        code = op[0]
        if code == Op.CLOSE:
            yield from self._close(k, me, op[1])
        elif code == Op.DUP:
            _, fd, source, cloexec = op
            if source in self.fds:
                yield from self._close(k, me, fd)
                kind, first, second = self.fds[source]
                a, b = (
                    k.duplicate_handle(me, CURRENT_PROCESS, h, CURRENT_PROCESS, not cloexec)
                    if h
                    else 0
                    for h in (first, second)
                )
                self._keep(fd, kind, a, b, cloexec)
        elif code == Op.CLOEXEC:
            if op[1] in self.fds:
                _, first, second = self.fds[op[1]]
                for handle in (first, second):
                    if handle:
                        k.set_handle_information(
                            me, handle, HANDLE_FLAG_INHERIT, 0 if op[2] else HANDLE_FLAG_INHERIT
                        )
                (self.private.add if op[2] else self.private.discard)(op[1])
        elif code in (Op.OPEN, Op.PIPE, Op.SOCKET):
            self._open(k, me, op)

    def _open(self, k: Kernel, me: Thread, op: Item) -> None:
        run = self.run
        if op[0] == Op.PIPE:
            _, fd, write_fd, channel, cloexec = op
            pipe = run.channel(channel)
            self._keep(fd, PIPE, k.new_handle(me, pipe.read_end, not cloexec), 0, cloexec)
            self._keep(write_fd, PIPE, k.new_handle(me, pipe.write_end, not cloexec), 0, cloexec)
            return
        if op[0] == Op.OPEN:
            _, fd, _, reads, writes, cloexec = op
            kind = DISK if reads == writes == NO_CHANNEL else PIPE
        else:
            _, fd, reads, writes, cloexec, _ = op
            kind = SOCKET
        ends: list[KernelObject] = []
        if reads != NO_CHANNEL:
            ends.append(run.channel(reads).read_end)
        if writes != NO_CHANNEL:
            ends.append(run.channel(writes).write_end)
        handles = [k.new_handle(me, end, not cloexec) for end in ends or [File(kind)]]
        self._keep(fd, kind, handles[0], handles[1] if len(handles) > 1 else 0, cloexec)

    def _keep(self, fd: int, kind: str, handle: int, second: int, cloexec: int) -> None:
        self.fds[fd] = kind, handle, second
        (self.private.add if cloexec else self.private.discard)(fd)

    def _close(self, k: Kernel, me: Thread, fd: int) -> Steps:
        _, first, second = self.fds.pop(fd, ("", 0, 0))
        yield from k.settle(me)
        for handle in (first, second):
            if handle:
                k.close_handle(me, handle)

    def _create(self, k: Kernel, me: Thread, op: Item) -> Steps:
        """One CreateProcess; after an exec this process ends, as Windows' _exec does it."""
        run = self.run
        if op[0] == Op.SPAWN:
            child, place, mode, prog, cwd, flags, kind = (op[i] for i in (1, 2, 4, 5, 10, 11, 16))
            run.count_creation(kind)
            run.begin(child, self.pid)
            start = 0
        else:
            child, place, mode, prog, cwd, flags = self.pid, op[1], "", op[2], op[7], op[8]
            start = self._at
        run.new_image(child)
        me.costs = run.draws.at(place)
        known = {fd: handles for fd, handles in self.fds.items() if fd not in self.private}
        native = bool(flags & NATIVE)
        opened = known if native else {"fds": known, "cwd": cwd}
        image = run.image(flags, prog, child, start, opened)
        creation = Creation(place, "spawn", self.pid, prog, mode, native, child=child)
        creation.called_us = k.engine.now + me.debt_us
        k.trace.records.append(creation)
        h_process, h_thread, _ = yield from k.create_process(me, image, True, tag=creation)
        k.close_handle(me, h_thread)
        if op[0] == Op.EXEC:
            yield from k.exit_process(me, 0)
        if mode == P_WAIT:
            yield from k.wait_for_single_object(me, h_process)
            k.close_handle(me, h_process)
        else:
            self.children[child] = h_process
        creation.returned_us = k.engine.now + me.debt_us

    def _read(self, k: Kernel, me: Thread, op: Item) -> Steps:
        handle = self._end(me, op[1], writes=False)
        if handle:
            yield from channel_io.read(self.run, k, me, handle, op, _never)

    def _write(self, k: Kernel, me: Thread, op: Item) -> Steps:
        handle = self._end(me, op[1], writes=True)
        if handle:
            yield from channel_io.write(self.run, k, me, handle, op, _never)

    def _end(self, me: Thread, fd: int, writes: bool) -> int:
        return channel_io.end_of(self.run, me, self.fds.get(fd, ("", 0, 0))[1:], writes)


def _never() -> bool:
    return False
