"""A chain of execs in the 64-bit heap of 3.6, for questions that are asked of every era.

It takes the argument sets of `exec_chain` and has its interface; what a set becomes in the heap is
`modern_chain`'s.  The set of 2001 lacks WINDIR, which the DLL adds.

What must stay true: with the constant set every `cygheap_max` is that of golden trace h07 of era M,
untagged that of h08.
"""

from __future__ import annotations

from collections.abc import Callable

from models.cygwin.arguments import Arguments
from models.cygwin.cygheap.heap import Heap, early
from models.cygwin.cygheap.heap_layout import HeapLayout
from models.cygwin.cygheap.modern_chain import Request, allocate, first_heap
from models.cygwin.cygheap.modern_layout import ModernEra
from models.cygwin.exec_chain import OLD_APPLICATION, TAGGED, TAGS, ExecChain

WINDIR = b"WINDIR=C:\\WINNT"  # which 3.6 adds where it is missing, MODERN.md §5


def request_of(arguments: Arguments, tagged: bool = True) -> Request:
    """The lengths of a set of 2001, with what the DLL adds."""
    argv, env = (tuple(map(len, part)) for part in (arguments.argv, arguments.env))
    return Request(argv, env, (len(WINDIR),), tagged)


class ModernExecChain:
    """The heap of one line of descent, image after image.

    heap: of the current image -- state
    execs: how many were completed -- state
    """

    def __init__(self, era: ModernEra, tag: str = TAGGED) -> None:
        if tag not in TAGS:
            raise ValueError(f"tag ({tag}) must be one of {', '.join(TAGS)}")
        self.heap = first_heap(era)
        self.execs = 0
        self._tag = tag

    def exec(
        self, arguments: Arguments, before_snapshot: Callable[[Heap], None] | None = None
    ) -> int:
        """One exec; cygheap_max - base that the child got [bytes].

        `before_snapshot` is what the parent still does between the argument set and the transfer.
        Raises HeapFatal (the reserve is gone), AccessViolation or EndlessWalk (a damaged heap).
        """
        passed = allocate(self.heap, request_of(arguments, self._tag == TAGGED))
        if before_snapshot is not None:
            before_snapshot(self.heap)
        handed = self.heap.max
        self.heap = self.heap.child()
        self.heap.walk(True)
        self.heap.cfree(passed.env_vector)
        if self._tag == OLD_APPLICATION:
            self.heap.cfree_many(passed.env)
        self.execs += 1
        return handed


def chain_of(era: HeapLayout, tag: str = TAGGED) -> ExecChain | ModernExecChain:
    """A chain of execs in a heap of that era."""
    if isinstance(era, ModernEra):
        return ModernExecChain(era, tag)
    return ExecChain(early(era), tag)
