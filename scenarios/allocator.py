"""How light is the allocator of the cygheap, and what do its powers of two waste?

The document calls it lightweight and fast, like early BSD malloc.  Three questions to it:

* what share of an exec's time does it take, lock and walk included, and what does its rounding
  cost in bytes that are copied along;
* how many requests do the free lists serve, how much of a block is asked for, on the argument sets
  of recorded workloads, along every line of descent;
* would first-fit, exact fit or the size classes of Cygwin 3.6 do better with the same sets?

Operations, blocks and bytes are exact.  Times come from `operation_ns` and `walk_ns`, measured on
the real code on a machine of today, times the profile's `cpu_scale`.
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
from models.cygwin.argument_requests import Followed, follow, follow_workload, requests_of
from models.cygwin.arguments import Arguments
from models.cygwin.cygheap.fits import (
    modern,
    power_of_two,
)
from models.cygwin.cygheap.heap import early
from models.cygwin.cygheap.heap_layout import HeapLayout
from models.cygwin.cygheap.layout import Era
from models.cygwin.cygheap.modern_layout import ModernEra
from models.cygwin.descriptors import CONSOLE
from models.cygwin.exec_chain import SHAPES, constant_arguments
from models.cygwin.images import cygwin_image
from models.cygwin.installation import Creation, Watch
from models.cygwin.kept_workloads import workload_of
from models.cygwin.machine import Machine, build
from models.cygwin.modern_exec_chain import WINDIR, chain_of
from models.cygwin.process import CygwinProcess
from models.cygwin.startup import entry
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from scenarios.allocator_words import (
    FITS,
    TITLES,
    about_growth,
    about_lists,
    about_modern,
    about_waste,
    at_fit,
)
from scenarios.parameters import check, named, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec, in_words
from scenarios.trace_files import A_TRACE, RECORDED, trace_digests, trace_file
from sim.engine import Steps
from sim.streams import Replication

_MEASURES = {
    "asked_share": "1",
    "hit_rate": "1",
    "entries_per_call": "1",
    "entries_worst": "1",
    "top_mean_bytes": "bytes",
    "growth_constant_bytes_per_exec": "bytes",
    "growth_varying_bytes_per_exec": "bytes",
}
_EXEC = "exec=constant"


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    traces: recorded workloads, by name or path -- input
    execs: length of the chains that growth is taken from -- input
    images: how many simulated execs the time is taken from -- input
    operation_ns: one allocation or free with its lock; 21 to 27 on the real code today -- input
    walk_ns: one block of the walk; 6.0 today -- input
    """

    traces: tuple[str, ...] = named(RECORDED, A_TRACE)
    execs: int = parameter(600, "1", 12, 5000)
    images: int = parameter(40, "1", 8, 200)
    operation_ns: float = parameter(27.0, "ns", 0, 1e6, above=True)
    walk_ns: float = parameter(6.0, "ns", 0, 1e6, above=True)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="allocator",
    question=__doc__.splitlines()[0],
    paragraph="allocator",
    parameters=Parameters(),
    quick=(("traces", ("mini-pipeline.ptrec",)), ("execs", 60), ("images", 12)),
    limits=("times: a machine of today, scaled by cpu_scale", "recorded argument sets only"),
    headlines=((_EXEC, "share"), (_EXEC, "exec_us")),
)


def inputs(point: Parameters) -> dict[str, str]:
    """Digest of each recorded workload that is read, for the manifest."""
    return trace_digests(point.traces)


