"""The rows of a simulated run in the form of a call log, so that both can be held side by side.

Objects are the kernel objects themselves, a process's name is its process object, a thread's its
number.  child_info, which a parent hands over as plain numbers, gets its handles resolved against
the handle table that the parent had then.
"""

from __future__ import annotations

from typing import Any

from models.cygwin.call_log import Call
from models.cygwin.child_info import ChildInfo
from models.cygwin.images import is_cygwin
from models.win32.errors import ERROR_ALREADY_EXISTS, ERROR_INVALID_ADDRESS
from models.win32.kernel import Kernel
from sim.trace import Row

_HANDLES = ("subproc_ready", "parent", "pppid_handle", "mount_h", "cygheap_h", "forker_finished")
_OWN = ("begin", "end")  # brackets of Cygwin's own functions


def calls_of(kernel: Kernel) -> list[Call]:
    """The calls of a traced run, by time; those of one thread in the order they were made."""
    rows = [row for row in kernel.trace.calls or () if row.phase not in _OWN]
    order = sorted(range(len(rows)), key=lambda i: rows[i].t_us)
    return [_call(kernel, place, rows[i]) for place, i in enumerate(order, 1)]


def _call(kernel: Kernel, number: int, row: Row) -> Call:
    process = kernel.processes[row.pid]
    args = dict(row.args)
    error = 0
    if row.name == "CreateProcess" and row.phase == "call":
        info, handles = args.get("child_info"), args.pop("handles", {})
        args["child_info"] = _info(kernel, info, handles) if info is not None else None
    elif row.name == "CreateProcess":
        args["hproc"], args["hthread"] = args["child"], args.pop("thread")
    elif row.name == "CreatePipe":
        args["read"], args["write"] = args.pop("r"), args.pop("w")
    elif row.name == "CreateThread":
        args["new_tid"] = args["h"].tid
    elif row.name == "CreateFileMapping" and args.get("existed"):
        error = ERROR_ALREADY_EXISTS
    elif row.name in ("MapViewOfFileEx", "VirtualAlloc") and not args["ret"]:
        error = ERROR_INVALID_ADDRESS
    elif row.name == "WSADuplicateSocket":
        args["target"] = kernel.processes[args["target"]]
    elif row.name == "WSASocket":
        error = args.get("err", 0)
    name = row.name
    if name == "#process_start" and not is_cygwin(process.image):
        name = "#native_start"
    return Call(number, process, row.tid, name, row.phase, args, error, row.t_us)


def _info(kernel: Kernel, info: ChildInfo, handles: dict[int, Any]) -> dict[str, Any]:
    """child_info with objects in place of handles; 0 where there is none."""
    found: dict[str, Any] = info._asdict()
    for key in _HANDLES:
        found[key] = handles.get(found[key], 0)
    found["type"] = info.type.value
    found["n"] = info.n
    return found
