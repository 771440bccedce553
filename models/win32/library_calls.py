"""LoadLibrary and FreeLibrary: a DLL that a program loads while it runs.

A file lies at its preferred base if that is free, and elsewhere otherwise, where the system finds
room first.  Each load of a file that is loaded already only gives its base: loads are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.win32.address_space import PAGE_EXECUTE_READ, Region
from models.win32.errors import ERROR_INVALID_HANDLE, Win32Error
from models.win32.kernel_core import KernelCore
from models.win32.memory import ALLOCATION_GRANULARITY, PAGE_BYTES, Memory
from models.win32.thread import Thread


@dataclass(frozen=True)
class Library:
    """A DLL file. Every field is *constant*.

    base: preferred, aligned to 64 KiB
    size_bytes, data_bytes: of the whole, and of the data at its end; whole pages
    """

    name: str
    base: int
    size_bytes: int
    data_bytes: int = PAGE_BYTES

    def __post_init__(self) -> None:
        if self.base % ALLOCATION_GRANULARITY:
            raise ValueError(f"base ({self.base:#x}) must be aligned to 64 KiB")
        for what in ("size_bytes", "data_bytes"):
            if getattr(self, what) <= 0 or getattr(self, what) % PAGE_BYTES:
                raise ValueError(f"{what} ({getattr(self, what)}) must be whole pages")
        if self.data_bytes >= self.size_bytes:
            raise ValueError(f"data_bytes ({self.data_bytes}) must be less than size_bytes")

    @property
    def data_offset(self) -> int:
        """Where its data begins, from its base."""
        return self.size_bytes - self.data_bytes


class LibraryCalls(KernelCore):
    """LoadLibrary, FreeLibrary."""

    def load_library(self, me: Thread, library: Library) -> int:
        """LoadLibrary: where the file lies now. Raises Win32Error 1455, 8 if nothing is free."""
        space = me.process.space
        base = next((r.base for r in space.regions() if _is(r, library.name)), 0)
        if not base:
            base = library.base
            if space.overlapping(base, library.size_bytes) is not None:
                system = space.system
                base = space.free_range(library.size_bytes, system.lowest, system.highest)
            pages = library.data_bytes // PAGE_BYTES
            self.charge(pages, "LoadLibrary")
            data = base + library.data_offset
            code = Region(base, library.data_offset, "image", library.name)
            code.protect = PAGE_EXECUTE_READ
            space.add(code)
            memory = Memory.zeroed(library.data_bytes)
            space.add(Region(data, library.data_bytes, "image", f"{library.name} data", memory))
            me.debt_us += pages * me.costs.page_us
        me.debt_us += me.costs.handle_us
        if self.calls is not None:
            self.row(me, "LoadLibrary", name=library.name, ret=base)
        return base

    def free_library(self, me: Thread, base: int) -> None:
        """FreeLibrary of what lies at `base`. Raises Win32Error 6 if no DLL begins there."""
        me.debt_us += me.costs.handle_us
        space = me.process.space
        code = space.find(base)
        if code is None or code.kind != "image" or code.base != base:
            raise Win32Error(ERROR_INVALID_HANDLE, "FreeLibrary", f"{base:#x}")
        data = space.find(code.end)
        space.remove(code)
        if data is not None and data.name == f"{code.name} data" and data.memory is not None:
            space.remove(data)
            self.discharge(data.memory.committed_pages())
        if self.calls is not None:
            self.row(me, "FreeLibrary", addr=base)


def _is(region: Region, name: str) -> bool:
    return region.kind == "image" and region.name == name
