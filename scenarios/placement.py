"""What if the heap does not land where it was?

The heap holds pointers to its own bytes.  It is handed to the child of an exec and lands 64 KiB
away: how many pointers dangle, which one faults first, what the child was doing; then each pointer
is mended when it faults, until main() runs.  How often an exec follows a pointer is counted too:
with the based pointers that the document wishes for, each of those would be an addition.

The releases refuse instead: a DLL lies at the heap's place in the child, and the message is the
one that users saw.  Last, the places that the releases tried in turn, on the same mishaps: fixed at
0x12010000, chosen by the system, behind the DLL, inside its image, at 0x800000000.

Everything is bytes, counts and addresses; no time is invented.
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
from models.cygwin.argument_requests import requests_of
from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.heap import early
from models.cygwin.cygheap.layout import Era
from models.cygwin.descriptors import CONSOLE
from models.cygwin.exec_chain import (
    TAGGED,
    UNTAGGED,
    ExecChain,
    constant_arguments,
    landed,
    put_tagged,
)
from models.cygwin.heap_pointers import (
    KINDS,
    Fault,
    FollowCounter,
    left_alone,
    pointers,
    repaired,
    start_up,
)
from models.cygwin.images import cygwin_image
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.placement import FATES, FINE, MISHAPS, REMEDIES, fate, slots, slots_hit
from models.cygwin.process import CygwinProcess
from models.cygwin.startup import entry
from models.win32.cost_profile import Profile
from models.win32.image import Image, Layout, Part
from models.win32.system import SYSTEMS
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from sim.design import Factor
from sim.engine import Steps
from sim.streams import Replication

_GRAIN_KIB = 64  # of reservations and views
_DLL_BYTES = 0x40000  # what lies in the way in the simulated exec
_MOVED = "heap=moved"
_LONG = "heap=moved-long"
_FOLLOWS = "exec=follows"
_REFUSED = "exec=refused"
_SHORT = {"os-chosen": "by OS", "after-dll": "after", "inside-image": "inside"}
_SWEEPS = {"slots hit, in all": "slots_hit_in_all", "slots hit, child only": "slots_hit_in_child"}
_STEPS = ("the walk", "taking argv", "reading the fd table", "main() with its strings")


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    shift_kib: how far from its place the heap lands, a multiple of 64 [KiB] -- input
    execs: how many execs the heap has behind it -- input
    long_execs: the same of a heap that never freed an argument set -- input
    """

    shift_kib: int = parameter(64, "KiB", -65_536, 65_536)
    execs: int = parameter(4, "1", 0, 300)
    long_execs: int = parameter(60, "1", 0, 300)

    def __post_init__(self) -> None:
        check(self)
        if self.shift_kib == 0 or self.shift_kib % _GRAIN_KIB:
            rule = f"must be a multiple of {_GRAIN_KIB}, not 0"
            raise ValueError(f"shift_kib ({self.shift_kib}) {rule}")


