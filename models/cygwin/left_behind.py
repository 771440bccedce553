"""What the processes of a run still have when it is over, and why.

A process that has ended has nothing.  One that is still there is held by something, loops for ever,
was cut off, or was never let run; beside its own it may have what a creation left it with: the
section of a child that never came, the records of children nobody has waited for, what a program
without Cygwin inherited and knows nothing of.

What must stay true: every open handle and every view has one cause, every section the one of
whoever needs it most, and the bytes of all causes are the machine's commit charge.  What has no
cause is named as unexplained; so is whatever the machine itself has miscounted
(`models.win32.balance`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from models.cygwin import children
from models.cygwin.blocked import workload_pid
from models.cygwin.creation_steps import parent_handle
from models.cygwin.descriptors import DescriptorTable
from models.cygwin.installation import Creation, Installation
from models.cygwin.process import CygwinProcess
from models.win32.address_space import Region
from models.win32.balance import Inventory, discrepancies, region_bytes, section_bytes
from models.win32.objects import Event, File, KernelObject, Mutex, PipeEnd, Section
from models.win32.thread import Parked, Process, Thread

BLOCKED = "processes that wait for what never comes"
SLEEPS = "processes that sleep for ever"
LOOPS = "processes that loop for ever"
CUT = "processes under way when the run was cut"
SUSPENDED = "children that were never resumed"
THREADS = "processes whose main thread has ended"
STARTING = "children still in their start-up"
UNDER_WAY = "creations under way"
ZOMBIES = "ended children that nobody has waited for"
NATIVE = "what native programs inherited and do not know"
HEAP_IN_NATIVE = "heap sections that native programs keep"
FAILED = "creations that failed, in their callers"
NEVER_CLOSED = "objects that the DLL makes and never closes"
UNREGISTERED = "children beyond the 62 that are registered"
INHERITED = "what Cygwin programs inherited and do not know"
UNEXPLAINED = "unexplained"

# In the order of reports; a section belongs to the first of these that holds it.
CAUSES = (
    BLOCKED, SLEEPS, LOOPS, CUT, SUSPENDED, THREADS, STARTING, UNDER_WAY, ZOMBIES, NEVER_CLOSED,
    UNREGISTERED, HEAP_IN_NATIVE, FAILED, NATIVE, INHERITED, UNEXPLAINED,
)  # fmt: skip
_HEAP = "cygheap copy"
_OF_CREATIONS = frozenset({"subproc_ready", "forker_finished", _HEAP})
_KEPT = frozenset({"muto", "signal mask", "signal thread ready", "pipe guard", "thread signal"})
# A fork child opens the second anew, a child of 1.7.7 both; the third is 1.5.18's.
_INSTALLATION = frozenset({"cygwin shared", "cygwin root", "mtinfo"})
_OWN_VIEWS = _INSTALLATION | {"cygheap", "cygpid link"}
_OWN_PRIVATE = frozenset({"cygheap", "user heap"})


@dataclass(slots=True)
class Left:
    """What one cause has left. Every field is *output*.

    processes: that have it, as the workload counts
    sections, committed_bytes: counted once, whoever else has them too
    """

    cause: str
    processes: set[int] = field(default_factory=set)
    handles: int = 0
    views: int = 0
    sections: int = 0
    committed_bytes: int = 0


@dataclass(slots=True)
class Balance:
    """What is left of a run. left: by cause -- output; unexplained: sentences -- output"""

    left: list[Left]
    unexplained: list[str]

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "handles": sum(left.handles for left in self.left),
            "sections": sum(left.sections for left in self.left),
            "committed_bytes": sum(left.committed_bytes for left in self.left),
            "left": [
                {
                    "cause": left.cause,
                    "processes": len(left.processes),
                    "handles": left.handles,
                    "views": left.views,
                    "sections": left.sections,
                    "committed_bytes": left.committed_bytes,
                }
                for left in self.left
            ],
            "unexplained": self.unexplained,
        }


def balance(installation: Installation) -> Balance:
    """What the processes of a run that is over still have, by cause; empty if all have ended."""
    return _Audit(installation).balance()


class _Audit:
    """The look at one machine."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._kernel = installation.kernel
        self._left: dict[str, Left] = {}
        self._of_section: dict[int, str] = {}
        self._unexplained: list[str] = []
        self._cut = self._kernel.engine.peek() != float("inf")

    @cached_property
    def _pending(self) -> set[int]:
        """Windows pids of callers whose newest creation has neither failed nor come back."""
        return _pending(self._installation)

    def balance(self) -> Balance:
        for process in self._kernel.processes.values():
            if process.alive:
                self._process(process)
        there = Inventory(self._kernel)
        for section in there.sections:
            left = self._at(self._of_section.get(id(section), UNEXPLAINED))
            left.sections += 1
            left.committed_bytes += section_bytes(section)
        wrong = self._unexplained + discrepancies(there)
        return Balance(sorted(self._left.values(), key=lambda x: CAUSES.index(x.cause)), wrong)

    def _process(self, process: Process) -> None:
        cause = _why_alive(process, self._cut)
        loaded = self._installation.loaded.get(process.pid)
        p = None if loaded is None else loaded()
        owner = _Native(process, cause)
        if p is not None:
            starting = not hasattr(p, "fds") or (
                isinstance(process.tag, Creation) and process.tag.main_us is None
            )
            cause = STARTING if starting and cause not in (CUT, LOOPS) else cause
            owner = _Cygwin(process, cause, p, starting, process.pid in self._pending)
        pid = workload_pid(process)
        if cause == UNEXPLAINED:
            self._unexplained.append(f"process {pid} {process.image.name}: nothing holds it")
        for handle, obj in process.handles.table().items():
            found = owner.handle(handle, obj)
            self._note(found, pid).handles += 1
            self._need(obj, found)
            if found == UNEXPLAINED:
                what = f"{obj.kind} {obj.role}".rstrip()
                self._unexplained.append(f"process {pid} {process.image.name}: {what}")
        for region in process.space.regions():
            found = owner.region(region)
            left = self._note(found, pid)
            left.committed_bytes += region_bytes(region)
            if region.kind == "view":
                left.views += 1
                self._need(region.section, found)
            if found == UNEXPLAINED:
                what = f"{region.kind} {region.name} at {region.base:#010x}"
                self._unexplained.append(f"process {pid} {process.image.name}: {what}")

    def _at(self, cause: str) -> Left:
        return self._left.setdefault(cause, Left(cause))

    def _note(self, cause: str, pid: int) -> Left:
        left = self._at(cause)
        left.processes.add(pid)
        return left

    def _need(self, obj: KernelObject | None, cause: str) -> None:
        """Somebody holds a section for that cause."""
        if isinstance(obj, Section):
            before = self._of_section.get(id(obj), UNEXPLAINED)
            self._of_section[id(obj)] = min(before, cause, key=CAUSES.index)


