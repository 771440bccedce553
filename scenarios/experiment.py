"""An experiment: conditions, schemes and replications, carried out in rounds until each is enough.

A condition is one design point: what a scenario is run with.  Replication n has the same random
numbers under every condition and every scheme.  Whether there are enough is decided from the
outcomes alone, so `--jobs` and an interruption change nothing but the time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.win32.cost_profile import Profile
from scenarios.spec import Outcome, Replicated
from scenarios.tasks import Tasks
from sim.design import Point
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
    """What was carried out under one condition, schemes in their order, then replications."""

    condition: Condition
    tasks: list[Task]
    outcomes: list[Outcome]
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
    outcome: Outcome = module.run_point(
        task.point, task.scheme, task.system, task.profile,
        Replication(task.seed, task.replication),
    )  # fmt: skip
    return outcome


class Experiment:
    """Conditions of one scenario that are carried out together.

    scenario, seed, jobs, progress, directory: as the command has them -- constant
    """

    def __init__(
        self,
        scenario: str,
        seed: int,
        jobs: int = 1,
        progress: bool | None = None,
        directory: RunDirectory | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.jobs = jobs
        self.progress = progress
        self.directory = directory

    def carried_out(self, conditions: Sequence[Condition], rule: Rule) -> list[Carried]:
        """All conditions, in order, each until the rule says stop.

        Raises what a run raises, and what `Tasks` raises.
        """
        found: list[dict[str, list[tuple[Task, Outcome]]]] = [
            {name: [] for name in condition.schemes} for condition in conditions
        ]
        decisions = [rule(condition, {}) for condition in conditions]
        going = list(range(len(conditions)))
        while going:
            self._round(conditions, found, {i: decisions[i].replications for i in going})
            for i in going:
                decisions[i] = rule(conditions[i], _replicated(found[i]))
            going = [i for i in going if not decisions[i].stop]
        return [
            _carried(condition, pairs, decision)
            for condition, pairs, decision in zip(conditions, found, decisions, strict=True)
        ]

    def _round(
        self,
        conditions: Sequence[Condition],
        found: list[dict[str, list[tuple[Task, Outcome]]]],
        wanted: Mapping[int, int],
    ) -> None:
        """Carry out what is missing of so many replications of each condition."""
        new = [
            (i, self._task(conditions[i], name, number))
            for i, count in wanted.items()
            for name in conditions[i].schemes
            for number in range(len(found[i][name]), count)
        ]
        tasks = [task for _, task in new]
        names = [_name(conditions[i], task) for i, task in new]
        runs = Tasks(one_run, tasks, names, self.jobs, self.progress)
        for (i, task), outcome in zip(new, runs.results(self.directory), strict=True):
            found[i][task.scheme].append((task, outcome))

    def _task(self, condition: Condition, scheme: str, number: int) -> Task:
        return Task(
            self.scenario, condition.point, condition.system, condition.profile, self.seed, scheme,
            number,
        )  # fmt: skip


def _name(condition: Condition, task: Task) -> str:
    """What journal and messages call a task; it is unlike all others of the run."""
    return f"{condition.words} {task.scheme} {task.replication}".lstrip()


def _replicated(pairs: Mapping[str, list[tuple[Task, Outcome]]]) -> dict[str, Replicated]:
    return {name: Replicated(tuple(o for _, o in some)) for name, some in pairs.items()}


def _carried(
    condition: Condition, pairs: Mapping[str, list[tuple[Task, Outcome]]], decision: Decision
) -> Carried:
    both = [pair for some in pairs.values() for pair in some]
    return Carried(
        condition, [task for task, _ in both], [outcome for _, outcome in both],
        _replicated(pairs), decision,
    )  # fmt: skip
