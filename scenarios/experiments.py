"""An experiment as data: a scenario that is run from Python, or an `--out` directory, as one frame.

    from scenarios import Experiment

    experiment = Experiment.run("exec_latency", heap_kib=(16, 155), replications=10)
    experiment.results()                    # every measure of every replication, tidy
    Experiment.read("out/run").results()    # the same of a run that was kept

The same runs as `cygsim run` makes, in the same order; nothing is printed and nothing written.
pandas is needed for frames alone, and imported only there (extra `notebook`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenarios.campaign import Campaign
from scenarios.cli_catalogue import questions
from scenarios.cli_words import check_names
from scenarios.options import RunOptions
from scenarios.parameters import shown
from scenarios.run_command import base_condition, how_many, rows
from scenarios.spec import Replicated, Spec
from scenarios.stress_subject import read_subject
from sim.estimators import mean_interval
from sim.results import ResultRow

NO_PANDAS = (
    'pandas is not installed, and frames need it: pip install -e ".[notebook]"; '
    "rows has the same without it"
)


@dataclass(frozen=True, eq=False)
class Experiment:
    """The results of one run. Every field is *output*.

    name, question: of the scenario; limits: within which bounds the results hold
    rows: as in results.csv
    conclusions: (sentence, label); replicated: outcomes by scheme, with what figures need; both
        empty for a run that was read, since its directory does not hold them
    """

    name: str
    question: str
    limits: tuple[str, ...]
    rows: Sequence[ResultRow]
    conclusions: Sequence[tuple[str, str]] = ()
    replicated: Mapping[str, Replicated] = field(default_factory=dict)

    @classmethod
    def run(
        cls, name: str, *, schemes: Sequence[str] | None = None, system: str | None = None,
        profile: str | None = None, replications: int | None = None, seed: int = 1,
        jobs: int = 1, quick: bool = False, **parameters: Any,
    ) -> Experiment:  # fmt: skip
        """Run a scenario; `parameters` are the keys of `--set`. Raises InputError for bad input."""
        check_names("scenario", "scenario", [name], list(questions()))
        module = importlib.import_module(f"scenarios.{name}")
        spec: Spec = module.SPEC
        sets = tuple((key, shown(_plain(value))) for key, value in parameters.items())
        options = RunOptions(
            name, sets, None if schemes is None else tuple(dict.fromkeys(schemes)), system,
            profile, replications, seed=seed, jobs=jobs, quick=quick,
        )  # fmt: skip
        base = base_condition(spec, options)
        _, rule = how_many(spec, options)
        with Campaign(name, seed, jobs, progress=False) as runs:
            (carried,) = runs.carried_out([base], rule)
            found = list(rows(carried.tasks, carried.outcomes))
            replicated = {
                scheme: Replicated(tuple(some.outcomes)) for scheme, some in carried.results.items()
            }
        said = list(module.conclusions(replicated, base.point))
        return cls(name, spec.question, spec.limits, found, said, replicated)

    @classmethod
    def read(cls, folder: str | Path) -> Experiment:
        """The run in an `--out` directory of `cygsim run` or `replay`. Raises InputError."""
        subject = read_subject(Path(folder))
        return cls(subject.name, subject.question, subject.limits, subject.rows)

    def results(self) -> Any:
        """A tidy pandas.DataFrame: a row for each measure, point, scheme and replication.

        Columns: scenario, scheme, system, profile, point; a column for each KEY=VALUE of the
        points, numbers where all are; replication, measure, unit; value (float64, NaN where there
        is none), words (what is no number, else None), censored.  Raises ImportError without
        pandas.
        """
        frame = _pandas().DataFrame(self.rows, columns=list(ResultRow._fields))
        values = [row.value for row in self.rows]
        frame["value"] = [
            float("nan") if value is None or isinstance(value, str) else float(value)
            for value in values
        ]
        words = [value if isinstance(value, str) else None for value in values]
        frame.insert(list(frame.columns).index("censored"), "words", words)
        frame["words"] = frame["words"].astype(object).where([w is not None for w in words], None)
        at = list(frame.columns).index("point") + 1
        for name, found in reversed(_point_columns([row.point for row in self.rows]).items()):
            frame.insert(at, name, _numbers_if_all(found))
        return frame

    def means(self, level: float = 0.95) -> Any:
        """A pandas.DataFrame of means over the replications, with Student's interval.

        One row for each measure, point and scheme; columns as in `results` with replications,
        mean, low and high in place of replication and value.  A measure that is no number, or never
        came in some replication, has no row.  Raises ImportError without pandas.
        """
        pandas = _pandas()
        frame = self.results()
        left_out = ("replication", "value", "words", "censored")
        keys = [name for name in frame.columns if name not in left_out]
        rows = []
        for where, group in frame.groupby(keys, sort=False, dropna=False):
            if not group["value"].isna().any():
                found = mean_interval(group["value"].tolist(), level)
                rows.append((*where, found.replications, found.mean, found.low, found.high))
        return pandas.DataFrame(rows, columns=[*keys, "replications", "mean", "low", "high"])


def _plain(value: Any) -> Any:
    """A list as a tuple, which is what parameters are."""
    return tuple(value) if isinstance(value, list) else value


def _point_columns(points: Sequence[str]) -> dict[str, list[str | None]]:
    """The KEY=VALUE words of the points, a column for each key; None where a point lacks it."""
    parsed = [dict(w.split("=", 1) for w in point.split() if "=" in w) for point in points]
    taken = {*ResultRow._fields, "words"}
    keys = [key for key in dict.fromkeys(k for words in parsed for k in words) if key not in taken]
    return {key: [words.get(key) for words in parsed] for key in keys}


def _numbers_if_all(values: Sequence[str | None]) -> list[Any]:
    """The values as floats (NaN for none) if each is one; else as they are."""
    try:
        return [float("nan") if value is None else float(value) for value in values]
    except ValueError:
        return list(values)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(NO_PANDAS) from error
    return pandas
