"""What the bytes of a cygheap say: its blocks, and which of them are garbage.

Nothing here changes the heap.  A block's size is the distance to the next one, since blocks lie
side by side from the header to the top; its own bytes lose the size when it is freed.
"""

# NOTE: for speed. `garbage_in` of 100 blocks in 15 KiB takes 36 us, from one joined copy of the
# pages; a load for each word would take 70 us more, following a chain that is known 10 us less.

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.cygwin.cygheap.c_allocator import CAllocator
from models.cygwin.cygheap.heap import Heap
from models.cygwin.cygheap.layout import FIRST_BUCKET, NBUCKETS, HeapType
from models.win32.errors import AccessViolation
from models.win32.memory import ZERO_PAGE

_UNTAGGED = int(HeapType.HEAP_1_START)
_MARKED = int(HeapType.HEAP_1_MAX)
_FIRST_TAGGED = np.uint32(_UNTAGGED + 1)
_PLAIN_TYPES = np.uint32(
    (1 << 31) - _UNTAGGED - 1
)  # how many are tagged: those with a sign are not
_LAST_BUCKET = np.uint32(NBUCKETS - 1)  # buckets in use are 1 to this
_MOST_SEEN = 64  # findings kept with a chain

Addresses = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """One block. All fields are *output*.

    generation: None of a block that no walk frees, 0 of a tagged one that the next exec marks, 1 of
    a marked one that the next exec frees
    """

    offset_bytes: int  # of the block's start, from the base
    size_bytes: int  # to the next block or the top
    in_use: bool
    type: int  # signed, with the mark
    generation: int | None

    @property
    def leaks(self) -> bool:
        """Whether it is tagged and in use, and yet no walk will free it."""
        return False

    @property
    def label(self) -> str:
        """The HEAP_ name of its type, without the mark; the number if it has none."""
        plain = self.type - _MARKED if self.type >= _MARKED else self.type
        try:
            return HeapType(plain).name
        except ValueError:
            return f"type {self.type}"


class Chain(NamedTuple):
    """A chain whose blocks lie in the order of allocation, newest first.

    cells: where the blocks start, as words from the base; links, types, users: where each has its
        pointer to the next older block, its type and its user's bytes, in words too
    older: the pointers, as bytes; sizes: of the blocks [bytes]
    seen: what `garbage_in` found where these blocks were alike in all that it looks at
    """

    cells: Addresses
    links: Addresses
    types: Addresses
    users: Addresses
    older: bytes
    sizes: Addresses
    seen: dict[tuple[bytes, ...], tuple[int, int]]


def digest_bytes(heap: CAllocator) -> bytes:
    """The bytes [base, base + max), what a digest of the heap is taken over.

    Raises AccessViolation where they are not committed.
    """
    return heap.load(heap.base, heap.max)


def blocks(heap: CAllocator) -> list[Block]:
    """The blocks that the chain reaches, by rising offset.

    Raises AccessViolation if the chain leaves the committed heap. A cycle is followed once.
    """
    entries = sorted(heap.chain())
    ends = [entry.start for entry in entries[1:]] + [heap.base + heap.max]
    found = []
    for entry, end in zip(entries, ends, strict=False):  # one end too many if there is no block
        generation = None
        if entry.type > _UNTAGGED:
            generation = int(entry.type >= _MARKED)
        in_use = 0 < entry.word0 < NBUCKETS
        size = max(0, end - entry.start)
        found.append(Block(entry.start - heap.base, size, in_use, entry.type, generation))
    return found


def listed_blocks(heap: CAllocator) -> set[int]:
    """Addresses of the free blocks that the lists from bucket 3 on lead to: what can come back.

    A list that leaves the heap's pages is followed up to there.
    """
    words, base = _words(heap), heap.base
    found: set[int] = set()
    for at in _heads(heap, words):
        while at not in found and base < at < base + heap.max:
            found.add(at)
            at = words[(at - base) >> 2]
    return found


def garbage(heap: CAllocator, live: Collection[int]) -> tuple[int, int]:
    """Garbage that stays for ever, and garbage that the walks of coming execs free [bytes].

    `live` holds the user addresses that the image's living objects refer to.  Pending is every
    other tagged block in use: a marked one goes at the next exec, one of this image at the exec
    after that.  Leaked is the rest in use, and free blocks that no list reaches which an allocation
    looks into (era A after an exec).
    """
    return garbage_in(heap, committed_bytes(heap), np.fromiter(live, np.int64, len(live)), {})


def garbage_in(
    heap: CAllocator, content: bytes, live: Addresses, known: dict[tuple[int, int], Chain]
) -> tuple[int, int]:
    """`garbage` of a heap whose `committed_bytes` are `content`: (leaked, pending).

    `live` may hold zeros and repetitions. Shape (n,).  `known` has chains of earlier heaps, by
    newest block and top; this one's is added.
    """
    words = memoryview(content).cast("I")
    cells = np.frombuffer(content, np.uint32)
    chain = _chain(heap, words, cells, known)
    if chain is None:
        return _damaged(heap, set(live.tolist()))
    heads = array("I", _heads(heap, words))
    firsts, types = cells[chain.cells], cells[chain.types]
    # NOTE: for speed: three of four heaps are alike in this, which takes a third of the time
    key = firsts.tobytes(), types.tobytes(), live.tobytes(), heads.tobytes()
    found = chain.seen.get(key)
    if found is None:
        found, follows = _garbage_of(heap, words, chain, firsts, types, live)
        if follows and len(chain.seen) < _MOST_SEEN:
            chain.seen[key] = found
    return found


