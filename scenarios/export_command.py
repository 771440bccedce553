"""`cygsim export`: what a run's journal holds, as the rows of results.csv in another file.

The journal is the store, so that a run which was interrupted can be exported too.  Nothing is run,
and what the run read is not needed any more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.cygwin.replay_result import ReplayResult
from scenarios.result_rows import outcome_rows, replay_rows
from scenarios.spec import Outcome
from scenarios.tasks import tell
from sim.errors import InputError
from sim.finished import Finished
from sim.journal import FILE, Journal
from sim.results import ResultRow, content_digest, read_manifest, write_rows

_COMMANDS = ("run", "replay")


def run(folder: str, form: str, output: str) -> int:
    """Write the file; 0. Raises InputError for a folder or a file that cannot be used."""
    place = Path(folder)
    manifest = read_manifest(place)
    manifest.pop("ran", None)
    tasks = _tasks(place, manifest)
    if not (place / FILE).exists():
        raise InputError(str(place / FILE), "missing", "a run's folder with its journal")
    with Journal(place, content_digest(manifest)) as journal:
        names = journal.finished()
        tell(journal)
        there = [task for task in tasks if _name(*task) in names]
        results = Finished[Any](journal, [_name(*task) for task in there])
        rows = _rows(manifest, there, results)
        if form == "csv":
            write_rows(Path(output), rows)
        else:
            from scenarios.parquet_file import write_parquet

            write_parquet(Path(output), rows, manifest)
    if len(there) < len(tasks):
        print(f"cygsim: note: {len(there)} of {len(tasks)} runs are finished", file=sys.stderr)
    return 0


def _tasks(place: Path, manifest: Mapping[str, Any]) -> list[tuple[str, int]]:
    """(scheme, replication) of all that the run is about, in its order."""
    try:
        kind, _ = manifest["command"]
        p = manifest["parameters"]
        tasks = [(str(s), n) for s in p["schemes"] for n in range(p["replications"])]
        _ = p["system"], p["profile"]
    except (KeyError, TypeError, ValueError):
        kind, tasks = None, []
    if kind not in _COMMANDS:
        what = "tells of no run or replay"
        raise InputError(str(place / "manifest.json"), what, "the folder of one of them")
    return tasks


def _name(scheme: str, replication: int) -> str:
    return f"{scheme} {replication}"


def _rows(
    manifest: Mapping[str, Any], tasks: list[tuple[str, int]], results: Finished[Any]
) -> Iterator[ResultRow]:
    _, subject = manifest["command"]
    system, profile = manifest["parameters"]["system"], manifest["parameters"]["profile"]
    for (scheme, replication), result in zip(tasks, results, strict=True):
        if isinstance(result, Outcome):
            yield from outcome_rows(result, subject, scheme, system, profile, replication)
        elif isinstance(result, ReplayResult):
            yield from replay_rows(result, system, profile, subject)
        else:
            raise InputError(
                _name(scheme, replication), "is no result of a run", "the journal as it was written"
            )
