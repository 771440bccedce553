"""Finding objects by name or id, and asking handles and the system about themselves.

A name lives as long as a handle to its object; a process can be found by its id as long as it runs
or a handle to it or one of its threads is open.  A handle grants all access unless it was asked for
with less; only events and waits look at what it grants.

Source: conformance cases `event_named_*`, `event_access_*`, `process_object_lifetime`, `sysinfo`,
`cp_pi_ids`, `cp_detached_*`, and the Win32 documentation of the calls.
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
from models.win32.memory import ALLOCATION_GRANULARITY, PAGE_BYTES
from models.win32.objects import Event, File, Mutex, Semaphore
from models.win32.thread import Thread

HANDLE_FLAG_INHERIT = 0x1  # winbase.h
HANDLE_FLAG_PROTECT_FROM_CLOSE = 0x2


class ObjectCalls(KernelCore):
    """Calls that look an object up, and calls that ask."""

    def open_event(
        self, me: Thread, name: str, inherit: bool = False, access: int | None = None
    ) -> int:
        """OpenEvent: the handle. Raises Win32Error 2 for no such name, 6 for another kind."""
        return self._open(me, name, Event, "OpenEvent", inherit, access)

    def open_mutex(
        self, me: Thread, name: str, inherit: bool = False, access: int | None = None
    ) -> int:
        """OpenMutex: the handle. Raises Win32Error 2 for no such name, 6 for another kind."""
        return self._open(me, name, Mutex, "OpenMutex", inherit, access)

    def open_semaphore(
        self, me: Thread, name: str, inherit: bool = False, access: int | None = None
    ) -> int:
        """OpenSemaphore: the handle. Raises Win32Error 2 for no such name, 6 for another kind."""
        return self._open(me, name, Semaphore, "OpenSemaphore", inherit, access)

    def open_process(self, me: Thread, pid: int, inherit: bool = False) -> int:
        """OpenProcess: the handle. Raises Win32Error 87 if no such process object is left."""
        me.debt_us += me.costs.handle_us
        process = self.processes.get(pid)
        if process is None or not (
            process.alive or process.refs or any(thread.refs for thread in process.threads)
        ):
            raise Win32Error(ERROR_INVALID_PARAMETER, "OpenProcess", f"no process {pid:#x}")
        handle = me.process.handles.add(process, inherit)
        if self.calls is not None:
            self.row(me, "OpenProcess", inherit=inherit, h=process, hv=handle)
        return handle

    def get_handle_information(self, me: Thread, handle: int) -> int:
        """GetHandleInformation: HANDLE_FLAG_ bits. Raises Win32Error 6."""
        me.debt_us += me.costs.handle_us
        handles = me.process.handles
        flags = HANDLE_FLAG_INHERIT if handles.inherits(handle) else 0
        if handles.marked(handle).protected:
            flags |= HANDLE_FLAG_PROTECT_FROM_CLOSE
        return flags

    def set_handle_information(self, me: Thread, handle: int, mask: int, flags: int) -> None:
        """SetHandleInformation: the bits of `mask` become those of `flags`.

        Raises Win32Error 87 for bits that do not exist, 6.
        """
        if mask & ~(HANDLE_FLAG_INHERIT | HANDLE_FLAG_PROTECT_FROM_CLOSE):
            raise Win32Error(ERROR_INVALID_PARAMETER, "SetHandleInformation", f"mask {mask:#x}")
        me.debt_us += me.costs.handle_us
        handles = me.process.handles
        special = handles.marked(handle)
        if mask & HANDLE_FLAG_INHERIT:
            handles.set_inherit(handle, bool(flags & HANDLE_FLAG_INHERIT))
        if mask & HANDLE_FLAG_PROTECT_FROM_CLOSE:
            protected = bool(flags & HANDLE_FLAG_PROTECT_FROM_CLOSE)
            handles.mark(handle, replace(special, protected=protected))

    def get_exit_code_thread(self, me: Thread, handle: int) -> int:
        """GetExitCodeThread: 259 while it runs. Raises Win32Error 6."""
        me.debt_us += me.costs.call_us
        thread = self.object(me, handle)
        if not isinstance(thread, Thread):
            raise Win32Error(ERROR_INVALID_HANDLE, "GetExitCodeThread", f"{handle:#x}")
        return thread.exit_code

    def get_system_info(self, me: Thread) -> tuple[int, int]:
        """GetSystemInfo: page size and allocation granularity [bytes]."""
        me.debt_us += me.costs.call_us
        return PAGE_BYTES, ALLOCATION_GRANULARITY

    def open_console(self, me: Thread, inherit: bool = False) -> int:
        """CreateFile("CONOUT$"): the handle. Raises Win32Error 6 in a process without a console."""
        me.debt_us += me.costs.handle_us
        if not me.process.console:
            raise Win32Error(ERROR_INVALID_HANDLE, "CreateFile", "the process has no console")
        return me.process.handles.add(File("console"), inherit)

    def _open(
        self,
        me: Thread,
        name: str,
        kind: type[Named],
        api: str,
        inherit: bool,
        access: int | None,
    ) -> int:
        me.debt_us += me.costs.handle_us
        obj = self.named(name, kind, api)
        handle = 0
        if obj is not None:
            handle = me.process.handles.add(obj, inherit)
            if access is not None:
                me.process.handles.mark(handle, Special(access=access))
        if self.calls is not None:
            self.row(me, api, name=name, inherit=inherit, h=obj, hv=handle)
        if obj is None:
            raise Win32Error(ERROR_FILE_NOT_FOUND, api, f"nothing is called {name!r}")
        return handle
