"""The lines of a golden trace's file, plain or gzip, with limits on what is read.

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

LINE_LIMIT_BYTES = 8 << 20  # of one line -- chosen
FILE_LIMIT_BYTES = 1 << 30  # of the unpacked file -- chosen
ALLOWED = "allowed is a golden cygheap trace of era A, B or C"


@contextmanager
def open_lines(path: Path | str) -> Iterator[Iterator[tuple[int, bytes]]]:
    """(number, bytes) of each line of a plain or gzip file, without its line feed.

    Raises InputError if the file cannot be opened; so does the iterator where it cannot be read.
    """
    where = str(path)
    try:
        if where == "-":
            yield _numbered(where, sys.stdin.buffer)
            return
        with Path(path).open("rb") as stream:
            yield _numbered(where, stream)
    except OSError as error:
        raise InputError(where, error.strerror or "cannot be read", ALLOWED) from None


def _numbered(where: str, raw: BinaryIO) -> Iterator[tuple[int, bytes]]:
    stream: Any = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    if stream.peek(2)[:2] == b"\x1f\x8b":
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 16)
    number = total = 0
    while True:
        number += 1
        try:
            line = stream.readline(LINE_LIMIT_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            text = "the gzip stream is cut off" if isinstance(error, EOFError) else str(error)
            raise InputError(f"{where}:{number}", text, ALLOWED) from None
        if not line:
            return
        total += len(line)
        if len(line) > LINE_LIMIT_BYTES or total > FILE_LIMIT_BYTES:
            raise InputError(
                f"{where}:{number}",
                "the line or the file is too long",
                f"at most {LINE_LIMIT_BYTES} bytes a line and {FILE_LIMIT_BYTES} in all",
            )
        yield number, line
