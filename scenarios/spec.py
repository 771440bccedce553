"""What a scenario says about itself, and what one run of it gives back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from scenarios.options import DEFAULT_PROFILE, DEFAULT_SCHEMES, DEFAULT_SYSTEM
from sim.estimators import Interval, mean_interval


class Measured(NamedTuple):
    """One measure at one design point of one run."""

    point: str  # design point, as KEY=VALUE words
    measure: str
    unit: str
    value: float | int | str | None  # None if it never came
    censored: int  # how many observations behind it never came


@dataclass(frozen=True)
class Outcome:
    """What one scheme gave in one replication. rows: measures; notes: sentences -- output"""

    rows: list[Measured]
    notes: list[str]

    def value(self, point: str, measure: str) -> Any:
        """The value of a measure. Raises KeyError if it was not measured."""
        for row in self.rows:
            if row.point == point and row.measure == measure:
                return row.value
        raise KeyError(f"{measure} at {point}")


@dataclass(frozen=True)
class Replicated:
    """What one scheme gave in all its replications."""

    outcomes: tuple[Outcome, ...]

    def values(self, point: str, measure: str) -> list[Any]:
        """A measure in each replication. Raises KeyError if it was not measured."""
        return [outcome.value(point, measure) for outcome in self.outcomes]

    def mean(self, point: str, measure: str) -> Interval | None:
        """Mean and interval over the replications; None if it never came in one of them."""
        values = self.values(point, measure)
        return None if any(v is None for v in values) else mean_interval(values)

    @property
    def notes(self) -> list[str]:
        """The notes of the first replication, which stand for all."""
        return self.outcomes[0].notes


def in_words(interval: Interval, scale: float, unit: str) -> str:
    """A mean with the number of replications and the interval, its values times `scale`."""
    mean = f"{interval.mean * scale:,.3g} {unit}".strip()
    limits = interval.limits()
    if limits is None:
        return f"{mean} (1 replication, no interval)"
    low, high = (f"{x * scale:,.3g}" for x in limits)
    return f"{mean} (mean of {interval.replications} replications, 95 %: {low} to {high})"


@dataclass(frozen=True)
class Spec:
    """Name, question and defaults of a scenario.

    `parameters` is a frozen dataclass as `scenarios.parameters` describes it; its fields are the
    keys of `--set`. `quick` gives the fields that `--quick` changes: smaller, same shape.  Beside
    SPEC the module has `run_point`, `table`, `conclusions`, `figures`, `places` and `watched`.

    `heap_only`: no process runs, so that neither scheme nor system nor profile can be chosen, and
    there is no `places` and `watched`.
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

    def point(self, quick: bool) -> Any:
        """The design point to start from."""
        return replace(self.parameters, **dict(self.quick)) if quick else self.parameters
