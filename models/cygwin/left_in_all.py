"""What the processes of many machines still have when all is over, by cause.

A machine is looked at once, when nothing can happen on it any more, and is not kept longer than
that: another one has been made, or whoever made them has finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from models.cygwin.installation import Installation
from models.cygwin.left_behind import CAUSES, balance

_COUNTED = ("processes", "handles", "views", "sections", "committed_bytes")


class LeftInAll:
    """The machines of one run of something, as they come to their end.

    Machines that only the run can drive on, cut off as they are, wait for the end of the run.
    """

    def __init__(self) -> None:
        self._open: list[Installation] = []
        self._found: list[Mapping[str, Any]] = []

    def made(self, installation: Installation) -> None:
        """There is one more machine; those that have stopped are looked at."""
        going = []
        for one in self._open:
            if _stopped(one):
                self._look(one)
            else:
                going.append(one)
        self._open = [*going, installation]

    def document(self) -> dict[str, Any]:
        """What is left on all of them, once the run is over; see `together`."""
        for one in self._open:
            self._look(one)
        self._open = []
        return together(self._found)

    def _look(self, one: Installation) -> None:
        self._found.append({"machines": 1, **balance(one).document()})


def together(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums over what `LeftInAll.document` gives: machines, and by cause what they have."""
    machines = 0
    left: dict[str, dict[str, int]] = {}
    unexplained: list[str] = []
    for document in documents:
        machines += document["machines"]
        unexplained += document["unexplained"]
        for one in document["left"]:
            sums = left.setdefault(one["cause"], dict.fromkeys(_COUNTED, 0))
            for what in _COUNTED:
                sums[what] += one[what]
    return {
        "machines": machines,
        "left": [{"cause": cause, **left[cause]} for cause in CAUSES if cause in left],
        "unexplained": unexplained,
    }


def _stopped(installation: Installation) -> bool:
    """Whether a machine has run, and nothing can happen on it any more."""
    kernel = installation.kernel
    return bool(kernel.processes) and kernel.engine.peek() == float("inf")
