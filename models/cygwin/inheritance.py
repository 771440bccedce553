"""What a child finds in its handle table: at birth what it inherited, at main() what is left of it.

A run is carried out one event at a time; when a process has come into being its table is looked at,
and again when it reaches main().  Nothing is changed by looking.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.cygwin.installation import Installation
from models.cygwin.process import CygwinProcess
from models.win32.objects import KernelObject
from models.win32.thread import Process

KEPT, CLOSED, MADE = "kept", "closed", "made"

Table = dict[int, KernelObject]  # handle -> what it stands for


@dataclass(eq=False)
class Found:
    """The tables of one process. Every field is *output*.

    parent_files: handle -> descriptor of the creator, when the child came into being
    birth: with what it began, what its creator put there at once included
    main: at main(), of a native program at its end; None if it never got there
    """

    process: Process
    parent_files: dict[int, str] = field(default_factory=dict)
    birth: Table = field(default_factory=dict)
    main: Table | None = None

    def fates(self) -> list[tuple[str, str]]:
        """(what it is, "kept", "closed" or "made") of every handle at birth or at main()."""
        later = self.main or {}
        found = []
        for number, obj in self.birth.items():
            same = later.get(number) is obj
            found.append((self.name(number, obj), KEPT if same else CLOSED))
        found += [
            (self.name(number, obj, own=True), MADE)
            for number, obj in later.items()
            if self.birth.get(number) is not obj
        ]
        return found

    def name(self, number: int, obj: KernelObject, own: bool = False) -> str:
        """What a handle stands for, in words. `own`: the child made it."""
        if not own and number in self.parent_files:
            return self.parent_files[number]
        if isinstance(obj, Process):
            return f"process: {self._relation(obj)}"
        return obj.role or obj.kind

    def _relation(self, other: Process) -> str:
        if other is self.process:
            return "itself"
        return "parent" if other.pid == self.process.parent_pid else "another"


class AtMain:
    """A watch that notes the table of each image of Cygwin when it reaches main().

    tables: Windows pid -> its table then -- output
    """

    def __init__(self) -> None:
        self.tables: dict[int, Table] = {}

    def started(self, p: CygwinProcess) -> None:
        """An image has reached main()."""
        self.tables[p.me.process.pid] = _table(p.me.process)

    def ending(self, p: CygwinProcess) -> None:
        """An image exits: of no concern here."""


def carried_out(installation: Installation, files: dict[int, dict[int, str]]) -> dict[int, Found]:
    """Run to the end of everything; what each process found, by its Windows pid.

    `files` has for each pid what its program has noted of its descriptors' handles.
    """
    kernel, engine = installation.kernel, installation.kernel.engine
    found: dict[int, Found] = {}
    watch = installation.watch = AtMain()
    while engine.peek() != float("inf"):
        engine.step()
        for process in kernel.processes.values():
            one = found.get(process.pid)
            if one is None:
                names = dict(files.get(process.parent_pid, {}))
                found[process.pid] = Found(process, names, _table(process))
            elif process.alive and process.pid not in watch.tables:
                one.main = _table(process)  # of a native program: what it has as long as it lives
    for pid, table in watch.tables.items():
        found[pid].main = table
    return found


def _table(process: Process) -> Table:
    handles = process.handles
    return {number: handles.get(number) for number in handles.handles()}
