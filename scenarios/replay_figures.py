"""The figures of a replay: latencies, time spent waiting, and heaps over exec generations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from models.cygwin.replay_result import KINDS, ReplayResult
from models.cygwin.workload import Workload
from sim import plots


def write_figures(folder: Path, workload: Workload, first: Sequence[ReplayResult]) -> None:
    """Write them into `folder` as PNG and SVG, from the first replication of each scheme."""
    for kind in KINDS:
        groups = {
            r.document["scheme"]: list(r.latencies[kind].values())
            for r in first
            if r.latencies[kind]
        }
        if groups:
            figure = plots.latency_ecdf(groups, f"{workload.name}: {kind} latency")
            plots.save(figure, folder / f"{kind}_latency")
    names = [r.document["scheme"] for r in first]
    waits: dict[str, list[float | None]] = {
        "waiting for the child": [r.document["handshake_wait_us"] for r in first]
    }
    plots.save(
        plots.blocked_bars(names, waits, f"{workload.name}: time spent waiting in the hand-over"),
        folder / "handshake_wait",
    )
    series = {r.document["scheme"]: _by_generation(r.heaps) for r in first if r.heaps}
    if series:
        figure = plots.heap_over_generations(series, f"{workload.name}: mean cygheap of new images")
        plots.save(figure, folder / "heap_over_generations")


def _by_generation(heaps: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    """Mean heap [bytes] for each number of execs in the line of descent."""
    sizes: dict[int, list[int]] = defaultdict(list)
    for generation, size_bytes in heaps:
        sizes[generation].append(size_bytes)
    xs = sorted(sizes)
    return [float(x) for x in xs], [sum(sizes[x]) / len(sizes[x]) for x in xs]
