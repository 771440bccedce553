"""A campaign: conditions, schemes and replications, carried out in rounds until each is enough.

A condition is one design point: what a scenario is run with.  Replication n has the same random
numbers under every condition and every scheme.  Whether there are enough is decided from the
outcomes alone, so `--jobs` and an interruption change nothing but the time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from models.cygwin.left_in_all import LeftInAll
from models.win32.cost_profile import Profile
from scenarios.spec import Outcome, Replicated
from scenarios.tasks import Tasks, journal_of
from sim.design import Point
from sim.finished import Finished
from sim.mapped import Mapped
from sim.results import RunDirectory
from sim.stopping import Decision
from sim.streams import Replication


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


@dataclass(frozen=True)
class Condition:
    """One design point. Every field is *input*.

    words: what is varied, as KEY=VALUE words; "" where nothing is
    values: the same, by factor
    """

    point: Any
    system: str
    profile: Profile
    schemes: tuple[str, ...]
    words: str = ""
    values: Point = field(default_factory=dict)


class Carried(NamedTuple):
    """What was carried out under one condition, schemes in their order, then replications.

    Outcomes are read when they are asked for, while the experiment is open.
    """

    condition: Condition
    tasks: Sequence[Task]
    outcomes: Sequence[Outcome]
    results: dict[str, Replicated]  # by scheme
    decision: Decision  # with which it ended


Rule = Callable[[Condition, Mapping[str, Replicated]], Decision]  # no results before the first


def exactly(count: int) -> Rule:
    """The rule that stops at so many replications."""

    def decide(condition: Condition, results: Mapping[str, Replicated]) -> Decision:
        there = len(next(iter(results.values())).outcomes) if results else 0
        return Decision(there >= count, True, count, None, f"{count} were asked for")

    return decide


def one_run(task: Task) -> Outcome:
    """Carry one task out. Top-level, so that a pool can send it to a process."""
    module = importlib.import_module(f"scenarios.{task.scenario}")
    left = LeftInAll()
    outcome: Outcome = module.run_point(
        task.point, task.scheme, task.system, task.profile,
        Replication(task.seed, task.replication, left.made),
    )  # fmt: skip
    return replace(outcome, left=left.document())


class Campaign:
    """Conditions of one scenario that are carried out together; a context, open while it is read.

    scenario, seed, jobs, progress, cluster, directory: as the command has them -- constant
    """

    def __init__(
        self,
        scenario: str,
        seed: int,
        jobs: int = 1,
        progress: bool | None = None,
        cluster: str | None = None,
        directory: RunDirectory | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.jobs = jobs
        self.progress = progress
        self.cluster = cluster
        self.directory = directory
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._journal = self._open.enter_context(journal_of(self.directory))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def carried_out(self, conditions: Sequence[Condition], rule: Rule) -> list[Carried]:
        """All conditions, in order, each until the rule says stop.

        Raises what a run raises, and what `Tasks` raises.
        """
        done = [0] * len(conditions)
        decisions = [rule(condition, {}) for condition in conditions]
        going = list(range(len(conditions)))
        while going:
            new = [self._tasks(conditions[i], done[i], decisions[i].replications) for i in going]
            self._round([task for some in new for task in some])
            for i in going:
                done[i] = decisions[i].replications
                decisions[i] = rule(conditions[i], self._carried(conditions[i], decisions[i])[3])
            going = [i for i in going if not decisions[i].stop]
        return [
            self._carried(condition, decision)
            for condition, decision in zip(conditions, decisions, strict=True)
        ]

    def _round(self, tasks: Sequence[tuple[Condition, Task]]) -> None:
        """Carry tasks out, those that the journal has no record of."""
        Tasks(
            one_run, [task for _, task in tasks], [_name(*task) for task in tasks],
            self.jobs, self.progress, self.cluster,
        ).into(self._journal)  # fmt: skip

    def _tasks(self, condition: Condition, first: int, count: int) -> list[tuple[Condition, Task]]:
        """The tasks of the replications `first` .. `count` - 1."""
        return [
            (condition, self._task(condition, name, number))
            for name in condition.schemes
            for number in range(first, count)
        ]

    def _task(self, condition: Condition, scheme: str, number: int) -> Task:
        return Task(
            self.scenario, condition.point, condition.system, condition.profile, self.seed, scheme,
            number,
        )  # fmt: skip

    def _carried(self, condition: Condition, decision: Decision) -> Carried:
        """What the journal has of a condition, all its replications up to the decision."""
        count, names = decision.replications, condition.schemes

        def task(number: int) -> Task:
            return self._task(condition, names[number // count], number % count)

        tasks = Mapped(task, range(len(names) * count))
        outcomes = Finished[Outcome](
            self._journal, Mapped(lambda task: _name(condition, task), tasks)
        )
        results = {
            name: Replicated(outcomes[at * count : (at + 1) * count])
            for at, name in enumerate(names)
        }
        return Carried(condition, tasks, outcomes, results, decision)


def _name(condition: Condition, task: Task) -> str:
    """What journal and messages call a task."""
    system = condition.system if "system" in condition.values else ""
    return run_name(condition.words, system, task.scheme, task.replication)


def run_name(words: str, system: str, scheme: str, replication: int) -> str:
    """The name of one run in its journal, unlike all others; `system` "" where it is not varied."""
    return " ".join(filter(None, (words, system, scheme, str(replication))))
