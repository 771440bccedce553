"""Calls that open what exists already, and that ask for or change what a handle is.

Source: conformance cases of the groups handle, event and process; the Win32 documentation.
"""

from __future__ import annotations

from dataclasses import replace

from models.win32.errors import (
    ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    Win32Error,
)
from models.win32.handles import Special
from models.win32.kernel_core import KernelCore, Named
from models.win32.objects import Event, Mutex, Semaphore
from models.win32.thread import Process, Thread

HANDLE_FLAG_INHERIT = 1  # winbase.h
HANDLE_FLAG_PROTECT_FROM_CLOSE = 2


class HandleCalls(KernelCore):
    """Opening by name or id, and handle flags."""

    def open_event(
        self, me: Thread, name: str, inherit: bool = False, access: int | None = None
    ) -> int:
        """OpenEvent: the handle. Raises Win32Error 2 if there is none, 6 for another kind."""
        return self._open(me, name, Event, "OpenEvent", inherit, access)

    def open_mutex(
        self, me: Thread, name: str, inherit: bool = False, access: int | None = None
    ) -> int:
        """OpenMutex: the handle. Raises Win32Error 2, 6."""
        return self._open(me, name, Mutex, "OpenMutex", inherit, access)

    def open_semaphore(
        self, me: Thread, name: str, inherit: bool = False, access: int | None = None
    ) -> int:
        """OpenSemaphore: the handle. Raises Win32Error 2, 6."""
        return self._open(me, name, Semaphore, "OpenSemaphore", inherit, access)

    def open_process(
        self, me: Thread, pid: int, inherit: bool = False, access: int | None = None
    ) -> int:
        """OpenProcess: the handle. A process is found while it runs or a handle keeps it.

        Raises Win32Error 87 if no process has that id.
        """
        me.debt_us += me.costs.handle_us
        process = self.processes.get(pid)
        if process is None or not _kept(process):
            raise Win32Error(ERROR_INVALID_PARAMETER, "OpenProcess", f"no process {pid}")
        handle = me.process.handles.add(process, inherit)
        if access is not None:
            me.process.handles.mark(handle, Special(access))
        return handle

    def get_handle_information(self, me: Thread, handle: int) -> int:
        """GetHandleInformation: HANDLE_FLAG_ bits. Raises Win32Error 6."""
        me.debt_us += me.costs.handle_us
        handles = me.process.handles
        protected = handles.marked(handle).protected
        return (HANDLE_FLAG_INHERIT if handles.inherits(handle) else 0) | (
            HANDLE_FLAG_PROTECT_FROM_CLOSE if protected else 0
        )

    def protect_from_close(self, me: Thread, handle: int, on: bool) -> None:
        """SetHandleInformation(HANDLE_FLAG_PROTECT_FROM_CLOSE). Raises Win32Error 6."""
        me.debt_us += me.costs.handle_us
        handles = me.process.handles
        handles.mark(handle, replace(handles.marked(handle), protected=on))

    def get_exit_code_thread(self, me: Thread, handle: int) -> int:
        """GetExitCodeThread: 259 while it runs. Raises Win32Error 6."""
        me.debt_us += me.costs.call_us
        thread = self.object(me, handle)
        if not isinstance(thread, Thread):
            raise Win32Error(ERROR_INVALID_HANDLE, "GetExitCodeThread", f"{handle:#x}")
        return thread.exit_code

    def _open(
        self, me: Thread, name: str, kind: type[Named], call: str, inherit: bool, access: int | None
    ) -> int:
        me.debt_us += me.costs.handle_us
        obj = self.named(name, kind, call)
        if obj is None:
            raise Win32Error(ERROR_FILE_NOT_FOUND, call, f"there is no {name}")
        handle = me.process.handles.add(obj, inherit)
        if access is not None:
            me.process.handles.mark(handle, Special(access))
        return handle


def _kept(process: Process) -> bool:
    return process.alive or process.refs > 0 or any(t.refs for t in process.threads)
