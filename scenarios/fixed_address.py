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
from models.cygwin.auto_image_base import RULES
from models.cygwin.installation import Watch
from models.cygwin.layout_trees import WORLDS, Chances, fail
from models.cygwin.machine import Machine
from models.win32.cost_profile import Profile
from scenarios.address_cases import CASES, case_of
from scenarios.parameters import parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from sim.estimators import Share, proportion_interval
from sim.streams import Replication

_XP = "xp_allocations, xp_allocation_kib, xp_arena_mib"  # assumed
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

    dlls: tuple[int, ...] = parameter((1, 2, 5, 10, 20, 40), "1", 1, 500)
    dll_kib: int = parameter(256, "KiB", 1, 65_536)
    trees: int = parameter(20_000, "1", 1, 1_000_000)
    xp_allocations: int = parameter(3, "1", 0, 100)
    xp_allocation_kib: int = parameter(1024, "KiB", 1, 16_384)
    xp_arena_mib: int = parameter(256, "MiB", 32, 1024)
    aslr_bases: int = parameter(256, "1", 1, 256)

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
    paragraph="place",
    free_heap=True,
    parameters=Parameters(),
    quick=(("dlls", (1, 10, 20)), ("trees", 4000)),
    replications=5,
    quick_replications=2,
    limits=(
        "DLLs are placed by ld's rule alone; rebased DLLs, stacks and mappings are left out",
        "that XP moves three allocations is assumed, and so are the sizes of DLLs",
        "a tree of a first process, a fork and an exec; larger trees die more often",
        "what overlaps is checked against reported failures that name addresses, how often "
        "against no data",
    ),
    headlines=(("world=fixed dlls={dlls[0]}", "any_dies"), ("world=xp dlls={dlls[0]}", "any_dies")),
    narrow=(("dlls", (10,)), ("trees", 4000)),
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
        machine, told = case_of(case, scheme, system, profile, replication)
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
            return case_of(case, scheme, system, profile, replication, watch)[0]
    raise KeyError(place)


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
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
            series[f"{name}, of {_trees(outcome, point):,} trees each"] = (xs, ys)
        yield f"trees_{world}", plots.lines(series, "DLLs of a program [1]", what[who], title)
    compared: dict[str, tuple[list[float], list[float | None]]] = {}
    for name, outcome in results.items():
        if schemes.get(name).version.heap_address:
            ys = [outcome.value(_at("fixed", dlls), "first_dies") for dlls in point.dlls]
            compared[f"{name}, {_trees(outcome, point):,} drawn each"] = (xs, ys)
            compared[f"{name}, even chances"] = (xs, [*_exact_first(name, point)])
    if compared:
        yield "tendency", plots.lines(
            compared, "DLLs of a program [1]", "first processes that die [1]",
            "A tendency to lie behind Cygwin's DLL, or even chances?",
        )  # fmt: skip


