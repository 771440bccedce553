"""How a command writes its result: strict JSON as UTF-8 with LF, or a plain table."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sim.results import json_text


def print_json(document: object) -> None:
    """Write one JSON document to stdout as UTF-8 with LF, whatever the console's encoding is.

    ValueError for NaN and infinity: unset is null. A lone surrogate (a file name that is not
    UTF-8) becomes its JSON escape.
    """
    raw = json_text(document).encode("utf-8", "backslashreplace")
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a text-only stand-in for stdout
        sys.stdout.write(raw.decode("utf-8"))
    else:
        buffer.write(raw)
        buffer.flush()


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows under their heads, columns aligned to the left, two blanks between them."""
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
