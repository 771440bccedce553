"""What one side of a comparison knows: where things lie, and which objects are not told of.

Source: CONTRACT §8; what the logs of each DLL have and have not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from models.cygwin.call_lives import CHUNK_BYTES
from models.cygwin.call_log import Call
from models.cygwin.descriptors import CONSOLE
from models.win32.objects import File

CONSOLE_BYTES = (132, 140)  # sections that describe a console, in the releases of the logs
OPENED_MUTEXES = ("tty_mutex", "mtinfo_mutex")  # by whoever needs them first
_HEAP_BYTES = 6 << 20  # more than any CYGHEAPSIZE


@dataclass
class Sight:
    """What one side knows about addresses.

    heap, heap_bytes: the cygheap's place, and as much as was reserved there -- constant
    user_heaps: process -> base of malloc's space -- constant
    looked_at: files that the DLL opened for itself, inherited by nobody, and consoles -- constant
    consoles: sections that describe a console, which the simulator does not have -- constant
    anywhere: views are told without their place, and attempts that failed not at all -- constant
    handed: the sizes of heaps in child_info, where they are told as what they are and not as
        numbers; empty where the numbers are compared -- constant
    untold: words of child_info that one side does not have -- constant
    through_ntdll: the making of objects is not there -- constant
    named: mutexes that any process may have made, by their name -- constant
    views: (process, address) -> (place, section) of each mapping there, by time -- constant
    """

    heap: int
    user_heaps: dict[Any, int] = field(default_factory=dict)
    looked_at: set[Any] = field(default_factory=set)
    anywhere: bool = False
    consoles: set[Any] = field(default_factory=set)
    heap_bytes: int = _HEAP_BYTES
    handed: frozenset[int] = frozenset()
    untold: tuple[str, ...] = ()
    through_ntdll: bool = False
    named: dict[Any, str] = field(default_factory=dict)
    views: dict[tuple[Any, int], list[tuple[int, Any]]] = field(default_factory=dict)

    def view(self, call: Call, address: int) -> Any:
        """The section that was mapped at `address` at the time of the call, or None."""
        mapped = self.views.get((call.pid, address), [])
        return next((obj for place, obj in reversed(mapped) if place < call.place), None)


def sight(calls: Sequence[Call], heap: int) -> Sight:
    """Learn the addresses of a log or run."""
    known = Sight(heap)
    known.looked_at = _looked_at(calls) | _consoles(calls)
    for call in calls:
        args = call.args
        if call.api == "CreateMutex" and str(args.get("name", "")).endswith(OPENED_MUTEXES):
            known.named[args["h"]] = str(args["name"]).rpartition(".")[2]
        elif call.api == "CreateFileMapping" and args["size"] in CONSOLE_BYTES:
            known.consoles.add(args["h"])
        elif (
            call.api == "VirtualAlloc" and args["type"] == "RESERVE" and args["size"] >= CHUNK_BYTES
        ):
            known.user_heaps[call.pid] = args["ret"]
        elif call.api == "VirtualAlloc" and args["type"] == "RESERVE" and args["ret"] == heap:
            known.heap_bytes = args["size"]
        elif call.api in ("MapViewOfFile", "MapViewOfFileEx") and args["ret"]:
            mapped = known.views.setdefault((call.pid, args["ret"]), [])
            mapped.append((call.place, args["h"]))
    return known


def _looked_at(calls: Sequence[Call]) -> set[Any]:
    """Files of the log whose opening it left out, the script that is to be started, say."""
    opened: set[Any] = set()
    closed: set[Any] = set()
    for call in calls:
        if call.api == "CreateFile" and isinstance(call.args["h"], str):
            opened.add(call.args["h"])
        elif call.api == "CloseHandle" and str(call.args["h"]).startswith("F"):
            closed.add(call.args["h"])
    return closed - opened


def _consoles(calls: Sequence[Call]) -> set[Any]:
    """Consoles, which every image opens anew: the simulator keeps the one that it has."""
    opened = [call.args["h"] for call in calls if call.api == "CreateFile"]
    closed = [call.args["h"] for call in calls if call.api == "CloseHandle"]
    return {
        obj for obj in (*opened, *closed)
        if (isinstance(obj, str) and obj.startswith("CON"))
        or (isinstance(obj, File) and obj.what == CONSOLE)
    }  # fmt: skip
