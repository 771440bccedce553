"""DLLs that a program loads while it runs, and how a fork of Cygwin 3.6 has them at their places.

Each has a record in the heap, which a fork child has like everything there and the next exec frees
(HEAP_2_DLL).  The child keeps their places free before anything else can take them; after its
parent has let it go on it loads each DLL again, and the parent writes its data.  A DLL that lies at
its preferred base comes there by itself.  One that the parent has elsewhere is tried first: where
it lands wrong, that place is blocked off until all are loaded, and it is tried again, six times.
(The source lets go of a DLL's kept place only if nothing had to be tried again before, so that a
second such DLL then never finds its own place free.)

Whatever is in the way (another DLL, say, that only the child has) ends the child with what it says;
fork is EAGAIN.

Source: dll_init.cc of c6680700f (MODERN.md §6.1, §6.5), read at msys2-runtime commit 71e4d9e2b.
Assumed: size and words of a record, and where the list begins; what loading costs.  Left out:
dependencies, and names of forkables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

from models.cygwin.child_info import ChildInfo
from models.cygwin.cygheap.modern_layout import ModernType
from models.cygwin.errors import ForkAborted, TryAgain
from models.cygwin.process import CygwinProcess
from models.win32.errors import Win32Error
from models.win32.library_calls import Library
from sim.engine import Steps

RECORD_BYTES = 300  # as the smallest of golden trace h22 (assumed for all)
NAME_BYTES = 200  # of a record's end, at most (chosen)
RETRIES = 6  # DLL_RETRY_MAX
_WORDS = Struct("<6Q")  # next, base, preferred base, size, data, its size
_HEAD = 192  # of the DLL's bss: address of the first record


class Loaded(NamedTuple):
    """A record. base: where the DLL lies; preferred: where it would; data: its address."""

    record: int
    base: int
    preferred: int
    size_bytes: int
    data: int
    data_bytes: int
    name: str


def dlopen(p: CygwinProcess, library: Library) -> int:
    """dlopen(): where the DLL lies.

    Raises Win32Error 1455, 8, and ValueError for a name that is too long or of another file.
    """
    size = len(library.name.encode())
    if not 0 < size < NAME_BYTES:
        raise ValueError(f"name ({size} bytes) must have 1 to {NAME_BYTES - 1}")
    if p.installation.libraries.setdefault(library.name, library) != library:
        raise ValueError(f"name ({library.name!r}) must not be that of another DLL file")
    known = list(loaded(p))
    base = p.k.load_library(p.me, library)
    if any(dll.name == library.name for dll in known):
        return base
    heap = p.heap
    record = heap.cmalloc(ModernType.HEAP_2_DLL, RECORD_BYTES)
    words = (
        0, base, library.base, library.size_bytes, base + library.data_offset, library.data_bytes,
    )  # fmt: skip
    content = _WORDS.pack(*words) + library.name.encode() + b"\0"
    heap.memory.write(record - heap.base, content)
    if known:
        heap.memory.write(known[-1].record - heap.base, record.to_bytes(8, "little"))
    else:
        memory, at = p.me.process.space.memory_at(p.version.dll_bss[0] + _HEAD)
        memory.write(at, record.to_bytes(8, "little"))
    return base


def loaded(p: CygwinProcess) -> Iterator[Loaded]:
    """The DLLs loaded at run time, in their order, as the process's own memory has them."""
    memory, at = p.me.process.space.memory_at(p.version.dll_bss[0] + _HEAD)
    record = int.from_bytes(memory.read(at, 8), "little")
    while record:
        offset = record - p.heap.base
        content = p.heap.memory.read(offset, _WORDS.size + NAME_BYTES)
        following, base, preferred, size, data, data_bytes = _WORDS.unpack(content[: _WORDS.size])
        name = content[_WORDS.size :].split(b"\0", 1)[0].decode()
        yield Loaded(record, base, preferred, size, data, data_bytes, name)
        record = following


def write_data(p: CygwinProcess, h_process: int) -> Steps:
    """Their data into a child that has loaded them again. In the parent. Raises TryAgain."""
    for dll in loaded(p):
        at, size = dll.data, dll.data_bytes
        try:
            yield from p.k.write_process_memory(p.me, h_process, at, at, size)
        except Win32Error as error:
            raise TryAgain(
                f"loaded dll data write copy failed, {at:#x}..{at + size:#x}, "
                f"Win32 error {error.code}"
            ) from error


def reserve_space(p: CygwinProcess, info: ChildInfo | None) -> None:
    """Keep their places free. In a fork child that has its parent's bss. Raises ForkAborted."""
    for dll in loaded(p):
        try:
            p.k.virtual_reserve(p.me, dll.base, dll.size_bytes, "dll space")
        except Win32Error as error:
            raise ForkAborted(
                f"address space needed by '{dll.name}' ({dll.base:#x}) is already occupied"
            ) from error


def load_after_fork(p: CygwinProcess, info: ChildInfo | None) -> None:
    """Load them again, each where the parent has it. In the child. Raises ForkAborted."""
    _load(p, list(loaded(p)), 0, 0)


def _load(p: CygwinProcess, dlls: list[Loaded], first: int, retries: int) -> None:
    """Try those from `first` on that the parent has elsewhere than they want; then load all.

    What is blocked off stays so until all are loaded.
    """
    k, me = p.k, p.me
    for i, dll in enumerate(dlls[first:], first):
        if dll.base == dll.preferred:
            continue
        if not retries:  # so the source has it, whichever DLL the retries were for
            k.virtual_free(me, dll.base)
        base = k.load_library(me, p.installation.libraries[dll.name])
        if base != dll.base:
            k.free_library(me, base)
            blocked = _block_off(p, base, dll)
            if retries >= RETRIES:
                raise ForkAborted(
                    f"unable to remap {dll.name} (using {dll.name}) to same address as parent "
                    f"({dll.base:#x}) - try running rebaseall"
                )
            _load(p, dlls, i, retries + 1)
            k.virtual_free(me, blocked)
            return
    for dll in dlls:
        _load_for_good(p, dll)


def _load_for_good(p: CygwinProcess, dll: Loaded) -> None:
    if dll.base == dll.preferred:
        p.k.virtual_free(p.me, dll.base)
    else:
        p.k.free_library(p.me, dll.base)
    base = p.k.load_library(p.me, p.installation.libraries[dll.name])
    if base != dll.base:
        raise ForkAborted(
            f"unable to map {dll.name} (using {dll.name}) to same address as parent: "
            f"{dll.base:#x} != {base:#x}"
        )


def _block_off(p: CygwinProcess, here: int, dll: Loaded) -> int:
    """Reserve what is free from `here` on, but for the DLL's own place: where it begins."""
    space = p.me.process.space
    p.k.virtual_query(p.me, here)
    end = min((r.base for r in space.regions() if r.base > here), default=space.system.highest)
    if dll.base < here < dll.base + dll.size_bytes:
        here = dll.base + dll.size_bytes
    elif here <= dll.base < end:
        end = dll.base
    try:
        return p.k.virtual_reserve(p.me, here, end - here, "blocked off").base
    except Win32Error as error:
        raise ForkAborted(
            f"couldn't allocate memory {here:#x}({end - here}) for '{dll.name}' alignment, "
            f"Win32 error {error.code}"
        ) from error


CALLS: dict[str, Callable[[CygwinProcess, ChildInfo | None], None]] = {
    "dll-space": reserve_space,
    "load-dlls": load_after_fork,
}
