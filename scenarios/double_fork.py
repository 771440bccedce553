"""When does a double fork hang, and what do the repairs of 2024 to Cygwin's exit change?

A program goes into the background by two forks: the middle process forks the background process
and exits at once.  Its exit ends the thread that has just begun to wait for that child.  On an
emulated processor (x86-64 programs on Windows for ARM64) the thread may have a lock of the
emulator's then, which nobody gives back: the exit hangs, and with it whoever waits for the middle
process.  For each way of ending the thread the exit comes at one moment after another:

* TerminateThread at once, as Cygwin did up to 3.5;
* SuspendThread before it, which was tried and hung: it asks and does not wait;
* and GetThreadContext between them, which waits until the thread has stopped: since 3.6.0;
* CancelSynchronousIo instead where it says that it worked: MSYS2 for some days of November 2024.

Seen on real machines: hangs of the first, second and fourth way, the fourth also without an
emulator, none of the third (msys2-autobuild#62, git-for-windows/msys2-runtime#73,
msys2-runtime#234 and #243, MSYS2-packages#4340).  The processes are those of `child-copy`, their
threads and pipes kernel objects, their locks as Win32 has them.  Assumed are the durations, how
much code is new to the thread, and that it begins with a call on another file; only that thread and
the exit come to new code.
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
from models.win32.emulation import Translation
from scenarios.double_fork_machines import STATES, WAYS, Seen, Times, double_fork
from scenarios.double_fork_words import (
    A_WHILE,
    EXITS,
    FOR_EVER,
    at_moment,
    at_way,
    cells,
    moments,
    sentences,
    word,
)
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from sim.streams import Replication

MACHINES = {"emulated": True, "native": False}


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    moments: at how many moments the exit comes, evenly over `longest_us` -- input
    longest_us: most that the middle process works between its fork and its exit [us] -- input
    translate_us, run_us: of one piece of new code, with the emulator's lock and then [us] -- input
    io_us: of the call on another file that the waiting thread begins with [us] -- input
    closing_us: that the exit works between ending the thread and closing the pipe [us] -- input
    lives_ms: how long the background process lives [ms] -- input
    processors: of the machine -- input
    """

    moments: int = parameter(30, "1", 2, 1000)
    longest_us: float = parameter(500.0, "us", 1, 100_000)
    translate_us: float = parameter(20.0, "us", 0.1, 10_000)
    run_us: float = parameter(30.0, "us", 0, 10_000)
    io_us: float = parameter(30.0, "us", 0, 10_000)
    closing_us: float = parameter(20.0, "us", 0, 10_000)
    lives_ms: float = parameter(1000.0, "ms", 1, 100_000)
    processors: int = parameter(2, "1", 1, 64)

    def __post_init__(self) -> None:
        check(self)

    def later_us(self, number: int) -> float:
        """When the exit comes, counted from the return of the fork."""
        return self.longest_us * number / (self.moments - 1)


SPEC = Spec(
    name="double_fork",
    question=__doc__.splitlines()[0],
    paragraph="background",
    without_heap=True,
    parameters=Parameters(),
    limits=(
        "durations, and how much code is new to an emulator, are assumed; who is held follows "
        "from the lock and the calls",
        "one thread that waits for one child; an emulator is no more than the lock of its code",
        "held against what the threads of 2024 report, not against a log",
    ),
    headlines=(
        ("processor=emulated way=1", "held_for_ever"),
        ("processor=emulated way=3", "held_for_ever"),
        ("processor=native way=4", "held"),
    ),
    quick=(("moments", 24),),
    schemes=("child-copy",),
    profile="desktop-w11",
    replications=10,
    quick_replications=1,
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """Every way on every machine at every moment."""
    rows: list[Measured] = []
    for kind in MACHINES:
        for way in WAYS:
            found = [
                _one(kind, scheme, way, number, point, system, profile, replication)[1]
                for number in range(point.moments)
            ]
            rows += _rows(at_way(kind, way), found)
            for number, seen in enumerate(found):
                at = at_moment(kind, way, number)
                rows.append(Measured(at, "thread", "", seen.state, 0))
                rows.append(Measured(at, "pieces_begun", "1", seen.pieces, 0))
                rows.append(Measured(at, "exit", "", _end(seen), 0))
    return Outcome(rows, [])


def places(point: Parameters) -> Iterator[str]:
    """The points of the results that are a machine."""
    for kind in MACHINES:
        for way in WAYS:
            yield from (at_moment(kind, way, number) for number in range(point.moments))


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one moment at its end, with `watch` looking on."""
    kind, way, number = (word.split("=")[1] for word in place.split())
    named = list(WAYS)[int(way) - 1]
    return _one(kind, scheme, named, int(number), point, system, profile, replication, watch)[0]


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): which moments are held, and what the thread is doing then."""
    from sim.plots_lanes import lanes

    (r,) = results.values()
    for kind in MACHINES:
        rows, spans = moments(r, kind, [point.later_us(i) for i in range(point.moments)])
        title = f"An exit at one moment after another, {kind} processor, first replication"
        yield f"moments_{kind}", lanes(rows, spans, title, "from fork to exit [us]", "exits")


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: what each way comes to on each machine."""
    (r,) = results.values()
    yield ["processor", "the exit's way", "held", "for ever", "held if it", "exit takes"]
    for kind in MACHINES:
        for way, text in WAYS.items():
            yield [kind, text, *cells(r, at_way(kind, way), point.moments)]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    (r,) = results.values()
    yield from sentences(r, point.moments, point.longest_us)


# ---- the measures --------------------------------------------------------------------------------


def _one(
    kind: str, scheme: str, way: str, number: int, point: Parameters, system: str, profile: Profile,
    replication: Replication, watch: Watch | None = None,
) -> tuple[Machine, Seen]:  # fmt: skip
    """One double fork."""
    costs = Translation(point.translate_us, point.run_us) if MACHINES[kind] else None
    times = Times(
        costs, point.io_us, point.later_us(number), point.closing_us, point.lives_ms * 1000.0
    )
    return double_fork(scheme, way, times, system, profile, replication, point.processors, watch)


def _end(seen: Seen) -> str:
    """How the exit went."""
    if not seen.held:
        return EXITS
    return FOR_EVER if seen.exit_us is None else A_WHILE


def _rows(at: str, found: list[Seen]) -> list[Measured]:
    """Counts over all moments, and by what the thread was doing."""
    took = [s.exit_us for s in found if not s.held and s.exit_us is not None]
    mean = sum(took) / len(took) if took else None
    rows = [
        Measured(at, "held", "1", sum(s.held for s in found), 0),
        Measured(at, "held_for_ever", "1", sum(s.exit_us is None for s in found), 0),
        Measured(at, "parent_held", "1", sum(s.parent_held for s in found), 0),
        Measured(at, "lock_of_a_dead_thread", "1", sum(s.orphaned for s in found), 0),
        Measured(at, "exit_mean_us", "us", mean, len(found) - len(took)),
    ]
    for words in STATES.values():
        there = [s for s in found if s.state == words]
        where = f"{at} thread={word(words)}"
        rows.append(Measured(where, "moments", "1", len(there), 0))
        rows.append(Measured(where, "held", "1", sum(s.held for s in there), 0))
    return rows


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
