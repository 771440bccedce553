"""Two schemes on the same workload: differences, pair by pair.

The same creation in both runs makes a pair, and the same replication of both runs; creations that
only one run reached are counted, not averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.cygwin.replay_result import KINDS, ReplayResult
from sim.columns import Column
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
    """Every later scheme against the first: rows of `compare` (CONTRACT §5), b minus a.

    `results` has the replications of the first scheme, then those of the next, and so on.
    """
    count = len(results) // len(names)
    of_a = results[:count]
    rows = []
    for number, name in enumerate(names[1:], start=1):
        of_b = results[number * count : (number + 1) * count]
        rows += [
            _row(names[0], name, found) for found in _differences(zip(of_a, of_b, strict=True))
        ]
    return rows


@dataclass
class _Found:
    """One measure in the pairs that have it on both sides."""

    measure: str
    unit: str
    label: str
    of_a: Column = field(default_factory=Column)
    of_b: Column = field(default_factory=Column)
    unmatched: int = 0


def _differences(pairs: Iterable[tuple[ReplayResult, ReplayResult]]) -> list[_Found]:
    latencies = {kind: _Found(f"{kind}_latency_us", "us", "assumed") for kind in KINDS}
    whole = [_Found(measure, *of) for measure, of in _WHOLE.items()]
    heap = [_Found(f"cygheap_{measure}", "bytes", "exact") for measure in _HEAP]
    for a, b in pairs:
        for kind, found in latencies.items():
            each = matched(a.latencies[kind], b.latencies[kind])
            found.unmatched += each.unmatched
            if each.a:
                found.of_a.append(_mean(each.a))
                found.of_b.append(_mean(each.b))
        ended = all(r.document["outcome"] == "finished" for r in (a, b))
        for found in (*whole, *heap):
            of_both = _value(a, found.measure), _value(b, found.measure)
            if None in of_both:
                continue  # a release without a cygheap
            found.unmatched += not ended
            if ended:
                found.of_a.append(of_both[0])
                found.of_b.append(of_both[1])
    return [f for f in (*latencies.values(), *whole, *heap) if f.of_a or f.unmatched]


def _value(result: ReplayResult, measure: str) -> float | None:
    document = result.document
    if measure in document:
        return float(document[measure])
    value = document["cygheap"][measure.removeprefix("cygheap_")]
    return None if value is None else float(value)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _row(a: str, b: str, found: _Found) -> dict[str, Any]:
    of_a, of_b = list(found.of_a), list(found.of_b)
    interval = paired_difference(of_a, of_b) if of_a else None
    return {
        "measure": found.measure,
        "unit": found.unit,
        "a": a,
        "b": b,
        "mean_difference": None if interval is None else interval.mean,
        "ci95": None if interval is None else interval.limits(),
        "replications": len(of_a),
        "unmatched": found.unmatched,
        "label": found.label,
    }
