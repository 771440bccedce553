"""What `heap_growth_race` says of its maps: rows of its table, sentences, and lanes.

A map has, for one way to make a child with one guard, what each size in each step came to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from models.cygwin.schemes.guarded import HELD, NONE, READ, STORED
from scenarios.creation_ways import KINDS, WAYS
from scenarios.messages import general, lettered
from scenarios.race_cases import SOUND, Case
from scenarios.spec import Replicated
from sim.plots_lanes import Lane, Span

PAGE_END = "page-end"  # no guard either
_ENOUGH = 3  # processors: for the caller, its other thread and the child
NATIVE_SECONDS = 2.0  # how long the native program of a guarded spawn runs -- chosen

_SHORT = {"WaitForMultipleObjects": "WaitForMultiple", "WaitForSingleObject": "WaitForSingle"}
_GUARDS = {
    HELD: "the lock held until all is handed over",
    STORED: "the end of the heap copied with it",
    READ: "the lock held until the child has read",
}


class Map(NamedTuple):
    """One way with one guard. Every field is *output*; a latency is None if it never ends.

    by_bytes: size asked for -> what it came to, in the order of the steps
    called_us: when the child is asked for
    alone_us: latency without growth
    """

    by_bytes: dict[int, tuple[Case, ...]]
    called_us: float
    alone_us: float | None


class Stretch(NamedTuple):
    """Steps that follow each other and come to the same."""

    outcome: str
    cases: tuple[Case, ...]

    @property
    def first(self) -> str:
        """The call that it begins with, and whose it is."""
        step = self.cases[0].planned
        return f"{step.who} {_SHORT.get(step.call, step.call or 'begins')}"

    @property
    def ms(self) -> float:
        """How long all its steps last."""
        return sum(case.planned.end_us - case.planned.start_us for case in self.cases) / 1000


def key(system: str, way: str, guard: str) -> str:
    """Under which name an outcome keeps a map."""
    return f"{system} {way} {guard}"


def short(name: str) -> str:
    """A scheme's name where there is little room."""
    return name.replace("shared-memory", "shared")


def letters(results: dict[str, Replicated]) -> dict[str, str]:
    """A letter for each bad outcome, in the order in which they are met."""
    return lettered(
        case.outcome
        for o in results.values()
        for maps in (found.drawn for found in o.outcomes)
        for one in maps.values()
        for some in one.by_bytes.values()
        for case in some
        if case.outcome != SOUND
    )


def stretch_rows(o: Replicated, system: str, known: dict[str, str]) -> Iterator[list[str]]:
    """Rows of the bad stretches without a guard in the first replication."""
    good = []
    for way in WAYS:
        alike: dict[tuple[str, ...], list[int]] = {}
        for n, some in _sizes(o, system, way, NONE).items():
            for one in _bad_stretches(some):
                cells: tuple[str, ...] = (
                    one.first,
                    str(len(one.cases)),
                    f"{one.ms:.2f}",
                    known[one.outcome],
                )
                alike.setdefault(cells, []).append(n)
        if not alike:
            good.append(way)
        for cells, sizes in alike.items():
            yield [f"  {way}", " ".join(map(str, sizes)), *cells]
    if good:
        count = sum(len(some) for way in good for some in _sizes(o, system, way, NONE).values())
        yield [f"  {'all' if len(good) == len(WAYS) else 'other'} ways", "", "", str(count), "",
               SOUND]  # fmt: skip


def guard_row(o: Replicated, system: str, guard: str) -> list[str]:
    """A guard in one row, see `about_columns`."""
    cases = [case for way in WAYS for case in _all(o, way, guard, system)]
    bad = sum(case.outcome != SOUND for case in cases)
    waits = "/".join(f"{longest_wait_ms(o, kind, guard, system):.1f}" for kind in KINDS)
    longer = "/".join(f"{_longer_ms(o, kind, guard, system):.1f}" for kind in KINDS)
    native = "" if guard not in (NONE, READ) else f"{_native_ms(o, guard, system):,.0f}"
    return [f"  {guard}", f"{bad}/{len(cases)}", waits, native, longer, ""]


def about_columns() -> str:
    """What the columns of the guards are."""
    return (
        "guards: the longest wait of the other thread, and what the creation takes longer at most, "
        f"for {', '.join(KINDS)} [ms]; native: _P_NOWAIT of a program without Cygwin that runs "
        f"{NATIVE_SECONDS:g} s [ms]"
    )


