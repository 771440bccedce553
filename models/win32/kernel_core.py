"""What all kernel calls share: time owed, rows of the trace, commit charge, ends of objects.

A call that only touches the caller's own handle table or memory is a plain function: it adds its
cost to what the thread owes.  A call that somebody else can notice is a generator: it pays what is
owed, and then takes effect.  So threads meet at those calls only, and at the times at which they
would meet if every call were paid by itself.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from models.win32.errors import (
    ERROR_COMMITMENT_LIMIT,
    ERROR_INVALID_HANDLE,
    STATUS_ACCESS_VIOLATION,
    STATUS_NO_MEMORY,
    AccessViolation,
    Win32Error,
)
from models.win32.handles import CURRENT_PROCESS, CURRENT_THREAD, HandleTable
from models.win32.memory import PAGE_BYTES
from models.win32.objects import KernelObject, PipeEnd, Section
from models.win32.processors import Burst, Processors
from models.win32.system import System
from models.win32.thread import Loop, Process, Thread
from models.win32.waits import signalled
from sim.engine import NOTHING, Engine, Steps
from sim.errors import SimError
from sim.trace import Row, Trace

Named = TypeVar("Named", bound=KernelObject)


HOLDING = frozenset({"section", "pipe"})  # kinds whose last handle matters to others


class ThreadEnd(BaseException):
    """Unwinds the steps of a thread that ended itself. Only the kernel raises and sees it."""


def _only(burst: Burst) -> Steps:
    yield burst


class KernelCore:
    """State of the machine.

    engine, processors, system, trace: what it is built on -- input
    commit_limit_bytes: most that can be committed, None for no limit -- constant
    committed_bytes, committed_peak_bytes: private pages and sections -- state
    names: named objects -- state
    processes: every process that ever was, by pid -- state
    crashes: (time [us], pid, program, message) of access violations and of memory that ran out,
        where the program did not handle it -- output
    """

    def __init__(
        self,
        engine: Engine,
        processors: Processors,
        system: System,
        trace: Trace,
        commit_limit_bytes: int | None = None,
    ) -> None:
        self.engine = engine
        self.processors = processors
        self.system = system
        self.trace = trace
        self.calls = trace.calls
        self.pay = processors.pay  # use the processor time that a thread owes
        self.commit_limit_bytes = commit_limit_bytes
        self.committed_bytes = 0
        self.committed_peak_bytes = 0
        self.names: dict[str, KernelObject] = {}
        self.processes: dict[int, Process] = {}
        self.crashes: list[tuple[float, int, str, str]] = []
        self.tickets: list[tuple[KernelObject, int]] = []  # sockets handed over, and to whom
        self._next_id = system.first_pid

    def settle(self, me: Thread) -> Steps:
        """Pay what is owed, before something that others can notice. Runs in `me`."""
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            return _only(burst)
        return NOTHING

    def work(self, me: Thread, us: float) -> Steps:
        """Use the processor for `us` beyond what is owed already. Runs in `me`."""
        me.debt_us += us
        yield from self.settle(me)

    def spin(self, me: Thread, what: str) -> Steps:
        """Use the processor for ever; `what` tells a report why. Runs in `me`; never returns."""
        yield from self.settle(me)
        me.loop = Loop(what, self.engine.now)
        yield self.processors.spin(me)

    def row(self, me: Thread, api: str, phase: str = "", /, **args: Any) -> None:
        """Write a row; call it only if `self.calls` is not None."""
        assert self.calls is not None
        at = self.engine.now + me.debt_us
        self.calls.append(Row(at, me.process.pid, me.tid, api, phase, args))

    def object(self, me: Thread, handle: int) -> KernelObject:
        """What `handle` stands for in the process of `me`. Raises Win32Error 6."""
        if handle < CURRENT_THREAD:
            return me.process.handles.get(handle)
        if handle == CURRENT_PROCESS:
            return me.process
        if handle == CURRENT_THREAD:
            return me
        return me.process.handles.get(handle)

    def process_of(self, me: Thread, handle: int) -> Process:
        """The process that `handle` stands for. Raises Win32Error 6 for anything else."""
        obj = self.object(me, handle)
        if not isinstance(obj, Process):
            raise Win32Error(ERROR_INVALID_HANDLE, "handle", f"{handle:#x} is not a process")
        return obj

    def charge(self, pages: int, call: str) -> None:
        """Count pages about to be committed. Raises Win32Error 1455 beyond the commit limit."""
        size = self.committed_bytes + pages * PAGE_BYTES
        if self.commit_limit_bytes is not None and size > self.commit_limit_bytes:
            raise Win32Error(ERROR_COMMITMENT_LIMIT, call, f"{size} bytes are over the limit")
        self.committed_bytes = size
        if size > self.committed_peak_bytes:
            self.committed_peak_bytes = size

    def discharge(self, pages: int) -> None:
        """Count pages given back."""
        self.committed_bytes -= pages * PAGE_BYTES

    def named(self, name: str, kind: type[Named], call: str) -> Named | None:
        """The object of that name, None if there is none or its last handle has been closed.

        Raises Win32Error 6 if the name belongs to an object of another kind.
        """
        obj = self.names.get(name)
        if obj is None or obj.refs == 0:
            return None
        if not isinstance(obj, kind):
            raise Win32Error(ERROR_INVALID_HANDLE, call, f"{name} is a {obj.kind}")
        return obj

    def new_id(self) -> int:
        """The next process or thread id."""
        new = self._next_id
        self._next_id += self.system.pid_step
        return new

    def handle_closed(self, obj: KernelObject) -> None:
        """A handle to `obj` was closed: after the last one, free what it holds; wake who is
        held by a pipe whose other end has changed hands.
        """
        if isinstance(obj, Section):
            if obj.refs == 0 and obj.views == 0:
                self.section_unused(obj)
        elif isinstance(obj, PipeEnd):
            pipe = obj.pipe
            if obj.refs == 0 or not obj.writes:
                for thread in (pipe.readers if obj.writes else pipe.writers)[:]:
                    thread.end_wait(None)

    def close_all(self, handles: HandleTable) -> None:
        """Close every handle of a table."""
        for obj in handles.empty():
            if obj.kind in HOLDING:
                self.handle_closed(obj)

    def section_unused(self, section: Section) -> None:
        """Free a section that has neither handles nor views."""
        if section.refs == 0 and section.views == 0:
            self.discharge(section.memory.committed_pages())
            section.memory.clear()
            if section.name and self.names.get(section.name) is section:
                del self.names[section.name]

    def thread_body(self, thread: Thread, steps: Steps) -> Steps:
        """Steps of a thread with its end: returning from the main thread ends the process."""
        try:
            code = yield from steps
            if thread.debt_us > 0 and (burst := self.pay(thread)) is not None:
                yield burst
        except ThreadEnd:
            return
        except AccessViolation as error:
            self._crash(thread, error, STATUS_ACCESS_VIOLATION)
            return
        except Win32Error as error:
            if error.code != ERROR_COMMITMENT_LIMIT:
                raise
            self._crash(thread, error, STATUS_NO_MEMORY)
            return
        if thread is thread.process.threads[0]:
            if self.calls is not None:
                self.row(thread, "ExitProcess", "call", code=code or 0)
            self.end_process(thread.process, code or 0, thread)
        else:
            self.end_thread(thread, code or 0)

    def _crash(self, thread: Thread, error: SimError, code: int) -> None:
        process = thread.process
        self.crashes.append((self.engine.now, process.pid, process.image.name, str(error)))
        self.end_process(process, code, thread)

    def end_thread(self, thread: Thread, code: int) -> None:
        """The thread is over: free its processor, abandon its mutexes, signal it."""
        if thread.on_cpu:
            self.processors.give_up(thread)
        thread.exit_code = code
        thread.ended = True
        thread.suspend_count = 0
        for mutex in thread.owned:
            mutex.owner, mutex.count, mutex.abandoned = None, 0, True
            signalled(mutex)
        thread.owned.clear()
        thread.forget_steps()
        signalled(thread)
        if thread.process.alive and all(t.ended for t in thread.process.threads):
            self.end_process(thread.process, code, thread)

    def end_process(self, process: Process, code: int, by: Thread | None) -> None:
        """The process is over: stop its threads, close its handles, free its memory, signal it.

        `by` is the thread that ends itself with it, None if another process does it.
        """
        process.ended_us = self.engine.now
        process.exit_code = code
        for thread in process.threads:
            if thread is not by and not thread.ended:
                thread.stop()
        self.close_all(process.handles)
        pages, sections = process.space.clear()
        for section in sections:
            if section.views == 0:
                self.section_unused(section)
        self.discharge(pages)
        signalled(process)
        for thread in process.threads:
            if not thread.ended:
                self.end_thread(thread, code)

    def end_now(self, me: Thread) -> NoReturn:
        """Leave the steps of a thread that has just ended."""
        raise ThreadEnd