class _Native:
    """A living process that is not linked with Cygwin, or whose DLL has not been loaded yet."""

    def __init__(self, process: Process, cause: str) -> None:
        self.process = process
        self.cause = cause

    def handle(self, handle: int, obj: KernelObject) -> str:
        """Why it has a handle."""
        if isinstance(obj, Section) and obj.role == _HEAP:
            return self.cause if self.cause == SUSPENDED else HEAP_IN_NATIVE
        own = isinstance(obj, Process) and obj.parent_pid == self.process.pid
        return self.cause if own or isinstance(obj, File | PipeEnd) else NATIVE

    def region(self, region: Region) -> str:
        """Why it has a region: it maps nothing itself."""
        return self.cause if region.kind in ("image", "stack") else UNEXPLAINED


class _Cygwin(_Native):
    """A living process with Cygwin's DLL."""

    def __init__(
        self, process: Process, cause: str, p: CygwinProcess, starting: bool, pending: bool
    ) -> None:
        super().__init__(process, cause)
        self._starting = starting
        self._creation = UNDER_WAY if pending else FAILED
        self._p = p
        self._known = set() if starting else set(_known_handles(p))
        self._zombies: set[int] = set()
        self._views = set()
        for child in p.children:
            own = set() if child.record else {child.h_pinfo, child.view.base}
            self._views |= own - {child.h_pinfo}
            if child.zombie:
                self._zombies |= {child.h_process, child.h_first, *own}

    def handle(self, handle: int, obj: KernelObject) -> str:
        """Why it has a handle."""
        if self._starting or handle in self._known:
            return self.cause
        if handle in self._zombies:
            return ZOMBIES
        if obj.role in _OF_CREATIONS or obj is self.process:
            return self._creation
        own = isinstance(obj, Thread) and obj.process is self.process
        if own or obj.role in _KEPT or isinstance(obj, Mutex):
            return NEVER_CLOSED
        if isinstance(obj, Process | Thread):
            made = obj.process if isinstance(obj, Thread) else obj
            return self._creation if made.parent_pid == self.process.pid else INHERITED
        if isinstance(obj, Section):
            return self._section(handle, obj)
        return INHERITED if isinstance(obj, File | PipeEnd | Event) else UNEXPLAINED

    def _section(self, handle: int, section: Section) -> str:
        """Why it has a section that the DLL has no name for."""
        if section.memory is self._p.pinfo:  # what its parent gave it, or what an exec hands on
            return self._creation if self.process.handles.inherits(handle) else NEVER_CLOSED
        if section.name == children.pinfo_name(self.process.pid):
            return NEVER_CLOSED  # the link from an exec'ed process's own pid
        if section.role in _INSTALLATION:
            return INHERITED
        if section.role == "cygheap":
            return NEVER_CLOSED  # a first process's own heap, in the summer of 2001
        return UNREGISTERED if section.role == "pinfo" else UNEXPLAINED

    def region(self, region: Region) -> str:
        """Why it has a region."""
        if self._starting or region.kind in ("image", "stack"):
            return self.cause
        if region.base in self._zombies:
            return ZOMBIES
        if region.kind == "private":
            return self.cause if region.name in _OWN_PRIVATE else UNEXPLAINED
        if region.name == _HEAP:
            return self._creation
        if region.name == "cygpid":
            own = region.base in self._views or region.memory is self._p.pinfo
            return self.cause if own else UNREGISTERED
        return self.cause if region.name in _OWN_VIEWS else UNEXPLAINED


