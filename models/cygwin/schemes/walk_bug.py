"""The tree of one day: the list heads have moved into the heap, the walk has not been mended.

The walk takes the last block of a free list, whose link is 0, for one in use with bucket 0, and
frees it a second time.  While the heads lay in the DLL's data, list 0 was thrown away with them;
from 4ce15a498 on an exec'ed child inherits it.  The heap is handed over as in 1.3.3.

2001-09-06, from 03:39 (4ce15a498) to 18:06 (b2bfade32); in no release.
Source: Cygwin tree 128f2650a (CYGWIN.md §0 C, §b2, §b3); that its calls are 1.3.3's is assumed.
"""

from __future__ import annotations

from dataclasses import replace

from models.cygwin.cygheap import layout
from models.cygwin.schemes.shared_memory_1_3_3 import SharedMemory133


class WalkBug(SharedMemory133):
    """As 1.3.3, with the heap of era C."""

    name = "2001-09-06"
    since = "2001-09-06"
    until = "2001-09-06"
    summary = "as 1.3.3, but the walk frees the last block of a free list once more"
    version = replace(SharedMemory133.version, name="2001-09-06", era=layout.C)


SCHEME = WalkBug()
