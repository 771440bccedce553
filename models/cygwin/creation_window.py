"""The steps of one creation, found from the rows of calls of its run.

A step is what lies between two Win32 calls of the child or of the process that makes it, from the
moment at which the child exists to the end of the hand-over: the caller has its answer or has
ended, and the child is in main().

What must stay true: nothing but the run's own rows and times is used, so a scheme whose calls
change has other steps, and no list of them stands anywhere.
"""

from __future__ import annotations

from typing import NamedTuple

from models.cygwin.installation import Creation
from models.cygwin.section_life import child_of
from models.win32.kernel import Kernel
from sim.trace import Row

CHILD, CALLER = "child", "caller"


class Step(NamedTuple):
    """One step. Every field is *output*.

    number: from 1 on, by time
    who, call: who made the call that it begins with, and which; "" for the child's own beginning
    start_us, end_us: from when to when; steps that take no time are left out
    """

    number: int
    who: str
    call: str
    start_us: float
    end_us: float

    @property
    def middle_us(self) -> float:
        """A moment inside it."""
        return (self.start_us + self.end_us) / 2


def steps_of(kernel: Kernel, creation: Creation) -> list[Step]:
    """All steps of a creation that went well, in order. Raises ValueError if it did not.

    Raises ValueError too if the run kept no calls.
    """
    child = child_of(kernel, creation)
    caller = kernel.processes[child.parent_pid]
    answered = caller.ended_us if creation.kind == "exec" else creation.returned_us
    if kernel.calls is None or answered is None or creation.main_us is None:
        raise ValueError(f"{creation.kind} of {creation.program} has no end, or no calls were kept")
    end_us = max(answered, creation.main_us)
    begins = {child.created_us: (CHILD, "")}
    for row in sorted(kernel.calls, key=lambda row: row.t_us):
        mine = row.pid in (child.pid, caller.pid) and _is_win32(row)
        if mine and child.created_us < row.t_us < end_us:
            begins[row.t_us] = (CHILD if row.pid == child.pid else CALLER, row.name)
    ends = [*list(begins)[1:], end_us]
    return [
        Step(number, who, call, start, end)
        for number, ((start, (who, call)), end) in enumerate(
            zip(begins.items(), ends, strict=True), 1
        )
        if end > start
    ]


def step_at(steps: list[Step], t_us: float) -> Step | None:
    """The step in which a moment lies, None before and after them."""
    return next((step for step in steps if step.start_us <= t_us < step.end_us), None)


def _is_win32(row: Row) -> bool:
    """Whether a row is a call of Win32, and no mark or function of Cygwin's."""
    return row.name[0].isupper()