SPEC = Spec(
    name="placement",
    question=__doc__.splitlines()[0],
    paragraph="place",
    free_heap=True,
    parameters=Parameters(),
    limits=(
        "bytes, counts and addresses; no time, and nothing said of how often a heap moves",
        "pointers are followed up to main(); what the program does later is not asked",
        "the places of later releases are taken from their sources, with the layouts that are "
        "assumed there",
    ),
    headlines=((_MOVED, "dangling"), (_MOVED, "faults"), (_LONG, "dangling")),
    factors=(
        Factor("shift_kib", levels=(64, -64, 4096)),
        Factor("execs", low=1, high=12),
        Factor("long_execs", low=30, high=120),
    ),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """The heap of one scheme moved, its pointers followed, its refusal; then the places."""
    era = early(schemes.get(scheme).version.era, "its place is 0x800000000", "fixed_address")
    rows = [*_moved(point, era), *_long(point, era), *_follows(point, era)]
    machine = _refusal(scheme, system, profile, replication)
    rows += _refused(machine)
    for remedy in REMEDIES:
        for mishap in MISHAPS:
            at = _at(remedy.name, mishap.name)
            rows.append(Measured(at, "fate", "", fate(remedy, mishap), 0))
        at = f"place={remedy.name} mishap=slots"
        rows.append(Measured(at, "slots", "1", len(slots(remedy)), 0))
        rows.append(Measured(at, "slots_hit_in_all", "1", slots_hit(remedy, True), 0))
        rows.append(Measured(at, "slots_hit_in_child", "1", slots_hit(remedy, False), 0))
    return Outcome(rows, [])


def places(point: Parameters) -> Iterator[str]:
    """The points of the results that are a machine."""
    yield _REFUSED


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of the refused exec at its end, with `watch` looking on."""
    return _refusal(scheme, system, profile, replication, watch)


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): dangling pointers by kind, and deaths by place."""
    from sim import plots

    name, outcome = next(iter(results.items()))
    yield (
        "dangling",
        plots.plain_bars(
            list(KINDS),
            [float(outcome.value(_MOVED, _dangling(kind))) for kind in KINDS],
            f"{name}: pointers that dangle, heap moved by {point.shift_kib} KiB",
            "pointers [1]",
        ),
    )
    yield (
        "mishaps_survived",
        plots.plain_bars(
            [remedy.name for remedy in REMEDIES],
            [float(sum(_fate(outcome, r.name, m.name) == FINE for m in MISHAPS)) for r in REMEDIES],
            f"Of {len(MISHAPS)} mishaps, how many each place survives",
            "mishaps [1]",
        ),
    )


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Pointers by scheme; then places against mishaps."""
    wide = max(5, len(results))
    pad = [""] * (wide - len(results))
    eras = [schemes.get(name).version.era.name for name in results]
    yield [f"moved {point.shift_kib} KiB, era", *eras, *pad]
    for text, at, measure in (
        ("pointers that dangle", _MOVED, "dangling"),
        *((f"  {kind}", _MOVED, _dangling(kind)) for kind in KINDS),
        ("faults until main()", _MOVED, "faults"),
        *((f"  {step}".removesuffix(" with its strings"), _MOVED, f"faults in {step}")
          for step in _STEPS),
        ("pointers followed", _FOLLOWS, "follows"),
    ):  # fmt: skip
        yield [text, *(f"{o.value(at, measure)}" for o in results.values()), *pad]
    firsts = [f"{o.value(_MOVED, 'first_fault_address'):#x}" for o in results.values()]
    yield ["first fault at", *firsts, *pad]
    yield [""] * (1 + wide)
    pad = [""] * (wide - len(REMEDIES))
    yield ["who dies", *(_SHORT.get(remedy.name, remedy.name) for remedy in REMEDIES), *pad]
    outcome = next(iter(results.values()))
    for mishap in MISHAPS:
        cells = [_fate(outcome, remedy.name, mishap.name) for remedy in REMEDIES]
        yield [mishap.what, *("-" if c == FINE else c for c in cells), *pad]
    for text, measure in _SWEEPS.items():
        points = [f"place={remedy.name} mishap=slots" for remedy in REMEDIES]
        cells = [f"{outcome.value(at, measure)}/{outcome.value(at, 'slots')}" for at in points]
        yield [text, *cells, *pad]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications; nothing here is drawn."""
    for name, o in results.items():
        yield _about_moved(name, o), "exact"
        yield _about_long(name, o, point), "exact"
    for name, o in results.items():
        message = o.value(_REFUSED, "message") or "nothing"
        code = o.value(_REFUSED, "exit_code")
        ends = "still waits" if code is None else f"ends with {code}"
        yield (
            f"{name}: with a DLL at that place the child says {message!r}, and its caller {ends}",
            ("exact"),
        )
    outcome = next(iter(results.values()))
    for remedy in REMEDIES:
        yield _about_place(outcome, remedy.name), "exact"
    yield _about_all(outcome), "exact"


# ---- the measures ------------------------------------------------------------------------------


def _at(place: str, mishap: str) -> str:
    return f"place={place} mishap={mishap}"


def _fate(outcome: Replicated, place: str, mishap: str) -> str:
    return str(outcome.value(_at(place, mishap), "fate"))


def _dangling(kind: str) -> str:
    return f"dangling in {kind}"


def _heap(era: Era, execs: int, tag: str) -> Cygheap:
    """A heap with some execs behind it."""
    chain = ExecChain(era, tag)
    for i in range(execs):
        chain.exec(constant_arguments(i))
    return chain.heap


def _moved(point: Parameters, era: Era) -> list[Measured]:
    """One hand-over that lands elsewhere, mended fault by fault."""
    heap = _heap(era, point.execs, TAGGED)
    blocks = put_tagged(heap, constant_arguments(point.execs))
    kinds = Counter(p.kind for p in pointers(heap, blocks))
    faults: list[Fault] = repaired(heap, blocks, point.shift_kib * 1024)
    steps = Counter(f.step for f in faults)
    return [
        Measured(_MOVED, "cygheap_bytes", "bytes", heap.max, 0),
        Measured(_MOVED, "dangling", "1", kinds.total(), 0),
        *(Measured(_MOVED, _dangling(kind), "1", kinds[kind], 0) for kind in KINDS),
        Measured(_MOVED, "faults", "1", len(faults), 0),
        *(Measured(_MOVED, f"faults in {step}", "1", steps[step], 0) for step in _STEPS),
        Measured(_MOVED, "first_fault_address", "1", faults[0].pointer.address, 0),
        Measured(_MOVED, "first_fault_slot", "bytes", faults[0].pointer.slot, 0),
        Measured(_MOVED, "first_fault_kind", "", faults[0].pointer.kind, 0),
        Measured(_MOVED, "first_fault_step", "", faults[0].step, 0),
    ]


def _long(point: Parameters, era: Era) -> list[Measured]:
    """A heap longer than the shift: some of its pointers lead to other bytes of its own."""
    heap = _heap(era, point.long_execs, UNTAGGED)
    blocks = put_tagged(heap, constant_arguments(point.long_execs))
    shift = point.shift_kib * 1024
    inside = range(heap.base + shift, heap.base + shift + heap.max)
    found = pointers(heap, blocks)
    step, address, words = left_alone(heap, blocks, shift)
    return [
        Measured(_LONG, "cygheap_bytes", "bytes", heap.max, 0),
        Measured(_LONG, "dangling", "1", len(found), 0),
        Measured(_LONG, "silent", "1", sum(p.address in inside for p in found), 0),
        Measured(_LONG, "words_overwritten", "1", words, 0),
        Measured(_LONG, "first_fault_address", "1", address or None, int(not address)),
        Measured(_LONG, "first_fault_step", "", step, 0),
    ]


def _follows(point: Parameters, era: Era) -> list[Measured]:
    """How often one exec follows a pointer that is stored in the heap or in child_info."""
    heap = _heap(era, point.execs, TAGGED)
    parent = FollowCounter.of(heap)
    parent.argument_set(requests_of(constant_arguments(point.execs)).sizes)
    heap = _heap(era, point.execs, TAGGED)
    blocks = put_tagged(heap, constant_arguments(point.execs))
    child = FollowCounter.of(landed(heap, heap.base))
    start_up(child, blocks.info)
    return [
        Measured(_FOLLOWS, "follows_in_parent", "1", parent.follows, 0),
        Measured(_FOLLOWS, "follows_in_child", "1", child.follows, 0),
        Measured(_FOLLOWS, "follows", "1", parent.follows + child.follows, 0),
    ]


def _refusal(
    scheme: str, system: str, profile: Profile, replication: Replication,
    watch: Watch | None = None,
) -> Machine:  # fmt: skip
    """A shell that execs a program one of whose DLLs lies where the heap is."""
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, 1, 1)
    machine.installation.watch = watch

    def shell(p: CygwinProcess) -> Steps:
        for fd in range(3):
            p.open(fd, CONSOLE)
        p.me.costs = machine.draws.at(0)
        plain = cygwin_image(machine.installation.version, "prog", _nothing(machine))
        parts = Layout([*plain.parts, Part(p.heap.base, _DLL_BYTES, "foo.dll")])
        creation = Creation(0, "exec", 1, "prog", child=1)
        yield from p.execute(Image("prog", parts, plain.entry), constant_arguments(0), creation)

    machine.start("sh", shell)
    machine.kernel.engine.run()
    return machine