def places(point: Parameters) -> Iterator[str]:
    """The points of the results that are a machine."""
    yield _EXEC


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of the simulated execs at its end, with `watch` looking on."""
    return _machine(point, scheme, system, profile, replication, watch)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """The share of one scheme's execs, and every way to cut blocks on the recorded sets."""
    rows = _share(point, scheme, system, profile, replication)
    for name in FITS:
        rows += _fit(point, name)
    return Outcome(rows, [])


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): how much of a block is asked for, and the share of an exec's time."""
    from sim import plots

    outcome = next(iter(results.values()))
    narrow = [name for name in FITS if FITS[name][1] == 4]
    yield (
        "asked_share",
        plots.plain_bars(
            [TITLES[name] for name in narrow],
            [100 * outcome.value(at_fit(name), "asked_share") for name in narrow],
            "How much of the blocks was asked for",
            "user bytes of the bytes handed out [%]",
        ),
    )
    parts = {
        "calls": "operations_us",
        "walk": "walk_us",
        "copying what rounding adds": "rounding_copy_us",
    }
    costs_ns = {  # three zeros more than the axis shows
        text: [1000 * o.value(_EXEC, part) for o in results.values()]
        for text, part in parts.items()
    }
    yield (
        "time_of_an_exec",
        plots.blocked_bars(list(results), costs_ns, "The allocator in one exec", "time [us]"),
    )


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """A line for each way to cut blocks; then a line for each scheme's exec."""
    yield ["argument sets", "asked", "hits", "looks", "worst", "top KiB", "growth=", "growth~"]
    outcome = next(iter(results.values()))
    for name in FITS:
        asked, hits, looks, worst, top, constant, varying = (
            outcome.value(at_fit(name), measure) for measure in _MEASURES
        )
        narrow = FITS[name][1] == 4  # shares and levels of other words are not compared
        yield [
            TITLES[name],
            f"{100 * asked:.1f} %" if narrow else "-",
            f"{100 * hits:.1f} %",
            f"{looks:.2f}",
            f"{worst}",
            f"{top / 1024:.1f}" if narrow else "-",
            f"{constant:,.0f}",
            f"{varying:,.0f}",
        ]
    yield [""] * 8
    yield ["one exec", "calls", "walked", "us", "exec us", "share", "n KiB", "copy us"]
    for name, o in results.items():
        us, share = o.value(_EXEC, "allocator_us"), o.value(_EXEC, "share")
        yield [
            name,
            f"{o.value(_EXEC, 'operations')}",
            f"{o.value(_EXEC, 'walked_blocks')}",
            f"{us:.1f}" if us < 1e4 else f"{us:.0e}",
            f"{o.value(_EXEC, 'exec_us'):,.0f}",
            "-" if share is None else f"{100 * share:.2f} %",
            f"{o.value(_EXEC, 'heap_bytes') / 1024:.1f}",
            f"{o.value(_EXEC, 'rounding_copy_us'):.1f}",
        ]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    for name, o in results.items():
        share, factor = (o.mean(_EXEC, m) for m in ("share", "factor_to_1_percent"))
        if share is None or factor is None:
            yield f"{name}: an exec costs nothing in this profile, so there is no share", "assumed"
            continue
        words = "only" if factor.mean > 1 else "already"
        yield (
            f"{name}: {o.value(_EXEC, 'operations')} calls and {o.value(_EXEC, 'walked_blocks')} "
            f"walked blocks take {o.value(_EXEC, 'allocator_us'):.1f} us; of an exec that is "
            f"{in_words(share, 100, '%')}; it would be 1 % {words} at {factor.mean:.1f} times the "
            "cost of a call (operation_ns, walk_ns, cpu_scale and all costs of the profile)",
            "assumed",
        )
    o = next(iter(results.values()))
    yield about_lists(o), "exact"
    yield about_waste(o), "exact"
    yield about_growth(o), "exact"
    if any(isinstance(schemes.get(name).version.era, ModernEra) for name in results):
        yield about_modern(o), "exact"
    for name, o in results.items():
        copy, us = o.value(_EXEC, "rounding_copy_us"), o.value(_EXEC, "allocator_us")
        more = "more" if copy > us else "less"
        yield (
            f"{name}: copying what rounding adds to the heap takes {copy:.1f} us an exec, {more} "
            f"than all calls and the walk ({us:.1f} us) (copy_bandwidth, operation_ns, walk_ns)",
            "assumed",
        )


# ---- the measures ------------------------------------------------------------------------------


def _fit(point: Parameters, name: str) -> list[Measured]:
    """One way to cut blocks, on the recorded sets and on chains."""
    fresh, word = FITS[name]
    found = [
        follow_workload(fresh(), workload_of(trace_file(trace)), word) for trace in point.traces
    ]
    allocations = sum(f.allocations for f in found)
    tops = [top for f in found for top in f.tops]
    grown = {shape: _growth(follow(fresh(), _sets(point, shape, word))) for shape in SHAPES}
    values = (
        sum(f.asked_bytes for f in found) / sum(f.block_bytes for f in found),
        sum(f.hits for f in found) / allocations,
        sum(f.steps for f in found) / (allocations + sum(f.frees for f in found)),
        max(f.worst for f in found),
        sum(tops) / len(tops),
        grown["constant"],
        grown["varying"],
    )
    return [
        Measured(at_fit(name), measure, unit, value, 0)
        for (measure, unit), value in zip(_MEASURES.items(), values, strict=True)
    ]


