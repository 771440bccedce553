"""The first cygheap, September 2000: at a fixed address, read out of a parent that does not wait.

The child reads the heap out of its parent as in `blocking.py`, and a fork and an exec wait for it
as they do there.  A spawn does not: that came on 2000-10-14 (aece55b98).  So a program without the
DLL holds nobody, and a Cygwin child of a spawn reads from a parent that has freed the arguments, or
is gone.

    2000-09-03  b0e82b74f  the heap is at 0x12010000 in every process; no walk ever frees anything
    2000-09-11  9149d76e5  the system chooses the address
    2000-09-30  8d82847a2  blocks are chained and tagged; the walk frees an older generation

Until 2000-10-14.  None of these was looked at in a log; the calls of 1.1.3, which has no cygheap,
show that an exec waited by then.

Source: CYGWIN.md §0, §a2, §a8, §d.  Assumed: that calls and header are otherwise those of the tree
of 2001-06-19, that 1000 fhandlers of its size and 128 KiB make CYGHEAPSIZE, and blocks: the real
ones had 4 bytes in front of them where these have 8, until 2000-09-30; and that malloc had the 128
MiB between the shared region and the heap.
"""

from __future__ import annotations

from dataclasses import replace

from models.cygwin.cygheap import layout
from models.cygwin.protocol import P_OVERLAY
from models.cygwin.schemes.blocking import Blocking
from models.cygwin.version import Version

_FHANDLERS, _MORE_BYTES = 1000, 128 << 10
_ERA = replace(
    layout.A, commit_id="b0e82b74f", search_slack_bytes=0,
    cygheapsize=layout.A.header_bytes + _FHANDLERS * 1248 + _MORE_BYTES,
)  # fmt: skip
# The fixed address is where malloc's space ends if that has 128 MiB behind the shared region.
_USER_HEAP_BYTES = 0x12010000 - 0xA010000
_WALKS = replace(Blocking.version, era=_ERA, user_heap_reserve_bytes=_USER_HEAP_BYTES)
_KEEPS_ALL = replace(
    _WALKS, exec_startup=tuple(word for word in _WALKS.exec_startup if word != "walk")
)


class FirstHeap(Blocking):
    """As before 1.3.3, but that only fork and exec wait."""

    loses_spawned = True

    def __init__(self, name: str, since: str, until: str, summary: str, version: Version) -> None:
        self.name, self.since, self.until, self.summary = name, since, until, summary
        self.version = replace(version, name=since)

    def waits(self, mode: str) -> bool:
        """Whether the caller waits until the child has the heap."""
        return mode == P_OVERLAY


FIXED = FirstHeap(
    "fixed-2000", "2000-09-03", "2000-09-11",
    "the first heap: at 0x12010000, nothing waits but fork and exec, nothing is freed",
    replace(_KEEPS_ALL, heap_address=0x12010000),
)  # fmt: skip
CHOSEN = FirstHeap(
    "2000-09-11", "2000-09-11", "2000-09-30",
    "as fixed-2000, but the system chooses the heap's address", _KEEPS_ALL,
)  # fmt: skip
TAGGED = FirstHeap(
    "2000-09-30", "2000-09-30", "2000-10-14",
    "as fixed-2000, but the system chooses the address, and old arguments are freed", _WALKS,
)  # fmt: skip
HEAPS = (FIXED, CHOSEN, TAGGED)
