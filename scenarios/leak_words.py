"""Words for what `leak_growth` found: cells, labels and sentences, from the results alone."""

from __future__ import annotations

from collections.abc import Iterator

from models.cygwin.cygheap.heap_layout import HeapLayout
from models.cygwin.cygheap.layout import Era
from models.cygwin.exec_chain import SHAPES, TAGGED, UNTAGGED
from scenarios.leak_chains import FREES, HEADS_MOVED, SHOWN, WALK_MENDED, at_exec, at_freed
from scenarios.spec import Replicated


def label(outcome: Replicated, era: HeapLayout, tag: str, shape: str) -> str:
    """A line's name in a figure."""
    dead = outcome.value(at_exec(era.name, tag, shape), "dies_at_exec")
    return f"{era.name}, {shape} argv" + (f", dies at exec {dead}" if dead else "")


def series(outcome: Replicated, at: str) -> tuple[list[float], list[float | None]]:
    """Number of the exec, and the heap it handed over [KiB]."""
    points = [row.point for row in outcome.rows if row.point.startswith(f"{at} exec=")]
    sizes: list[float | None] = [outcome.value(x, "cygheap_bytes") / 1024 for x in points]
    return [float(x.rpartition("=")[2]) for x in points], sizes


def bars(outcome: Replicated, era: HeapLayout) -> list[tuple[str, float]]:
    """What grows or dies, a bar each, and one bar for all the rest."""
    found = []
    for freed, text in FREES.items():
        at = at_freed(era.name, freed)
        dead, by_one = outcome.value(at, "dies_at_exec"), outcome.value(at, "growth_bytes_per_exec")
        if dead or by_one:
            dies = f", dies at exec {dead}" if dead else ""
            found.append((f"{era.name}: {text.removesuffix(' (*)')}{dies}", float(by_one)))
    if len(found) == len(FREES):
        return found
    rest = "any of them" if not found else "all else"
    return [*found, (f"{era.name}: {rest}", 0.0)]


def sizes(outcome: Replicated, era: HeapLayout, tag: str, shape: str, execs: int) -> list[str]:
    """A row of the table: the heap after some execs, and its growth."""
    at = at_exec(era.name, tag, shape)
    known = {row.point for row in outcome.rows if row.measure == "cygheap_bytes"}
    points = [f"{at} exec={i}" for i in (*SHOWN, execs)]
    cells = [outcome.value(x, "cygheap_bytes") if x in known else None for x in points]
    dead = outcome.value(at, "dies_at_exec")
    by_one = f"dies {dead}" if dead else f"{outcome.value(at, 'growth_bytes_per_exec'):,.0f}"
    short = {"untagged-old-app": "old app"}.get(tag, tag)
    return [
        f"{era.name} {short}, {shape}",
        *("" if c is None else f"{c:,}" for c in cells),
        by_one,
    ]


def loss(outcome: Replicated, era: HeapLayout, freed: str) -> str:
    """What one heap loses at an exec; `!` marks lists that are damaged."""
    at = at_freed(era.name, freed)
    dead = outcome.value(at, "dies_at_exec")
    if dead:
        return f"dies {dead}"
    damaged = " !" if outcome.value(at, "free_blocks_in_two_lists") else ""
    return f"{outcome.value(at, 'growth_bytes_per_exec'):,.0f}{damaged}"


def about_tags(outcome: Replicated, era: HeapLayout) -> Iterator[tuple[str, str]]:
    """What tagging does for the chains of one heap, and when its reserve is gone without."""
    words = []
    for shape in SHAPES:
        at = at_exec(era.name, TAGGED, shape)
        by_one = outcome.value(at, "growth_bytes_per_exec")
        if outcome.value(at, "dies_at_exec"):
            words.append(f"with {shape} argv it {_death(outcome, at)}")
        elif by_one:
            words.append(f"with {shape} argv it grows by {by_one:,.0f} bytes an exec")
        else:
            words.append(f"with {shape} argv it stays as it is")
    yield f"{era.name}, tagged: {'; '.join(words)}", "exact"
    at = at_exec(era.name, UNTAGGED, "constant")
    full = outcome.value(at, "execs_until_full")
    yield (
        f"{era.name}, untagged: {outcome.value(at, 'growth_bytes_per_exec'):,.0f} bytes an exec; "
        f"the reserve of {era.reserve_bytes:,} bytes carries {full:,} execs",
        "exact",
    )


def about_frees(outcome: Replicated, era: HeapLayout) -> str:
    """Which frees cost something in one heap."""
    words = []
    for freed, text in FREES.items():
        at = at_freed(era.name, freed)
        by_one = outcome.value(at, "growth_bytes_per_exec")
        if outcome.value(at, "dies_at_exec"):
            words.append(f"{text}: {_death(outcome, at)}")
            continue
        if by_one:
            first = ", ".join(lost_words(outcome, at)[:2])
            words.append(f"{text}: {by_one:,.0f} bytes an exec ({first})")
        if outcome.value(at, "free_blocks_in_two_lists"):
            words.append(f"{text}: lists damaged, a free block is in two (!)")
    where, walk = "in the heap", "takes a fresh block of the smallest class for a free one"
    if isinstance(era, Era):
        where = "in the heap" if era.buckets_in_header else "in the DLL's data"
        walk = "takes the last free block for one in use" if era.walk_frees_tails else "is mended"
    found = "; ".join(words) or "whatever an image frees, nothing is lost"
    never = " (never was)" if era in (HEADS_MOVED, WALK_MENDED) else ""
    return f"{era.name}{never}, list heads {where}, walk that {walk}: {found}"


def lost_words(outcome: Replicated, at: str) -> list[str]:
    """Lost blocks: how many of what."""
    found = []
    for row in outcome.rows:
        if row.measure == "lost_bytes" and row.point.startswith(f"{at} lost="):
            label, size = row.point.removeprefix(f"{at} lost=").split(" size=")
            count = int(outcome.value(row.point, row.measure)) // int(size)
            found.append(f"{count:,} {label} of {int(size):,} bytes")
    return found


def _death(outcome: Replicated, at: str) -> str:
    fault = outcome.value(at, "fault_address")
    where = "" if fault is None else f", at address {fault:#x}"
    return f"dies while exec {outcome.value(at, 'dies_at_exec')} is prepared{where}"