def _garbage_of(
    heap: CAllocator,
    words: memoryview,
    chain: Chain,
    firsts: npt.NDArray[np.uint32],
    types: npt.NDArray[np.uint32],
    live: Addresses,
) -> tuple[tuple[int, int], bool]:
    """(leaked, pending), and whether that follows from the blocks' first words, types and heads.

    It does not where a free list leads to something that is no block.
    """
    base = heap.base
    inside = live[(live > base) & (live < base + heap.max)]
    alive = np.zeros(len(words) + 4, np.bool_)
    alive[(inside - base) >> 2] = True
    dead = ~alive[chain.users]
    in_use = firsts - np.uint32(1) < _LAST_BUCKET
    tagged = types - _FIRST_TAGGED < _PLAIN_TYPES
    lost = dead & in_use
    pending = int(chain.sizes[lost & tagged].sum())
    leaked = int(chain.sizes[lost].sum()) - pending
    idle = (dead & ~in_use).nonzero()[0]
    if not len(idle):
        return (leaked, pending), True
    listed = _listed(heap, words, len(idle))
    if len(listed) != len(idle):
        starts = base + 4 * chain.cells[idle]
        free = dict(zip(starts.tolist(), chain.sizes[idle].tolist(), strict=True))
        leaked += _unreachable(heap, words, free)
    return (leaked, pending), set(listed).issubset((base + 4 * chain.cells).tolist())


def _chain(
    heap: CAllocator,
    words: memoryview,
    cells: npt.NDArray[np.uint32],
    known: dict[tuple[int, int], Chain],
) -> Chain | None:
    """The chain of a heap whose blocks lie in the order of allocation, else None."""
    key = words[heap.era.chain_offset >> 2], heap.max
    chain = known.get(key)
    if chain is not None and cells[chain.links].tobytes() == chain.older:
        return chain
    at = _in_order(heap, _starts(heap, words))
    if at is None:
        return None
    index = (at - heap.base) >> 2
    older = np.append(at[1:], 0)[: len(at)].astype(np.uint32).tobytes()
    sizes = -np.diff(at, prepend=heap.base + heap.max)
    chain = known[key] = Chain(index, index + 1, index + 2, index + 4, older, sizes, {})
    return chain


def _starts(heap: CAllocator, words: memoryview) -> list[int] | None:
    """Where the blocks start, newest first; None if the chain leaves the heap's pages."""
    base = heap.base
    # NOTE: for speed: a bare loop; `_in_order` checks it as a whole
    starts: list[int] = []
    add = starts.append
    at, to_prev = words[heap.era.chain_offset >> 2], 4 - base
    try:
        for _ in words:
            if not at:
                break
            add(at)
            at = words[(at + to_prev) >> 2]
    except IndexError:
        return None
    return starts


def _in_order(heap: CAllocator, starts: list[int] | None) -> Addresses | None:
    """The same as an array; None if they do not fall inside the heap from block to block."""
    if starts is None:
        return None
    order = np.frombuffer(array("q", starts), np.int64)
    if not starts:
        return order
    falls = (order[1:] < order[:-1]).all() and not np.bitwise_or.reduce(order) & 3
    return order if falls and heap.base < starts[-1] and starts[0] < heap.base + heap.max else None


def _listed(heap: CAllocator, words: memoryview, most: int) -> list[int]:
    """Where the free lists from bucket 3 on lead to, up to `most` + 1 places."""
    base = heap.base
    found: list[int] = []
    for at in _heads(heap, words):
        while at and len(found) <= most and base < at < base + heap.max:
            found.append(at)
            at = words[(at - base) >> 2]
    return found


def _heads(heap: CAllocator, words: memoryview) -> Sequence[int]:
    """Where the free lists from bucket 3 on begin."""
    if heap.buckets is not None:
        return heap.buckets[FIRST_BUCKET:]
    offset = heap.era.buckets_offset >> 2
    return words[offset + FIRST_BUCKET : offset + NBUCKETS]


def committed_bytes(heap: CAllocator | Heap) -> bytes:
    """A copy of the heap's committed pages up to its top, the last one whole."""
    count = (heap.max + 4095) >> 12
    return b"".join([page or ZERO_PAGE for page in heap.memory.pages[:count]])


def _words(heap: CAllocator) -> memoryview:
    """A copy of the heap's whole committed pages as 32-bit words."""
    return memoryview(committed_bytes(heap)).cast("I")


def _unreachable(heap: CAllocator, words: memoryview, free: dict[int, int]) -> int:
    """Size of the free blocks that no list from bucket 3 on leads to [bytes]; empties `free`."""
    if not free:
        return 0
    base = heap.base
    for at in _heads(heap, words):
        while at in free:
            del free[at]
            at = words[(at - base) >> 2]
    return sum(free.values())


def _damaged(heap: CAllocator, live: Collection[int]) -> tuple[int, int]:
    """`garbage` of a chain that is not in the order of allocation: what it still reaches."""
    try:
        some = blocks(heap)
    except AccessViolation:
        return 0, 0
    lost = [b for b in some if heap.base + b.offset_bytes + 16 not in live]
    pending = sum(b.size_bytes for b in lost if b.in_use and b.generation is not None)
    leaked = sum(b.size_bytes for b in lost if b.in_use and b.generation is None)
    free = {heap.base + b.offset_bytes: b.size_bytes for b in lost if not b.in_use}
    return leaked + _unreachable(heap, _words(heap), free), pending
