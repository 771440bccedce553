"""Does everything fit in an address space, and if not, what would a user see and what mends it?

A space fits if no two images share an address and Cygwin's heap finds its place.  Without Cygwin's
DLL in it there is nothing to say about a heap.  Stacks, mappings and other heaps are in no listing:
what fits here may still collide with one of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from models.cygwin.cygheap.layout import A, B
from models.cygwin.layout_heap import (
    HeapPlan,
    child_words,
    first_words,
    image_range,
    plan_for,
    remap_words,
)
from models.cygwin.layout_moves import Moves, smallest_moves
from models.cygwin.layout_ranges import (
    LOWEST,
    Range,
    degrees,
    highest_for,
    lowest_place,
    overlaps,
    up,
)
from models.cygwin.listing import Listing
from models.cygwin.listing_entries import FreeRegion, ListedImage, Space
from models.win32.memory import PAGE_BYTES

MOST_OVERLAPS = 10_000  # pairs that are named; the others are counted
PROGRAM = "PROG"  # in a message, where the listing does not say which program it is


@dataclass(frozen=True)
class Overlap:
    """Two images that share addresses. first has the lower base -- output"""

    first: ListedImage
    second: ListedImage
    shared: Range


@dataclass(frozen=True)
class MovedImage:
    """An image that has to go elsewhere. Every field is *output*."""

    image: ListedImage
    to: int


@dataclass(frozen=True)
class SpaceVerdict:
    """What is found in one space. Every field is *output*.

    overlaps: the first MOST_OVERLAPS of overlaps_total
    dll, plan, heap: Cygwin's DLL and what its heap asks for; None where there is none
    room: behind the DLL, or from the heap's place on if that is farther; until: what ends it
    blockers: images in the heap's place
    messages, child_messages: what the process says as first of its tree, and as a child
    moves: what mends it, None if nothing was found
    """

    space: Space
    overlaps: list[Overlap]
    overlaps_total: int
    dll: ListedImage | None = None
    plan: HeapPlan | None = None
    heap: Range | None = None
    room: Range | None = None
    until: str = ""
    blockers: list[ListedImage] = field(default_factory=list)
    heap_fits: bool | None = None
    messages: list[str] = field(default_factory=list)
    child_messages: list[str] = field(default_factory=list)
    moves: list[MovedImage] | None = None

    @property
    def fits(self) -> bool:
        """No overlap, and no heap without room."""
        return self.overlaps_total == 0 and self.heap_fits is not False


@dataclass(frozen=True)
class ReportVerdict:
    """What a failure report says about a heap. Every field is *output*.

    missing_bytes: how much room is lacking, in whole 64 KiB; 0 where it fits
    """

    report: FreeRegion
    heap_bytes: int
    missing_bytes: int
    messages: list[str]

    @property
    def fits(self) -> bool:
        """The heap finds room there."""
        return self.missing_bytes == 0


def check_spaces(
    listing: Listing, era: str | None = None, heap_size: int | None = None
) -> list[SpaceVerdict]:
    """A verdict on each space of the listing, in its order.

    `era` and `heap_size` None take what belongs to the DLL.  In era A the heap of all is where the
    system puts that of the first process with Cygwin's DLL: at the lowest place with enough room.
    """
    verdicts = []
    chosen: Range | None = None
    for space in listing.spaces:
        verdict = _check(space, era, heap_size, chosen)
        verdicts.append(verdict)
        if verdict.plan is not None and verdict.plan.era == "A" and chosen is None:
            chosen = verdict.heap
    return verdicts


def check_reports(
    reports: Iterable[FreeRegion], era: str | None = None, heap_size: int | None = None
) -> list[ReportVerdict]:
    """A verdict on each report: is the region that was free large enough for the heap?"""
    verdicts = []
    size = heap_size or (A if era == "A" else B).cygheapsize
    need = (size + PAGE_BYTES - 1) & -PAGE_BYTES
    for report in reports:
        missing = up(max(0, need - report.room_bytes))
        words = [
            f"AllocationBase 0x{report.owner:X}, BaseAddress 0x{report.address:X}, "
            f"RegionSize 0x{report.size_bytes:X}, State 0x{report.state:X}",
            f"{PROGRAM}: *** Couldn't reserve space for cygwin's heap, Win32 error 0",
        ]
        verdicts.append(ReportVerdict(report, size, missing, words if missing else []))
    return verdicts


def _check(
    space: Space, era: str | None, heap_size: int | None, chosen: Range | None
) -> SpaceVerdict:
    images = space.images
    ranges = [image_range(image) for image in images]
    pairs = overlaps(ranges, MOST_OVERLAPS)
    total = int(degrees(ranges).sum()) // 2
    named = [_overlap(images, ranges, i, j) for i, j in pairs]
    number = next((i for i, image in enumerate(images) if image.is_cygwin_dll), None)
    if number is None:
        moves = _moved(images, smallest_moves(ranges, None, None, None))
        words = _remap(space, named, "M" if _is_64(images) else "B")
        return SpaceVerdict(space, named, total, messages=words, moves=moves)
    dll = images[number]
    plan = plan_for(dll, era, heap_size)
    others = [r for i, r in enumerate(ranges) if i != number]
    highest = highest_for(ranges[number].end)
    heap = plan.place(dll.base) or chosen or _system_choice(ranges, plan, highest)
    room, until = _room(images, number, ranges, heap, plan, highest)
    blockers = [
        image
        for i, (image, taken) in enumerate(zip(images, ranges, strict=True))
        if heap is not None and taken.base < heap.end and taken.end > heap.base and i != number
    ]
    inside = heap is not None and heap.end <= (highest if plan.era != "M" else heap.end)
    heap_fits = inside and not blockers
    words, child = _words(space, plan, heap, others, highest, heap_fits, chosen is not None)
    return SpaceVerdict(
        space,
        named,
        total,
        dll,
        plan,
        heap,
        room,
        until,
        blockers,
        heap_fits,
        words + _remap(space, named, plan.era),
        child,
        _moved(images, smallest_moves(ranges, number, plan, heap)),
    )


def _system_choice(ranges: list[Range], plan: HeapPlan, highest: int) -> Range | None:
    base = lowest_place(ranges, plan.page_bytes, LOWEST, highest)
    return None if base is None else Range(base, base + plan.page_bytes)


def _overlap(images: tuple[ListedImage, ...], ranges: list[Range], i: int, j: int) -> Overlap:
    shared = Range(ranges[j].base, min(ranges[i].end, ranges[j].end))
    return Overlap(images[i], images[j], shared)


def _room(
    images: tuple[ListedImage, ...], dll: int, ranges: list[Range], heap: Range | None,
    plan: HeapPlan, highest: int,
) -> tuple[Range, str]:  # fmt: skip
    """(free addresses behind the DLL, or from the heap's place on; what comes after them)."""
    start = up(ranges[dll].end)
    if plan.offset is not None and heap is not None:
        start = heap.base
    ends = [
        (max(taken.base, start), images[i].short_name)
        for i, taken in enumerate(ranges)
        if i != dll and taken.end > start
    ]
    end, until = min(ends, default=(highest, "the end of the user half"))
    return Range(start, max(end, start)), until


def _words(
    space: Space, plan: HeapPlan, heap: Range | None, others: list[Range], highest: int,
    fits: bool, is_child: bool,
) -> tuple[list[str], list[str]]:  # fmt: skip
    """What the process says if its heap does not fit: (as first process, as a child)."""
    if fits or plan.era == "M":
        return [], []
    program = _program(space)
    if heap is None:  # nothing is large enough: VirtualAlloc(NULL) fails
        return [f"{program}: *** Couldn't reserve space for cygwin's heap, Win32 error 0"], []
    child = child_words(program, plan, heap, others, highest)
    if is_child or plan.era == "A":
        return child, child
    return first_words(program, heap, others, highest), child


def _remap(space: Space, named: list[Overlap], era: str) -> list[str]:
    """The message about the first overlap; one is enough to end a fork."""
    return remap_words(_program(space), named[0].second, era) if named else []


def _program(space: Space) -> str:
    """Name of the program; Process Monitor's process is `NAME PID`, strace's the number alone."""
    name, _, _ = space.process.rpartition(" ")
    return name or PROGRAM


def _is_64(images: tuple[ListedImage, ...]) -> bool:
    return any(image.base >> 32 for image in images)


def _moved(images: tuple[ListedImage, ...], moves: Moves | None) -> list[MovedImage] | None:
    if moves is None:
        return None
    return [MovedImage(images[number], to) for number, _, to in moves]
