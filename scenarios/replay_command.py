"""`cygsim replay`: a recorded process tree under one or more schemes, side by side.

One task is one scheme in one replication; tasks are independent, so `--jobs` changes nothing but
the time.  What the runs show is written as CONTRACT's document, as a table, or into `--out`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from models.cygwin import schemes
from models.cygwin.conversion import convert
from models.cygwin.installation import Watch
from models.cygwin.kept_workloads import workload_of
from models.cygwin.replay import ReplayRun, prepare
from models.cygwin.replay import run as carry_out
from models.cygwin.replay_result import ReplayResult, result
from models.cygwin.workload import Conversion, Workload
from models.win32.cost_profile import Profile, describe, load_profile
from models.win32.system import SYSTEMS
from scenarios.cli_output import print_json
from scenarios.history import LIMITS_OF_A_REPLAY, met
from scenarios.options import ReplayOptions
from scenarios.replay_compare import compare
from scenarios.replay_durations import document as durations
from scenarios.replay_rounds import carried_out as carried_out_in_rounds
from scenarios.replay_rounds import limit
from scenarios.replay_tables import print_report
from scenarios.result_rows import replay_rows
from scenarios.run_sources import sources
from sim.mapped import Mapped
from sim.results import Manifest, content_digest, input_digest, open_run
from sim.streams import Replication

SCHEMA = "cygsim/replay/1"


def run(options: ReplayOptions) -> int:
    """Run the command; its exit code. Raises InputError for bad input."""
    with _carried(options) as document:
        _show(options, document)
        if options.expect is None:
            return 0
        return 1 if any(run["outcome"] != options.expect for run in document["runs"]) else 0


def report(options: ReplayOptions) -> dict[str, Any]:
    """Carry out all runs, with the document or a table on stdout; the document."""
    with _carried(options) as document:
        _show(options, document)
        return {**document, "runs": list(document["runs"])}


def results_of(options: ReplayOptions) -> dict[str, Any]:
    """Carry out all runs, with what `out` asks for; the document. Raises InputError."""
    with _carried(options) as document:
        return {**document, "runs": list(document["runs"])}


def _show(options: ReplayOptions, document: dict[str, Any]) -> None:
    if options.json:
        print_json(document)
    else:
        print_report(document)


@contextmanager
def _carried(options: ReplayOptions) -> Iterator[dict[str, Any]]:
    """The document of all runs, whose `runs` are read from the journal when asked for."""
    began = time.perf_counter()
    # NOTE: for speed: passes of the collector over a large workload take a tenth of the time and
    # find nothing; what a run leaves behind goes before the next one
    gc.disable()
    profile = load_profile(options.profile)
    if options.sets:
        profile = profile.replace(dict(options.sets))
    workload = loaded(options)
    gc.freeze()  # it stays: what collects a finished run need not look at it
    directory = None
    if options.out is not None:
        directory = open_run(Path(options.out), _manifest(options, workload, profile))
    work = partial(one_run, workload, profile, options)
    with carried_out_in_rounds(work, options, profile, directory) as (results, precision):
        document = _document(options, workload, profile, results)
        if precision is not None:
            document["precision"] = precision
        document["ran"] = {"wall_s": round(time.perf_counter() - began, 3), "jobs": options.jobs}
        if directory is not None:
            from scenarios.replay_figures import write_figures

            directory.write_results(
                row
                for found in results
                for row in replay_rows(found, options.system, profile.name, workload.name)
            )
            first = list(results[:: len(results) // len(options.schemes)])
            write_figures(Path(options.out or "."), workload, first)
            directory.finish({**document["ran"], "from": sources(options.trace, options.profile)})
        yield document


def loaded(options: ReplayOptions) -> Workload:
    """The workload, with what the options turn into spawns. Raises InputError."""
    asked = Conversion(
        frozenset(options.native), frozenset(options.spawn), frozenset(options.background)
    )
    return convert(workload_of(options.trace), asked)


def one_run(
    workload: Workload, profile: Profile, options: ReplayOptions, task: tuple[str, int]
) -> ReplayResult:
    """One scheme in one replication. Top-level, so that a pool can send it to a process."""
    gc.disable()
    gc.collect()
    return result(carried_out(workload, profile, options, task), task[1])


def carried_out(
    workload: Workload,
    profile: Profile,
    options: ReplayOptions,
    task: tuple[str, int],
    watch: Watch | None = None,
) -> ReplayRun:
    """One scheme in one replication, with the machine as it is at the end."""
    name, number = task
    ready = prepare(
        workload,
        schemes.get(name),
        profile,
        SYSTEMS[options.system],
        Replication(options.seed, number),
        options.processors,
        vfork=options.vfork == "era",
    )
    ready.installation.watch = watch
    until_us = None if options.until_s is None else options.until_s * 1e6
    return carry_out(ready, until_us)


def _document(
    options: ReplayOptions, workload: Workload, profile: Profile, results: Sequence[ReplayResult]
) -> dict[str, Any]:
    counts = workload.counts
    return {
        "schema": SCHEMA,
        "trace": {
            "name": workload.name,
            "processes": counts.processes,
            "forks": counts.forks,
            "execs": counts.execs,
            "spawns": counts.spawns,
            "failed_execs": counts.failed_execs,
            "work": workload.work,
        },
        "system": options.system,
        "profile": profile.name,
        "cpu_scale": profile.value("cpu_scale"),
        "processors": options.processors or workload.cpus,
        "vfork": options.vfork,
        "seed": options.seed,
        "runs": Mapped(lambda r: r.document, results),
        "durations": durations(results, options.schemes),
        "compare": [
            {**row, "counterfactual": not all(met(row[s], profile, options.system) for s in "ab")}
            for row in compare(results, options.schemes)
        ],
        "limits": list(LIMITS_OF_A_REPLAY),
    }


def _manifest(options: ReplayOptions, workload: Workload, profile: Profile) -> Manifest:
    named: dict[str, Any] = {
        "schemes": list(options.schemes),
        "system": options.system,
        "profile": profile.name,
        "processors": options.processors,
        "native": list(options.native),
        "background": list(options.background),
        "spawn": list(options.spawn),
        "vfork": options.vfork,
        "set": [f"{key}={value}" for key, value in options.sets],
        "until_s": options.until_s,
        "replications": limit(options),
    }
    if options.precision is not None:
        named["precision"] = options.precision
    inputs = {f"profile {profile.name}": content_digest(describe(profile))}
    if options.trace != "-":
        inputs[Path(options.trace).name] = input_digest(Path(options.trace))
    return Manifest(["replay", workload.name], options.seed, named, inputs)
