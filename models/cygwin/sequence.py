"""One creation as a sequence chart: the rows of its threads, put in the chart's terms.

Lanes are the parent's main thread, the child's main thread, and the child's signal thread where it
tells the parent something.  What a wait ended on is joined to the call that signalled it; rows
between which a thread was held are a blocked stretch; rows of Cygwin's own functions are brackets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.cygwin.installation import Creation
from models.win32.kernel import Kernel
from models.win32.objects import KernelObject as Win32Object
from models.win32.thread import Process, Thread
from sim.sequence_layout import Arrow, Bracket, KernelObject, Step, Wait
from sim.trace import Row

_SIGNALS = {"SetEvent", "ReleaseSemaphore", "ResumeThread"}
_WAITS = ("WaitForSingleObject", "WaitForMultipleObjects")
_QUIET = {"VirtualQuery", "OpenFileMapping", "CreateMutex"}  # say nothing about the hand-over
_SHOWN = ("subproc_ready", "forker_finished", "cygheap copy")  # objects with a bar of their own


@dataclass
class Sequence:
    """Arguments of `sim.plots.sequence_chart`, except the title. Every field is *output*."""

    lanes: list[str]
    steps: list[Step] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    objects: list[KernelObject] = field(default_factory=list)
    brackets: list[Bracket] = field(default_factory=list)


def sequence(kernel: Kernel, creation: Creation, most_rows: int = 120) -> Sequence:
    """The chart of `creation` from a run that kept its calls.

    It ends when the caller has the child handed over and the child is in main(), at the latest
    after `most_rows` rows. Raises ValueError if the run kept no calls or made no child.
    """
    if kernel.calls is None:
        raise ValueError("the run kept no calls; build the machine with calls=True")
    child = next((q for q in kernel.processes.values() if q.tag is creation), None)
    if child is None:
        raise ValueError(f"{creation.kind} of {creation.program} made no process")
    parent = kernel.processes[child.parent_pid]
    threads = _threads(kernel, parent, child)
    made = Sequence([f"{name} {t.process.pid:#x}" for name, t in threads])
    lane_of = {t.tid: i for i, (_, t) in enumerate(threads)}
    rows = sorted((row for row in kernel.calls if row.tid in lane_of), key=lambda row: row.t_us)
    end_us = _end_us(creation, rows, child)
    rows = [row for row in rows if creation.called_us <= row.t_us <= end_us]
    _fill(made, [row for row in rows if row.name not in _QUIET][:most_rows], lane_of)
    return made


def _threads(kernel: Kernel, parent: Process, child: Process) -> list[tuple[str, Thread]]:
    found = [("parent", parent.threads[0]), ("child", child.threads[0])]
    signals = [t for t in child.threads if t.role == "signal"]
    ready = {
        row.tid
        for row in kernel.calls or ()
        if row.name == "SetEvent" and row.args["h"].role == "subproc_ready"
    }
    found += [("child's signal thread", t) for t in signals if t.tid in ready]
    return found


def _end_us(creation: Creation, rows: list[Row], child: Process) -> float:
    """When the hand-over is over: for the caller, and for the child."""
    born_us = min((row.t_us for row in rows if row.pid == child.pid), default=0.0)
    ends = [creation.main_us or 0.0, creation.returned_us or 0.0, born_us]
    if creation.waited_us or creation.waiting_since_us is not None:
        ends.append(child.ended_us or float("inf"))
        waits = [r for r in rows if r.phase == "return" and r.args.get("woke") is not None]
        over = [
            r.t_us
            for r in waits
            if creation.called_us <= r.t_us
            and (r.args["woke"] is child or r.args["woke"].role == "subproc_ready")
        ]
        ends = [*ends[:3], max(over, default=float("inf"))]
    return max(ends) + 1.0


def _fill(made: Sequence, rows: list[Row], lane_of: dict[int, int]) -> None:
    waiting: dict[int, tuple[int, Row]] = {}
    open_brackets: dict[tuple[int, str], int] = {}
    signalled_at: dict[int, int] = {}
    born: dict[int, tuple[str, int]] = {}
    gone: dict[int, int] = {}
    for row in rows:
        lane = lane_of[row.tid]
        if row.phase in ("begin", "end"):
            _bracket(made, row, open_brackets)
            continue
        if row.name == "CreateProcess" and row.phase == "return":
            continue
        made.steps.append(Step(row.t_us, lane, *_text(row)))
        here = len(made.steps) - 1
        if row.name in _WAITS:
            if row.phase == "call":
                waiting[row.tid] = (here, row)
            else:
                _end_wait(made, waiting, signalled_at, row, here)
        obj = row.args.get("h")
        if row.name == "SetEvent":
            signalled_at[id(obj)] = here
        elif row.name == "ExitProcess":
            signalled_at[-row.pid] = here
        if isinstance(obj, Win32Object) and obj.role in _SHOWN:
            if row.name.startswith("Create"):
                born[id(obj)] = (obj.role, here)
            elif row.name == "CloseHandle":
                gone[id(obj)] = here
    made.waits += [Wait(first, None) for first, _ in waiting.values()]
    made.objects += [
        KernelObject(name, first, gone.get(key)) for key, (name, first) in born.items()
    ]


def _bracket(made: Sequence, row: Row, open_brackets: dict[tuple[int, str], int]) -> None:
    key = (row.tid, row.name)
    if row.phase == "begin":
        open_brackets[key] = len(made.steps)
    else:
        first = open_brackets.pop(key, None)
        if first is not None and first < len(made.steps):
            made.brackets.append(Bracket(first, len(made.steps) - 1, row.name))


def _end_wait(
    made: Sequence,
    waiting: dict[int, tuple[int, Row]],
    signalled_at: dict[int, int],
    row: Row,
    here: int,
) -> None:
    begun = waiting.pop(row.tid, None)
    if begun is None:
        return
    woke = row.args.get("woke")
    if row.t_us > begun[1].t_us:
        made.waits.append(Wait(begun[0], here))
    key = -woke.pid if isinstance(woke, Process) else id(woke)
    if key in signalled_at and signalled_at[key] > begun[0]:
        made.arrows.append(Arrow(signalled_at[key], here))


def _roles(row: Row) -> str:
    return ", ".join(_name(obj) for obj in row.args["hs"])


def _name(obj: Any) -> str:
    if isinstance(obj, Process):
        return f"process {obj.image.name}"
    return str(getattr(obj, "role", "") or getattr(obj, "kind", ""))


def _text(row: Row) -> tuple[str, str]:
    """What the chart writes for a row, and the kind of step it is."""
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
    obj = args.get("h", args.get("src"))
    if obj is not None and _name(obj):
        detail = f" {_name(obj)}{detail}"
    return row.name + detail, "signal" if row.name in _SIGNALS else "call"
