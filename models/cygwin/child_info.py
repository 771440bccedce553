"""child_info: what a parent tells its child in lpReserved2 of CreateProcess.

Numbers only: handles are valid in the child because it inherited them, addresses because the heap
is at the same place.  Windows copies the structure when the child is created; later changes in the
parent do not reach it.

Source: child_info.h of trees 4abaaac33 and aa9d50a1c; names of words 5 and 7 as in the call logs.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

NO_CYGPID = 1  # of a child that takes over no pid, seen in the logs


class ChildType(Enum):
    """What the child is started for; the DLL's constants 0xaf12f001 to 0xaf12f004."""

    FORK = "FORK"
    EXEC = "EXEC"
    SPAWN = "SPAWN"


class ChildInfo(NamedTuple):
    """Every field is *input* of the child. Handles are 0 where there is none.

    cygpid: Cygwin pid that the child takes over (_P_OVERLAY), else NO_CYGPID
    parent: the parent's process
    pppid_handle: the parent's own parent, which the child inherited by chance
    cygheap, cygheap_max: base and end of the parent's heap
    cygheap_h: section with a copy of it
    moreinfo: address of cygheap_exec_info, argv and environment; 0 for a fork
    heapbase, heap_bytes: the parent's user heap (fork)
    stack_bytes: of the parent's stack that fork copies
    wr_proc_pipe: write end of the pipe by whose end the parent learns of the child's (3.6)
    silent: a fork child that cannot be is not to say why, for it is tried again (3.6)
    hexec: the parent's inheritable handle of itself, which a fork child has for its own execs
    parent_alive: a thread of the parent's, which ends with it (1.1)
    """

    type: ChildType
    cb: int
    cygpid: int
    subproc_ready: int
    parent: int
    pppid_handle: int
    mount_h: int
    cygheap: int
    cygheap_max: int
    cygheap_h: int = 0
    forker_finished: int = 0
    moreinfo: int = 0
    heapbase: int = 0
    heap_bytes: int = 0
    stack_bytes: int = 0
    hexec: int = 0
    wr_proc_pipe: int = 0
    parent_alive: int = 0
    silent: bool = False

    @property
    def takes_over(self) -> bool:
        """Whether the child lives on under its parent's pid: a real exec."""
        return self.type is ChildType.EXEC and self.cygpid != NO_CYGPID

    @property
    def n(self) -> int:
        """Bytes of heap in use when the structure was filled."""
        return self.cygheap_max - self.cygheap
