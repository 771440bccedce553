"""Threads and processes as kernel objects.

A thread runs *steps*, a generator that yields what it waits for; a SimPy process drives it.  It
owes processor time for the calls it made (`debt_us`) and pays before the next call that anybody
else could notice.  A suspended thread runs nothing: what would wake it is kept until it is resumed.

A process object is signalled when its process has ended, and stays as long as a handle to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import simpy

from models.win32.handles import HandleTable
from models.win32.objects import KernelObject, Mutex

if TYPE_CHECKING:
    from models.win32.address_space import AddressSpace
    from models.win32.costs import CostRow
    from models.win32.image import Image
    from models.win32.processors import Burst, Processors
    from models.win32.waits import Wait
    from sim.engine import Deadline, Engine, Steps

STILL_ACTIVE = 259  # GetExitCodeProcess while it runs


class Process(KernelObject):
    """A Win32 process.

    pid: process id -- constant
    image: the program it runs -- constant
    parent_pid: who created it, for reports only -- constant
    startup: what the creator passed in lpReserved2, None if nothing -- constant
    parameters: command line, environment and the like, None where nobody asks for them -- constant
    handles, space, threads: what it has -- state
    exit_code: 259 while it is alive -- state
    ended_us: when it ended -- state
    console: it has one, its own or its parent's -- state
    tag: what the measuring side wants to find again at the process; never read by the model
    """

    __slots__ = ("console", "created_us", "ended_us", "exit_code", "handles", "image",
                 "parameters", "parent_pid", "pid", "space", "startup", "tag",
                 "threads")  # fmt: skip
    kind = "process"
    waitable = True

    def __init__(
        self, pid: int, image: Image, space: AddressSpace, handles: HandleTable, parent_pid: int
    ) -> None:
        self.refs = 0
        self.role = ""
        self.waiters = []
        self.pid = pid
        self.image = image
        self.space = space
        self.handles = handles
        self.parent_pid = parent_pid
        self.startup: Any = None
        self.parameters: Any = None
        self.console = True
        self.threads: list[Thread] = []
        self.exit_code = STILL_ACTIVE
        self.created_us = 0.0
        self.ended_us: float | None = None
        self.tag: Any = None

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.ended_us is None

    def is_signalled(self, thread: Thread) -> bool:
        """Whether it has ended."""
        return self.ended_us is not None


class Parked:
    """A thread held by something that is not a wait for an object: a pipe, Sleep, a lock.

    kind: "pipe", "sleep", "lock", "io", "close" or "context" -- constant
    obj: the pipe end, or None -- constant
    """

    __slots__ = ("deadline", "event", "kind", "obj", "queue", "since_us", "thread")

    def __init__(
        self,
        thread: Thread,
        kind: str,
        engine: Engine,
        obj: KernelObject | None = None,
        queue: list[Thread] | None = None,
    ) -> None:
        self.thread = thread
        self.kind = kind
        self.obj = obj
        self.queue = queue
        self.event = simpy.Event(engine)
        self.since_us = engine.now
        self.deadline: Deadline | None = None
        if queue is not None:
            queue.append(thread)

    def leave(self) -> None:
        """Stop being held, for whatever reason."""
        if self.queue is not None and self.thread in self.queue:
            self.queue.remove(self.thread)
        if self.deadline is not None:
            self.deadline.cancel()
        self.thread.wait = None
        self.thread.left = self

    def hand_on(self) -> None:
        """Its thread ends before it ran on: the next one in the queue of the pipe is woken."""
        if self.queue:
            self.queue[0].end_wait(None)


class Loop(NamedTuple):
    """What a thread does for ever, and since when. Both are for reports only."""

    what: str
    since_us: float


class Thread(KernelObject):
    """A Win32 thread.

    suspend_count: runs only at 0 -- state
    shielded: it is where it must not be stopped; a suspension takes effect when it leaves -- state
    asked_to_stop: how often it was suspended meanwhile -- state
    watchers: threads that wait until it has stopped -- state
    costs: the durations that its calls cost now -- state
    debt_us: processor time owed for calls already made -- state
    wait: what holds it, None while it runs or is ready -- state
    waking: the event of its last wake-up; it has not run on before that is processed -- state
    left: the pipe or Sleep that held it last, None if nothing did -- state
    on_cpu: it has a processor right now -- state
    loop: it uses its processor for ever and never comes to its next step; None if not -- state
    ended: its steps are over, whatever its exit code is -- state
    last_error: GetLastError after a call that succeeded: 183 for an opened name, else 0; and
        where a call answers None instead of raising -- state
    """

    __slots__ = ("_engine", "_processors", "asked_to_stop", "burst", "costs", "debt_us", "ended",
                 "exit_code", "last_error", "left", "loop", "on_cpu", "owned", "pending", "process",
                 "shielded", "sim", "slice_left_us", "steps", "suspend_count", "tid", "wait",
                 "waking", "watchers")  # fmt: skip
    kind = "thread"
    waitable = True

    def __init__(
        self, process: Process, tid: int, engine: Engine, processors: Processors, costs: CostRow
    ) -> None:
        self.refs = 0
        self.role = ""
        self.waiters = []
        self.process = process
        self.tid = tid
        self.costs = costs
        self.debt_us = 0.0
        self.suspend_count = 0
        self.shielded = False
        self.asked_to_stop = 0
        self.watchers: list[Thread] = []
        self.steps: Steps | None = None
        self.sim: simpy.Process | None = None
        self.wait: Wait | Parked | None = None
        self.burst: Burst | None = None
        self.on_cpu = False
        self.slice_left_us = 0.0
        self.waking: simpy.Event | None = None
        self.left: Parked | None = None
        self.loop: Loop | None = None
        self.pending: tuple[simpy.Event, Any] | None = None
        self.owned: list[Mutex] = []
        self.exit_code = STILL_ACTIVE
        self.ended = False
        self.last_error = 0
        self._engine = engine
        self._processors = processors

    def is_signalled(self, thread: Thread) -> bool:
        """Whether it has ended."""
        return self.ended

    def start(self, steps: Steps) -> None:
        """Give the thread its steps; it runs at once unless it is suspended."""
        self.steps = steps
        if self.suspend_count == 0:
            self.sim = simpy.Process(self._engine, steps)

    def end_wait(self, value: Any) -> None:
        """End the wait that holds it, which then returns `value` to its steps.

        The thread goes on a wake-up delay later, or once it is resumed.
        """
        wait = self.wait
        assert wait is not None
        wait.leave()
        event = self.waking = wait.event
        if self.suspend_count:
            self.pending = (event, value)
        else:
            self._engine.trigger(event, self.costs.wake_us, value)

    def suspend(self) -> int:
        """SuspendThread: the count before. It loses its processor at once, unless `shielded`."""
        before = self.suspend_count
        if self.shielded:
            self.asked_to_stop += 1
            return self.asked_to_stop - 1
        self.suspend_count += 1
        if before == 0 and self.burst is not None:
            self._processors.withdraw(self.burst)
        elif before == 0 and self.is_waking():
            self._put_off_waking()
        return before

    def unshield(self) -> None:
        """It is where it can be stopped again; it runs nothing more if that was asked for.

        To be called by the thread itself, which stops at the next thing that takes time.
        """
        self.shielded = False
        self.suspend_count += self.asked_to_stop
        self.asked_to_stop = 0
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        for watcher in self.watchers[:]:
            watcher.end_wait(None)

    @property
    def doing(self) -> str:
        """What another thread finds it doing: "ended", "shielded", "runs", or what holds it."""
        if self.ended:
            return "ended"
        if self.shielded:
            return "shielded"
        wait = self.wait
        return "runs" if wait is None else wait.kind if isinstance(wait, Parked) else "waits"

    def is_waking(self) -> bool:
        """Whether a wake-up is under way and it has not run on yet."""
        waking = self.waking
        return waking is not None and waking.triggered and waking.callbacks is not None

    def _put_off_waking(self) -> None:
        """Keep a wake-up that is under way for when the thread is resumed."""
        waking, sim = self.waking, self.sim
        assert waking is not None
        again = simpy.Event(self._engine)
        again.callbacks = waking.callbacks
        waking.callbacks = None  # type: ignore[assignment]  # the engine drops it
        if sim is not None and sim.target is waking:
            sim._target = again
        self.pending = again, waking.value
        if self.left is not None and self.left.event is waking:
            self.left.event = again
        self.waking = again

    def resume(self) -> int:
        """ResumeThread: the count before; the thread goes on when it falls to 0."""
        if self.asked_to_stop:
            self.asked_to_stop -= 1
            if not self.asked_to_stop:
                self._tell_watchers()
            return self.asked_to_stop + 1
        before = self.suspend_count
        if before == 0:
            return 0
        self.suspend_count -= 1
        if before == 1:
            if self.steps is not None and self.sim is None:
                self.sim = simpy.Process(self._engine, self.steps)
            elif self.burst is not None:
                self._processors.readmit(self.burst)
            elif self.pending is not None:
                (event, value), self.pending = self.pending, None
                self._engine.trigger(event, self.costs.wake_us, value)
        return before

    def stop(self) -> None:
        """Take the thread out of everything it is in; its steps never run again."""
        left = self.left
        if left is not None and left.event is self.waking and (self.pending or self.is_waking()):
            left.hand_on()
        if self.wait is not None:
            self.wait.leave()
        if self.burst is not None:
            self._processors.abandon(self.burst)
        if self.on_cpu:
            self._processors.give_up(self)
        self.pending = None
        sim, steps = self.sim, self.steps
        target = None if sim is None or not sim.is_alive else sim.target
        if sim is not None and target is not None and target.callbacks is not None:
            callbacks, resume = target.callbacks, sim._resume
            callbacks[:] = [c for c in callbacks if c != resume]
            if not callbacks:
                target.callbacks = None  # type: ignore[assignment]  # taken back
        self.steps = None
        if steps is not None and self._engine.active_process is not sim:
            steps.close()
