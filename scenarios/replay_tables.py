"""A replay's document as text that fits 80 columns: one column a scheme."""

from __future__ import annotations

from typing import Any

from scenarios.cli_output import print_limits, print_table, print_wrapped
from scenarios.left_text import left_lines
from scenarios.precision import in_words
from scenarios.replay_durations import print_durations

_COUNTS = ("processes", "forks", "execs", "spawns", "failed_execs", "creations")
_MOST_BLOCKED = 8
_VFORK = {"era": "a vfork is as the scheme's time had it", "fork": "a vfork is a fork"}


def print_report(document: dict[str, Any]) -> None:
    """Print the runs side by side, then who is blocked, then the differences."""
    trace = document["trace"]
    print_wrapped(
        f"{trace['name']}: {trace['processes']} processes, {trace['forks']} forks, "
        f"{trace['execs']} execs, {trace['spawns']} spawns"
    )
    print_wrapped(
        f"{document['system']}, profile {document['profile']}, {document['processors']} "
        f"processors, cpu_scale {document['cpu_scale']:g}, seed {document['seed']}"
    )
    print(f"work {trace['work']}; {_VFORK[document['vfork']]}")
    print()
    first = [run for run in document["runs"] if run["replication"] == 0]
    heads = ["", *(run["scheme"] for run in first)]
    print_table(heads, [[name, *(text(run) for run in first)] for name, text in _LINES])
    for run in first:
        _print_blocked(run)
        for failure in run["failures"][:_MOST_BLOCKED]:
            what = f"{failure['pid']} {failure['program']}: {failure['message']}"
            print_wrapped(f"{run['scheme']}: {what}", "  ")
        _print_left(run)
    print_durations(document["durations"])
    _print_differences(document["compare"])
    print_limits(document["limits"])
    if "precision" in document:
        print()
        print_wrapped(in_words(document["precision"]))


def _print_blocked(run: dict[str, Any]) -> None:
    if not run["blocked"]:
        return
    print(f"\n{run['scheme']}: blocked, {len(run['blocked'])} processes wait")
    for entry in run["blocked"][:_MOST_BLOCKED]:
        print(f"  {entry['pid']} {entry['program']} since {entry['since_us'] / 1e6:.3f} s")
        for wait in entry["waits_for"]:
            who = ", ".join(wait["who_could_signal"][:3]) or "nobody"
            what = f"{wait['kind']} {wait['name']}; could be signalled by: {who}"
            print_wrapped(f"    {what}", "      ")
    left = len(run["blocked"]) - _MOST_BLOCKED
    if left > 0:
        print(f"  and {left} more")


def _print_left(run: dict[str, Any]) -> None:
    lines = list(left_lines(run["balance"]))
    if lines:
        print(f"\n{run['scheme']}: left at the end")
    for line in lines:
        print(line)


def _print_differences(rows: list[dict[str, Any]]) -> None:
    """One table for each later scheme; a scheme that never met such a machine is named so."""
    for name in dict.fromkeys(row["b"] for row in rows):
        mine = [row for row in rows if row["b"] == name]
        odd = ", counterfactual" if mine[0]["counterfactual"] else ""
        count = max(row["replications"] for row in mine)
        counted = "1 replication" if count == 1 else f"means over {count} replications"
        print()
        print_wrapped(f"{name} against {mine[0]['a']} ({counted}{odd})")
        print_table(
            ["  measure", "difference", "95 %", "label"], [_difference(row) for row in mine]
        )


def _difference(row: dict[str, Any]) -> list[str]:
    difference = "-"
    if row["mean_difference"] is not None:
        difference = _number(row["mean_difference"], row["unit"], sign=True)
    interval = ""
    if row["ci95"]:
        low, high = (_number(x, row["unit"], sign=True) for x in row["ci95"])
        interval = f"{low} .. {high}"
    name = row["measure"].removesuffix("_us").removesuffix("_bytes")
    return [f"  {name}", difference, interval, row["label"]]


def _number(value: float | None, unit: str, sign: bool = False) -> str:
    if value is None:
        return "-"
    plus = "+" if sign else ""
    if unit == "us":
        return f"{value / 1000:{plus},.2f} ms"
    if abs(value) >= 1 << 20:
        return f"{value / (1 << 20):{plus},.1f} MiB"
    return f"{value:{plus},.0f} B"


def _latency(kind: str, part: str) -> Any:
    def text(run: dict[str, Any]) -> str:
        return _number(run[f"{kind}_latency_us"][part], "us")

    return text


_LINES: list[tuple[str, Any]] = [
    ("outcome", lambda run: run["outcome"]),
    ("makespan", lambda run: f"{run['makespan_us'] / 1e6:,.3f} s"),
    *((name, lambda run, name=name: f"{run[name]:,}") for name in _COUNTS),
    ("real vforks", lambda run: f"{run['vforks']:,}" if run["vfork"] == "real" else "none then"),
    *(
        (f"{kind} {part}", _latency(kind, part))
        for kind in ("fork", "exec", "spawn")
        for part in ("mean", "p50", "p99")
    ),
    ("hand-over wait", lambda run: _number(run["handshake_wait_us"], "us")),
    ("copied", lambda run: _number(run["bytes_copied"], "bytes")),
    ("  ReadProcessMemory", lambda run: _number(run["read_process_memory_bytes"], "bytes")),
    ("  WriteProcessMemory", lambda run: _number(run["write_process_memory_bytes"], "bytes")),
    ("one-step, two-step", lambda run: f"{run['creations_one_step']}, {run['creations_two_step']}"),
    ("cygheap peak", lambda run: _number(run["cygheap"]["peak_bytes"], "bytes")),
    ("cygheaps at exit", lambda run: _number(run["cygheap"]["end_bytes"], "bytes")),
    ("  lost for good", lambda run: _number(run["cygheap"]["leaked_bytes"], "bytes")),
    ("  freed by next exec", lambda run: _number(run["cygheap"]["pending_bytes"], "bytes")),
    ("committed, peak", lambda run: _number(run["committed_peak_bytes"], "bytes")),
    ("left: handles", lambda run: f"{run['balance']['handles']:,}"),
    ("left: committed", lambda run: _number(run["balance"]["committed_bytes"], "bytes")),
]
