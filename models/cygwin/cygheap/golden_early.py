"""The golden traces of eras A, B and C, whose heaps are 32-bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from models.cygwin.cygheap import audit, golden_ops
from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.golden_trace import GoldenTrace
from models.cygwin.cygheap.layout import ERAS, Era
from models.cygwin.cygheap.transfer import transferred
from models.win32.memory import Memory

RESERVE_LIMIT_BYTES = 64 << 20  # of a heap, 12 times the largest 32-bit one -- chosen
_MASK = 0xFFFFFFFF


class EarlyTrace(GoldenTrace):
    """One golden file of era A, B or C."""

    heap: Cygheap
    prev_offset = 4
    word_bytes = 4

    def __init__(self, where: str, lines: Iterator[tuple[int, bytes]], header: Any) -> None:
        super().__init__(where, lines, header)
        self.era = self._era(header)
        self.era_name = self.era.name
        self.header_bytes = self.era.header_bytes
        self.heap = self._fresh(header)
        self._steps = {
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
    def committed_bytes(self) -> int:
        """From the base up, without a gap."""
        return len(self.heap.memory.pages) << 12

    def blocks(self) -> list[audit.Block]:
        """The blocks that the chain reaches, by rising offset."""
        return audit.blocks(self.heap)

    def _arguments(self, op: list[Any]) -> int:
        return golden_ops.arguments(op, self.era)

    def _default_mode(self) -> str:
        return "nt1" if self.era.buckets_in_header else "rpm"

    def _era(self, header: dict[str, Any]) -> Era:
        name = header["era"]
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
        for offset, value in self._init_words(header, com0):
            memory.write32(offset, value)
        return Cygheap(era, memory, self.base, max0)

    # -- operations ------------------------------------------------------------------------------

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
        told = copied = parent.max
        result: tuple[int, ...] = ()
        if mode.endswith("g"):  # the heap grows between the two steps
            result = (parent.cmalloc(3, op[2]) - self.base,)
            if mode == "ntg":
                copied = parent.max
        locks = {"rpm": 0, "nt1": 1, "9x1": 1}.get(mode, 2)
        self.locks_before += parent.lock_acquires + locks
        self.heap = transferred(parent, told, copied, execed=op[0] == "x")
        return result
