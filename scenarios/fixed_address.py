"""Is the heap safer at a fixed address behind the DLL than where the system happens to put it?

Before 1.3.3 (`blocking`) the system chose the heap's address in the first process, and every child
needed that address free.  From 1.3.3 on the heap lies behind Cygwin's DLL, in every process.

* How often does a process of a small tree (first process, fork, exec) die of it, by the number of
  DLLs that ld placed with --enable-auto-image-base?  In a world in which nothing else is left to
  chance, on XP, and where Cygwin's own DLL moves?
* The document sees a "tendency" of ld "to allocate DLLs immediately after cygwin1.dll".  The rule
  gives each of 1024 slots the same chance, and the heap takes 20 of them.
* What does a user see, and what does the parent do?  A machine is run for each case.
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
from models.cygwin.arguments import Arguments
from models.cygwin.auto_image_base import RULES
from models.cygwin.errors import TryAgain
from models.cygwin.images import cygwin_image
from models.cygwin.installation import Creation, Program, Watch
from models.cygwin.layout_trees import WORLDS, Chances, fail
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.startup import entry
from models.win32.cost_profile import Profile
from models.win32.image import Image, Part
from models.win32.system import SYSTEMS
from scenarios.spec import Measured, Outcome, Spec
from sim.engine import Steps
from sim.estimators import Share, proportion_interval
from sim.streams import Replication

CASES = ("first", "fork", "exec", "moved")
BLOCKER = "foo.dll"
_BLOCKER_BYTES = 0x40000
_DIES = ("first", "fork", "exec", "any")


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    dlls: DLLs of a program, placed by rule 2001 -- input
    dll_kib: size of each [KiB] -- input
    trees: how many are drawn in one replication -- input
    xp_allocations, xp_allocation_kib, xp_arena_mib: what XP puts elsewhere in every process: how
        many, how large [KiB], over which range [MiB] (assumed) -- input
    aslr_bases: on how many places Cygwin's DLL may lie (assumed) -- input
    """

    dlls: tuple[int, ...] = (1, 2, 5, 10, 20, 40)
    dll_kib: int = 256
    trees: int = 20_000
    xp_allocations: int = 3
    xp_allocation_kib: int = 1024
    xp_arena_mib: int = 256
    aslr_bases: int = 256

    def __post_init__(self) -> None:
        limits = {
            "dll_kib": (1, 65_536),
            "trees": (1, 1_000_000),
            "xp_allocations": (0, 100),
            "xp_allocation_kib": (1, 16_384),
            "xp_arena_mib": (32, 1024),
            "aslr_bases": (1, 256),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} ({getattr(self, name)}) must be from {low} to {high}")
        for dlls in self.dlls:
            if not 1 <= dlls <= 500:
                raise ValueError(f"dlls ({dlls}) must be from 1 to 500")

    def chances(self, dlls: int) -> Chances:
        """What is drawn for programs of `dlls` DLLs."""
        return Chances(
            dlls,
            self.dll_kib << 10,
            self.xp_arena_mib << 20,
            self.xp_allocations,
            self.xp_allocation_kib << 10,
            self.aslr_bases,
        )


