"""What a scenario says about itself, and what one run of it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from scenarios.options import DEFAULT_PROFILE, DEFAULT_SCHEMES, DEFAULT_SYSTEM
from sim.estimators import Interval, mean_interval

PARAGRAPHS = {  # of the document, in its order -> how each begins
    "inheritance": 'Cygwin has recently adopted something called the "cygwin heap"',
    "arguments": "The cygheap is also used to pass argv information to a child process",
    "allocator": "The cygheap memory allocation functions are adapted",
    "hand-over": "How is the cygheap propagated to the child?",
    "systems": "It is in the child process that the difference",
    "background": "Why do we go to these contortions?",
    "place": "In Cygwin 1.3.3 (and presumably beyond) the location of the cygwin heap",
}


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
    """

    rows: list[Measured]
    notes: list[str]
    drawn: dict[str, Any] = field(default_factory=dict)

    def value(self, point: str, measure: str, system: str = "") -> Any:
        """The value of a measure. Raises KeyError if it was not measured."""
        try:
            return self._by_key[point, measure, system]
        except KeyError:
            raise KeyError(f"{measure} at {point} {system}".rstrip()) from None

    @cached_property
    def _by_key(self) -> dict[tuple[str, str, str], Any]:
        return {(row.point, row.measure, row.system): row.value for row in self.rows}


@dataclass(frozen=True)
class Replicated:
    """What one scheme gave in all its replications."""

    outcomes: tuple[Outcome, ...]

    def values(self, point: str, measure: str, system: str = "") -> list[Any]:
        """A measure in each replication. Raises KeyError if it was not measured."""
        return [outcome.value(point, measure, system) for outcome in self.outcomes]

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

    def drawn(self, name: str) -> list[Any]:
        """What each replication kept for the figures under a name."""
        return [outcome.drawn[name] for outcome in self.outcomes]

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
    `spawns`: Cygwin children of a spawn must come to main, which some schemes keep them from.
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
    paragraph: str = ""

    def __post_init__(self) -> None:
        if self.paragraph not in ("", *PARAGRAPHS):
            raise ValueError(f"paragraph ({self.paragraph}) must be one of {', '.join(PARAGRAPHS)}")

    def point(self, quick: bool) -> Any:
        """The design point to start from."""
        return replace(self.parameters, **dict(self.quick)) if quick else self.parameters
