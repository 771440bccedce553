"""The images in a log of Cygwin's strace: its `--- Process N loaded PATH at BASE` lines.

Such a line gives no size.  A program's own output may stand between the lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from models.cygwin.listing_entries import ListedImage, Space, Spaces
from sim.errors import InputError

_EVENT = re.compile(r"--- Process (\d+)(?: \(pid: \d+\))? (.*)")
_LOADED = re.compile(r"loaded (.+) at (?:0[xX])?([0-9a-fA-F]{1,16})")
_UNLOADED = re.compile(r"unloaded DLL at (?:0[xX])?([0-9a-fA-F]{1,16})")
_LINE = re.compile(r"\s*(?:[0-9a-fA-F]{6,12}\s+)?\d+\s+\d+ \[[^]]*\] \S+ ")


def looks_like_strace(text: str) -> bool:
    """Whether the line is one that strace writes."""
    return bool(_EVENT.match(text) or _LINE.match(text))


def images_of_strace(where: str, lines: Iterator[tuple[int, str]]) -> tuple[Space, ...]:
    """The images of each process at its end. Raises InputError(FILE:LINE, …)."""
    spaces = Spaces()
    for line, text in lines:
        event = _EVENT.match(text)
        if event is None:
            continue
        process, what = event[1], event[2].strip()
        unloaded = _UNLOADED.fullmatch(what)
        if unloaded:
            spaces.remove(process, int(unloaded[1], 16))
        elif what.startswith("loaded"):
            spaces.add(process, _loaded(f"{where}:{line}", line, what))
        elif what == "created" or what.startswith("exited with"):
            spaces.close(process)
    return spaces.made()


def _loaded(where: str, line: int, what: str) -> ListedImage:
    found = _LOADED.fullmatch(what)
    if found is None:
        raise InputError(where, f"{what[:60]!r} gives no place", "loaded PATH at BASE")
    return ListedImage.checked(where, line, found[1], int(found[2], 16), None)