SPEC = Spec(
    name="fixed_address",
    question=__doc__.splitlines()[0],
    parameters=Parameters(),
    quick=(("dlls", (1, 10, 20)), ("trees", 4000)),
    replications=5,
    quick_replications=2,
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All worlds by number of DLLs, and all cases on a machine, under one scheme."""
    version = schemes.get(scheme).version
    rows: list[Measured] = []
    for world in WORLDS:
        for dlls in point.dlls:
            found = fail(version, world, point.chances(dlls), point.trees, replication)
            rows += [
                Measured(_at(world, dlls), f"{who}_dies", "1", getattr(found, who) / found.trees, 0)
                for who in _DIES
            ]
    for case in CASES:
        machine, told = _case(case, scheme, system, profile, replication)
        said = [failure.message for failure in machine.installation.failures]
        rows.append(Measured(_at_case(case), "message", "", "; ".join(said) or "nothing", 0))
        rows.append(Measured(_at_case(case), "parent", "", told[-1] if told else "none", 0))
    return Outcome(rows, [])


def places(point: Parameters) -> Iterator[str]:
    """The points that have a machine of their own."""
    yield from (_at_case(case) for case in CASES)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one case at its end, with `watch` looking on. Raises KeyError."""
    for case in CASES:
        if place == _at_case(case):
            return _case(case, scheme, system, profile, replication, watch)[0]
    raise KeyError(place)


def figures(results: dict[str, Outcome], point: Parameters, system: str, profile: Profile,
            seed: int) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): trees that fail over the number of DLLs, one figure a world."""
    from sim import plots

    xs = [float(dlls) for dlls in point.dlls]
    # where the DLL moves nearly every fork dies: what is left to compare is the exec
    drawn = {
        "fixed": ("any", "Only ld's choice is left to chance"),
        "xp": ("any", f"XP puts {point.xp_allocations} allocations elsewhere (assumed)"),
        "aslr": ("exec", f"Cygwin's own DLL moves among {point.aslr_bases} places (assumed)"),
    }
    what = {
        "any": "trees in which a process dies [1]",
        "exec": "execs that die, their parent living [1]",
    }
    for world, (who, title) in drawn.items():
        series: dict[str, tuple[list[float], list[float | None]]] = {}
        for name, outcome in results.items():
            ys = [_drawn_share(outcome, _at(world, dlls), who) for dlls in point.dlls]
            series[f"{name}, of {point.trees} trees each"] = (xs, ys)
        yield f"trees_{world}", plots.lines(series, "DLLs of a program [1]", what[who], title)
    compared: dict[str, tuple[list[float], list[float | None]]] = {}
    for name, outcome in results.items():
        if schemes.get(name).version.heap_address:
            ys = [outcome.value(_at("fixed", dlls), "first_dies") for dlls in point.dlls]
            compared[f"{name}, {point.trees} drawn each"] = (xs, ys)
            compared[f"{name}, even chances"] = (xs, [*_exact_first(name, point)])
    if compared:
        yield "tendency", plots.lines(
            compared, "DLLs of a program [1]", "first processes that die [1]",
            "A tendency to lie behind Cygwin's DLL, or even chances?",
        )  # fmt: skip


def _drawn_share(outcome: Outcome, at: str, who: str) -> float | None:
    """Of all trees; an exec of those whose first process lives. None if there are none."""
    trees: float = 1 - outcome.value(at, "first_dies") if who == "exec" else 1.0
    return outcome.value(at, f"{who}_dies") / trees if trees else None


def table(results: dict[str, Outcome], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: a tree dies, with the interval over its trees."""
    yield ["a tree dies", "DLLs", *results]
    for world in WORLDS:
        for dlls in point.dlls:
            cells = [_percent(o, _at(world, dlls), "any_dies", point) for o in results.values()]
            yield [world, str(dlls), *cells]
    for who in ("first", "fork", "exec"):
        for world in WORLDS:
            at = _at(world, point.dlls[-1])
            cells = [_percent(o, at, f"{who}_dies", point) for o in results.values()]
            yield [f"{world}: {who} dies", str(point.dlls[-1]), *cells]


