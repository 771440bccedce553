"""What does a child of Cygwin 3.6 inherit if its parent's other thread allocates meanwhile?

Between the note of the heap's size and the end of the child's read another thread of the parent
allocates once: a block from a free list, a fresh one, or the first one beyond the 3 MiB that a
child commits.  Compared are forks and execs with the guard of 3.6.5 (the parent keeps the heap
locked, the thread waits) and without it.  Then the child allocates too, and has a child itself.

Only the heap is simulated: no time, no torn reads.  Source: MODERN.md §6.4.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin.cygheap.modern_chain import Request
from models.cygwin.cygheap.modern_layout import M
from models.cygwin.cygheap.modern_window import (
    Created,
    create,
    fill_first_commit,
    largest_fresh,
    parent_heap,
)
from models.win32.cost_profile import Profile
from scenarios.parameters import check, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from sim.streams import Replication

GUARDS = {"off": False, "on": True}  # off: to 3.6.4; on: from 3.6.5
KINDS = {"fork": False, "exec": True}
WINDOWS = ("reuse", "fresh", "beyond")
_LEFT = "blocks_lost"
LONGEST = 32_767  # characters of a variable under Windows


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    bytes_allocated: what the other thread asks for; where a free list could serve that but must
        not, the largest class instead [bytes] -- input
    arguments, lengths: of what the parent was exec'ed with -- input
    """

    bytes_allocated: int = parameter(200, "bytes", 0, M.classes[-1] - 16)
    arguments: tuple[int, ...] = parameter((2, 2, 25), "1", 0, LONGEST)
    lengths: tuple[int, ...] = parameter((77, 14, 8, 15, 19, 16, 13, 35, 21), "1", 0, LONGEST)

    def __post_init__(self) -> None:
        check(self)


SPEC = Spec(
    name="growth_window",
    question=__doc__.splitlines()[0],
    paragraph="hand-over",
    parameters=Parameters(),
    schemes=("child-copy",),
    profile="desktop-w11",
    heap_only=True,
    limits=(
        "the heap alone: no time, no torn reads, one allocation in the window",
        "the model is that of 3.6 with and without the guard of 3.6.5; how often a thread "
        "meets the window is not asked",
        "how real programs of several threads allocate was not measured",
    ),
    headlines=(
        ("child=fork allocation=beyond guard=off", "blocks_lost"),
        ("child=fork allocation=beyond guard=on", "blocks_lost"),
    ),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """Every way to create and to allocate, with and without the guard; nothing is random."""
    rows: list[Measured] = []
    for kind, window, guard in _cells():
        found, at = _created(point, kind, window, guard), _at(kind, window, guard)
        rows.append(Measured(at, "blocks_kept", "1", found.kept, 0))
        rows.append(Measured(at, _LEFT, "1", found.lost, 0))
        rows.append(Measured(at, "child_walk", "", found.first, 0))
        rows.append(Measured(at, "grandchild_walk", "", found.second or "never starts", 0))
    return Outcome(rows, [])


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): how many blocks the child loses."""
    from sim import plots

    (found,) = results.values()
    cells = list(_cells())
    yield "blocks_lost", plots.plain_bars(
        [f"{kind}, {window}, guard {guard}" for kind, window, guard in cells],
        [float(found.value(_at(*cell), _LEFT)) for cell in cells],
        "What a child cannot reach of its parent's heap", "blocks lost [1]",
    )  # fmt: skip


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first."""
    (found,) = results.values()
    yield ["child", "allocation", "guard", "kept", "lost", "its walk", "its child's walk"]
    measures = ("blocks_kept", _LEFT, "child_walk", "grandchild_walk")
    for kind, window, guard in _cells():
        at = _at(kind, window, guard)
        yield [kind, window, guard, *(str(found.value(at, m)) for m in measures)]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications, which are alike."""
    (found,) = results.values()
    for window in WINDOWS:
        ends = {kind: _ends(found, kind, window, "off") for kind in KINDS}
        both = [f"{kind}: {text}" for kind, text in ends.items()]
        text = ends["fork"] if len(set(ends.values())) == 1 else "; ".join(both)
        yield f"without the guard, {window}: {text}", "exact"
    guarded = {_ends(found, kind, window, "on") for kind in KINDS for window in WINDOWS}
    yield f"with the guard: {'; '.join(sorted(guarded))}", "exact"
    yield "torn reads, which also hit a reused block, are not in these numbers", "assumed"


def _ends(found: Replicated, kind: str, window: str, guard: str) -> str:
    """One sentence on one cell."""
    at = _at(kind, window, guard)
    lost, first = found.value(at, _LEFT), found.value(at, "child_walk")
    if first != "ends":
        return f"the child's walk {first}"
    second = found.value(at, "grandchild_walk")
    had = lost + found.value(at, "blocks_kept")
    share = "every block arrives" if not lost else f"{lost} of {had} blocks are lost"
    return f"{share}, and the walk of its own child {second}"


def _created(point: Parameters, kind: str, window: str, guard: str) -> Created:
    """One creation from a parent of its own."""
    heap = parent_heap(M, Request(point.arguments, point.lengths))
    n = point.bytes_allocated
    if window == "beyond":
        fill_first_commit(heap)
    if window == "reuse":
        heap.cfree(heap.cmalloc(3, n))
    elif heap.heads()[M.search(n)]:
        n = largest_fresh(heap)
    return create(heap, KINDS[kind], GUARDS[guard], n)


def _cells() -> Iterator[tuple[str, str, str]]:
    yield from ((kind, window, guard) for kind in KINDS for window in WINDOWS for guard in GUARDS)


def _at(kind: str, window: str, guard: str) -> str:
    """The point of a creation in the results."""
    return f"child={kind} allocation={window} guard={guard}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
