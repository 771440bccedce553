"""From when to when a kernel object was there, and for whom, read off the rows of all calls.

An object lives as long as any process has a handle of it or a view: what a child inherited counts
like what its parent made, and the end of a process lets go of all it had.

What must stay true: nothing but rows and the times at which processes ended is used, so a chart of
recorded calls would show the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from models.win32.objects import KernelObject
from models.win32.thread import Process
from sim.trace import Row

_MAKES = frozenset(["CreateEvent", "CreateFileMapping"])


class Life(NamedTuple):
    """One object. Every field is *output*.

    born: the row that made it
    gone: the row with which its last handle or view went, None if there is no such row
    gone_us: when that was; None while somebody still has it
    """

    obj: KernelObject
    born: Row
    gone: Row | None
    gone_us: float | None


class Lives:
    """The lives of the objects with one of some roles.

    found: in the order of their making -- output
    unmapped: id of a row of UnmapViewOfFile -> the section whose view it was -- output
    """

    def __init__(self, roles: Collection[str], rows: Iterable[Row], ended: Iterable[Process]):
        """Read all rows. `ended`: processes with the times at which they were over."""
        self._roles = roles
        self.unmapped: dict[int, KernelObject] = {}
        self._objects: dict[int, KernelObject] = {}
        self._born: dict[int, Row] = {}
        self._gone: dict[int, tuple[float, Row | None]] = {}
        self._handles: Counter[tuple[int, int]] = Counter()  # (object, pid)
        self._inheritable: Counter[tuple[int, int]] = Counter()
        self._views: dict[tuple[int, int], KernelObject] = {}  # (pid, address)
        ends = [(q.ended_us, 1, q.pid, None) for q in ended if q.ended_us is not None]
        order = sorted([*((row.t_us, 0, row.pid, row) for row in rows), *ends], key=lambda e: e[:2])
        for t_us, _, pid, row in order:
            if row is None:
                self._end(pid, t_us)
            else:
                self._row(row)

    @property
    def found(self) -> list[Life]:
        """All lives, in the order of their making."""
        lives = []
        for key, obj in self._objects.items():
            gone_us, row = self._gone.get(key, (None, None))
            lives.append(Life(obj, self._born[key], row, gone_us))
        return lives

    def _row(self, row: Row) -> None:
        args, pid = row.args, row.pid
        obj: Any = args.get("src") if row.name == "DuplicateHandle" else args.get("h")
        if row.name in _MAKES and getattr(obj, "role", "") in self._roles:
            self._objects.setdefault(id(obj), obj)
            self._born.setdefault(id(obj), row)
            self._add(obj, pid, bool(args.get("inherit")))
        elif row.name == "DuplicateHandle" and args["dst_proc"] is not None:
            self._add(obj, args["dst_proc"].pid, bool(args["inherit"]))
        elif row.name == "CloseHandle":
            self._close(obj, row)
        elif row.name == "CreateProcess" and row.phase == "return":
            self._inherit(pid, args["child"].pid)
        elif row.name == "MapViewOfFileEx" and obj is not None and args["ret"]:
            self._views[pid, args["ret"]] = obj
        elif row.name == "UnmapViewOfFile":
            self._unmap(row)

    def _add(self, obj: KernelObject, pid: int, inheritable: bool) -> None:
        if id(obj) in self._objects:
            self._handles[id(obj), pid] += 1
            self._inheritable[id(obj), pid] += inheritable

    def _inherit(self, parent: int, child: int) -> None:
        for key in self._objects:
            count = min(self._inheritable[key, parent], self._handles[key, parent])
            if count:
                self._handles[key, child] = self._inheritable[key, child] = count

    def _close(self, obj: KernelObject, row: Row) -> None:
        if id(obj) in self._objects:
            self._handles[id(obj), row.pid] -= 1
            self._look(obj, row.t_us, row)

    def _unmap(self, row: Row) -> None:
        obj = self._views.pop((row.pid, row.args["addr"]), None)
        if obj is not None:
            self.unmapped[id(row)] = obj
            self._look(obj, row.t_us, row)

    def _end(self, pid: int, t_us: float) -> None:
        self._views = {key: obj for key, obj in self._views.items() if key[0] != pid}
        for key, obj in self._objects.items():
            self._handles[key, pid] = 0
            self._look(obj, t_us)

    def _look(self, obj: KernelObject, t_us: float, row: Row | None = None) -> None:
        """Note the end of an object that nobody has any more."""
        if id(obj) not in self._objects or id(obj) in self._gone:
            return
        held = any(n > 0 for (key, _), n in self._handles.items() if key == id(obj))
        if not held and not any(view is obj for view in self._views.values()):
            self._gone[id(obj)] = t_us, row
