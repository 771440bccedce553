"""Recorded process trees in the format proctrace/1, checked line by line.

A `ProcTrace` gives the rows of one file in order.  What a row names exists by then: its process is
born and has not exited, its environment is defined, every number is in range.  Nothing is held but
the row at hand, so a file that unpacks to far more than a trace can be is refused, not loaded.
Whatever is wrong is an InputError with file and line.  Accepted is all that the recorder does:
waits before their child's exit in file order, waits that got nothing, rows of calls that failed.

Source: the traces' README (schema and rules).
"""

from __future__ import annotations

import json
import math
import sys
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from models.cygwin.trace_events import (
    BIG,
    KINDS,
    MAX_FD,
    MAX_STRING_BYTES,
    EventSpec,
    event_specs,
)
from sim.errors import InputError

SCHEMA = "proctrace/1"
MAX_LINE_BYTES = 4 << 20  # assumed; the longest recorded line has 12 kB
MAX_TOTAL_BYTES = 1 << 30  # assumed; the longest recorded trace has 20 MB
MAX_TIME_S = 1e9  # assumed
_CHUNK_BYTES = 1 << 18
_LINES_AT_ONCE = 256
_NUMBERS = frozenset([int, float])  # not bool
_EXTRA = frozenset(  # events that have more than numbers
    ["exit", "exec", "env_def", "wait_end", "wait_poll", "kill", "fork", "vfork", "spawn"]
)

Row = dict[str, Any]


