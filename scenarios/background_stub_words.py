"""What `background_native` says of its stubs: rows of the table, sentences, and a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from models.cygwin.version import MAX_SIGNAL_WAKES
from scenarios.background_stubs import (
    EXECED,
    FOREGROUND,
    GRANDCHILD,
    KILL,
    SIGNALS_SPAWN,
    SIGNALS_STUB,
    STUB_WAYS,
    TERMINATE,
    Course,
)
from scenarios.spec import Replicated

_SHORT = {SIGNALS_SPAWN: "spawn, signals", SIGNALS_STUB: "stub, signals", KILL: "stub killed",
          TERMINATE: "stub terminated", EXECED: "exec by the shell"}  # fmt: skip
Sentence = Callable[[Replicated, str, float, float], tuple[str, str] | None]


def stub_places(seconds: float) -> dict[str, str]:
    """The points of the results -> which way each is."""
    return {f"way={way} seconds={seconds:g}": way for way in STUB_WAYS}


def stub_rows(results: Mapping[str, Replicated], seconds: float) -> Iterator[list[str]]:
    """A row of the table for each way: how long the prompt is away."""
    for at, way in stub_places(seconds).items():
        yield [_SHORT.get(way, way), f"{seconds:g}", *(_cell(r, at) for r in results.values())]


def stub_conclusions(
    results: Mapping[str, Replicated], seconds: float, signal_ms: float
) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications; schemes that are alike together."""
    for at, way in stub_places(seconds).items():
        alike: dict[tuple[str, str], list[str]] = {}
        for name, r in results.items():
            if "failed" in r.values(at, "outcome"):
                continue
            said = _SENTENCES[way](r, at, seconds, signal_ms)
            if said is not None:
                alike.setdefault(said, []).append(name)
        for (text, label), names in alike.items():
            who = "every scheme" if len(names) == len(results) > 1 else ", ".join(names)
            yield f"{who}: {text}", label


def stub_figure(courses: Mapping[str, Course], title: str) -> Any:
    """Processes as lanes, a group for each way: when the prompt is away, who has the section."""
    from sim.plots_lanes import Lane, Span, lanes

    rows: list[Lane] = []
    spans: list[Span] = []
    for way, course in courses.items():
        if not course.lives:
            continue
        first = len(rows)
        for i, (name, begin, end) in enumerate(course.lives):
            shown = name if name != "sh" else ("shell" if i == 0 else "stub")
            rows.append(Lane(shown, max(begin or 0.0, 0.0), end, _SHORT.get(way, way)))
        spans.append(Span(first, "prompt away", course.away[0] or 0.0, course.away[1]))
        spans += [
            Span(first + i, "has the section", max(begin or 0.0, 0.0), end)
            for i, begin, end in course.sections
        ]
    return lanes(rows, spans, title, "after the program's start [s]")


def _cell(r: Replicated, at: str) -> str:
    if "failed" in r.values(at, "outcome"):
        return "failed"
    away = [value for value in r.values(at, "prompt_away_us") if value is not None]
    return f"{sum(away) / len(away) / 1000:,.1f} ms" if away else "never"


def _holds_for(r: Replicated, at: str, seconds: float) -> bool:
    """Whether the prompt is away for at least so long in each replication."""
    return all(v is None or v >= seconds * 1e6 for v in r.values(at, "prompt_away_us"))


def _foreground(r: Replicated, at: str, seconds: float, signal_ms: float) -> tuple[str, str]:
    held = _holds_for(r, at, seconds)
    words = "for as long as it runs" if held else "for less time than it runs"
    return f"in the foreground a native program keeps the prompt away {words}", "structural"


def _execed(r: Replicated, at: str, seconds: float, signal_ms: float) -> tuple[str, str]:
    held = _holds_for(r, at, seconds)
    words = "stands in for it to its end" if held else "ends before it"
    code = r.value(at, "exit_code")
    return (
        f"a shell that execs a native program itself leaves a stub, which {words} and ends with "
        f"code {code:g}",
        "structural",
    )


def _grandchild(r: Replicated, at: str, seconds: float, signal_ms: float) -> tuple[str, str]:
    waits = _holds_for(r, at, seconds)
    keeps = all(held >= seconds * 1e6 for held in r.values(at, "section_held_us"))
    back = "does not come back before" if waits else "is back long before"
    kept = "keeps the section with the heap as long as it runs" if keeps else "has no section"
    return (
        f"the prompt {back} a program ends that a native one has started; that one {kept}",
        "structural",
    )


def _signals_spawn(
    r: Replicated, at: str, seconds: float, signal_ms: float
) -> tuple[str, str] | None:
    limit_us = MAX_SIGNAL_WAKES * signal_ms * 1000
    away = r.values(at, "prompt_away_us")
    if any(v is None for v in away):
        return "spawn does not come back, whatever signals arrive", "structural"
    if all(v < 2 * signal_ms * 1000 for v in away):
        return "spawn does not wait, so no signal ends a wait", "structural"
    if all(limit_us <= v < seconds * 1e6 for v in away):
        text = (
            f"after {MAX_SIGNAL_WAKES} signals spawn comes back ({limit_us / 1e6:g} s of "
            f"{seconds:g}), and the native program runs on"
        )
        return text, "structural"
    return "spawn comes back when the native program ends, before so many signals", "structural"


def _signals_stub(r: Replicated, at: str, seconds: float, signal_ms: float) -> tuple[str, str]:
    outlives = r.values(at, "native_outlives_us")
    if all(v is not None and v > 0 for v in outlives):
        return (
            f"after {MAX_SIGNAL_WAKES} signals a stub ends with code "
            f"{r.value(at, 'exit_code'):g}, as if nothing happened, and its program runs on",
            "structural",
        )
    if MAX_SIGNAL_WAKES * signal_ms * 1000 < seconds * 1e6:
        return f"{MAX_SIGNAL_WAKES} signals and more do not end a stub's wait", "structural"
    return "the native program ends before its stub has had so many signals", "structural"


def _kill(r: Replicated, at: str, seconds: float, signal_ms: float) -> tuple[str, str]:
    code = int(r.value(at, "exit_code"))
    words = "does not end the native program"
    if not _ran_to_its_end(r, at, seconds):
        words = "ends the native program too"
    return f"kill -9 of a stub {words} (code {code:#x})", "structural"


def _terminate(r: Replicated, at: str, seconds: float, signal_ms: float) -> tuple[str, str]:
    outlives = [v for v in r.values(at, "native_outlives_us") if v is not None]
    code = f"{r.value(at, 'exit_code'):g}"
    words = f"ends both, and the shell sees code {code} at once"
    if min(outlives, default=0.0) > 0:
        words = f"leaves the native program running, and the shell sees code {code} at once"
    elif _ran_to_its_end(r, at, seconds):
        words = (
            f"leaves the native program running, and the shell sees code {code} when that ends, "
            "which still holds the pipe"
        )
    return f"TerminateProcess of a stub {words}", "structural"


def _ran_to_its_end(r: Replicated, at: str, seconds: float) -> bool:
    """Whether the native program had all of its time in each replication."""
    return all(v is None or v >= seconds * 1e6 for v in r.values(at, "native_us"))


_SENTENCES: dict[str, Sentence] = {
    FOREGROUND: _foreground,
    EXECED: _execed,
    GRANDCHILD: _grandchild,
    SIGNALS_SPAWN: _signals_spawn,
    SIGNALS_STUB: _signals_stub,
    KILL: _kill,
    TERMINATE: _terminate,
}
