"""From how many replications on Student's interval can be believed, for each kind of measure.

Student's t is exact for normal values; for skewed ones it covers the mean less often than it says
until there are enough of them.  How often was measured on distributions with known means
(`student_coverage.csv` beside this file, written by `make coverage-table`): the number needed is
the least one measured from which on a 95 % interval holds the mean in at least `TRUSTED` of the
cases, for every example of the kind.  Nothing is needed beyond that file to hear the answer.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("student_coverage.csv")
TRUSTED = 0.93  # of 0.95: two points below what is said is the most that is accepted -- assumed
LEAST = 10  # replications in any case (Law, Simulation Modeling and Analysis, 5th ed., 9.4.1)


class Kind(StrEnum):
    """How a measure is spread between replications."""

    EVEN = "even"  # about normal: means over many creations, makespans
    SKEWED = "skewed"  # a sum of lognormal costs: one creation
    VERY_SKEWED = "very skewed"  # one lognormal cost, p95 of 2.7 to 4 medians: one wake
    TAIL = "tail"  # with probability 0.3 to 0.5 a hundred times longer: contention
    RARE_TAIL = "rare tail"  # the same with probability 0.1


class Measurement(NamedTuple):
    """How often a 95 % interval held the known mean."""

    kind: Kind
    example: str
    replications: int
    coverage: float
    repeats: int


class Trust(NamedTuple):
    """Whether Student's interval can be believed, and what that rests on."""

    enough: bool
    replications: int
    needed: int
    coverage: float | None  # measured, worst example, at the most replications not above ours


def trust(kind: Kind | str, replications: int) -> Trust:
    """Whether so many replications are enough for a mean of this kind of measure.

    Raises ValueError for an unknown kind and for a negative number.  `coverage` is None below the
    smallest number that was measured.
    """
    found = _known(kind)
    if replications < 0:
        raise ValueError(f"replications ({replications}) must not be negative")
    worst = _worst(found)
    needed = needed_replications(found)
    reached = [n for n in worst if n <= replications]
    coverage = worst[max(reached)] if reached else None
    return Trust(replications >= needed, replications, needed, coverage)


def needed_replications(kind: Kind | str) -> int:
    """The least number of replications for a mean of this kind; at least `LEAST`.

    Raises ValueError for an unknown kind, or if no number that was measured is enough.
    """
    found = _known(kind)
    worst = _worst(found)
    good = [n for n in worst if all(worst[m] >= TRUSTED for m in worst if m >= n)]
    if not good:
        raise ValueError(f"kind ({found}) was measured up to {max(worst)}: never enough")
    return max(LEAST, min(good))


def measurements() -> Sequence[Measurement]:
    """What was measured, in the order of the file."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        return [
            Measurement(
                Kind(row["kind"]),
                row["example"],
                int(row["replications"]),
                float(row["coverage"]),
                int(row["repeats"]),
            )
            for row in rows
        ]


def _worst(kind: Kind) -> dict[int, float]:
    """Coverage of the worst example of a kind by number of replications."""
    worst: dict[int, float] = {}
    for row in measurements():
        if row.kind == kind:
            worst[row.replications] = min(row.coverage, worst.get(row.replications, 1.0))
    return worst


def _known(kind: Kind | str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        allowed = ", ".join(Kind)
        raise ValueError(f"kind ({kind}) must be one of {allowed}") from None
