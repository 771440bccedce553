"""What VirtualQuery tells about an address, and the rarer calls on allocations.

A run of pages ends where the state changes or the allocation ends; a free range ends at the next
region.  What is not committed has no protection.

Source: conformance cases `va_*`, `vq_*`, `sec_*`; the Win32 documentation of VirtualQuery and
VirtualFree.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.win32.address_space import PAGE_READWRITE, AddressSpace, Region
from models.win32.errors import ERROR_INVALID_ADDRESS, ERROR_INVALID_PARAMETER, Win32Error
from models.win32.kernel_core import KernelCore
from models.win32.memory import PAGE_BYTES, Memory
from models.win32.thread import Thread

PAGE_NOACCESS = 0x1  # winnt.h
_TYPES = {"view": "MAPPED", "image": "IMAGE"}  # everything else is PRIVATE


@dataclass(frozen=True, slots=True)
class MemoryInformation:
    """MEMORY_BASIC_INFORMATION.

    base: the page of the address; region_bytes: from there to the end of its run of pages
    allocation_base: where the allocation begins; None in a free range
    state: "COMMIT", "RESERVE" or "FREE"; type: "PRIVATE", "MAPPED", "IMAGE", "" if free
    protect: PAGE_ constant, 0 for reserved pages
    """

    base: int
    allocation_base: int | None
    region_bytes: int
    state: str
    protect: int
    type: str


def query(space: AddressSpace, address: int) -> MemoryInformation:
    """What lies at `address`. Raises Win32Error 87 beyond what a program may use."""
    if not 0 <= address < space.system.highest:
        raise Win32Error(ERROR_INVALID_PARAMETER, "VirtualQuery", f"{address:#x} is out of range")
    base = address & -PAGE_BYTES
    region = space.find(address)
    if region is None:
        above = [other.base for other in space.regions() if other.base > base]
        end = min(above, default=space.system.highest)
        return MemoryInformation(base, None, end - base, "FREE", PAGE_NOACCESS, "")
    committed, size = _run(region, base - region.base)
    return MemoryInformation(
        base,
        region.base,
        size,
        "COMMIT" if committed else "RESERVE",
        region.protect if committed else 0,
        _TYPES.get(region.kind, "PRIVATE"),
    )


def _run(region: Region, offset: int) -> tuple[bool, int]:
    """Whether the page at `offset` of the region is committed, and how many bytes go on like it."""
    memory = region.memory
    if memory is None:  # image text and stacks that nobody reads
        return True, region.size_bytes - offset
    first = region.offset_bytes + offset
    end = region.offset_bytes + region.size_bytes
    committed = memory.is_committed(first)
    at = first + PAGE_BYTES
    while at < end and memory.is_committed(at) == committed:
        at += PAGE_BYTES
    return committed, min(at, end) - first


class MemoryQueryCalls(KernelCore):
    """Calls that Cygwin of 2001 does not make, or only to look."""

    def virtual_query_information(self, me: Thread, address: int) -> MemoryInformation:
        """VirtualQuery. Raises Win32Error 87 for an address out of range."""
        me.debt_us += me.costs.call_us
        return query(me.process.space, address)

    def virtual_decommit(self, me: Thread, address: int, size_bytes: int) -> None:
        """VirtualFree(MEM_DECOMMIT) of every page that the range touches.

        Size 0 with the base of an allocation means all of it.
        Raises Win32Error 487 if the range is not within one allocation, 87 for a view or image.
        """
        me.debt_us += me.costs.call_us
        region = me.process.space.find(address)
        if region is not None and region.kind != "private":
            raise Win32Error(ERROR_INVALID_PARAMETER, "VirtualFree", f"a {region.kind} stays")
        if region is None or address + size_bytes > region.end:
            raise Win32Error(ERROR_INVALID_ADDRESS, "VirtualFree", f"{address:#x}")
        if size_bytes == 0 and address != region.base:
            raise Win32Error(ERROR_INVALID_ADDRESS, "VirtualFree", f"{address:#x} is no base")
        memory: Memory | None = region.memory
        assert memory is not None  # private regions have one
        self.discharge(memory.decommit(address - region.base, size_bytes or region.size_bytes))

    def virtual_protection(self, me: Thread, address: int, protect: int = PAGE_READWRITE) -> bool:
        """Let the allocation at `address` commit with `protect`: whether that could be arranged.

        One allocation has one protection here; another one while pages are committed is refused.
        """
        region = me.process.space.find(address)
        if region is None or region.protect == protect:
            return True
        if region.memory is not None and region.memory.committed_pages():
            return False
        region.protect = protect
        return True
