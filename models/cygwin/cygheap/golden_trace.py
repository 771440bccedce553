"""Golden traces: recorded runs of the real allocator, replayed line by line.

A file is one history of one current process: a header, operations, checkpoints, an end line.
A replay stops at the first difference, since everything behind it depends on it; a file that is
not such a trace is an `InputError`.  Nothing of the file is trusted: lines and the whole are
limited in length, every field is checked before use.

Here is what all eras share.  An era's own trace builds the heap, carries operations out and
replaces the current process by its child.

Source of the format: the golden traces' README.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from models.cygwin.cygheap import golden_ops
from models.cygwin.cygheap.audit import Block
from models.cygwin.cygheap.c_allocator import EndlessWalk, Entry, HeapFatal, UndefinedAccess
from models.cygwin.cygheap.golden_file import ALLOWED
from models.win32.errors import AccessViolation
from sim.errors import InputError, SimError

# How an operation can end a process, and what the end line calls it.
_DEATHS: dict[type[SimError], str] = {
    HeapFatal: "fatal",
    AccessViolation: "crash",
    EndlessWalk: "hang",
    UndefinedAccess: "undefined",
}
DIGEST_LIMIT_BYTES = 64 << 20  # the traces have no digest of a heap that is larger


@dataclass(frozen=True)
class Summary:
    """A trace that was replayed to its end. All fields are *output*."""

    name: str
    era: str
    ops: int
    checkpoints: int


@dataclass(frozen=True)
class Mismatch:
    """The first difference. All fields are *output*."""

    name: str
    era: str
    line: int  # of the file, from 1
    want: str
    got: str


class Different(Exception):
    """Unwinds the replay at the first difference. Args: (want, got)."""


class Heap(Protocol):
    """What a trace looks at in the heap of any era."""

    @property
    def base(self) -> int:
        """Address of its first byte."""

    @property
    def max(self) -> int:
        """cygheap_max - base [bytes]."""

    @property
    def lock_acquires(self) -> int:
        """How often the lock was taken in this process."""

    def heads(self) -> list[int]:
        """The first entry of each free list, absolute."""

    def chain(self) -> Iterator[Entry]:
        """The blocks, newest first."""

    def load(self, user: int, size_bytes: int, /) -> bytes:
        """The bytes at an absolute address."""


class GoldenTrace(ABC):
    """One golden file, replayed line by line.

    name, era_name, base, header_bytes: from the header -- constant
    prev_offset, word_bytes: where and how long a block's pointer to the older one is -- constant
    heap: of the current process -- state
    line: the line that was read last, from 1 -- state
    ops, checkpoints: how many lines of each kind passed -- output
    """

    heap: Heap
    era_name: str
    header_bytes: int
    prev_offset: int
    word_bytes: int

    def __init__(self, where: str, lines: Iterator[tuple[int, bytes]], header: Any) -> None:
        self.where = where
        self.lines = lines
        self.line = 1
        self.ops = 0
        self.checkpoints = 0
        self.locks_before = 0  # acquired by processes that are gone
        self.name = header["trace"]
        if not isinstance(self.name, str) or not self.name.isprintable():
            raise self._broken("the trace has no name")
        self.base = self._number(header, "base")
        self._steps: dict[str, Callable[[list[Any]], tuple[int, ...]]] = {}

    @property
    def lock_acquires(self) -> int:
        """Of all processes of the history so far."""
        return self.locks_before + self.heap.lock_acquires

    @property
    @abstractmethod
    def committed_bytes(self) -> int:
        """From the base up, without a gap."""

    @abstractmethod
    def blocks(self) -> list[Block]:
        """The blocks that the chain reaches, by rising offset."""

    @abstractmethod
    def _default_mode(self) -> str:
        """How a process switch goes whose end line names no mode."""

    @abstractmethod
    def _arguments(self, op: list[Any]) -> int:
        """How many entries of an operation come before its results. Raises ValueError."""

    def replay(self) -> Summary | Mismatch:
        """Replay to the end line; where the first difference is, if there is one.

        Raises InputError if the file is broken.
        """
        different = self.advance(None)
        return different or Summary(self.name, self.era_name, self.ops, self.checkpoints)

    def advance(self, to_line: int | None) -> Mismatch | None:
        """Replay up to line `to_line` (from 1), or to the end; the first difference.

        Raises InputError if the file is broken or has no such line.
        """
        try:
            while to_line is None or self.line < to_line:
                if self.step():
                    break
        except Different as different:
            want, got = different.args
            return Mismatch(self.name, self.era_name, self.line, want, got)
        if to_line is not None and self.line < to_line:
            raise InputError(
                self.where, f"there is no line {to_line}", f"the file has {self.line} lines"
            )
        return None

    def step(self) -> bool:
        """Replay one line; whether it was the last.

        Raises InputError on a broken line; `replay` turns a difference into a `Mismatch`.
        """
        value = self._next_value()
        if value is None:
            raise self._broken("the file ends without its end line")
        if isinstance(value, list):
            self._operation(value)
            return False
        if isinstance(value, dict) and value.get("ck") == 1:
            self._checkpoint(value)
            self.checkpoints += 1
            return False
        if isinstance(value, dict) and "end" in value:
            self._end(value)
            if self._next_value() is not None:
                raise self._broken("something follows the end line")
            return True
        raise self._broken("neither an operation, a checkpoint nor an end line")

    # -- the file --------------------------------------------------------------------------------

    def _next_value(self) -> Any:
        for number, raw in self.lines:
            self.line = number
            return parsed(self.where, number, raw)
        return None

    def _broken(self, what: str) -> InputError:
        return broken(self.where, self.line, what)

    def _number(self, table: dict[str, Any], key: str) -> int:
        value = table.get(key)
        if type(value) is not int:
            raise self._broken(f"{key} is {value!r:.40}, not a whole number")
        return value

    def _init_words(self, header: dict[str, Any], limit_bytes: int) -> Iterator[tuple[int, int]]:
        """(offset, value) of the header's words that are not zero."""
        words = header.get("init_dwords")
        if not isinstance(words, list):
            raise self._broken("init_dwords is not a list")
        for pair in words:
            right = golden_ops.numbers(pair, 2) and 0 <= pair[1] <= golden_ops.MASK32
            if not right or pair[0] & 3 or not 0 <= pair[0] <= limit_bytes - 4:
                raise self._broken("init_dwords has an entry that is not [offset, value]")
            yield pair[0], pair[1]

    def _operation(self, op: list[Any]) -> None:
        name = op[0] if op else None
        step = self._steps.get(name) if isinstance(name, str) else None
        if step is None:
            raise self._broken(f"the operation is {name!r:.40}")
        try:
            want = golden_ops.wanted(op, self._arguments(op))
        except ValueError as error:
            raise self._broken(str(error)) from None
        try:
            result = step(op)
        except tuple(_DEATHS) as error:
            raise Different(_shown(want), _error_text(error)) from None
        got = (*result, self.heap.max, self.committed_bytes)
        if got != want:
            raise Different(_shown(want), _shown(got))
        self.ops += 1

    # -- checks ----------------------------------------------------------------------------------

    def _checkpoint(self, want: dict[str, Any]) -> None:
        heap = self.heap
        self._same("max", want, heap.max)
        self._same("com", want, self.committed_bytes)
        entries, cycle, bad = self._chain()
        if want.get("chain") is not None:
            self._same("chain", want, entries)
        self._same("nchain", want, len(entries))
        self._same("cycle", want, cycle)
        self._same("bad", want, bad)
        text = "".join([f"[{a},{b},{c}]" for a, b, c in entries])
        self._same("chainsha", want, hashlib.sha256(text.encode()).hexdigest())
        self._same("buckets", want, [[b, head] for b, head in enumerate(heap.heads()) if head])
        digest = None
        if heap.max <= min(self.committed_bytes, DIGEST_LIMIT_BYTES):
            digest = hashlib.sha256(heap.load(heap.base, heap.max)).hexdigest()
        self._same("sha256", want, digest)

    def _chain(self) -> tuple[list[list[int]], bool, bool]:
        """[start, word0, type] of each entry; whether the chain is a cycle; whether it faults."""
        entries: list[list[int]] = []
        base = self.base
        walker = self.heap.chain()
        try:
            for entry in walker:
                entries.append([entry.start - base, entry.word0, entry.type])
        except AccessViolation:
            return entries, False, True
        last = entries[-1][0] + base if entries else 0
        follower = any(self.heap.load(last + self.prev_offset, self.word_bytes)) if last else False
        return entries, follower, False

    def _same(self, key: str, want: dict[str, Any], got: object) -> None:
        if key not in want:
            raise self._broken(f"the checkpoint has no {key!r}")
        wanted = want[key]
        if wanted != got or type(wanted) is not type(got):
            raise Different(*_first_difference(key, wanted, got))

    def _end(self, want: dict[str, Any]) -> None:
        kind = want["end"]
        if kind not in ("ok", "fatal", "crash", "hang"):
            raise self._broken(f"the end is {kind!r:.40}")
        if kind == "ok":
            self._same("max", want, self.heap.max)
            self._same("com", want, self.committed_bytes)
            self._same("nops", want, self.ops)
            self._same("muto_acquires", want, self.lock_acquires)
            return
        wanted = f"{kind}: {want.get('msg')}"
        got = self._last_operation(want.get("op"))
        if got != wanted:
            raise Different(ascii(wanted)[1:81], got)
        self._same("max", want, self.heap.max)
        self._same("nops", want, self.ops)

    def _last_operation(self, op: Any) -> str:
        """What became of the operation that the end line names."""
        if not isinstance(op, list) or not op or op[0] not in list(self._steps):
            raise self._broken("the end line names no operation")
        if op == ["x"]:
            op = ["x", self._default_mode()]
        op = [value for value in op if value != "?"]
        try:
            spare = len(op) - self._arguments(op)
        except ValueError as error:
            raise self._broken(str(error)) from None
        if spare:
            raise self._broken("the end line's operation has too many arguments")
        try:
            self._steps[op[0]](op)
        except tuple(_DEATHS) as error:
            return _error_text(error)
        return "the operation succeeds"


def parsed(where: str, line: int, raw: bytes) -> Any:
    """One line of the file. Raises InputError."""
    try:
        return json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError):
        raise broken(where, line, "not a line of JSON in ASCII") from None


def broken(where: str, line: int, what: str) -> InputError:
    """The error that a line is wrong."""
    return InputError(f"{where}:{max(line, 1)}", what, ALLOWED)


def _error_text(error: SimError) -> str:
    if isinstance(error, AccessViolation):
        return f"crash: access violation at {error.address:#010x}"
    return f"{_DEATHS[type(error)]}: {error}"


def _shown(values: tuple[int, ...]) -> str:
    names = ("off", "max", "com")[-len(values) :]
    return " ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


def _first_difference(key: str, want: Any, got: Any) -> tuple[str, str]:
    """Two short texts that differ: of two lists, their first different entries."""
    if isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return f"{len(want)} entries in {key}", str(len(got))
        for i, (a, b) in enumerate(zip(want, got, strict=True)):
            if a != b:
                return f"{key}[{i}]={json.dumps(a)[:80]}", json.dumps(b)
    return f"{key}={json.dumps(want)[:80]}", json.dumps(got)
