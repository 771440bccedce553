"""Where the releases put the cygheap, and what each place does when something is in its way.

A remedy says where the first process puts the heap and what a child does to have it there again.
A mishap says what lies where in which process.  `fate` lets one meet the other in the address
spaces of a first process and of its child; nothing is assumed but the sizes of what is in the way.

Source: CYGWIN.md §d, §0 (prehistory), §i (the place inside the image); MODERN.md §1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from models.cygwin.auto_image_base import RULES
from models.win32.address_space import AddressSpace, Region
from models.win32.errors import Win32Error
from models.win32.system import NT, System

MIB = 1 << 20
GRAIN = 0x10000
DLL_BYTES = 0x40000  # of a DLL that is in the way -- chosen
_SLOTS = 1024  # how many of a rule's places are tried: all of the rule of 2001
NT64 = replace(NT, name="nt64", highest=0x7FFFFFFE0000, view_highest=0x7FFFFFFE0000)

FINE, FIRST, CHILD, GROWTH = "fine", "first", "child", "growth"
FATES = {
    FINE: "both have the heap",
    FIRST: "the first process dies",
    CHILD: "the child dies",
    GROWTH: "dies when the heap grows",
}


@dataclass(frozen=True)
class Remedy:
    """One place. Every field is *constant*; addresses absolute, sizes in bytes.

    address: where the heap is; None where the system chooses or the DLL says
    after_dll: offset from the DLL's base, None where the place does not depend on it
    reserve_bytes: address space that is taken; image_bytes: how much of that the DLL's image holds
    dll_base, dll_bytes: the DLL of its time, without the heap
    """

    name: str
    since: str
    address: int | None
    after_dll: int | None
    reserve_bytes: int
    image_bytes: int = 0
    dll_base: int = 0x61000000
    dll_bytes: int = 0x100000
    system: System = NT


REMEDIES = (
    Remedy("fixed", "2000-09-03", 0x12010000, None, 2_146_304),
    Remedy("os-chosen", "2000-09-11", None, None, 5_124_096),
    Remedy("after-dll", "2001-08-31", None, 0x100000, 5_107_712),
    Remedy("inside-image", "2005-06-01", None, 0x100000, 524_288, 524_288),
    Remedy("0x800000000", "2022-10-28", 0x800000000, None, 0x200000000,
           dll_base=0x180040000, dll_bytes=0x400000, system=NT64),
)  # fmt: skip


@dataclass(frozen=True)
class Mishap:
    """Something in the way. Every field is *constant*.

    where: address of what is in the way, from the remedy and the first process's heap
    size_bytes: how large it is
    in_first, in_child: who has it
    dll_moved_bytes: how far the child's Cygwin DLL is from the parent's
    grows_bytes: how far the heap grows in the end
    """

    name: str
    what: str
    where: Callable[[Remedy, int], int]
    size_bytes: int = DLL_BYTES
    in_first: bool = False
    in_child: bool = True
    dll_moved_bytes: int = 0
    grows_bytes: int = 0


def _fixed_at(address: int) -> Callable[[Remedy, int], int]:
    return lambda remedy, heap: address


def _behind(remedy: Remedy, heap: int) -> int:
    return remedy.dll_base + remedy.dll_bytes + remedy.image_bytes


MISHAPS = (
    Mishap("dll-behind", "DLL behind, in all", _behind, in_first=True),
    Mishap("dll-behind-child", "DLL behind, child only", _behind),
    Mishap("dll-behind-grows", "behind, heap to 1 MiB", _behind, in_first=True,
           grows_bytes=MIB),
    Mishap("at-the-heap", "memory at the heap", lambda r, heap: heap),
    Mishap("low-memory", "16 MiB at 0x12000000", _fixed_at(0x12000000), 16 * MIB),
    Mishap("lowest-memory", "4 MiB lowest (XP)", _fixed_at(0), 4 * MIB),
    Mishap("dll-moved", "Cygwin's DLL moved", _fixed_at(0), 0,
           dll_moved_bytes=64 * MIB),
)  # fmt: skip


def fate(remedy: Remedy, mishap: Mishap) -> str:
    """What becomes of a first process and its child: one of FATES.

    Only the heap is looked at: what else a moved DLL breaks (fork copies its data) is left out.
    """
    first = _space(remedy)
    if mishap.in_first and mishap.size_bytes:
        _take(first, mishap.where(remedy, 0), mishap.size_bytes)
    try:
        heap = _first_heap(first, remedy)
    except Win32Error:
        return FIRST
    if not _child_has_it(remedy, mishap, heap):
        return CHILD
    room = remedy.image_bytes or remedy.reserve_bytes
    if mishap.grows_bytes > room:
        try:
            first.reserve(heap + room, mishap.grows_bytes - room, "cygheap")
        except Win32Error:
            return GROWTH
    return FINE


def slots(remedy: Remedy) -> list[int]:
    """1,024 places that --enable-auto-image-base gives, without those on Cygwin's own DLL.

    All of the rule of 2001; of the 64-bit rule every 128th.
    """
    rule = RULES["x86_64" if remedy.system is NT64 else "2001"]
    end = remedy.dll_base + remedy.dll_bytes + remedy.image_bytes
    places = rule.addresses()[:: rule.slots // _SLOTS]
    return [p for p in places if p + DLL_BYTES <= remedy.dll_base or p >= end]


def slots_hit(remedy: Remedy, in_all: bool) -> int:
    """In how many of `slots` a DLL of 256 KiB ends in a death, in all processes or in the child."""
    found = 0
    for place in slots(remedy):
        mishap = Mishap("slot", "", _fixed_at(place), DLL_BYTES, in_first=in_all)
        found += fate(remedy, mishap) != FINE
    return found


def heap_range(remedy: Remedy) -> tuple[int, int]:
    """Where a first process without any mishap has the heap: base and end."""
    base = _first_heap(_space(remedy), remedy)
    return base, base + remedy.reserve_bytes


def _first_heap(space: AddressSpace, remedy: Remedy) -> int:
    """Base of the heap of a first process. Raises Win32Error."""
    if remedy.image_bytes:
        return remedy.dll_base + (remedy.after_dll or 0)
    address = remedy.address or 0
    if remedy.after_dll is not None:
        address = remedy.dll_base + remedy.after_dll
    return space.reserve(address, remedy.reserve_bytes, "cygheap").base


def _child_has_it(remedy: Remedy, mishap: Mishap, heap: int) -> bool:
    """Whether the child gets the heap where the parent has it."""
    where = mishap.where(remedy, heap)
    dll_end = remedy.dll_base + remedy.dll_bytes + remedy.image_bytes
    in_child = mishap.in_child and mishap.size_bytes > 0
    dll_taken = in_child and remedy.dll_base - mishap.size_bytes < where < dll_end
    moved = mishap.dll_moved_bytes or (64 * MIB if dll_taken else 0)
    if remedy.image_bytes:
        return not moved  # its heap is where its DLL is
    child = _space(remedy, moved)
    if in_child:
        _take(child, where, mishap.size_bytes)
    try:
        child.reserve(heap, remedy.reserve_bytes, "cygheap")
    except Win32Error:
        return False
    return True


def _space(remedy: Remedy, moved_bytes: int = 0) -> AddressSpace:
    """What every process holds before its heap: program, stack, DLLs."""
    space = AddressSpace(remedy.system)
    dll_bytes = remedy.dll_bytes + remedy.image_bytes
    for base, size, name in (
        (0x400000, 0x93000, "program"),
        (0x4A0000, 0x200000, "stack"),
        (0xA000000, 0x10000, "cygwin shared"),
        (remedy.dll_base + moved_bytes, dll_bytes, "cygwin1.dll"),
        (0x77E80000, 0xB5000, "kernel32.dll"),
        (0x77F80000, 0x79000, "ntdll.dll"),
    ):
        space.add(Region(base, size, "image", name))
    return space


def _take(space: AddressSpace, address: int, size_bytes: int) -> None:
    """Put something there; address 0 takes the lowest place, as a system does by itself."""
    if not address:
        address = space.free_range(size_bytes, space.system.lowest, space.system.highest)
    space.add(Region(address, size_bytes, "private", "in the way"))
