"""`cygsim run`: one scenario under one or more schemes, with its table, conclusions and figures.

One task is one scheme in one replication; tasks are independent and come back in their order, so
`--jobs` changes nothing but the time.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from models.cygwin import schemes
from models.win32.cost_profile import Profile, describe, load_profile
from scenarios.cli_output import print_json, print_table, print_wrapped
from scenarios.cli_words import check_names, unknown_name
from scenarios.history import met
from scenarios.options import RunOptions
from scenarios.parameters import changed
from scenarios.run_sources import sources
from scenarios.spec import Outcome, Replicated, Spec
from scenarios.tasks import Tasks
from sim.errors import InputError
from sim.estimators import mean_interval
from sim.results import Manifest, ResultRow, content_digest, open_run
from sim.streams import Replication

SCHEMA = "cygsim/run/1"


@dataclass(frozen=True)
class Task:
    """One run of a scenario. Every field is *input*."""

    scenario: str
    point: Any
    system: str  # one, or several with + between
    profile: Profile
    seed: int
    scheme: str
    replication: int


def run(options: RunOptions) -> int:
    """Run the command; its exit code. Raises InputError for bad input."""
    report(options)
    return 0


def report(options: RunOptions) -> dict[str, Any]:
    """Run the scenario and write what is asked for; the document. Raises InputError."""
    began = time.perf_counter()
    module = importlib.import_module(f"scenarios.{options.scenario}")
    spec: Spec = module.SPEC
    _check_choices(spec, options)
    point = design_point(spec, options)
    system = options.system or spec.system
    profile = load_profile(options.profile or spec.profile)
    names = options.schemes or spec.schemes
    count = options.replications or (
        spec.quick_replications if options.quick else spec.replications
    )
    directory = None
    if options.out is not None:
        directory = open_run(
            Path(options.out), _manifest(options, point, system, profile, names, count, module)
        )
    tasks = [
        Task(options.scenario, point, system, profile, options.seed, name, number)
        for name in names
        for number in range(count)
    ]
    words = [f"{task.scheme} {task.replication}" for task in tasks]
    runs = Tasks(one_run, tasks, words, options.jobs, options.progress)
    outcomes = runs.results(directory)
    results = {
        name: Replicated(tuple(o for t, o in zip(tasks, outcomes, strict=True) if t.scheme == name))
        for name in names
    }
    document = _document(spec, module, tasks, outcomes, results)
    document["ran"] = {"wall_s": round(time.perf_counter() - began, 3), "jobs": options.jobs}
    if directory is not None:
        from sim import plots

        directory.write_results(_rows(tasks, outcomes))
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
    check_names("--scheme", "scheme", options.schemes or (), schemes.variant_names())


def one_run(task: Task) -> Outcome:
    """Carry one task out. Top-level, so that a pool can send it to a process."""
    module = importlib.import_module(f"scenarios.{task.scenario}")
    outcome: Outcome = module.run_point(
        task.point, task.scheme, task.system, task.profile,
        Replication(task.seed, task.replication),
    )  # fmt: skip
    return outcome


def design_point(spec: Spec, options: RunOptions) -> Any:
    """The design point with what --set changes. Raises InputError."""
    point = spec.point(options.quick)
    known = [field.name for field in fields(point)]
    for key, text in options.sets:
        if key not in known:
            raise unknown_name(f"--set {key}", "parameter", key, known)
        point = changed(point, key, text)
    return point


def _manifest(
    options: RunOptions,
    point: Any,
    system: str,
    profile: Profile,
    names: tuple[str, ...],
    count: int,
    module: ModuleType,
) -> Manifest:
    parameters = {
        **{key: _plain(value) for key, value in asdict(point).items()},
        "system": system,
        "profile": profile.name,
        "schemes": list(names),
        "replications": count,
    }
    inputs = {f"profile {profile.name}": content_digest(describe(profile))}
    if hasattr(module, "inputs"):
        inputs |= module.inputs(point)
    return Manifest(["run", options.scenario], options.seed, parameters, inputs)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return "never" if value == float("inf") else value


def _rows(tasks: list[Task], outcomes: list[Outcome]) -> Iterator[ResultRow]:
    for task, outcome in zip(tasks, outcomes, strict=True):
        for row in outcome.rows:
            yield ResultRow(
                task.scenario, task.scheme, row.system or task.system, task.profile.name,
                row.point, task.replication, row.measure, row.unit, row.value, row.censored,
            )  # fmt: skip


def _document(
    spec: Spec,
    module: ModuleType,
    tasks: list[Task],
    outcomes: list[Outcome],
    results: dict[str, Replicated],
) -> dict[str, Any]:
    task = tasks[0]
    return {
        "schema": SCHEMA,
        "scenario": spec.name,
        "question": spec.question,
        "parameters": {key: _plain(value) for key, value in asdict(task.point).items()},
        "system": task.system,
        "profile": task.profile.name,
        "seed": task.seed,
        "replications": 1 + max(t.replication for t in tasks),
        "counterfactual": []
        if spec.heap_only or spec.own_machine
        else list(_counterfactual(results, task)),
        "results": list(_means(tasks, outcomes)),
        "conclusions": [
            {"text": text, "label": label}
            for text, label in module.conclusions(results, task.point)
        ],
        "notes": [note for replicated in results.values() for note in replicated.notes],
    }


def _counterfactual(names: Iterable[str], task: Task) -> Iterator[str]:
    """Schemes that never met the run's machine; with the system where there are several."""
    systems = task.system.split("+")
    for name in names:
        for system in systems:
            if not met(name, task.profile, system):
                yield name if len(systems) == 1 else f"{name} on {system}"


def _means(tasks: list[Task], outcomes: list[Outcome]) -> Iterator[dict[str, Any]]:
    """Each measure over its replications: the mean with its interval where all have come."""
    values: dict[tuple[str, str, str, str, str], list[Any]] = {}
    for task, outcome in zip(tasks, outcomes, strict=True):
        for row in outcome.rows:
            key = (task.scheme, row.system or task.system, row.point, row.measure, row.unit)
            values.setdefault(key, []).append(row.value)
    for (scheme, system, point, measure, unit), found in values.items():
        what = {"scheme": scheme, "system": system, "point": point, "measure": measure,
                "unit": unit}  # fmt: skip
        if any(isinstance(v, str) for v in found):
            yield {**what, "value": found[0], "ci95": None, "censored": 0}
            continue
        censored = sum(v is None for v in found)
        interval = None if censored else mean_interval([float(v) for v in found])
        yield {
            **what,
            "value": interval.mean if interval else None,
            "ci95": interval.limits() if interval else None,
            "censored": censored,
        }


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
    for name in document["counterfactual"]:
        text = f"{name}, profile {document['profile']}: no such machine ever ran it"
        print_wrapped(f"[counterfactual] {text}", "  ")
    if document["notes"]:
        print("\nblocked or failed:")
        for note in document["notes"]:
            print_wrapped(f"  {note}", "    ")
