"""VirtualAlloc, VirtualFree and VirtualQuery in full, and plain loads and stores.

The calls of `memory_calls.py` are what Cygwin's start-up uses; these are what any program may ask.
What VirtualQuery says about a range follows from the regions and their committed pages: nothing is
kept for it.

Source: conformance cases `va_*`, `vq_*`, `sec_*`; the Win32 documentation.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.win32.address_space import AddressSpace, Region
from models.win32.errors import ERROR_INVALID_ADDRESS, ERROR_INVALID_PARAMETER, Win32Error
from models.win32.memory import PAGE_BYTES, PAGE_SHIFT
from models.win32.memory_calls import MemoryCalls
from models.win32.thread import Thread

MEM_TYPES = {"private": "PRIVATE", "stack": "PRIVATE", "view": "MAPPED", "image": "IMAGE"}


@dataclass(frozen=True, slots=True)
class MemoryInformation:
    """MEMORY_BASIC_INFORMATION: a run of pages that are alike.

    base: page of the address asked for -- output
    allocation_base: where the reservation, view or image begins; None for free pages -- output
    size_bytes: from `base` to the end of the run -- output
    state: "COMMIT", "RESERVE" or "FREE" -- output
    protect: PAGE_ constant; 0 unless committed -- output
    kind: "PRIVATE", "MAPPED" or "IMAGE"; "" for free pages -- output
    """

    base: int
    allocation_base: int | None
    size_bytes: int
    state: str
    protect: int
    kind: str


class VirtualCalls(MemoryCalls):
    """Calls on address ranges of the caller's own process."""

    def virtual_alloc(
        self, me: Thread, address: int, size_bytes: int, reserve: bool, commit: bool
    ) -> int:
        """VirtualAlloc: the address; 0 lets the system choose, and then reserves too.

        Raises Win32Error 87 for no size or no type, 487 (taken, or not reserved), 8, 1455.
        """
        if size_bytes <= 0 or not (reserve or commit):
            raise Win32Error(ERROR_INVALID_PARAMETER, "VirtualAlloc", f"{size_bytes} bytes")
        if not reserve and address:
            self.virtual_commit(me, address, size_bytes)
            return address & -PAGE_BYTES
        region = self.virtual_reserve(me, address, size_bytes)
        if commit:
            try:
                self.virtual_commit(me, region.base, region.size_bytes)
            except Win32Error:
                self.virtual_free(me, region.base)
                raise
        return region.base

    def virtual_decommit(self, me: Thread, address: int, size_bytes: int) -> None:
        """VirtualFree(MEM_DECOMMIT) of every page that the range touches; size 0: all of it.

        Raises Win32Error 487 for a free address or for size 0 inside a reservation, 87 for a
        range that goes beyond it and for views and images.
        """
        me.debt_us += me.costs.call_us
        region = me.process.space.find(address)
        if region is None or (size_bytes == 0 and address != region.base):
            raise Win32Error(ERROR_INVALID_ADDRESS, "VirtualFree", f"{address:#x}")
        size = size_bytes or region.size_bytes
        if region.kind != "private" or size < 0 or address + size > region.end:
            raise Win32Error(ERROR_INVALID_PARAMETER, "VirtualFree", f"{address:#x}, {size} bytes")
        if region.memory is not None:
            self.discharge(region.memory.decommit(address - region.base, size))
        if self.calls is not None:
            self.row(me, "VirtualFree", addr=address, size=size, type="DECOMMIT")

    def memory_information(self, me: Thread, address: int) -> MemoryInformation:
        """What VirtualQuery tells in full. Raises Win32Error 87 above the user half."""
        region = self.virtual_query(me, address)
        space = me.process.space
        base = address & -PAGE_BYTES
        if region is None:
            above = [other.base for other in space.regions() if other.base > address]
            end = min(above, default=space.highest)
            return MemoryInformation(base, None, end - base, "FREE", 0, "")
        committed, end = _run(region, base)
        return MemoryInformation(
            base,
            _allocation_base(space, region),
            end - base,
            "COMMIT" if committed else "RESERVE",
            region.protect if committed else 0,
            MEM_TYPES[region.kind],
        )

    def load_bytes(self, me: Thread, address: int, size_bytes: int) -> bytes:
        """What instructions that read find there. Raises AccessViolation."""
        me.debt_us += size_bytes * me.costs.copy_us_per_byte
        pieces = me.process.space.pieces(address, size_bytes)
        return b"".join([memory.read(offset, size) for memory, offset, size in pieces])

    def store_bytes(self, me: Thread, address: int, data: bytes) -> None:
        """What instructions that write do: all before the first page that refuses.

        Raises AccessViolation there.
        """
        me.debt_us += len(data) * me.costs.copy_us_per_byte
        at = 0
        for memory, offset, size in me.process.space.pieces(address, len(data), "write"):
            memory.write(offset, data[at : at + size])
            at += size


def _run(region: Region, base: int) -> tuple[bool, int]:
    """Whether the page at `base` is committed, and where pages like it end."""
    memory = region.memory
    if region.kind == "image" or memory is None:
        return region.kind == "image", region.end
    first = (base - region.base + region.offset_bytes) >> PAGE_SHIFT
    last = (region.size_bytes + region.offset_bytes) >> PAGE_SHIFT
    committed = memory.is_committed(first << PAGE_SHIFT)
    have = min(len(memory.pages), last)
    i = first
    while i < have and (memory.pages[i] is not None) is committed:
        i += 1
    if i >= have and not committed:
        i = last
    return committed, base + (i - first << PAGE_SHIFT)


def _allocation_base(space: AddressSpace, region: Region) -> int:
    """Where the reservation of `region` begins: parts of images and stacks lie side by side."""
    while region.kind in ("image", "stack"):
        below = space.find(region.base - 1)
        if below is None or below.kind != region.kind:
            break
        region = below
    return region.base
