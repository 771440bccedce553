"""How a command writes its result: strict JSON as UTF-8 with LF, or a plain table."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from sim.documents import json_pieces

WIDTH = 80  # columns of a report -- chosen
_LEAST = 20  # columns below which a column is not broken into lines -- chosen
_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def print_json(document: object) -> None:
    """Write one JSON document to stdout as UTF-8 with LF, whatever the console's encoding is.

    ValueError for NaN and infinity: unset is null. A lone surrogate (a file name that is not
    UTF-8) becomes its JSON escape.
    """
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    for piece in json_pieces(document):
        raw = piece.encode("utf-8", "backslashreplace")
        if buffer is None:  # a text-only stand-in for stdout
            sys.stdout.write(raw.decode("utf-8"))
        else:
            buffer.write(raw)
    if buffer is not None:
        buffer.flush()


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows under their heads, columns aligned to the left, two blanks between them.

    Where a line would be wider than 80 columns the last column goes on below, if it has room.
    """
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = WIDTH - indent if WIDTH - indent >= _LEAST else max(widths[-1], 1)
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line[:-1], widths, strict=False))
        first, *rest = textwrap.wrap(line[-1], room, **_WHOLE_WORDS) or [""]
        print("  ".join([*cells, first]).rstrip())
        for more in rest:
            print(" " * indent + more)


def print_wrapped(text: str, indent: str = "") -> None:
    """Write a sentence in lines of at most 80 columns; `indent` stands before all but the first."""
    for line in textwrap.wrap(text, WIDTH, subsequent_indent=indent, **_WHOLE_WORDS) or [""]:
        print(line)


def counted(count: int, word: str) -> str:
    """A number with its noun, as `1 replication` and `5 replications`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def print_limits(limits: Sequence[str]) -> None:
    """The first limit of validity, and how many more the document has; nothing if there is none."""
    if limits:
        more = f" ({len(limits) - 1} more: --json)" if limits[1:] else ""
        print_wrapped(f"limits of validity: {limits[0]}{more}", "  ")