def _nothing(machine: Machine) -> Any:
    def main(p: CygwinProcess) -> Steps:
        yield from p.exit(0)

    return entry(machine.installation, main)


def _refused(machine: Machine) -> list[Measured]:
    failures = machine.installation.failures
    shell = next(iter(machine.kernel.processes.values()))
    message = failures[-1].message if failures else ""
    return [
        Measured(_REFUSED, "message", "", message, 0),
        Measured(_REFUSED, "exit_code", "1", shell.exit_code, int(shell.alive)),
    ]


# ---- words for them ----------------------------------------------------------------------------


def _about_moved(name: str, o: Replicated) -> str:
    kind, step = (o.value(_MOVED, f"first_fault_{what}") for what in ("kind", "step"))
    slot, address = (o.value(_MOVED, f"first_fault_{what}") for what in ("slot", "address"))
    in_parent, in_child = (o.value(_FOLLOWS, f"follows_in_{who}") for who in ("parent", "child"))
    return (
        f"{name}: of {o.value(_MOVED, 'dangling')} dangling pointers the first that faults is one "
        f"of the {kind}, at offset {slot}, in {step}: address {address:#x}; mended one by one, "
        f"{o.value(_MOVED, 'faults')} fault until main() has its strings; with based pointers an "
        f"exec would add a base {in_parent + in_child} times ({in_parent} in the parent, "
        f"{in_child} in the child), wherever the heap lands"
    )


