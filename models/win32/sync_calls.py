"""Events, mutexes, semaphores and waiting, as a program calls them."""

from __future__ import annotations

from collections.abc import Sequence

from models.win32.errors import (
    ERROR_ALREADY_EXISTS,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    ERROR_NOT_OWNER,
    ERROR_TOO_MANY_POSTS,
    Win32Error,
)
from models.win32.kernel_core import KernelCore, Named
from models.win32.objects import Event, KernelObject, Mutex, Semaphore
from models.win32.thread import Parked, Thread
from models.win32.waits import INFINITE, WAIT_TIMEOUT, Wait, satisfied, signalled
from sim.engine import Steps

MAXIMUM_WAIT_OBJECTS = 64  # winnt.h
EVENT_MODIFY_STATE = 0x2
SYNCHRONIZE = 0x100000


class SyncCalls(KernelCore):
    """Calls on dispatcher objects."""

    def create_event(
        self,
        me: Thread,
        manual: bool,
        inherit: bool = False,
        is_set: bool = False,
        role: str = "",
        name: str = "",
    ) -> int:
        """CreateEvent: the handle; a named one that exists is opened as it is."""
        me.debt_us += me.costs.handle_us
        event = self._existing(me, name, Event, "CreateEvent") if name else None
        if event is None:
            event = Event(manual, is_set, role)
            if name:
                self.names[name] = event
        handle = me.process.handles.add(event, inherit)
        if self.calls is not None:
            self.row(me, "CreateEvent", manual=manual, inherit=inherit, initial=is_set,
                     h=event, hv=handle)  # fmt: skip
        return handle

    def create_mutex(
        self, me: Thread, owned: bool = False, inherit: bool = False, name: str = ""
    ) -> int:
        """CreateMutex: the handle; a named one that exists is opened."""
        me.debt_us += me.costs.handle_us
        mutex = self._existing(me, name, Mutex, "CreateMutex") if name else None
        if mutex is None:
            mutex = Mutex(me if owned else None)
            if name:
                self.names[name] = mutex
        handle = me.process.handles.add(mutex, inherit)
        if self.calls is not None:
            self.row(me, "CreateMutex", inherit=inherit, owned=owned, name=name, h=mutex,
                     hv=handle)  # fmt: skip
        return handle

    def create_semaphore(
        self,
        me: Thread,
        count: int = 0,
        maximum: int = 0x7FFFFFFF,
        inherit: bool = False,
        name: str = "",
        role: str = "",
    ) -> int:
        """CreateSemaphore: the handle; a named one that exists is opened."""
        if not 0 <= count <= maximum or maximum < 1:
            raise Win32Error(ERROR_INVALID_PARAMETER, "CreateSemaphore", f"{count} of {maximum}")
        me.debt_us += me.costs.handle_us
        semaphore = self._existing(me, name, Semaphore, "CreateSemaphore") if name else None
        if semaphore is None:
            semaphore = Semaphore(count, maximum, role)
            if name:
                self.names[name] = semaphore
        handle = me.process.handles.add(semaphore, inherit)
        if self.calls is not None:
            self.row(me, "CreateSemaphore", inherit=inherit, initial=count, max=maximum,
                     h=semaphore, hv=handle)  # fmt: skip
        return handle

    def set_event(self, me: Thread, handle: int) -> Steps:
        """SetEvent. Raises Win32Error 6 if the handle is not an event, 5 without access."""
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        event = self._event(me, handle, "SetEvent")
        event.is_set = True
        if self.calls is not None:
            self.row(me, "SetEvent", h=event, hv=handle)
        if event.waiters:
            signalled(event)

    def reset_event(self, me: Thread, handle: int) -> Steps:
        """ResetEvent. Raises Win32Error 6 if the handle is not an event. Runs in `me`."""
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        event = self._event(me, handle, "ResetEvent")
        event.is_set = False
        if self.calls is not None:
            self.row(me, "ResetEvent", h=event, hv=handle)

    def release_semaphore(self, me: Thread, handle: int, count: int = 1) -> Steps:
        """ReleaseSemaphore: the count before. Raises Win32Error 298 over the maximum, 87."""
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        semaphore = self.object(me, handle)
        if not isinstance(semaphore, Semaphore):
            raise Win32Error(ERROR_INVALID_HANDLE, "ReleaseSemaphore", f"{handle:#x}")
        if count < 1:
            raise Win32Error(ERROR_INVALID_PARAMETER, "ReleaseSemaphore", f"{count} more")
        if semaphore.count + count > semaphore.maximum:
            raise Win32Error(ERROR_TOO_MANY_POSTS, "ReleaseSemaphore", f"{count} more")
        before = semaphore.count
        semaphore.count += count
        if self.calls is not None:
            self.row(me, "ReleaseSemaphore", h=semaphore, hv=handle, count=count)
        signalled(semaphore)
        return before

    def release_mutex(self, me: Thread, handle: int) -> Steps:
        """ReleaseMutex. Raises Win32Error 288 if `me` does not own it."""
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        mutex = self.object(me, handle)
        if not isinstance(mutex, Mutex):
            raise Win32Error(ERROR_INVALID_HANDLE, "ReleaseMutex", f"{handle:#x}")
        if mutex.owner is not me:
            raise Win32Error(ERROR_NOT_OWNER, "ReleaseMutex", "it belongs to another thread")
        mutex.count -= 1
        if mutex.count == 0:
            mutex.owner = None
            me.owned.remove(mutex)
            signalled(mutex)
        if self.calls is not None:
            self.row(me, "ReleaseMutex", h=mutex, hv=handle)

    def wait_for_single_object(self, me: Thread, handle: int, ms: int = INFINITE) -> Steps:
        """WaitForSingleObject: WAIT_OBJECT_0, WAIT_ABANDONED_0 or WAIT_TIMEOUT. Runs in `me`."""
        return self._wait(me, (handle,), False, ms, "WaitForSingleObject")

    def wait_for_multiple_objects(
        self, me: Thread, handles: Sequence[int], wait_all: bool = False, ms: int = INFINITE
    ) -> Steps:
        """WaitForMultipleObjects: WAIT_OBJECT_0 + i, WAIT_ABANDONED_0 + i or WAIT_TIMEOUT.

        Raises Win32Error 87 for none or more than 64 handles and for an object twice in a wait
        for all, 6 for one that cannot be waited for. Runs in `me`.
        """
        if not 1 <= len(handles) <= MAXIMUM_WAIT_OBJECTS:
            raise Win32Error(
                ERROR_INVALID_PARAMETER, "WaitForMultipleObjects", f"{len(handles)} handles"
            )
        return self._wait(me, handles, wait_all, ms, "WaitForMultipleObjects")

    def wait_polling(self, me: Thread, handles: Sequence[int], every_ms: int) -> Steps:
        """A loop of waits for any of `handles` that ask again after each time-out of `every_ms`.

        The time-outs change nothing, so they are one wait without a limit here; rows carry
        `every_ms`.  (Cygwin's wait_subproc: CYGWIN.md §i.)
        """
        return self._wait(me, handles, False, INFINITE, "WaitForMultipleObjects", every_ms)

    def sleep(self, me: Thread, us: float | None) -> Steps:
        """Sleep for `us`; None never wakes by itself. Runs in `me`."""
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        parked = Parked(me, "sleep", self.engine)
        me.wait = parked
        if us is not None:
            parked.deadline = self.engine.deadline(us, lambda: me.end_wait(None))
        if me.on_cpu:
            self.processors.give_up(me)
        yield parked.event

    def _wait(
        self,
        me: Thread,
        handles: Sequence[int],
        wait_all: bool,
        ms: int,
        api: str,
        every_ms: int | None = None,
    ) -> Steps:
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        table = me.process.handles
        try:
            objects = list(map(table.get, handles))
        except Win32Error:  # a pseudo handle, or one that is not open
            objects = [self.object(me, h) for h in handles]
        for obj in objects:
            if not obj.waitable:
                raise Win32Error(ERROR_INVALID_HANDLE, api, f"a {obj.kind} cannot be waited for")
        if wait_all and len({id(obj) for obj in objects}) < len(objects):
            raise Win32Error(ERROR_INVALID_PARAMETER, api, "one object twice")
        if table.special:
            for handle in handles:
                table.require(handle, SYNCHRONIZE)
        if self.calls is not None:
            self.row(me, api, "call", hs=objects, all=wait_all, ms=every_ms or ms)
        result = satisfied(me, objects, wait_all)
        if result is None:
            if ms == 0:
                result = WAIT_TIMEOUT
            else:
                wait = Wait(me, objects, wait_all, self.engine)
                me.wait = wait
                if ms != INFINITE:
                    wait.deadline = self.engine.deadline(
                        ms * 1000.0, lambda: me.end_wait(WAIT_TIMEOUT)
                    )
                if me.on_cpu:
                    self.processors.give_up(me)
                result = yield wait.event
        if self.calls is not None:
            woke = objects[result & 63] if result != WAIT_TIMEOUT else None
            self.row(me, api, "return", hs=objects, all=wait_all, ms=every_ms or ms,
                     ret=result, woke=woke)  # fmt: skip
        return result

    def _event(self, me: Thread, handle: int, call: str) -> Event:
        obj: KernelObject = self.object(me, handle)
        if not isinstance(obj, Event):
            raise Win32Error(ERROR_INVALID_HANDLE, call, f"{handle:#x} is not an event")
        if me.process.handles.special:
            me.process.handles.require(handle, EVENT_MODIFY_STATE)
        return obj

    def _existing(self, me: Thread, name: str, kind: type[Named], call: str) -> Named | None:
        obj = self.named(name, kind, call)
        me.last_error = ERROR_ALREADY_EXISTS if obj is not None else 0
        return obj
