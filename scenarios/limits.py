"""What does a user see at each limit of process creation, and after how many?

A program asks for more and more of one thing:

* living children, by fork and by spawn: a process keeps 62 on record (PSIZE 63), since one wait of
  its wait_subproc takes at most 64 handles; and children that end before it waits for any;
* open files: each has its handle, and its fhandler and names in the cygheap, which has an end;
* native programs in the background that never end, from a shell's `&` and from spawn: each keeps a
  section with a copy of the heap, until the machine can commit no more;
* children that end: fork holds on to the last eight, so that their pids are not given out again.

In a run with `p3-800-w2000`, seed 1, all schemes keep 62 children; 2,301 open files fill the heap
of 1.3.2 and 1.3.3, 4,000 do not fill that of 1.3.4; with 155 KiB of heap a program of 1.3.4 that
spawns fills 64 MiB with 290 natives, 44 MiB of that in sections, and dies of it; under `blocking`
it waits for the first one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.installation import Watch
from models.cygwin.machine import Machine
from models.cygwin.version import MAX_CHILDREN, MAX_ZOMBIES
from models.win32.cost_profile import Profile
from models.win32.sync_calls import MAXIMUM_WAIT_OBJECTS
from scenarios.limit_machines import (
    FORK,
    SHELL,
    SPAWN,
    Ground,
    Reached,
    children,
    descriptors,
    held_pids,
    natives,
    zombies,
)
from scenarios.messages import general, legend, lettered
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from sim.streams import Replication

_MIB = 1 << 20
_STATE = "*** child state"


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    children: how many living children a process asks for -- input
    zombies: how many children end before it waits for any -- input
    descriptors: how many files it opens at most -- input
    rounds: how many children end and are waited for -- input
    heap_kib: sizes of the cygheap of who starts native programs [KiB] -- input
    commit_mib: what the machine can commit then [MiB] -- input
    natives: how many are started at most -- input
    processors: of the machine -- input
    """

    children: int = parameter(70, "1", 1, 1000)
    zombies: int = parameter(300, "1", 1, 10_000)
    descriptors: int = parameter(4000, "1", 1, 20_000)
    rounds: int = parameter(20, "1", 1, 1000)
    heap_kib: tuple[int, ...] = parameter((16, 64, 155, 512, 1024), "KiB", 16, 4096)
    commit_mib: int = parameter(64, "MiB", 1, 4096)
    natives: int = parameter(1000, "1", 1, 10_000)
    processors: int = parameter(2, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="limits",
    question=__doc__.splitlines()[0],
    paragraph="background",
    parameters=Parameters(),
    quick=(("heap_kib", (16, 155, 1024)), ("commit_mib", 32)),
    limits=(
        "limits on a process's handles, desktop heap and paging are not modelled; memory is "
        "one commit limit",
        "62 children follow from PSIZE, 256 zombies are known from 2003 on (assumed for 2001)",
        "what an image and a stack commit is assumed, and so is how many natives fit",
        "one process asks; limits of a whole machine other than its commit are left out",
    ),
    narrow=(
        ("children", 65),
        ("zombies", 4),
        ("descriptors", 2400),
        ("rounds", 9),
        ("heap_kib", (155,)),
        ("commit_mib", 16),
    ),
    headlines=(
        ("limit=children way=fork", "limit"),
        ("limit=natives way=spawn heap_kib={heap_kib[0]}", "limit"),
        ("limit=descriptors way=open", "limit"),
    ),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """Every limit under one scheme in one replication."""
    ground = Ground(scheme, system, profile, replication, point.processors)
    rows = [
        row for place in places(point) for row in _measures(place, _reached(place, point, ground))
    ]
    return Outcome(rows, [])


def places(point: Parameters) -> Iterator[str]:
    """The points of the results, each a machine of its own."""
    yield from (f"limit=children way={way}" for way in (FORK, SPAWN))
    yield from (f"limit=zombies way={way}" for way in (FORK, SPAWN))
    yield "limit=descriptors way=open"
    yield from (_at_native(way, kib) for way in (SHELL, SPAWN) for kib in point.heap_kib)
    yield from (f"limit=pids way={way}" for way in (FORK, SPAWN))


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one point at its end, with `watch` looking on. Raises KeyError."""
    if place not in list(places(point)):
        raise KeyError(place)
    ground = Ground(scheme, system, profile, replication, point.processors, watch)
    return _reached(place, point, ground).machine


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: after how many, and what is seen then."""
    letters = _letters(results, point)
    yield ["limit", "way", "scheme", "after", "in sections", "sees"]
    for place in places(point):
        words = dict(part.split("=") for part in place.split())
        what = words["limit"] + (f", {words['heap_kib']} KiB" if "heap_kib" in words else "")
        for name, o in results.items():
            after, size, sees = (o.value(place, m) for m in ("after", "section_bytes", "sees"))
            short = name.replace("shared-memory", "shared")
            sections = f"{size / _MIB:.1f} MiB" if size else ""
            message = letters.get(o.value(place, "message"), "")
            yield [what, words["way"], short, f"{after:g}", sections, f"{sees} {message}".strip()]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    yield from legend(_letters(results, point))
    for name, o in results.items():
        yield from _of_children(name, o, point)
        yield from _of_zombies(name, o, point)
        yield from _of_descriptors(name, o)
        yield from _of_natives(name, o, point)
        yield from _of_pids(name, o, point)
    at = f"limit=children way={FORK}"
    if any(o.value(at, "unheard") for o in results.values()):
        yield (
            "that the one too many runs on unheard is assumed: sources of 2004 terminate it, and "
            "fork gives EAGAIN",
            "assumed",
        )
    yield (
        "sources of 2004 refuse more than 3,200 open files (EMFILE), which is not in the model, "
        "nor is a limit on a process's handles",
        "assumed",
    )


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): natives until memory is gone, and what of it lies in sections."""
    from sim import plots_panels

    sizes = sorted(point.heap_kib)
    xs = [float(size) for size in sizes]

    def series(measure: str, scale: float, way: str) -> dict[str, plots_panels.Series]:
        return {
            name: plots_panels.Series(
                xs, [o.value(_at_native(way, size), measure) / scale for size in sizes]
            )
            for name, o in results.items()
        }

    several = any(len(o.outcomes) > 1 for o in results.values())
    means = ", means" if several else ""
    for stem, measure, scale, label in (
        ("natives", "after", 1.0, "natives running at once [1]"),
        ("sections", "section_bytes", _MIB, "committed in sections [MiB]"),
    ):
        ways = {SHELL: "by a shell's &", SPAWN: "by spawn"}
        yield (
            stem,
            plots_panels.panels(
                {text: series(measure, scale, way) for way, text in ways.items()},
                "cygheap of who starts them [KiB]", label,
                f"Natives that never end, until {point.commit_mib} MiB are committed{means}",
                logarithmic=True,
            ),
        )  # fmt: skip


def _reached(place: str, point: Parameters, ground: Ground) -> Reached:
    words = dict(part.split("=") for part in place.split())
    way = words["way"]
    if words["limit"] == "children":
        return children(ground, way, point.children)
    if words["limit"] == "zombies":
        return zombies(ground, way, point.zombies)
    if words["limit"] == "descriptors":
        return descriptors(ground, point.descriptors)
    if words["limit"] == "pids":
        return held_pids(ground, way, point.rounds)
    return natives(
        ground, way, int(words["heap_kib"]), point.commit_mib * _MIB, point.natives
    )  # fmt: skip


def _measures(place: str, r: Reached) -> Iterator[Measured]:
    """After how many it is, what is seen then, and what there is at that time.

    `limit` is the same number where there was more to ask for; one that was not met is no number.
    """
    asked = r.asked
    said = [text for text in r.messages if not text.startswith(_STATE)]
    message = asked.text or next(iter(said), "")
    words = dict(part.split("=") for part in place.split())
    yield Measured(place, "message", "", general(message), 0)
    yield Measured(place, "messages", "", " / ".join(r.messages), 0)
    yield Measured(place, "handles", "1", asked.handles, 0)
    yield Measured(place, "section_bytes", "bytes", r.section_bytes, 0)
    yield Measured(place, "sections", "1", len(r.sections), 0)
    yield Measured(place, "committed_bytes", "bytes", r.machine.kernel.committed_bytes, 0)
    if words["limit"] == "pids":
        last = asked.held == asked.dead[len(asked.dead) - len(asked.held) :]
        yield Measured(place, "after", "1", len(asked.held), 0)
        yield Measured(place, "are_the_last", "1", int(last), 0)
        sees = "EAGAIN" if asked.text else "nothing"
    elif words["limit"] in ("children", "zombies"):
        yield Measured(place, "after", "1", asked.made, 0)
        yield _limit(place, asked.made, bool(asked.refused or asked.text))
        yield Measured(place, "unheard", "1", asked.refused, 0)
        yield Measured(place, "room_again", "1", int(asked.again), 0)
        yield Measured(place, "handles_per_child", "1", asked.per_one, 0)
        yield Measured(place, "widest_wait", "1", r.widest_wait, 0)
        sees = "ECHILD" if asked.refused else "EAGAIN" if asked.text else "nothing"
    else:
        native = words["limit"] == "natives"
        after = r.running("nat") if native else asked.made
        yield Measured(place, "after", "1", after, 0)
        yield _limit(place, after, bool(message))
        sees = "EAGAIN" if r.goes_on else "its end" if message else "nothing"
        sees = "no prompt" if r.caller_waits else sees
    yield Measured(place, "sees", "", sees, 0)


def _limit(place: str, after: int, met: bool) -> Measured:
    return Measured(place, "limit", "1", after if met else None, int(not met))


def _letters(results: dict[str, Replicated], point: Parameters) -> dict[str, str]:
    """A letter for each message."""
    return lettered(o.value(place, "message") for place in places(point) for o in results.values())


def _of_children(name: str, o: Replicated, point: Parameters) -> Iterator[tuple[str, str]]:
    for way in (FORK, SPAWN):
        at = f"limit=children way={way}"
        kept, unheard, again, each, widest = (
            o.value(at, m)
            for m in ("after", "unheard", "room_again", "handles_per_child", "widest_wait")
        )
        if o.value(at, "message"):
            yield f"{name}, {way}: memory ran out after {kept:g} children", "assumed"
            continue
        if not unheard:
            yield f"{name}, {way}: all {kept:g} living children are heard of", "exact"
            continue
        room = "; one that ends makes room" if again == 1 else ""
        yield (
            f"{name}, {way}: of {point.children} living children {kept:g} are heard of "
            f"(PSIZE - 1 = {MAX_CHILDREN}), {unheard:g} run on unheard{room}; each costs "
            f"{each:g} handles; the widest wait is for {widest:g} handles of "
            f"{MAXIMUM_WAIT_OBJECTS}",
            "exact",
        )


def _of_zombies(name: str, o: Replicated, point: Parameters) -> Iterator[tuple[str, str]]:
    for way in (FORK, SPAWN):
        at = f"limit=zombies way={way}"
        kept, unheard = o.value(at, "after"), o.value(at, "unheard")
        if o.value(at, "message"):
            continue
        lost = f", the codes of {unheard:g} are lost" if unheard else ""
        known = f"NZOMBIES {MAX_ZOMBIES}, known from 2003 on"
        version = schemes.get(name).version
        if version.max_children:
            known = f"3.6 has {version.max_children} on record, the living among them"
        elif version.exec_pipe_bytes:
            known = f"a limit of {version.name} is not in the model"
        yield (
            f"{name}, {way}: of {point.zombies} children that ended unwaited for {kept:g} are "
            f"heard of{lost} ({known})",
            "assumed",
        )


def _of_descriptors(name: str, o: Replicated) -> Iterator[tuple[str, str]]:
    at = "limit=descriptors way=open"
    count, message = o.value(at, "after"), o.value(at, "message")
    reserve = schemes.get(name).version.era.cygheapsize
    if message:
        yield (
            f'{name}: {count:,.0f} open files fill the cygheap of {reserve:,} bytes: "{message}"',
            "exact",
        )
    else:
        yield f"{name}: {count:,.0f} open files find room in its {reserve:,} bytes", "exact"


def _of_natives(name: str, o: Replicated, point: Parameters) -> Iterator[tuple[str, str]]:
    for way in (SHELL, SPAWN):
        parts = []
        for size in sorted(point.heap_kib):
            at = _at_native(way, size)
            count, held, all_bytes = (
                o.value(at, m) for m in ("after", "section_bytes", "committed_bytes")
            )
            share = f", {held / all_bytes:.0%} in sections" if held else ""
            parts.append(f"{count:g} with {size} KiB of heap{share}")
        seen = dict.fromkeys(o.value(_at_native(way, size), "sees") for size in point.heap_kib)
        if seen == {"no prompt": None}:
            yield f"{name}, {way}: the caller waits for its first native program", "structural"
            continue
        yield (
            f"{name}, {way}, natives in {point.commit_mib} MiB: {'; '.join(parts)} "
            "(sizes of an image and of a stack)",
            "assumed",
        )
        if "its end" in seen:
            yield (
                f"{name}, {way}: where it is the section that finds no memory, the caller ends "
                "(api_fatal), not the child",
                "structural",
            )


def _of_pids(name: str, o: Replicated, point: Parameters) -> Iterator[tuple[str, str]]:
    parts = []
    for way in (FORK, SPAWN):
        at = f"limit=pids way={way}"
        held, last = o.value(at, "after"), o.value(at, "are_the_last")
        if o.value(at, "message"):
            return
        which = ", the last ones" if held and last == 1 else ""
        parts.append(f"{held:g} of {point.rounds} that were forked" + which if way == FORK
                     else f"{held:g} of as many that were spawned")  # fmt: skip
    yield f"{name}: Windows still knows dead children by pid: {'; '.join(parts)}", "exact"


def _at_native(way: str, heap_kib: int) -> str:
    return f"limit=natives way={way} heap_kib={heap_kib}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