def longest_wait_ms(o: Replicated, kind: str, guard: str, system: str = "") -> float:
    """The longest wait of the other thread for the lock, over all moments and sizes [ms]."""
    every = (c.waited_us for way in _ways(kind) for c in _all(o, way, guard, system))
    return max((us for us in every if us is not None), default=0.0) / 1000


def about_windows(
    name: str, o: Replicated, system: str, processors: int
) -> Iterator[tuple[str, str]]:
    """Where without a guard growth is bad, and that it is nowhere else.

    With less than three processors it is a matter of costs who gets one when.
    """
    parts = []
    for way in WAYS:
        some = [case for found in _sizes(o, system, way, NONE).values() for case in found]
        bad = [case for case in some if case.outcome != SOUND]
        if bad:
            last = max(case.planned.number for case in bad)
            after = next((c.planned for c in some if c.planned.number > last), None)
            first = min(bad, key=lambda case: case.planned.number).planned
            until = "to its end" if after is None else f"to {after.who} {after.call}"
            parts.append(f"{way} from {first.who} {first.call or 'begins'} {until}")
    words = "; ".join(parts) or "none"
    yield (
        f"{name} on {system}, of the steps that were tried growth is bad in: {words}",
        "structural" if processors >= _ENOUGH else "assumed",
    )
    said = sorted({c.said for way in WAYS for c in _all(o, way, NONE, system) if c.said})
    if said:
        yield f"{name} on {system}, a user sees: {' | '.join(said)}", "exact"


def about_page_end(name: str, o: Replicated, system: str) -> Iterator[tuple[str, str]]:
    """What a heap that ends with a page when its end is noted makes of the same."""
    by_outcome: dict[tuple[str, str], list[str]] = {}
    for way in WAYS:
        for case in _all(o, way, PAGE_END, system):
            if case.outcome != SOUND:
                by_outcome.setdefault((case.outcome, general(case.said)), []).append(way)
    words = [
        f"{', '.join(dict.fromkeys(ways))}: {outcome} ({said})"
        for (outcome, said), ways in by_outcome.items()
    ]
    if words:
        yield f"{name} on {system}, where the heap ends with a page: {'; '.join(words)}", "exact"


def about_late(
    name: str, o: Replicated, systems: Sequence[str], sizes: Sequence[int]
) -> Iterator[tuple[str, str]]:
    """Growth between the copy and the note of the end, in the schemes that have that order."""
    if not name.startswith("shared-memory"):
        return
    parts = []
    for system in systems:
        found = [f"{n} bytes {o.value(f'late bytes={n}', 'outcome', system)}" for n in sizes]
        parts.append(f"on {system} {', '.join(found)}")
    yield (
        f"{name}, in one step, growth in the few instructions between the copy and the note of the "
        f"heap's end, which no step holds: {'; '.join(parts)}",
        "exact",
    )


def about_sizes(name: str, o: Replicated) -> Iterator[tuple[str, str]]:
    """What the size has to do with it: whether a free list serves it."""
    by_size: dict[int, set[str]] = {}
    for found in o.outcomes:
        for at, one in found.drawn.items():
            if at.endswith(f" {NONE}"):
                for n, some in one.by_bytes.items():
                    by_size.setdefault(n, set()).update(c.outcome for c in some if c.found)
    alike: dict[tuple[str, ...], list[int]] = {}
    for n, outcomes in by_size.items():
        alike.setdefault(tuple(sorted(outcomes)), []).append(n)
    words = [
        f"{' and '.join(map(str, sizes))} bytes: {' | '.join(outcomes) or 'sound at every moment'}"
        for outcomes, sizes in alike.items()
    ]
    yield f"{name}, by size: {'; '.join(words)}", "exact"


