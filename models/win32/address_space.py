"""The user half of a process's address space: which ranges are taken, and what lies there.

Reservations and views begin on 64 KiB boundaries, commits work on 4 KiB pages.  Images and stacks
are regions like any other, so a heap that wants a taken address fails as it does on Windows.

What must stay true: regions are disjoint and sorted by base; `memory` is None only for regions
whose bytes nobody asked for (image text).

Source: conformance cases `va_*`, `mapex_*`, `vq_*`; address limits from the Win32 documentation.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass

from models.win32.errors import (
    ERROR_ACCESS_DENIED,
    ERROR_INVALID_ADDRESS,
    ERROR_INVALID_PARAMETER,
    ERROR_MAPPED_ALIGNMENT,
    ERROR_NOT_ENOUGH_MEMORY,
    AccessViolation,
    ReadOnlyPage,
    Win32Error,
)
from models.win32.memory import ALLOCATION_GRANULARITY, PAGE_BYTES, Memory
from models.win32.objects import Section
from models.win32.system import System

PAGE_READWRITE = 0x4  # winnt.h
PAGE_EXECUTE_READ = 0x20
_WRITABLE = 0xCC  # READWRITE, WRITECOPY and both with EXECUTE
_GRAIN = ALLOCATION_GRANULARITY


@dataclass(slots=True, eq=False)
class Region:
    """One reservation, view, image part or stack.

    base, size_bytes: page aligned -- constant
    kind: "private", "view", "image" or "stack" -- constant
    name: what a message calls it -- constant
    memory: its bytes, None where nobody can read or write -- state
    section: the section of a view, else None -- constant
    protect: PAGE_ constant of its committed pages -- constant
    offset_bytes: where in `memory` it begins; 0 except for views of a part -- constant
    """

    base: int
    size_bytes: int
    kind: str
    name: str = ""
    memory: Memory | None = None
    section: Section | None = None
    protect: int = PAGE_READWRITE
    offset_bytes: int = 0

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.base + self.size_bytes


class AddressSpace:
    """All regions of one process.

    system: which addresses are usable for what -- constant
    """

    __slots__ = ("_bases", "_regions", "system")

    def __init__(self, system: System) -> None:
        self.system = system
        self._bases: list[int] = []
        self._regions: dict[int, Region] = {}

    @property
    def highest(self) -> int:
        """One past the last address that a region can have."""
        return max(self.system.highest, self.system.view_highest)

    def __len__(self) -> int:
        return len(self._bases)

    def regions(self) -> list[Region]:
        """All regions, by address."""
        return [self._regions[base] for base in self._bases]

    def add(self, region: Region) -> Region:
        """Put a region in. Raises Win32Error 487 if it overlaps another."""
        other = self.overlapping(region.base, region.size_bytes)
        if other is not None:
            raise Win32Error(
                ERROR_INVALID_ADDRESS,
                "address space",
                f"{region.base:#010x} is already taken by {other.name or other.kind}",
            )
        return self._put(region)

    def _put(self, region: Region) -> Region:
        """`add` where nothing is known to overlap."""
        insort(self._bases, region.base)
        self._regions[region.base] = region
        return region

    def remove(self, region: Region) -> None:
        """Take a region out."""
        self._bases.remove(region.base)
        del self._regions[region.base]

    def find(self, address: int) -> Region | None:
        """The region that holds `address`, or None."""
        i = bisect_right(self._bases, address)
        if i:
            region = self._regions[self._bases[i - 1]]
            if address < region.base + region.size_bytes:
                return region
        return None

    def overlapping(self, base: int, size_bytes: int) -> Region | None:
        """The lowest region that shares a byte with the range, or None."""
        i = bisect_right(self._bases, base)
        if i:
            region = self._regions[self._bases[i - 1]]
            if base < region.base + region.size_bytes:
                return region
        if i < len(self._bases) and self._bases[i] < base + size_bytes:
            return self._regions[self._bases[i]]
        return None

    def free_range(self, size_bytes: int, lowest: int, highest: int) -> int:
        """Where the system puts `size_bytes` if it may choose: the lowest fit in the limits.

        Raises Win32Error 8 if nothing is large enough.
        """
        at = lowest
        regions = self._regions
        for base in self._bases:
            if base - at >= size_bytes:
                break
            after = (base + regions[base].size_bytes + _GRAIN - 1) & -_GRAIN
            if after > at:
                at = after
        if at + size_bytes > highest:
            raise Win32Error(
                ERROR_NOT_ENOUGH_MEMORY, "address space", f"no {size_bytes} free bytes in a row"
            )
        return at

    def reserve(self, address: int, size_bytes: int, name: str = "") -> Region:
        """VirtualAlloc(MEM_RESERVE); address 0 lets the system choose.

        A wanted address is rounded down to 64 KiB, the end up to a page.
        Raises Win32Error 487 if it is taken, 87 for an address out of range, 8 if nothing fits.
        """
        if size_bytes <= 0:
            raise Win32Error(ERROR_INVALID_PARAMETER, "VirtualAlloc", "size must be positive")
        if address == 0:
            size = (size_bytes + PAGE_BYTES - 1) & -PAGE_BYTES
            base = self.free_range(size, self.system.lowest, self.system.highest)
        else:
            base = address & -_GRAIN
            size = (address + size_bytes + PAGE_BYTES - 1 & -PAGE_BYTES) - base
            if base < self.system.lowest or base + size > self.system.highest:
                raise Win32Error(
                    ERROR_INVALID_PARAMETER, "VirtualAlloc", f"{address:#x} is out of range"
                )
        return self.add(Region(base, size, "private", name, Memory(size)))

    def map_view(
        self, section: Section, address: int, name: str = "", size_bytes: int = 0, offset: int = 0
    ) -> Region:
        """MapViewOfFileEx; address 0 lets the system choose, size 0 takes all from `offset` on.

        Raises Win32Error 1132 if address or offset is not on 64 KiB, 5 for more than there is,
        487 if it is taken or if the system keeps views elsewhere, 8 if nothing fits, 87 for an
        address out of range.
        """
        size = section.memory.size_bytes
        if (address | offset) & (_GRAIN - 1):
            raise Win32Error(
                ERROR_MAPPED_ALIGNMENT,
                "MapViewOfFileEx",
                f"{address:#x} or offset {offset:#x} is not on 64 KiB",
            )
        if size_bytes or offset:
            if not 0 <= offset < size or not 0 <= size_bytes <= size - offset:
                raise Win32Error(
                    ERROR_ACCESS_DENIED, "MapViewOfFileEx", f"the section has {size} bytes"
                )
            size = (size_bytes + PAGE_BYTES - 1 & -PAGE_BYTES) or size - offset
        low, high = self.system.view_lowest, self.system.view_highest
        if address and self.system.map_view_of_file_ex_sucks and not low <= address < high:
            raise Win32Error(
                ERROR_INVALID_ADDRESS, "MapViewOfFileEx", f"{address:#x} is not for views"
            )
        if address + size > high:
            raise Win32Error(
                ERROR_INVALID_PARAMETER, "MapViewOfFileEx", f"{address + size:#x} is out of range"
            )
        base = address or self.free_range(size, low, high)
        memory = section.memory
        region = Region(base, size, "view", name, memory, section, PAGE_READWRITE, offset)
        if address:
            self.add(region)
        else:
            self._put(region)
        section.views += 1
        return region

    def memory_at(self, address: int, what: str = "read") -> tuple[Memory, int]:
        """The memory behind `address` and the offset in it. Raises AccessViolation(address)."""
        region = self.find(address)
        if region is None or region.memory is None:
            raise AccessViolation(address, what)
        if what == "write" and not region.protect & _WRITABLE:
            raise ReadOnlyPage(address, what)
        return region.memory, address - region.base + region.offset_bytes

    def pieces(
        self, address: int, size_bytes: int, what: str = "read"
    ) -> Iterator[tuple[Memory, int, int]]:
        """(memory, offset in it, bytes) of each page of a range, whatever regions it crosses.

        Raises AccessViolation(address) at the first page that cannot be touched.
        """
        end = address + size_bytes
        while address < end:
            memory, offset = self.memory_at(address, what)
            if not memory.is_committed(offset):
                raise AccessViolation(address, what)
            size = min(end - address, PAGE_BYTES - (address & PAGE_BYTES - 1))
            yield memory, offset, size
            address += size

    def clear(self) -> tuple[int, list[Section]]:
        """Let everything go at once (process exit): private pages, and sections of views."""
        pages = 0
        sections = []
        for region in self._regions.values():
            section, memory = region.section, region.memory
            if section is not None:
                section.views -= 1
                sections.append(section)
            elif memory is not None:
                pages += len(memory.pages) - memory.holes
        self._bases.clear()
        self._regions.clear()
        return pages, sections


class AddressSpacePlan:
    """What a fresh address space is to hold; regions without bytes are shared by all users."""

    __slots__ = ("_bases", "_pages", "_regions", "_sections", "_writable")

    def __init__(self, model: AddressSpace, writable: set[int]) -> None:
        """Taken from `model`; the regions at the bases in `writable` get memory of their own."""
        self._bases = list(model._bases)
        self._regions = dict(model._regions)
        self._sections = [region.section for region in self._regions.values() if region.section]
        self._writable = [region for base, region in self._regions.items() if base in writable]
        self._pages = sum(region.size_bytes // PAGE_BYTES for region in self._writable)

    def apply(self, space: AddressSpace) -> int:
        """Fill an empty address space; committed pages."""
        space._bases = self._bases.copy()
        space._regions = self._regions.copy()
        for section in self._sections:
            section.views += 1
        for r in self._writable:
            memory = Memory.zeroed(r.size_bytes)
            space._regions[r.base] = Region(r.base, r.size_bytes, r.kind, r.name, memory)
        return self._pages
