"""The pointers in a cygheap: where they lie, who follows them, and what happens when they dangle.

The heap holds absolute addresses of its own bytes, so it must lie in a child where it lay in the
parent.  `pointers` lists them, `start_up` follows those that the child of an exec follows before
its main() runs, and `repaired` lets one land elsewhere and mends each pointer when it faults.

What must stay true: every pointer is an absolute address inside the heap, and moving all of them
by as much as the heap was moved gives a heap on which the start-up runs without a fault.

Source: CYGWIN.md §a, §b1, §b4; which word of an fhandler is which is assumed (`descriptors`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from models.cygwin.arguments import ArgumentBlocks
from models.cygwin.cygheap import audit
from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.c_allocator import CAllocator, EndlessWalk
from models.cygwin.cygheap.layout import NBUCKETS, HeapType
from models.cygwin.exec_chain import landed
from models.win32.errors import AccessViolation

CHAIN, LISTS, TABLE, CWD_USER, ARGV, ENV, CHILD_INFO = (
    "chain", "free lists", "descriptors", "cwd, user", "argv", "environment", "child_info",
)  # fmt: skip
KINDS = (CHAIN, LISTS, TABLE, CWD_USER, ARGV, ENV, CHILD_INFO)
OUTSIDE = -1  # slot of a pointer that is not in the heap: child_info's own
_FHANDLER_POINTERS = (16, 20, 24)  # Win32 name, POSIX name, protocol info
_INFO_ARGV, _INFO_ENVP = 12, 20


class Pointer(NamedTuple):
    """One pointer. slot: offset of its word from the base, or OUTSIDE -- output"""

    kind: str
    slot: int
    address: int


class Fault(NamedTuple):
    """One access through a pointer that dangles. step: what the child was doing -- output"""

    step: str
    pointer: Pointer


def pointers(heap: Cygheap, blocks: ArgumentBlocks) -> list[Pointer]:
    """Every pointer of a heap that is about to be handed over with the argument set `blocks`."""
    slots = [(kind, slot) for kind, slot in _slots(heap, blocks)]
    found = [Pointer(kind, slot, heap.memory.read32(slot)) for kind, slot in slots]
    return [p for p in found if p.address] + [Pointer(CHILD_INFO, OUTSIDE, blocks.info)]


def start_up(heap: CAllocator, info: int, note: Callable[[str], None] = lambda step: None) -> None:
    """What the child of an exec does to its heap until main() runs, and main() with its strings.

    `info` is the address that child_info has; `note` hears what comes next. Raises AccessViolation.
    """
    era = heap.era
    note("the walk")
    _walk(heap)
    note("taking argv")
    words = _words(heap, info, 7)
    argv, env = _words(heap, words[3], words[2]), _words(heap, words[5], words[4])
    note("reading the fd table")
    table = heap.memory.read32(era.fdtab_offset)
    size = heap.memory.read32(era.fd_count_offset)
    for at in _words(heap, table, size):
        if at:
            heap.load(at, 4)
    note("freeing the environment's vector")
    heap._slow_free(words[5] - era.user_offset_bytes)
    note("main() with its strings")
    for text in (*argv, *env):
        heap.load(text, 1)


def repaired(parent: Cygheap, blocks: ArgumentBlocks, shift_bytes: int) -> list[Fault]:
    """Let the heap land `shift_bytes` away and mend each pointer at its first fault; the faults.

    Every try starts again from the transferred bytes, with what was mended so far.
    """
    base = parent.base + shift_bytes
    by_address: dict[int, list[Pointer]] = {}
    for p in pointers(parent, blocks):
        by_address.setdefault(p.address, []).append(p)
    mended: list[Pointer] = []
    faults: list[Fault] = []
    doing: list[str] = [""]
    for _ in range(len(by_address) + 1):
        heap = landed(parent, base)
        info = blocks.info
        for p in mended:
            if p.slot == OUTSIDE:
                info += shift_bytes
            else:
                heap.memory.write32(p.slot, p.address + shift_bytes)
        try:
            start_up(heap, info, lambda step: doing.__setitem__(0, step))
        except AccessViolation as error:
            guilty = by_address[error.address]
            faults.append(Fault(doing[0], guilty[0]))
            mended += guilty
        else:
            return faults
    raise AssertionError("a pointer faults although all are mended")


def left_alone(parent: Cygheap, blocks: ArgumentBlocks, shift_bytes: int) -> tuple[str, int, int]:
    """Let the heap land `shift_bytes` away and mend nothing.

    Gives what the child was doing when it faulted, the address (0 if it never did), and how many
    words it had written over until then.
    """
    heap = landed(parent, parent.base + shift_bytes)
    before = np.frombuffer(audit.committed_bytes(heap), np.uint32)
    doing: list[str] = [""]
    address = 0
    try:
        start_up(heap, blocks.info, lambda step: doing.__setitem__(0, step))
    except AccessViolation as error:
        address = error.address
    except EndlessWalk:
        doing[0] = "an endless walk"
    after = np.frombuffer(audit.committed_bytes(heap), np.uint32)
    return doing[0], address, int((before != after).sum())


class FollowCounter(CAllocator):
    """A heap that counts how often a pointer out of the heap is followed.

    follows: one for each block that is reached through a stored address -- output
    """

    __slots__ = ("_fresh", "_last", "follows")

    follows: int

    @classmethod
    def of(cls, heap: Cygheap) -> FollowCounter:
        """The same heap, counting from now on."""
        made = cls(heap.era, heap.memory, heap.base, heap.max, heap.buckets, heap.commit)
        made.follows, made._last, made._fresh = 0, 0, made.base + made.max
        return made

    def cmalloc(self, kind: int, n: int) -> int:
        """As `Cygheap.cmalloc`, step by step."""
        self._fresh, self._last = self.base + self.max, 0
        return self._slow_cmalloc(kind, n, n)

    def argument_set(self, requests: Iterable[int]) -> None:
        """Lay out one set: as many bytes as each request says."""
        for n in requests:
            self.cmalloc(HeapType.HEAP_1_STR, n)

    def cfree(self, user: int) -> None:
        """As `Cygheap.cfree`, step by step."""
        self._slow_free(user - self.era.user_offset_bytes)

    def load(self, user: int, size_bytes: int) -> bytes:
        """The bytes that a stored pointer leads to."""
        self.follows += 1
        return super().load(user, size_bytes)

    def _slow_free(self, start: int) -> None:
        self._fresh, self._last = self.base + self.max, 0
        super()._slow_free(start)

    def _load(self, address: int) -> int:
        self._touch(address)
        return super()._load(address)

    def _store(self, address: int, value: int) -> None:
        self._touch(address)
        super()._store(address, value)

    def _touch(self, address: int) -> None:
        """Count a block once while its header is worked on; the heap's own header is no block."""
        if address < self.base + self.era.header_bytes or address >= self._fresh:
            return
        if not self._last <= address < self._last + self.era.user_offset_bytes:
            self.follows += 1
            self._last = address