class ProcTrace:
    """One trace file, opened; its header is read.

    path: plain or gzip, "-" is standard input -- constant
    where: how messages call the file -- constant
    header: the first line -- constant
    line: number of the last line read, from 1; 0 before the first -- state
    """

    def __init__(self, path: str | Path) -> None:
        """Open and read the header. Raises InputError."""
        self.where = "stdin" if str(path) == "-" else str(path)
        self.line = 0
        self._path = path
        decoder = json.JSONDecoder(parse_constant=_no_constant)
        self._next_json, self._all_json = decoder.raw_decode, decoder.decode
        self._blocks = self._read_blocks()
        first, *self._first_block = next(self._blocks, [""])
        self.line = 1
        self.header = self._parse(first.removeprefix("\ufeff").strip())
        self._check_header()
        self._specs = event_specs()
        self._born = {1: 0}  # pid -> line
        self._exited: dict[int, int] = {}
        self._envs: set[int] = set()

    def fail(self, what: str, allowed: str) -> NoReturn:
        """Raise InputError at the line last read."""
        raise InputError(f"{self.where}:{max(self.line, 1)}", what, allowed)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Each row between header and trailer with its line number; checks the trailer.

        Can be run once.  Raises InputError.
        """
        counts = dict.fromkeys(self._specs, 0)
        check, specs = self._check, self._specs
        born, exited = self._born, self._exited
        last_t = 0.0
        number = 1
        rows = self._parsed()
        for row in rows:
            number += 1
            self.line = number
            if row is None:
                continue
            event = row.get("ev")
            t: Any = row.get("t")
            if type(t) not in _NUMBERS or not last_t <= t <= MAX_TIME_S:
                self._bad_time(t, last_t)
            last_t = t
            if type(event) is not str or event not in specs:
                if event == "end":
                    self._finish(row, counts, rows)
                    return
                self._bad_event(event)
            spec = specs[event]
            pid = row.get("pid")
            if (type(pid) is not int or pid not in born or pid in exited) and (
                type(pid) is not int or pid != 0 or event != "env_def"
            ):
                self._bad_pid(pid)
            counts[event] += 1
            check(row, spec)
            if event in _EXTRA:
                self._check_more(row, event, pid)
            yield number, row
        self.line = number
        self.fail("the trace ends without its trailer", 'the last line has "ev":"end"')

    def _check(self, row: Row, spec: EventSpec) -> None:
        for key, least, greatest in spec.must:
            value = row.get(key)
            if type(value) is not int or not least <= value <= greatest:
                self._bad_field(row, key, f"an integer from {least} to {greatest}")
        for key, least, greatest in spec.may:
            if key in row:
                value = row[key]
                if type(value) is not int or not least <= value <= greatest:
                    self._bad_field(row, key, f"an integer from {least} to {greatest}")
        for key in spec.text:
            if type(row.get(key)) is not str:
                self._bad_field(row, key, "a string")
        if spec.kind and (type(row.get("k")) is not str or row["k"] not in KINDS):
            self._bad_field(row, "k", f"one of {' '.join(sorted(KINDS))}")
        if "te" in row:
            self._check_last_time(row)

    def _check_more(self, row: Row, event: str, pid: int) -> None:
        """What only some events have: processes, tables, lists."""
        if event == "exit":
            if "code" not in row and "sig" not in row:
                self._bad_field(row, "code", 'an integer, or "sig" in its place')
            self._exited[pid] = self.line
        elif event == "exec":
            self._check_table(row)
            self._check_lengths(row, "argv")
            if row["env"] not in self._envs:
                self.fail(f"environment {row['env']} is not defined", "env_def before first use")
        elif event == "env_def":
            self._check_lengths(row, "lens")
            if row["env"] in self._envs:
                self.fail(f"environment {row['env']} is defined twice", "one env_def for each")
            self._envs.add(row["env"])
        elif event in ("wait_end", "wait_poll"):
            self._check_known(row, "got")
        elif event == "kill":
            self._check_known(row, "to")
        else:
            self._check_table(row)
            self._check_mem(row)
            child = row["child"]
            if child in self._born or child == 0:
                known = self._born.get(child, 0)
                self.fail(f"process {child} exists already (line {known})", "a new pid above 0")
            self._born[child] = self.line

    def _check_known(self, row: Row, key: str) -> None:
        pid = row[key]
        if pid > 0 and pid not in self._born:
            self.fail(f'"{key}":{pid} is no process of this trace', "0 or a pid born before")

    def _check_table(self, row: Row) -> None:
        fds = row.get("fds")
        try:
            for fd, kind, thing, cloexec in fds:  # type: ignore[union-attr]  # TypeError is caught
                if (
                    type(fd) is not int
                    or type(thing) is not int
                    or type(cloexec) is not int
                    or kind not in KINDS
                    or not 0 <= fd <= MAX_FD
                    or not 0 <= thing <= BIG
                    or not 0 <= cloexec <= 1
                ):
                    raise ValueError
        except (TypeError, ValueError):
            self._bad_field(row, "fds", "a list of [fd, kind, object, cloexec]")

    def _check_lengths(self, row: Row, key: str) -> None:
        lengths = row.get(key)
        if (
            type(lengths) is not list
            or (lengths and set(map(type, lengths)) != {int})
            or (lengths and not 0 <= min(lengths) <= max(lengths) <= MAX_STRING_BYTES)
        ):
            self._bad_field(row, key, f"a list of string lengths from 0 to {MAX_STRING_BYTES}")

    def _check_mem(self, row: Row) -> None:
        mem = row.get("mem")
        if mem is None:
            return
        if type(mem) is not dict:
            self._bad_field(row, "mem", "an object")
        for key in ("heap", "stk"):
            value = mem.get(key, 0)
            if type(value) is not int or not 0 <= value <= 1 << 32:
                self._bad_field(mem, key, "KiB, an integer from 0 to 4294967296")

    def _check_last_time(self, row: Row) -> None:
        value = row["te"]
        if type(value) not in _NUMBERS or not row["t"] <= value <= MAX_TIME_S:
            self._bad_field(row, "te", "seconds, not before t")

    def _check_header(self) -> None:
        head = self.header
        if head.get("ev") != "trace":
            self.fail(f'the first line has "ev":{_show(head.get("ev"))}', 'a header, "ev":"trace"')
        if head.get("schema") != SCHEMA:
            self.fail(f"schema {_show(head.get('schema'))}", f'this reads "{SCHEMA}"')
        for key in ("name", "sh", "stdio"):
            if type(head.get(key)) is not str:
                self._bad_field(head, key, "a string")
        if type(head.get("cpus")) is not int or not 1 <= head["cpus"] <= 4096:
            self._bad_field(head, "cpus", "an integer from 1 to 4096")

    def _finish(self, row: Row, counts: dict[str, int], rest: Iterator[Row | None]) -> None:
        """Check the trailer against what was read, and that nothing follows."""
        events = row.get("events")
        if type(events) is not int or events != sum(counts.values()):
            self.fail(f'"events":{_show(events)}', f"{sum(counts.values())} rows were read")
        said = row.get("counts")
        if type(said) is not dict:
            self._bad_field(row, "counts", "an object")
        for event in [*counts, *said]:
            want, got = said.get(event, 0), counts.get(event, 0)
            if type(want) is not int or want != got:
                self.fail(f'"counts" has {_show(want)} {event[:40]!r}', f"{got} rows were read")
        for number, more in enumerate(rest, self.line + 1):
            self.line = number
            if more is not None:
                self.fail("something follows the trailer", "the trailer is the last line")

    # -- lines ------------------------------------------------------------------------------------

    def _parsed(self) -> Iterator[Row | None]:
        """The rows of the lines that are left, None for a blank line."""
        # NOTE: for speed: many lines are parsed at once, with a 0 between two of them, which takes
        # half the time; where that does not give one row a line, they are parsed one by one
        for block in chain([self._first_block], self._blocks):
            for at in range(0, len(block), _LINES_AT_ONCE):
                lines = block[at : at + _LINES_AT_ONCE]
                try:
                    parsed = self._all_json(f"[{',0,'.join(lines)}]")
                except (ValueError, RecursionError):
                    parsed = []
                rows = parsed[::2]
                if len(parsed) == 2 * len(lines) - 1 and set(map(type, rows)) == {dict}:
                    yield from rows
                else:
                    yield from self._one_by_one(lines)

    def _one_by_one(self, lines: list[str]) -> Iterator[Row | None]:
        for text in lines:
            self.line += 1
            yield self._parse(text) if text.strip() else None

    def _parse(self, text: str) -> Row:
        try:
            row, end = self._next_json(text)
            if end != len(text) and text[end:].strip():
                raise ValueError
        except (ValueError, RecursionError):
            self.fail(f"{_show(text)} is not JSON", "one JSON object on each line, no NaN")
        if type(row) is not dict:
            self.fail(f"{_show(row)} is not an object", "one JSON object on each line")
        return row

    def _read_blocks(self) -> Iterator[list[str]]:
        """The lines of the file without their line feeds, as they come out of it."""
        total, rest = 0, b""
        for chunk in self._read_chunks():
            total += len(chunk)
            if total > MAX_TOTAL_BYTES:
                self.fail(f"more than {MAX_TOTAL_BYTES >> 20} MiB of text", "a trace is smaller")
            head, feed, tail = chunk.rpartition(b"\n")
            if feed:
                yield self._decode(rest + head)
                rest = tail
            else:
                rest += chunk
            if len(rest) > MAX_LINE_BYTES:
                self.line += 1
                self.fail(f"a line of more than {MAX_LINE_BYTES >> 20} MiB", "a trace has none")
        if rest:
            yield self._decode(rest)
        elif not total:
            self.fail("the file is empty", f"a trace, {SCHEMA}, plain or gzip")

    def _decode(self, raw: bytes) -> list[str]:
        try:
            return raw.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            self.line += 1 + raw.count(b"\n", 0, error.start)
            self.fail(f"byte {raw[error.start]:#04x} is not UTF-8", "text, or gzip of it")

    def _read_chunks(self) -> Iterator[bytes]:
        try:
            if str(self._path) == "-":
                yield from self._unpacked(sys.stdin.buffer)
                return
            with open(self._path, "rb") as stream:
                yield from self._unpacked(stream)
        except OSError as error:
            raise InputError(
                self.where, error.strerror or str(error), "a readable file, or - for standard input"
            ) from error

    def _unpacked(self, stream: BinaryIO) -> Iterator[bytes]:
        chunk = stream.read(_CHUNK_BYTES)
        if chunk[:2] != b"\x1f\x8b":
            while chunk:
                yield chunk
                chunk = stream.read(_CHUNK_BYTES)
            return
        unpack = zlib.decompressobj(wbits=31)
        try:
            while chunk:
                yield unpack.decompress(chunk, _CHUNK_BYTES)
                chunk = unpack.unconsumed_tail
                if unpack.eof:
                    chunk = unpack.unused_data.lstrip(b"\0") or stream.read(_CHUNK_BYTES)
                    unpack = zlib.decompressobj(wbits=31) if chunk else unpack
                chunk = chunk or stream.read(_CHUNK_BYTES)
        except zlib.error as error:
            self.fail(f"gzip data are damaged ({error})", "a whole gzip file")
        if not unpack.eof:
            self.fail("the gzip file is cut", "a whole gzip file")

    # -- messages ---------------------------------------------------------------------------------

    def _bad_field(self, row: Row, key: str, allowed: str) -> NoReturn:
        if key not in row:
            event = row.get("ev", "this row")
            self.fail(f'"{key}" is missing in {event}', f"{allowed}")
        self.fail(f'"{key}":{_show(row[key])}', allowed)

    def _bad_event(self, event: object) -> NoReturn:
        self.fail(f"unknown event {_show(event)}", f"one of {' '.join(self._specs)} end")

    def _bad_time(self, t: object, last_t: float) -> NoReturn:
        if type(t) in _NUMBERS and 0 <= t < last_t:  # type: ignore[operator]  # a number here
            self.fail(f'"t":{_show(t)} after {last_t}', "time does not run backwards")
        self.fail(f'"t":{_show(t)}', "seconds since the start, from 0 to 1e9")

    def _bad_pid(self, pid: object) -> NoReturn:
        if type(pid) is int and pid in self._exited:
            self.fail(f"process {pid} acts after its exit on line {self._exited[pid]}", "no rows")
        self.fail(f'"pid":{_show(pid)} is no process born so far', "1, or a child born before")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _show(value: object) -> str:
    """A value as JSON on one line, cut to 60 characters."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = "a number with very many digits"
    return text if len(text) <= 60 else text[:57] + "..."
