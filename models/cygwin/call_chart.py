"""One creation of a log and the simulated one as a sequence chart: the same calls stand level.

Lanes are parent and child of the log, then parent and child of the run.  What the signal thread of
the child and wait_subproc of the parent do stands in their process's lane, and says so.  Rows are
in the order of the log; what only the run has follows the call that it comes after.  Times are not
shown: those of a log are the tracer's.

A kernel object is there until its last handle or view is gone, whoever has that, as in the charts
of runs alone; where parent and child close at about the same time it may be the one in the log and
the other in the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from models.cygwin.call_beside import SAME, Beside, Line, roles, text
from models.cygwin.call_log import Call
from models.cygwin.call_windows import Window
from models.cygwin.call_words import Word
from models.cygwin.object_lives import Lives
from models.cygwin.sequence import Sequence as Chart
from models.win32.objects import KernelObject as Win32Object
from sim.sequence_layout import Arrow, KernelObject, Step, Wait
from sim.trace import Row

LANES = ("real parent", "real child", "simulated parent", "simulated child")
_SHOWN = ("subproc_ready", "forker_finished", "heap section")  # objects with a bar of their own
_THREADS = {"signal": "[signal thread] ", "waiter": "[wait_subproc] "}
_PROCESS_OF = {"parent": 0, "waiter": 0, "child": 1, "signal": 1}


def chart(found: Beside, real_calls: Sequence[Call], made_calls: Sequence[Call]) -> Chart:
    """The chart of a creation; the calls are all those of its log and of its run."""
    made = Chart(list(LANES))
    sides = (
        _Side(made, found.real, real_calls, 0, "real"),
        _Side(made, found.simulated, made_calls, 2, "simulated"),
    )
    for row, line in enumerate(found.lines):
        for side, word in zip(sides, (line.real, line.simulated), strict=True):
            if word is not None:
                side.add(row, line, word)
    for side in sides:
        side.end()
    return made


class _Side:
    """Log or run: its steps, and what joins them."""

    def __init__(
        self, made: Chart, window: Window, calls: Sequence[Call], lane: int, called: str
    ) -> None:
        self._made, self._window, self._calls = made, window, calls
        self._lane, self._called = lane, called
        self._named = roles(window)
        self._places: list[tuple[int, int]] = []  # (place among its calls, step)
        self._waiting: dict[str, int] = {}  # part -> the step that waits
        self._signalled: dict[Any, int] = {}  # object -> step
        self._started: int | None = None  # the step that lets the child run

    def add(self, row: int, line: Line, word: Word) -> None:
        """One call of this side."""
        made, here = self._made, len(self._made.steps)
        lane = self._lane + _PROCESS_OF[line.part]
        mark = "" if line.mark == SAME else f"{line.mark} "
        said = mark + _THREADS.get(line.part, "") + text(word, self._named)
        made.steps.append(Step(float(row), lane, said, _kind(word)))
        made.rows.append(row)
        if word.place:
            self._places.append((word.place, here))
        if line.part == "child" and self._started is not None:
            made.arrows.append(Arrow(self._started, here))
            self._started = None
        self._join(line.part, word, here)

    def _join(self, part: str, word: Word, here: int) -> None:
        objects = dict(word.objects)
        if word.name == "CreateProcess call" or word.name == "ResumeThread":
            self._started = here
        elif word.name == "SetEvent":
            self._signalled[objects["h"]] = here
        elif word.name.startswith("WaitFor") and word.name.endswith("call"):
            if dict(word.facts)["ms"] != 0 and part not in _THREADS:
                self._waiting[part] = here
        elif word.name.startswith("WaitFor") and part in self._waiting:
            first = self._waiting.pop(part)
            self._made.waits.append(Wait(first, here))
            sets = self._signalled.get(objects.get("woke"))
            if sets is not None:
                self._made.arrows.append(Arrow(sets, here))

    def end(self) -> None:
        """The bars of the objects that child_info hands over."""
        objects = {obj: role for obj, role in self._named.items() if _role(role) in _SHOWN}
        for life in _lives(self._calls, objects):
            first = self._step(life.born)
            if first is None:
                continue
            end = max(place for place, _ in self._places)
            last = None
            if life.gone is not None and life.gone <= end:
                last = self._step(life.gone)
            name = f"{self._called}: {life.role}"
            self._made.objects.append(KernelObject(name, first, last))

    def _step(self, place: int) -> int | None:
        """The step of the call at a place among its side's calls, else of the last one before."""
        before = [(at, step) for at, step in self._places if at <= place]
        return max(before)[1] if before else None


def _role(role: str) -> str:
    return role.replace("cygheap_h", "heap section")


def _kind(word: Word) -> str:
    if word.name in ("SetEvent", "ResumeThread", "CreateProcess call"):
        return "signal"
    if word.name.startswith("WaitFor"):
        return "return" if word.name.endswith("return") else "wait"
    return "life" if word.name == "ExitProcess" else "call"


# -- objects ---------------------------------------------------------------------------------------


class _Life(NamedTuple):
    role: str
    born: int  # place of the call that made it
    gone: int | None  # place of the call with which its last handle or view went


class _Process(NamedTuple):
    pid: int
    ended_us: float | None


def _lives(calls: Sequence[Call], objects: Mapping[Any, str]) -> list[_Life]:
    """The lives of some objects, read off the calls of a log or a run."""
    things = {obj: _thing(_role(role)) for obj, role in objects.items()}
    pids: dict[Any, int] = {}
    for call in calls:
        pids.setdefault(call.pid, len(pids) + 1)
    ends = {call.pid: float(call.place) for call in calls if call.api == "ExitProcess"}
    processes = {name: _Process(pid, ends.get(name)) for name, pid in pids.items()}
    rows = [row for call in calls for row in _row(call, things, processes)]
    found = Lives(_SHOWN, rows, processes.values())  # type: ignore[arg-type]  # pid and end suffice
    return [
        _Life(
            life.obj.role, int(life.born.t_us), None if life.gone_us is None else int(life.gone_us)
        )
        for life in found.found
    ]


def _thing(role: str) -> Win32Object:
    made = Win32Object()
    made.role = role
    return made


def _row(
    call: Call, things: Mapping[Any, Win32Object], processes: Mapping[Any, _Process]
) -> Iterable[Row]:
    """A call with stand-ins for its objects; nothing if it is about another process's unknown."""
    args = dict(call.args)
    for key in ("h", "src"):
        args[key] = things.get(args.get(key)) if _hashable(args.get(key)) else None
    if call.api == "DuplicateHandle":
        args["dst_proc"] = processes.get(args["dst_proc"])
    if call.api == "CreateProcess" and call.phase == "return":
        args["child"] = processes.get(args.get("child"))
        if args["child"] is None:
            return
    yield Row(float(call.place), processes[call.pid].pid, 0, call.api, call.phase, args)


def _hashable(obj: Any) -> bool:
    return not isinstance(obj, list | dict)
