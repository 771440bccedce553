"""child_info of logs that tell less of it: 1.5.18 and 1.7.7.

The log names the event of subproc_ready by a lower-case name behind a question mark, and says
neither which event is forker_finished nor how much of the stack fork copies.  The event is the last
inheritable one that the thread made before a fork beside subproc_ready; the stack is what lies
above the place that fork asked VirtualQuery about.  1.7.7 makes its events in ntdll and asks
nothing: its event is the one that it sets after it has written the stack, and that is as large as
what it writes.

Source: the logs of 1.5.18 beside those of 1.3.x, whose child_info tells it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.cygwin.call_log import Call

SOME_STACK_BYTES = 4096  # of a fork that is not seen to copy its stack: it has one -- chosen
_UNSURE = re.compile(r"\?e([0-9]+)")


def complete(calls: Sequence[Call]) -> None:
    """Fill in, in place, what follows from the calls before each creation."""
    events: dict[str, list[str]] = {}
    stacks: dict[str, int] = {}
    for i, call in enumerate(calls):
        args = call.args
        if call.api == "CreateEvent" and args["inherit"]:
            events.setdefault(call.tid, []).append(str(args["h"]))
        elif call.api == "VirtualQuery":
            stacks[call.tid] = _above(args)
        info = args.get("child_info") if call.api == "CreateProcess" else None
        if info and "cygpid" not in info:
            _complete(info, events.get(call.tid, []), stacks.get(call.tid, 0))
            if str(info["type"]) == "FORK" and "forker_finished" not in info:
                later = calls[i + 1 :]
                _from_what_follows(info, [one for one in later if one.tid == call.tid])


def _from_what_follows(info: dict[str, object], later: Sequence[Call]) -> None:
    """What a fork of 1.7.7 writes after CreateProcess, and the event that it sets then."""
    size = 0
    for call in later:
        if call.api == "CreateProcess" and call.phase == "call":
            return
        if call.api == "WriteProcessMemory":
            size = size or call.args["size"]
            info["stack_bytes"] = size
        elif call.api == "SetEvent" and size:
            info["forker_finished"] = call.args["h"]
            return


def _complete(info: dict[str, object], events: list[str], stack_bytes: int) -> None:
    found = _UNSURE.fullmatch(str(info.get("subproc_ready")))
    if found:
        info["subproc_ready"] = f"E{found[1]}"
    if str(info["type"]).startswith("FORK"):
        others = [event for event in events if event != info["subproc_ready"]]
        if found and others:
            info["forker_finished"] = others[-1]
        info.setdefault("stack_bytes", stack_bytes or SOME_STACK_BYTES)


def _above(args: dict[str, object]) -> int:
    """Bytes from a place that was asked about to the end of its region."""
    values = [args.get(key) for key in ("addr", "base", "region")]
    numbers = [value for value in values if isinstance(value, int)]
    return numbers[1] + numbers[2] - numbers[0] if len(numbers) == len(values) else 0
