"""How much of its cygheap does a chain of execs lose for ever since Cygwin 3.6.0?

Arguments and environment of an exec are tagged: the walk of the next image marks them, the one
after that frees them.  Since 3.6.0 the walk takes a fresh block of the smallest class for the end
of a free list, so strings of at most 15 characters are neither marked nor freed.  Compared are

* the walks: of 3.6, of 3.5.7 before it, and two repairs that the project does not have;
* the chains: exec after exec, a fork or a spawn before each, changing arguments, no short strings.

What another environment would lose: write the length of each variable into a file, one a line,
`env -0 | LC_ALL=C gawk -v RS='\\0' '{ print length($0) }' > FILE`, and say `--set lengths=@FILE`.
Only the heap is simulated, no process and no time.

Source: MODERN.md §4; measured there on the real code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin.cygheap.modern_audit import leaked_bytes
from models.cygwin.cygheap.modern_chain import (
    LONGEST_SHORT,
    SHORT_BLOCK_BYTES,
    Request,
    exec_chain,
)
from models.cygwin.cygheap.modern_layout import COMMIT_STEP_BYTES, VARIANTS, M
from models.win32.cost_profile import Profile
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec, in_words
from sim.design import Factor
from sim.streams import Replication

WALKS = {"3.6": "M", "3.5.7": "3.5.7", "index from 1": "index from 1", "store b+1": "store b+1"}
REPAIRS = ("index from 1", "store b+1")
CHAINS = ("exec", "fork, exec", "spawn, exec", "varying", "long only", "untagged", "2001 set")
EVERY_WALK = ("exec", "varying")  # chains that are run under every walk; the others under 3.6
# Lengths of a first process's strings in the recorded chains: an environment of 2026, one of 2001.
ENV_2026 = (77, 14, 8, 15, 19, 16, 13, 8, 7, 8, 9, 16, 14, 12, 13, 35, 21, 14, 17, 12, 19, 28, 22,
            9, 15)  # fmt: skip
ENV_2001 = (78, 14, 8, 15, 11, 8, 9, 13, 18, 6, 13, 7, 19, 16, 19, 14, 12, 10, 26, 22, 6, 9, 10,
            14, 15)  # fmt: skip
ARGUMENTS = (2, 2, 25)  # sh -c COMMAND
WINDIR = 15  # what the DLL adds to the set of 2001
LONGEST = 32_767  # characters of a variable under Windows
SPAWNED = (2, 2)  # ls -l
REAL = {  # measured on the real code: (chain, walk) -> execs -> heap [bytes], MODERN.md §4
    ("exec", "3.5.7"): {1: 33200, 2: 34952, 3: 34952, 100: 34952, 600: 34952},
    ("exec", "3.6"): {1: 33248, 2: 35024, 3: 35840, 100: 114992, 600: 522992},
    ("fork, exec", "3.6"): {1: 33248, 2: 35024, 3: 35840, 100: 114992, 600: 522992},
    ("2001 set", "3.6"): {1: 33232, 2: 34992, 3: 36000, 100: 133776, 600: 637776},
    ("untagged", "3.6"): {1: 33248, 2: 35024, 3: 36800, 100: 209072, 600: 1097072},
    ("spawn, exec", "3.6"): {1: 33248, 2: 35024, 3: 35072, 100: 39728, 600: 63728},
}


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    execs: after how many execs the heap is looked at, rising -- input
    arguments: lengths of the arguments of each exec -- input
    lengths: of the environment's NAME=VALUE strings, SYSTEMROOT and WINDIR among them -- input
    """

    execs: tuple[int, ...] = parameter((1, 2, 3, 100, 600), "1", 1, 5000)
    arguments: tuple[int, ...] = parameter(ARGUMENTS, "1", 0, LONGEST)
    lengths: tuple[int, ...] = parameter(ENV_2026, "1", 0, LONGEST)

    def __post_init__(self) -> None:
        check(self)
        rising = all(a < b for a, b in zip(self.execs, self.execs[1:], strict=False))
        if len(self.execs) < 2 or not rising:
            shown = ", ".join(map(str, self.execs))
            raise ValueError(f"execs ({shown}) must be two or more rising numbers")

    @property
    def request(self) -> Request:
        """What each exec of the plain chain passes on."""
        return Request(self.arguments, self.lengths)


