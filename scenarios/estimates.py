"""What the document says of each measure over its replications, and of the headlines in full.

A mean stands with Student's interval and with the number of replications from which on that can be
believed (measured, `sim.sample_size`).  What never came in some replication has no mean: it is
counted, as a share with Wilson's interval.  Quantiles over replications are of independent
observations, one from each run; their interval is one of order statistics, or none and the number
that it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scenarios.headlines import Headline, alike, missing, numbers
from scenarios.spec import Replicated
from sim.estimators import QUANTILES, Interval, mean_interval, proportion_interval
from sim.quantile_intervals import order_interval
from sim.sample_size import Trust


def means(results: Mapping[str, Replicated], system: str, trust: Trust) -> Iterator[dict[str, Any]]:
    """Each measure over its replications: the mean with its interval where all have come.

    results: by scheme; system: what rows that name none were measured on
    """
    for scheme, replicated in results.items():
        for (point, measure, where, unit), column in replicated.columns.items():
            what = {"scheme": scheme, "system": where or system, "point": point,
                    "measure": measure, "unit": unit}  # fmt: skip
            found = list(column)
            if any(isinstance(v, str) for v in found):
                yield {**what, "value": found[0], "ci95": None, "censored": 0, "trusted": None}
                continue
            interval = mean(found)
            yield {
                **what,
                "value": interval.mean if interval else None,
                "ci95": interval.limits() if interval else None,
                "censored": sum(v is None for v in found),
                "trusted": trusted(found, trust),
            }


def mean(values: Sequence[float | None]) -> Interval | None:
    """The mean with its interval; None if it never came in some replication."""
    came = [float(value) for value in values if value is not None]
    return mean_interval(came) if came and len(came) == len(values) else None


def trusted(values: Sequence[float | None], trust: Trust) -> bool | None:
    """Whether the interval can be believed; None where there is none, or nothing is drawn."""
    if len(values) < 2 or None in values or alike(list(values)):
        return None
    return trust.enough


def in_full(
    found: list[Headline], results: Mapping[str, Replicated], trust: Trust
) -> Iterator[dict[str, Any]]:
    """Each headline under each scheme: mean, trust, share that never came, quantiles."""
    for headline, scheme, values in numbers(found, results):
        interval = mean(values)
        absent = missing(results[scheme], headline)
        never = values.count(None) - absent
        share = proportion_interval(never, len(values))
        drawn = interval is not None and not alike(values)
        yield {
            "scheme": scheme,
            "point": headline.point,
            "system": headline.system or None,
            "measure": headline.measure,
            "unit": headline.unit,
            "replications": len(values),
            "mean": interval.mean if interval else None,
            "ci95": interval.limits() if interval else None,
            "trusted": trusted(values, trust),
            "needed": trust.needed if drawn else None,
            "coverage": trust.coverage if drawn else None,
            "never_came": {"count": never, "share": share.share, "ci95": [share.low, share.high]},
            "missing": absent,
            "quantiles": _quantiles(values),
        }  # fmt: skip


def _quantiles(values: list[float | None]) -> dict[str, Any]:
    """p50, p95 and p99 of the replications' values."""
    quantiles = {}
    for name, probability in QUANTILES.items():
        one = order_interval(values, probability)
        quantiles[name] = {"value": one.value, "ci95": one.limits(), "needed": one.needed}
    return quantiles


def trust_document(trust: Trust, kind: str) -> dict[str, Any]:
    """How far a mean's interval can be believed, for all measures of the run."""
    return {
        "kind": kind,
        "replications": trust.replications,
        "needed": trust.needed,
        "enough": trust.enough,
        "coverage": trust.coverage,
    }


def trust_in_words(trust: Trust, kind: str) -> str:
    """One sentence about the intervals of a run with several replications."""
    if trust.coverage is None:
        often = "with so few it was not even measured"
    else:
        often = f"with so many they held the mean in {trust.coverage:.1%} of the cases tried"
    enough = "are enough" if trust.enough else f"are too few ({trust.needed} are needed)"
    count = trust.replications
    return f"{count} replications {enough} for 95 % intervals of {kind} costs: {often}"
