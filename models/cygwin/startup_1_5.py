"""What 1.5.18 does otherwise before main(): terminals, the word to the parent, a mutex or two.

A child of exec tells its parent from its main thread, as soon as it has its pinfo.  A fork child
lets its parent go only after its signal thread runs.

Source: calls of the logs of 1.5.18; what each object is for: dcrt0.cc of 2005-07.
"""

from __future__ import annotations

from collections.abc import Callable

from models.cygwin import children, exec_pipe, signal_pipe
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.process import CygwinProcess
from sim.engine import Steps

_EXIT_FAULT = 128 + 11  # signal 11, as its logs have it
MTINFO_BYTES = 11_144  # table of the types of message queues, its logs
_NEXT_WORD = 4  # its handle follows that of the shared section in the heap (assumed)


def _shared_section(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The section that all share: inherited, or made or found by name without a word of it."""
    p.h_shared = _inherited(p, info, 0)
    if not p.h_shared:
        p.h_shared, _ = p.k.create_file_mapping(
            p.me, p.version.shared_bytes, inherit=True, name="cygwin1.shared", role="cygwin shared"
        )
    p.k.map_view_of_file_ex(p.me, p.h_shared, 0, "cygwin shared")


def _mtinfo(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    """Another such section; a named mutex guards its first use."""
    k, me = p.k, p.me
    handle = _inherited(p, info, _NEXT_WORD)
    if not handle:
        handle, _ = k.create_file_mapping(
            me, MTINFO_BYTES, inherit=True, name="cygwin1.mtinfo", role="mtinfo"
        )
        p.heap.memory.write32(p.heap.era.shared_offset + _NEXT_WORD, handle)
    k.map_view_of_file_ex(me, handle, name="mtinfo")
    mutex = k.create_mutex(me, name="cygwin1.mtinfo_mutex")
    yield from k.wait_for_single_object(me, mutex)
    yield from k.release_mutex(me, mutex)
    k.close_handle(me, mutex)


def _inherited(p: CygwinProcess, info: ChildInfo | None, distance: int) -> int:
    return 0 if info is None else p.heap.memory.read32(p.heap.era.shared_offset + distance)


def _tty_mutex(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.h_mutex = p.k.create_mutex(p.me, name="cygwin1.tty_mutex")


def _arrived(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.signal_arrived = p.k.create_event(p.me, manual=True, role="signal_arrived")


def _parent_away(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The parent is closed as soon as its heap was read."""
    assert info is not None
    p.k.close_handle(p.me, info.parent)


def _hexec_kept(p: CygwinProcess, info: ChildInfo | None) -> None:
    """An exec hands on what the caller has for its own execs."""
    if info is not None and info.type is ChildType.EXEC:
        p.h_exec = info.hexec


def _hexec_away(p: CygwinProcess, info: ChildInfo | None) -> None:
    """A fork child makes one of its own when it execs."""
    if info is not None and info.hexec:
        p.k.close_handle(p.me, info.hexec)


def _pid_link(p: CygwinProcess, info: ChildInfo | None) -> None:
    """Under its own Windows pid the new image of an exec points to the pid that it goes on with."""
    assert info is not None
    if info.takes_over:
        k, me = p.k, p.me
        signal_pipe.taken_over(p)
        name = children.pinfo_name(me.process.pid)
        link, _ = k.create_file_mapping(me, p.version.pid_link_bytes, name=name)
        k.map_view_of_file_ex(me, link, name="cygpid link", ex=p.version.pinfo_view_ex)


def _finished_away(p: CygwinProcess, info: ChildInfo | None) -> None:
    assert info is not None
    p.k.close_handle(p.me, info.forker_finished)


def _ready_away(p: CygwinProcess, info: ChildInfo | None) -> None:
    """What else a fork child was given by its parent."""
    assert info is not None
    for handle in (info.subproc_ready, info.parent):
        p.k.close_handle(p.me, handle)


def _ask_signals(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    yield from children.ask_signal_thread(p)


def die_of_fault(p: CygwinProcess) -> Steps:
    """An access violation: signals stop, then as exit() does, with a code that tells the signal."""
    k, me = p.k, p.me
    if p.signal_arrived:
        yield from k.set_event(me, p.signal_arrived)
    yield from p.close_all_files()
    exec_pipe.leave(p, _EXIT_FAULT)
    yield from k.exit_process(me, _EXIT_FAULT)


CALLS: dict[str, Callable[[CygwinProcess, ChildInfo | None], None]] = {
    "shared-section": _shared_section,
    "tty-mutex": _tty_mutex,
    "arrived": _arrived,
    "parent-away": _parent_away,
    "hexec-kept": _hexec_kept,
    "hexec-away": _hexec_away,
    "pid-link": _pid_link,
    "finished-away": _finished_away,
    "ready-away": _ready_away,
}
STEPS: dict[str, Callable[[CygwinProcess, ChildInfo | None], Steps]] = {
    "mtinfo": _mtinfo,
    "ask-signals": _ask_signals,
}
