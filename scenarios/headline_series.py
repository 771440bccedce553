"""What is followed over the points of a campaign: a headline, or how two schemes differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scenarios.campaign import Carried
from scenarios.design_effects import observed, roles, title
from scenarios.estimates import mean
from scenarios.headlines import Role
from scenarios.spec import Spec
from sim.estimators import Interval


class Series(NamedTuple):
    """One headline under `scheme`, or `scheme` minus `minus`, pair by pair."""

    role: Role
    what: str  # the headline in words
    scheme: str
    minus: str | None = None

    def name(self) -> str:
        """The scheme, or both."""
        return self.scheme if self.minus is None else f"{self.scheme} - {self.minus}"

    def document(self) -> dict[str, Any]:
        """How documents name it."""
        return {
            "measure": self.role.measure, "at": self.role.at, "what": self.what,
            "system": self.role.system or None, "unit": self.role.unit, "scheme": self.scheme,
            "minus": self.minus,
        }  # fmt: skip


def followed(spec: Spec, carried: Sequence[Carried]) -> list[Series]:
    """Each headline under each scheme, and of each later scheme minus the first."""
    found = []
    first, *others = carried[0].condition.schemes
    for role in roles(spec, carried):
        what = title(spec, carried, role)
        found += [Series(role, what, name) for name in (first, *others)]
        found += [Series(role, what, name, first) for name in others]
    return [one for one in found if any(v is not None for v in values(spec, carried[0], one))]


def values(spec: Spec, one: Carried, series: Series) -> list[float | None]:
    """In each replication at one point; None where it never came, or only one of two did."""
    count = len(next(iter(one.results.values())).outcomes)
    nothing: list[float | None] = [None] * count
    of_b = observed(spec, one, series.role, series.scheme) or nothing
    if series.minus is None:
        return of_b
    of_a = observed(spec, one, series.role, series.minus) or nothing
    return [None if a is None or b is None else b - a for a, b in zip(of_a, of_b, strict=True)]


def interval(spec: Spec, one: Carried, series: Series) -> Interval | None:
    """Its mean at one point; None where it never came in some replication."""
    return mean(values(spec, one, series))
