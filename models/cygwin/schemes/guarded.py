"""A scheme once more with a guard against what nothing guarded: another thread's allocation.

Three guards, each a line or two of the release's own code (`heap_guard.py`, `section_transfer.py`):

* `held`: the heap lock from before the end of the heap is noted or copied until the parent has
  handed everything over.
* `stored`: the end of the heap is copied with it, in a word of its header, and the child believes
  that one.  It needs something that is copied by the parent: a section.
* `read`: the heap lock until the child has read.  A parent that does not wait for its child, as in
  the spawn modes since 1.3.3, has to wait then.

No release of 2001 had any of them; `read` came in 2025 (3.6.5).
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from models.cygwin import schemes
from models.cygwin.cygheap.heap import early
from models.cygwin.protocol import Scheme
from models.cygwin.schemes.blocking import Blocking
from models.cygwin.version import CHILD_HAS_READ, HANDED_OVER, Version

NONE, HELD, STORED, READ = "none", "held", "stored", "read"
GUARDS = (NONE, HELD, STORED, READ)


def guards_of(name: str) -> tuple[str, ...]:
    """The guards that a scheme can have: without a section nothing can be stored in it."""
    if isinstance(schemes.get(name), Blocking):
        return tuple(guard for guard in GUARDS if guard != STORED)
    return GUARDS


def guarded(name: str, guard: str) -> Scheme:
    """The scheme of that name with a guard. Raises KeyError, ValueError for one it cannot have."""
    scheme = schemes.get(name)
    if guard not in guards_of(name):
        raise ValueError(f"guard ({guard}) must be one of {', '.join(guards_of(name))}")
    if guard == NONE:
        return scheme
    mine = copy(scheme)
    mine.version = _version(scheme.version, guard)
    return mine


def _version(version: Version, guard: str) -> Version:
    if guard == HELD:
        return replace(version, heap_guard=HANDED_OVER)
    if guard == READ:
        return replace(version, heap_guard=CHILD_HAS_READ)
    era = early(version.era)
    longer = replace(
        era,
        header_bytes=era.header_bytes + era.word_bytes,
        cygheapsize=era.cygheapsize + era.word_bytes,
    )
    return replace(version, era=longer, heap_end_stored=True)
