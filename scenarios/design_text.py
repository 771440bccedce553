"""How `--design` prints its document: the points, the effects, and what holds at every point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.cygwin.left_in_all import together
from scenarios import design_effects as effects
from scenarios.campaign import Carried
from scenarios.cli_output import counted, print_table, print_wrapped
from scenarios.compare_schemes import scaled
from scenarios.headlines import Role
from scenarios.latency_words import short
from scenarios.left_text import print_left_behind
from scenarios.precision import in_words as precision_in_words
from scenarios.run_command import print_counterfactual
from scenarios.spec import Spec
from sim.sensitivity import FEWEST_POINTS

_ROUNDING = 1e-12  # of the largest effect: less than that is how sums round
_SHOWN_POINTS = 24  # of the printed table; results.csv has all -- chosen


def print_report(document: Mapping[str, Any], spec: Spec, carried: Sequence[Carried]) -> None:
    """The document as text of at most 80 columns."""
    design = document["design"]
    print_wrapped(document["question"])
    print_wrapped(
        f"{document['system']}, profile {document['profile']}, seed {document['seed']}; design "
        f"{design['kind']}: {len(carried)} points, "
        f"{counted(document['replications'], 'replication')} each"
        f"{' at most' if 'precision' in document else ''}"
    )
    found = effects.roles(spec, carried)
    names = effects.scheme_names(carried)
    for i, role in enumerate(found):
        if i == 0:
            _print_points(spec, carried, role, names)
        _print_effects(design, role, names, effects.title(spec, carried, role))
    print()
    for verdict in document["verdicts"]:
        print_wrapped(f"[{verdict['label']}] {verdict['text']}", "  ")
    for conclusion in document["conclusions"]:
        print_wrapped(f"[{conclusion['label']}, at every point] {conclusion['text']}", "  ")
    print_counterfactual(document)
    print_left_behind(list(_left_by_scheme(document["left_behind"])))
    for words in dict.fromkeys(map(precision_in_words, document.get("precision", []))):
        print_wrapped(words)


def _left_by_scheme(found: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """What is left on the machines of all points, scheme by scheme."""
    for name in dict.fromkeys(one["scheme"] for one in found):
        yield {"scheme": name, **together(one for one in found if one["scheme"] == name)}


def _print_points(spec: Spec, carried: Sequence[Carried], role: Role, names: Sequence[str]) -> None:
    """The first headline at each point, under each scheme."""
    each = [effects.at_points(spec, carried, role, name) for name in names]
    unit, scale = scaled(role.unit, max((abs(m.mean) for some in each for m in some if m),
                                        default=0.0))  # fmt: skip
    print()
    print_wrapped(
        f"{effects.title(spec, carried, role)}{f' [{unit}]' if unit else ''}, means", "  "
    )
    cells = [
        [
            str(i),
            *("-" if m is None else f"{m.mean * scale:.3g}" for m in (some[i] for some in each)),
            " ".join(filter(None, (*_own(one), one.condition.words))),
        ]
        for i, one in enumerate(carried[:_SHOWN_POINTS])
    ]
    print_table(["point", *map(short, names), "where"], cells)
    if len(carried) > _SHOWN_POINTS:
        print(f"({len(carried) - _SHOWN_POINTS} more points: --json or --out has them)")


def _own(one: Carried) -> list[str]:
    """Scheme and system of a point, where the design varies them."""
    return [f"{k}={v}" for k, v in one.condition.values.items() if k in ("scheme", "system")]


def _print_effects(design: Mapping[str, Any], role: Role, names: Sequence[str], title: str) -> None:
    """What each factor does to one headline, a column for each scheme."""
    some = [
        row for row in design["effects"]
        if (row["measure"], row["at"], row["system"] or "") == (role.measure, role.at, role.system)
    ]  # fmt: skip
    numbers = [abs(n) for row in some for one in row["factors"] for n in _numbers(one)]
    largest = max(numbers, default=0.0)
    unit, scale = scaled(role.unit, largest)
    what = {
        "full": "means by level", "2k": "main effects, low to high",
        "one-at-a-time": "swings, one factor at a time",
    }.get(design["kind"], "rank correlations")  # fmt: skip
    in_unit = f" [{unit}]" if unit and what != "rank correlations" else ""
    print()
    print_wrapped(f"{title}: {what}{in_unit}{_how_many(some)}", "  ")
    by_factor: dict[str, list[str]] = {}
    for row in some:
        for one in row["factors"]:
            for factor, cell in effects.effect_cells(one, scale, largest * _ROUNDING):
                by_factor.setdefault(factor, []).append(cell)
    print_table(["factor", *map(short, names)], [[k, *v] for k, v in by_factor.items()])


def _how_many(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of how many points correlations are, and whether that is enough for intervals."""
    ranked = [one for row in rows for one in row["factors"] if "rank_correlation" in one]
    if not ranked:
        return ""
    few = min(one["points"] for one in ranked)
    if all(one["ci95"] is None for one in ranked):
        return f" of {counted(few, 'point')}, too few for an interval ({FEWEST_POINTS})"
    return f" of {counted(few, 'point')} (* where the interval leaves 0 out)"


def _numbers(row: Mapping[str, Any]) -> list[float]:
    found = [row.get("effect"), row.get("swing"), *(one["mean"] for one in row.get("levels", ()))]
    return [number for number in found if number is not None]
