"""Handles of a thread that children inherit, by the thread's own name: logs of 1.1.1 and 1.1.3.

Their children hear of their parent's end from a thread of it, whose handle they inherit.  The log
saw nobody make that handle, and calls the object by the handle's value.  Which thread it is follows
from what the parent closes under that value, and through a stub that hands the handle on.

A value above any handle's is no handle: the child's variable was being written over by its parent
when the log looked at it.  Of such a name nothing is known.

Source: logs of 1.1.1 and 1.1.3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.cygwin.call_log import Call

_HIGHEST = 0xFFFF  # handle value of a process of that time
_CLOSES_SOURCE = 1  # DUPLICATE_CLOSE_SOURCE


def name_threads(calls: Sequence[Call]) -> None:
    """Put the threads' names in place of handle values. Changes the arguments in place."""
    if not any(_is_early(call) for call in calls):
        return
    tables = _own_threads(calls)  # process -> handle value -> thread
    aliases: dict[str, dict[str, str]] = defaultdict(dict)
    for call in calls:
        args = call.args
        if call.api == "CreateProcess" and args.get("child"):
            tables[args["child"]].update(tables[call.pid])
        elif call.api == "DuplicateHandle" and str(args["src"]).startswith("?"):
            _follow(call, tables[call.pid], aliases[call.pid])
        known = aliases[call.pid]
        for key in ("h", "src", "woke"):
            if isinstance(args.get(key), str):
                args[key] = _named(args[key], known)
        if "hs" in args:
            args["hs"] = [_named(obj, known) for obj in args["hs"]]


def _is_early(call: Call) -> bool:
    info = call.args.get("child_info")
    return isinstance(info, dict) and "parent" not in info and "cygheap" not in info


def _own_threads(calls: Sequence[Call]) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for call in calls:
        name = str(call.args.get("h"))
        if call.api == "CloseHandle" and name.endswith(".thread") and name.startswith(call.pid):
            found[call.pid][call.args["hv"]] = name
    return found


def _follow(call: Call, table: dict[int, str], known: dict[str, str]) -> None:
    """A duplicate of such a handle in the process itself."""
    args = call.args
    if args["src_proc"] != args["dst_proc"]:
        return
    thread = table.get(args["src_hv"])
    if thread is not None:
        known[args["src"]] = table[args["dst_hv"]] = thread
    elif args.get("options", 0) & _CLOSES_SOURCE:
        known[args["src"]] = "0x" + args["src"][1:]  # nobody closed it


def _named(name: Any, known: dict[str, str]) -> Any:
    if not isinstance(name, str) or not name.startswith("?"):
        return name
    value = name[1:]
    is_address = value.isalnum() and len(value) > len(f"{_HIGHEST:x}")
    return known.get(name, f"0x{value}" if is_address else name)
