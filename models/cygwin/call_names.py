"""Which process of a log is which: names that come back, and processes of other runs.

In a reduced log a process can have the name of an earlier one, because its Windows pid had it.
Such a log is one chain of execs: of a caller nothing is kept after its CreateProcess.  So from the
answer of CreateProcess on, the name of a child that was met before is that of a new process; what a
child reads from is the process that made it.

Source: logs `chain-*` of 1.5.18 and 1.7.7, where pids come back after some 160 execs, and
`sock-fork` of 1.5.18, which has a program of the run before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.cygwin.call_log import Call

_STARTS = ("#process_start", "#native_start")


def told_apart(calls: Iterable[Call]) -> Iterator[Call]:
    """The same calls with a name of its own for each process."""
    now: dict[str, str] = {}  # name in the log -> name of who has it now
    makers: dict[str, tuple[str, str]] = {}  # name now -> its maker's in the log and now
    for call in calls:
        me = now.setdefault(call.pid, call.pid)
        names: Mapping[str, str] = now
        made, info = call.args.get("child"), call.args.get("child_info")
        if isinstance(made, str) and call.phase == "return":
            now = {**now, made: f"{made}'{len(makers)}" if made in now else made}
            makers[now[made]] = (call.pid, me)
            names = now
        elif me in makers and call.api == "ReadProcessMemory":
            in_log, maker = makers[me]
            unknown = str(call.args["h"]).startswith("?")
            names = {**now, str(call.args["h"]) if unknown else in_log: maker + unknown * ".proc"}
        elif info and str(info.get("parent")).startswith("0x"):
            info["parent"] = f"{call.pid}.proc"
        args = {key: _named(value, names) for key, value in call.args.items()}
        thread = call.tid[len(call.pid) :] if me == call.pid else ".t1"  # it has no other
        yield call._replace(pid=me, tid=me + thread, args=args)


def _named(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _named(one, names) for key, one in value.items()}
    if not isinstance(value, str):
        return value
    name, dot, rest = value.partition(".")
    return names.get(name, name) + dot + rest if dot or name in names else value


def without_bystanders(calls: list[Call]) -> list[Call]:
    """The calls without those of a native program that an earlier run had left behind.

    Nobody in the log made it, it makes nobody, and a first process of Cygwin's comes after it.
    """
    starts = {call.pid: call.api for call in reversed(calls) if call.api in _STARTS}
    made = {call.args.get("child") for call in calls if call.api == "CreateProcess"}
    makers = {call.pid for call in calls if call.api == "CreateProcess"}
    alone = starts.keys() - made - makers
    first = any(starts[pid] == "#process_start" for pid in starts.keys() - made)
    gone = {pid for pid in alone if first and starts[pid] == "#native_start"}
    return [call for call in calls if call.pid not in gone] if gone else calls
