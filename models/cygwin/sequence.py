"""One creation as a sequence chart: the rows of its threads, put in the chart's terms.

Lanes are the caller's main thread, the child's main thread, and the child's signal thread where it
tells the parent something.  Each ends with its part in the hand-over: the caller's when the call
returned (an exec's stub, which never returns, at its end), the child's in main(), that of a child
without Cygwin at its end, its signal thread's at the last event that it sets.

What a wait ended on is joined to the call that signalled it, the child's first step to what set it
going; rows between which a thread was held are a blocked stretch; rows of Cygwin's own functions
are brackets.  A kernel object lasts until its last handle or view is gone, whoever has that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.cygwin.installation import Creation
from models.cygwin.object_lives import Lives
from models.win32.kernel import Kernel
from models.win32.objects import KernelObject as Win32Object
from models.win32.thread import Process, Thread
from sim.sequence_layout import Arrow, Bracket, KernelObject, Step, Wait
from sim.trace import Row

_SIGNALS = {"SetEvent", "ReleaseSemaphore", "ResumeThread"}
_WAITS = ("WaitForSingleObject", "WaitForMultipleObjects")
_QUIET = {"VirtualQuery", "OpenFileMapping", "CreateMutex"}  # say nothing about the hand-over
_SHOWN = ("subproc_ready", "forker_finished", "cygheap copy")  # objects with a bar of their own
_NEVER = float("inf")


@dataclass
class Sequence:
    """Arguments of `sim.plots.sequence_chart`, except the title. Every field is *output*."""

    lanes: list[str]
    steps: list[Step] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    objects: list[KernelObject] = field(default_factory=list)
    brackets: list[Bracket] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # of the steps, where lanes stand level

    def first(self, count: int) -> Sequence:
        """The chart of its first `count` steps: what goes on after them reaches to the end."""
        end = min(count, len(self.steps)) - 1
        return Sequence(
            self.lanes,
            self.steps[: end + 1],
            [Wait(w.first, end, w.text) if w.last is None or w.last > end else w
             for w in self.waits if w.first < end],
            [arrow for arrow in self.arrows if max(arrow.first, arrow.last) <= end],
            [o if o.last is not None and o.last <= end else KernelObject(o.name, o.first, None)
             for o in self.objects if o.first <= end],
            [Bracket(b.first, self._last_of_lane(b.first, min(b.last, end)), b.text)
             for b in self.brackets if b.first <= end],
            self.rows[: end + 1],
        )  # fmt: skip

    def _last_of_lane(self, first: int, last: int) -> int:
        lane = self.steps[first].lane
        return max(i for i in range(first, last + 1) if self.steps[i].lane == lane)


def sequence(kernel: Kernel, creation: Creation) -> Sequence:
    """The chart of `creation` from a run that kept its calls.

    Raises ValueError if the run kept no calls or made no child.
    """
    if kernel.calls is None:
        raise ValueError("the run kept no calls; build the machine with calls=True")
    child = next((q for q in kernel.processes.values() if q.tag is creation), None)
    if child is None:
        raise ValueError(f"{creation.kind} of {creation.program} made no process")
    lanes = _lanes(kernel, creation, kernel.processes[child.parent_pid], child)
    return _Drawing(kernel, creation, child, lanes).made


@dataclass(frozen=True)
class _Lane:
    name: str
    thread: Thread
    end_us: float  # rows after this belong to something else


def _lanes(kernel: Kernel, creation: Creation, parent: Process, child: Process) -> list[_Lane]:
    returned_us = _NEVER if creation.returned_us is None else creation.returned_us
    main_us = creation.main_us
    if main_us is None or not _has_dll(child):
        main_us = _NEVER
    found = [
        _Lane(f"parent {parent.pid:#x} {parent.image.name}", parent.threads[0], returned_us),
        _Lane(f"child {child.pid:#x} {child.image.name}", child.threads[0], main_us),
    ]
    for thread in child.threads:
        told = [
            row
            for row in kernel.calls or ()
            if row.tid == thread.tid and row.name == "SetEvent" and thread.role == "signal"
        ]
        if any(row.args["h"].role == "subproc_ready" for row in told):
            found.append(_Lane("child's signal thread", thread, told[-1].t_us))
    return found


def _ends(creation: Creation, lanes: list[_Lane]) -> list[Row]:
    """What the run noted of the end of the hand-over, as rows."""
    caller, child = lanes[0], lanes[1]
    ends = [(caller, f"#{creation.kind} returns"), (child, "#main()")]
    return [
        Row(lane.end_us, lane.thread.process.pid, lane.thread.tid, name, "", {})
        for lane, name in ends
        if lane.end_us < _NEVER
    ]


def _has_dll(process: Process) -> bool:
    return any(part.name.startswith("cygwin1.dll") for part in process.image.parts)


class _Drawing:
    """Steps of all lanes in time order, with what joins them."""

    def __init__(
        self, kernel: Kernel, creation: Creation, child: Process, lanes: list[_Lane]
    ) -> None:
        self.made = Sequence([lane.name for lane in lanes])
        self._child = child
        self._lane_of = {lane.thread.tid: i for i, lane in enumerate(lanes)}
        calls = sorted([*(kernel.calls or ()), *_ends(creation, lanes)], key=lambda row: row.t_us)
        self._lives = Lives(_SHOWN, calls, kernel.processes.values())
        self._waiting: dict[int, tuple[int, Row]] = {}
        self._step_of: dict[int, int] = {}  # id of a row -> its step
        self._open: dict[tuple[int, str], int] = {}  # begun brackets -> steps before them
        self._signalled: dict[int, int] = {}  # object, or minus the pid -> step
        self._started = -1  # the step that let the child run
        self._threads: dict[int, int] = {}  # tid -> the step that made it
        ends = [lane.end_us for lane in lanes]
        rows = [
            row
            for row in calls
            if row.tid in self._lane_of
            and creation.called_us <= row.t_us <= ends[self._lane_of[row.tid]]
            and row.name not in _QUIET
        ]
        for row in rows:
            self._add(row)
        if kernel.engine.peek() == _NEVER:  # else nobody knows whether the wait ends
            last = {row.tid: row for row in calls if row.name in _WAITS}
            self.made.waits += [
                Wait(first, None)
                for tid, (first, row) in self._waiting.items()
                if last[tid] is row  # else it goes on after the chart
            ]
        self._objects()

    def _add(self, row: Row) -> None:
        made, lane = self.made, self._lane_of[row.tid]
        if row.phase in ("begin", "end"):
            self._bracket(row, lane)
            return
        if row.name == "CreateProcess" and row.phase == "return":
            return
        made.steps.append(Step(row.t_us, lane, *self._text(row)))
        here = self._step_of[id(row)] = len(made.steps) - 1
        if row.name in _WAITS and row.phase == "call":
            self._waiting[row.tid] = (here, row)
        elif row.name in _WAITS:
            self._end_wait(row, here)
        elif row.name == "SetEvent":
            self._signalled[id(row.args["h"])] = here
        elif row.name == "ExitProcess":
            self._signalled[-row.pid] = here
        elif row.name == "CreateProcess" or (
            row.name == "ResumeThread" and row.args["h"] is self._child.threads[0]
        ):
            self._started = here
        elif row.name == "CreateThread":
            self._threads[row.args["h"].tid] = here
        elif row.name == "#process_start" and self._started >= 0:
            made.arrows.append(Arrow(self._started, here))
        elif row.name == "#thread_start" and row.tid in self._threads:
            made.arrows.append(Arrow(self._threads[row.tid], here))

    def _bracket(self, row: Row, lane: int) -> None:
        key = (row.tid, row.name)
        if row.phase == "begin":
            self._open[key] = len(self.made.steps)
            return
        first = self._open.pop(key)
        inside = [i for i in range(first, len(self.made.steps)) if self.made.steps[i].lane == lane]
        if inside:
            self.made.brackets.append(Bracket(inside[0], inside[-1], row.name))

    def _end_wait(self, row: Row, here: int) -> None:
        begun = self._waiting.pop(row.tid, None)
        if begun is None:
            return
        woke = row.args.get("woke")
        if row.t_us > begun[1].t_us:
            self.made.waits.append(Wait(begun[0], here))
        key = -woke.pid if isinstance(woke, Process) else id(woke)
        if self._signalled.get(key, -1) > begun[0]:
            self.made.arrows.append(Arrow(self._signalled[key], here))

    def _objects(self) -> None:
        """Bars of the objects that were made in this chart."""
        times = [step.t_us for step in self.made.steps]
        for life in self._lives.found:
            first = self._step_of.get(id(life.born))
            if first is None:
                continue
            last = self._step_of.get(id(life.gone))
            if last is None and life.gone_us is not None and life.gone_us <= times[-1]:
                last = max(i for i, t_us in enumerate(times) if t_us <= life.gone_us)
            self.made.objects.append(KernelObject(life.obj.role, first, last))

    def _text(self, row: Row) -> tuple[str, str]:
        """What the chart writes for a row, and the kind of step it is."""
        if row.name == "UnmapViewOfFile":
            section = self._lives.unmapped.get(id(row))
            return f"UnmapViewOfFile {section.role if section else ''}".rstrip(), "call"
        return _text(row)


def _roles(row: Row) -> str:
    return ", ".join(_name(obj) for obj in row.args["hs"])


def _name(obj: Any) -> str:
    if isinstance(obj, Process):
        return f"process {obj.image.name}"
    return str(getattr(obj, "role", "") or getattr(obj, "kind", ""))


def _text(row: Row) -> tuple[str, str]:
    args = row.args
    if row.name in _WAITS:
        if row.phase == "call":
            limit = "" if args["ms"] < 0 else f", {args['ms']} ms"
            return f"{row.name} {{{_roles(row)}}}{limit}", "wait"
        woke = args.get("woke")
        return (f"woken by {_name(woke)}" if woke is not None else "time-out"), "return"
    if row.name.startswith("#"):
        if row.name == "#memcpy":
            return f"memcpy {args['size']:,} bytes", "call"
        return row.name[1:].replace("_", " "), "life"
    if row.name == "ExitProcess":
        return f"ExitProcess {args['code']:#x}", "life"
    if row.name == "CreateProcess":
        suspended = " suspended" if args["flags"] & 4 else ""
        return f"CreateProcess {args['image']}{suspended}", "signal"
    detail = ""
    if "size" in args:
        detail = f" {args['size']:,} bytes"
    if row.name == "VirtualAlloc":
        detail = f" {str(args['type']).lower()}{detail}"
    obj = next((args[key] for key in ("h", "src", "s") if key in args), None)
    if isinstance(obj, Win32Object) and _name(obj):
        detail = f" {_name(obj)}{detail}"
    return row.name + detail, "signal" if row.name in _SIGNALS else "call"