def _about_long(name: str, o: Replicated, point: Parameters) -> str:
    silent, words = o.value(_LONG, "silent"), o.value(_LONG, "words_overwritten")
    size = o.value(_LONG, "cygheap_bytes") / 1024
    address = o.value(_LONG, "first_fault_address")
    end = "it never faults" if address is None else f"it faults at {address:#x}"
    if not silent:
        return f"{name}: a heap of {size:.0f} KiB has no pointer that leads into the moved heap"
    return (
        f"{name}: in a heap of {size:.0f} KiB, {silent} of {o.value(_LONG, 'dangling')} pointers "
        f"lead to other bytes of the moved heap; words that the child overwrites: {words}; {end}, "
        f"in {o.value(_LONG, 'first_fault_step')}"
    )


def _about_place(o: Replicated, place: str) -> str:
    bad = {m.what: _fate(o, place, m.name) for m in MISHAPS}
    words = [f"{what}: {FATES[f]}" for what, f in bad.items() if f != FINE]
    at = f"place={place} mishap=slots"
    hit, of = o.value(at, "slots_hit_in_all"), o.value(at, "slots")
    return f"{place}: {'; '.join(words) or 'no mishap hits it'}; {hit} of {of} DLL slots hit it"


def _about_all(o: Replicated) -> str:
    fine = {r.name: sum(_fate(o, r.name, m.name) == FINE for m in MISHAPS) for r in REMEDIES}
    most = max(fine.values())
    best = " and ".join(name for name, count in fine.items() if count == most)
    never = [m.what for m in MISHAPS if all(_fate(o, r.name, m.name) != FINE for r in REMEDIES)]
    none = f"; none survives: {', '.join(never)}" if never else ""
    return (
        f"most of these mishaps are survived by {best} ({most} of {len(MISHAPS)}){none}; how often "
        "each happens is not weighed"
    )


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