def _sets(point: Parameters, shape: str, word_bytes: int) -> Iterator[Any]:
    for i in range(point.execs):
        arguments = SHAPES[shape](i)
        yield requests_of(_added(arguments, word_bytes), word_bytes)


def _added(arguments: Arguments, word_bytes: int) -> Arguments:
    """The set with the variable that 3.6 adds where it is missing."""
    if word_bytes == 4:
        return arguments
    return Arguments(arguments.argv, (*arguments.env, WINDIR))


def _rounding_bytes(era: HeapLayout, sizes: list[int]) -> int:
    """How much more than was asked for the blocks of these requests hold [bytes]."""
    block = modern if isinstance(era, ModernEra) else power_of_two(early(era))
    return sum(block(n) - era.user_offset_bytes - n for n in sizes)


def _growth(found: Followed) -> float:
    """Mean growth by one exec over the second half of a chain [bytes]."""
    half = len(found.tops) // 2
    return (found.tops[-1] - found.tops[half - 1]) / (len(found.tops) - half)


def _share(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> list[Measured]:
    """What one exec asks of the allocator, and its time beside the simulated exec's."""
    era = schemes.get(scheme).version.era
    chain = chain_of(era)
    for i in range(4):  # by then dead sets come back
        chain.exec(constant_arguments(i))
    before = len(list(chain.heap.chain()))
    chain.exec(constant_arguments(4))
    arguments = _added(constant_arguments(4), era.word_bytes)
    asked = requests_of(arguments, era.word_bytes)
    operations = len(asked.sizes) + chain.heap.lock_acquires
    exec_us, size = _exec_time(point, scheme, system, profile, replication)
    scale, bandwidth = profile.value("cpu_scale"), profile.value("copy_bandwidth")
    calls_us = operations * point.operation_ns * scale / 1000
    walk_us = before * point.walk_ns * scale / 1000
    rounded = _rounding_bytes(era, asked.sizes)
    total = calls_us + walk_us
    copies = 2 if system == "9x" and isinstance(era, Era) and era.buckets_in_header else 1
    values = (
        ("operations", "1", operations),
        ("walked_blocks", "1", before),
        ("operations_us", "us", calls_us),
        ("walk_us", "us", walk_us),
        ("allocator_us", "us", total),
        ("exec_us", "us", exec_us),
        ("share", "1", total / exec_us if exec_us else None),
        ("factor_to_1_percent", "1", (0.01 * exec_us - walk_us) / calls_us if exec_us else None),
        ("heap_bytes", "bytes", size),
        ("rounding_bytes", "bytes", 2 * rounded),
        ("rounding_copy_us", "us", copies * 2 * rounded / bandwidth),
    )
    return [Measured(_EXEC, measure, unit, value, 0) for measure, unit, value in values]


def _exec_time(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> tuple[float, int]:
    """Mean time from the call of an exec to main() [us], and the heap that was handed over."""
    machine = _machine(point, scheme, system, profile, replication)
    made = [r for r in machine.kernel.trace.records if isinstance(r, Creation) and r.kind == "exec"]
    times = [r.main_us - r.called_us for r in made if r.main_us is not None]
    return sum(times) / len(times), made[-1].heap_bytes


def _machine(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication,
    watch: Watch | None = None,
) -> Machine:  # fmt: skip
    """Images that each exec the next, at its end."""
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, 1, point.images)
    machine.installation.watch = watch

    def image(p: CygwinProcess, left: int) -> Steps:
        if left == point.images:
            for fd in range(3):
                p.open(fd, CONSOLE)
        if not left:
            return
        p.me.costs = machine.draws.at(point.images - left)
        program = entry(machine.installation, lambda q: image(q, left - 1))
        following = cygwin_image(machine.installation.version, "sh", program)
        yield from p.execute(following, constant_arguments(0))

    machine.start("sh", lambda p: image(p, point.images))
    machine.kernel.engine.run()
    return machine


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
