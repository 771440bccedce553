"""Anonymous pipes, as a program calls them.

A read takes what is there and waits only for the first byte; at the end of file it returns 0.  A
write returns when all bytes are in the pipe.  What the bytes are is not kept, only how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import simpy

from models.win32.errors import (
    ERROR_BROKEN_PIPE,
    ERROR_INVALID_HANDLE,
    ERROR_OPERATION_ABORTED,
    Win32Error,
)
from models.win32.kernel_core import KernelCore
from models.win32.objects import Pipe, PipeEnd
from models.win32.thread import Parked, Process, Thread
from sim.engine import Steps

INTERRUPTED = "interrupted"  # what a held read or write gets when a signal ends it
CANCELLED = "cancelled"  # and when CancelSynchronousIo does


class PipeCalls(KernelCore):
    """CreatePipe, ReadFile, WriteFile on pipes."""

    def create_pipe(
        self, me: Thread, capacity_bytes: int, inherit: bool = True, name: str = ""
    ) -> tuple[int, int]:
        """CreatePipe: (read handle, write handle)."""
        me.debt_us += me.costs.handle_us
        pipe = Pipe(capacity_bytes, name)
        handles = me.process.handles
        ends = handles.add(pipe.read_end, inherit), handles.add(pipe.write_end, inherit)
        if self.calls is not None:
            self.row(me, "CreatePipe", size=capacity_bytes, r=pipe.read_end, w=pipe.write_end)
        return ends

    def read_file(self, me: Thread, handle: int, size_bytes: int) -> Steps:
        """ReadFile: bytes read, 0 at the end of file. Runs in `me`.

        Raises Win32Error 995 if it is cancelled while it waits.
        """
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        pipe = self._end(me, handle, writes=False).pipe
        while pipe.held_bytes == 0:
            if pipe.write_end.refs == 0:
                return 0
            woken = yield self._park(me, pipe.read_end, pipe.readers)
            self._wake_one(pipe.closers)
            if woken == CANCELLED:
                raise Win32Error(ERROR_OPERATION_ABORTED, "ReadFile", "it was cancelled")
            if woken == INTERRUPTED:
                return 0
        got = min(size_bytes, pipe.held_bytes)
        pipe.held_bytes -= got
        me.debt_us += got * me.costs.copy_us_per_byte
        self._wake_one(pipe.writers)
        if pipe.held_bytes:
            self._wake_one(pipe.readers)
        return got

    def write_file(
        self,
        me: Thread,
        handle: int,
        size_bytes: int,
        beyond: Callable[[], bool] | None = None,
    ) -> Steps:
        """WriteFile: bytes written, all of them. Runs in `me`.

        Where it would have to wait it asks `beyond`, if given: True lets the rest go into the
        pipe over its capacity (a workload's rule, not Windows').
        Raises Win32Error 109 if no read handle is left, 995 if it is cancelled while it waits.
        """
        me.debt_us += me.costs.call_us + size_bytes * me.costs.copy_us_per_byte
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        pipe = self._end(me, handle, writes=True).pipe
        left = size_bytes
        while True:
            if pipe.read_end.refs == 0:
                raise Win32Error(ERROR_BROKEN_PIPE, "WriteFile", "no reader is left")
            room = min(left, pipe.capacity_bytes - pipe.held_bytes)
            if room > 0:
                pipe.held_bytes += room
                left -= room
                self._wake_one(pipe.readers)
            if left and beyond is not None and beyond():
                pipe.held_bytes += left
                left = 0
                self._wake_one(pipe.readers)
            if left == 0:
                if pipe.held_bytes < pipe.capacity_bytes:
                    self._wake_one(pipe.writers)
                return size_bytes
            if (yield self._park(me, pipe.write_end, pipe.writers)) == CANCELLED:
                raise Win32Error(ERROR_OPERATION_ABORTED, "WriteFile", "it was cancelled")

    def interrupt_pipes(self, processes: Iterable[Process]) -> None:
        """Let reads and writes that hold these processes return: a signal has come for them."""
        for process in processes:
            for thread in process.threads:
                wait = thread.wait
                if isinstance(wait, Parked) and wait.kind == "pipe":
                    thread.end_wait(INTERRUPTED)

    def _park(self, me: Thread, end: PipeEnd, queue: list[Thread]) -> simpy.Event:
        parked = Parked(me, "pipe", self.engine, end, queue)
        me.wait = parked
        if me.on_cpu:
            self.processors.give_up(me)
        return parked.event

    def _wake_one(self, queue: list[Thread]) -> None:
        if queue:
            queue[0].end_wait(None)

    def _end(self, me: Thread, handle: int, writes: bool) -> PipeEnd:
        end = self.object(me, handle)
        if not isinstance(end, PipeEnd) or end.writes != writes:
            what = "write" if writes else "read"
            raise Win32Error(ERROR_INVALID_HANDLE, "pipe", f"{handle:#x} is no {what} end")
        return end
