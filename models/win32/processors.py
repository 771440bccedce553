"""N equal processors shared by all threads, round-robin with a quantum.

A thread asks for a burst of processor time.  It keeps its processor from one burst to the next as
long as it does not wait and has quantum left; when the quantum is used up and another thread is
ready, it goes to the end of the queue.  Waiting threads use nothing.

A thread that loops for ever asks for an endless burst.  It keeps a processor, or its share of one,
like any other; but its end never comes, and endless bursts among themselves are not told apart, so
that a run in which nothing else can happen is over.

What must stay true: a running thread is in `_running`, a ready one in `_ready`, never in both; a
processor is free only if nobody is ready.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappush
from typing import TYPE_CHECKING

import simpy

from sim.engine import NORMAL

if TYPE_CHECKING:
    from models.win32.thread import Thread
    from sim.engine import Engine


class Burst(simpy.Event):
    """One request for processor time; it happens when the time has been used.

    left_us: still to be used, as of `started_us` -- state
    check: what ends its slice while others are ready, None if nothing does -- state
    """

    __slots__ = ("check", "left_us", "started_us", "thread")

    def __init__(self, engine: Engine, thread: Thread, us: float) -> None:
        self.env = engine  # NOTE: for speed: simpy.Event.__init__ written out, 0.9 us less
        self.callbacks = []
        self.thread = thread
        self.left_us = us
        self.started_us = 0.0
        self.check: simpy.Event | None = None


class Processors:
    """The processors of one machine.

    count: how many -- constant
    quantum_us: how long a thread may keep one while others are ready -- constant
    busy_us: processor time used so far by all threads -- state
    """

    def __init__(self, engine: Engine, count: int, quantum_us: float) -> None:
        if count < 1:
            raise ValueError(f"count ({count}) must be at least 1")
        if not quantum_us > 0:
            raise ValueError(f"quantum_us ({quantum_us}) must be positive")
        self.count = count
        self.quantum_us = quantum_us
        self.busy_us = 0.0
        self._engine = engine
        self._free = count
        self._ready: deque[Burst] = deque()
        self._running: list[Burst] = []
        self._endless = 0  # bursts that never end
        self._done_callback = self._done

    def pay(self, thread: Thread) -> Burst | None:
        """Use the time that `thread` owes: the event to yield, or None if it has passed already.

        It passes at once if a processor is to be had and nothing else happens before its end;
        nobody can tell that from an event of its own.
        """
        # NOTE: for speed: three of five bursts end here, for 0.4 us instead of 4; where nobody is
        # ready, one that has to be an event is `burst`, `_start` and `Engine.trigger` written out
        engine = self._engine
        us = thread.debt_us
        thread.debt_us = 0.0
        if self._ready or thread.suspend_count:
            return self.burst(thread, us)
        if not thread.on_cpu:
            if not self._free:
                return self.burst(thread, us)
            self._free -= 1
            thread.on_cpu = True
            thread.slice_left_us = self.quantum_us
        now = engine._now
        end_us = now + us
        queue = engine._queue
        if not queue or queue[0][0] > end_us:
            thread.slice_left_us -= us
            self.busy_us += us
            engine._now = end_us
            return None
        if thread.slice_left_us <= 0:
            thread.slice_left_us = self.quantum_us
        burst = thread.burst = Burst(engine, thread, us)
        burst.callbacks.append(self._done_callback)
        burst.started_us = now
        burst._ok = True
        burst._value = None
        self._running.append(burst)
        heappush(queue, (end_us, NORMAL, next(engine._eid), burst))
        return burst

    def burst(self, thread: Thread, us: float) -> Burst:
        """Ask for `us` of processor time for `thread`; the event happens when it was used."""
        burst = Burst(self._engine, thread, us)
        thread.burst = burst
        burst.callbacks.append(self._done_callback)
        if thread.suspend_count:
            self.give_up(thread)
            return burst
        if thread.on_cpu:
            if thread.slice_left_us > 0 or not self._ready:
                if thread.slice_left_us <= 0:
                    thread.slice_left_us = self.quantum_us
                self._start(burst)
                return burst
            self.give_up(thread)
        self._enter(burst)
        return burst

    def spin(self, thread: Thread) -> Burst:
        """Use a processor for ever: an event that never happens."""
        self._endless += 1
        return self.burst(thread, math.inf)

    def give_up(self, thread: Thread) -> None:
        """`thread` waits or ends: its processor goes to the next ready one."""
        if thread.on_cpu:
            thread.on_cpu = False
            self._free += 1
            self._dispatch()

    def withdraw(self, burst: Burst) -> None:
        """The thread was suspended: take its burst off the processor or out of the queue."""
        self._take_back(burst)
        self.give_up(burst.thread)

    def readmit(self, burst: Burst) -> None:
        """The thread was resumed: its burst queues again for the time that was left."""
        self._enter(burst)

    def abandon(self, burst: Burst) -> None:
        """The thread ends: its burst never happens."""
        self._take_back(burst)
        burst.thread.burst = None
        if burst.left_us == math.inf:
            self._endless -= 1

    def _enter(self, burst: Burst) -> None:
        if self._free:
            self._free -= 1
            burst.thread.on_cpu = True
            burst.thread.slice_left_us = self.quantum_us
            self._start(burst)
            return
        self._ready.append(burst)
        if len(self._ready) == 1 or self._endless:
            for running in self._running:
                self._limit(running)

    def _dispatch(self) -> None:
        if self._free and self._ready:
            self._enter(self._ready.popleft())

    def _start(self, burst: Burst) -> None:
        burst.started_us = self._engine._now
        self._running.append(burst)
        if burst.left_us < math.inf:
            self._engine.trigger(burst, burst.left_us)
        if self._ready:
            self._limit(burst)

    def _limit(self, burst: Burst) -> None:
        """Somebody is ready: let the slice of `burst` end at its quantum."""
        if burst.left_us == math.inf and all(b.left_us == math.inf for b in self._ready):
            return
        slice_end = burst.started_us + burst.thread.slice_left_us
        if burst.check is not None or burst.started_us + burst.left_us <= slice_end:
            return
        check = burst.check = simpy.Event(self._engine)
        check.callbacks.append(lambda _: self._preempt(burst))
        self._engine.trigger(check, max(0.0, slice_end - self._engine._now))

    def _preempt(self, burst: Burst) -> None:
        burst.check = None
        if not self._ready:
            return
        self._ready.append(self._take_back(burst))
        self.give_up(burst.thread)

    def _take_back(self, burst: Burst) -> Burst:
        """Undo the request; a new one for the time that is left, which stands in its place."""
        if burst in self._running:
            self._running.remove(burst)
            used = self._engine.now - burst.started_us
            self.busy_us += used
            burst.left_us -= used
        elif burst in self._ready:
            self._ready.remove(burst)
        if burst.check is not None:
            burst.check.callbacks = None  # type: ignore[assignment]  # it must not prolong the run
        thread = burst.thread
        again = Burst(self._engine, thread, max(0.0, burst.left_us))
        again.callbacks = burst.callbacks
        burst.callbacks = None  # type: ignore[assignment]  # the engine drops it when it comes up
        thread.burst = again
        if thread.sim is not None and thread.sim.target is burst:
            thread.sim._target = again
        return again

    def _done(self, event: simpy.Event) -> None:
        burst: Burst = event  # type: ignore[assignment]  # only bursts have this callback
        thread = burst.thread
        self._running.remove(burst)
        self.busy_us += burst.left_us
        thread.slice_left_us -= burst.left_us
        thread.burst = None
