"""What a measure is sensitive to: one factor at a time, and ranks over a whole design.

Values stand in the order of the design's points (`sim.design`); None or inf is one that never came.
Such a value takes part in no number; it is counted, and stands first where it is the finding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sim.critical_values import checked_level, normal
from sim.design import Level, Point


class Bar(NamedTuple):
    """One row of a tornado: what one factor does alone."""

    factor: str
    low: Level  # the settings with the least and the greatest measure
    high: Level
    at_low: float | None  # the measure there; None if it never came at some setting
    at_high: float | None

    @property
    def swing(self) -> float | None:
        """How far the measure moves [its unit]; None if it never came somewhere."""
        return None if self.at_low is None or self.at_high is None else self.at_high - self.at_low


class RankCorrelation(NamedTuple):
    """How monotonously a measure follows a factor."""

    factor: str
    points: int
    missing: int  # points without a value
    rho: float | None  # Spearman's, -1 to 1; None if factor or measure is constant
    low: float | None  # None below 10 points
    high: float | None


class Effect(NamedTuple):
    """What a factor's change from low to high does on average in a 2^k design."""

    factor: str
    effect: float | None  # None if some point has no value


FEWEST_POINTS = 10  # for the interval of a rank correlation (Bonett and Wright 2000: down to 10)


def tornado(points: Sequence[Point], values: Sequence[float | None]) -> list[Bar]:
    """One bar for each factor of a one-at-a-time design, the longest first.

    The first point is the base, which is one setting of each factor.  A factor at which the measure
    never came somewhere stands before all others.  Raises ValueError for numbers that do not fit,
    or a point that differs from the base in more or less than one factor.
    """
    _check(points, values)
    base = points[0]
    settings: dict[str, list[tuple[Level, float | None]]] = {}
    for point, value in zip(points[1:], values[1:], strict=True):
        changed = [name for name in base if point.get(name) != base[name]]
        if len(changed) != 1:
            raise ValueError(f"point {point} must differ from the base {base} in one factor")
        start = [(base[changed[0]], _came(values[0]))]
        settings.setdefault(changed[0], start).append((point[changed[0]], _came(value)))
    bars = [_bar(name, found) for name, found in settings.items()]
    return sorted(bars, key=lambda bar: -(math.inf if bar.swing is None else bar.swing))


def _bar(name: str, found: Sequence[tuple[Level, float | None]]) -> Bar:
    came = [(value, setting) for setting, value in found if value is not None]
    if len(came) < len(found):
        return Bar(name, found[1][0], found[-1][0], None, None)
    least = min(came, key=lambda pair: pair[0])
    greatest = max(came, key=lambda pair: pair[0])
    return Bar(name, least[1], greatest[1], least[0], greatest[0])


def rank_correlations(
    points: Sequence[Point], values: Sequence[float | None], level: float = 0.95
) -> list[RankCorrelation]:
    """Spearman's rank correlation of the measure with each factor, the strongest first.

    Meant for Latin hypercubes and Sobol points, whose factors are independent.  Interval by
    Fisher's transformation with the variance (1 + rho^2 / 2) / (n - 3) (D. G. Bonett and T. A.
    Wright, Psychometrika 65, 2000).  Raises ValueError for numbers that do not fit, or a factor
    whose values are no numbers.
    """
    checked_level(level)
    _check(points, values)
    came = [(p, v) for p, v in zip(points, map(_came, values), strict=True) if v is not None]
    missing = len(points) - len(came)
    measure = [value for _, value in came]
    rows = []
    for name in points[0]:
        rho = _spearman([_number(name, point[name]) for point, _ in came], measure)
        low, high = _fisher(rho, len(came), level)
        rows.append(RankCorrelation(name, len(came), missing, rho, low, high))
    return sorted(rows, key=lambda row: -abs(row.rho or 0.0))


def main_effects(points: Sequence[Point], values: Sequence[float | None]) -> list[Effect]:
    """Mean where a factor is high minus mean where it is low, in a 2^k design, largest first.

    High is what the last point has (`sim.design.two_level`).  Raises ValueError for numbers that do
    not fit, or a factor that is high at more or less than half of the points.
    """
    _check(points, values)
    came = [_came(value) for value in values]
    effects = []
    for name in points[0]:
        up = [point[name] == points[-1][name] for point in points]
        if 2 * sum(up) != len(points):
            raise ValueError(f"{name} must be high at half of the points of a 2^k design")
        parts = [v if high else -v for v, high in zip(came, up, strict=True) if v is not None]
        whole = len(parts) == len(points)
        effects.append(Effect(name, 2 * math.fsum(parts) / len(points) if whole else None))
    return sorted(effects, key=lambda e: -(math.inf if e.effect is None else abs(e.effect)))


def _spearman(factor: Sequence[float], measure: Sequence[float]) -> float | None:
    if len(set(factor)) < 2 or len(set(measure)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(factor, measure).statistic)


def _fisher(rho: float | None, count: int, level: float) -> tuple[float | None, float | None]:
    if rho is None or count < FEWEST_POINTS:
        return None, None
    if abs(rho) > 1 - 1e-12:
        return rho, rho
    half = normal(0.5 + level / 2) * math.sqrt((1 + rho * rho / 2) / (count - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def _number(name: str, value: Level) -> float:
    if isinstance(value, str):
        raise ValueError(f"{name} ({value!r}) must be a number to have a rank")
    return float(value)


def _came(value: float | None) -> float | None:
    return None if value is None or value == math.inf else value


def _check(points: Sequence[Point], values: Sequence[float | None]) -> None:
    if not points or len(points) != len(values):
        raise ValueError(f"values ({len(values)}) must be as many as points ({len(points)}, > 0)")
    for value in values:
        if value is not None and (math.isnan(value) or value == -math.inf):
            raise ValueError(f"value ({value}) must be a number, or None if it never came")
