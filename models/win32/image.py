"""Executable images: what CreateProcess loads.

An image is a name, the regions that its program and DLLs occupy, and an entry: a function that
gives the steps of the main thread of a process that runs it.  The machine does not know whether an
image is linked with Cygwin; its entry does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.win32.address_space import (
    PAGE_EXECUTE_READ,
    AddressSpace,
    AddressSpacePlan,
    Region,
)
from models.win32.objects import Section
from models.win32.system import NT

if TYPE_CHECKING:
    from models.win32.kernel import Kernel
    from models.win32.thread import Thread
    from sim.engine import Steps


@dataclass(frozen=True, slots=True)
class NoProgram:
    """What stands where a program was looked for and cannot be loaded.

    error: what CreateProcess answers: 5 for a folder, 193 for a file of another format -- constant
    """

    name: str
    error: int


@dataclass(frozen=True, slots=True)
class Part:
    """One range of an image.

    base, size_bytes: where it is loaded -- constant
    name: file name, for messages -- constant
    writable: it has data that can be read and written -- constant
    content: what a reader finds at its beginning; b"" if nobody looks -- constant
    """

    base: int
    size_bytes: int
    name: str
    writable: bool = False
    kind: str = "image"
    content: bytes = b""


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


class Layout(tuple[Part, ...]):
    """The parts of an image, checked once and made ready to load; the same for many processes."""

    plan: AddressSpacePlan

    def __new__(cls, parts: Iterable[Part]) -> Layout:
        """Raises Win32Error 487 if two parts overlap."""
        made = super().__new__(cls, parts)
        space = AddressSpace(NT)
        for part in made:
            region = space.add(Region(part.base, part.size_bytes, part.kind, part.name))
            if part.kind == "image" and not part.writable:
                region.protect = PAGE_EXECUTE_READ
            if part.content:
                region.section = file_section(part.size_bytes, part.name, part.content)
                region.memory = region.section.memory
        made.plan = AddressSpacePlan(space, {part.base for part in made if part.writable})
        return made


def file_section(size_bytes: int, name: str, content: bytes) -> Section:
    """The section that all processes map; the file itself holds it, so it is never unused."""
    section = Section(size_bytes, role=name)
    section.refs = 1
    section.memory.commit(0, size_bytes)
    section.memory.write(0, content)
    return section


def load(parts: tuple[Part, ...], space: AddressSpace) -> int:
    """Put the parts of an image into an empty address space; committed pages.

    Raises Win32Error 487 if two parts overlap.
    """
    layout = parts if isinstance(parts, Layout) else Layout(parts)
    return layout.plan.apply(space)
