"""A process of a Cygwin without a cygheap among the others: its record, its children, its end.

Records lie in the section that all processes share (`process_table.py`), under a mutex.  A child
knows whether its parent is there by a handle of a thread of the parent's, wait_subproc, which it
inherits: the thread ends when the process does, or when its image has made room for another one.
So a record is freed by whoever waits for the process, or by the process itself if nobody can.

Source: order of calls from the logs of 1.1.1 and 1.1.3.  Assumed: that the mutex is taken for
nothing else, who frees a record, and that the root of a chroot stands in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.cygwin import children
from models.cygwin.children import Child
from models.cygwin.errors import TryAgain
from models.cygwin.process_table import PPID, ROOT_BYTES, Record, allocate, find
from models.cygwin.version import JOIN_MS, MAX_CHILDREN
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.waits import WAIT_TIMEOUT

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess
    from models.win32.memory import Memory
    from sim.engine import Steps

LOCK_MS = 10_000  # how long a process waits for the mutex, its logs


def table_of(p: CygwinProcess) -> Memory:
    """The section that all share, as this process has it mapped."""
    memory = p.pinfo_view.memory
    assert memory is not None
    return memory


def record_of(p: CygwinProcess) -> Record:
    """The process's own record."""
    assert isinstance(p.pinfo, Record)
    return p.pinfo


def new_record(p: CygwinProcess) -> Steps:
    """The record of a process that is to be made, which takes over our root. Raises TryAgain."""
    yield from _lock(p)
    record = allocate(table_of(p))
    yield from p.k.release_mutex(p.me, p.h_pinfo_mutex)
    if record is None:
        raise TryAgain("no free record in the table of processes")
    if p.pid:
        record.write32(PPID, p.pid)
        record.root = record_of(p).root
    return record


def register(p: CygwinProcess, h_process: int, winpid: int, record: Record) -> Steps:
    """Tell wait_subproc of a child whose process exists; nobody hears of one beyond 62."""
    if sum(not child.zombie for child in p.children) >= MAX_CHILDREN:
        record.write32(PPID, 0)
        return
    record.write32(children.WINPID, winpid)
    record.write32(children.H_PROCESS, h_process)
    p.children.append(Child(record.pid, h_process, h_process, 0, p.pinfo_view, record=record))
    yield from p.k.set_event(p.me, p.wake_children)


def parent_lives(p: CygwinProcess) -> Steps:
    """Whether the parent is there to hear of our end: its thread runs, and knows of us."""
    if not p.h_parent_alive:
        return False
    waited = yield from p.k.wait_for_single_object(p.me, p.h_parent_alive, 0)
    return waited == WAIT_TIMEOUT and record_of(p).read32(PPID) != 0


def give_to_parent(p: CygwinProcess, h_process: int) -> Steps:
    """The end of an exec: the parent gets a handle of the new image, by our record.

    Runs in the stub, whose parent lives.
    """
    k, me, record = p.k, p.me, record_of(p)
    parent = find(table_of(p), record.read32(PPID))
    assert parent is not None
    h_parent = k.open_process(me, parent.read32(children.WINPID))
    record.write32(children.H_PROCESS, k.duplicate_handle(me, CURRENT_PROCESS, h_process, h_parent))
    k.close_handle(me, h_parent)
    yield from ()


def stop_children(p: CygwinProcess) -> Steps:
    """proc_terminate: end wait_subproc; what has ended is over, what lives is alone from now on."""
    k, me = p.k, p.me
    if not p.wake_children:
        return
    yield from k.set_event(me, p.wake_children)
    p.exiting = True
    yield from k.wait_for_single_object(me, p.h_wait_subproc, JOIN_MS)
    k.close_handle(me, p.h_wait_subproc)
    p.wake_children = p.h_wait_subproc = 0
    yield from _lock(p)
    for child in p.children:
        k.close_handle(me, child.h_process)
        if child.zombie and child.record is not None:
            child.record.free()
    p.children.clear()
    yield from k.release_mutex(me, p.h_pinfo_mutex)


def leave(p: CygwinProcess, code: int) -> Steps:
    """exit() without the closing of files; does not return."""
    if p.installation.watch is not None:
        p.installation.watch.ending(p)
    yield from stop_children(p)
    p.k.close_handle(p.me, p.h_mutex)
    if not (yield from parent_lives(p)):
        record_of(p).free()
    yield from let_go(p, code)


def let_go(p: CygwinProcess, code: int) -> Steps:
    """The very end: the shared section, and the process; does not return."""
    p.k.close_handle(p.me, p.h_shared)
    yield from p.k.exit_process(p.me, code)


def kill(p: CygwinProcess, pid: int, signal: int) -> Steps:
    """kill() by a signal that ends a process: whether there is such a process (assumed calls)."""
    k, me = p.k, p.me
    record = find(table_of(p), pid)
    if record is None:
        return False
    record.write32(children.SIGNAL, signal)
    try:
        sigcatch = k.open_semaphore(me, children.sigcatch_name(record.read32(children.WINPID)))
    except Win32Error:
        return True  # it has ended, and nobody has waited for it yet
    yield from k.release_semaphore(me, sigcatch)
    k.close_handle(me, sigcatch)
    return True


def chroot(p: CygwinProcess, name: bytes) -> None:
    """chroot() by the POSIX name; `/` lifts it. Raises ValueError for a longer name."""
    if len(name) >= ROOT_BYTES:
        raise ValueError(f"root ({len(name)} characters) must have at most {ROOT_BYTES - 1}")
    record_of(p).root = b"" if name == b"/" else name


def root_of(p: CygwinProcess) -> bytes:
    """The POSIX name of the root, b"/" where there was no chroot."""
    return record_of(p).root or b"/"


def _lock(p: CygwinProcess) -> Steps:
    yield from p.k.wait_for_single_object(p.me, p.h_pinfo_mutex, LOCK_MS)
