"""The constants of the cygheap in each era: sizes, header offsets, the bucket search.

What must stay true: everything that differs between two eras stands in `Era`; the allocator has no
`if era == "A"`.  A variant (another header size, another CYGHEAPSIZE) is `dataclasses.replace`.

Source: Cygwin trees 4abaaac33 (A), 128f2650a (C), aa9d50a1c (B), compiled with -m32; release 1.3.3
(R) from its call logs, its layout assumed where the logs do not show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType

from models.cygwin.cygheap.heap_layout import HeapLayout

NBUCKETS = 32  # free lists, cygheap.cc of every 32-bit era
FIRST_BUCKET = 3  # the search starts with 2^3 bytes
TABLE_BYTES = 4096  # requests below this get their bucket from a table -- chosen for speed
_MASK = 0xFFFFFFFF


class HeapType(IntEnum):
    """What a block is for, `cygheap_types`; above HEAP_1_START it dies two execs later."""

    HEAP_FHANDLER = 0
    HEAP_STR = 1
    HEAP_ARGV = 2
    HEAP_BUF = 3
    HEAP_MOUNT = 4
    HEAP_1_START = 5
    HEAP_1_STR = 6
    HEAP_1_ARGV = 7
    HEAP_1_BUF = 8
    HEAP_1_EXEC = 9
    HEAP_1_MAX = 100


@dataclass(frozen=True, kw_only=True)
class Era(HeapLayout):
    """One layout of 2001. Every field is *constant*; offsets count from the heap's base.

    buckets_offset: -1 where the list heads are not in the heap but in the DLL's data
    search_slack_bytes, search_signed: k of the bucket search and how it compares
    walk_frees_tails: the walk takes the last entry of a free list for a block of bucket 0
    bump_by_count: ccalloc's creturn sees the count alone, not count times size
    """

    search_slack_bytes: int
    search_signed: bool
    walk_frees_tails: bool
    bump_by_count: bool

    def __post_init__(self) -> None:
        for name in ("header_bytes", "cygheapsize"):
            value = getattr(self, name)
            if value <= 0 or value % self.word_bytes:
                raise ValueError(
                    f"{name} ({value}) must be a positive multiple of {self.word_bytes}"
                )

    # NOTE: for speed: made when a heap first asks for it; a run has heaps of one era
    @cached_property
    def bucket_table(self) -> bytes:
        """The bucket of each request below TABLE_BYTES."""
        return bytes(self.search(n)[0] for n in range(TABLE_BYTES))

    @property
    def buckets_in_header(self) -> bool:
        """Whether the list heads live in the heap, so that a child inherits them."""
        return self.buckets_offset >= 0

    def search(self, n: int) -> tuple[int, int]:
        """Bucket and data size [bytes] for a request of `n` user bytes, as the C loop finds them.

        `n` is taken modulo 2^32. The size is 0 where the loop doubled it out of 32 bits; the bucket
        is then 32, one past the array.
        """
        want = (n + 8 + self.search_slack_bytes) & _MASK
        signed = self.search_signed
        if signed and want >= 1 << 31:
            return FIRST_BUCKET, 1 << FIRST_BUCKET
        b = max(FIRST_BUCKET, (want - 1).bit_length() if want else 0)
        if b == 31 and signed:
            b = 32  # 2^31 is negative, so the loop doubles once more
        return b, (1 << b) & _MASK


def _fhandlers(disk: int, pipe: int, socket: int, console: int) -> Mapping[str, int]:
    """Allocation of one fhandler by kind [bytes]."""
    return MappingProxyType({"disk": disk, "pipe": pipe, "socket": socket, "console": console})


A = Era(
    name="A",
    commit_id="4abaaac33",
    header_bytes=88,
    cygheapsize=5_123_160,
    buckets_offset=-1,
    search_slack_bytes=4,
    search_signed=True,
    walk_frees_tails=True,
    bump_by_count=True,
    root_offset=4,
    user_offset=8,
    umask_offset=40,
    cwd_offset=52,
    fdtab_offset=68,
    fhandler_bytes=_fhandlers(1348, 1348, 1348, 1348),
)

C = Era(
    name="C",
    commit_id="128f2650a",
    header_bytes=220,
    cygheapsize=5_123_292,
    buckets_offset=4,
    search_slack_bytes=8,
    search_signed=False,
    walk_frees_tails=True,
    bump_by_count=True,
    root_offset=132,
    user_offset=136,
    umask_offset=168,
    cwd_offset=180,
    fdtab_offset=196,
    console_fds_offset=212,  # inferred: first_fd is at 204 and the header has 220 bytes
    fhandler_bytes=_fhandlers(1348, 1348, 1348, 1348),
)

B = Era(
    name="B",
    commit_id="aa9d50a1c",
    header_bytes=240,
    cygheapsize=5_107_312,
    buckets_offset=4,
    search_slack_bytes=8,
    search_signed=False,
    walk_frees_tails=False,
    bump_by_count=False,
    heapbase_offset=132,
    root_offset=144,
    user_offset=148,
    umask_offset=180,
    cwd_offset=200,
    fdtab_offset=216,
    console_fds_offset=232,
    fhandler_bytes=_fhandlers(56, 72, 84, 1244),
)

# Release 1.3.3: 236 bytes and CYGHEAPSIZE were seen in its logs; that it is B's layout without
# console_fds is assumed.
R = Era(
    name="R",
    commit_id="release 1.3.3",
    header_bytes=236,
    cygheapsize=5_123_308,
    buckets_offset=4,
    search_slack_bytes=8,
    search_signed=False,
    walk_frees_tails=False,
    bump_by_count=False,
    heapbase_offset=132,
    root_offset=144,
    user_offset=148,
    umask_offset=180,
    cwd_offset=200,
    fdtab_offset=216,
    fhandler_bytes=_fhandlers(1348, 1348, 1348, 1348),
)

ERAS: Mapping[str, Era] = MappingProxyType({"A": A, "C": C, "R": R, "B": B})
