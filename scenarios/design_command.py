"""`cygsim run --design`: one scenario at every point of a design.

Each point is run under each scheme with the same random numbers; results.csv and the document have
one block of results for each, and what a factor does to the headlines follows from all of them.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from scenarios import design_effects as effects
from scenarios.campaign import Campaign, Carried, Condition
from scenarios.cli_output import counted, print_json
from scenarios.compare_schemes import compare, scaled
from scenarios.design_file import Asked, read
from scenarios.design_points import conditions, factor_document, factors_of, points
from scenarios.design_text import print_report
from scenarios.estimates import in_full, means, trust_document
from scenarios.headlines import Role, headlines, kind
from scenarios.latency_words import short
from scenarios.options import RunOptions
from scenarios.precision import described
from scenarios.run_command import (
    SCHEMA,
    base_condition,
    base_document,
    counterfactual,
    how_many,
    left_behind,
    manifest,
    rows,
)
from scenarios.run_sources import sources
from scenarios.spec import Spec
from sim.design import Factor, Level
from sim.errors import InputError
from sim.results import ResultRow, open_run
from sim.sample_size import Trust, trust


def run(options: RunOptions) -> int:
    """Run the command; its exit code. Raises InputError for bad input."""
    began = time.perf_counter()
    module = importlib.import_module(f"scenarios.{options.scenario}")
    spec: Spec = module.SPEC
    base = base_condition(spec, options)
    asked = read(options.design or "")
    factors = factors_of(asked, spec, base)
    _check_twice(asked, factors, options)
    found = conditions(points(asked, factors, options.seed), base, asked.where)
    count, rule = how_many(spec, options)
    directory = None
    if options.out is not None:
        what = {"design": _design(asked, factors, found)}
        directory = open_run(Path(options.out), manifest(options, base, count, module, what))
    with Campaign(
        options.scenario, options.seed, options.jobs, options.progress, options.cluster, directory
    ) as campaign:
        carried = campaign.carried_out(found, rule)
        document = _document(spec, module, options, base, carried, _design(asked, factors, found))
        if options.precision is not None:
            document["precision"] = [
                described(options.precision, count, one.decision) for one in carried
            ]
        document["ran"] = {"wall_s": round(time.perf_counter() - began, 3), "jobs": options.jobs}
        if directory is not None:
            directory.write_results(design_rows(carried))
            _figures(Path(options.out or "."), spec, carried)
            where = sources(None, options.profile or spec.profile)
            directory.finish({**document["ran"], "from": where})
        if options.json:
            print_json(document)
        else:
            print_report(document, spec, carried)
    return 0


def _check_twice(asked: Asked, factors: Sequence[Factor], options: RunOptions) -> None:
    """Raise InputError for a choice on the command line that the design varies."""
    names = {factor.name for factor in factors}
    for option, name, given in (
        ("--scheme", "scheme", options.schemes), ("--system", "system", options.system),
    ):  # fmt: skip
        if given is not None and name in names:
            raise InputError(option, f"the design {asked.where} varies it", "one of the two")


def _design(asked: Asked, factors: Sequence[Factor], found: Sequence[Condition]) -> dict[str, Any]:
    return {
        "kind": asked.kind,
        "factors": [factor_document(factor) for factor in factors],
        "points": [
            {"number": i, "words": one.words, "values": dict(one.values)}
            for i, one in enumerate(found)
        ],
    }


def design_rows(carried: Sequence[Carried]) -> Iterator[ResultRow]:
    """The rows of results.csv: the words of the design point stand before those of the row."""
    for one in carried:
        for row in rows(one.tasks, one.outcomes):
            yield row._replace(point=f"{one.condition.words} {row.point}".strip())


def _document(
    spec: Spec,
    module: ModuleType,
    options: RunOptions,
    base: Condition,
    carried: Sequence[Carried],
    design: dict[str, Any],
) -> dict[str, Any]:
    counts = [len(next(iter(one.results.values())).outcomes) for one in carried]
    for point, count in zip(design["points"], counts, strict=True):
        point["replications"] = count
    found = effects.roles(spec, carried)
    spread = kind(base.profile)
    return {
        "schema": SCHEMA,
        **base_document(spec, base, options.seed),
        "replications": max(counts),
        "counterfactual": list(dict.fromkeys(
            name for one in carried for name in counterfactual(spec, one.condition)
        )),
        "design": {**design, "effects": list(_effects(spec, design["kind"], carried, found))},
        "results": [row for i, one in enumerate(carried) for row in _results(i, one)],
        "trust": trust_document(trust(spread, min(counts)), spread),
        "headlines": [row for i, one in enumerate(carried) for row in _headlines(spec, i, one)],
        "compare": [row for i, one in enumerate(carried) for row in _compared(spec, i, one)],
        "left_behind": [
            {"design_point": i, **row} for i, one in enumerate(carried)
            for row in left_behind(one.results)
        ],
        "verdicts": list(_verdicts(spec, carried, found)),
        "conclusions": _common(module, carried),
        "notes": list(dict.fromkeys(
            note for one in carried for r in one.results.values() for note in r.notes
        )),
    }  # fmt: skip


def _trust(one: Carried) -> Trust:
    """How far the intervals of one point can be believed."""
    count = len(next(iter(one.results.values())).outcomes)
    return trust(kind(one.condition.profile), count)


def _results(number: int, one: Carried) -> Iterator[dict[str, Any]]:
    for row in means(one.results, one.condition.system, _trust(one)):
        words = f"{one.condition.words} {row['point']}".strip()
        yield {"design_point": number, **row, "point": words}


def _headlines(spec: Spec, number: int, one: Carried) -> Iterator[dict[str, Any]]:
    found = headlines(spec, one.condition.point, one.results)
    for row in in_full(found, one.results, _trust(one)):
        yield {"design_point": number, **row}


def _compared(spec: Spec, number: int, one: Carried) -> Iterator[dict[str, Any]]:
    """The headlines' differences at one point; all measures are those of a run without design."""
    found = headlines(spec, one.condition.point, one.results)
    for row in compare(one.results, found, _trust(one)):
        if row["headline"]:
            yield {"design_point": number, **row}