def _why_alive(process: Process, cut: bool) -> str:
    """Why a process has not ended, UNEXPLAINED if it should run on."""
    main = process.threads[0]
    if main.ended:
        return THREADS
    if main.suspend_count:
        return SUSPENDED
    if main.loop is not None:
        return LOOPS
    if cut:
        return CUT
    if isinstance(main.wait, Parked) and main.wait.kind == "sleep":
        return SLEEPS
    return BLOCKED if main.wait is not None else UNEXPLAINED


def _pending(installation: Installation) -> set[int]:
    kernel = installation.kernel
    made = {id(q.tag): q.parent_pid for q in kernel.processes.values() if q.tag is not None}
    living = {workload_pid(q): q.pid for q in kernel.processes.values() if q.alive}
    newest: dict[int, Creation] = {}
    for creation in kernel.trace.records:
        caller = made.get(id(creation)) or living.get(creation.pid, 0)
        newest[caller] = creation
    return {pid for pid, c in newest.items() if c.returned_us is None and not c.error}


def _known_handles(p: CygwinProcess) -> Iterator[int]:
    """Handles that the DLL knows of and will use or close."""
    yield from (
        p.h_self, p.h_thread, p.h_mutex, p.h_shared, p.h_root, p.h_pinfo, parent_handle(p),
        p.h_exec, p.h_cancel, p.signal_arrived, p.sigcatch, p.h_wait, p.wake_children,
        p.h_readsig, p.h_sendsig, p.h_pinfo_mutex, p.h_parent_alive,
        p.h_wait_subproc, *p.ring,
    )  # fmt: skip
    for child in p.children:
        if not child.zombie:
            given = child.pinfo.read32(children.H_PROCESS)
            yield from (child.h_process, child.h_first, child.h_pinfo, given)
            yield from (child.rd_proc_pipe, child.h_waiter)
    table: DescriptorTable | None = p.fds
    while table is not None:  # one on hold comes after the one in force
        for d in table.open.values():
            yield from (d.handle, d.second)
        table = table.held
