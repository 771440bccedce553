"""The argument sets of execs as requests to a heap, and heaps that live through them.

A set is what one exec asks for (CYGWIN.md §b4; MODERN.md §5 for 64 bits).  `follow` takes a heap
along a chain, `follow_workload` along every line of descent of a recorded workload.  The image that
gets a set marks it, and its child frees it in the walk; only the vector of the environment is freed
by the image itself.  Everything else in a cygheap is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from models.cygwin.arguments import EXEC_INFO_BYTES, Arguments
from models.cygwin.cygheap.fits import Fit
from models.cygwin.workload import Op, Workload

_INFO_64_BYTES = 48  # cygheap_exec_info of 3.6 without unreaped children
_SPARE_64 = 10  # empty places in its environment vector


class Requests(NamedTuple):
    """One set [user bytes, in the order of the calls]; `vector` is the environment's place."""

    sizes: list[int]
    vector: int


def requests(argv: Sequence[int], env: Sequence[int], word_bytes: int = 4) -> Requests:
    """The set for strings of these lengths (without their NUL)."""
    wide = word_bytes == 8
    info = _INFO_64_BYTES if wide else EXEC_INFO_BYTES
    before = [info, (len(argv) + 5) * word_bytes, *(n + 1 for n in argv)]
    vector = (len(env) + 1 + (_SPARE_64 if wide else 0)) * word_bytes
    return Requests([*before, vector, *(n + 1 for n in env)], len(before))


def requests_of(arguments: Arguments, word_bytes: int = 4) -> Requests:
    """The set for these arguments."""
    argv, env = ([len(text) for text in part] for part in (arguments.argv, arguments.env))
    return requests(argv, env, word_bytes)


@dataclass
class Followed:
    """What a heap went through. Every field is *output*.

    tops: end of the heap after each set was laid out [bytes]
    frees: blocks given back; walked: those of them that a walk found
    steps, worst: list entries looked at, in all and by one call
    asked_bytes, block_bytes: of all sets, as asked for and as handed out
    """

    tops: list[int] = field(default_factory=list)
    asked_bytes: int = 0
    block_bytes: int = 0
    allocations: int = 0
    hits: int = 0
    steps: int = 0
    worst: int = 0
    frees: int = 0
    walked: int = 0


class _Line:
    """A heap at one place of a line of descent, and the blocks of the image's own set."""

    def __init__(self, heap: Fit) -> None:
        self.heap = heap
        self.own: list[int] = []

    def exec(self, asked: Requests, found: Followed) -> None:
        heap = self.heap
        made = [heap.alloc(n) for n in asked.sizes]
        found.tops.append(heap.top)
        found.asked_bytes += sum(asked.sizes)
        found.block_bytes += sum(map(heap.size_of, made))
        heap.execed()
        for address in reversed(self.own):
            if not heap.missed(address):
                found.walked += 1
                found.frees += 1
                heap.free(address)
        heap.free(made.pop(asked.vector))
        found.frees += 1
        self.own = made

    def fork(self) -> _Line:
        child = _Line(self.heap.copy())
        child.own = self.own
        return child


def follow(heap: Fit, sets: Iterable[Requests]) -> Followed:
    """One line of descent in which each image execs the next."""
    found = Followed()
    line = _Line(heap)
    for asked in sets:
        line.exec(asked, found)
    _count(heap, found)
    return found


def follow_workload(heap: Fit, workload: Workload, word_bytes: int = 4) -> Followed:
    """Every line of descent of a recorded workload, from `heap`, which must be fresh."""
    found = Followed()
    todo = [(1, _Line(heap))]
    while todo:
        pid, line = todo.pop()
        for op in workload.programs[pid]:
            if op[0] == Op.EXEC:
                line.exec(requests(op[4], workload.envs[op[5]], word_bytes), found)
            elif op[0] == Op.FORK:
                todo.append((op[1], line.fork()))
        _count(line.heap, found)
    return found


def _count(heap: Fit, found: Followed) -> None:
    found.allocations += heap.allocations
    found.hits += heap.hits
    found.steps += heap.steps
    found.worst = max(found.worst, heap.worst)
