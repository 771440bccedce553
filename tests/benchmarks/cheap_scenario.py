"""A scenario that costs next to nothing, for measuring what is around one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scenarios.spec import Measured, Outcome, Spec

MEASURES = 24
SCHEME = "blocking"


@dataclass(frozen=True)
class Parameters:
    """None."""


SPEC = Spec("cheap_scenario", "What is around a replication?", Parameters(), schemes=(SCHEME,))


def run_point(point: Any, scheme: str, system: str, profile: Any, rep: Any) -> Outcome:
    """Half of the measures are drawn, a third are counts, the rest are words; some never came."""
    draws = rep.stream("tests/cheap").standard_normal(MEASURES // 2).tolist()
    rows = [Measured("n=1", f"draw_{n}", "us", value, 0) for n, value in enumerate(draws)]
    rows += [Measured("n=1", f"count_{n}", "bytes", n, 0) for n in range(MEASURES // 3)]
    rows += [Measured("n=1", f"word_{n}", "", "yes" if draws[n] < 0 else "no", 0) for n in (0, 1)]
    rows += [Measured("n=1", f"rare_{n}", "us", max(draws[n], 0) or None, 1) for n in (0, 1)]
    return Outcome(rows, [], {"drawn": draws})


def table(results: Any, point: Any) -> list[list[str]]:
    """One cell."""
    return [["replications"], [str(len(results[SCHEME].outcomes))]]


def conclusions(results: Any, point: Any) -> list[tuple[str, str]]:
    """One that needs a column."""
    return [(f"the mean is {results[SCHEME].mean('n=1', 'draw_0').mean:.4f}", "exact")]


def figures(*asked: Any) -> list[Any]:
    """None."""
    return []
