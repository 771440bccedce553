"""Chains of execs of the heap alone, and what each era loses over them: measures of `leak_growth`.

Everything here is exact: bytes and counts that the allocator's own steps leave, in heaps of the
eras and in two that never were, with one change each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from models.cygwin.cygheap import audits, layout
from models.cygwin.cygheap.allocator import EndlessWalk, HeapFatal
from models.cygwin.cygheap.heap import Heap
from models.cygwin.cygheap.heap_layout import HeapLayout
from models.cygwin.cygheap.modern import ModernHeap
from models.cygwin.cygheap.modern_layout import ModernType
from models.cygwin.descriptors import DISK, DescriptorTable
from models.cygwin.exec_chain import (
    SHAPES,
    TAGGED,
    Lost,
    constant_arguments,
    execs_until_full,
    lost_blocks,
    varying_arguments,
)
from models.cygwin.modern_exec_chain import chain_of
from models.win32.errors import AccessViolation
from scenarios.spec import Measured
from sim.errors import SimError

# Era A with its list heads behind the header, and that with the walk of later eras besides.
HEADS_MOVED = replace(
    layout.A, name="A+heads", header_bytes=layout.A.header_bytes + 128,
    buckets_offset=layout.A.header_bytes,
)  # fmt: skip
WALK_MENDED = replace(HEADS_MOVED, name="A+both", walk_frees_tails=False)
VARIANTS: dict[str, tuple[HeapLayout, ...]] = {  # scheme -> further heaps that are followed with it
    "blocking": (HEADS_MOVED, WALK_MENDED),
    "shared-memory-1.3.3": (layout.C,),
}
FREES = {  # what an image frees before its exec, and how a table calls it
    "nothing": "nothing of its own",
    "file": "a file it opened",
    "strings": "2 strings, before",
    "late-strings": "2 strings, late (*)",
    "varying": "other argv each time",
}
SHOWN = (1, 2, 3, 100)  # execs that every table shows
_DEATHS = (HeapFatal, AccessViolation, EndlessWalk)


def at_exec(era: str, tag: str, shape: str, number: int | None = None) -> str:
    """The point of a chain, or of one exec in it, in the results."""
    place = f"era={era} tag={tag} argv={shape}"
    return place if number is None else f"{place} exec={number}"


def at_freed(era: str, freed: str) -> str:
    """The point of a chain whose images free something, in the results."""
    return f"era={era} freed={freed}"


def grown(era: HeapLayout, tag: str, shape: str, execs: int) -> list[Measured]:
    """How one heap grows over a chain of argument sets of one shape."""
    chain = chain_of(era, tag)
    tops, deadly = _tops(execs, lambda i: chain.exec(SHAPES[shape](i)))
    wanted = {*SHOWN, *range(10, execs, 10), len(tops)}
    rows = [
        Measured(at_exec(era.name, tag, shape, i), "cygheap_bytes", "bytes", top, 0)
        for i, top in enumerate(tops, 1)
        if i in wanted
    ]
    at = at_exec(era.name, tag, shape)
    by_one = growth(tops)
    more = None if deadly else execs_until_full(era, tops[-1], round(by_one))
    full = None if more is None else len(tops) + more
    return [
        *rows,
        *_end(at, tops, deadly),
        Measured(at, "execs_until_full", "1", full, int(full is None)),
    ]


def lost(era: HeapLayout, freed: str, execs: int) -> list[Measured]:
    """What a heap loses over a chain whose images free something before their exec."""
    chain = chain_of(era, TAGGED)

    def step(i: int) -> int:
        late = _freed(chain.heap, freed)
        arguments = varying_arguments(i) if freed == "varying" else constant_arguments(i)
        return chain.exec(arguments, lambda heap: heap.cfree_many(late))

    tops, deadly = _tops(execs, step)
    at = at_freed(era.name, freed)
    rows = _end(at, tops, deadly)
    if deadly is None:
        rows += lost_rows(at, lost_blocks(chain.heap))
        rows.append(Measured(at, "free_blocks_in_two_lists", "1", _in_two_lists(chain.heap), 0))
    return rows


def lost_rows(at: str, blocks: list[Lost]) -> list[Measured]:
    """Bytes in free blocks that no list leads to, one row for what they were and their size."""
    return [
        Measured(f"{at} lost={x.label} size={x.size_bytes}", "lost_bytes", "bytes",
                 x.count * x.size_bytes, 0)
        for x in blocks
    ]  # fmt: skip


def _end(at: str, tops: list[int], deadly: SimError | None) -> list[Measured]:
    """How fast a chain grew, how far it came, and where it died."""
    fault = deadly.address if isinstance(deadly, AccessViolation) else None
    dead = None if deadly is None else len(tops) + 1
    return [
        Measured(at, "growth_bytes_per_exec", "bytes", growth(tops), 0),
        Measured(at, "completed_execs", "1", len(tops), 0),
        Measured(at, "dies_at_exec", "1", dead, 0),
        Measured(at, "fault_address", "1", fault, 0),
    ]


def _in_two_lists(heap: Heap) -> int:
    """Free blocks in list 0 that are in their own list too; a list 0 in the DLL's data is gone.

    In 3.6 list 0 is that of a class like any other.
    """
    if isinstance(heap, ModernHeap):
        return 0
    at = 0 if heap.buckets is not None else heap.heads()[0]
    known, seen = audits.listed_blocks(heap), set()
    while heap.base < at < heap.base + heap.max and at not in seen:
        seen.add(at)
        at = heap.memory.read32(at - heap.base)
    return len(seen & known)


def growth(tops: list[int]) -> float:
    """Mean growth by one exec over the second half of a chain [bytes]."""
    half = len(tops) // 2
    return (tops[-1] - tops[half - 1]) / (len(tops) - half)


def _freed(heap: Heap, what: str) -> list[int]:
    """Do what the image does; the blocks that it frees when its argument set is laid out."""
    if what == "file" and isinstance(heap, ModernHeap):
        # its first heap has an fd table without entries, as in the golden traces
        fhandler = heap.ccalloc(ModernType.HEAP_FHANDLER, 1, heap.era.fhandler_bytes[DISK])
        heap.cfree_many([fhandler, heap.cstrdup(b"\\" * 26), heap.cstrdup(b"/" * 20)])
    elif what == "file":
        fds = DescriptorTable(heap)
        fds.read()
        fds.add(3, DISK, 0, 0, False, b"\\" * 26, b"/" * 20)
        fds.remove(3)
    if what not in ("strings", "late-strings"):
        return []
    two = [heap.cstrdup(b"two short"), heap.cstrdup(b"strings")]
    if what == "late-strings":
        return two
    heap.cfree_many(two)
    return []


def _tops(count: int, step: Callable[[int], int]) -> tuple[list[int], SimError | None]:
    """cygheap_max of each exec that was completed, and what ended the chain early, if anything."""
    tops: list[int] = []
    try:
        for i in range(count):
            tops.append(step(i))
    except _DEATHS as error:
        return tops, error
    return tops, None
