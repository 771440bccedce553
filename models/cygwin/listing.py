"""A list of images as tools print it: what lies where in the address space of a process.

Four sources are recognised by their content: the listings of `rebase -i` and `rebaseall -v` and
plain `name base size` lines; Process Monitor's CSV; a log of Cygwin's strace; and what Cygwin says
itself when its heap found no room (the message, or a CSV of such reports).  A log has one space for
each process, a listing one in all.

Source: COSTS.md §3.1 and §3.3 for the logs; the listings from babun/babun#477, msysgit/git#311 and
Perl/perl5#22104; the message from the call logs of 1.3.3 and MSYS 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from models.cygwin.listing_csv import images_of_procmon, procmon_columns, reports_of_table
from models.cygwin.listing_entries import ALLOWED, FreeRegion, ListedImage, Space, Spaces, number
from models.cygwin.listing_strace import images_of_strace, looks_like_strace
from sim.errors import InputError
from sim.lines import open_lines

LINE_LIMIT_BYTES = 1 << 20
FILE_LIMIT_BYTES = 1 << 30
IMAGE_LIMIT = 50_000  # of one space; a listing of everything that a distribution has is below it
_LOOK_AHEAD = 1000  # lines of a program's own output before strace says something
_LONGEST_LIST_LINE = 4096  # characters; a path has at most 260
_HEX = r"(?:0[xX])?([0-9a-fA-F]{1,16})"
_REBASE_I = re.compile(rf"(.+?)\s+base\s+{_HEX}\s+size\s+{_HEX}\s*\*?")
_REBASEALL = re.compile(rf"(.+):\s*new base\s*=\s*{_HEX}\s*,\s*new size\s*=\s*{_HEX}")
_NUMBER = r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})"
_PLAIN = re.compile(rf"(.+?)\s+{_NUMBER}\s+{_NUMBER}")
_SKIPPED = re.compile(r".+:? skipped because .+")
_MESSAGE = re.compile(
    rf"(m\.)?AllocationBase {_HEX}, (?:m\.)?BaseAddress {_HEX}, "
    rf"(?:m\.)?RegionSize {_HEX}, (?:m\.)?State {_HEX}"
)

Line = tuple[int, str]


@dataclass(frozen=True)
class Listing:
    """What a file says. kind: which source it is; notes: what was left out -- output"""

    path: str
    kind: str
    spaces: tuple[Space, ...] = ()
    reports: tuple[FreeRegion, ...] = ()
    notes: tuple[str, ...] = field(default=())


def read_listing(path: Path | str) -> Listing:
    """The images of a file, "-" being standard input.

    Raises InputError at the first line that cannot be read, for a file that lists nothing, and for
    one that is too large.
    """
    where = str(path)
    with open_lines(path, ALLOWED, LINE_LIMIT_BYTES, FILE_LIMIT_BYTES) as raw:
        text = _decoded(where, raw)
        head = _first(text)
        if head is None:
            raise InputError(where, "there is no line in it", ALLOWED)
        listing = _read(where, head, chain([head], text))
    if not any(space.images for space in listing.spaces) and not listing.reports:
        raise InputError(where, "no image is listed", ALLOWED)
    for space in listing.spaces:
        if len(space.images) > IMAGE_LIMIT:
            count = len(space.images)
            raise InputError(where, f"{count} images in one space", f"at most {IMAGE_LIMIT}")
    return listing


def _read(where: str, head: Line, lines: Iterator[Line]) -> Listing:
    columns = procmon_columns(head[1])
    if columns is not None:
        found = images_of_procmon(where, columns, lines)
        return Listing(where, "Process Monitor CSV", found)
    if "base_address" in head[1] and "region_size" in head[1]:
        return Listing(where, "table of heap failures", reports=reports_of_table(where, lines))
    if not (_is_list_line(head[1]) or _MESSAGE.search(head[1])):
        ahead = list(islice(lines, _LOOK_AHEAD))
        lines = chain(ahead, lines)
        if any(looks_like_strace(text) for _, text in ahead):
            return Listing(where, "Cygwin strace log", images_of_strace(where, lines))
        if any(_MESSAGE.search(text) for _, text in ahead):
            return Listing(where, "message of a heap failure", reports=_reports(lines))
        raise InputError(f"{where}:{head[0]}", f"{head[1][:60]!r} lists no image", ALLOWED)
    if _MESSAGE.search(head[1]):
        return Listing(where, "message of a heap failure", reports=_reports(lines))
    return _list_lines(where, lines)


def _decoded(where: str, raw: Iterator[tuple[int, bytes]]) -> Iterator[Line]:
    """Lines as text, without the byte order mark; what is not UTF-8 comes back as it was."""
    for line, content in raw:
        if line == 1 and content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{where}:1", "the file is UTF-16", "UTF-8, with or without a mark")
        if line == 1:
            content = content.removeprefix(b"\xef\xbb\xbf")
        yield line, content.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _first(lines: Iterator[Line]) -> Line | None:
    """The first line that says something."""
    return next(((n, t) for n, t in lines if not _is_empty(t)), None)


def _is_empty(text: str) -> bool:
    return not text.strip() or text.lstrip().startswith("#")


def _is_list_line(text: str) -> bool:
    stripped = text.strip()
    if len(stripped) > _LONGEST_LIST_LINE:
        return False
    return any(p.fullmatch(stripped) for p in (_REBASE_I, _REBASEALL, _PLAIN, _SKIPPED))


def _list_lines(where: str, lines: Iterator[Line]) -> Listing:
    """Lines of `rebase -i`, `rebaseall -v` or `name base size`; every one must be readable."""
    spaces, skipped = Spaces(), 0
    for line, text in lines:
        stripped = text.strip()
        if _is_empty(text):
            continue
        if not _is_list_line(stripped):
            raise InputError(f"{where}:{line}", f"{stripped[:60]!r} lists no image", ALLOWED)
        if _SKIPPED.fullmatch(stripped):
            skipped += 1
            continue
        spaces.add("", _list_image(f"{where}:{line}", line, stripped))
    notes = (f"{skipped} image(s) that rebase skipped are not looked at",) if skipped else ()
    return Listing(where, "list of images", spaces.made(), notes=notes)


def _list_image(where: str, line: int, text: str) -> ListedImage:
    found = _REBASE_I.fullmatch(text) or _REBASEALL.fullmatch(text)
    if found:
        name, base, size = found[1], int(found[2], 16), int(found[3], 16)
        return ListedImage.checked(where, line, name, base, size)
    plain = _PLAIN.fullmatch(text)
    assert plain is not None
    return ListedImage.checked(where, line, plain[1], number(plain[2]), number(plain[3]))


def _reports(lines: Iterator[Line]) -> tuple[FreeRegion, ...]:
    """Every `AllocationBase …` line of a text."""
    found = []
    for line, text in lines:
        match = _MESSAGE.search(text)
        if match:
            owner, address, size, state = (int(match[i], 16) for i in range(2, 6))
            found.append(FreeRegion(f"line {line}", line, owner, address, size, state))
    return tuple(found)
