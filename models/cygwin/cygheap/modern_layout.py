"""The constants of the 64-bit cygheap of Cygwin 3.6, era M, and of three near relatives.

What must stay true: everything in which two of them differ stands in `ModernEra`; the allocator
asks for no name.

Source: Cygwin commit c6680700f (cygwin-3.6.6): mm/cygheap.cc, local_includes/cygheap_malloc.h;
the header was compiled from the real declarations.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType

from models.cygwin.cygheap.layout import NBUCKETS

ENTRY_BYTES = 16  # {bucket or link, prev}
USER_OFFSET_BYTES = 32  # from block start to user data
COMMIT_STEP_BYTES = 65536  # what csbrk rounds to
TABLE_BYTES = 4096  # requests below this get their class from a table -- chosen for speed
MASK32 = 0xFFFFFFFF
MASK64 = 0xFFFFFFFFFFFFFFFF


class ModernType(IntEnum):
    """What a block is for, `cygheap_types`.

    Above HEAP_1_START the second exec frees it, above HEAP_1_MAX the next one, above HEAP_2_MAX
    any child.
    """

    HEAP_FHANDLER = 0
    HEAP_STR = 1
    HEAP_ARGV = 2
    HEAP_BUF = 3
    HEAP_MOUNT = 4
    HEAP_SIGS = 5
    HEAP_ARCHETYPES = 6
    HEAP_TLS = 7
    HEAP_COMMUNE = 8
    HEAP_USER = 9
    HEAP_1_START = 10
    HEAP_1_HOOK = 11
    HEAP_1_STR = 12
    HEAP_1_ARGV = 13
    HEAP_1_BUF = 14
    HEAP_1_EXEC = 15
    HEAP_1_MAX = 100
    HEAP_2_STR = 101
    HEAP_2_DLL = 102
    HEAP_MMAP = 103
    HEAP_2_MAX = 200
    HEAP_3_FHANDLER = 201


def _classes(smallest: int, first_index: int) -> tuple[int, ...]:
    """Powers of two and their medians from `smallest` on; 0 below `first_index`."""
    values = [0] * first_index
    pair = [smallest, smallest * 3 // 2 if smallest & (smallest - 1) == 0 else smallest * 4 // 3]
    while len(values) < NBUCKETS:
        values.append(pair[0])
        pair = [pair[1], 2 * pair[0]]
    return tuple(values)


@dataclass(frozen=True)
class ModernEra:
    """One layout. Every field is *constant*; offsets count from the heap's base.

    classes: what a block of each index holds beside its entry [bytes]; 0: the index is not used
    stored_offset: what is added to the index when it is stored in the block
    user_heap_offset, hooks_offset: 64-bit words that an exec child clears
    first_commit_bytes: what the first process and every child commit at once
    """

    name: str = "M"
    commit_id: str = "c6680700f"
    header_bytes: int = 18_592
    cygheapsize: int = 8 << 30
    chain_offset: int = 8
    buckets_offset: int = 16
    user_heap_offset: int = 18_336
    umask_offset: int = 18_408
    first_fd_offset: int = 18_504
    hooks_offset: int = 18_584
    first_commit_bytes: int = 3 << 20
    classes: tuple[int, ...] = _classes(32, 0)
    stored_offset: int = 0
    class_table: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.header_bytes < self.hooks_offset + 8 or self.header_bytes % 8:
            least = self.hooks_offset + 8
            raise ValueError(
                f"header_bytes ({self.header_bytes}) must be a multiple of 8 from {least} on"
            )
        if self.cygheapsize <= 0 or self.cygheapsize % COMMIT_STEP_BYTES:
            raise ValueError(
                f"cygheapsize ({self.cygheapsize}) must be a positive multiple of"
                f" {COMMIT_STEP_BYTES}"
            )
        table = bytes(self.search(n) for n in range(TABLE_BYTES))
        object.__setattr__(self, "class_table", table)

    @property
    def reserve_bytes(self) -> int:
        """The most that can ever be committed [bytes]."""
        return self.cygheapsize

    @property
    def init_dwords(self) -> tuple[tuple[int, int], ...]:
        """(offset, value) of each 32-bit word that is not zero in a fresh header."""
        return ((self.umask_offset, 0o22), (self.first_fd_offset, 3))

    def search(self, n: int) -> int:
        """Index of the smallest class for `n` user bytes, 32 if there is none.

        The code computes with 32 bits, so that a size just below 2^32 finds the smallest class.
        """
        size = (n + ENTRY_BYTES) & MASK32
        # a size of 0 must not find an index that is not used
        return bisect_left(self.classes, size or 1)


M = ModernEra()

# The code before 3.6.0: a class of 24 bytes more, indices from 1 on. Its header is assumed to be
# M's; so measured, its heap has the control's sizes of MODERN.md.
BEFORE = replace(M, name="3.5.7", commit_id="cygwin-3.5.7", classes=_classes(24, 1))

# Two repairs of the walk, neither of which the project has: MODERN.md §4.
INDEX_FROM_1 = replace(M, name="index from 1", classes=_classes(32, 1))
STORE_PLUS_1 = replace(M, name="store b+1", stored_offset=1)

VARIANTS: Mapping[str, ModernEra] = MappingProxyType(
    {era.name: era for era in (BEFORE, M, INDEX_FROM_1, STORE_PLUS_1)}
)
