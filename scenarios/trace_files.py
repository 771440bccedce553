"""Where the recorded workloads lie that scenarios count or run: beside the tests, or anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sim.errors import InputError
from sim.results import input_digest

RECORDED = ("make-j4-sed", "git-workflow")  # what a scenario counts unless told otherwise
A_TRACE = "the name of a recorded workload, or a path"
TRACES = Path(__file__).resolve().parent.parent / "tests" / "data" / "traces"


def trace_file(name: str) -> str:
    """Path of a recorded workload, from its name or its path. Raises InputError."""
    for path in (TRACES / f"{name}.jsonl.gz", Path(name)):
        if path.is_file():
            return str(path)
    here = sorted(p.name.removesuffix(".jsonl.gz") for p in TRACES.glob("*.jsonl.gz"))
    allowed = ", ".join(["a path", *here]) if here else "a path, or a full checkout"
    raise InputError("--set traces", f"there is no trace {name}", allowed)


def trace_digests(names: Iterable[str]) -> dict[str, str]:
    """Digest of each recorded workload, for the manifest of a run that reads it."""
    return {Path(name).name: input_digest(Path(trace_file(name))) for name in names}
