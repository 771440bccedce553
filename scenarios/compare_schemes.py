"""Schemes against the first one, replication by replication, on the same random numbers.

Every measure that both have is in the document; what is printed are the headlines, and the
intervals that are printed hold together (Bonferroni).  What only one of two runs reached makes no
pair: it is counted as unmatched and takes part in no mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scenarios.cli_output import print_wrapped
from scenarios.headlines import Headline, values
from scenarios.spec import Replicated
from sim.comparisons import bonferroni, matched, paired_ratio, pairing
from sim.estimators import paired_difference
from sim.sample_size import Trust

TIMES = ("us", "ms", "s")
LEVEL = 0.95
_MOST_REPLICATIONS = 1000  # of which every measure is compared -- chosen


def compare(
    results: Mapping[str, Replicated], found: Sequence[Headline], belief: Trust
) -> list[dict[str, Any]]:
    """Rows b minus a, a being the first scheme, headlines first; `belief` is in their intervals.

    A measure that is alike on both sides in every replication and no headline has no row.  With
    more than 1,000 replications only headlines have rows.
    """
    names = list(results)
    shown = [
        (headline, name)
        for headline in found
        for name in names[1:]
        if _both(results, headline, names[0], name)
    ]
    level = bonferroni(LEVEL, max(len(shown), 1))
    rows = []
    many = belief.replications > _MOST_REPLICATIONS
    for headline, name in [*shown, *(() if many else _others(results, names, found))]:
        a, b = _both(results, headline, names[0], name) or ([], [])
        if (headline, name) in shown or a != b:
            one = _row(headline, names[0], name, a, b)
            at = level if (headline, name) in shown else None
            wide = one["ci95"] is not None and one["ci95"][0] < one["ci95"][1]
            rows.append({
                **one,
                "ci95_together": _together(a, b, at),
                "trusted": belief.enough if wide else None,
                "needed": belief.needed if wide else None,
                "headline": at is not None,
            })  # fmt: skip
    return rows


def _others(
    results: Mapping[str, Replicated], names: list[str], found: Sequence[Headline]
) -> Iterator[tuple[Headline, str]]:
    """What else the first scheme has, with each other one that has it too."""
    known = set(found)
    for row in results[names[0]].rows:
        headline = Headline(row.point, row.measure, row.unit, row.system)
        if headline not in known:
            for name in names[1:]:
                if _both(results, headline, names[0], name):
                    yield headline, name


def _both(
    results: Mapping[str, Replicated], headline: Headline, a: str, b: str
) -> tuple[list[float | None], list[float | None]] | None:
    of_a, of_b = (values(results[name], headline) for name in (a, b))
    return None if of_a is None or of_b is None else (of_a, of_b)


def _row(
    headline: Headline, a: str, b: str, of_a: list[float | None], of_b: list[float | None]
) -> dict[str, Any]:
    pairs = matched(dict(enumerate(of_a)), dict(enumerate(of_b)))
    count = len(pairs.a)
    interval = paired_difference(pairs.a, pairs.b) if count else None
    mean_a = sum(pairs.a)
    ratio = paired_ratio(pairs.a, pairs.b) if count and mean_a != 0 else None
    gain = pairing(pairs.a, pairs.b) if count > 1 else None
    return {
        "measure": headline.measure,
        "unit": headline.unit,
        "system": headline.system or None,
        "point": headline.point,
        "a": a,
        "b": b,
        "mean_difference": None if interval is None else interval.mean,
        "ci95": None if interval is None else interval.limits(),
        "ratio": None if ratio is None else ratio.ratio,
        "ratio_ci95": None if ratio is None else ratio.limits(),
        "replications": count,
        "unmatched": pairs.unmatched,
        "correlation": None if gain is None else gain.correlation,
        "variance_reduction": None if gain is None else gain.reduction,
        "label": _label(headline, pairs.a, pairs.b),
    }


def _label(headline: Headline, a: list[float], b: list[float]) -> str:
    """Whole numbers that differ by the same in every replication are exact; times never are."""
    whole = all(isinstance(value, int) for value in (*a, *b))
    steady = len({y - x for x, y in zip(a, b, strict=True)}) <= 1
    return "exact" if whole and steady and headline.unit not in TIMES else "assumed"


def _together(
    a: list[float | None], b: list[float | None], level: float | None
) -> list[float] | None:
    """The interval at the level at which all that are shown hold together."""
    pairs = matched(dict(enumerate(a)), dict(enumerate(b)))
    if level is None or not pairs.a:
        return None
    return paired_difference(pairs.a, pairs.b, level).limits()


def print_comparisons(rows: Sequence[Mapping[str, Any]]) -> None:
    """The headlines' differences and ratios, with what pairing gained."""
    shown = [row for row in rows if row["headline"]]
    if not shown:
        return
    intervals = sum(row["ci95_together"] is not None for row in shown)
    print("\npaired on the same random numbers, b minus a")
    if intervals > 1:
        print_wrapped(f"(all {intervals} intervals of differences hold together with 95 %)")
    heading = None
    for row in shown:
        where = " ".join(filter(None, (row["measure"], "at", row["point"], row["system"])))
        if where != heading:
            print_wrapped(where, "    ")
            heading = where
        print_wrapped(f"  {row['b']} - {row['a']}: {_in_words(row)}", "    ")


def _in_words(row: Mapping[str, Any]) -> str:
    unmatched = f"; {row['unmatched']} unmatched" if row["unmatched"] else ""
    if row["mean_difference"] is None:
        return f"no pair{unmatched}"
    unit, scale = scaled(row["unit"], row["mean_difference"])
    text = number(row["mean_difference"] * scale, unit)
    text += limits(row["ci95_together"], scale)
    if row["ratio"] is not None:
        text += f"; ratio {row['ratio']:.3g}{limits(row['ratio_ci95'], 1)}"
    if row["variance_reduction"] is not None:
        text += f"; variance {-row['variance_reduction']:+.0%} against independent runs"
    return f"{text}{unmatched} [{row['label']}]"


def scaled(unit: str, value: float) -> tuple[str, float]:
    """The unit in which a value is read best, and what to multiply it by."""
    if unit == "us" and abs(value) >= 1000:
        return ("s", 1e-6) if abs(value) >= 1e6 else ("ms", 1e-3)
    return ("" if unit == "1" else unit), 1.0


def number(value: float, unit: str) -> str:
    """Three digits, or all of a large number, with the unit."""
    rounded = float(f"{value:.3g}")
    text = f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"
    return f"{text} {unit}".strip()


def limits(ci: Sequence[float] | None, scale: float) -> str:
    """An interval in brackets; nothing without one."""
    if ci is None:
        return ""
    low, high = (number(limit * scale, "") for limit in ci)
    return f" ({low} to {high})"
