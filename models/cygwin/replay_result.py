"""What came of a replay, as plain values: the run's document, and what comparisons need.

Measures read the run's records and counts; nothing here changes a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.cygwin.blocked import blocked
from models.cygwin.installation import Creation
from models.cygwin.left_behind import balance
from models.cygwin.replay import ReplayRun
from sim.estimators import summary

KINDS = ("fork", "exec", "spawn")


@dataclass(frozen=True)
class ReplayResult:
    """One run of one scheme, without the machine it ran on; can be sent between processes.

    document: the entry of `runs` (CONTRACT §5) -- output
    latencies: kind -> place of the creation -> latency [us], None if it never came -- output
    waits: place of the creation -> time spent waiting for the child [us] -- output
    heaps: (execs in the line of descent, bytes) at the start of each image -- output
    cut_us: kind -> how long each creation had lasted that the horizon cut off [us] -- output
    """

    document: dict[str, Any]
    latencies: dict[str, dict[int, float | None]]
    waits: dict[int, float]
    heaps: list[tuple[int, int]]
    cut_us: dict[str, list[float]]


def result(run: ReplayRun, replication: int) -> ReplayResult:
    """Read everything off a run that has been carried out."""
    kernel, tally = run.kernel, run.tally
    records: list[Creation] = kernel.trace.records
    latencies = _latencies(records)
    vforks = latencies.pop("vfork")
    steps = [record.section_steps for record in records]
    waits = {record.place: record.waited_us for record in records if record.waited_us}
    document: dict[str, Any] = {
        "scheme": run.scheme.name,
        "replication": replication,
        "vfork": "real" if run.vfork else "fork",
        "outcome": run.outcome,
        "makespan_us": max(run.ended.values(), default=0.0)
        if run.outcome == "finished"
        else kernel.engine.now,
        "processes": tally.processes,
        "forks": tally.forks,
        "execs": tally.execs,
        "spawns": tally.spawns,
        "vforks": len(vforks),
        "failed_execs": tally.failed_execs,
        "not_converted": run.workload.not_converted,
        "creations": len(kernel.processes),
        "creations_one_step": steps.count(1),
        "creations_two_step": steps.count(2),
        **{f"{kind}_latency_us": summary(list(latencies[kind].values())) for kind in KINDS},
        "vfork_latency_us": summary(list(vforks.values())),
        "handshake_wait_us": sum(record.waited_us for record in records),
        "bytes_copied": kernel.bytes_copied,
        "read_process_memory_bytes": kernel.read_process_memory_bytes,
        "write_process_memory_bytes": kernel.write_process_memory_bytes,
        "cygheap": _heaps(run),
        "committed_peak_bytes": kernel.committed_peak_bytes,
        "lost_waits": tally.lost_waits,
        "stale_reads": tally.stale_reads,
        "blocked": blocked(kernel) if run.outcome == "blocked" else [],
        "failures": [
            {"pid": f.pid, "program": f.program, "at_us": f.at_us, "message": f.message}
            for f in run.installation.failures
        ]
        + [
            {"pid": pid, "program": program, "at_us": at, "message": message}
            for at, pid, program, message in kernel.crashes
        ],
        "balance": balance(run.installation).document(),
    }
    cut_us = {kind: _cut_us(records, kind, run) for kind in KINDS}
    return ReplayResult(document, latencies, waits, run.heaps, cut_us)


def _heaps(run: ReplayRun) -> dict[str, Any]:
    """What the heaps of the run were; nothing is known of a release that has none."""
    tally = run.tally
    found = {
        "peak_bytes": tally.heap_peak_bytes,
        "end_bytes": tally.heap_end_bytes,
        "leaked_bytes": tally.leaked_bytes,
        "pending_bytes": tally.pending_bytes,
        "digest": run.digest(),
    }
    return found if run.scheme.version.has_heap else dict.fromkeys(found)


def _cut_us(records: list[Creation], kind: str, run: ReplayRun) -> list[float]:
    """How long the creations had lasted that had not returned when the run was cut."""
    if run.outcome != "cut":
        return []
    open_ = [place for place, took in _latencies(records)[kind].items() if took is None]
    called = {record.place: record.called_us for record in records if record.kind == kind}
    return [run.kernel.engine.now - called[place] for place in open_]


def _latencies(records: list[Creation]) -> dict[str, dict[int, float | None]]:
    """Kind -> place -> latency of the creations that were really made in that form."""
    found: dict[str, dict[int, float | None]] = {kind: {} for kind in (*KINDS, "vfork")}
    for record in records:
        if not record.error and record.kind in found:
            end = record.main_us if record.kind == "exec" else record.returned_us
            found[record.kind][record.place] = None if end is None else end - record.called_us
    return found