SPEC = Spec(
    name="short_strings",
    question=__doc__.splitlines()[0],
    paragraph="arguments",
    parameters=Parameters(),
    quick=(("execs", (1, 2, 3, 50, 100)),),
    schemes=("child-copy",),
    profile="desktop-w11",
    heap_only=True,
    limits=(
        "the heap alone: no process and no time",
        "era M is checked byte for byte against golden traces of the real 3.6; other builds "
        "of 3.x are not",
        "the built-in environment is one that was chosen; give your own with lengths=@FILE",
        "what programs of a chain do besides their exec, fork or spawn is left out",
    ),
    headlines=(("chain=exec walk=3.6", "growth_bytes_per_exec"),),
    factors=(
        Factor("arguments", levels=("2,2,25", "14", "16,16,16")),
        Factor("lengths", levels=("14,17", "8,14,17,77")),
    ),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """Every chain under its walks in one replication, which draws the varying shapes."""
    rows: list[Measured] = []
    shapes = list(islice(_varying(point, replication), point.execs[-1]))
    for chain in CHAINS:
        for walk in WALKS if chain in EVERY_WALK else ("3.6",):
            at = _at(chain, walk)
            sizes, leaked = _sizes(point, chain, walk, shapes)
            for execs, size in zip(point.execs, sizes, strict=True):
                rows.append(Measured(f"{at} execs={execs}", "heap_bytes", "bytes", size, 0))
            growth = (sizes[-1] - sizes[-2]) / (point.execs[-1] - point.execs[-2])
            rows.append(Measured(at, "growth_bytes_per_exec", "bytes", growth, 0))
            rows.append(Measured(at, "never_freed_bytes", "bytes", leaked, 0))
    return Outcome(rows, [])


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): the heap over the execs, by walk and by chain."""
    from sim import plots

    (r,) = results.values()
    axes = "execs in a chain [1]", "cygheap [KiB]"
    xs = [float(n) for n in point.execs]

    def line(chain: str, walk: str) -> tuple[list[float], list[float | None]]:
        return xs, [size / 1024 for size in _found(r, point, chain, walk)]

    yield "heap_by_walk", plots.lines(
        {walk: line("exec", walk) for walk in WALKS}, *axes,
        f"exec after exec: {_short(point.request)}",
    )  # fmt: skip
    yield (
        "heap_by_chain",
        plots.lines(
            {chain: line(chain, "3.6") for chain in CHAINS},
            *axes,
            "Chains of execs under Cygwin 3.6",
        ),
    )


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: the heap after some execs, and its growth."""
    (r,) = results.values()
    shown = sorted({*range(len(point.execs))[:3], *range(len(point.execs))[-2:]})
    yield ["chain", "walk", *(f"exec {point.execs[i]}" for i in shown), "per exec"]
    for chain in CHAINS:
        for walk in WALKS if chain in EVERY_WALK else ("3.6",):
            sizes = _found(r, point, chain, walk)
            growth = r.value(_at(chain, walk), "growth_bytes_per_exec")
            yield [chain, walk, *(f"{sizes[i]:.0f}" for i in shown), f"{growth:.4g}"]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications; only `varying` is drawn."""
    (r,) = results.values()
    growth = _growth(r, "exec", "3.6")
    expected = SHORT_BLOCK_BYTES * point.request.short_strings
    sign = "=" if growth == expected else "not"
    yield (
        f"{_short(point.request)}: each exec of a chain leaves {growth:g} bytes for ever "
        f"({sign} {point.request.short_strings} x {SHORT_BLOCK_BYTES})",
        "exact",
    )
    for walk in ("3.5.7", *REPAIRS):
        yield f"walk of {walk}: {_growth(r, 'exec', walk):g} bytes an exec", "exact"
    yield from _chain_conclusions(r, point)
    for walk in REPAIRS:
        largest = VARIANTS[walk].classes[-1] - 16
        before = M.classes[-1] - 16
        if largest < before:
            yield (
                f"{walk} costs a class: the largest request falls from {before} to {largest} bytes",
                "structural",
            )
    yield from _horizon(r, point, growth)
    yield from _real(r, point)


def _chain_conclusions(r: Replicated, point: Parameters) -> Iterator[tuple[str, str]]:
    """What forks, spawns and longer strings change."""
    plain = _found(r, point, "exec", "3.6")
    same = _found(r, point, "fork, exec", "3.6") == plain
    yield f"a fork before each exec changes {'nothing' if same else 'the heap'}", "exact"
    spawned = _growth(r, "spawn, exec", "3.6")
    why = "; all but a free list's last block are freed again" if spawned else ""
    yield f"where each image spawns a child first, an exec leaves {spawned:g} bytes{why}", "exact"
    if not _growth(r, "long only", "3.6"):
        yield f"with strings of {LONGEST_SHORT + 1} and more characters nothing is left", "exact"
    words = [
        in_words(mean, 1.0, "bytes")
        for walk in ("3.6", "3.5.7")
        if (mean := r.mean(_at("varying", walk), "growth_bytes_per_exec")) is not None
    ]
    yield (
        f"with changing shapes an exec leaves {' and under 3.5.7 '.join(words)} (the shapes drawn)",
        "assumed",
    )


def _horizon(r: Replicated, point: Parameters, growth: float) -> Iterator[tuple[str, str]]:
    """How long the heap lasts, if every exec is like those of the chain."""
    last = _found(r, point, "exec", "3.6")[-1]
    room = M.first_commit_bytes - last
    if growth <= 0 or room <= 0:
        return
    more, step = point.execs[-1] + room / growth, COMMIT_STEP_BYTES / growth
    whole = point.execs[-1] + (M.reserve_bytes - last) / growth
    yield (
        f"a chain of {more:,.0f} such execs outgrows the first 3 MiB, then takes 64 KiB every"
        f" {step:,.0f}; the reserve lasts for {whole:,.0f} (that all execs are like these)",
        "assumed",
    )


def _real(r: Replicated, point: Parameters) -> Iterator[tuple[str, str]]:
    """Whether the numbers are those that the real code gave, where it was asked the same."""
    if (point.arguments, point.lengths) != (ARGUMENTS, ENV_2026):
        return
    met = asked = 0
    for (chain, walk), wanted in REAL.items():
        found = dict(zip(point.execs, _found(r, point, chain, walk), strict=True))
        both = found.keys() & wanted.keys()
        asked += len(both)
        met += sum(found[n] == wanted[n] for n in both)
    yield f"{met} of {asked} heap sizes measured on the real code are met to the byte", "exact"


def _sizes(
    point: Parameters, chain: str, walk: str, shapes: list[Request]
) -> tuple[list[int], int]:
    """The heap after each of the execs asked for, and what stays for ever at the last [bytes]."""
    requests = _requests(point, chain, shapes)
    spawned = replace(point.request, argv=SPAWNED) if chain == "spawn, exec" else None
    era = VARIANTS[WALKS[walk]]
    heaps = exec_chain(era, requests, forked=chain == "fork, exec", spawned=spawned)
    sizes = []
    for execs, heap in enumerate(islice(heaps, point.execs[-1]), 1):
        if execs in point.execs:
            sizes.append(heap.max)
    return sizes, leaked_bytes(heap)


def _requests(point: Parameters, chain: str, shapes: list[Request]) -> Iterator[Request]:
    """What the execs of a chain pass on, one after the other."""
    plain = point.request
    if chain == "varying":
        return iter(shapes)
    if chain == "long only":
        argv, env = ([max(n, LONGEST_SHORT + 1) for n in s] for s in (plain.argv, plain.env))
        return repeat(Request(tuple(argv), tuple(env)))
    if chain == "untagged":
        return repeat(replace(plain, tagged=False))
    if chain == "2001 set":
        return repeat(Request(ARGUMENTS, ENV_2001, (WINDIR,)))
    return repeat(plain)


def _varying(point: Parameters, replication: Replication) -> Iterator[Request]:
    """Another number of arguments and variables each time, after the recorded chain's manner."""
    draw = replication.stream("scenarios/varying shapes")
    most = len(point.lengths)
    while True:
        extra = draw.integers(1, 60, size=int(draw.integers(0, 6)))
        kept = int(draw.integers(min(10, most), most + 1))
        one_more = 7 + int(draw.integers(0, 80))
        yield Request((4, *map(int, extra)), (*point.lengths[:kept], one_more), (WINDIR,))


def _found(r: Replicated, point: Parameters, chain: str, walk: str) -> list[float]:
    """The heap after each of the execs asked for, a mean where replications differ [bytes]."""
    at = _at(chain, walk)
    return [r.value(f"{at} execs={n}", "heap_bytes") for n in point.execs]


def _growth(r: Replicated, chain: str, walk: str) -> float:
    return float(r.value(_at(chain, walk), "growth_bytes_per_exec"))


def _short(request: Request) -> str:
    count = len(request.argv) + len(request.env)
    return f"{request.short_strings} of {count} strings have at most {LONGEST_SHORT} characters"


def _at(chain: str, walk: str) -> str:
    """The point of a chain in the results."""
    return f"chain={chain.replace(', ', '+').replace(' ', '-')} walk={walk.replace(' ', '-')}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
