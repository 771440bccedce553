"""What a listing holds: images by process, and regions that a failure report names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sim.errors import InputError

ALLOWED = (
    "`rebase -i` or `rebaseall -v` output, `name base size` lines, Process Monitor CSV, "
    "Cygwin strace log, or Cygwin's own message"
)
MEM_FREE = 0x10000  # State of a free region, winnt.h
ADDRESS_LIMIT = 1 << 47  # the user half of a 64-bit process
_LONGEST_NUMBER = 20  # characters
_CYGWIN_DLL = re.compile(r"(?:cygwin(?:\d+|b\d+)|msys-\d+\.\d+)\.dll", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image. size_bytes: None where the log does not say it. Every field is *input*."""

    name: str
    base: int
    size_bytes: int | None
    line: int = 0

    @classmethod
    def checked(
        cls, where: str, line: int, name: str, base: int, size_bytes: int | None
    ) -> ListedImage:
        """The image. Raises InputError(where, …) if it is outside every address space."""
        if size_bytes is not None and size_bytes <= 0:
            raise InputError(where, f"size {size_bytes} of {name[:60]}", "above 0")
        if not 0 < base <= ADDRESS_LIMIT - (size_bytes or 1):
            what = f"{name[:60]} at {base:#x} with {size_bytes or 0:#x} bytes"
            raise InputError(where, what, f"above 0, and in all below {ADDRESS_LIMIT:#x}")
        return cls(name, base, size_bytes, line)

    @property
    def short_name(self) -> str:
        """The file's name without its folders."""
        return re.split(r"[/\\]", self.name)[-1] or self.name

    @property
    def is_cygwin_dll(self) -> bool:
        """Whether it is the DLL that has the cygheap: cygwin1.dll, msys-1.0.dll, …"""
        return _CYGWIN_DLL.fullmatch(self.short_name) is not None


@dataclass(frozen=True, slots=True)
class Space:
    """The images of one process; process is "" for a listing. Every field is *input*."""

    process: str
    images: tuple[ListedImage, ...]


@dataclass(frozen=True, slots=True)
class FreeRegion:
    """What VirtualQuery said at the heap's place when it had been refused.

    name: of the report, for its line of output -- input
    owner: AllocationBase, 0 where nothing lies -- input
    address, size_bytes: BaseAddress and RegionSize -- input
    state: MEM_ constant of the region -- input
    """

    name: str
    line: int
    owner: int
    address: int
    size_bytes: int
    state: int

    @property
    def room_bytes(self) -> int:
        """How much can be reserved there [bytes]."""
        return self.size_bytes if self.state == MEM_FREE else 0


class Spaces:
    """Spaces under way, in the order in which their processes appear."""

    def __init__(self) -> None:
        self._images: list[tuple[str, dict[tuple[str, int], ListedImage]]] = []
        self._open: dict[str, dict[tuple[str, int], ListedImage]] = {}

    def add(self, process: str, image: ListedImage) -> None:
        """One more image of a process; the same one at the same place counts once."""
        space = self._open.get(process)
        if space is None:
            space = self._open[process] = {}
            self._images.append((process, space))
        space[image.name, image.base] = image

    def remove(self, process: str, base: int) -> None:
        """What lies at `base` is unloaded."""
        space = self._open.get(process, {})
        for key in [key for key in space if key[1] == base]:
            del space[key]

    def close(self, process: str) -> None:
        """The process has ended, or another begins under its id."""
        self._open.pop(process, None)

    def made(self) -> tuple[Space, ...]:
        """All of them; those that are empty left out."""
        return tuple(
            Space(process, tuple(images.values())) for process, images in self._images if images
        )


def number(text: str) -> int:
    """A number as it stands in a listing: hexadecimal with 0x, else decimal.

    Raises ValueError for anything else, a sign and what takes over 64 bits among it.
    """
    digits = text.strip()
    if not digits.isalnum() or len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"number ({text[:40]!r}) must have 64 bits, decimal or 0x…")
    return int(digits, 16 if digits[:2] in ("0x", "0X") else 10)
