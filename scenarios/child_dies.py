"""What becomes of the caller if its child dies in one of the steps of its creation?

A step lies between two Win32 calls of the child or of the process that makes it; the steps are
found in the run in which nobody dies.  Then the run is repeated for each of them, and the child is
ended in it: by another process with TerminateProcess, or by an access violation of its own.  Shown
is what the caller sees (errno, message, exit code), what time it has lost, and what is left behind
(handles, pinfo sections, records of children) beyond what a child leaves that lives.

Real Cygwin's messages, from logs of 1.3.2, 1.3.3 and 1.3.19 whose fork child died: `child 596(0xD0)
died before initialization with status code 0x3`, `*** child state waiting for longjmp`, and the
shell's `fork: Resource temporarily unavailable`.

In a run with `p3-800-w2000`, seed 1, under 1.3.4 a fork gives EAGAIN in 43 of 56 steps, until the
child's second SetEvent, and the caller knows of it at the latest 1.0 ms after the death; the shell
knows of a dead exec after 1.9 ms, when the stub has ended too.  All three schemes come to the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin.installation import Watch
from models.cygwin.machine import Machine
from models.win32.cost_profile import Profile
from scenarios.creation_ways import WAYS, asked, check_ways, ways_parameter
from scenarios.death_machines import (
    BLOCKED,
    CAUSES,
    CODE,
    CRASHED,
    EAGAIN,
    KILLED,
    Death,
    Setting,
    deaths,
    reference,
)
from scenarios.messages import legend, lettered
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from sim.streams import Replication

_SHORT = {"WaitForMultipleObjects": "WaitForMultiple", "WaitForSingleObject": "WaitForSingle"}
_DRAWN = {CODE: "a dead child and its code", BLOCKED: "nothing: it waits for ever"}


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    ways: fork, exec or spawn, or each with a socket open -- input
    every: the child dies in each so manieth step -- input
    code: exit code that TerminateProcess gives it -- input
    heap_kib: size of the cygheap [KiB] -- input
    processors: of the machine; with three the killer does not wait for one -- input
    """

    ways: tuple[str, ...] = ways_parameter()
    every: int = parameter(1, "1", 1, 1000)
    code: int = parameter(9, "1", 0, 255)
    heap_kib: int = parameter(16, "KiB", 16, 4096)
    processors: int = parameter(3, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)
        check_ways(self.ways)


