"""Executable images: what CreateProcess loads.

An image is a name, the regions that its program and DLLs occupy, and an entry: a function that
gives the steps of the main thread of a process that runs it.  The machine does not know whether an
image is linked with Cygwin; its entry does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.win32.address_space import AddressSpace, Region
from models.win32.memory import Memory

if TYPE_CHECKING:
    from models.win32.kernel import Kernel
    from models.win32.thread import Thread
    from sim.engine import Steps


@dataclass(frozen=True, slots=True)
class Part:
    """One range of an image.

    base, size_bytes: where it is loaded -- constant
    name: file name, for messages -- constant
    writable: it has data that can be read and written -- constant
    """

    base: int
    size_bytes: int
    name: str
    writable: bool = False
    kind: str = "image"


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A program file with the DLLs that it needs.

    name: base name of the program -- constant
    parts: all ranges that loading it takes -- constant
    entry: steps of the main thread -- constant
    """

    name: str
    parts: tuple[Part, ...]
    entry: Callable[[Kernel, Thread], Steps]


def load(parts: tuple[Part, ...], space: AddressSpace) -> int:
    """Put the parts of an image into an empty address space; committed pages.

    Raises Win32Error 487 if two parts overlap.
    """
    pages = 0
    for part in parts:
        memory = None
        if part.writable:
            memory = Memory(part.size_bytes)
            pages += memory.commit(0, part.size_bytes)
        space.add(Region(part.base, part.size_bytes, part.kind, part.name, memory))
    return pages
