"""The runs of a replay: so many of each scheme, or until the makespans are known well enough.

A makespan is a sum over many creations, so Student's interval can be believed from the least number
of replications on; not so where there is contention.  A run that does not finish has no makespan,
and then more runs would not make its mean precise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from models.cygwin.replay_result import ReplayResult
from models.win32.cost_profile import Profile
from scenarios.headlines import alike, kind
from scenarios.options import ReplayOptions
from scenarios.precision import ALIKE, described, most
from scenarios.tasks import Tasks, journal_of
from sim.finished import Finished
from sim.journal import Journal
from sim.mapped import Mapped
from sim.results import RunDirectory
from sim.sample_size import LEAST, Kind, needed_replications
from sim.stopping import Decision, next_replications, together

Work = Callable[[tuple[str, int]], ReplayResult]


def limit(options: ReplayOptions) -> int:
    """How many replications there are, or with a precision may be. Raises InputError."""
    if options.precision is None:
        return options.replications
    return most(None if options.replications == 1 else options.replications)


@contextmanager
def carried_out(
    work: Work, options: ReplayOptions, profile: Profile, directory: RunDirectory | None
) -> Iterator[tuple[Sequence[ReplayResult], dict[str, Any] | None]]:
    """All runs, schemes in their order, then replications; and what is said of the precision.

    Results are read when they are asked for, while the context is open.
    """
    with journal_of(directory) as journal:
        if options.precision is None:
            yield _round(work, options, 0, options.replications, journal), None
            return
        have, decision = 0, Decision(False, False, LEAST, None, "")
        while not decision.stop:
            _round(work, options, have, decision.replications, journal)
            have = decision.replications
            found = Finished[ReplayResult](journal, _names(_tasks(options, 0, have)))
            decision = _decision(found, options, profile, options.precision)
        yield found, described(options.precision, limit(options), decision)


def _tasks(options: ReplayOptions, first: int, count: int) -> Sequence[tuple[str, int]]:
    """(scheme, replication), scheme by scheme, each with the replications `first` .. `count`-1."""
    each = count - first

    def task(number: int) -> tuple[str, int]:
        return options.schemes[number // each], first + number % each

    return Mapped(task, range(len(options.schemes) * each))


def _names(tasks: Sequence[tuple[str, int]]) -> Sequence[str]:
    return Mapped("{0[0]} {0[1]}".format, tasks)


def _round(
    work: Work, options: ReplayOptions, first: int, count: int, journal: Journal
) -> Sequence[ReplayResult]:
    tasks = _tasks(options, first, count)
    return Tasks(
        work, tasks, _names(tasks), options.jobs, options.progress, options.cluster
    ).into(journal)  # fmt: skip


def _decision(
    found: Sequence[ReplayResult], options: ReplayOptions, profile: Profile, precision: float
) -> Decision:
    spread = kind(profile)
    spread = Kind.EVEN if spread == Kind.SKEWED else spread
    trusted = min(needed_replications(spread), limit(options))
    spans: dict[str, list[float | None]] = {name: [] for name in options.schemes}
    for run in (one.document for one in found):
        span = run["makespan_us"] if run["outcome"] == "finished" else None
        spans[run["scheme"]].append(span)
    each, drawn = [], False
    for name, some in spans.items():
        drawn = drawn or not alike(some)
        least = LEAST if alike(some) else trusted
        one = next_replications(some, precision, least=least, most=limit(options))
        each.append(one._replace(why=f"makespan under {name}: {one.why}"))
    decision = together(each)
    if not drawn:
        return decision._replace(stop=True, why=ALIKE)
    return decision
