"""Other ways to cut blocks out of a heap, to hold the cygheap's power-of-two lists against.

Addresses and counts only, no bytes: `Lists` keeps a LIFO list for each block size (powers of two,
the classes of Cygwin 3.6, or one list for each size asked for), `FirstFit` one list by address
with splitting and joining.  What must stay true: with the sizes of an era `Lists` has the end of
heap that the byte-exact `Cygheap` has, at every exec.

Source: sizes of eras A and B as in `layout`; 3.6's from MODERN.md §1; that first-fit and exact
fit keep the cygheap's 16 bytes of header is assumed, since walk and chain need them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Protocol

from models.cygwin.cygheap.layout import Era
from models.cygwin.cygheap.modern_layout import ENTRY_BYTES, M

HEADER_BYTES = 16  # {bucket or link, prev, type, next} of a block, 32-bit eras
GRAIN_BYTES = 8  # of first-fit and exact fit (assumed)

Size = Callable[[int], int]  # user bytes -> bytes of the whole block


class Fit(Protocol):
    """A heap that hands out blocks by address.

    top: end of the heap from its first block [bytes] -- state
    steps, worst: list entries that were looked at, in all and by one call -- output
    hits, allocations: requests that needed no growth, and all -- output
    """

    top: int
    steps: int
    worst: int
    hits: int
    allocations: int

    def alloc(self, n: int) -> int:
        """Address of a block for `n` user bytes."""

    def free(self, address: int) -> None:
        """Take a block back."""

    def size_of(self, address: int) -> int:
        """Bytes of the whole block."""

    def execed(self) -> None:
        """A new image takes the heap over, before its walk."""

    def missed(self, address: int) -> bool:
        """Whether the walk takes the block for a free one."""

    def copy(self) -> Fit:
        """The heap as a fork child has it; its counts begin at 0."""


class Lists:
    """One LIFO list for each size of block.

    size: of the block for a request -- constant
    survive: the heads of the lists are in the heap, so an exec keeps them -- constant
    unseen_bytes: blocks of this size whose first word is 0 escape the walk; 0 for none -- constant
    """

    def __init__(self, size: Size, survive: bool = True, unseen_bytes: int = 0) -> None:
        self.top = self.steps = self.worst = self.hits = self.allocations = 0
        self._size, self._survive, self._unseen = size, survive, unseen_bytes
        self._sizes: dict[int, int] = {}
        self._lists: dict[int, list[int]] = {}
        self._zero: set[int] = set()  # in use with a first word of 0

    def alloc(self, n: int) -> int:
        """Address of a block: the newest of its list, or at the top."""
        self.allocations += 1
        size = self._size(n)
        free = self._lists.get(size)
        self._look()
        if free:
            self.hits += 1
            address = free.pop()
        else:
            address, self.top = self.top, self.top + size
            self._sizes[address] = size
        if size == self._unseen and not free:  # fresh, or the end of its list
            self._zero.add(address)
        return address

    def free(self, address: int) -> None:
        """Put a block in front of its list."""
        self._look()
        self._zero.discard(address)
        self._lists.setdefault(self._sizes[address], []).append(address)

    def size_of(self, address: int) -> int:
        """Bytes of the whole block."""
        return self._sizes[address]

    def execed(self) -> None:
        """Lose the lists if their heads are not in the heap."""
        if not self._survive:
            self._lists.clear()

    def missed(self, address: int) -> bool:
        """Whether the walk takes the block for a free one."""
        return address in self._zero

    def copy(self) -> Lists:
        """The heap as a fork child has it."""
        other = Lists(self._size, self._survive, self._unseen)
        other.top, other._sizes, other._zero = self.top, dict(self._sizes), set(self._zero)
        other._lists = {size: list(free) for size, free in self._lists.items()}
        return other

    def _look(self) -> None:
        self.steps += 1
        self.worst = 1  # the head of one list, always


class FirstFit:
    """One list of free ranges by address; the first that is large enough is cut.

    Freeing looks for its place from the start and joins neighbours.
    """

    def __init__(self) -> None:
        self.top = self.steps = self.worst = self.hits = self.allocations = 0
        self._sizes: dict[int, int] = {}
        self._at: list[int] = []  # where free ranges begin, rising
        self._room: list[int] = []  # how long each is

    def alloc(self, n: int) -> int:
        """Address of a block: the front of the first range with room, or at the top."""
        self.allocations += 1
        size = exact_size(n)
        for i, room in enumerate(self._room):
            if room >= size:
                self._look(i + 1)
                self.hits += 1
                address = self._at[i]
                self._cut(i, size)
                self._sizes[address] = size
                return address
        self._look(len(self._room) + 1)
        address, self.top = self.top, self.top + size
        self._sizes[address] = size
        return address

    def free(self, address: int) -> None:
        """Put a range back where it belongs."""
        i = bisect_left(self._at, address)
        self._look(i + 1)
        size = self._sizes.pop(address)
        if i < len(self._at) and self._at[i] == address + size:
            size += self._room[i]
            del self._at[i], self._room[i]
        if i and self._at[i - 1] + self._room[i - 1] == address:
            self._room[i - 1] += size
        else:
            self._at.insert(i, address)
            self._room.insert(i, size)

    def size_of(self, address: int) -> int:
        """Bytes of the whole block."""
        return self._sizes[address]

    def execed(self) -> None:
        """Its list lies in the heap: nothing is lost."""

    def missed(self, address: int) -> bool:
        """Its walk sees every block."""
        return False

    def copy(self) -> FirstFit:
        """The heap as a fork child has it."""
        other = FirstFit()
        other.top, other._sizes = self.top, dict(self._sizes)
        other._at, other._room = list(self._at), list(self._room)
        return other

    def _look(self, entries: int) -> None:
        self.steps += entries
        self.worst = max(self.worst, entries)

    def _cut(self, i: int, size: int) -> None:
        if self._room[i] == size:
            del self._at[i], self._room[i]
        else:
            self._at[i] += size
            self._room[i] -= size


def power_of_two(era: Era) -> Size:
    """8 + 2^b for the bucket b that the era's search finds."""
    return lambda n: era.entry_bytes + era.search(n)[1]


def exact_size(n: int) -> int:
    """Header and user bytes, rounded to the grain."""
    return -(-(HEADER_BYTES + n) // GRAIN_BYTES) * GRAIN_BYTES


def medians(n: int) -> int:
    """Powers of two and what lies between two of them, with a 32-bit header (never was)."""
    half = HEADER_BYTES // 2
    size = HEADER_BYTES
    while size < n + half:
        if size + size // 2 >= n + half:
            return half + size + size // 2
        size *= 2
    return half + size


def modern(n: int) -> int:
    """Cygwin 3.6: 16 + the smallest of 32, 48, 64, 96, 128, ... that holds n + 16."""
    return ENTRY_BYTES + M.classes[M.search(n)]