def conclusions(results: dict[str, Outcome], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from the numbers just found."""
    for name, outcome in results.items():
        if schemes.get(name).version.heap_address:
            yield from _about_the_rule(name, outcome, point)
        elif not any(outcome.value(_at("fixed", n), "any_dies") for n in point.dlls):
            yield f"{name}: no DLL that ld places can lie where the system puts the heap", "exact"
    yield from _about_xp(results, point)
    for name, outcome in results.items():
        at = _at("aslr", point.dlls[0])
        lives = 1 - outcome.value(at, "first_dies")
        share = outcome.value(at, "fork_dies") / lives if lives else 1.0
        yield f"{name}: where Cygwin's DLL moves, {share:.1%} of forks die", "assumed"
    for name, outcome in results.items():
        for case in CASES:
            message = outcome.value(_at_case(case), "message")
            parent = outcome.value(_at_case(case), "parent")
            yield f"{name}, {case}: {message} | parent: {parent}", "structural"


def _about_the_rule(name: str, outcome: Outcome, point: Parameters) -> Iterator[tuple[str, str]]:
    """Whether the shares drawn are those of a rule that prefers no slot."""
    shares = [_share(outcome, _at("fixed", n), "first_dies", point, 0.999) for n in point.dlls]
    exact = _exact_first(name, point)
    one = _hit_by_one(name, point)
    yield f"{name}: one DLL lies in the heap's place with {one:.2%}", "exact"
    within = sum(s.low <= e <= s.high for s, e in zip(shares, exact, strict=True))
    even = within == len(exact)
    verdict = "no tendency is needed" if even else "even chances do not explain it"
    yield (
        f"{name}: with {point.dlls[-1]} DLLs {shares[-1].share:.1%} of first processes die, "
        f"from even chances {exact[-1]:.1%}: {verdict} ({within} of {len(exact)} within 99.9 %)",
        "structural",
    )


def _about_xp(results: dict[str, Outcome], point: Parameters) -> Iterator[tuple[str, str]]:
    """What XP adds to each scheme, and up to how many DLLs the fixed address is the safer one."""
    dies = {
        (name, world, dlls): outcome.value(_at(world, dlls), "any_dies")
        for name, outcome in results.items()
        for world in ("fixed", "xp")
        for dlls in point.dlls
    }
    n = point.dlls[0]
    for name in results:
        before, after = dies[name, "fixed", n], dies[name, "xp", n]
        yield f"{name}: XP's choices bring {before:.1%} of trees to {after:.1%}", "assumed"
    chosen = [name for name in results if not schemes.get(name).version.heap_address]
    for name in results:
        for old in chosen:
            if name in chosen:
                continue
            safer = [str(k) for k in point.dlls if dies[name, "xp", k] < dies[old, "xp", k]]
            which = f"with {', '.join(safer)} DLL(s)" if safer else "nowhere"
            yield f"on XP {name} loses fewer trees than {old} {which}", "assumed"


def _hit_by_one(name: str, point: Parameters) -> float:
    """Chance of one slot of rule 2001 to reach into the heap's place."""
    version, rule = schemes.get(name).version, RULES["2001"]
    size = point.dll_kib << 10
    hits = sum(
        base < version.heap_address + version.era.cygheapsize and base + size > version.heap_address
        for base in range(rule.base, rule.base + rule.slots * rule.slot_bytes, rule.slot_bytes)
    )
    return hits / rule.slots


def _exact_first(name: str, point: Parameters) -> list[float]:
    return [1 - (1 - _hit_by_one(name, point)) ** dlls for dlls in point.dlls]


def _share(
    outcome: Outcome, at: str, measure: str, point: Parameters, level: float = 0.95
) -> Share:
    """A share with the interval of the trees behind it."""
    hits = round(outcome.value(at, measure) * point.trees)
    return proportion_interval(hits, point.trees, level)


def _percent(outcome: Outcome, at: str, measure: str, point: Parameters) -> str:
    share = _share(outcome, at, measure, point)
    return f"{share.share:.1%} ({share.low:.1%}..{share.high:.1%})"


def _at(world: str, dlls: int) -> str:
    return f"world={world} dlls={dlls}"


def _at_case(case: str) -> str:
    return f"case={case}"


# -- the cases on a machine ---------------------------------------------------------------------


def _case(
    case: str, scheme: str, system: str, profile: Profile, replication: Replication,
    watch: Watch | None = None,
) -> tuple[Machine, list[str]]:  # fmt: skip
    """The machine at its end, and what the parent came to know.

    `first`, `fork`, `exec`: a DLL lies in the heap's place of that process; `moved`: Cygwin's own
    DLL lies 1 MiB higher in a fork child.
    """
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, 2, 2)
    machine.installation.watch = watch
    told: list[str] = []

    def parent(p: CygwinProcess) -> Steps:
        told.append("lives")
        p.me.costs = machine.draws.at(0)
        if case in ("fork", "moved"):
            # the program file is the same; in the child its DLLs come to lie elsewhere
            p.me.process.image = _elsewhere(machine, case, p.me.process.image, p.heap.base)
        try:
            pid = yield from p.fork(lambda child: _child(child, machine, case))
        except TryAgain as error:
            told.append(f"fork: EAGAIN, {error}")
            return
        code = yield from p.waitpid(pid)
        told.append(f"child exits with {code}")

    image = _image(machine, "sh", parent)
    if case == "first":
        image = _with_blocker(image, _usual_place(scheme, system, profile, replication))
    machine.kernel.boot(image, machine.draws.at(-1), Creation(-1, "boot", 1, "sh", child=1))
    machine.kernel.engine.run()
    return machine, told


def _usual_place(scheme: str, system: str, profile: Profile, replication: Replication) -> int:
    """Where the heap of a first process lies if nothing is in the way."""
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, 2, 1)
    found: list[int] = []

    def note(p: CygwinProcess) -> Steps:
        found.append(p.heap.base)
        yield from p.work(1.0)

    machine.start("sh", note)
    machine.kernel.engine.run()
    return found[0]


def _child(p: CygwinProcess, machine: Machine, case: str) -> Steps:
    if case == "exec":
        p.me.costs = machine.draws.at(1)
        image = _with_blocker(_image(machine, "cat", _nothing), p.heap.base)
        yield from p.execute(image, Arguments([b"cat"], [b"PATH=/bin"]))


def _nothing(p: CygwinProcess) -> Steps:
    yield from p.work(1.0)


def _image(machine: Machine, name: str, program: Program) -> Image:
    installation = machine.installation
    return cygwin_image(installation.version, name, entry(installation, program))


def _with_blocker(image: Image, address: int) -> Image:
    """The program with one DLL more, right in the heap's place."""
    return Image(image.name, (*image.parts, Part(address, _BLOCKER_BYTES, BLOCKER)), image.entry)


def _elsewhere(machine: Machine, case: str, image: Image, heap: int) -> Image:
    if case == "fork":
        return _with_blocker(image, heap)
    version = machine.installation.version
    low, high = version.dll_base, version.dll_base + version.dll_bytes
    parts = [
        Part(part.base + 0x100000, part.size_bytes, part.name, part.writable)
        if low <= part.base < high
        else part
        for part in image.parts
    ]
    return Image(image.name, tuple(parts), image.entry)


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
