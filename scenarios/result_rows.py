"""What a run or a replay found, as the rows of results.csv."""

from __future__ import annotations

from collections.abc import Iterator

from models.cygwin.replay_result import KINDS, ReplayResult
from scenarios.spec import Outcome
from sim.results import ResultRow

_MEASURES = {
    "makespan_us": "us",
    "handshake_wait_us": "us",
    "bytes_copied": "bytes",
    "read_process_memory_bytes": "bytes",
    "write_process_memory_bytes": "bytes",
    "committed_peak_bytes": "bytes",
    "creations": "1",
    "creations_one_step": "1",
    "creations_two_step": "1",
}


def outcome_rows(
    outcome: Outcome, scenario: str, scheme: str, system: str, profile: str, replication: int
) -> Iterator[ResultRow]:
    """The rows of one scheme of a scenario in one replication."""
    for row in outcome.rows:
        yield ResultRow(
            scenario, scheme, row.system or system, profile,
            row.point, replication, row.measure, row.unit, row.value, row.censored,
        )  # fmt: skip


def replay_rows(
    result: ReplayResult, system: str, profile: str, workload: str
) -> Iterator[ResultRow]:
    """The rows of one scheme of a replay in one replication."""
    document = result.document
    whose = ("replay", document["scheme"], system, profile, workload, document["replication"])
    yield ResultRow(*whose, "outcome", "", document["outcome"], 0)
    for measure, unit in _MEASURES.items():
        yield ResultRow(*whose, measure, unit, document[measure], 0)
    for measure in ("peak_bytes", "end_bytes", "leaked_bytes", "pending_bytes"):
        value = document["cygheap"][measure]
        if value is None:
            continue  # it has no cygheap
        yield ResultRow(*whose, f"cygheap_{measure}", "bytes", value, 0)
    for kind in KINDS:
        latency = document[f"{kind}_latency_us"]
        for part in ("n", "mean", "p50", "p95", "p99", "max"):
            unit = "1" if part == "n" else "us"
            name = f"{kind}_latency_{part}"
            yield ResultRow(*whose, name, unit, latency[part], latency["censored"])
