"""The layout of a release that has no cygheap: what else such a record says, and nothing of a heap.

Words and vectors of a process are as wide as in 2001, and a socket's handle is inherited like any
other (assumed: there was nowhere to keep its protocol information).  No heap is ever made of it.

Source: CYGWIN.md §0, §i (1.1.1 and 1.1.3).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar

from models.cygwin.cygheap.heap_layout import HeapLayout


class NoHeap(HeapLayout):
    """Of a process without a cygheap."""

    socket_info_bytes: ClassVar[int] = 0


NO_HEAP = NoHeap(
    name="none",
    commit_id="before b0e82b74f",
    header_bytes=0,
    cygheapsize=0,
    buckets_offset=0,
    root_offset=0,
    user_offset=0,
    umask_offset=0,
    cwd_offset=0,
    fdtab_offset=0,
    fhandler_bytes=MappingProxyType({}),
)
