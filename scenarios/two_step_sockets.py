"""What does one open socket cost every later fork, exec and spawn, and whose child can use it?

As soon as a socket is open the child is created suspended and the sockets are fixed up for it, in
the parent's heap.  Release 1.3.3 had copied that heap before: its child finds stale protocol
information, WSASocket refuses it with 10022, and a fork child helps itself with DuplicateHandle,
while the child of an exec or spawn has nobody to fetch the socket from.  What mended it (e2e078278)
is asked of a variant that differs from 1.3.3 in nothing else, and of 1.3.4, where it was released.

A process opens so many sockets, then forks a child that execs, and spawns; each child tries its
first socket as dup() does.  Calls are those of the caller until it returns or waits for the exec,
and of the child until main(); times are compared creation by creation, under the same costs.

In a run with `p3-800-w2000`, seed 1, the first socket adds 0.21 ms to a fork under 1.3.4 and each
further one 0.20 ms: it is the calls of Winsock that cost, not the second step.

Seen on the real code: 10022 in each log of 1.3.3 with a socket, none in those of 1.3.2 and 1.3.19
(CYGWIN.md §i).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.creation_calls import calls_of, heap_bytes_copied, rows_of
from models.cygwin.descriptors import SOCKET
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, UserProcess, start
from models.cygwin.protocol import P_NOWAIT
from models.win32.cost_profile import Profile
from models.win32.errors import Win32Error
from models.win32.system import SYSTEMS
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec, in_words
from sim.engine import Steps
from sim.estimators import mean_interval
from sim.streams import Replication

KINDS = ("fork", "exec", "spawn")
WORKS = "works"


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    sockets: how many are open; none and one are always among them -- input
    creations: how many of each kind with each number -- input
    heap_kib: least size of the cygheap without sockets [KiB] -- input
    processors: of the machine -- input
    """

    sockets: tuple[int, ...] = parameter((0, 1, 2, 4, 8, 16), "1", 0, 60)
    creations: int = parameter(20, "1", 1, 1000)
    heap_kib: int = parameter(16, "KiB", 16, 4096)
    processors: int = parameter(2, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)

    @property
    def numbers(self) -> list[int]:
        """The numbers of sockets, rising."""
        return sorted({0, 1, *self.sockets})


