"""Where call logs of real DLLs lie that scenarios read: samples beside the tests, or anywhere."""

from __future__ import annotations

from pathlib import Path

from sim.errors import InputError

A_LOG = "DLL/SCENARIO of a sample, or a path"
LOGS = Path(__file__).resolve().parent.parent / "tests" / "data" / "msys1"
ENDINGS = (".jsonl.gz", ".jsonl")


def call_log_file(name: str) -> Path:
    """Path of a log, from its name or its path. Raises InputError."""
    for path in (*(LOGS / f"{name}{ending}" for ending in ENDINGS), Path(name)):
        if path.is_file():
            return path
    allowed = f"a path, or DLL/SCENARIO with DLL of {', '.join(_folders())}"
    raise InputError("--set logs", f"there is no log {name}", allowed)


def _folders() -> list[str]:
    return sorted(path.name for path in LOGS.glob("*") if path.is_dir())
