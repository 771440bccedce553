"""How long creations of a replay take where some have not returned: cut off, or blocked for ever.

A run that `--until` cuts leaves creations that have lasted so long and no longer; product-limit
estimation counts them as that (the horizon is set in advance and does not depend on how long the
last one takes).  One that is blocked has no duration and stays apart.  The quantiles carry no
interval, since creations of one run wait for each other; in how many replications one was blocked
carries Wilson's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from models.cygwin.replay_result import KINDS, ReplayResult
from scenarios.cli_output import print_wrapped
from sim.censoring import durations
from sim.estimators import proportion_interval


def document(results: Sequence[ReplayResult], names: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each scheme and kind of which some creation never returned."""
    rows = []
    for name in names:
        runs = [r for r in results if r.document["scheme"] == name]
        for kind in KINDS:
            if any(value is None for r in runs for value in r.latencies[kind].values()):
                rows.append({"scheme": name, "kind": kind, **_durations(runs, kind)})
    return rows


def _durations(runs: Sequence[ReplayResult], kind: str) -> dict[str, Any]:
    came = [value for r in runs for value in r.latencies[kind].values() if value is not None]
    cut = [value for r in runs for value in r.cut_us[kind]]
    never = [_blocked(r, kind) for r in runs]
    found = durations(came, cut, sum(never))
    held = proportion_interval(sum(n > 0 for n in never), len(runs))
    return {
        "replications": len(runs),
        "came": found.came,
        "cut": found.cut,
        "blocked": sum(never),
        "blocked_in": {"share": held.share, "ci95": [held.low, held.high]},
        "quantiles_us": {name: one.value for name, one in found.quantiles_us.items()},
    }


def _blocked(run: ReplayResult, kind: str) -> int:
    """Creations that did not return though nothing cut the run."""
    return sum(value is None for value in run.latencies[kind].values()) - len(run.cut_us[kind])


def print_durations(rows: Sequence[dict[str, Any]]) -> None:
    """A line for each row; nothing where every creation returned."""
    for line in _lines(rows):
        print_wrapped(line, "  ")


def _lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if rows:
        yield ""
    for row in rows:
        quantiles = ", ".join(
            f"{name} {'not reached' if us is None else f'{us / 1000:.3g} ms'}"
            for name, us in row["quantiles_us"].items()
        )
        yield (
            f"{row['scheme']}, {row['kind']}: {row['came']} returned, {row['cut']} cut off, "
            f"{row['blocked']} blocked for ever; {quantiles} (of those not blocked, product-limit)"
        )
