"""Who holds the section with a copy of the heap, and how many pages all copies of a heap take.

Both are read from the rows of calls that a run kept; nothing here watches the run.  A process holds
a section by a handle, made or inherited, until it closes it or ends, and by a view until it unmaps
it or ends.

What must stay true: what `holds` finds open at the end of a run is what the machine has open then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from models.cygwin.child_info import ChildInfo
from models.cygwin.installation import Creation
from models.win32.kernel import Kernel
from models.win32.memory import PAGE_BYTES
from models.win32.objects import Section
from models.win32.thread import Process
from sim.trace import Row

ROLE = "cygheap copy"
HANDLE, VIEW = "handle", "view"


class Hold(NamedTuple):
    """One handle or view of a section in one process. Every field is *output*.

    section: which one, in the order in which they were made
    what: "handle" or "view"
    number: the handle, or the address of the view
    until_us: None if it is still open at the end of the run
    ended_by: the call that ended it; "" if it is still open
    """

    section: int
    process: Process
    what: str
    number: int
    from_us: float
    until_us: float | None
    ended_by: str


def holds(kernel: Kernel) -> list[Hold]:
    """Every handle and view of a heap section, by section and time.

    Raises ValueError if the run kept no calls.
    """
    found = _Holds(kernel)
    for row in sorted(_calls(kernel), key=lambda row: row.t_us):
        found.see(row)
    return sorted(found.ended(), key=lambda hold: (hold.section, hold.from_us))


def of_creation(kernel: Kernel, creation: Creation) -> list[Hold]:
    """The holds of the section that one creation made; empty if it made none."""
    child = child_of(kernel, creation)
    told = getattr(child.startup, "cygheap_h", 0)
    every = holds(kernel)
    its = (h.section for h in every if (h.process, h.what, h.number) == (child, HANDLE, told))
    which = next(its, None)  # a later one of that number is the child's own
    return [h for h in every if h.section == which]


def child_of(kernel: Kernel, creation: Creation) -> Process:
    """The Windows process that a creation made. Raises ValueError if it made none."""
    for process in kernel.processes.values():
        if process.tag is creation:
            return process
    raise ValueError(f"{creation.kind} of {creation.program} made no process")


def heap_pages(kernel: Kernel, creation: Creation) -> list[tuple[float, int]]:
    """(time [us], bytes committed from then on) of all copies of a heap during one creation.

    Those of the caller, of the child, and the section; it begins with the caller's alone.  Where a
    child commits more than is in use, as in 3.6, its caller has done so too.
    """
    child = child_of(kernel, creation)
    parent = kernel.processes[child.parent_pid]
    info = child.startup
    commits = [
        r for r in _calls(kernel) if (r.name, r.args.get("type")) == ("VirtualAlloc", "COMMIT")
    ]
    mine = [r for r in commits if isinstance(info, ChildInfo)
            and (r.pid, r.args["addr"]) == (child.pid, info.cygheap)
            and r.args["size"] >= creation.heap_bytes][:1]  # fmt: skip
    size = max([creation.heap_bytes, *(r.args["size"] for r in mine)])
    whole = -(-size // PAGE_BYTES) * PAGE_BYTES
    changes = [(creation.called_us, whole), *_ends(parent, whole)]
    section = of_creation(kernel, creation)
    views = {(h.process.pid, h.number) for h in section if h.what == VIEW}
    for row in mine:
        changes += [(row.t_us, whole), *_ends(child, whole)]
    for row in commits:
        if (row.pid, row.args["addr"]) in views and row.args["size"] == creation.heap_bytes:
            changes += [(row.t_us, whole), *_gone(section, whole)]
    at, total = [], 0
    for t_us, change in sorted(changes, key=lambda c: (c[0], -c[1])):  # at one time: freed last
        total += change
        at.append((t_us, total))
    return at


class _Holds:
    """What is open while the rows are gone through."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._sections: dict[int, int] = {}  # id of the object -> which one
        self._open: dict[tuple[int, str, int], Hold] = {}
        self._over: list[Hold] = []
        self._inheriting: dict[int, bool] = {}

    def see(self, row: Row) -> None:
        """One call."""
        obj = row.args.get("h")
        if isinstance(obj, Section) and obj.role == ROLE:
            which = self._sections.setdefault(id(obj), len(self._sections))
            if row.name == "CreateFileMapping":
                self._begin(row.pid, which, HANDLE, row.args["hv"], row.t_us)
            elif row.name == "MapViewOfFileEx" and row.args["ret"]:
                self._begin(row.pid, which, VIEW, row.args["ret"], row.t_us)
            elif row.name == "CloseHandle":
                self._end((row.pid, HANDLE, row.args["hv"]), row.t_us, row.name)
        elif row.name == "UnmapViewOfFile":
            self._end((row.pid, VIEW, row.args["addr"]), row.t_us, row.name)
        elif row.name == "CreateProcess":
            self._create(row)

    def ended(self) -> Iterator[Hold]:
        """All holds, those too that end with their process or not at all."""
        yield from self._over
        for hold in self._open.values():
            end = hold.process.ended_us if not hold.process.alive else None
            yield hold._replace(until_us=end, ended_by="" if end is None else "end of process")

    def _create(self, row: Row) -> None:
        if row.phase == "call":
            self._inheriting[row.tid] = row.args["inherit"]
        elif self._inheriting.pop(row.tid):
            child = row.args["child"]
            for (pid, what, number), hold in list(self._open.items()):
                if pid == row.pid and what == HANDLE:
                    self._begin(child.pid, hold.section, HANDLE, number, child.created_us)

    def _begin(self, pid: int, which: int, what: str, number: int, t_us: float) -> None:
        process = self._kernel.processes[pid]
        self._open[pid, what, number] = Hold(which, process, what, number, t_us, None, "")

    def _end(self, key: tuple[int, str, int], t_us: float, call: str) -> None:
        hold = self._open.pop(key, None)
        if hold is not None:
            self._over.append(hold._replace(until_us=t_us, ended_by=call))


def _calls(kernel: Kernel) -> list[Row]:
    if kernel.calls is None:
        raise ValueError("the run kept no calls; run it with calls=True")
    return kernel.calls


def _ends(process: Process, size_bytes: int) -> list[tuple[float, int]]:
    ended = process.ended_us
    return [] if process.alive or ended is None else [(ended, -size_bytes)]


def _gone(section: list[Hold], size_bytes: int) -> list[tuple[float, int]]:
    """When the pages of a section are given back: with its last handle or view."""
    ends = [h.until_us for h in section if h.until_us is not None]
    return [(max(ends), -size_bytes)] if len(ends) == len(section) else []
