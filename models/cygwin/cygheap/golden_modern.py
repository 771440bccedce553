"""The golden traces of era M, whose heap is 64-bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from models.cygwin.cygheap import golden_ops, modern_audit
from models.cygwin.cygheap.audit import Block
from models.cygwin.cygheap.golden_trace import GoldenTrace
from models.cygwin.cygheap.modern import ModernHeap
from models.cygwin.cygheap.modern_layout import MASK64, M, ModernEra
from models.win32.memory import Memory

RESERVE_LIMIT_BYTES = 16 << 30  # of a heap, twice the real one -- chosen
FILL_LIMIT_BYTES = 64 << 20  # of what the driver writes into one block -- chosen
MODES = ("rpm", "rpg")
_ADDRESS_LIMIT = 1 << 47  # of a 64-bit process
_TYPE_LIMIT = (1 << 31) - 1
_FIXED = ("buckets_off", "chain_off", "ptr_bytes")
_ARGUMENTS = {"m": 2, "M": 2, "A": 2, "z": 3, "Z": 3, "r": 2, "R": 2, "f": 1}

Step = Callable[[list[Any]], tuple[int, ...]]


class ModernTrace(GoldenTrace):
    """One golden file of era M."""

    heap: ModernHeap
    prev_offset = 8
    word_bytes = 8

    def __init__(self, where: str, lines: Iterator[tuple[int, bytes]], header: Any) -> None:
        super().__init__(where, lines, header)
        self.era = self._era(header)
        self.era_name = self.era.name
        self.header_bytes = self.era.header_bytes
        self.commit_limit = self._commit_limit(header)
        self.heap = self._fresh(header)
        self._steps = {
            "m": self._cmalloc_filled,
            "f": self._cfree,
            "x": self._switch,
            "k": self._switch,
            "M": self._step(lambda h, op: h.cmalloc(op[1], op[2])),
            "A": self._step(lambda h, op: h.cmalloc_abort(op[1], op[2])),
            "z": self._step(lambda h, op: h.ccalloc(op[1], op[2], op[3])),
            "Z": self._step(lambda h, op: h.ccalloc_abort(op[1], op[2], op[3])),
            "r": self._step(lambda h, op: h.crealloc(self._user(op[1]), op[2])),
            "R": self._step(lambda h, op: h.crealloc_abort(self._user(op[1]), op[2])),
            "s": self._step(lambda h, op: h.cstrdup(golden_ops.text(op))),
            "S": self._step(lambda h, op: h.cstrdup1(golden_ops.text(op))),
            "w": self._step(lambda h, op: h.cwcsdup(_wide(op))),
            "W": self._step(lambda h, op: h.cwcsdup1(_wide(op))),
        }

    @property
    def committed_bytes(self) -> int:
        """From the base up, without a gap."""
        return self.heap.memory.committed_run(0)

    def blocks(self) -> list[Block]:
        """The blocks that the chain reaches, by rising offset."""
        return list(modern_audit.blocks(self.heap))

    def _default_mode(self) -> str:
        return "rpm"

    def _arguments(self, op: list[Any]) -> int:
        name = op[0]
        count = _ARGUMENTS.get(name)
        if count is not None:
            values = op[1 : 1 + count]
            if not golden_ops.numbers(values, count):
                raise ValueError(f"operation {name!r} needs {count} whole numbers")
            # the first is a type or, of "r", "R" and "f", an offset: -1 stands for NULL
            largest = _ADDRESS_LIMIT if name in "rRf" else _TYPE_LIMIT
            if not -1 <= values[0] <= largest:
                raise ValueError(f"operation {name!r} has a number outside its range")
            if min(values[1:], default=0) < 0 or max(values) > MASK64:
                raise ValueError(f"operation {name!r} has a number outside 64 bits")
            return 1 + count
        if name in "sSwW":
            return golden_ops.string_arguments(op)
        if len(op) < 2 or op[1] not in MODES:
            raise ValueError(f"the mode of {name!r} is not one of {', '.join(MODES)}")
        if op[1] == "rpm":
            return 2
        if not golden_ops.numbers(op[2:3], 1) or not 0 <= op[2] <= MASK64:
            raise ValueError(f"mode {op[1]!r} needs the growth in bytes")
        return 3

    # -- the header ------------------------------------------------------------------------------

    def _era(self, header: dict[str, Any]) -> ModernEra:
        for key, want in zip(_FIXED, (M.buckets_offset, M.chain_offset, 8), strict=True):
            found = self._number(header, key)
            if found != want:
                raise self._broken(f"{key} is {found}, era M has {want}")
        try:
            return replace(
                M,
                header_bytes=self._number(header, "header_bytes"),
                cygheapsize=self._number(header, "cygheapsize"),
            )
        except ValueError as error:
            raise self._broken(str(error)) from None

    def _commit_limit(self, header: dict[str, Any]) -> int:
        """The offset beyond which the trace's system refuses to commit."""
        if header.get("commit_limit") is None:
            return self._number(header, "reserve")
        return self._number(header, "commit_limit")

    def _fresh(self, header: dict[str, Any]) -> ModernHeap:
        reserve = self._number(header, "reserve")
        max0, com0 = self._number(header, "max0"), self._number(header, "com0")
        if not self.era.header_bytes <= max0 <= com0 <= reserve <= RESERVE_LIMIT_BYTES:
            raise self._broken("header_bytes, max0, com0 and reserve are not in this order")
        if self.base & 0xFFFF or not 0 < self.base <= _ADDRESS_LIMIT - reserve:
            raise self._broken(f"base {self.base} is no address of a 64-bit region")
        memory = Memory(reserve)
        memory.commit(0, com0)
        for offset, value in self._init_words(header, com0):
            memory.write(offset, value.to_bytes(4, "little"))
        return ModernHeap(self.era, memory, self.base, max0, self._commits(memory))

    def _commits(self, memory: Memory) -> Callable[[int, int], object]:
        """Commit a range of `memory` as the trace's system does."""

        def commit(offset: int, size_bytes: int) -> int:
            if offset + size_bytes > self.commit_limit:
                raise ValueError(f"commit must end within {self.commit_limit:#x}")
            return memory.commit(offset, size_bytes)

        return commit

    # -- operations ------------------------------------------------------------------------------

    def _user(self, offset: int) -> int:
        return 0 if offset < 0 else self.base + offset

    def _step(self, call: Callable[[ModernHeap, list[Any]], int]) -> Step:
        """The step of an operation that returns a user address or NULL."""
        return lambda op: (self._offset(call(self.heap, op)),)

    def _offset(self, user: int) -> int:
        return user - self.base if user else -1

    def _cmalloc_filled(self, op: list[Any]) -> tuple[int, ...]:
        kind, n = op[1], op[2]
        user = self.heap.cmalloc(kind, n)
        if user:
            if n > FILL_LIMIT_BYTES:
                raise self._broken(f"'m' of {n} bytes cannot be filled")
            self.heap.store(user, golden_ops.pattern(kind, n))
        return (self._offset(user),)

    def _cfree(self, op: list[Any]) -> tuple[int, ...]:
        self.heap.cfree(self.base + op[1])
        return ()

    def _switch(self, op: list[Any]) -> tuple[int, ...]:
        """Replace the current process by its child, by the mode in `op[1]`, and let it walk."""
        parent, max_bytes = self.heap, self.heap.max
        result: tuple[int, ...] = ()
        locks = 1  # the guard
        if op[1] == "rpg":  # the heap grows between the note of its size and the child's read
            result, locks = (self._offset(parent.cmalloc(3, op[2])),), 0
        self.locks_before += parent.lock_acquires + locks
        child = parent.child(max_bytes)
        child.commit = self._commits(child.memory)
        self.heap = child
        child.walk(op[0] == "x")
        return result


def _wide(op: list[Any]) -> bytes:
    """The string of a `w` or `W` line: 2 bytes a letter."""
    return golden_ops.text(op).decode("ascii").encode("utf-16-le")
