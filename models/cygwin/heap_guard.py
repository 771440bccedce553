"""The cygheap between a program's threads: who may change it while a child is being made.

Every allocation takes the heap's lock for itself (in 2001 cygheap_protect), and so does the copying
into a section.  That guards the bytes, not the time between two of them: a creation notes the end
of the heap at one moment and has the heap copied at another.  A guard holds the lock over both.

What must stay true: a program without threads of its own pays what it owes where it always did, so
that nothing here changes when its calls happen.  An allocation, a free and a copy are each there or
not; one that is half done is never seen.

Source: cygheap.cc of aa9d50a1c (CYGWIN.md §a7, §c1); MODERN.md §6.4.  Assumed: a lock costs nothing
more where nobody else has it, and its oldest waiter is first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from models.cygwin import children, heap_place
from models.cygwin.version import UNGUARDED
from sim.engine import NOTHING

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess
    from models.win32.thread import Thread
    from sim.engine import Steps


ALLOCATION_US = 0.027  # with the lock, CYGWIN.md §g 10: 21 to 27 ns on a machine of today


def start_thread(p: CygwinProcess, start: Callable[[Thread], Steps], role: str) -> Steps:
    """A thread of the program itself. Runs in the main thread; the thread's handle."""
    p.has_threads = True
    return (yield from children.make_thread(p, start, role))


def allocate(p: CygwinProcess, thread: Thread, kind: int, n: int) -> Steps:
    """cmalloc() in another thread than the main one: the user address. Raises HeapFatal."""
    thread.debt_us += ALLOCATION_US  # so that it needs a processor for it
    yield from p.heap_lock.acquire(p.k, thread)
    heap = p.heap
    before, heap.commit = heap.commit, heap_place.committer(p, heap.base, thread)
    try:
        return heap.cmalloc(kind, n)
    finally:
        heap.commit = before
        p.heap_lock.release(p.k, thread)


# NOTE: for speed: those that have nothing to do are no generators; a creation calls nine of them


def meet(p: CygwinProcess) -> Steps:
    """Be as late as the calls have made it, where another thread could notice. Main thread."""
    return p.k.settle(p.me) if p.has_threads else NOTHING


def enter(p: CygwinProcess) -> Steps:
    """Take the lock for what copies the heap: whether it was free to take. Main thread."""
    if not p.has_threads or p.heap_lock.owner is p.me:
        return meet(p)
    return _taken(p)


def _taken(p: CygwinProcess) -> Steps:
    yield from p.heap_lock.acquire(p.k, p.me)
    return True


def leave(p: CygwinProcess, taken: bool) -> Steps:
    """The end of what `enter` began. Main thread."""
    return _given_back(p) if taken else meet(p)


def _given_back(p: CygwinProcess) -> Steps:
    yield from meet(p)
    p.heap_lock.release(p.k, p.me)


def hold(p: CygwinProcess) -> Steps:
    """The heap's end is about to be noted: take the lock if the release guards it. Main thread."""
    if p.version.heap_guard == UNGUARDED:
        return meet(p)
    return p.heap_lock.acquire(p.k, p.me)


def reached(p: CygwinProcess, what: str) -> Steps:
    """The creation has come to what the guard lasts until: let the lock go. Main thread."""
    return _past(p) if p.version.heap_guard == what else NOTHING


def _past(p: CygwinProcess) -> Steps:
    yield from meet(p)
    drop(p)


def drop(p: CygwinProcess) -> None:
    """Let the lock go if the main thread has it: after its time, or after a failure."""
    if p.heap_lock.owner is p.me:
        p.heap_lock.release(p.k, p.me)
