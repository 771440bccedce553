"""`cygsim export`: what a run's journal holds, as the rows of results.csv in another file.

The journal is the store, so that a run which was interrupted can be exported too.  Nothing is run,
and what the run read is not needed any more.  Where the points were found on the way (`--inputs`,
`--sensitivity`) the manifest does not tell them; such a run is exported once it is finished.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from models.cygwin.replay_result import ReplayResult
from scenarios.campaign import run_name
from scenarios.result_rows import outcome_rows, replay_rows
from scenarios.spec import Outcome
from scenarios.tasks import tell
from sim.errors import InputError
from sim.finished import Finished
from sim.journal import FILE, Journal
from sim.results import ResultRow, content_digest, read_manifest, read_rows, write_rows

_COMMANDS = ("run", "replay")


def run(folder: str, form: str, output: str) -> int:
    """Write the file; 0. Raises InputError for a folder or a file that cannot be used."""
    place = Path(folder)
    manifest = read_manifest(place)
    manifest.pop("ran", None)
    if _found_on_the_way(manifest):
        _write(output, form, _of_csv(place / "results.csv"), manifest)
        return 0
    tasks = _tasks(place, manifest)
    if not (place / FILE).exists():
        raise InputError(str(place / FILE), "missing", "a run's folder with its journal")
    with Journal(place, content_digest(manifest)) as journal:
        names = journal.finished()
        tell(journal)
        there = [task for task in tasks if task.name in names]
        results = Finished[Any](journal, [task.name for task in there])
        _write(output, form, _rows(manifest, there, results), manifest)
    if len(there) < len(tasks):
        most = "at most " if "precision" in manifest["parameters"] else ""
        print(f"cygsim: note: {len(there)} of {most}{len(tasks)} runs are there", file=sys.stderr)
    return 0


def _write(output: str, form: str, rows: Iterable[ResultRow], manifest: Mapping[str, Any]) -> None:
    if form == "csv":
        write_rows(Path(output), rows)
    else:
        from scenarios.parquet_file import write_parquet

        write_parquet(Path(output), rows, manifest)


def _found_on_the_way(manifest: Mapping[str, Any]) -> bool:
    """Whether the points of the run followed from its first results."""
    parameters = manifest.get("parameters")
    return isinstance(parameters, dict) and ("inputs" in parameters or "sensitivity" in parameters)


def _of_csv(path: Path) -> list[ResultRow]:
    """The rows of such a run, which are there once it is finished."""
    if not path.exists():
        what = "missing, since the run's points follow from what was found on the way"
        raise InputError(str(path), what, "the folder of a finished run; the same command goes on")
    return read_rows(path)


class _Task(NamedTuple):
    """One run of the folder, as its manifest tells it; `words` are those of its design point."""

    scheme: str
    replication: int
    system: str
    words: str
    name: str  # in the journal


def _tasks(place: Path, manifest: Mapping[str, Any]) -> list[_Task]:
    """All that the run is about, in its order."""
    try:
        kind, _ = manifest["command"]
        p = manifest["parameters"]
        points = p["design"]["points"] if "design" in p else [{"words": "", "values": {}}]
        tasks = [task for point in points for task in _of_point(p, point)]
        _ = p["profile"]
    except (KeyError, TypeError, ValueError):
        kind, tasks = None, []
    if kind not in _COMMANDS:
        what = "tells of no run or replay"
        raise InputError(str(place / "manifest.json"), what, "the folder of one of them")
    return tasks


def _of_point(p: Mapping[str, Any], point: Mapping[str, Any]) -> Iterator[_Task]:
    """The runs of one design point; scheme and system may be among what is varied."""
    words, values = str(point["words"]), point["values"]
    system = str(values.get("system", p["system"]))
    for scheme in [values["scheme"]] if "scheme" in values else p["schemes"]:
        for n in range(p["replications"]):
            name = run_name(words, system if "system" in values else "", str(scheme), n)
            yield _Task(str(scheme), n, system, words, name)


def _rows(
    manifest: Mapping[str, Any], tasks: list[_Task], results: Finished[Any]
) -> Iterator[ResultRow]:
    _, subject = manifest["command"]
    profile = manifest["parameters"]["profile"]
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, Outcome):
            whose = subject, task.scheme, task.system, profile, task.replication
            for row in outcome_rows(result, *whose):
                yield row._replace(point=f"{task.words} {row.point}".strip())
        elif isinstance(result, ReplayResult):
            yield from replay_rows(result, task.system, profile, subject)
        else:
            raise InputError(task.name, "is no result of a run", "the journal as it was written")
