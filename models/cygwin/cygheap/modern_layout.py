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
from functools import cached_property
from struct import Struct
from types import MappingProxyType
from typing import ClassVar, Literal

from models.cygwin.cygheap.heap_layout import ExecInfo, HeapLayout
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


# Of a recorded first process (golden trace h07): a console's fhandler; that the other kinds are as
# large is assumed.
_FHANDLER_BYTES = MappingProxyType(dict.fromkeys(("disk", "pipe", "socket", "console"), 568))


@dataclass(frozen=True, kw_only=True)
class ModernEra(HeapLayout):
    """One layout. Every field is *constant*; offsets count from the heap's base.

    classes: what a block of each index holds beside its entry [bytes]; 0: the index is not used
    stored_offset: what is added to the index when it is stored in the block
    user_heap_offset, hooks_offset: 64-bit words that an exec child clears
    first_commit_bytes: what the first process and every child commit at once

    Assumed, from the order of the declarations: where root lies, and what lies where inside user,
    cwd, fdtab and an fhandler.  Their own places are those of the compiled header.
    """

    name: str = "M"
    commit_id: str = "c6680700f"
    header_bytes: int = 18_592
    cygheapsize: int = 8 << 30
    chain_offset: int = 8
    buckets_offset: int = 16
    root_offset: int = 16_744
    user_offset: int = 17_944
    user_heap_offset: int = 18_336
    umask_offset: int = 18_408
    cwd_offset: int = 18_432
    fdtab_offset: int = 18_480
    hooks_offset: int = 18_584
    first_commit_bytes: int = 3 << 20
    fhandler_bytes: Mapping[str, int] = field(default_factory=lambda: _FHANDLER_BYTES)
    classes: tuple[int, ...] = _classes(32, 0)
    stored_offset: int = 0

    word_code: ClassVar[Literal["I", "Q"]] = "Q"
    word_bytes: ClassVar[int] = 8
    entry_bytes: ClassVar[int] = ENTRY_BYTES
    user_offset_bytes: ClassVar[int] = USER_OFFSET_BYTES
    fhandler_words: ClassVar[Struct] = Struct("<IIQQQQQ")
    # argc, argv, envc, envp, signal mask, number of children and what is between
    exec_info: ClassVar[ExecInfo] = ExecInfo(Struct("<IIQIIQQII"), 9, 0, 2, 3, 5, None)
    env_spare: ClassVar[int] = 11
    exec_type: ClassVar[int] = ModernType.HEAP_1_EXEC
    argv_type: ClassVar[int] = ModernType.HEAP_1_ARGV
    environment_first: ClassVar[bool] = True
    root_record: ClassVar[Struct] = Struct("<4096sI4096sI")
    wide_names: ClassVar[bool] = True
    cwd_win32_bytes: ClassVar[int] = 24
    first_blocks: ClassVar[tuple[tuple[int, int, int, int], ...]] = (
        (18_528, ModernType.HEAP_SIGS, 65, 24),
        (18_544, ModernType.HEAP_TLS, 256, 16),
    )
    cwd_first: ClassVar[tuple[tuple[int, int], ...]] = ((24, 44), (0, 10))
    user_strings: ClassVar[tuple[bytes, ...]] = (b"cgf", b"TROLL", b"cgf", b"C:\\Windows")
    sid_bytes: ClassVar[int] = 64
    socket_info_bytes: ClassVar[int] = 0
    touched_bytes: ClassVar[int | None] = COMMIT_STEP_BYTES  # assumed: no more of the first 3 MiB

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

    # NOTE: for speed: made when a heap first asks for it; a run has heaps of one era
    @cached_property
    def class_table(self) -> bytes:
        """The index of each request below TABLE_BYTES."""
        return bytes(self.search(n) for n in range(TABLE_BYTES))

    @property
    def first_fd_offset(self) -> int:
        """fdtab.first_fd, which a fresh header has as 3."""
        return self.fdtab_offset + 24

    @property
    def held_offset(self) -> int | None:
        """There is no vfork."""
        return None

    @property
    def socket_count_offset(self) -> int:
        """fdtab's count of descriptors that need a fix-up before the child runs."""
        return self.fdtab_offset + 28

    @property
    def fd_count_offset(self) -> int:
        """fdtab's number of slots."""
        return self.fdtab_offset + 32

    @property
    def shared_offset(self) -> int:
        """The handle of the shared section, behind umask and the limits."""
        return self.umask_offset + 8

    @property
    def init_dwords(self) -> tuple[tuple[int, int], ...]:
        """(offset, value) of each 32-bit word that is not zero in a fresh header."""
        return ((self.umask_offset, 0o22), (self.first_fd_offset, 3))

    @cached_property
    def user_words(self) -> tuple[int, ...]:
        """Header words that point to the user's strings and SID."""
        return tuple(self.user_offset + i * self.word_bytes for i in range(5))

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
