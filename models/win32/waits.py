"""Waiting for kernel objects, and who is woken when one is signalled.

A satisfied wait takes what it waited for at the moment of the signal (an auto-reset event is
consumed then), and its thread runs on a wake-up delay later.  Of several waits for one object the
oldest is served first; of several objects of one wait the lowest index wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import simpy

from models.win32.objects import KernelObject

if TYPE_CHECKING:
    from models.win32.thread import Thread
    from sim.engine import Deadline, Engine

INFINITE = -1  # [ms]
WAIT_OBJECT_0 = 0
WAIT_ABANDONED_0 = 0x80
WAIT_TIMEOUT = 0x102


class Wait:
    """One call of WaitForSingleObject or WaitForMultipleObjects that has to wait.

    thread, objects, wait_all: as asked -- constant
    event: what the thread's steps yield -- state
    deadline: the time limit, None without one -- state
    since_us: when it began -- constant
    """

    __slots__ = ("deadline", "event", "objects", "since_us", "thread", "wait_all")

    def __init__(
        self, thread: Thread, objects: Sequence[KernelObject], wait_all: bool, engine: Engine
    ) -> None:
        self.thread = thread
        self.objects = objects
        self.wait_all = wait_all
        self.event = simpy.Event(engine)
        self.deadline: Deadline | None = None
        self.since_us = engine._now
        for obj in objects:
            obj.waiters.append(self)

    def leave(self) -> None:
        """Stop waiting, for whatever reason."""
        for obj in self.objects:
            obj.waiters.remove(self)
        if self.deadline is not None:
            self.deadline.cancel()
        self.thread.wait = None


def satisfied(thread: Thread, objects: Sequence[KernelObject], wait_all: bool) -> int | None:
    """Take what a wait needs if it is there: the value the wait returns, else None."""
    if not wait_all:
        i = WAIT_OBJECT_0
        for obj in objects:
            if obj.is_signalled(thread):
                return i + WAIT_ABANDONED_0 if obj.take(thread) else i
            i += 1
        return None
    for obj in objects:
        if not obj.is_signalled(thread):
            return None
    abandoned = None
    for i, obj in enumerate(objects):
        if obj.take(thread) and abandoned is None:
            abandoned = WAIT_ABANDONED_0 + i
    return WAIT_OBJECT_0 if abandoned is None else abandoned


def signalled(obj: KernelObject) -> None:
    """`obj` has become signalled: end every wait that it now satisfies, oldest first."""
    for wait in obj.waiters[:]:
        thread = wait.thread
        if thread.wait is not wait:  # it named the object twice and has been ended
            continue
        result = satisfied(thread, wait.objects, wait.wait_all)
        if result is not None:
            thread.end_wait(result)
