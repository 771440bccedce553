"""The event loop: SimPy's environment with cheap deadlines and events that can be taken back.

Four things differ from `simpy.Environment`, and nothing else:

* A wait with a time limit puts no entry of its own into the event queue.  Equal limits expire in
  the order in which they were set, so each limit has one queue of deadlines and one armed event
  (PEERS.md §a measured this as the largest single gain).
* A deadline that was called off does not keep the run alive: a run ends at its last real event,
  not 300 s later.
* An event whose `callbacks` are None when its turn comes was taken back; it is dropped without
  moving the clock.
* The end of a `simpy.Process` that went well and that nobody waits for is no event.

The run loop is written out for speed.  Time is in microseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from types import GeneratorType
from typing import Any

import simpy
import simpy.core
import simpy.events

_Start = simpy.events.Initialize
NORMAL, URGENT = simpy.events.NORMAL, simpy.events.URGENT
StopSimulation = simpy.core.StopSimulation

Steps = Generator[simpy.Event, Any, Any]  # what a simulated thread runs

NOTHING: Steps = ()  # type: ignore[assignment]  # *constant*: steps that take no time and give None


class Deadline:
    """One limit of one wait.

    due_us: when it expires -- constant
    expired: what is called then; None once it was called off -- state
    """

    __slots__ = ("due_us", "expired")

    def __init__(self, due_us: float, expired: Callable[[], None]) -> None:
        self.due_us = due_us
        self.expired: Callable[[], None] | None = expired

    def cancel(self) -> None:
        """Call the deadline off; it will neither fire nor keep the run alive."""
        self.expired = None


class _Tick(simpy.Event):
    """The armed event of one queue of deadlines. Its callbacks are never used."""

    waiting: deque[Deadline]


class Engine(simpy.Environment):
    """A `simpy.Environment` with deadlines. Only this module makes one."""

    def __init__(self, initial_time: float = 0.0) -> None:
        super().__init__(initial_time)
        self._ticks: dict[float, _Tick] = {}

    def deadline(self, limit_us: float, expired: Callable[[], None]) -> Deadline:
        """Call `expired` in `limit_us` from now, unless the deadline is cancelled before.

        Raises ValueError for a negative limit.
        """
        if limit_us < 0:
            raise ValueError(f"limit_us ({limit_us}) must not be negative")
        entry = Deadline(self._now + limit_us, expired)
        tick = self._ticks.get(limit_us)
        if tick is None:
            tick = self._ticks[limit_us] = _Tick(self)
            tick._ok = True
            tick._value = None
            tick.waiting = deque()
        if not tick.waiting:
            heappush(self._queue, (entry.due_us, NORMAL, next(self._eid), tick))
        tick.waiting.append(entry)
        return entry

    def process(self, generator: Steps) -> simpy.Process:
        """As SimPy's: a process that runs `generator` from this moment on."""
        if type(generator) is not GeneratorType:
            return simpy.Process(self, generator)
        # NOTE: for speed: what three constructors do, written out; two processes for a creation
        made = simpy.Process.__new__(simpy.Process)
        made.env = self
        made.callbacks = []
        made._generator = generator
        start = made._target = _Start.__new__(_Start)
        start.env = self
        start.callbacks = [made._resume]
        start._value = None
        start._ok = True
        heappush(self._queue, (self._now, URGENT, next(self._eid), start))
        return made

    def schedule(self, event: simpy.Event, priority: Any = NORMAL, delay: float = 0) -> None:
        """As SimPy's; but a process that ended well, for which nobody waits, is over at once."""
        # NOTE: for speed: an end nobody sees takes 1.2 us as an event; each creation has two
        if event.__class__ is simpy.Process and event._ok and not event.callbacks and not delay:
            event.callbacks = None  # type: ignore[assignment]  # SimPy marks processed events so
            return
        heappush(self._queue, (self._now + delay, priority, next(self._eid), event))

    def trigger(self, event: simpy.Event, delay_us: float = 0.0, value: Any = None) -> None:
        """Let `event` happen in `delay_us` with `value`."""
        event._ok = True
        event._value = value
        heappush(self._queue, (self._now + delay_us, NORMAL, next(self._eid), event))

    def peek(self) -> float:
        """When the next thing really happens [us]; inf if nothing ever does.

        Lost deadlines and events that were taken back are dropped on the way.
        """
        queue = self._queue
        while queue:
            when, _, _, event = queue[0]
            callbacks: Any = event.callbacks
            if event.__class__ is not _Tick and callbacks is not None:
                return when
            if event.__class__ is _Tick:
                waiting = event.waiting
                while waiting and waiting[0].expired is None:
                    waiting.popleft()
                if waiting and waiting[0].due_us <= when:
                    return when
                if waiting:
                    heappush(queue, (waiting[0].due_us, NORMAL, next(self._eid), event))
            heappop(queue)
        return float("inf")

    def step(self) -> None:
        """Process the next event. Raises EmptySchedule if there is none."""
        while True:
            try:
                when, _, _, event = heappop(self._queue)
            except IndexError:
                raise simpy.core.EmptySchedule from None
            if event.__class__ is _Tick:
                if self._expire(event, when):
                    return
                continue
            callbacks: Any = event.callbacks
            if callbacks is None:
                continue
            self._now = when
            event.callbacks = None  # type: ignore[assignment]  # SimPy marks processed events so
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise _same_error(event._value)
            return

    def run(self, until: float | simpy.Event | None = None) -> Any:
        """Run to the last event, to a time, or to an event (whose value is returned).

        Raises ValueError if the time is not in the future, and RuntimeError if the event can
        never happen; the error of a failed event nobody handled is raised as it is.
        """
        if until is not None:
            if not isinstance(until, simpy.Event):
                at = float(until)
                if at <= self._now:
                    raise ValueError(f"until ({at}) must be greater than the current time.")
                until = simpy.Event(self)
                until._ok = True
                until._value = None
                heappush(self._queue, (at, URGENT, next(self._eid), until))
            callbacks: Any = until.callbacks
            if callbacks is None:
                return until.value
            callbacks.append(StopSimulation.callback)
        try:
            self._run()
        except StopSimulation as stop:
            return stop.args[0]
        if isinstance(until, simpy.Event) and not until.triggered:
            raise RuntimeError(
                f'No scheduled events left but "until" event was not triggered: {until}'
            )
        return None

    def _run(self) -> None:
        # NOTE: for speed: the body of `step` without its call (PEERS §a: 1.3 times the events)
        queue = self._queue
        while queue:
            when, _, _, event = heappop(queue)
            if event.__class__ is _Tick:
                self._expire(event, when)
                continue
            callbacks: Any = event.callbacks
            if callbacks is None:
                continue
            self._now = when
            event.callbacks = None  # type: ignore[assignment]  # SimPy marks processed events so
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise _same_error(event._value)

    def _expire(self, tick: _Tick, when: float) -> bool:
        """Fire the deadlines that are due; whether the clock moved. Re-arms for the next one."""
        waiting = tick.waiting
        while waiting and waiting[0].expired is None:
            waiting.popleft()
        if not waiting:
            return False
        moved = False
        if waiting[0].due_us <= when:
            self._now = when
            moved = True
            while waiting and waiting[0].due_us <= when:
                expired = waiting.popleft().expired
                if expired is not None:
                    expired()
            while waiting and waiting[0].expired is None:
                waiting.popleft()
        if waiting:
            heappush(self._queue, (waiting[0].due_us, NORMAL, next(self._eid), tick))
        return moved


def _same_error(error: BaseException) -> BaseException:
    """The error as SimPy re-raises it: a new one of the same type, caused by the first."""
    again = type(error)(*error.args)
    again.__cause__ = error
    return again
