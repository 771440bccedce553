"""The lines of an input file, plain or gzip, with limits on what is read.

Raises InputError and nothing else for a file that is missing, cut off, damaged or too large.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from sim.errors import InputError

Lines = Iterator[tuple[int, bytes]]
MOST_LINES = 4_000_000  # of one file: seconds of work where nothing is in them -- chosen


@contextmanager
def open_lines(
    path: Path | str, allowed: str, line_limit_bytes: int, file_limit_bytes: int
) -> Iterator[Lines]:
    """(number, bytes) of each line of the file, "-" being standard input.

    The limits are those of one line and of the unpacked file; `MOST_LINES` is one more.  Raises
    InputError, which says what is `allowed`, if the file cannot be opened; so does the iterator
    where it cannot be read.
    """
    where = str(path)
    limits = line_limit_bytes, file_limit_bytes
    try:
        if where == "-":
            yield _numbered(where, sys.stdin.buffer, allowed, *limits)
            return
        with Path(path).open("rb") as stream:
            yield _numbered(where, stream, allowed, *limits)
    except OSError as error:
        raise InputError(where, error.strerror or "cannot be read", allowed) from None


def _numbered(
    where: str, raw: BinaryIO, allowed: str, line_limit_bytes: int, file_limit_bytes: int
) -> Lines:
    stream: Any = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    if stream.peek(2)[:2] == b"\x1f\x8b":
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 16)
    number = total = 0
    while True:
        number += 1
        try:
            line = stream.readline(line_limit_bytes + 1)
        except (OSError, EOFError, zlib.error) as error:
            text = "the gzip stream is cut off" if isinstance(error, EOFError) else str(error)
            raise InputError(f"{where}:{number}", text, allowed) from None
        if not line:
            return
        if number > MOST_LINES:
            raise InputError(
                f"{where}:{number}", "the file is too long", f"at most {MOST_LINES} lines"
            )
        total += len(line)
        if len(line) > line_limit_bytes or total > file_limit_bytes:
            raise InputError(
                f"{where}:{number}",
                "the line or the file is too long",
                f"at most {line_limit_bytes} bytes a line and {file_limit_bytes} in all",
            )
        yield number, line
