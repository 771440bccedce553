"""The measures that a scenario is about, found in its results, and how each is spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from models.win32.cost_profile import Profile
from scenarios.parameters import shown
from scenarios.spec import Outcome, Replicated, Spec
from sim.sample_size import Kind

MOST = 3  # measures that stand for a scenario that names none -- chosen
_OFTEN = 0.3  # probability of contention from which the tail is met often enough, student_coverage


class Headline(NamedTuple):
    """One measure at one point of a run; `system` only where a run has several."""

    point: str
    measure: str
    unit: str
    system: str

    def words(self) -> str:
        """Measure, point and system, as results.csv names them."""
        return f"{self.measure} at {self.point} {self.system}".rstrip()


class Role(NamedTuple):
    """A headline as the scenario names it: the same at all design points."""

    at: str  # the point, with the names of parameters in it
    measure: str
    unit: str
    system: str

    def words(self) -> str:
        """Measure, point and system."""
        return f"{self.measure} at {self.at} {self.system}".rstrip()


def headlines(spec: Spec, point: Any, results: Mapping[str, Replicated]) -> list[Headline]:
    """What the scenario is about, on each system; measures that no scheme has are left out."""
    return list(by_role(spec, point, results).values())


def by_role(spec: Spec, point: Any, results: Mapping[str, Replicated]) -> dict[Role, Headline]:
    """The same by what the scenario calls each."""
    there: dict[Headline, int] = {}
    for replicated in results.values():
        for row in replicated.rows:
            if not isinstance(row.value, str):
                key = Headline(row.point, row.measure, row.unit, row.system)
                there[key] = there.get(key, 0) + 1
    texts = _texts(point)
    found = {
        Role(at, measure, h.unit, h.system): h
        for at, measure in spec.headlines
        for h in there
        if (h.point, h.measure) == (at.format(**texts), measure)
    }
    if found:
        return found
    common = [h for h, count in there.items() if count == len(results)][:MOST]
    return {Role(*h): h for h in common}


def values(replicated: Replicated, headline: Headline) -> list[float | None] | None:
    """The measure in each replication; no list where none has it, or it is no number.

    None where it never came, and where a run has no such measure (`missing`).
    """
    column = replicated.columns.get(
        (headline.point, headline.measure, headline.system, headline.unit)
    )
    if column is None:
        return None
    if len(column) == len(replicated.outcomes):
        found = list(column)
    else:
        found = [_value(outcome, headline) for outcome in replicated.outcomes]
    return None if any(isinstance(v, str) for v in found) else found


def missing(replicated: Replicated, headline: Headline) -> int:
    """In how many replications nothing of the kind was ever asked for."""
    key = headline.point, headline.measure, headline.system
    column = replicated.columns.get((*key, headline.unit))
    return len(replicated.outcomes) - (0 if column is None else len(column))


def _value(outcome: Outcome, headline: Headline) -> Any:
    key = headline.point, headline.measure, headline.system
    return outcome.value(*key) if outcome.has(*key) else None


def numbers(
    found: list[Headline], results: Mapping[str, Replicated]
) -> Iterator[tuple[Headline, str, list[float | None]]]:
    """Each headline under each scheme that has it."""
    for headline in found:
        for scheme, replicated in results.items():
            if (some := values(replicated, headline)) is not None:
                yield headline, scheme, some


def alike(some: list[float | None]) -> bool:
    """Whether every replication gave the same: nothing in it is drawn."""
    return all(value == some[0] for value in some)


def kind(profile: Profile) -> Kind:
    """How a measure is spread between replications, as far as the profile tells.

    A sum of lognormal costs; with a tail where there is contention.
    """
    probability = profile.parameters["contention"].numbers().get("probability", 0.0)
    if probability == 0:
        return Kind.SKEWED
    return Kind.TAIL if probability >= _OFTEN else Kind.RARE_TAIL


def _texts(point: Any) -> dict[str, Any]:
    """The parameters as words, lists part by part."""
    return {
        field.name: [shown(part) for part in value] if isinstance(value, tuple) else shown(value)
        for field in fields(point)
        for value in [getattr(point, field.name)]
    }
