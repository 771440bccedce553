"""What one thread can do to another of its process, beyond suspending it.

TerminateThread lets its target run nothing more, wherever it is: a mutex that it owns is abandoned,
a lock that is no kernel object (`srw_lock.py`, a critical section) stays taken for ever, and what
the thread had begun stays undone.  SuspendThread asks only; GetThreadContext answers when the
target has really stopped.  CancelSynchronousIo ends whatever call on a file the target waits in,
without asking which.

Source: the Win32 documentation of these calls and Knowledge Base Q101193; that SuspendThread is
asynchronous: devblogs.microsoft.com/oldnewthing/20150205-00.  Assumed: that TerminateThread of a
thread that has ended succeeds; that it takes effect before it returns.
"""

from __future__ import annotations

import simpy

from models.win32.errors import ERROR_INVALID_HANDLE, ERROR_NOT_FOUND, Win32Error
from models.win32.objects import PipeEnd
from models.win32.pipe_calls import CANCELLED
from models.win32.process_calls import ProcessCalls
from models.win32.thread import Parked, Thread
from sim.engine import Steps


class ThreadCalls(ProcessCalls):
    """TerminateThread, GetThreadContext, CancelSynchronousIo, and calls that they can meet."""

    def terminate_thread(self, me: Thread, handle: int, code: int = 0) -> Steps:
        """TerminateThread. Runs in `me`; does not return if that is the target.

        The process ends with its last thread. Raises Win32Error 6.
        """
        me.debt_us += me.costs.call_us
        yield from self.settle(me)
        thread = self._thread(me, handle)
        if self.calls is not None:
            self.row(me, "TerminateThread", h=thread, hv=handle, code=code, found=thread.doing)
        if thread.ended:
            return
        if thread is me:
            self.end_thread(me, code & 0xFFFFFFFF)
            self.end_now(me)
        was_in = thread.wait.obj if isinstance(thread.wait, Parked) else None
        thread.stop()
        self.end_thread(thread, code & 0xFFFFFFFF)
        closers = was_in.pipe.closers if isinstance(was_in, PipeEnd) else []
        for other in (*thread.watchers, *closers):
            other.end_wait(None)

    def get_thread_context(self, me: Thread, handle: int) -> Steps:
        """GetThreadContext: returns once a suspended target has really stopped. Runs in `me`.

        A target that nobody suspended is not waited for. Raises Win32Error 6.
        """
        me.debt_us += me.costs.call_us
        yield from self.settle(me)
        thread = self._thread(me, handle)
        if self.calls is not None:
            self.row(me, "GetThreadContext", "call", h=thread, hv=handle)
        while thread.asked_to_stop and not thread.ended:
            yield self._held(me, "context", thread.watchers)
        if self.calls is not None:
            self.row(me, "GetThreadContext", "return", h=thread, hv=handle)

    def cancel_synchronous_io(self, me: Thread, handle: int) -> Steps:
        """CancelSynchronousIo of a thread. Runs in `me`.

        Raises Win32Error 1168 if the thread waits in no call on a file, 6.
        """
        me.debt_us += me.costs.call_us
        yield from self.settle(me)
        thread = self._thread(me, handle)
        wait = thread.wait
        if self.calls is not None:
            self.row(me, "CancelSynchronousIo", h=thread, hv=handle, found=thread.doing)
        if not isinstance(wait, Parked) or wait.kind not in ("pipe", "io"):
            raise Win32Error(ERROR_NOT_FOUND, "CancelSynchronousIo", "it waits in no such call")
        thread.end_wait(CANCELLED)

    def synchronous_io(self, me: Thread, us: float) -> Steps:
        """A call on some device that takes `us` without a processor; whether it was carried out.

        False if it was cancelled. Runs in `me`.
        """
        yield from self.settle(me)
        parked = Parked(me, "io", self.engine)
        me.wait = parked
        parked.deadline = self.engine.deadline(us, lambda: me.end_wait(None))
        if me.on_cpu:
            self.processors.give_up(me)
        return (yield parked.event) != CANCELLED

    def close_pipe_end(self, me: Thread, handle: int) -> Steps:
        """CloseHandle of a pipe end, which waits until no other thread here is in a call on it.

        Runs in `me`. Raises Win32Error 6.
        Source: seen in a debugger, MSYS2-packages#4340; that it is the rule is assumed.
        """
        yield from self.settle(me)
        end = self.object(me, handle)
        if not isinstance(end, PipeEnd):
            raise Win32Error(ERROR_INVALID_HANDLE, "CloseHandle", f"{handle:#x} is no pipe")
        while any(isinstance(t.wait, Parked) and t.wait.obj is end for t in me.process.threads):
            yield self._held(me, "close", end.pipe.closers, end)
        self.close_handle(me, handle)

    def _held(
        self, me: Thread, kind: str, queue: list[Thread], obj: PipeEnd | None = None
    ) -> simpy.Event:
        parked = Parked(me, kind, self.engine, obj, queue)
        me.wait = parked
        if me.on_cpu:
            self.processors.give_up(me)
        return parked.event
