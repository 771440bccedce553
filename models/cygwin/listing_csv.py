"""The two tables among the sources of a layout: Process Monitor's CSV, and failure reports."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from models.cygwin.listing_entries import ALLOWED, FreeRegion, ListedImage, Space, Spaces, number
from sim.errors import InputError

_NEEDED = ("Operation", "Path", "Detail")
_DETAIL = re.compile(r"Image Base: (0x[0-9a-fA-F]{1,16}), Image Size: (0x[0-9a-fA-F]{1,16})")
_REPORT = ("allocation_base", "base_address", "region_size", "state")

Lines = Iterator[tuple[int, str]]


def procmon_columns(head: str) -> tuple[str, dict[str, int]] | None:
    """(delimiter, column by name) if `head` is the first line of Process Monitor's CSV."""
    for delimiter in (",", ";", "\t"):
        try:
            cells = next(csv.reader([head], delimiter=delimiter), [])
        except csv.Error:  # a line of another kind of file
            continue
        columns = {cell.strip(): i for i, cell in enumerate(cells)}
        if all(name in columns for name in _NEEDED):
            return delimiter, columns
    return None


def images_of_procmon(
    where: str, head: tuple[str, dict[str, int]], lines: Lines
) -> tuple[Space, ...]:
    """The images of each process, from its `Load Image` rows. Raises InputError(FILE:LINE, …)."""
    delimiter, columns = head
    spaces = Spaces()
    rows = _rows(where, delimiter, lines)
    next(rows)
    for line, cells in rows:
        if not cells:
            continue
        if len(cells) <= max(columns[name] for name in _NEEDED):
            wanted = f"at least {max(columns[name] for name in _NEEDED) + 1}"
            raise InputError(f"{where}:{line}", f"{len(cells)} columns", wanted)
        process = _process(columns, cells)
        operation = cells[columns["Operation"]]
        if operation in ("Process Start", "Process Exit"):
            spaces.close(process)
        elif operation == "Load Image" and _succeeded(columns, cells):
            spaces.add(process, _loaded(where, line, columns, cells))
    return spaces.made()


def reports_of_table(where: str, lines: Lines) -> tuple[FreeRegion, ...]:
    """The rows of a CSV of heap failures. Raises InputError(FILE:LINE, …)."""
    rows = _rows(where, ",", lines)
    head = [cell.strip() for cell in next(rows)[1]]
    missing = [name for name in _REPORT if name not in head]
    if missing:
        raise InputError(f"{where}:1", f"no column {missing[0]}", ", ".join(_REPORT))
    found = []
    for line, cells in rows:
        if not cells or cells[0].startswith("#"):
            continue
        if len(cells) != len(head):
            raise InputError(f"{where}:{line}", f"{len(cells)} columns", f"there are {len(head)}")
        row = dict(zip(head, cells, strict=True))
        try:
            values = [number(row[name].strip()) for name in _REPORT]
        except ValueError:
            bad = ", ".join(row[name] for name in _REPORT)
            raise InputError(f"{where}:{line}", f"{bad[:60]!r}", "four numbers") from None
        owner, address, size, state = values
        name = row.get("program") or f"line {line}"
        found.append(FreeRegion(name, line, owner, address, size, state))
    return tuple(found)


def _rows(where: str, delimiter: str, lines: Lines) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row; a cell may hold line ends of its own."""
    read = [0]  # number of the line that was read last

    def text() -> Iterator[str]:
        for number_of_line, line in lines:
            read[0] = number_of_line
            yield line + "\n"

    reader = csv.reader(text(), delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{where}:{read[0]}", str(error), ALLOWED) from None
        if cells is None:
            return
        yield read[0], cells


def _process(columns: dict[str, int], cells: list[str]) -> str:
    words = [cells[columns[name]] for name in ("Process Name", "PID") if name in columns]
    return " ".join(words)


def _succeeded(columns: dict[str, int], cells: list[str]) -> bool:
    return "Result" not in columns or cells[columns["Result"]] in ("SUCCESS", "")


def _loaded(where: str, line: int, columns: dict[str, int], cells: list[str]) -> ListedImage:
    detail = cells[columns["Detail"]]
    found = _DETAIL.search(detail)
    if found is None:
        allowed = "Image Base: 0x…, Image Size: 0x…"
        raise InputError(f"{where}:{line}", f"{detail[:60]!r} gives no place", allowed)
    base, size = number(found[1]), number(found[2])
    return ListedImage.checked(f"{where}:{line}", line, cells[columns["Path"]], base, size)
