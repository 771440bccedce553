"""Which assumed inputs a headline rests on, and whether a difference keeps its sign.

The tornado moves one input at a time; a sample moves all of them at once: a Latin hypercube with
rank correlations, or the points of Sobol indices, one replication at each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scenarios.assumed_inputs import Ends
from scenarios.campaign import Campaign, Carried, Condition, exactly
from scenarios.design_effects import in_words, verdict_label
from scenarios.design_file import Asked
from scenarios.design_points import placed
from scenarios.headline_series import Series, followed, interval
from scenarios.spec import Spec
from sim.design import Factor, Point, latin_hypercube, saltelli_points
from sim.errors import InputError
from sim.sensitivity import rank_correlations, tornado
from sim.sobol_indices import Index, sobol_indices
from sim.verdict import sign_verdict


class Sample(NamedTuple):
    """Points over all inputs at once, and what was carried out at each."""

    kind: str  # lhs or sobol
    factors: list[Factor]
    points: list[Point]
    numbers: list[int]  # of each point's condition
    carried: list[Carried]  # by condition


def sampled(
    campaign: Campaign, ends: Ends, base: Condition, asked: Asked, seed: int, count: int
) -> Sample:
    """The sample, carried out. Raises InputError for a sample that is too large."""
    factors = [one.factor for one in ends.inputs]
    try:
        if asked.kind == "lhs":
            points = latin_hypercube(factors, asked.points or 0, seed)
        else:
            points = saltelli_points(factors, asked.points or 0, seed)
    except ValueError as error:
        raise InputError(asked.where, str(error), "fewer points") from None
    conditions, numbers = placed(points, base, asked.where)
    rule = exactly(count if asked.kind == "lhs" else 1)
    carried = campaign.carried_out(conditions, rule)
    exact = [carried[number].condition.values for number in numbers]
    return Sample(asked.kind, factors, exact, numbers, carried)


def document(
    spec: Spec, ends: Ends, at_ends: Sequence[Carried], sample: Sample | None, seed: int
) -> dict[str, Any]:
    """Tornado, ranks or indices, and verdict, for each headline and each difference."""
    every = followed(spec, at_ends)
    return {
        "kind": None if sample is None else sample.kind,
        "points": 0 if sample is None else len(sample.points),
        "tornado": [_tornado(spec, ends, at_ends, series) for series in every],
        "sample": [] if sample is None else [_ranked(spec, sample, one, seed) for one in every],
        "verdicts": [
            _verdict(spec, ends, at_ends, sample, one) for one in every if one.minus is not None
        ],
    }


def _tornado(spec: Spec, ends: Ends, at_ends: Sequence[Carried], series: Series) -> dict[str, Any]:
    found = [interval(spec, one, series) for one in at_ends]
    means = [None if one is None else one.mean for one in found]
    bars = tornado(ends.points, means) if ends.inputs else []
    return {
        **series.document(),
        "base": means[0],
        "bars": [{**bar._asdict(), "swing": bar.swing} for bar in bars],
    }


def _ranked(spec: Spec, sample: Sample, series: Series, seed: int) -> dict[str, Any]:
    """Rank correlations, or both indices of each factor; null where there can be none."""
    each = [interval(spec, one, series) for one in sample.carried]
    found = [each[number] for number in sample.numbers]
    means = [None if one is None else one.mean for one in found]
    rows: list[dict[str, Any]] | None
    if sample.kind == "lhs":
        rows = [
            {"factor": r.factor, "rank_correlation": r.rho,
             "ci95": None if r.low is None else [r.low, r.high], "missing": r.missing}
            for r in rank_correlations(sample.points, means)
        ]  # fmt: skip
    else:
        rows = _indices(sample, means, seed)
    return {**series.document(), "factors": rows}


def _indices(
    sample: Sample, means: Sequence[float | None], seed: int
) -> list[dict[str, Any]] | None:
    came = [value for value in means if value is not None]
    if len(came) < len(means) or max(came) == min(came):
        return None  # what may never come, or never changes, has no variance to share
    return [
        {"factor": one.factor, "first": _index(one.first), "total": _index(one.total)}
        for one in sobol_indices(sample.factors, came, seed)
    ]


def _index(index: Index) -> dict[str, Any]:
    return {"value": index.value, "ci95": [index.low, index.high]}


def _verdict(
    spec: Spec, ends: Ends, at_ends: Sequence[Carried], sample: Sample | None, series: Series
) -> dict[str, Any]:
    """The sign of a difference at every point of tornado and sample."""
    points, carried = list(ends.points), list(at_ends)
    if sample is not None:
        points += sample.points
        carried += [sample.carried[number] for number in sample.numbers]
    verdict = sign_verdict(points, [interval(spec, one, series) for one in carried])
    return {
        **series.document(),
        **{name: getattr(verdict, name)
           for name in ("points", "positive", "negative", "undecided", "unmatched")},
        "text": in_words(series.what, series.minus or "", series.scheme, verdict),
        "label": verdict_label(spec, carried, series.role, (series.minus or "", series.scheme)),
    }  # fmt: skip
