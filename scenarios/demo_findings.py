"""What the demonstration's runs show, in sentences: each is taken from the results it speaks of.

A finding whose results say otherwise says so in other words; one whose results are not there (a run
that did not finish, a scheme that was not run) is left out.  Labels: *exact*, counted bytes that no
cost touches; *structural*, follows from the handles that are waited on, whatever the costs;
*assumed*, rests on costs of the profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

OLD = "blocking"
_SAME = 0.05  # relative difference up to which two means count as the same -- chosen
_MIB = 1 << 20

Document = Mapping[str, Any]
Finding = tuple[str, str]  # label, sentence


def findings(
    background: Document, spawning: Document, native: Document, plain: Document,
    nt: Document, nine: Document,
) -> Iterator[Finding]:  # fmt: skip
    """All findings. nt, nine: one trace under one scheme with a section, on NT and on 9x."""
    yield from of_fork_and_exec(plain)
    yield from of_spawn(background)
    yield from of_native_compilers(native)
    yield from of_reading(spawning)
    yield from of_lost_heap(plain)
    yield from of_copies(nt, nine)


def of_fork_and_exec(plain: Document) -> Iterator[Finding]:
    """Do fork and exec take the same time under all schemes where nothing is spawned?"""
    runs = _finished(plain)
    if len(runs) < 2 or any(run["spawns"] for run in runs):
        return
    for kind in ("fork", "exec"):
        means = {run["scheme"]: run[f"{kind}_latency_us"]["mean"] for run in runs}
        if any(mean is None for mean in means.values()):
            continue
        low, high = min(means.values()), max(means.values())
        apart = high / low - 1 if low else 0.0
        fastest, slowest = (min(means, key=means.__getitem__), max(means, key=means.__getitem__))
        if apart <= _SAME:
            what = f"takes the same time under all schemes, within {apart:.1%}"
        else:
            what = f"takes {apart:.1%} longer under {slowest} than under {fastest}"
        yield "assumed", f"{plain['trace']['name']}: {kind} {what} (mean {low / 1e3:.1f} ms)"


def of_spawn(background: Document) -> Iterator[Finding]:
    """Which schemes hold the caller of spawn while a native program runs?"""
    at = "way=nowait seconds=0.8"
    away = {
        row["scheme"]: row
        for row in background["results"]
        if (row["point"], row["measure"]) == (at, "prompt_away_us")
    }
    held = [n for n, row in away.items() if row["censored"] or (row["value"] or 0.0) >= 800_000]
    free = {n: row["value"] for n, row in away.items() if n not in held}
    for name in held:
        value = away[name]["value"]
        back = "never" if value is None else f"after {value / 1e3:.0f} ms"
        yield (
            "structural",
            f"{name}: spawn holds its caller while a native program of 800 ms runs (back {back})",
        )
    if free:
        low, high = min(free.values()) / 1e3, max(free.values()) / 1e3
        span = f"{low:.1f} ms" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} ms"
        yield "assumed", f"{', '.join(free)}: spawn of that program returns after {span}"


def of_native_compilers(native: Document) -> Iterator[Finding]:
    """How much longer does a make wait whose compilers are native?"""
    runs = {run["scheme"]: run for run in _finished(native)}
    old = runs.pop(OLD, None)
    if old is None:
        return
    for name, run in runs.items():
        a, b = old["handshake_wait_us"], run["handshake_wait_us"]
        if b <= 0:
            continue
        yield (
            "assumed",
            f"{native['trace']['name']} with native compilers: under {OLD} it waits "
            f"{a / 1e6:.1f} s for children in the hand-over, {a / b:.1f} times as long as under "
            f"{name} ({b / 1e6:.1f} s)",
        )


def of_reading(spawning: Document) -> Iterator[Finding]:
    """Who reads the heap out of the parent?"""
    read = {r["scheme"]: r["read_process_memory_bytes"] for r in _finished(spawning)}
    none = [name for name, size in read.items() if not size]
    for name, size in read.items():
        if size:
            yield "exact", f"{name} reads {size / _MIB:.1f} MiB out of living parents"
    if none:
        verb = "reads" if len(none) == 1 else "read"
        yield "exact", f"{', '.join(none)} {verb} nothing out of a parent"


def of_lost_heap(plain: Document) -> Iterator[Finding]:
    """Which heaps lose blocks for good over chains of exec?"""
    lost = {run["scheme"]: run["cygheap"]["leaked_bytes"] for run in _finished(plain)}
    none = [name for name, size in lost.items() if not size]
    for name, size in lost.items():
        if size:
            yield (
                "exact",
                f"{name}: the heaps of {plain['trace']['name']} end with {size / _MIB:.1f} MiB "
                "that nothing will use again",
            )
    if none:
        yield "exact", f"{', '.join(none)}: no heap has lost anything for good"


def of_copies(nt: Document, nine: Document) -> Iterator[Finding]:
    """How often is the heap copied, on NT and on 9x?"""
    here, there = _finished(nt), _finished(nine)
    if len(here) != 1 or len(there) != 1 or here[0]["scheme"] != there[0]["scheme"]:
        return
    a, b = (run["bytes_copied"] - run["write_process_memory_bytes"] for run in (here[0], there[0]))
    if a <= 0:
        return
    yield (
        "exact",
        f"{here[0]['scheme']}: to hand over the heaps of {nt['trace']['name']} takes "
        f"{a / _MIB:.1f} MiB of copying on NT and {b / _MIB:.1f} MiB on 9x, "
        f"{b / a:.2f} times as much",
    )


def _finished(document: Document) -> list[Document]:
    """The first replication of each scheme, if it finished."""
    return [
        run for run in document["runs"] if run["outcome"] == "finished" and run["replication"] == 0
    ]
