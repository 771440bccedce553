"""What the heaps of ending processes hold: their bytes, and the garbage in them.

Looking changes nothing.  Processes of one workload end with the same heap again and again, so what
was found in one is kept for the next that has the same bytes and is referred to alike.
"""

# NOTE: for speed. In configure-hello 59 of 100 heaps were seen before; one of those takes 25 us
# instead of 150.

from __future__ import annotations

from array import array

import numpy as np

from models.cygwin.arguments import argv_of
from models.cygwin.cygheap.audit import Addresses, Chain, committed_bytes
from models.cygwin.cygheap.audits import garbage_in
from models.cygwin.cygheap.effects import Content
from models.cygwin.process import CygwinProcess

_MOST_BYTES = 32 << 20  # kept of heaps that were seen; then all of it is forgotten
_MOST_CHAINS = 512


class ExitAudit:
    """The audit of one run.

    found: (content, top, references, list heads) -> (leaked, pending) -- state
    chains: chains that were followed, by (newest block, top) -- state
    """

    def __init__(self) -> None:
        self._found: dict[tuple[Content, int, bytes, bytes], tuple[int, int]] = {}
        self._found_bytes = 0
        self._chains: dict[tuple[int, int], Chain] = {}

    def look(self, p: CygwinProcess) -> tuple[int, int, memoryview]:
        """Garbage that stays for ever, garbage that coming execs free, and the heap's bytes."""
        heap = p.heap
        content = committed_bytes(heap)
        heads = b"" if heap.buckets is None else array("I", heap.buckets).tobytes()
        key = Content(content), heap.max, references(p), heads
        found = self._found.get(key)
        if found is None:
            if len(self._chains) > _MOST_CHAINS:
                self._chains.clear()
            found = garbage_in(heap, content, live_blocks(p), self._chains)
            self._found_bytes += len(content)
            if self._found_bytes > _MOST_BYTES:
                self._found.clear()
                self._found_bytes = len(content)
            self._found[key] = found
        return *found, memoryview(content)[: heap.max]


def references(p: CygwinProcess) -> bytes:
    """What refers to blocks of the heap from outside: exec information, argv, environment."""
    return array("Q", [p.exec_info, p.argv]).tobytes() + p.environment_words()


def live_blocks(p: CygwinProcess) -> Addresses:
    """User addresses of all heap blocks that the process still refers to. Shape (n,)."""
    heap = p.heap
    word = heap.word
    live = p.fds.blocks()
    live += [word(offset) for offset in heap.era.block_words]
    if p.exec_info:
        live.append(p.argv)
        live += argv_of(heap, p.exec_info, p.argv)
        live += p.environment()
    return np.frombuffer(array("q", live), np.int64)