def _effects(
    spec: Spec, design_kind: str, carried: Sequence[Carried], found: Sequence[Role]
) -> Iterator[dict[str, Any]]:
    values = [one.condition.values for one in carried]
    for role in found:
        for name in effects.scheme_names(carried):
            numbers = effects.at_points(spec, carried, role, name)
            yield {
                "measure": role.measure, "at": role.at, "system": role.system or None,
                "unit": role.unit, "scheme": None if name == effects.EACH else name,
                "factors": effects.effects(design_kind, values, numbers),
            }  # fmt: skip


def _verdicts(
    spec: Spec, carried: Sequence[Carried], found: Sequence[Role]
) -> Iterator[dict[str, Any]]:
    for role, a, b, verdict in effects.verdicts(spec, carried, found):
        yield {
            "measure": role.measure, "at": role.at, "system": role.system or None, "a": a, "b": b,
            "points": verdict.points, "positive": verdict.positive, "negative": verdict.negative,
            "undecided": verdict.undecided, "unmatched": verdict.unmatched,
            "text": effects.in_words(effects.title(spec, carried, role), a, b, verdict),
            "label": effects.verdict_label(spec, carried, role, (a, b)),
        }  # fmt: skip


def _common(module: ModuleType, carried: Sequence[Carried]) -> list[dict[str, str]]:
    """The conclusions that every point gives in the same words."""
    each = [list(module.conclusions(one.results, one.condition.point)) for one in carried]
    everywhere = set(each[0]).intersection(*each[1:])
    return [
        {"text": text, "label": label} for text, label in each[0] if (text, label) in everywhere
    ]


def _figures(folder: Path, spec: Spec, carried: Sequence[Carried]) -> None:
    """Each headline over each factor, one figure for each headline."""
    from sim import plots, plots_design

    names = effects.scheme_names(carried)
    settings: dict[str, list[Level]] = {
        key: [one.condition.values[key] for one in carried] for key in carried[0].condition.values
    }
    count = len(next(iter(carried[0].results.values())).outcomes)
    for number, role in enumerate(effects.roles(spec, carried), 1):
        each = {name: effects.at_points(spec, carried, role, name) for name in names}
        largest = max((abs(m.mean) for some in each.values() for m in some if m), default=0.0)
        unit, scale = scaled(role.unit, largest)
        series = {
            short(name): [None if m is None else m.mean * scale for m in some]
            for name, some in each.items()
        }
        about = effects.title(spec, carried, role)
        title = f"{about}\n{len(carried)} design points, {counted(count, 'replication')} each"
        figure = plots_design.over_factors(
            settings, series, f"{role.measure.removesuffix('_us')} [{unit or 1}]", title
        )
        plots.save(figure, folder / f"design_{number}")
