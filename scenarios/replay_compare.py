"""Two schemes on the same workload: differences, pair by pair.

The same creation in both runs makes a pair, and the same replication of both runs; creations that
only one run reached are counted, not averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.cygwin.replay_result import KINDS, ReplayResult
from sim.comparisons import matched
from sim.estimators import paired_difference

_WHOLE = {  # measures of a whole run: unit and what the difference rests on
    "makespan_us": ("us", "assumed"),
    "handshake_wait_us": ("us", "assumed"),
    "bytes_copied": ("bytes", "exact"),
    "read_process_memory_bytes": ("bytes", "exact"),
    "write_process_memory_bytes": ("bytes", "exact"),
}
_HEAP = ("peak_bytes", "end_bytes", "leaked_bytes", "pending_bytes")


def compare(results: Sequence[ReplayResult], names: Sequence[str]) -> list[dict[str, Any]]:
    """Every later scheme against the first: rows of `compare` (CONTRACT §5), b minus a."""
    by_scheme = {name: [r for r in results if r.document["scheme"] == name] for name in names}
    rows = []
    for name in names[1:]:
        pairs = list(zip(by_scheme[names[0]], by_scheme[name], strict=True))
        rows += [_row(names[0], name, *found) for found in _differences(pairs)]
    return rows


Found = tuple[str, str, str, list[float], list[float], int]


def _differences(pairs: list[tuple[ReplayResult, ReplayResult]]) -> list[Found]:
    found: list[Found] = []
    for kind in KINDS:
        each = [matched(a.latencies[kind], b.latencies[kind]) for a, b in pairs]
        unmatched = sum(m.unmatched for m in each)
        usable = [m for m in each if m.a]
        if usable or unmatched:
            found.append((f"{kind}_latency_us", "us", "assumed", [_mean(m.a) for m in usable],
                          [_mean(m.b) for m in usable], unmatched))  # fmt: skip
    ended = [p for p in pairs if all(r.document["outcome"] == "finished" for r in p)]
    sides = [a for a, _ in ended], [b for _, b in ended]
    lost = len(pairs) - len(ended)
    for measure, (unit, label) in _WHOLE.items():
        of_a, of_b = ([run.document[measure] for run in side] for side in sides)
        found.append((measure, unit, label, of_a, of_b, lost))
    for measure in _HEAP:
        of_a, of_b = ([run.document["cygheap"][measure] for run in side] for side in sides)
        found.append((f"cygheap_{measure}", "bytes", "exact", of_a, of_b, lost))
    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _row(
    a: str, b: str, measure: str, unit: str, label: str, of_a: list[float], of_b: list[float],
    unmatched: int,
) -> dict[str, Any]:  # fmt: skip
    interval = paired_difference(of_a, of_b) if of_a else None
    return {
        "measure": measure,
        "unit": unit,
        "a": a,
        "b": b,
        "mean_difference": None if interval is None else interval.mean,
        "ci95": None if interval is None else interval.limits(),
        "replications": len(of_a),
        "unmatched": unmatched,
        "label": label,
    }
