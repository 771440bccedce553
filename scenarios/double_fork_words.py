"""Words and lanes for what `double_fork` found, from the results alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.cygwin.exec_pipe import ASKED, CANCELLED, STOPPED, TERMINATED
from scenarios.double_fork_machines import STATES, WAYS
from scenarios.spec import Replicated, in_words
from sim.estimators import mean_interval
from sim.plots_lanes import Lane, Span

EXITS, FOR_EVER, A_WHILE = "exits", "held for ever", "held until the other ends"
_LOCK, _IO = STATES["shielded"], STATES["io"]
_NUMBERS = {way: i for i, way in enumerate(WAYS, 1)}


def at_way(kind: str, way: str) -> str:
    """The point of a way on a machine in the results."""
    return f"processor={kind} way={_NUMBERS[way]}"


def at_moment(kind: str, way: str, number: int) -> str:
    """The point of one run."""
    return f"{at_way(kind, way)} moment={number}"


def word(words: str) -> str:
    """Words as one word of a point."""
    return words.replace(" ", "-")


def cells(r: Replicated, at: str, moments: int) -> list[str]:
    """Cells of a way: shares of held moments, what the thread did then, length of an exit."""
    shares = [100 * _total(r, at, m) / moments / len(r.outcomes) for m in ("held", "held_for_ever")]
    where = [w for w in STATES.values() if _total(r, _inside(at, w), "held")]
    took = [v for v in r.values(at, "exit_mean_us") if v is not None]
    mean = f"{sum(took) / len(took):.4g} us" if took else "-"
    return [*(f"{share:.3g} %" for share in shares), ", ".join(where) or "-", mean]


def moments(r: Replicated, kind: str, xs: Sequence[float]) -> tuple[list[Lane], list[Span]]:
    """Lanes of the first replication: what the thread is doing, and how each way's exit goes."""
    group = "how the exit goes"
    rows = [Lane("waiting thread", 0.0, xs[-1], "what the exit finds")]
    rows += [Lane(text, 0.0, xs[-1], group) for text in WAYS.values()]
    spans = list(_runs(r, kind, TERMINATED, "thread", xs, 0, (_LOCK, _IO)))
    for lane, way in enumerate(WAYS, 1):
        spans += _runs(r, kind, way, "exit", xs, lane, (FOR_EVER, A_WHILE))
    return rows, spans


def _runs(
    r: Replicated, kind: str, way: str, measure: str, xs: Sequence[float], lane: int,
    shown: tuple[str, ...],
) -> Iterator[Span]:  # fmt: skip
    """A span for each row of moments with the same value, of the values that are shown."""
    half = (xs[1] - xs[0]) / 2
    values = [r.values(at_moment(kind, way, i), measure)[0] for i in range(len(xs))]
    begin = 0
    for i in range(1, len(xs) + 1):
        if i == len(xs) or values[i] != values[begin]:
            if values[begin] in shown:
                low, high = max(0.0, xs[begin] - half), min(xs[-1], xs[i - 1] + half)
                yield Span(lane, values[begin], low, high)
            begin = i


def sentences(r: Replicated, moments: int, longest_us: float) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    yield from _terminated(r)
    yield from _stopped(r)
    yield from _cancelled(r)
    yield from _places(r, moments)
    for kind, way in (("emulated", TERMINATED), ("emulated", CANCELLED), ("native", CANCELLED)):
        values = [float(v) for v in r.values(at_way(kind, way), "held")]
        mean = in_words(mean_interval(values), 100 / moments, "%")
        yield (
            f"{kind}, {WAYS[way]}: {mean} of the moments in the first {longest_us:g} us after "
            "the fork are held",
            "assumed",
        )
    if _total(r, at_way("emulated", TERMINATED), "parent_held"):
        yield (
            "whoever waits for the middle process is held with it, for its end of the pipe stays "
            "open; the background process runs on and ends",
            "structural",
        )


def _terminated(r: Replicated) -> Iterator[tuple[str, str]]:
    """Whether an exit is held exactly where the thread has the lock."""
    at = at_way("emulated", TERMINATED)
    held, there = (_total(r, _inside(at, _LOCK), m) for m in ("held", "moments"))
    if held and held == there == _total(r, at, "held") == _total(r, at, "lock_of_a_dead_thread"):
        yield (
            "TerminateThread at once holds the exit for ever if the thread has the emulator's "
            f"lock ({there} of {there} moments), and at no other moment: the lock is no kernel "
            "object, so its owner's end does not release it",
            "structural",
        )
    if not _total(r, at_way("native", TERMINATED), "held"):
        yield "without an emulator TerminateThread at once holds no exit", "structural"
    asked = _inside(at_way("emulated", ASKED), _LOCK)
    held, there = (_total(r, asked, m) for m in ("held", "moments"))
    if held and held == there:
        yield (
            f"SuspendThread alone does not help ({there} of {there} moments): the thread goes on "
            "until it leaves the emulator, and is terminated before",
            "structural",
        )


def _stopped(r: Replicated) -> Iterator[tuple[str, str]]:
    """What the repair that stayed changes."""
    if any(_total(r, at_way(kind, STOPPED), "held") for kind in ("emulated", "native")):
        return
    there = _total(r, _inside(at_way("emulated", STOPPED), _LOCK), "moments")
    yield (
        "with GetThreadContext before TerminateThread no exit is held, with the lock taken "
        f"neither ({there} moments): it returns when the thread has given the lock back",
        "structural",
    )


def _cancelled(r: Replicated) -> Iterator[tuple[str, str]]:
    """Where cancelling goes wrong."""
    for kind in ("emulated", "native"):
        at = at_way(kind, CANCELLED)
        held, there = (_total(r, _inside(at, _IO), m) for m in ("held", "moments"))
        if held and held == _total(r, at, "held") and not _total(r, at, "held_for_ever"):
            yield (
                f"{kind}: CancelSynchronousIo says that it worked where it ended another call "
                "than the ReadFile; if the thread then reads before the pipe is closed, "
                "CloseHandle waits for it until the background process ends "
                f"({held} of {there} moments in such a call, none elsewhere)",
                "structural",
            )


def _places(r: Replicated, moments: int) -> Iterator[tuple[str, str]]:
    """The places in the thread's life that differ for the exit, and which of them are held."""
    found: dict[tuple[int, str], set[str]] = {}
    for i in range(moments):
        at = at_moment("emulated", TERMINATED, i)
        seen = (r.values(at, m) for m in ("pieces_begun", "thread", "exit"))
        for pieces, state, end in zip(*seen, strict=True):
            found.setdefault((pieces, state), set()).add(end)
    held = [place for place, ends in found.items() if FOR_EVER in ends]
    mixed = sum(len(ends) > 1 for ends in found.values())
    inside = sum(state == _LOCK for _, state in held)
    each = f"{mixed} of them end now so, now so" if mixed else "each always ends alike"
    yield (
        f"emulated, TerminateThread at once: the exit came at {len(found)} different places of the "
        "thread's life (pieces of code begun, and what it was doing); "
        f"{len(held)} of them are held, {inside} of those with the lock; {each}",
        "assumed" if mixed else "structural",
    )


def _inside(at: str, words: str) -> str:
    return f"{at} thread={word(words)}"


def _total(r: Replicated, at: str, measure: str) -> int:
    """Sum over the replications."""
    return int(sum(r.values(at, measure)))
