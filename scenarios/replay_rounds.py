"""The runs of a replay: so many of each scheme, or until the makespans are known well enough.

A makespan is a sum over many creations, so Student's interval can be believed from the least number
of replications on; not so where there is contention.  A run that does not finish has no makespan,
and then more runs would not make its mean precise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.cygwin.replay_result import ReplayResult
from models.win32.cost_profile import Profile
from scenarios.headlines import alike, kind
from scenarios.options import ReplayOptions
from scenarios.precision import ALIKE, described, most
from scenarios.tasks import Tasks
from sim.results import RunDirectory
from sim.sample_size import LEAST, Kind, needed_replications
from sim.stopping import Decision, next_replications, together

Work = Callable[[tuple[str, int]], ReplayResult]


def limit(options: ReplayOptions) -> int:
    """How many replications there are, or with a precision may be. Raises InputError."""
    if options.precision is None:
        return options.replications
    return most(None if options.replications == 1 else options.replications)


def carried_out(
    work: Work, options: ReplayOptions, profile: Profile, directory: RunDirectory | None
) -> tuple[list[ReplayResult], dict[str, Any] | None]:
    """All runs, schemes in their order, then replications; and what is said of the precision."""
    if options.precision is None:
        return _round(work, options, 0, options.replications, directory), None
    found: list[ReplayResult] = []
    have, decision = 0, Decision(False, False, LEAST, None, "")
    while not decision.stop:
        found += _round(work, options, have, decision.replications, directory)
        have = decision.replications
        decision = _decision(found, options, profile, options.precision)
    order = {name: i for i, name in enumerate(options.schemes)}
    found.sort(key=lambda r: (order[r.document["scheme"]], r.document["replication"]))
    return found, described(options.precision, limit(options), decision)


def _round(
    work: Work, options: ReplayOptions, first: int, count: int, directory: RunDirectory | None
) -> list[ReplayResult]:
    tasks = [(name, number) for name in options.schemes for number in range(first, count)]
    names = [f"{name} {number}" for name, number in tasks]
    return Tasks(work, tasks, names, options.jobs, options.progress).results(directory)


def _decision(
    found: list[ReplayResult], options: ReplayOptions, profile: Profile, precision: float
) -> Decision:
    spread = kind(profile)
    spread = Kind.EVEN if spread == Kind.SKEWED else spread
    trusted = min(needed_replications(spread), limit(options))
    each, drawn = [], False
    for name in options.schemes:
        runs = [r.document for r in found if r.document["scheme"] == name]
        spans = [run["makespan_us"] if run["outcome"] == "finished" else None for run in runs]
        drawn = drawn or not alike(spans)
        least = LEAST if alike(spans) else trusted
        one = next_replications(spans, precision, least=least, most=limit(options))
        each.append(one._replace(why=f"makespan under {name}: {one.why}"))
    decision = together(each)
    if not drawn:
        return decision._replace(stop=True, why=ALIKE)
    return decision