SPEC = Spec(
    name="two_step_sockets",
    question=__doc__.splitlines()[0],
    paragraph="hand-over",
    parameters=Parameters(),
    quick=(("sockets", (0, 1, 8)), ("creations", 5)),
    schemes=("blocking", "shared-memory-1.3.3", "1.3.3-two-step", "shared-memory"),
    replications=5,
    quick_replications=2,
    limits=(
        "time of a Winsock call is assumed (winsock_call); calls, bytes and errors follow "
        "from the model and the logs",
        "error 10022 is checked against the call logs; that a child of an exec has nobody to "
        "fetch the socket from follows from the sources",
        "Winsock 2 on NT; what a provider does inside a call is not modelled",
        "up to 60 sockets; none has traffic",
    ),
    headlines=(
        ("child=spawn sockets=1", "took_us"),
        ("child=spawn sockets=1", "added_us"),
    ),
    narrow=(("sockets", (1,)), ("creations", 5)),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All numbers of sockets under one scheme in one replication."""
    rows: list[Measured] = []
    without: dict[str, list[float]] = {}
    counts: dict[str, Counter[str]] = {}
    for sockets in point.numbers:
        answers: dict[str, list[str]] = {kind: [] for kind in KINDS}
        where = _at_number(sockets)
        machine = _machine(sockets, point, scheme, system, profile, replication, answers=answers)
        records = machine.kernel.trace.records
        for kind in KINDS:
            some = [r for r in records if isinstance(r, Creation) and r.kind == kind]
            took = [_took_us(c) for c in some]
            base = without.setdefault(kind, took)
            added = [a - b for a, b in zip(took, base, strict=True)]
            at = f"child={kind} {where}"
            counts[at] = calls_of(machine.kernel, some[0])
            rows += _measures(at, machine, some[0], took, added)
            told = "; ".join(dict.fromkeys(answers[kind])) or "none open"
            rows.append(Measured(at, "socket_in_child", "", told, 0))
    return Outcome(rows, [], {"calls": counts})


def places(point: Parameters) -> Iterator[str]:
    """The points of the results that are a machine each."""
    yield from map(_at_number, point.numbers)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one number of sockets at its end, with `watch` looking on. KeyError."""
    sockets = {_at_number(n): n for n in point.numbers}[place]
    return _machine(sockets, point, scheme, system, profile, replication, watch)


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: one socket against none, then most of them."""
    heads = ["scheme", "child", "steps", "10022", "socket"]
    yield [*heads, "open", "ms", "calls", "heap B", "copied B"]
    most = point.numbers[-1]
    for scheme, o in results.items():
        for kind in KINDS:
            for n in dict.fromkeys((1, most)):
                at, none = f"child={kind} {_at_number(n)}", f"child={kind} {_at_number(0)}"
                added = o.mean(at, "added_us")
                more = {
                    m: o.value(at, m) - o.value(none, m)
                    for m in ("calls", "heap_bytes", "copied_bytes")
                }
                yield [
                    short(scheme), kind, str(o.value(at, "section_steps") or "-"),
                    str(o.value(at, "refused")), o.value(at, "socket_in_child"), f"+{n}",
                    "never" if added is None else f"{added.mean / 1000:+.2f}",
                    *(f"{value:+,}" for value in more.values()),
                ]  # fmt: skip


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    for kind in KINDS:
        for who, text in _alike({s: _whose(o, kind) for s, o in results.items()}):
            yield f"{kind}, {who}: {text}", "structural"
    for kind in KINDS:
        for who, text in _alike({s: _more(o, kind) for s, o in results.items()}):
            yield f"one socket, {kind} under {who}: {text}", "exact"
    for scheme, o in results.items():
        yield (
            f"{short(scheme)}: {_time(o, point)} (winsock_call, kernel_call, page_touch)",
            "assumed",
        )


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): what sockets add to each kind of creation, by their number."""
    from sim.plots_panels import Series, panels

    def line(o: Replicated, kind: str, measure: str, unit: float) -> Series:
        base = [_per(v, unit) for v in o.values(f"child={kind} {_at_number(0)}", measure)]
        ys, lows, highs = [], [], []
        for n in point.numbers:
            found = o.values(f"child={kind} {_at_number(n)}", measure)
            mean = mean_interval([_per(v, unit) - b for v, b in zip(found, base, strict=True)])
            low, high = mean.limits() or (mean.mean, mean.mean)
            ys.append(mean.mean)
            lows.append(low)
            highs.append(high)
        return Series(list(map(float, point.numbers)), ys, lows, highs)

    count = len(next(iter(results.values())).outcomes)
    about = f"{system}, n={point.creations} in each of {count} replications, band: 95 %"
    for stem, measure, unit, label in (
        ("added_time", "added_us", 1000.0, "more than without sockets [ms]"),
        ("added_calls", "calls", 1.0, "more calls than without sockets [1]"),
    ):
        groups = {
            kind: {short(s): line(o, kind, measure, unit) for s, o in results.items()}
            for kind in KINDS
        }
        what = "time" if unit > 1 else "calls"
        yield (
            stem,
            panels(groups, "open sockets [1]", label, f"What open sockets add, {what}; {about}"),
        )


def short(scheme: str) -> str:
    """A scheme's name as tables have it."""
    return {
        "shared-memory-1.3.3": "1.3.3",
        "1.3.3-two-step": "two-step",
        "shared-memory": "1.3.4",
    }.get(scheme, scheme)


# ---- the machine -------------------------------------------------------------------------------


def _machine(
    sockets: int, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch | None = None,
    answers: dict[str, list[str]] | None = None,
) -> Machine:  # fmt: skip
    """The machine at its end; what each child's first socket answered goes to `answers`."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, point.processors, PLACES,
        calls=True,
    )  # fmt: skip
    machine.installation.watch = watch
    heard = {kind: [] for kind in KINDS} if answers is None else answers
    start(machine, Program("sh", lambda p: _maker(p, sockets, point, heard)))
    machine.kernel.engine.run()
    return machine


def _maker(p: UserProcess, sockets: int, point: Parameters, answers: dict[str, list[str]]) -> Steps:
    for _ in range(3):
        p.open("/dev/tty")
    p.fill_heap(point.heap_kib * 1024)
    for _ in range(sockets):
        p.socket()

    def tries(kind: str) -> Program:
        return Program("server", lambda q: _tries(q, answers[kind]))

    def becomes(q: UserProcess) -> Steps:
        yield from _tries(q, answers["fork"])
        yield from q.exec(tries("exec"))

    for _ in range(point.creations):
        child = yield from p.fork(becomes)
        yield from p.waitpid(child)
        child = yield from p.spawn(P_NOWAIT, tries("spawn"))
        yield from p.waitpid(child)


def _tries(p: UserProcess, answers: list[str]) -> Steps:
    """What dup() does first with a socket (CYGWIN.md §f)."""
    dll = p.dll
    first = next((d for d in dll.fds.open.values() if d.kind == SOCKET), None)
    if first is not None:
        try:
            dll.k.wsa_duplicate_socket(dll.me, first.handle, dll.me.process.pid)
            answers.append(WORKS)
        except Win32Error as error:
            answers.append(f"error {error.code}")  # of a descriptor without a handle
    yield from p.work(1)


# ---- measures ----------------------------------------------------------------------------------


def _measures(
    at: str, machine: Machine, one: Creation, took: list[float], added: list[float]
) -> Iterator[Measured]:
    kernel = machine.kernel
    rows = rows_of(kernel, one)
    asked = [row.args.get("err", 0) for row in rows if row.name == "WSASocket"]
    handed = [row.args["s"] for row in rows if row.name == "WSADuplicateSocket"]
    fetched = sum(row.name == "DuplicateHandle" and row.args["src"] in handed for row in rows)
    yield Measured(at, "took_us", "us", sum(took) / len(took), 0)
    yield Measured(at, "added_us", "us", sum(added) / len(added), 0)
    yield Measured(at, "section_steps", "1", one.section_steps, 0)
    yield Measured(at, "heap_bytes", "bytes", one.heap_bytes, 0)
    yield Measured(at, "copied_bytes", "bytes", heap_bytes_copied(kernel, one), 0)
    yield Measured(at, "calls", "1", sum(calls_of(kernel, one).values()), 0)
    yield Measured(at, "asked", "1", len(asked), 0)
    yield Measured(at, "refused", "1", sum(code != 0 for code in asked), 0)
    yield Measured(at, "fetched", "1", fetched, 0)


def _took_us(c: Creation) -> float:
    end = c.main_us if c.kind == "exec" else c.returned_us
    assert end is not None  # nothing here waits for a program without Cygwin
    return end - c.called_us


def _at_number(sockets: int) -> str:
    return f"sockets={sockets}"


def _per(value: float, unit: float) -> float:
    return value / unit


# ---- words -------------------------------------------------------------------------------------


def _alike(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(schemes, text): those of which the same is true together."""
    who: dict[str, list[str]] = {}
    for scheme, text in texts.items():
        who.setdefault(text, []).append(short(scheme))
    for text, some in who.items():
        yield ", ".join(some), text


def _whose(o: Replicated, kind: str) -> str:
    """Whether a child has a socket that works."""
    at = f"child={kind} {_at_number(1)}"
    asked, refused = o.value(at, "asked"), o.value(at, "refused")
    answer = o.value(at, "socket_in_child")
    if not asked:
        return f"the child inherits the handle of its socket, which {answer}"
    if not refused:
        return f"WSASocket gives the child its socket, which {answer}"
    helped = (
        "it fetches the socket by DuplicateHandle" if o.value(at, "fetched") else "nobody helps"
    )
    fate = "which works" if answer == WORKS else f"its first call on it is Win32 {answer}"
    return f"{refused:g} of {asked:g} WSASocket refused with 10022, {helped}, {fate}"


def _more(o: Replicated, kind: str) -> str:
    """What one socket adds in calls and bytes."""
    at, none = (f"child={kind} {_at_number(n)}" for n in (1, 0))
    counts = o.drawn("calls")[0]
    names = sorted({*counts[at], *counts[none]})
    changed = {name: counts[at][name] - counts[none][name] for name in names}
    pages = " (where its pages end)"
    calls = ", ".join(
        f"{n:+} {name}{pages if name == 'VirtualAlloc' else ''}" for name, n in changed.items() if n
    )
    heap, copied = (o.value(at, m) - o.value(none, m) for m in ("heap_bytes", "copied_bytes"))
    return f"{calls or 'no call more'}; heap {heap:+,} bytes, copied {copied:+,}"


def _time(o: Replicated, point: Parameters) -> str:
    """What the first socket adds in time, and what each further one."""
    most = point.numbers[-1]
    words = []
    for kind in KINDS:
        at = [o.values(f"child={kind} {_at_number(n)}", "added_us") for n in (1, most)]
        text = f"{kind} {in_words(mean_interval(at[0]), 0.001, 'ms')}"
        if most > 1:
            each = [(b - a) / (most - 1) for a, b in zip(*at, strict=True)]
            text += f", each further one {mean_interval(each).mean / 1000:.3f} ms"
        words.append(text)
    return "the first socket adds to a " + "; ".join(words)


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
