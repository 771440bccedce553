"""An `--out` directory: `manifest.json`, `results.csv`, and whatever figures lie beside them.

The manifest says which run the directory belongs to; all of it but `"ran"` (wall-clock figures,
number of jobs) must be equal for a second run to go on there.  Files appear whole or not at all
(written beside and renamed), with LF and UTF-8 everywhere, and the same run writes the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import platform
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from sim.documents import PARTIAL, beside, json_text, plain, write_atomically
from sim.errors import InputError

SCHEMA = "cygsim/manifest/1"


class ResultRow(NamedTuple):
    """One row of results.csv: one measure of one replication at one design point."""

    scenario: str
    scheme: str
    system: str
    profile: str
    point: str
    replication: int
    measure: str
    unit: str
    value: float | int | str | None  # None if there is no value, or it is censored
    censored: int  # how many observations behind it never came


def program_versions() -> dict[str, str]:
    """Versions of the program, Python, SimPy and numpy, without importing them."""
    return {
        "cygsim": _version("cygsim"),
        "python": platform.python_version(),
        "simpy": _version("simpy"),
        "numpy": _version("numpy"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True)
class Manifest:
    """What a run is: equal manifests are the same run."""

    command: Sequence[str]  # arguments that shape the result: no --out, --jobs, --progress
    seed: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]  # name of an input file to the SHA-256 of its content
    versions: Mapping[str, str] = field(default_factory=program_versions)

    def digest(self) -> str:
        """SHA-256 of the content: the name of the run."""
        return content_digest(self.content())

    def content(self) -> dict[str, Any]:
        """The JSON document without `"ran"`."""
        return {
            "schema": SCHEMA,
            "command": list(self.command),
            "versions": dict(self.versions),
            "seed": self.seed,
            "parameters": dict(self.parameters),
            "inputs": dict(self.inputs),
        }


class RunDirectory:
    """A directory that belongs to one run."""

    def __init__(self, path: Path, manifest: Manifest, resumed: bool) -> None:
        self.path = path
        self.manifest = manifest
        self.resumed = resumed  # the same run was here before

    def write_results(self, rows: Iterable[ResultRow]) -> Path:
        """Write results.csv anew, rows in the order given."""
        return write_rows(self.path / "results.csv", rows)

    def read_results(self) -> list[ResultRow]:
        """The rows of an earlier visit of the same run, none if there are none."""
        path = self.path / "results.csv"
        return read_rows(path) if path.exists() else []

    def finish(self, ran: Mapping[str, Any]) -> Path:
        """Write manifest.json again with the wall-clock figures of this visit."""
        return _write_manifest(self.path, self.manifest, ran)


def open_run(path: Path, manifest: Manifest, where: str = "--out") -> RunDirectory:
    """Take a new or empty directory for this run, or go on in one that it has already.

    Raises InputError for a directory of another run (it says what differs), a non-empty one without
    a manifest, and a path that cannot be a directory.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        there = [p for p in path.iterdir() if not p.name.endswith(PARTIAL)]
        if there:
            _same_run(path, manifest, where)
        else:
            _write_manifest(path, manifest, {})
    except OSError as error:
        reason = error.strerror or "cannot be used"
        raise InputError(f"{where} {path}", reason, "a new or empty directory") from None
    return RunDirectory(path, manifest, bool(there))


def read_rows(path: Path) -> list[ResultRow]:
    """The rows of a results.csv. Raises InputError("FILE:LINE", ...) if it is not one."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        head = next(reader, None)
        if head != list(ResultRow._fields):
            raise InputError(f"{path}:1", "wrong header", ",".join(ResultRow._fields))
        rows = []
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if len(cells) != len(ResultRow._fields):
                count = len(ResultRow._fields)
                raise InputError(where, f"{len(cells)} columns", f"there must be {count}")
            rows.append(_row(cells, where))
    return rows


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a run's directory. Raises InputError if there is none that can be read."""
    file = path / "manifest.json"
    allowed = f"the --out directory of a run, with a manifest of {SCHEMA}"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(file), error.strerror or "cannot be read", allowed) from None
    except ValueError:
        raise InputError(str(file), "not JSON", allowed) from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise InputError(str(file), "not a manifest of this program", allowed)
    return found


def csv_text(rows: Iterable[ResultRow]) -> str:
    """The text of results.csv: header and rows, LF."""
    out = io.StringIO()
    _write_csv(out, rows)
    return out.getvalue()


def write_rows(path: Path, rows: Iterable[ResultRow]) -> Path:
    """Write a results.csv whole or not at all, row by row as they come."""
    with beside(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        _write_csv(file, rows)
    return path


def _write_csv(file: TextIO, rows: Iterable[ResultRow]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(ResultRow._fields)
    writer.writerows([_cell(value) for value in row] for row in rows)


def input_digest(path: Path) -> str:
    """SHA-256 of a file's content; of a .gz file what is packed in it, so that both count as one.

    Raises InputError if it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(str(path), reason, "a readable file") from None
    return digest.hexdigest()


def content_digest(document: Any) -> str:
    """SHA-256 of a document's strict JSON: of an input that is not one file."""
    return hashlib.sha256(json_text(document).encode("utf-8")).hexdigest()


def _same_run(path: Path, manifest: Manifest, where: str) -> None:
    """Raise InputError unless the directory's manifest is this one, apart from `"ran"`."""
    file = path / "manifest.json"
    allowed = "a new or empty directory, or one of the same run"
    if not file.exists():
        raise InputError(f"{where} {path}", "the directory is not empty and holds no run", allowed)
    try:
        old = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(str(file), "not JSON", allowed) from None
    new = json.loads(json_text(manifest.content()))
    if not isinstance(old, dict):
        raise InputError(str(file), "not a manifest", allowed)
    old.pop("ran", None)
    other = [key for key in dict.fromkeys([*new, *old]) if old.get(key) != new.get(key)]
    if other:
        what = f"the directory belongs to another run ({', '.join(other)} differ)"
        raise InputError(f"{where} {path}", what, allowed)


def _write_manifest(path: Path, manifest: Manifest, ran: Mapping[str, Any]) -> Path:
    document = manifest.content() | {"ran": dict(ran)}
    return write_atomically(path / "manifest.json", json_text(document))


def _row(cells: list[str], where: str) -> ResultRow:
    named = dict(zip(ResultRow._fields, cells, strict=True))
    try:
        replication, censored = int(named["replication"]), int(named["censored"])
    except ValueError:
        what = f"replication ({named['replication']!r}) or censored ({named['censored']!r})"
        raise InputError(where, what, "both must be whole numbers") from None
    return ResultRow(
        named["scenario"],
        named["scheme"],
        named["system"],
        named["profile"],
        named["point"],
        replication,
        named["measure"],
        named["unit"],
        _value(named["value"]),
        censored,
    )


def _value(text: str) -> float | int | str | None:
    if not text:
        return None
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text


def _cell(value: Any) -> Any:
    return "" if value is None else plain(value, "results.csv")
