"""The steps of one creation, found from the rows of calls of its run.

A step is what lies between two Win32 calls of the child or of the process that makes it.  The steps
of the child's life begin when it exists, those of the whole creation when it is asked for.  They
end with the hand-over: the caller has its answer or has ended, and the child is in main().  What a
stub does after that is no part of the whole creation.

What must stay true: nothing but the run's own rows and times is used, so a scheme whose calls
change has other steps, and no list of them stands anywhere.
"""

from __future__ import annotations

from typing import NamedTuple

from models.cygwin.installation import Creation
from models.cygwin.section_life import child_of
from models.win32.kernel import Kernel
from models.win32.thread import Process
from sim.trace import Row

CHILD, CALLER = "child", "caller"
_NO_END = "{0.kind} of {0.program} has no end"


class Step(NamedTuple):
    """One step. Every field is *output*.

    number: from 1 on, by time
    who, call: who made the call that it begins with, and which; "" for the very beginning
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
    if answered is None or creation.main_us is None:
        raise ValueError(_NO_END.format(creation))
    end_us = max(answered, creation.main_us)
    return _between(kernel, child, child.created_us, CHILD, end_us)


def steps_from_call(kernel: Kernel, creation: Creation) -> list[Step]:
    """All steps of a creation that went well from the call on, in order. Raises ValueError.

    Those of the caller before there is a child are among them.
    """
    answered = 0.0 if creation.kind == "exec" else creation.returned_us
    if answered is None or creation.main_us is None:
        raise ValueError(_NO_END.format(creation))
    child = child_of(kernel, creation)
    return _between(kernel, child, creation.called_us, CALLER, max(answered, creation.main_us))


def _between(
    kernel: Kernel, child: Process, start_us: float, first: str, end_us: float
) -> list[Step]:
    """The steps from one moment to another; what begins at the first is `first`'s."""
    if kernel.calls is None:
        raise ValueError("the run kept no calls, of which steps are made")
    begins = {start_us: (first, "")}
    for row in sorted(kernel.calls, key=lambda row: row.t_us):
        mine = row.pid in (child.pid, child.parent_pid) and _is_win32(row)
        if mine and start_us < row.t_us < end_us:
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