def _drawn_share(outcome: Replicated, at: str, who: str) -> float | None:
    """Of all trees; an exec of those whose first process lives. None if there are none."""
    trees: float = 1 - outcome.value(at, "first_dies") if who == "exec" else 1.0
    return outcome.value(at, f"{who}_dies") / trees if trees else None


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: a tree dies, with the interval over its trees."""
    short = [name.replace("shared-memory", "shared") for name in results]
    yield ["dies [%]", "DLLs", *short]
    for world in WORLDS:
        for dlls in point.dlls:
            cells = [_percent(o, _at(world, dlls), "any_dies", point) for o in results.values()]
            yield [f"any, {world}", str(dlls), *cells]
    for who in ("first", "fork", "exec"):
        for world in WORLDS:
            at = _at(world, point.dlls[-1])
            cells = [_percent(o, at, f"{who}_dies", point) for o in results.values()]
            yield [f"{who}, {world}", str(point.dlls[-1]), *cells]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    for name, outcome in results.items():
        if schemes.get(name).version.heap_address:
            yield from _about_the_rule(name, outcome, point)
        elif not any(outcome.value(_at("fixed", n), "any_dies") for n in point.dlls):
            yield f"{name}: no DLL that ld places can lie where the system puts the heap", "exact"
    yield from _about_xp(results, point)
    for name, outcome in results.items():
        at = _at("aslr", point.dlls[0])
        first, fork = (_share(outcome, at, f"{who}_dies", point).share for who in ("first", "fork"))
        lives = round((1 - first) * _trees(outcome, point))
        if lives:
            dead = min(lives, round(fork * _trees(outcome, point)))
            share = proportion_interval(dead, lives)
            text = f"where Cygwin's DLL moves, {_interval(share)} of forks die (aslr_bases)"
            yield f"{name}: {text}", "assumed"
    for name, outcome in results.items():
        for case in CASES:
            message = outcome.value(_at_case(case), "message")
            parent = outcome.value(_at_case(case), "parent")
            yield f"{name}, {case}: {message} | parent: {parent}", "structural"


def _about_the_rule(name: str, outcome: Replicated, point: Parameters) -> Iterator[tuple[str, str]]:
    """Whether the shares drawn are those of a rule that prefers no slot."""
    shares = [_share(outcome, _at("fixed", n), "first_dies", point, 0.999) for n in point.dlls]
    exact = _exact_first(name, point)
    one = _hit_by_one(name, point)
    yield (
        f"{name}: one DLL of {point.dll_kib} KiB reaches into the heap's place with {one:.2%}",
        "exact",
    )
    within = sum(s.low <= e <= s.high for s, e in zip(shares, exact, strict=True))
    even = within == len(exact)
    verdict = "no tendency is needed" if even else "even chances do not explain it"
    yield (
        f"{name}: with {point.dlls[-1]} DLLs {shares[-1].share:.1%} of first processes die "
        f"({_trees(outcome, point):,} trees in {_times(outcome)}), from even chances "
        f"{exact[-1]:.1%}: {verdict} ({within} of {len(exact)} within 99.9 %; dll_kib)",
        "assumed",
    )


def _about_xp(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """What XP adds to each scheme, and up to how many DLLs the fixed address is the safer one."""
    dies = {
        (name, world, dlls): outcome.value(_at(world, dlls), "any_dies")
        for name, outcome in results.items()
        for world in ("fixed", "xp")
        for dlls in point.dlls
    }
    n = point.dlls[0]
    for name, r in results.items():
        before, after = (_share(r, _at(w, n), "any_dies", point) for w in ("fixed", "xp"))
        text = f"XP's choices bring {_interval(before)} of trees to {_interval(after)}"
        yield f"{name}: {text} ({_XP})", "assumed"
    chosen = [name for name in results if not schemes.get(name).version.heap_address]
    for name in results:
        for old in chosen:
            if name in chosen:
                continue
            safer = [str(k) for k in point.dlls if dies[name, "xp", k] < dies[old, "xp", k]]
            which = f"with {', '.join(safer)} DLL(s)" if safer else "nowhere"
            yield f"on XP {name} loses fewer trees than {old} {which} ({_XP}, dll_kib)", "assumed"


def _hit_by_one(name: str, point: Parameters) -> float:
    """Chance of one slot of rule 2001 to reach into the heap's place."""
    version, rule = schemes.get(name).version, RULES["2001"]
    size = point.dll_kib << 10
    hits = sum(
        base < version.heap_address + version.era.cygheapsize and base + size > version.heap_address
        for base in rule.addresses()
    )
    return hits / rule.slots


def _exact_first(name: str, point: Parameters) -> list[float]:
    return [1 - (1 - _hit_by_one(name, point)) ** dlls for dlls in point.dlls]


def _share(
    outcome: Replicated, at: str, measure: str, point: Parameters, level: float = 0.95
) -> Share:
    """A share with the interval of the trees behind it, those of all replications."""
    values = outcome.values(at, measure)
    hits = sum(round(value * point.trees) for value in values)
    return proportion_interval(hits, len(values) * point.trees, level)


def _trees(outcome: Replicated, point: Parameters) -> int:
    """How many trees are behind a share."""
    return len(outcome.outcomes) * point.trees


def _percent(outcome: Replicated, at: str, measure: str, point: Parameters) -> str:
    share = _share(outcome, at, measure, point)
    mean, low, high = (
        "100" if x > 0.9995 else f"{100 * x:.1f}" for x in (share.share, share.low, share.high)
    )
    return f"{mean} ({low}..{high})"


def _interval(share: Share) -> str:
    return (
        f"{share.share:.1%} ({share.replications:,} trees, 95 %: {share.low:.1%} to"
        f" {share.high:.1%})"
    )


def _times(outcome: Replicated) -> str:
    count = len(outcome.outcomes)
    return "1 replication" if count == 1 else f"{count} replications"


def _at(world: str, dlls: int) -> str:
    return f"world={world} dlls={dlls}"


def _at_case(case: str) -> str:
    return f"case={case}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
