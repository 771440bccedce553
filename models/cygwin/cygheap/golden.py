"""Golden traces: recorded runs of the real allocator, replayed against `Cygheap`.

A file is one history of one current process: a header, operations, checkpoints, an end line.
`replay` stops at the first difference, since everything behind it depends on it; a file that is
not such a trace is an `InputError`.  Nothing of the file is trusted: lines and the whole are
limited in length, every field is checked before use.

Source of the format: the golden traces' README.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.cygwin.cygheap import golden_ops
from models.cygwin.cygheap.allocator import Cygheap, EndlessWalk, HeapFatal, UndefinedAccess
from models.cygwin.cygheap.golden_file import ALLOWED, open_lines
from models.cygwin.cygheap.layout import ERAS, Era
from models.win32.errors import AccessViolation
from models.win32.memory import Memory
from sim.errors import InputError, SimError

RESERVE_LIMIT_BYTES = 64 << 20  # of a heap, 12 times the largest 32-bit one -- chosen
_MASK = 0xFFFFFFFF
# How an operation can end a process, and what the end line calls it.
_DEATHS: dict[type[SimError], str] = {
    HeapFatal: "fatal",
    AccessViolation: "crash",
    EndlessWalk: "hang",
    UndefinedAccess: "undefined",
}


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


class _Different(Exception):
    """Unwinds the replay at the first difference. Args: (want, got)."""


class GoldenTrace:
    """One golden file, replayed line by line.

    name, era: from the header -- constant
    heap: of the current process -- state
    line: the line that was read last, from 1 -- state
    ops, checkpoints: how many lines of each kind passed -- output
    """

    def __init__(self, where: str, lines: Iterator[tuple[int, bytes]]) -> None:
        self.where = where
        self.lines = lines
        self.line = 0
        self.ops = 0
        self.checkpoints = 0
        self.locks_before = 0  # acquired by processes that are gone
        header = self._next_value()
        if header is None:
            raise InputError(where, "the file is empty", ALLOWED)
        self.era = self._era(header)
        self.name = header["trace"]
        if not isinstance(self.name, str) or not self.name.isprintable():
            raise self._broken("the trace has no name")
        self.base = self._number(header, "base")
        self.heap = self._fresh(header)
        self._steps: dict[str, Callable[[list[Any]], tuple[int, ...]]] = {
            "m": self._cmalloc_filled,
            "M": self._cmalloc,
            "z": self._ccalloc,
            "s": self._cstrdup,
            "S": self._cstrdup1,
            "r": self._crealloc,
            "f": self._cfree,
            "x": self._exec,
            "k": self._fork,
        }

    @property
    def lock_acquires(self) -> int:
        """Of all processes of the history so far."""
        return self.locks_before + self.heap.lock_acquires

    def replay(self) -> Summary | Mismatch:
        """Replay to the end line; where the first difference is, if there is one.

        Raises InputError if the file is broken.
        """
        different = self.advance(None)
        return different or Summary(self.name, self.era.name, self.ops, self.checkpoints)

    def advance(self, to_line: int | None) -> Mismatch | None:
        """Replay up to line `to_line` (from 1), or to the end; the first difference.

        Raises InputError if the file is broken or has no such line.
        """
        try:
            while to_line is None or self.line < to_line:
                if self.step():
                    break
        except _Different as different:
            want, got = different.args
            return Mismatch(self.name, self.era.name, self.line, want, got)
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
            try:
                return json.loads(raw.decode("ascii"))
            except (ValueError, RecursionError):
                raise self._broken("not a line of JSON in ASCII") from None
        return None

    def _broken(self, what: str) -> InputError:
        return InputError(f"{self.where}:{max(self.line, 1)}", what, ALLOWED)

    def _number(self, table: dict[str, Any], key: str) -> int:
        value = table.get(key)
        if type(value) is not int:
            raise self._broken(f"{key} is {value!r:.40}, not a whole number")
        return value

    def _era(self, header: Any) -> Era:
        if not isinstance(header, dict) or "trace" not in header or "era" not in header:
            schema = header.get("schema") if isinstance(header, dict) else None
            if isinstance(schema, str):
                raise self._broken(f"the schema is {schema!r:.60}")
            raise self._broken("the first line is not the header of a golden trace")
        name = header["era"]
        if name == "M":
            raise self._broken("era M (64 bit) is not built yet")
        if not isinstance(name, str) or name not in ERAS:
            raise self._broken(f"the era is {name!r:.40}")
        era = ERAS[name]
        if self._number(header, "buckets_off") != era.buckets_offset:
            raise self._broken(
                f"buckets_off is {header['buckets_off']}, era {name} has {era.buckets_offset}"
            )
        sizes = self._number(header, "header_bytes"), self._number(header, "cygheapsize")
        if sizes == (era.header_bytes, era.cygheapsize):
            return era
        try:
            return replace(era, header_bytes=sizes[0], cygheapsize=sizes[1])
        except ValueError as error:
            raise self._broken(str(error)) from None

    def _fresh(self, header: dict[str, Any]) -> Cygheap:
        era = self.era
        reserve = self._number(header, "reserve")
        max0, com0 = self._number(header, "max0"), self._number(header, "com0")
        if not era.header_bytes <= max0 <= com0 <= reserve <= RESERVE_LIMIT_BYTES:
            raise self._broken("header_bytes, max0, com0 and reserve are not in this order")
        if self.base & 0xFFFF or not 0 < self.base <= _MASK - reserve:
            raise self._broken(f"base {self.base} is no address of a 32-bit region")
        memory = Memory(reserve)
        memory.commit(0, com0)
        words = header.get("init_dwords")
        if not isinstance(words, list):
            raise self._broken("init_dwords is not a list")
        for pair in words:
            if not golden_ops.numbers(pair, 2) or pair[0] & 3 or not 0 <= pair[0] <= com0 - 4:
                raise self._broken("init_dwords has an entry that is not [offset, value]")
            memory.write32(pair[0], pair[1])
        return Cygheap(era, memory, self.base, max0)

    # -- operations ------------------------------------------------------------------------------

    def _operation(self, op: list[Any]) -> None:
        name = op[0] if op else None
        step = self._steps.get(name) if isinstance(name, str) else None
        if step is None:
            raise self._broken(f"the operation is {name!r:.40}")
        try:
            want = golden_ops.wanted(op, self.era)
        except ValueError as error:
            raise self._broken(str(error)) from None
        try:
            result = step(op)
        except tuple(_DEATHS) as error:
            raise _Different(_shown(want), _error_text(error)) from None
        got = (*result, self.heap.max, len(self.heap.memory.pages) << 12)
        if got != want:
            raise _Different(_shown(want), _shown(got))
        self.ops += 1

    def _cmalloc(self, op: list[Any]) -> tuple[int, ...]:
        return (self.heap.cmalloc(op[1], op[2]) - self.base,)

    def _cmalloc_filled(self, op: list[Any]) -> tuple[int, ...]:
        kind, n = op[1], op[2]
        if n > self.heap.memory.size_bytes:
            raise self._broken(f"'m' of {n} bytes cannot be filled")
        user = self.heap.cmalloc(kind, n)
        self.heap.store(user, golden_ops.pattern(kind, n))
        return (user - self.base,)

    def _ccalloc(self, op: list[Any]) -> tuple[int, ...]:
        return (self.heap.ccalloc(op[1], op[2], op[3]) - self.base,)

    def _cstrdup(self, op: list[Any]) -> tuple[int, ...]:
        return (self.heap.cstrdup(golden_ops.text(op)) - self.base,)

    def _cstrdup1(self, op: list[Any]) -> tuple[int, ...]:
        return (self.heap.cstrdup1(golden_ops.text(op)) - self.base,)

    def _crealloc(self, op: list[Any]) -> tuple[int, ...]:
        old = op[1]
        return (self.heap.crealloc(0 if old < 0 else self.base + old, op[2]) - self.base,)

    def _cfree(self, op: list[Any]) -> tuple[int, ...]:
        self.heap.cfree(self.base + op[1])
        return ()

    # -- process switches ------------------------------------------------------------------------

    def _exec(self, op: list[Any]) -> tuple[int, ...]:
        result = self._transfer(op)
        self.heap.walk(True)
        return result

    def _fork(self, op: list[Any]) -> tuple[int, ...]:
        return self._transfer(op)

    def _transfer(self, op: list[Any]) -> tuple[int, ...]:
        """Replace the current process by its child, by the mode in `op[1]`."""
        parent, mode = self.heap, op[1]
        setup_max = copied = parent.max
        result: tuple[int, ...] = ()
        if mode.endswith("g"):  # the heap grows between the two steps
            result = (parent.cmalloc(3, op[2]) - self.base,)
            if mode == "ntg":
                copied = parent.max
        locks = {"rpm": 0, "nt1": 1, "9x1": 1}.get(mode, 2)
        memory = Memory(parent.memory.size_bytes)
        memory.commit(0, copied)
        memory.copy_from(parent.memory, 0, 0, copied)
        keep = parent.buckets if op[0] == "k" else None
        self.locks_before += parent.lock_acquires + locks
        self.heap = Cygheap.attach(self.era, memory, self.base, setup_max, keep)
        return result

    # -- checks ----------------------------------------------------------------------------------

    def _checkpoint(self, want: dict[str, Any]) -> None:
        heap = self.heap
        self._same("max", want, heap.max)
        self._same("com", want, len(heap.memory.pages) << 12)
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
        if heap.max <= len(heap.memory.pages) << 12:
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
        follower = int.from_bytes(self.heap.load(last + 4, 4), "little") if last else 0
        return entries, follower != 0, False

    def _same(self, key: str, want: dict[str, Any], got: object) -> None:
        if key not in want:
            raise self._broken(f"the checkpoint has no {key!r}")
        wanted = want[key]
        if wanted != got or type(wanted) is not type(got):
            raise _Different(*_first_difference(key, wanted, got))

    def _end(self, want: dict[str, Any]) -> None:
        kind = want["end"]
        if kind not in ("ok", "fatal", "crash", "hang"):
            raise self._broken(f"the end is {kind!r:.40}")
        if kind == "ok":
            self._same("max", want, self.heap.max)
            self._same("com", want, len(self.heap.memory.pages) << 12)
            self._same("nops", want, self.ops)
            self._same("muto_acquires", want, self.lock_acquires)
            return
        wanted = f"{kind}: {want.get('msg')}"
        got = self._last_operation(want.get("op"))
        if got != wanted:
            raise _Different(ascii(wanted)[1:81], got)
        self._same("max", want, self.heap.max)
        self._same("nops", want, self.ops)

    def _last_operation(self, op: Any) -> str:
        """What became of the operation that the end line names."""
        if not isinstance(op, list) or not op or op[0] not in list(self._steps):
            raise self._broken("the end line names no operation")
        if op == ["x"]:
            op = ["x", "nt1" if self.era.buckets_in_header else "rpm"]
        op = [value for value in op if value != "?"]
        try:
            spare = len(op) - golden_ops.arguments(op, self.era)
        except ValueError as error:
            raise self._broken(str(error)) from None
        if spare:
            raise self._broken("the end line's operation has too many arguments")
        try:
            self._steps[op[0]](op)
        except tuple(_DEATHS) as error:
            return _error_text(error)
        return "the operation succeeds"


def replay(path: Path | str) -> Summary | Mismatch:
    """Replay the golden file at `path` (plain or gzip; "-" is standard input).

    Raises InputError if it cannot be read or is not a golden trace.
    """
    with open_lines(path) as lines:
        return GoldenTrace(str(path), lines).replay()


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
