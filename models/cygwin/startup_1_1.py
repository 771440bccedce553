"""What a Cygwin without a cygheap does before main(): no heap is made, and none is fetched.

The section that all share comes by an inherited handle, and in it the process's record.  What a
parent hands on is in the data that a fork writes, or in lpReserved2 and on the command line.

Source: calls of the logs of 1.1.1 and 1.1.3.  That the two calls after the mutoes ask for the
process's own token is inferred; what the first event is for is not known.
"""

from __future__ import annotations

from collections.abc import Callable

from models.cygwin import children, command_line, early_process, process_table
from models.cygwin.child_fixups import fixup_after_fork
from models.cygwin.child_info import ChildInfo
from models.cygwin.data_table import DataTable, unpacked
from models.cygwin.installation_sections import map_shared, open_or_make
from models.cygwin.process import CygwinProcess
from models.win32.handles import CURRENT_PROCESS
from models.win32.objects import File
from sim.engine import Steps


def _start_up_event(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.k.create_event(p.me, manual=True, is_set=True, role="start-up event")


def _parent_alive(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The parent's thread, from now on under a handle that no child of ours inherits."""
    assert info is not None
    p.h_parent_alive = p.k.duplicate_handle(
        p.me, CURRENT_PROCESS, info.parent_alive, CURRENT_PROCESS, close_source=True
    )


def _shared_records(p: CygwinProcess, info: ChildInfo | None) -> None:
    if info is None:
        p.h_shared = open_or_make(p, "cygwin1.shared", p.version.shared_bytes, "cygwin shared")
    else:
        p.h_shared = info.mount_h
    p.pinfo_view = map_shared(p)


def _pinfo_mutex(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.h_pinfo_mutex = p.k.create_mutex(p.me, name="cygwin1.pinfo_mutex")


def _token(p: CygwinProcess, info: ChildInfo | None) -> None:
    k, me = p.k, p.me
    process = k.open_process(me, me.process.pid)
    token = k.new_handle(me, File("token"), inherit=False)
    for handle in (token, process):
        k.close_handle(me, handle)


def _record(p: CygwinProcess, info: ChildInfo | None) -> Steps:
    """Our record: a new one, or the one that our parent took for us or had itself."""
    if info is None:
        record = yield from early_process.new_record(p)
    else:
        record = process_table.find(early_process.table_of(p), info.cygpid)
        assert record is not None
    p.pinfo, p.pid = record, record.pid
    record.write32(children.WINPID, p.me.process.pid)


def _first_table(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.fds = DataTable()


def _given_table(p: CygwinProcess, info: ChildInfo | None) -> None:
    found = command_line.given(p)
    p.fds, p.directory = unpacked(found.descriptors), found.directory


def _command_line(p: CygwinProcess, info: ChildInfo | None) -> None:
    command_line.take(p)


def _fixups(p: CygwinProcess, info: ChildInfo | None) -> None:
    assert info is not None
    fixup_after_fork(p, info.parent)


def _events_away(p: CygwinProcess, info: ChildInfo | None) -> None:
    """A fork child's two events of the hand-shake, which is over."""
    assert info is not None
    for handle in (info.subproc_ready, info.forker_finished):
        p.k.close_handle(p.me, handle)


CALLS: dict[str, Callable[[CygwinProcess, ChildInfo | None], None]] = {
    "start-up-event": _start_up_event,
    "parent-alive": _parent_alive,
    "shared-records": _shared_records,
    "pinfo-mutex": _pinfo_mutex,
    "token": _token,
    "first-table": _first_table,
    "given-table": _given_table,
    "command-line": _command_line,
    "fixups": _fixups,
    "events-away": _events_away,
}
STEPS: dict[str, Callable[[CygwinProcess, ChildInfo | None], Steps]] = {"record": _record}
