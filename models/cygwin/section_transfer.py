"""The cygheap in a shared section: the functions that the document names.

`cygheap_setup_for_child` makes the section in the parent and, in the one-step form, fills it.
`cygheap_setup_for_child_cleanup` fills it now if that was put off, unmaps the parent's view and
closes the handle.  `cygheap_fixup_in_child` puts the heap where the parent has it: on NT by mapping
the section there, on 9x by mapping it anywhere and copying, because a view cannot lie at such an
address.

The document says that only the child has a view.  That is so after the clean-up; from the 1.3.4
tree on, a one-step parent's view overlaps the child that already runs, and a child without Cygwin
keeps the section's handle as long as it lives.

Source: cygheap.cc of aa9d50a1c (CYGWIN.md §c1, §d).
"""

from __future__ import annotations

from models.cygwin import heap_guard
from models.cygwin.child_info import ChildInfo
from models.cygwin.creation_steps import HeapSection
from models.cygwin.errors import ApiFatal
from models.cygwin.process import CygwinProcess
from models.win32.address_space import Region
from models.win32.errors import ERROR_INVALID_ADDRESS, Win32Error
from models.win32.memory import Memory
from sim.engine import Steps

_MEM_STATES = {"COMMIT": 0x1000, "RESERVE": 0x2000, "FREE": 0x10000}  # winnt.h


def cygheap_setup_for_child(p: CygwinProcess, copy_now: bool) -> Steps:
    """Make the section; with `copy_now` put the heap into it. Runs in the parent."""
    k, me = p.k, p.me
    size = p.version.era.cygheapsize
    handle, _ = k.create_file_mapping(me, size, inherit=True, reserve=True, role="cygheap copy")
    view = k.map_view_of_file_ex(me, handle, name="cygheap copy")
    if copy_now:
        yield from fill(p, view.base)
    return HeapSection(handle, view.base)


def cygheap_setup_for_child_cleanup(
    p: CygwinProcess, section: HeapSection, copy_now: bool
) -> Steps:
    """Put the heap into the section now if asked; let go of view and handle. In the parent."""
    if copy_now:
        yield from fill(p, section.view)
    unmap(p, section)
    p.k.close_handle(p.me, section.handle)


def fill(p: CygwinProcess, view: int) -> Steps:
    """Commit as much of the section as the heap has in use, and copy it. Raises ApiFatal."""
    taken = yield from heap_guard.enter(p)
    if p.version.heap_end_stored:
        p.heap.memory.write32(_end_offset(p), p.heap.max)
    try:
        p.k.virtual_commit(p.me, view, p.heap.max)
    except Win32Error as error:
        raise ApiFatal(
            f"couldn't allocate new cygwin heap for child, Win32 error {error.code}"
        ) from error
    p.k.copy_memory(p.me, view, p.heap.base, p.heap.max)
    yield from heap_guard.leave(p, taken)


def unmap(p: CygwinProcess, section: HeapSection) -> None:
    """UnmapViewOfFile of the parent's view."""
    p.k.unmap_view_of_file(p.me, section.view)


def cygheap_fixup_in_child(p: CygwinProcess, info: ChildInfo) -> Steps:
    """Put the heap in place. Runs in the child. Raises ApiFatal with the message of the time."""
    k, me = p.k, p.me
    if not k.system.map_view_of_file_ex_sucks:
        try:
            region = k.map_view_of_file_ex(me, info.cygheap_h, info.cygheap, "cygheap")
        except Win32Error:
            region = _copy_into_place(p, info)  # NT, too, copies if the view does not fit
    else:
        region = _copy_into_place(p, info)
    k.close_handle(me, info.cygheap_h)
    assert region.memory is not None
    p.attach_heap(region.memory, info.cygheap, _end(p, region.memory, info))
    yield from ()


def _end(p: CygwinProcess, copied: Memory, info: ChildInfo) -> int:
    """Where the heap ends [bytes from its base]: as the child was told, or as it was copied."""
    return copied.read32(_end_offset(p)) if p.version.heap_end_stored else info.n


def _end_offset(p: CygwinProcess) -> int:
    return p.version.era.header_bytes - p.version.era.word_bytes


def _copy_into_place(p: CygwinProcess, info: ChildInfo) -> Region:
    k, me, size = p.k, p.me, p.version.era.cygheapsize
    view = k.map_view_of_file_ex(me, info.cygheap_h, 0, "cygheap copy")
    assert view.memory is not None
    n = _end(p, view.memory, info)
    try:
        region = k.virtual_reserve(me, info.cygheap, size, "cygheap")
    except Win32Error as error:
        places = f"(0x{info.cygheap:X} <0x{view.base:X}>)"
        text = f"Couldn't reserve space for cygwin's heap {places} in child"
        raise no_room(p, info.cygheap, text, "m.") from error
    try:
        k.virtual_commit(me, info.cygheap, n)
    except Win32Error as error:
        raise ApiFatal(
            f"Couldn't allocate space for child's heap {info.cygheap:#X}, size {n}, "
            f"Win32 error {error.code}"
        ) from error
    k.copy_memory(me, info.cygheap, view.base, n)
    k.unmap_view_of_file(me, view.base)
    return region


def no_room(p: CygwinProcess, address: int, text: str, prefix: str = "") -> ApiFatal:
    """The end of a process whose heap finds its place taken; the line before it is said here.

    Up to 1.3.3 what VirtualQuery found comes first, and the fatal text ends with error 0: the call
    gave 487, what lies between it and the message left 0 (call logs).  1.3.19 has it the other way
    round.
    """
    found = p.k.memory_information(p.me, address)
    values = {
        "AllocationBase": found.allocation_base or 0,
        "BaseAddress": found.base,
        "RegionSize": found.size_bytes,
        "State": _MEM_STATES[found.state],
    }
    place = ", ".join(f"{prefix}{name} 0x{value:X}" for name, value in values.items())
    if p.version.place_is_fatal:
        function = "cygheap_fixup_in_child" if prefix else "init_cheap"
        p.fail(f"{function}: {text}, Win32 error {ERROR_INVALID_ADDRESS}")
        return ApiFatal(place)
    p.fail(place)
    return ApiFatal(f"{text}, Win32 error 0")
