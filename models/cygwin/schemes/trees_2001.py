"""Trees of the summer of 2001, between the old hand-over and release 1.3.3: five of them.

The heap is handed over as in 1.3.3 from 2001-07-17 on: in a section, before CreateProcess, and no
spawn waits.  What changed until September changes answers all the same: where the first process
has its heap, whether 98 can put a section where the parent has its heap, how large a block is made,
and that the list heads still lie in the DLL's data, so that an exec loses what was free.

    2001-07-17  5457dfcb8  the heap of a first process is a view of a section, too; no way on 9x
    2001-07-18  16828fc5d  sizes of blocks are searched with 8 bytes of slack, unsigned
    2001-08-04  e5ba4c060  heap reserved by VirtualAlloc again; on 9x the section is copied
    2001-08-20  b1d0b9073  NT: the first process's heap in a section again
    2001-08-31  5835f2cf8  the heap has a fixed address behind the DLL

On 2001-09-06 the list heads move into the heap (`walk_bug.py`).  None of these was released.

Source: CYGWIN.md §0, §a2, §a3, §c1, §d.  Assumed: that their calls are otherwise 1.3.3's; the words
of a child that finds no place on 9x; that what `_P_VFORK` and vfork do is 1.3.3's; the address of
the last is 1.3.3's.
"""

from __future__ import annotations

from dataclasses import replace

from models.cygwin.child_info import ChildInfo
from models.cygwin.cygheap import layout
from models.cygwin.errors import ApiFatal
from models.cygwin.process import CygwinProcess
from models.cygwin.schemes.shared_memory_1_3_3 import SharedMemory133
from models.cygwin.version import Version
from models.win32.errors import Win32Error
from sim.engine import Steps

_SLACK_8 = replace(layout.A, commit_id="16828fc5d", search_slack_bytes=8, search_signed=False)
_TREE = replace(SharedMemory133.version, era=_SLACK_8, heap_address=0)


class SectionTree(SharedMemory133):
    """As 1.3.3, with the heap of a first process where that day put it."""

    def __init__(
        self, since: str, until: str, summary: str, version: Version, on_9x: bool = True
    ) -> None:
        self.name, self.since, self.until, self.summary = since, since, until, summary
        self.version = replace(version, name=since)
        self.on_9x = on_9x

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        """cygheap_fixup_in_child: at first a section could only be mapped. Runs in the child."""
        if self.on_9x:
            return super().child_side(p, info)
        return self._mapped(p, info)

    def _mapped(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        try:
            region = p.k.map_view_of_file_ex(p.me, info.cygheap_h, info.cygheap, "cygheap")
        except Win32Error as error:
            raise ApiFatal(
                f"Couldn't reserve space for cygwin's heap (0x{info.cygheap:X}) in child, "
                f"Win32 error {error.code}"
            ) from error
        p.k.close_handle(p.me, info.cygheap_h)
        assert region.memory is not None
        p.attach_heap(region.memory, info.cygheap, info.n)
        yield from ()


I1 = SectionTree(
    "2001-07-17", "2001-07-18", "the first section: no child on 98 finds its place",
    replace(_TREE, era=layout.A, first_heap_in_section=("nt", "9x")), on_9x=False,
)  # fmt: skip
I2 = SectionTree(
    "2001-07-18", "2001-08-04", "as the day before, with larger blocks",
    replace(_TREE, first_heap_in_section=("nt", "9x")), on_9x=False,
)  # fmt: skip
I3 = SectionTree(
    "2001-08-04", "2001-08-20", "as 1.3.3, but the system places the heap, and execs lose blocks",
    _TREE,
)  # fmt: skip
I4 = SectionTree(
    "2001-08-20", "2001-08-31", "as before; on NT a first process's heap is a view of a section",
    replace(_TREE, first_heap_in_section=("nt",)),
)  # fmt: skip
I5 = SectionTree(
    "2001-08-31", "2001-09-06", "as 1.3.3, but an exec loses what was free in its heap",
    replace(_TREE, heap_address=SharedMemory133.version.heap_address),
)  # fmt: skip
TREES = (I1, I2, I3, I4, I5)
