"""`cygsim run --inputs` and `--sensitivity`: how far a scenario's headlines rest on assumed inputs.

`--inputs` gives two intervals that must not be mixed: what replications leave open, and how far a
headline moves while each assumed number goes from half to twice its value; and the headlines as a
curve over the split of a creation.  `--sensitivity` says which inputs matter: a tornado, rank
correlations over a Latin hypercube or Sobol indices, and whether a difference keeps its sign.

All points have the same random numbers, and the scenario is run as its Spec's `narrow` has it.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from scenarios import assumed_inputs, inputs_text, sensitivity, two_intervals
from scenarios.assumed_inputs import Ends
from scenarios.campaign import Campaign, Carried, Condition, exactly
from scenarios.cli_output import print_json
from scenarios.design_command import design_rows
from scenarios.design_file import Asked, read
from scenarios.estimates import trust_document
from scenarios.headlines import kind
from scenarios.options import RunOptions
from scenarios.parameters import shown
from scenarios.run_command import SCHEMA, base_condition, base_document, counterfactual, manifest
from scenarios.run_sources import sources
from scenarios.sensitivity import Sample
from scenarios.spec import Spec
from sim.errors import InputError
from sim.results import open_run
from sim.sample_size import LEAST, trust

_QUICK_REPLICATIONS = 3  # chosen
_KINDS = ("lhs", "sobol")


class Analysed(NamedTuple):
    """All that was carried out."""

    ends: Ends
    at_ends: list[Carried]
    at_splits: list[Carried]
    sample: Sample | None
    tried: int  # inputs that were screened

    def once(self) -> list[Carried]:
        """Every condition, each once: an end may lie on the curve, or in the sample."""
        sample = self.sample.carried if self.sample is not None else []
        found: dict[str, Carried] = {}
        for one in (*self.at_ends, *self.at_splits, *sample):
            found.setdefault(one.condition.words, one)
        return list(found.values())


def run(options: RunOptions) -> int:
    """Run the command; its exit code. Raises InputError for bad input."""
    began = time.perf_counter()
    module = importlib.import_module(f"scenarios.{options.scenario}")
    spec: Spec = module.SPEC
    _check(spec, options)
    base = base_condition(spec, narrowed(spec, options))
    count = options.replications or (_QUICK_REPLICATIONS if options.quick else LEAST)
    directory = None
    if options.out is not None:
        what = {"inputs": options.inputs, "sensitivity": options.sensitivity}
        directory = open_run(Path(options.out), manifest(options, base, count, module, what))
    with Campaign(
        options.scenario, options.seed, options.jobs, options.progress, options.cluster, directory
    ) as campaign:
        found = _carried_out(campaign, base, options, count)
        document = _document(spec, base, options, count, found)
        document["ran"] = {"wall_s": round(time.perf_counter() - began, 3), "jobs": options.jobs}
        if directory is not None:
            directory.write_results(design_rows(found.once()))
            inputs_text.write_figures(Path(options.out or "."), document)
            where = sources(None, options.profile or spec.profile)
            directory.finish({**document["ran"], "from": where})
        if options.json:
            print_json(document)
        else:
            inputs_text.print_report(document)
    return 0


def _document(
    spec: Spec, base: Condition, options: RunOptions, count: int, found: Analysed
) -> dict[str, Any]:
    """What was found, without the wall-clock figures."""
    spread = kind(base.profile)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        **base_document(spec, base, options.seed),
        "replications": count,
        "counterfactual": list(counterfactual(spec, base)),
        "trust": trust_document(trust(spread, count), spread),
        "assumed_inputs": {"tried": found.tried, "move": two_intervals.inputs(found.ends)},
    }
    if options.inputs:
        document["two_intervals"] = two_intervals.document(spec, found.at_ends)
        document["split"] = two_intervals.curve(spec, found.at_splits, base.profile)
    if options.sensitivity is not None:
        document["sensitivity"] = sensitivity.document(
            spec, found.ends, found.at_ends, found.sample, options.seed
        )
    return document


def _check(spec: Spec, options: RunOptions) -> None:
    """Raise InputError for a scenario without assumed inputs, and options that do not go along."""
    option = "--inputs" if options.inputs else "--sensitivity"
    if spec.heap_only:
        what = f"{spec.name} is about a heap alone: no process runs, nothing costs time"
        raise InputError(option, what, "leave it out")
    if spec.own_machine:
        raise InputError(option, f"in {spec.name} the machine follows from what is read",
                         "leave it out")  # fmt: skip
    for name in ("design", "precision"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name}", f"it does not go along with {option}", "one of the two")
    if options.sensitivity is not None:
        _sample(options.sensitivity)


def _sample(text: str) -> Asked:
    """What --sensitivity asks for. Raises InputError."""
    if text.partition(":")[0] not in _KINDS:
        what = f"{text[:40]!r} is no such sample"
        raise InputError("--sensitivity", what, "lhs or sobol, as lhs:40 or sobol:16")
    return read(text, "--sensitivity")


def narrowed(spec: Spec, options: RunOptions) -> RunOptions:
    """The options with what the scenario's `narrow` leaves out, under what the user set."""
    fields = [(key, shown(value)) for key, value in spec.narrow]
    return replace(options, sets=(*fields, *options.sets))


def _carried_out(campaign: Campaign, base: Condition, options: RunOptions, count: int) -> Analysed:
    """The ends of what matters, the curve, and the sample, one after the other."""
    where = "--inputs" if options.inputs else "--sensitivity"
    every = assumed_inputs.ends(base, where)
    found = assumed_inputs.that_move(campaign, every)
    at_ends = campaign.carried_out(found.conditions, exactly(count))
    at_splits: list[Carried] = []
    if options.inputs:
        at_splits = campaign.carried_out(assumed_inputs.curve(base, where), exactly(count))
    sample = None
    if options.sensitivity is not None and found.inputs:
        asked = _sample(options.sensitivity)
        sample = sensitivity.sampled(campaign, found, base, asked, options.seed, count)
    return Analysed(found, at_ends, at_splits, sample, len(every.inputs))