SPEC = Spec(
    name="child_dies",
    question=__doc__.splitlines()[0],
    paragraph="hand-over",
    parameters=Parameters(),
    spawns=True,
    quick=(("every", 6),),
    limits=(
        "a child dies between two calls of the model, not within one",
        "times until the caller knows rest on assumed costs; errno, messages and what is left "
        "behind do not",
        "messages are checked against logs of 1.3.2, 1.3.3 and 1.3.19 whose fork child died, "
        "not for every step",
        "death by TerminateProcess or access violation; a child that hangs is not asked after",
    ),
    headlines=(
        ("way={ways[0]} by=crash", "eagain_share"),
        ("way={ways[0]} by=crash", "longest_lost_us"),
        ("way={ways[0]} by=crash", "most_left_handles"),
    ),
    narrow=(("ways", ("fork",)), ("every", 10)),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """Every death under one scheme in one replication."""
    rows: list[Measured] = []
    drawn: dict[str, Any] = {way: [] for way in WAYS}
    notes: list[str] = []
    for way in asked(point.ways):
        setting = _setting(point, scheme, system, profile, replication)
        failed = reference(setting, way).failed
        notes += [f"{scheme}, {way}: {line}" for line in failed]
        drawn[way] = found = list(deaths(setting, way, point.every))
        rows += _of_all(way, [death for death in found if death.cause == CRASHED])
        for death in found:
            rows += _measures(way, death)
    return Outcome(rows, notes, drawn)


def places(point: Parameters) -> Iterator[str]:
    """The machines in which nobody dies, one for each way."""
    yield from map(_at, asked(point.ways))


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one way at its end, nobody having died. Raises KeyError."""
    way = {_at(one): one for one in asked(point.ways)}[place]
    return reference(_setting(point, scheme, system, profile, replication), way, watch).machine


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: stretches of steps that come to the same."""
    yield ["way", "from this call on", "steps", "sees", "lost [ms]", "left"]
    letters = _letters(results)
    for name, o in results.items():
        yield [name.replace("shared-memory", "shared"), "", "", "", "", ""]
        for way in asked(point.ways):
            for (result, text, left), some in _stretches(_all(o, way, KILLED)).items():
                first = some[0].step
                call = f"{first.who} {_SHORT.get(first.call, first.call or 'begins')}"
                sees = f"{result} {letters[text]}" if text else _sees(result, some)
                yield [way, call, f"{len(some) / len(o.outcomes):g}", sees, _lost(some), left]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    yield from legend(_letters(results))
    yield "left: in the caller, h handles, s pinfo sections, r records of children", "exact"
    for name, o in results.items():
        for way in WAYS:
            if _all(o, way):
                yield _of_way(name, way, o)
        every = [death for way in WAYS for death in _all(o, way)]
        if not every:
            yield f"{name}: no step takes any time here, so nobody can die in one", "assumed"
            continue
        yield from _of_waiting(name, every)
        yield from _of_leftovers(name, every)
        yield _of_causes(name, o)


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): what a death of the child means, over the time of its creation."""
    from sim.plots_lanes import Lane, Span, lanes

    letters = _letters(results)
    for name, o in results.items():
        rows: list[Lane] = []
        spans: list[Span] = []
        for way in WAYS:
            setting = _setting(point, name, system, profile, Replication(seed, 0))
            called_us = reference(setting, way).creation.called_us
            found = [d for d in o.drawn(way)[0] if d.cause == CRASHED]
            if not found:
                continue
            ends = [(d.step.end_us - called_us) / 1000 for d in found]
            rows.append(Lane(way, (found[0].step.start_us - called_us) / 1000, ends[-1]))
            starts = [(d.step.start_us - called_us) / 1000 for d in found]
            for death, start, end in zip(found, starts, [*starts[1:], ends[-1]], strict=True):
                kind = _DRAWN.get(death.result, f"EAGAIN, message {letters.get(death.text)}")
                last = spans[-1] if spans else None
                if last is not None and (last.lane, last.kind) == (len(rows) - 1, kind):
                    spans[-1] = last._replace(end=end)
                else:
                    spans.append(Span(len(rows) - 1, kind, start, end))
        if rows:
            title = f"{name}: what the caller sees if its child dies then"
            yield f"death_{name}", lanes(rows, spans, title, "after the call [ms]", "creation")


def _setting(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Setting:
    return Setting(
        scheme, system, profile, replication, point.processors, point.heap_kib, point.code
    )


def _of_all(way: str, found: list[Death]) -> Iterator[Measured]:
    """What the deaths of one way come to together, one in each step that was tried."""
    if not found:
        return
    at = f"{_at(way)} by={CRASHED}"
    never = sum(death.lost_us is None for death in found)
    lost = [death.lost_us for death in found if death.lost_us is not None]
    share = sum(death.result == EAGAIN for death in found) / len(found)
    yield Measured(at, "eagain_share", "1", share, 0)
    yield Measured(at, "longest_lost_us", "us", None if never else max(lost), never)
    yield Measured(at, "most_left_handles", "1", max(d.left.total() for d in found), 0)


def _measures(way: str, death: Death) -> Iterator[Measured]:
    """What is written down of one death."""
    at = f"{_at(way)} step={death.step.number} by={death.cause}"
    yield Measured(at, "after", "", f"{death.step.who} {death.step.call}".strip(), 0)
    yield Measured(at, "result", "", death.result, 0)
    yield Measured(at, "exit_code", "1", death.code, 0)
    yield Measured(at, "message", "", death.message, 0)
    yield Measured(at, "lost_us", "us", death.lost_us, int(death.lost_us is None))
    yield Measured(at, "noticed_us", "us", death.noticed_us, int(death.noticed_us is None))
    yield Measured(at, "left_handles", "1", death.left.total(), 0)
    yield Measured(at, "left_sections", "1", death.sections, 0)
    yield Measured(at, "left_records", "1", death.records, 0)
    yield Measured(at, "left_after_wait_handles", "1", death.still.total(), 0)
    yield Measured(at, "left_after_wait_bytes", "bytes", death.bytes, 0)


def _all(o: Replicated, way: str, cause: str = "") -> list[Death]:
    """The deaths of a way in all replications, by one cause or by any."""
    every = [death for found in o.drawn(way) for death in found]
    return [death for death in every if cause in ("", death.cause)]


def _stretches(found: list[Death]) -> dict[tuple[str, str, str], list[Death]]:
    """Deaths that come to the same, together: what the caller sees, message, what is left."""
    same: dict[tuple[str, str, str], list[Death]] = {}
    for death in found:
        same.setdefault((death.result, death.text, _left(death)), []).append(death)
    return same


def _letters(results: dict[str, Replicated]) -> dict[str, str]:
    """A letter for each message, in the order in which they are met."""
    return lettered(d.text for o in results.values() for way in WAYS for d in _all(o, way))


def _sees(result: str, some: list[Death]) -> str:
    codes = sorted({death.code for death in some if death.code is not None})
    return f"code {'/'.join(map(str, codes))}" if codes else result


def _left(death: Death) -> str:
    counts = (death.left.total(), death.sections, death.records)
    words = [f"{n}{what}" for n, what in zip(counts, "hsr", strict=True) if n]
    return " ".join(words) or "nothing"


def _lost(some: list[Death]) -> str:
    known = [death.lost_us / 1000 for death in some if death.lost_us is not None]
    return f"{min(known):.1f}-{max(known):.1f}" if known else "never ends"


def _of_way(name: str, way: str, o: Replicated) -> tuple[str, str]:
    """In how many steps the caller sees what, and what call changes it."""
    found = _all(o, way, CRASHED)
    parts = []
    for result in dict.fromkeys(death.result for death in found):
        some = [death for death in found if death.result == result]
        first = some[0].step
        since = "" if some[0] is found[0] else f", from {first.who} {first.call} on"
        words = "a dead child" if result == CODE else result
        parts.append(f"{words} in {len(some)} of {len(found)} steps{since}")
    several = f" ({len(o.outcomes)} replications)" if len(o.outcomes) > 1 else ""
    return f"{name}, {way}: {'; '.join(parts)}{several}", "exact"


def _of_waiting(name: str, every: list[Death]) -> Iterator[tuple[str, str]]:
    """Whether anybody waits for a child that is dead."""
    blocked = [death for death in every if death.result == BLOCKED]
    if blocked:
        yield f"{name}: the caller waits for ever after {len(blocked)} deaths", "structural"
    noticed = [death.noticed_us for death in every if death.noticed_us is not None]
    if not noticed:
        return
    if not blocked:
        yield (
            f"{name}: after none of {len(every)} deaths does the caller wait for ever, nor for the "
            "300 s of a fork: whatever it waits for, the child's process is among it",
            "structural",
        )
    yield (
        f"{name}: it knows of a death at the latest {max(noticed) / 1000:.1f} ms after it "
        "(copy_bandwidth, exit, event_wake)",
        "assumed",
    )


def _of_leftovers(name: str, every: list[Death]) -> Iterator[tuple[str, str]]:
    """What is left behind, and whether a wait takes it away."""
    leaving = [death for death in every if death.left.total() or death.records]
    if leaving:
        roles = sorted({role for death in leaving for role in death.left})
        results = " and ".join(sorted({death.result for death in leaving}))
        yield (
            f"{name}: {results} leaves behind handles ({', '.join(roles)}) and a record "
            f"of the child, {len(leaving)} times, until the caller waits for its children",
            "exact",
        )
    known = [death for death in every if death.result != BLOCKED]
    still = [death for death in known if death.still or death.bytes]
    what = "nothing" if not still else f"something {len(still)} times"
    yield f"{name}: after such a wait {what} is left of {len(known)} dead children", "exact"


def _of_causes(name: str, o: Replicated) -> tuple[str, str]:
    """Whether it matters how the child dies."""
    by = [
        {(i, way, d.step.number): (d.result, d.text, _left(d)) for way in WAYS
         for i, found in enumerate(o.drawn(way)) for d in found if d.cause == cause}
        for cause in CAUSES
    ]  # fmt: skip
    both = by[0].keys() & by[1].keys()
    differ = sum(by[0][key] != by[1][key] for key in both)
    missed = len(by[1].keys() - by[0].keys())
    words = "the same" if not differ else f"something else in {differ} steps"
    return (
        f"{name}: a crash of its own comes to {words} as TerminateProcess in {len(both)} steps, "
        f"but for the code; {missed} more are over before another process could end it",
        "exact",
    )


def _at(way: str) -> str:
    return f"way={way.replace(', ', '-')}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
