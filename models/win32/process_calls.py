"""Processes, threads and handles, as a program calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from models.win32.address_space import AddressSpace
from models.win32.costs import CostRow
from models.win32.errors import (
    ERROR_ACCESS_DENIED,
    ERROR_DIRECTORY,
    ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    ERROR_SIGNAL_REFUSED,
    Win32Error,
)
from models.win32.handles import CURRENT_PROCESS, CURRENT_THREAD, HandleTable, Special
from models.win32.image import Image, NoProgram, load
from models.win32.kernel_core import HOLDING, KernelCore
from models.win32.objects import KernelObject
from models.win32.thread import Process, Thread
from sim.engine import Steps

CREATE_SUSPENDED = 0x4  # winbase.h
DETACHED_PROCESS = 0x8
CREATE_NEW_CONSOLE = 0x10
NORMAL_PRIORITY_CLASS = 0x20
CREATE_UNICODE_ENVIRONMENT = 0x400
CREATE_SEPARATE_WOW_VDM = 0x800
CREATE_DEFAULT_ERROR_MODE = 0x4000000
MAXIMUM_SUSPEND_COUNT = 127  # winnt.h


_CONSOLES = DETACHED_PROCESS | CREATE_NEW_CONSOLE


class ProcessCalls(KernelCore):
    """Calls on processes, threads and handles.

    created: how many processes CreateProcess has made -- state
    """

    created = 0

    def create_process(
        self,
        me: Thread,
        image: Image | NoProgram | None,
        inherit: bool = True,
        flags: int = 0,
        startup: Any = None,
        tag: Any = None,
        directory_exists: bool = True,
        parameters: Any = None,
        **more: Any,
    ) -> Steps:
        """CreateProcess: (process handle, thread handle, process id). Runs in `me`.

        `startup` is lpReserved2, `parameters` what else the child is given, `more` goes into the
        trace only. Raises Win32Error 2 if there is no such image, what a `NoProgram` says, 267 if
        there is no such current directory, 87 for DETACHED_PROCESS with CREATE_NEW_CONSOLE.
        """
        me.debt_us += me.costs.create_process_us
        if self.calls is not None:
            self.row(me, "CreateProcess", "call", image=image.name if image else "",
                     inherit=inherit, flags=flags, child_info=startup,
                     handles=me.process.handles.table(), **more)  # fmt: skip
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        if not isinstance(image, Image) or not directory_exists or flags & _CONSOLES == _CONSOLES:
            self._refuse(image, directory_exists, flags)
        handles = me.process.handles.inherited() if inherit else HandleTable()
        try:
            child = self.new_process(image, handles, me.process.pid, me.costs)
        except Win32Error:
            self.close_all(handles)
            raise
        child.startup = startup
        child.parameters = parameters
        child.tag = tag
        thread = child.threads[0]
        if flags & CREATE_SUSPENDED:
            thread.suspend_count = 1
        if flags & DETACHED_PROCESS or not me.process.console:
            child.console = bool(flags & CREATE_NEW_CONSOLE)
        thread.start(self.thread_body(thread, self._main_thread(thread, image)))
        h_process = me.process.handles.add(child, False)
        h_thread = me.process.handles.add(thread, False)
        self.created += 1
        if self.calls is not None:
            self.row(me, "CreateProcess", "return", child=child, thread=thread,
                     hv=h_process)  # fmt: skip
        return h_process, h_thread, child.pid

    def _refuse(
        self, image: Image | NoProgram | None, directory_exists: bool, flags: int
    ) -> NoReturn:
        if flags & _CONSOLES == _CONSOLES:
            code, why = ERROR_INVALID_PARAMETER, "both a new console and none"
        elif image is None:
            code, why = ERROR_FILE_NOT_FOUND, "no such image"
        elif isinstance(image, NoProgram):
            code, why = image.error, f"{image.name} is no program"
        else:
            code, why = ERROR_DIRECTORY, "no such current directory"
        raise Win32Error(code, "CreateProcess", why)

    def new_process(
        self, image: Image, handles: HandleTable, parent_pid: int, costs: CostRow
    ) -> Process:
        """A process with its image loaded and a main thread that has no steps yet."""
        space = AddressSpace(self.system)
        self.charge(load(image.parts, space), "CreateProcess")
        process = Process(self.new_id(), image, space, handles, parent_pid)
        process.created_us = self.engine.now
        self.processes[process.pid] = process
        thread = Thread(process, self.new_id(), self.engine, self.processors, costs)
        process.threads.append(thread)
        return process

    def boot(self, image: Image, costs: CostRow, tag: Any = None) -> Process:
        """Start a process that no process of the model created (from Explorer, say)."""
        process = self.new_process(image, HandleTable(), 0, costs)
        process.tag = tag
        thread = process.threads[0]
        thread.start(self.thread_body(thread, self._main_thread(thread, image)))
        return process

    def create_thread(
        self,
        me: Thread,
        start: Callable[[Thread], Steps],
        suspended: bool = False,
        role: str = "",
        inherit: bool = False,
    ) -> Steps:
        """CreateThread: its handle. Runs in `me`."""
        me.debt_us += me.costs.thread_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        process = me.process
        thread = Thread(process, self.new_id(), self.engine, self.processors, me.costs)
        thread.role = role
        thread.suspend_count = 1 if suspended else 0
        process.threads.append(thread)
        handle = process.handles.add(thread, inherit)
        if self.calls is not None:
            self.row(me, "CreateThread", flags=4 if suspended else 0, h=thread, hv=handle)
            self.row(thread, "#thread_start")
        thread.start(self.thread_body(thread, start(thread)))
        return handle

    def duplicate_handle(
        self,
        me: Thread,
        source_process: int,
        source: int,
        target_process: int,
        inherit: bool = False,
        close_source: bool = False,
        access: int | None = None,
    ) -> int:
        """DuplicateHandle: the new handle, a number of the target process.

        `access` None grants the same. Target process 0 with `close_source` only closes the
        source; the new handle is 0 then.
        Raises Win32Error 6 for a bad handle, 5 if the target has ended. The source is closed
        even if the copy fails, as DUPLICATE_CLOSE_SOURCE does.
        """
        if target_process == 0 and close_source:
            self._close_in(me, source_process, source)
            return 0
        me.debt_us += me.costs.handle_us
        here = me.process
        origin = here if source_process == CURRENT_PROCESS else self.process_of(me, source_process)
        obj: KernelObject
        if origin is here and source >= CURRENT_THREAD:
            obj = self.object(me, source)
        else:
            obj = origin.handles.get(source)
        try:
            target = here
            if target_process != CURRENT_PROCESS:
                target = self.process_of(me, target_process)
        except Win32Error:  # no such process: the call is one all the same
            if self.calls is not None:
                self.row(me, "DuplicateHandle", src_proc=origin, src=obj, src_hv=source,
                         dst_proc=None, dst_hv=0, inherit=inherit,
                         close_source=close_source)  # fmt: skip
            raise
        new = 0
        if target.ended_us is None:
            new = target.handles.add(obj, inherit)
            if access is not None:
                target.handles.mark(new, Special(access=access))
            elif origin.handles.special:
                target.handles.mark(new, Special(origin.handles.marked(source).access))
        if close_source:
            origin.handles.remove(source)
        if self.calls is not None:
            self.row(me, "DuplicateHandle", src_proc=origin, src=obj, src_hv=source,
                     dst_proc=target, dst_hv=new, inherit=inherit,
                     close_source=close_source)  # fmt: skip
        if not new:
            raise Win32Error(ERROR_ACCESS_DENIED, "DuplicateHandle", "the target has ended")
        return new

    def _close_in(self, me: Thread, process: int, handle: int) -> None:
        me.debt_us += me.costs.handle_us
        origin = self.process_of(me, process)
        obj = origin.handles.remove(handle)
        if self.calls is not None:
            self.row(me, "DuplicateHandle", src_proc=origin, src=obj, src_hv=handle,
                     dst_proc=None, dst_hv=0, inherit=False, close_source=True)  # fmt: skip
        self.handle_closed(obj)

    def close_handle(self, me: Thread, handle: int) -> None:
        """CloseHandle; a pseudo handle stays open. Raises Win32Error 6.

        Others can notice that a pipe end is closed: whoever closes one pays first (`settle`).
        """
        me.debt_us += me.costs.handle_us
        if handle >= CURRENT_THREAD:
            return
        obj = me.process.handles.remove(handle)
        if self.calls is not None:
            self.row(me, "CloseHandle", h=obj, hv=handle)
        if obj.kind in HOLDING:
            self.handle_closed(obj)

    def new_handle(self, me: Thread, obj: KernelObject, inherit: bool) -> int:
        """CreateFile, socket and their like: a handle to an object from outside the model."""
        me.debt_us += me.costs.handle_us
        handle = me.process.handles.add(obj, inherit)
        if self.calls is not None:
            self.row(me, "CreateFile", h=obj, hv=handle, inherit=inherit)
        return handle

    def resume_thread(self, me: Thread, handle: int) -> Steps:
        """ResumeThread: the suspend count before. Raises Win32Error 6. Runs in `me`."""
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        thread = self._thread(me, handle)
        before = thread.resume()
        if self.calls is not None:
            self.row(me, "ResumeThread", h=thread, prev_count=before)
        return before

    def suspend_thread(self, me: Thread, handle: int) -> Steps:
        """SuspendThread: the suspend count before. Runs in `me`.

        Raises Win32Error 5 if the thread has ended, 156 at the highest count, 6.
        """
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        thread = self._thread(me, handle)
        if thread.ended:
            raise Win32Error(ERROR_ACCESS_DENIED, "SuspendThread", "it has ended")
        if thread.suspend_count == MAXIMUM_SUSPEND_COUNT:
            raise Win32Error(ERROR_SIGNAL_REFUSED, "SuspendThread", "it is suspended too often")
        found = thread.doing
        before = thread.suspend()
        if self.calls is not None:
            self.row(me, "SuspendThread", h=thread, prev_count=before, found=found)
        return before

    def get_exit_code_process(self, me: Thread, handle: int) -> int:
        """GetExitCodeProcess: 259 while it is alive. Raises Win32Error 6."""
        me.debt_us += me.costs.call_us
        process = self.process_of(me, handle)
        if self.calls is not None:
            self.row(me, "GetExitCodeProcess", h=process, code=process.exit_code)
        return process.exit_code

    def terminate_process(self, me: Thread, handle: int, code: int) -> Steps:
        """TerminateProcess. Raises Win32Error 5 if it has ended already, 6. Runs in `me`."""
        me.debt_us += me.costs.call_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        process = self.process_of(me, handle)
        if self.calls is not None:
            self.row(me, "TerminateProcess", h=process, code=code)
        if not process.alive:
            raise Win32Error(ERROR_ACCESS_DENIED, "TerminateProcess", "it has ended already")
        self.end_process(process, code & 0xFFFFFFFF, me if process is me.process else None)
        if process is me.process:
            self.end_now(me)

    def exit_process(self, me: Thread, code: int) -> Steps:
        """ExitProcess; does not return. Runs in `me`."""
        me.debt_us += me.costs.exit_us
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        if self.calls is not None:
            self.row(me, "ExitProcess", "call", code=code)
        self.end_process(me.process, code & 0xFFFFFFFF, me)
        self.end_now(me)

    def exit_thread(self, me: Thread, code: int = 0) -> Steps:
        """ExitThread; does not return. Runs in `me`."""
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        if self.calls is not None:
            self.row(me, "ExitThread", "call", code=code)
        self.end_thread(me, code & 0xFFFFFFFF)
        self.end_now(me)

    def _main_thread(self, thread: Thread, image: Image) -> Steps:
        thread.debt_us += thread.costs.loader_us
        if self.calls is not None:
            self.row(thread, "#process_start", image=image.name)
        return (yield from image.entry(self, thread))  # type: ignore[arg-type]  # a whole Kernel

    def _thread(self, me: Thread, handle: int) -> Thread:
        thread = self.object(me, handle)
        if not isinstance(thread, Thread):
            raise Win32Error(ERROR_INVALID_HANDLE, "handle", f"{handle:#x} is not a thread")
        return thread
