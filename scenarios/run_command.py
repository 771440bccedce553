"""`cygsim run`: one scenario under one or more schemes, with its table, conclusions and figures.

One task is one scheme in one replication; tasks are independent and come back in their order, so
`--jobs` changes nothing but the time.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from models.cygwin import schemes
from models.cygwin.protocol import Scheme
from models.win32.cost_profile import describe, load_profile
from scenarios.campaign import Campaign, Carried, Condition, Rule, Task, exactly
from scenarios.cli_output import print_json, print_limits, print_table, print_wrapped
from scenarios.cli_words import check_names, unknown_name
from scenarios.compare_schemes import compare, print_comparisons
from scenarios.estimates import in_full, means, trust_document, trust_in_words
from scenarios.headlines import Headline, headlines, kind
from scenarios.history import met
from scenarios.left_text import print_left_behind
from scenarios.options import RunOptions
from scenarios.parameters import changed
from scenarios.precision import described, most, until
from scenarios.precision import in_words as precision_in_words
from scenarios.result_rows import outcome_rows
from scenarios.run_sources import sources
from scenarios.spec import Outcome, Replicated, Spec
from sim.errors import InputError
from sim.results import Manifest, ResultRow, content_digest, open_run
from sim.sample_size import Trust, trust

SCHEMA = "cygsim/run/1"


def run(options: RunOptions) -> int:
    """Run the command; its exit code. Raises InputError for bad input."""
    report(options)
    return 0


def report(options: RunOptions) -> dict[str, Any]:
    """Run the scenario and write what is asked for; the document. Raises InputError."""
    began = time.perf_counter()
    module = importlib.import_module(f"scenarios.{options.scenario}")
    spec: Spec = module.SPEC
    base = base_condition(spec, options)
    point, system, profile = base.point, base.system, base.profile
    count, rule = how_many(spec, options)
    directory = None
    if options.out is not None:
        directory = open_run(Path(options.out), manifest(options, base, count, module))
    with Campaign(
        options.scenario, options.seed, options.jobs, options.progress, options.cluster, directory
    ) as campaign:
        (carried,) = campaign.carried_out([base], rule)
        results = carried.results
        document = _document(spec, module, carried)
        if options.precision is not None:
            document["precision"] = described(options.precision, count, carried.decision)
        document["ran"] = {"wall_s": round(time.perf_counter() - began, 3), "jobs": options.jobs}
        if directory is not None:
            from sim import plots

            directory.write_results(rows(carried.tasks, carried.outcomes))
            drawn = module.figures(results, point, system, profile, options.seed, options.quick)
            for stem, figure in drawn:
                plots.save(figure, Path(options.out or ".") / stem)
            where = sources(None, options.profile or spec.profile)
            directory.finish({**document["ran"], "from": where})
        if options.json:
            print_json(document)
        else:
            _print(document, module, results, point, spec)
    return document


def _check_choices(spec: Spec, options: RunOptions) -> None:
    """Raise InputError for a choice that the scenario does not have, or a scheme not known."""
    names: tuple[str, ...] = ()
    what = ""
    if spec.heap_only:
        names = "schemes", "system", "profile"
        what = f"{spec.name} is about a heap alone: no process runs, nothing costs time"
    elif spec.own_machine:
        names, what = ("system", "profile"), f"in {spec.name} the machine follows from what is read"
    for name in names:
        if getattr(options, name) is not None:
            raise InputError(f"--{name.removesuffix('s')}", what, "leave it out")
    chosen = options.schemes or ()
    known = [*schemes.variant_names(), *spec.schemes]
    check_names("--scheme", "scheme", chosen, list(dict.fromkeys(known)))
    for name in chosen:
        why = _cannot(schemes.get(name), spec, options.system or spec.system)
        if why:
            raise InputError("--scheme", f"{name} cannot be asked of {spec.name}", why)


def _cannot(scheme: Scheme, spec: Spec, system: str) -> str:
    """Why a scenario cannot be asked of a scheme on that system, "" if it can."""
    if not (spec.without_heap or scheme.version.has_heap):
        return "a scheme with a cygheap, from fixed-2000 on"
    if spec.free_heap and scheme.version.heap_in_image:
        return "its heap is in the DLL's image and can neither be moved nor be large"
    if "9x" in system and not scheme.on_9x:
        return "no child of it comes to life on 98: --system nt"
    if spec.spawns and scheme.loses_spawned:
        return "a spawned Cygwin child reads too late and dies whatever happens"
    return ""


def design_point(spec: Spec, options: RunOptions) -> Any:
    """The design point with what --set changes. Raises InputError."""
    point = spec.point(options.quick)
    known = [field.name for field in fields(point)]
    for key, text in options.sets:
        if key not in known:
            raise unknown_name(f"--set {key}", "parameter", key, known)
        point = changed(point, key, text)
    return point


def base_condition(spec: Spec, options: RunOptions) -> Condition:
    """What the scenario is run with where nothing is varied. Raises InputError."""
    _check_choices(spec, options)
    return Condition(
        design_point(spec, options),
        options.system or spec.system,
        load_profile(options.profile or spec.profile),
        options.schemes or spec.schemes,
    )


def manifest(
    options: RunOptions,
    base: Condition,
    count: int,
    module: ModuleType,
    more: Mapping[str, Any] | None = None,
) -> Manifest:
    """What the run is; `more` is what an experiment adds to its parameters."""
    parameters = {
        **_parameters(base.point),
        "system": base.system,
        "profile": base.profile.name,
        "schemes": list(base.schemes),
        "replications": count,
        **(more or {}),
    }
    if options.precision is not None:
        parameters["precision"] = options.precision
    inputs = {f"profile {base.profile.name}": content_digest(describe(base.profile))}
    if hasattr(module, "inputs"):
        inputs |= module.inputs(base.point)
    return Manifest(["run", options.scenario], options.seed, parameters, inputs)


def _parameters(point: Any) -> dict[str, Any]:
    return {key: _plain(value) for key, value in asdict(point).items()}


def base_document(spec: Spec, base: Condition, seed: int) -> dict[str, Any]:
    """What every document of a scenario's run begins with."""
    return {
        "scenario": spec.name,
        "question": spec.question,
        "terminating": spec.terminating,
        "parameters": _parameters(base.point),
        "system": base.system,
        "profile": base.profile.name,
        "seed": seed,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return "never" if value == float("inf") else value


def rows(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> Iterator[ResultRow]:
    """The rows of results.csv."""
    for t, outcome in zip(tasks, outcomes, strict=True):
        whose = t.scenario, t.scheme, t.system, t.profile.name, t.replication
        yield from outcome_rows(outcome, *whose)


def how_many(spec: Spec, options: RunOptions) -> tuple[int, Rule]:
    """How many replications there are at most, and the rule that says when there are enough."""
    if options.precision is not None:
        limit = most(options.replications)
        return limit, until(spec, options.precision, limit)
    count = options.replications or (
        spec.quick_replications if options.quick else spec.replications
    )
    return count, exactly(count)


def _document(spec: Spec, module: ModuleType, carried: Carried) -> dict[str, Any]:
    task, results = carried.tasks[0], carried.results
    count = len(carried.tasks) // len(results)
    spread = kind(task.profile)
    belief = trust(spread, count)
    found = headlines(spec, task.point, results)
    return {
        "schema": SCHEMA,
        **base_document(spec, carried.condition, task.seed),
        "replications": count,
        "counterfactual": list(counterfactual(spec, carried.condition)),
        "results": list(means(results, task.system, belief)),
        "trust": trust_document(belief, spread),
        "headlines": list(in_full(found, results, belief)),
        "compare": _compared(results, found, task, belief),
        "conclusions": [
            {"text": text, "label": label}
            for text, label in module.conclusions(results, task.point)
        ],
        "left_behind": left_behind(results),
        "limits": list(spec.limits),
        "notes": [note for replicated in results.values() for note in replicated.notes],
    }


def _compared(
    results: dict[str, Replicated], found: list[Headline], task: Task, belief: Trust
) -> list[dict[str, Any]]:
    """Every scheme against the first, and whether both ever met such a machine."""
    return [
        {**row, "counterfactual": not all(
            met(row[side], task.profile, system)
            for side in "ab" for system in (row["system"] or task.system).split("+")
        )}
        for row in compare(results, found, belief)
    ]  # fmt: skip


def counterfactual(spec: Spec, condition: Condition) -> Iterator[str]:
    """Schemes that never met the machine; with the system where there are several."""
    if spec.heap_only or spec.own_machine:
        return
    systems = condition.system.split("+")
    for name in condition.schemes:
        for system in systems:
            if not met(name, condition.profile, system):
                yield name if len(systems) == 1 else f"{name} on {system}"


def left_behind(results: Mapping[str, Replicated]) -> list[dict[str, Any]]:
    """What is left on the machines of each scheme; none where a scenario has no machine."""
    found = [{"scheme": scheme, **replicated.left} for scheme, replicated in results.items()]
    return [one for one in found if one["machines"]]


def print_counterfactual(document: Mapping[str, Any]) -> None:
    """One line for each scheme that never met the machine."""
    for name in document["counterfactual"]:
        text = f"{name}, profile {document['profile']}: no such machine ever ran it"
        print_wrapped(f"[counterfactual] {text}", "  ")


def _print(
    document: dict[str, Any],
    module: ModuleType,
    results: dict[str, Replicated],
    point: Any,
    spec: Spec,
) -> None:
    count = document["replications"]
    machine = f"{document['system']}, profile {document['profile']}"
    if spec.heap_only or spec.own_machine:
        machine = "the heap alone" if spec.heap_only else "the machine of each log"
    print_wrapped(document["question"])
    print_wrapped(
        f"{machine}, seed {document['seed']}, "
        + ("1 replication" if count == 1 else f"{count} replications; the table has their means")
    )
    print()
    heads, *rows = module.table(results, point)
    print_table(heads, rows)
    print()
    for conclusion in document["conclusions"]:
        print_wrapped(f"[{conclusion['label']}] {conclusion['text']}", "  ")
    print_counterfactual(document)
    print_limits(spec.limits)
    print_left_behind(document["left_behind"])
    if count > 1:
        print_comparisons(document["compare"])
    if any(one["trusted"] is not None for one in document["headlines"]):
        print()
        print_wrapped(trust_in_words(trust(document["trust"]["kind"], count),
                                     document["trust"]["kind"]))  # fmt: skip
    if "precision" in document:
        print_wrapped(precision_in_words(document["precision"]))
    if document["notes"]:
        print("\nblocked or failed:")
        for note in document["notes"]:
            print_wrapped(f"  {note}", "    ")
