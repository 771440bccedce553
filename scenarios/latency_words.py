"""Words for what `exec_latency` found: who waits, in how many steps, and what the heap adds.

All from the results of all replications.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from models.win32.memory import PAGE_BYTES
from scenarios.spec import Outcome, Replicated, each_in_words, systems_in
from sim.estimators import mean_interval

KINDS = ("fork", "exec", "spawn")
SEEN = ((10.0, 23.0, "seen in 2001"), (134.0, 169.0, "seen in Cygwin 3.x"))  # [KiB], COSTS §1, §i
_ASSUMED = "copy_bandwidth, page_touch"


class Place(NamedTuple):
    """One point of the sweeps. Every field is *input*."""

    heap_kib: int
    fds: int
    sockets: int

    def __str__(self) -> str:
        return f"heap_kib={self.heap_kib} fds={self.fds} sockets={self.sockets}"


def who_waits(results: dict[str, Replicated]) -> Iterator[tuple[str, str]]:
    """Whether the caller of each kind waited for its child, over all points."""
    for kind in KINDS:
        shares = {name: _share(o, f"{kind}_waited", kind) for name, o in results.items()}
        all_of = [short(name) for name, (some, n) in shares.items() if some == n]
        none_of = [short(name) for name, (some, _) in shares.items() if some == 0]
        rest = [f"{short(s)} {a} of {n}" for s, (a, n) in shares.items() if 0 < a < n]
        text = [f"every {kind} waits for its child under " + ", ".join(all_of)] if all_of else []
        text += [f"no {kind} waits under " + ", ".join(none_of)] if none_of else []
        text += [f"some {kind}s wait: " + ", ".join(rest)] if rest else []
        yield "; ".join(text), "structural"


def two_steps(results: dict[str, Replicated], places: Sequence[Place]) -> Iterator[tuple[str, str]]:
    """Which points took two steps."""
    for name, o in results.items():
        steps: dict[bool, set[int]] = {False: set(), True: set()}
        for place in places:
            for system in systems_in(results):
                for kind in KINDS:
                    steps[place.sockets > 0].add(o.value(str(place), f"{kind}_steps", system))
        said = [
            f"{word} a socket open: {_steps(steps[key])}"
            for key, word in ((False, "without"), (True, "with"))
            if steps[key]
        ]
        yield f"{name}, {'; '.join(said)}", "exact"


def smallest_heaps(
    results: dict[str, Replicated], places: Sequence[Place], system: str
) -> Iterator[tuple[str, str]]:
    """Which sizes a scheme cannot have, since its heap begins with more."""
    for name, o in results.items():
        found = {place.heap_kib: o.value(str(place), "fork_heap_bytes", system) for place in places}
        small = sorted(kib for kib, n in found.items() if n > kib * 1024 + PAGE_BYTES)
        if small:
            least = min(found[kib] for kib in small)
            sizes = " and ".join(map(str, small))
            yield (
                f"{name}: its heap has {least:,.0f} bytes where {sizes} KiB are asked for",
                "exact",
            )


def _steps(found: set[int]) -> str:
    words = {0: "no section", 1: "a section in one step", 2: "a section in two steps"}
    return " or ".join(words[n] for n in sorted(found))


def _share(r: Replicated, measure: str, kind: str) -> tuple[int, int]:
    """A count over all points and replications, and how many creations there were."""
    sums = {measure: 0, f"{kind}_n": 0}
    for row in (row for outcome in r.outcomes for row in outcome.rows):
        if row.measure in sums:
            sums[row.measure] += int(row.value or 0)
    return sums[measure], sums[f"{kind}_n"]


def by_heap(
    results: dict[str, Replicated], low: Place, high: Place, system: str
) -> Iterator[tuple[str, str]]:
    """What a MiB costs, and what share of a creation the sizes are that were really seen."""
    between = f"between {low.heap_kib} and {high.heap_kib} KiB"
    count = len(next(iter(results.values())).outcomes)
    for kind in KINDS:
        per_kib = {
            name: [_per_kib(o, kind, low, high, system) for o in r.outcomes]
            for name, r in results.items()
        }
        added = {short(name): mean_interval(found) for name, found in per_kib.items()}
        text = f"what a MiB of heap adds to a median {kind} on {system}, {between}"
        yield f"{text}: {each_in_words(added, 1024, 'ms')} ({_ASSUMED})", "assumed"
        shares = [
            _shares(o, kind, low, system, slope)
            for name, r in results.items()
            for o, slope in zip(r.outcomes, per_kib[name], strict=True)
        ]
        shares = [share for share in shares if share]
        for i, (*_, word) in enumerate(SEEN if shares else ()):
            least, most = (f(s[2 * i + k] for s in shares) for k, f in ((0, min), (1, max)))
            often = "1 replication" if count == 1 else f"{count} replications"
            yield (
                f"of a median {kind} on {system} the sizes {word} are {least:.1%} to {most:.1%}"
                f" (all schemes, {often}; straight line {between}; {_ASSUMED})",
                "assumed",
            )


def _per_kib(o: Outcome, kind: str, low: Place, high: Place, system: str) -> float:
    """How much longer the median is with a KiB more of heap [ms]."""
    sizes = [o.value(str(p), f"{kind}_heap_bytes", system) for p in (low, high)]
    return more(o, kind, low, high, system) * 1024 / float(sizes[1] - sizes[0])


def _shares(o: Outcome, kind: str, low: Place, system: str, per_kib: float) -> list[float]:
    """What share of the median the heap is at the sizes in SEEN; none where nothing takes time."""
    size = o.value(str(low), f"{kind}_heap_bytes", system)
    rest = o.value(str(low), f"{kind}_p50", system) / 1000 - per_kib * size / 1024
    if rest <= 0 and per_kib <= 0:
        return []
    return [per_kib * kib / (rest + per_kib * kib) for *band, _ in SEEN for kib in band]


def more(o: Outcome, kind: str, a: Place, b: Place, system: str) -> float:
    """How much longer the median at `b` is [ms]."""
    took = [float(o.value(str(p), f"{kind}_p50", system)) for p in (a, b)]
    return (took[1] - took[0]) / 1000


def short(scheme: str) -> str:
    """A scheme's name for a narrow column."""
    return scheme.replace("shared-memory", "shared")
