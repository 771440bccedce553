"""What a scenario says about itself, and what one run of it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from models.cygwin.left_in_all import together
from scenarios.options import DEFAULT_PROFILE, DEFAULT_SCHEMES, DEFAULT_SYSTEM
from sim.columns import Column
from sim.design import Factor
from sim.estimators import Interval, mean_interval
from sim.mapped import Mapped

PARAGRAPHS = {  # of the document, in its order -> how each begins
    "inheritance": 'Cygwin has recently adopted something called the "cygwin heap"',
    "arguments": "The cygheap is also used to pass argv information to a child process",
    "allocator": "The cygheap memory allocation functions are adapted",
    "hand-over": "How is the cygheap propagated to the child?",
    "systems": "It is in the child process that the difference",
    "background": "Why do we go to these contortions?",
    "place": "In Cygwin 1.3.3 (and presumably beyond) the location of the cygwin heap",
}

ASSUMED_TIMES = (
    "times rest on assumed and derived costs of the profile: no measured fork or CreateProcess of "
    "2001 was found"
)  # a limit of every scenario that is about time; COSTS.md §0

_MOST_LEFT = 1000  # documents that are summed at a time, since a sweep has 100,000 -- chosen


class Measured(NamedTuple):
    """One measure at one design point of one run."""

    point: str  # design point, as KEY=VALUE words
    measure: str
    unit: str
    value: float | int | str | None  # None if it never came
    censored: int  # how many observations behind it never came
    system: str = ""  # where a run has several systems, the one that it was measured on


@dataclass(frozen=True)
class Outcome:
    """What one scheme gave in one replication. Every field is *output*.

    rows: measures; notes: sentences
    drawn: what figures need beyond the rows, by a name of the scenario's own
    left: what the processes of all its machines still have, as `models.cygwin.left_in_all` says;
        None in a journal from before it was counted
    """

    rows: list[Measured]
    notes: list[str]
    drawn: dict[str, Any] = field(default_factory=dict)
    left: Mapping[str, Any] | None = None

    def value(self, point: str, measure: str, system: str = "") -> Any:
        """The value of a measure. Raises KeyError if it was not measured."""
        try:
            return self._by_key[point, measure, system]
        except KeyError:
            raise KeyError(f"{measure} at {point} {system}".rstrip()) from None

    def has(self, point: str, measure: str, system: str = "") -> bool:
        """Whether the run has such a measure, come or not."""
        return (point, measure, system) in self._by_key

    @cached_property
    def _by_key(self) -> dict[tuple[str, str, str], Any]:
        return {(row.point, row.measure, row.system): row.value for row in self.rows}


@dataclass(frozen=True)
class Replicated:
    """What one scheme gave in all its replications.

    `outcomes` may be read anew from where they are kept; measures are gathered once, as columns.
    """

    outcomes: Sequence[Outcome]

    def values(self, point: str, measure: str, system: str = "") -> list[Any]:
        """A measure in each replication. Raises KeyError if it was not measured."""
        for row, column in self.columns.items():
            if row[:3] == (point, measure, system) and len(column) == len(self.outcomes):
                return list(column)
        return [outcome.value(point, measure, system) for outcome in self.outcomes]

    @cached_property
    def columns(self) -> dict[tuple[str, str, str, str], Column]:
        """(point, measure, system, unit) -> its values over the replications, in their order."""
        return self._gathered[0]

    @property
    def left(self) -> dict[str, Any]:
        """What is left on all machines of all replications, by cause."""
        return self._gathered[1]

    @cached_property
    def _gathered(self) -> tuple[dict[tuple[str, str, str, str], Column], dict[str, Any]]:
        """Columns and what is left, both in one pass."""
        left: list[Mapping[str, Any]] = []
        found: dict[tuple[str, str, str, str], Column] = {}
        for outcome in self.outcomes:
            for row in outcome.rows:
                key = row.point, row.measure, row.system, row.unit
                if (column := found.get(key)) is None:
                    column = found[key] = Column()
                column.append(row.value)
            if outcome.left is not None:
                left.append(outcome.left)
                if len(left) >= _MOST_LEFT:
                    left = [together(left)]
        return found, together(left)

    def mean(self, point: str, measure: str, system: str = "") -> Interval | None:
        """Mean and interval over the replications; None if it never came in one of them."""
        values = self.values(point, measure, system)
        return None if any(v is None for v in values) else mean_interval(values)

    def value(self, point: str, measure: str, system: str = "") -> Any:
        """What every replication has alike; else the mean of numbers, or the words with "or".

        None if it never came in one of them. Raises KeyError if it was not measured.
        """
        distinct = list(dict.fromkeys(self.values(point, measure, system)))
        if len(distinct) == 1:
            return distinct[0]
        if any(isinstance(v, str) for v in distinct):
            return " or ".join(map(str, distinct))
        mean = self.mean(point, measure, system)
        return None if mean is None else mean.mean

    @property
    def rows(self) -> list[Measured]:
        """What was measured where, with the values of the first replication."""
        return self.outcomes[0].rows

    def drawn(self, name: str) -> Sequence[Any]:
        """What each replication kept for the figures under a name, read when it is asked for."""
        return Mapped(lambda outcome: outcome.drawn[name], self.outcomes)

    @property
    def notes(self) -> list[str]:
        """The notes of the first replication, which stand for all."""
        return self.outcomes[0].notes


def systems_in(results: Mapping[str, Replicated]) -> list[str]:
    """The systems that the results name, in their order."""
    return list(dict.fromkeys(row.system for r in results.values() for row in r.rows))


def in_words(interval: Interval, scale: float, unit: str) -> str:
    """A mean with the number of replications and the interval, its values times `scale`."""
    mean = f"{_three_digits(interval.mean * scale)} {unit}".strip()
    limits = interval.limits()
    if limits is None:
        return f"{mean} (1 replication, no interval)"
    low, high = (_three_digits(x * scale) for x in limits)
    return f"{mean} (mean of {interval.replications} replications, 95 %: {low} to {high})"


def each_in_words(intervals: Mapping[str, Interval], scale: float, unit: str) -> str:
    """Several means, each by its name, with the number of replications and the intervals."""
    words = []
    for name, interval in intervals.items():
        limits = interval.limits()
        low_high = " to ".join(_three_digits(x * scale) for x in limits or ())
        shown = f" ({low_high})" if limits else ""
        words.append(f"{name} {_three_digits(interval.mean * scale)} {unit}{shown}")
    count = min(interval.replications for interval in intervals.values())
    what = "1 replication, no interval"
    if count > 1:
        what = f"means of {count} replications, 95 % intervals"
    return f"{', '.join(words)} ({what})"


def _three_digits(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"


@dataclass(frozen=True)
class Spec:
    """Name, question and defaults of a scenario.

    `parameters` is a frozen dataclass as `scenarios.parameters` describes it; its fields are the
    keys of `--set`. `quick` gives the fields that `--quick` changes: smaller, same shape.  Beside
    SPEC the module has `run_point`, `table`, `conclusions`, `figures`, `places` and `watched`, and
    `inputs` if it reads files.

    `paragraph` is the one of the document that is told: a key of PARAGRAPHS, written out as it is
    read from the source; "" for none.  A `system` of several, as `nt+9x`, is what `run_point` gets
    where the user names none; each row then says its own.  `heap_only`: no process runs, so that
    neither scheme nor system nor profile can be chosen, and there are no `places` and nothing to be
    `watched`.  `own_machine`: system and costs follow from what is read, so those two cannot be
    chosen, and there are no `places` either.  `free_heap`: heaps are put anywhere or made large, so
    that a release with its heap in the DLL's image cannot be asked.
    `without_heap`: a release that has no cygheap can be asked, too.
    `spawns`: Cygwin children of a spawn must come to main, which some schemes keep them from.

    `limits`: within which bounds a result holds, each a clause: what is not modelled, on what it
    was checked; the one that matters most comes first.  They stand in every document.
    `steady_state`: how warm-up and length of a run that would go on for ever are chosen, and
    `arrivals`: what enters it from outside, and how that queues; both "" where runs end.

    What an experiment needs: `headlines` are the (point, measure) that the scenario is about, the
    first above all; a point may name parameters, as `heap_kib={common_kib} fds={fds[0]}`.  Where
    there are none, the first numbers of a run stand for them.  `factors` are what `--design`
    varies unless a file says otherwise; where there are none they follow from the parameters.
    `narrow` gives the fields that leave only what the headlines are about, for analyses that need
    many points.  `terminating`: a run ends by itself, so that replications are what is averaged.
    """

    name: str
    question: str
    parameters: Any  # frozen dataclass with the defaults
    quick: tuple[tuple[str, Any], ...] = ()
    schemes: tuple[str, ...] = DEFAULT_SCHEMES
    system: str = DEFAULT_SYSTEM
    profile: str = DEFAULT_PROFILE
    replications: int = 1
    quick_replications: int = 1
    heap_only: bool = False
    own_machine: bool = False
    free_heap: bool = False
    spawns: bool = False
    without_heap: bool = False
    paragraph: str = ""
    limits: tuple[str, ...] = ()
    steady_state: str = ""
    arrivals: str = ""
    headlines: tuple[tuple[str, str], ...] = ()
    factors: tuple[Factor, ...] = ()
    narrow: tuple[tuple[str, Any], ...] = ()
    terminating: bool = True

    def __post_init__(self) -> None:
        if self.paragraph not in ("", *PARAGRAPHS):
            raise ValueError(f"paragraph ({self.paragraph}) must be one of {', '.join(PARAGRAPHS)}")

    def point(self, quick: bool) -> Any:
        """The design point to start from."""
        return replace(self.parameters, **dict(self.quick)) if quick else self.parameters