def about_guards(name: str, o: Replicated, guards: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What each guard leaves, and what it costs."""
    without = sum(c.outcome != SOUND for way in WAYS for c in _all(o, way, NONE))
    for guard in guards:
        if guard == NONE:
            continue
        cases = [case for way in WAYS for case in _all(o, way, guard)]
        bad = [case for case in cases if case.outcome != SOUND]
        left = " | ".join(sorted({case.outcome for case in bad}))
        words = (
            f"{len(bad)} of {len(cases)} allocations still bad, {left}" if bad else "none is bad"
        )
        before = f" (without a guard {without})" if without else " (none was without it)"
        yield f"{name}, {_GUARDS[guard]}: {words}{before}", "structural"
        waits = ", ".join(f"{kind} {longest_wait_ms(o, kind, guard):.2f}" for kind in KINDS)
        longer = ", ".join(f"{kind} {_longer_ms(o, kind, guard):.2f}" for kind in KINDS)
        yield (
            f"{name}, {guard}: the other thread waits at most {waits} ms, the creation takes at "
            f"most {longer} ms longer (create_process, loader, init, copy_bandwidth)",
            "assumed",
        )


def about_native(name: str, o: Replicated, systems: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the last guard does to a spawn of a program without Cygwin in the background."""
    free = [_native_ms(o, NONE, system) for system in systems]
    guarded = [_native_ms(o, READ, system) for system in systems]
    if min(guarded) >= NATIVE_SECONDS * 1000 > max(free):
        yield (
            f"{name}: a parent that keeps the lock until the child has read waits for a program "
            "without Cygwin, which never reads, until that ends: _P_NOWAIT takes "
            f"{max(guarded):,.0f} ms instead of {max(free):,.1f}, and the complaint is back",
            "structural",
        )


def spans(o: Replicated, system: str) -> tuple[list[Lane], list[Span]]:
    """Lanes of the map without a guard: one for each way and size, with what is bad in it."""
    rows: list[Lane] = []
    marks: list[Span] = []
    for way in WAYS:
        one = o.outcomes[0].drawn.get(key(system, way, NONE))
        if one is None:
            continue
        for n, some in one.by_bytes.items():
            if not some:  # no step takes any time
                continue
            end_ms = (some[-1].planned.end_us - one.called_us) / 1000
            rows.append(Lane(f"{n} B", 0.0, end_ms, way))
            for stretch in _bad_stretches(some):
                start, end = stretch.cases[0].planned.start_us, stretch.cases[-1].planned.end_us
                times = ((us - one.called_us) / 1000 for us in (start, end))
                kind = ", ".join(dict.fromkeys((_word(stretch, 0), _word(stretch, -1))))
                marks.append(Span(len(rows) - 1, kind, *times))
    return rows, marks


def _word(stretch: Stretch, place: int) -> str:
    return stretch.cases[0].found[place]


def _bad_stretches(some: Sequence[Case]) -> list[Stretch]:
    found = (Stretch(words, tuple(of)) for words, of in groupby(some, lambda case: case.outcome))
    return [stretch for stretch in found if stretch.outcome != SOUND]


def _sizes(o: Replicated, system: str, way: str, guard: str) -> dict[int, tuple[Case, ...]]:
    """The cases of one map of the first replication, by size; none if its run failed."""
    one: Map | None = o.outcomes[0].drawn.get(key(system, way, guard))
    return {} if one is None else one.by_bytes


def _all(o: Replicated, way: str, guard: str, system: str = "") -> Iterator[Case]:
    """The cases of a way and guard in all replications, on one system or on all."""
    for one in _maps(o, way, guard, system):
        for some in one.by_bytes.values():
            yield from some


def _maps(o: Replicated, way: str, guard: str, system: str = "") -> Iterator[Map]:
    for found in o.outcomes:
        for at, one in found.drawn.items():
            if at.endswith(f" {way} {guard}") and at.startswith(system):
                yield one


def _ways(kind: str) -> list[str]:
    return [way for way in WAYS if way.partition(",")[0] == kind]


def _longer_ms(o: Replicated, kind: str, guard: str, system: str = "") -> float:
    """What the guard adds to a creation at most, growth at the same moment or none [ms]."""
    added = []
    for way in _ways(kind):
        with_guard, without = _maps(o, way, guard, system), _maps(o, way, NONE, system)
        for one, bare in zip(with_guard, without, strict=True):
            pairs = [(one.alone_us, bare.alone_us)]
            for n, some in one.by_bytes.items():
                others = zip(some, bare.by_bytes[n], strict=True)
                pairs += [(case.latency_us, other.latency_us) for case, other in others]
            added += [us - them for us, them in pairs if us is not None and them is not None]
    return max(added, default=0.0) / 1000


def _native_ms(o: Replicated, guard: str, system: str) -> float:
    value = o.value(f"native guard={guard}", "spawn_us", system)
    return float("inf") if value is None else value / 1000