def _slots(heap: Cygheap, blocks: ArgumentBlocks) -> Iterable[tuple[str, int]]:
    """Where pointers may be, as (kind, offset); an empty one holds 0."""
    era, base = heap.era, heap.base
    yield CHAIN, era.chain_offset
    if heap.buckets is None:
        yield from ((LISTS, era.buckets_offset + 4 * b) for b in range(NBUCKETS))
    for entry in heap.chain():
        yield CHAIN, entry.start + 4 - base
        if entry.word0 >= NBUCKETS:
            yield LISTS, entry.start - base
    yield from ((CWD_USER, era.cwd_offset + 4 * i) for i in range(2))
    yield CWD_USER, era.root_offset
    yield from ((CWD_USER, era.user_offset + 4 * i) for i in range(4))
    table = heap.memory.read32(era.fdtab_offset)
    yield TABLE, era.fdtab_offset
    size = heap.memory.read32(era.fd_count_offset)
    for fd in range(size):
        yield TABLE, table - base + 4 * fd
        at = heap.memory.read32(table - base + 4 * fd)
        if at:
            yield from ((TABLE, at - base + word) for word in _FHANDLER_POINTERS)
    yield ARGV, blocks.info - base + _INFO_ARGV
    yield from ((ARGV, blocks.vector - base + 4 * i) for i in range(len(blocks.strings)))
    yield ENV, blocks.info - base + _INFO_ENVP
    env = blocks.env_strings or ()
    yield from ((ENV, blocks.env_vector - base + 4 * i) for i in range(len(env)))


def _walk(heap: CAllocator) -> None:
    if heap.era.heapbase_offset is not None:
        heap.memory.write32(heap.era.heapbase_offset, 0)
    lowest = 0 if heap.era.walk_frees_tails else 1
    at = heap.head
    for _ in range(heap.max):  # of 8 bytes and more: a chain that is longer is cyclic
        if not at:
            return
        at = heap._slow_step(at, lowest)
    raise EndlessWalk(heap.max)


def _words(heap: CAllocator, address: int, count: int) -> list[int]:
    if not count:
        return []
    return memoryview(heap.load(address, 4 * count)).cast("I").tolist()
