"""Program files: with Cygwin's DLL, or without it.

The ranges follow the release's numbers; a program without the DLL has only its own image, its stack
and the system's DLLs.  System DLLs sit where Windows 2000 had them (assumed; only their being high
matters).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from models.cygwin.version import Version
from models.win32.image import Image, Layout, Part, file_section
from models.win32.memory import PAGE_BYTES
from models.win32.objects import Section

if TYPE_CHECKING:
    from models.win32.kernel import Kernel
    from models.win32.thread import Thread
    from sim.engine import Steps


DLL = "cygwin1.dll"
HEAP_PART = "cygheap"  # section of a DLL that has its heap in itself
_SYSTEM = (
    Part(0x77E80000, 0xB5000, "kernel32.dll"),
    Part(0x77F80000, 0x79000, "ntdll.dll"),
)


def cygwin_image(version: Version, name: str, entry: Callable[[Kernel, Thread], Steps]) -> Image:
    """A program linked with the DLL of `version`."""
    return Image(name, _cygwin_parts(version), entry)


def native_image(version: Version, name: str, entry: Callable[[Kernel, Thread], Steps]) -> Image:
    """A program that knows nothing of Cygwin, of the same size."""
    return Image(name, _native_parts(version), entry)


def is_cygwin(image: Image) -> bool:
    """Whether a program is linked with the DLL."""
    return any(part.name == DLL for part in image.parts)


def imports_cygwin(k: Kernel, me: Thread, image: Image) -> bool:
    """Whether the DLL is in the import table of a program's file, which `me` maps to look.

    A program that loads it later, or through another DLL, does not say so there.
    """
    file = k.new_handle(me, _file(tuple(part.name for part in image.parts)), False)
    view = k.map_view_of_file_ex(me, file, name="program file")
    found = f"\0{DLL}\0".encode() in k.load_bytes(me, view.base, PAGE_BYTES)
    k.unmap_view_of_file(me, view.base)
    k.close_handle(me, file)
    return found


@lru_cache(maxsize=64)
def _file(parts: tuple[str, ...]) -> Section:
    """A program's file, of which only its import table is there: the names of the DLLs."""
    names = dict.fromkeys(name for name in parts if name.endswith(".dll"))
    return file_section(PAGE_BYTES, "program file", b"\0".join([b"", *map(str.encode, names), b""]))


@lru_cache(maxsize=64)
def _cygwin_parts(version: Version) -> Layout:
    dll, data, bss = version.dll_base, version.dll_data, version.dll_bss
    end = dll + version.dll_bytes
    after_data = _page_end(*data)
    after_bss = _page_end(*bss)
    parts = [
        *_native_parts(version),
        Part(dll, data[0] - dll, DLL),
        Part(data[0], after_data - data[0], "cygwin1.dll data", writable=True),
        Part(after_data, bss[0] - after_data, "cygwin1.dll"),
        Part(bss[0], after_bss - bss[0], "cygwin1.dll bss", writable=True),
        Part(after_bss, end - after_bss, "cygwin1.dll"),
    ]
    if version.heap_in_image:
        size = version.era.reserve_bytes
        parts.append(Part(version.heap_address, size, HEAP_PART, writable=True))
    return Layout(part for part in parts if part.size_bytes > 0)


@lru_cache(maxsize=64)
def _native_parts(version: Version) -> Layout:
    base, data, bss = version.exe_base, version.exe_data, version.exe_bss
    after_data, after_bss = _page_end(*data), _page_end(*bss)
    stack, top = version.stack_base, version.stack_base + version.stack_reserve_bytes
    touched = top - version.stack_commit_bytes
    parts = [
        Part(base, data[0] - base, "program"),
        Part(data[0], after_data - data[0], "program data", writable=True),
        Part(after_data, bss[0] - after_data, "program"),
        Part(bss[0], after_bss - bss[0], "program bss", writable=True),
        Part(stack, touched - stack, "stack", kind="stack"),
        Part(touched, top - touched, "stack", writable=True, kind="stack"),
        *(_linked_part(*range_) for range_ in version.linked),
        *_SYSTEM,
    ]
    return Layout(part for part in parts if part.size_bytes > 0)


def _linked_part(address: int, size_bytes: int) -> Part:
    start = address & -PAGE_BYTES
    return Part(start, _page_end(address, size_bytes) - start, "linked DLL", writable=True)


def _page_end(address: int, size_bytes: int) -> int:
    return (address + size_bytes + PAGE_BYTES - 1) & -PAGE_BYTES
