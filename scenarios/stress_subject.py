"""What a STRESS-DES report is about: a finished run, read back from its `--out` directory.

Nothing is run again.  What the directory does not hold any more (a profile of one's own that has
gone or was changed) is no error here but a gap that the report names.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.win32.cost_profile import Profile
from scenarios.parameters import described, shown
from scenarios.run_sources import found_profile
from scenarios.spec import Spec
from sim.errors import InputError
from sim.estimators import Interval, mean_interval
from sim.results import ResultRow, program_versions, read_manifest, read_rows

_FINISHED = "the --out directory of a run that came to its end; the same command finishes it"
_REPLAY = (
    "What does a recorded process tree do, what does it take, and what does it lose, when its "
    "processes are created under each scheme?"
)
_REPLAY_ABOUT = (
    "A process tree that was recorded elsewhere makes the same forks, execs and waits on the "
    "simulated machine, under one scheme after the other; the work between them is that recorded, "
    "times the profile's cpu_scale."
)
_REPLAY_LIMITS = (
    "times rest on assumed and derived costs of the profile, and the recorded work on cpu_scale",
    "contents of files, names and strings are not recorded: their lengths are, the rest is assumed",
    "paging, disks, the network and signals other than SIGCHLD's way to waitpid are not modelled",
)


@dataclass(frozen=True)
class Result:
    """A measure at a point under one scheme. interval: over the replications, None if none."""

    scheme: str
    system: str
    point: str
    measure: str
    unit: str
    interval: Interval | None
    words: str  # what is no number, or differs as words do
    censored: int  # replications in which it never came


@dataclass(frozen=True)
class Subject:
    """A run, for its report. Every field is *input*.

    spec: None for a replay; meanings: what each parameter of the scenario is
    profile: None where it is not to be had; why_not says why
    """

    folder: Path
    manifest: Mapping[str, Any]
    rows: list[ResultRow]
    spec: Spec | None
    about: str
    meanings: list[str]
    profile: Profile | None
    why_not: str

    @property
    def name(self) -> str:
        """Of the scenario, or of what was replayed."""
        return str(self.manifest["command"][1])

    @property
    def question(self) -> str:
        """What the run asks."""
        return self.spec.question if self.spec is not None else _REPLAY

    @property
    def limits(self) -> tuple[str, ...]:
        """Within which bounds its results hold."""
        return self.spec.limits if self.spec is not None else _REPLAY_LIMITS

    @property
    def parameters(self) -> Mapping[str, Any]:
        """As the manifest has them."""
        found: Mapping[str, Any] = self.manifest["parameters"]
        return found

    @property
    def has_processes(self) -> bool:
        """Whether processes ran, on a machine that costs time."""
        return self.spec is None or not self.spec.heap_only

    @property
    def changed_versions(self) -> list[str]:
        """Programs whose version is another one now than at the run."""
        now, then = program_versions(), self.manifest["versions"]
        return [name for name in then if now.get(name) != then[name]]

    def results(self) -> Iterator[Result]:
        """Each measure over its replications, in the order of the results."""
        groups: dict[tuple[str, str, str, str, str], list[ResultRow]] = {}
        for row in self.rows:
            key = (row.scheme, row.system, row.point, row.measure, row.unit)
            groups.setdefault(key, []).append(row)
        for key, rows in groups.items():
            values = [row.value for row in rows]
            came = [float(v) for v in values if isinstance(v, int | float)]
            whole = len(came) == len(values)
            words = " or ".join(dict.fromkeys(v for v in values if isinstance(v, str)))
            censored = sum(v is None for v in values)
            yield Result(*key, mean_interval(came) if whole else None, words, censored)


def read_subject(folder: Path) -> Subject:
    """The run in a directory. Raises InputError for one that is none, or not finished."""
    manifest = read_manifest(folder)
    try:
        if "from" not in manifest["ran"] or not (folder / "results.csv").exists():
            raise InputError(str(folder), "the run has not been finished", _FINISHED)
        rows = read_rows(folder / "results.csv")
        return _subject(folder, manifest, rows)
    except (KeyError, IndexError, TypeError, AttributeError, ModuleNotFoundError) as error:
        what = f"not a whole manifest: {type(error).__name__} {error}"
        raise InputError(str(folder / "manifest.json"), what, "as a run wrote it") from error


def parameter_lines(subject: Subject) -> Iterator[tuple[str, str, str, str]]:
    """(key, value in this run, default, allowed) of the scenario's own parameters."""
    if subject.spec is None:
        return
    for line in described(subject.spec.parameters):
        now, default = _text(subject.parameters[line["key"]]), line["default"].replace(",", ", ")
        yield line["key"], now, default, line["allowed"]


def _subject(folder: Path, manifest: Mapping[str, Any], rows: list[ResultRow]) -> Subject:
    command, name = manifest["command"]
    settings = dict(text.partition("=")[::2] for text in manifest["parameters"].get("set", []))
    profile, why_not = None, ""
    try:
        profile = found_profile(manifest, settings)
    except InputError as error:
        why_not = f"{error.args[0]}: {error.args[1]}"
    if command == "replay":
        return Subject(folder, manifest, rows, None, _REPLAY_ABOUT, [], profile, why_not)
    module = importlib.import_module(f"scenarios.{name}")
    spec: Spec = module.SPEC
    about = inspect.cleandoc(module.__doc__ or "").partition("?")[2].strip()
    text = inspect.cleandoc(type(spec.parameters).__doc__ or "").partition("\n\n")[2]
    words = [" ".join(part.split()).lstrip("; ") for part in text.split("-- input")]
    return Subject(folder, manifest, rows, spec, about, [w for w in words if w], profile, why_not)


def _text(value: Any) -> str:
    """A value of the manifest as `--set` takes it, with blanks behind commas."""
    return shown(tuple(value) if isinstance(value, list) else value).replace(",", ", ")
