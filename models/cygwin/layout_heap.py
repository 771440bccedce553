"""Where the cygheap wants to be, how large it is, and what Cygwin says if it cannot.

* Era A: the first process takes what the system gives it; every later one needs that address.
* Era B (and C): right behind the DLL, on the next 64 KiB boundary, in every process.
* The released DLLs of 1.3.3 and of MSYS 1.0 have a gap between their end and the heap, in which
  other DLLs do no harm; they are known by their name and size.
* Cygwin 3.4 and later: a fixed window of 8 GiB above 32 GiB, far from every DLL.

Source: CYGWIN.md §a8, §d, §i; MODERN.md; words of the messages from the call logs (`collide-*`).
"""

from __future__ import annotations

from dataclasses import dataclass

from models.cygwin.cygheap.layout import A, B, R
from models.cygwin.layout_ranges import Range, up
from models.cygwin.listing_entries import MEM_FREE, ListedImage
from models.cygwin.version import Version
from models.win32.memory import PAGE_BYTES

MEM_COMMIT = 0x1000  # State of a region that an image takes, winnt.h
ERAS = ("A", "B")
UNKNOWN_DLL_BYTES = Version.dll_bytes  # where the log gives no size: that of 1.3.3
_MSYS_BYTES = 5_139_308  # CYGHEAPSIZE of MSYS 1.0.12, from its logs
_MODERN = Range(0x8_0000_0000, 0xA_0000_0000)
_MODERN_LOWEST = 1 << 32


@dataclass(frozen=True, slots=True)
class Release:
    """A DLL that was published. Every field is *constant*.

    dll_bytes: its size in memory, None for any; heap_offset: of the heap from its base, None
    right behind it
    """

    title: str
    dll: str
    dll_bytes: int | None
    heap_offset: int | None
    heap_bytes: int


RELEASES = (
    Release("release 1.3.3", "cygwin1.dll", 0xFB000, 0x4E0000, R.cygheapsize),
    Release("MSYS 1.0.12", "msys-1.0.dll", 0x10B000, 0x570000, _MSYS_BYTES),
    Release("MSYS 1.0", "msys-1.0.dll", None, None, _MSYS_BYTES),
)


@dataclass(frozen=True, slots=True)
class HeapPlan:
    """What the heap of one release asks for.

    title: of the era or release, for messages; era: "A", "B" or "M" -- constant
    size_bytes: as it is asked for -- constant
    offset: from the DLL's base; None: the system chooses (A), or fixed (M) -- constant
    """

    title: str
    era: str
    size_bytes: int
    offset: int | None

    @property
    def page_bytes(self) -> int:
        """The size in whole pages, which is what a reservation takes."""
        return (self.size_bytes + PAGE_BYTES - 1) & -PAGE_BYTES

    def place(self, dll_base: int) -> Range | None:
        """The heap's range for a DLL at `dll_base`; None where the system chooses."""
        if self.era == "M":
            return _MODERN
        if self.offset is None:
            return None
        base = dll_base + self.offset
        return Range(base, base + self.page_bytes)


def image_range(image: ListedImage) -> Range:
    """What an image takes; of unknown size: 64 KiB, Cygwin's own as much as in 1.3.3."""
    size = image.size_bytes
    if size is None:
        size = UNKNOWN_DLL_BYTES if image.is_cygwin_dll else 0x10000
    return Range(image.base, image.base + size)


def plan_for(dll: ListedImage, era: str | None, heap_size: int | None) -> HeapPlan:
    """What the heap of this DLL asks for; `era` None takes the release that the DLL is."""
    behind = up(image_range(dll).end) - dll.base
    if era is None and dll.base >= _MODERN_LOWEST:
        return HeapPlan("Cygwin 3.4 and later", "M", _MODERN.end - _MODERN.base, None)
    if era == "A":
        return HeapPlan("era A", "A", heap_size or A.cygheapsize, None)
    if era is None:
        for release in RELEASES:
            same_size = release.dll_bytes in (None, dll.size_bytes)
            if release.dll == dll.short_name.lower() and same_size:
                offset = behind if release.heap_offset is None else release.heap_offset
                return HeapPlan(release.title, "B", heap_size or release.heap_bytes, offset)
    return HeapPlan("era B", "B", heap_size or B.cygheapsize, behind)


def first_words(program: str, heap: Range, images: list[Range], highest: int) -> list[str]:
    """What the first process of era B says and dies with.  The heap does not fit there.

    `%E` came out as error 0 although the call gave 487 (call logs).
    """
    owner, size, state = _queried(heap, images, highest)
    return [
        f"AllocationBase 0x{owner:X}, BaseAddress 0x{heap.base:X}, RegionSize 0x{size:X}, "
        f"State 0x{state:X}",
        f"{program}: *** Couldn't reserve space for cygwin's heap, Win32 error 0",
    ]


def child_words(
    program: str, plan: HeapPlan, heap: Range, images: list[Range], highest: int
) -> list[str]:
    """What a child says and dies with.  VIEW stands for where the system had put its copy."""
    if plan.era == "A":
        return [
            f"{program}: *** Couldn't reserve space for cygwin's heap (0x{heap.base:X}) in child, "
            "cygheap, Win32 error 0"
        ]
    owner, size, state = _queried(heap, images, highest)
    return [
        f"m.AllocationBase 0x{owner:X}, m.BaseAddress 0x{heap.base:X}, m.RegionSize 0x{size:X}, "
        f"m.State 0x{state:X}",
        f"{program}: *** Couldn't reserve space for cygwin's heap (0x{heap.base:X} <VIEW>) in "
        "child, Win32 error 0",
    ]


def remap_words(program: str, image: ListedImage, era: str) -> list[str]:
    """What the child of a fork says when a DLL that was loaded later lies elsewhere in it.

    Words of dll_init.cc in 2001, and of 3.6 above 4 GiB.  ADDRESS stands for where it came to lie.
    """
    if era == "M":
        return [
            f"child_info_fork::abort: address space needed by '{image.short_name}' "
            f"(0x{image.base:X}) is already occupied"
        ]
    return [f"{program}: *** unable to remap {image.name} to same address as parent -- ADDRESS"]


def _queried(heap: Range, images: list[Range], highest: int) -> tuple[int, int, int]:
    """VirtualQuery of the heap's place: (AllocationBase, RegionSize, State).

    Inside an image the region ends at a change of protection that no listing shows: its header is
    one page, anywhere else the rest of the image is taken.
    """
    for taken in images:
        if taken.base <= heap.base < taken.end:
            header = taken.base == heap.base
            rest = (taken.end - heap.base + PAGE_BYTES - 1) & -PAGE_BYTES
            return taken.base, PAGE_BYTES if header else rest, MEM_COMMIT
    following = [taken.base for taken in images if taken.base > heap.base]
    return 0, min([*following, highest]) - heap.base, MEM_FREE
