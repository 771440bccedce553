"""A slim reader/writer lock, of which only the exclusive side is used.

It belongs to one process and is no kernel object: no handle, not inherited, not recursive.  A
thread that finds it taken is held until it is its turn, the oldest first.

Source: the Win32 documentation of AcquireSRWLockExclusive; that the oldest is first is assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.win32.thread import Parked, Thread

if TYPE_CHECKING:
    from models.win32.kernel import Kernel
    from sim.engine import Steps


SRW_CALLS = "AcquireSRWLockExclusive", "ReleaseSRWLockExclusive"


class SrwLock:
    """A lock whose calls have these names in the rows; another kind may behave alike.

    owner: the thread that has it, None if it is free -- state
    """

    __slots__ = ("_calls", "_queue", "owner")

    def __init__(self, calls: tuple[str, str] = SRW_CALLS) -> None:
        self.owner: Thread | None = None
        self._calls = calls
        self._queue: list[Thread] = []

    def acquire(self, k: Kernel, me: Thread) -> Steps:
        """AcquireSRWLockExclusive. Runs in `me`. Raises ValueError if `me` has it already."""
        if self.owner is me:
            raise ValueError("the lock is not recursive: its owner would wait for itself")
        yield from k.settle(me)
        while self.owner is not None:
            parked = Parked(me, "lock", k.engine, None, self._queue)
            me.wait = parked
            if me.on_cpu:
                k.processors.give_up(me)
            yield parked.event
        self.owner = me
        if k.calls is not None:
            k.row(me, self._calls[0])

    def release(self, k: Kernel, me: Thread) -> None:
        """ReleaseSRWLockExclusive: the next one may go on."""
        if self.owner is not me:
            raise ValueError("the lock belongs to another thread")
        self.owner = None
        if k.calls is not None:
            k.row(me, self._calls[1])
        if self._queue:
            self._queue[0].end_wait(None)
