"""A call in plain words, so that one of a log and one of a run can be told apart or found equal.

Every call becomes a name, facts that must be equal, and the objects that it was about, in order;
objects have other names on the two sides and are paired by `call_compare.py`.  Addresses are told
relative to what they lie in, for the system chose where that is.

Left out on both sides, since no request determines them or the simulator does not model them:
VirtualQuery, semaphores, VirtualAlloc in the user heap or outside everything known, the opening of
files, and which of several files is closed first.

Source: CONTRACT §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from models.cygwin.call_lives import CHUNK_BYTES, is_file
from models.cygwin.call_log import Call
from models.cygwin.call_sight import OPENED_MUTEXES, Sight
from models.cygwin.child_info import ChildType
from models.win32.memory import PAGE_BYTES
from models.win32.objects import KernelObject
from models.win32.thread import Process
from models.win32.waits import INFINITE

LEFT_OUT = (
    "VirtualQuery", "CreateSemaphore", "OpenSemaphore", "ReleaseSemaphore", "CreateFile", "Sleep",
    "GetHandleInformation", "SetHandleInformation",
)  # fmt: skip
_FLAGS = {
    0x4: "CREATE_SUSPENDED", 0x8: "DETACHED_PROCESS", 0x20: "NORMAL_PRIORITY_CLASS",
    0x400: "CREATE_UNICODE_ENVIRONMENT", 0x4000000: "CREATE_DEFAULT_ERROR_MODE",
}  # fmt: skip
INFO_OBJECTS = ("subproc_ready", "parent", "pppid_handle", "mount_h", "cygheap_h",
                 "forker_finished")  # fmt: skip
_MADE_IN_NTDLL = (
    "CreateEvent", "CreateMutex", "CreateFileMapping", "OpenFileMapping", "VirtualFree",
    "OpenProcess",
)  # fmt: skip
HANDED = "as handed over"
_OWN_MUTEXES = ("title_mutex", "pinfo_mutex", *OPENED_MUTEXES)
_GUARDS = ("M", "SEM")  # of a log; the simulator has none
_PSEUDO = 0xFFFFFFFE


class Word(NamedTuple):
    """One call. name; facts: (what, value); objects: (role, object), 0 or None for none."""

    name: str
    facts: tuple[tuple[str, Any], ...] = ()
    objects: tuple[tuple[str, Any], ...] = ()
    place: int = 0

    def __str__(self) -> str:
        said = [f"{key}={value}" for key, value in self.facts]
        said += [f"{role} {_name(obj)}" for role, obj in self.objects]
        return f"{self.name}({', '.join(said)})"


def words(calls: Sequence[Call], known: Sight, loose: bool = False) -> list[Word]:
    """The calls of one part of a window in words; files closed in a row become one word.

    `loose` leaves out the heap's growth, as its places are not known.
    """
    said: list[Word] = []
    closed = 0
    calls = [call for call in calls if not _is_left_out(call, known)]
    for call in calls:
        if _closes_file(call, known):
            closed += call.args.get("h", call.args.get("s")) not in known.looked_at
            continue
        nothing = _does_nothing(call) or _closes_guard(call, calls, closed > 0, known)
        word = None if nothing else _word(call, known)
        if word is None or (loose and _grows_heap(word)):
            continue
        if closed:
            said.append(_closed(closed, known, call.place))
            closed = 0
        said.append(word)
    if closed:
        said.append(_closed(closed, known))
    return said


def _closes_unknown(word: Word) -> bool:
    return word.name == "CloseHandle" and any(_is_unknown(obj) for _, obj in word.objects)


def _closed(count: int, known: Sight, place: int = 0) -> Word:
    facts = () if known.through_ntdll else (("count", count),)
    return Word("close files", facts, (), place)


def _unseen_there(call: Call) -> bool:
    """What 1.7.7 does in ntdll, and what hangs on it: the simulated side has its making."""
    if call.api in _MADE_IN_NTDLL:
        return True
    if call.api.startswith("WaitFor"):
        return bool(call.args["hs"] == [None])
    if call.api != "DuplicateHandle":
        return False
    src = call.args["src"]
    return bool(call.error) or (is_file(src) and not str(src).startswith(("?", "PIPE")))


def until_parent(said: list[Word]) -> list[Word]:
    """The stub of an exec without the files that it closes, most of which 1.7.7's logs do not know,
    and without what it does as the parent of the new image, up to its end.
    """
    said = [w for w in said if w.name != "close files" and not _closes_unknown(w)]
    begin = next((i for i, word in enumerate(said) if word.name == "#waiter"), len(said))
    return [*said[: begin + 1], *(w for w in said[begin + 1 :] if w.name.startswith("Exit"))]


def _is_left_out(call: Call, known: Sight) -> bool:
    own = call.api[0] == "#" and call.api not in _MAKERS
    own = own or (call.api == "CloseHandle" and call.error != 0)  # it closed nothing
    unseen = known.through_ntdll and _unseen_there(call)
    return own or unseen or call.api in LEFT_OUT


def _closes_file(call: Call, known: Sight) -> bool:
    if call.api == "closesocket":
        return True
    if call.api != "CloseHandle":
        return False
    obj = call.args["h"]
    if known.through_ntdll and _is_unknown(obj):
        return False
    return obj.kind in ("file", "pipe") if isinstance(obj, KernelObject) else is_file(obj)


def _grows_heap(word: Word) -> bool:
    facts = dict(word.facts)
    return (
        word.name == "VirtualAlloc"
        and str(facts.get("addr", "")).startswith("cygheap+0x")
        and (facts["type"] == "COMMIT" and facts["addr"] != "cygheap+0x0")
    )


def _is_unknown(obj: Any) -> bool:
    return isinstance(obj, str) and obj.startswith("?")


def _closes_guard(call: Call, calls: Sequence[Call], amid: bool, known: Sight) -> bool:
    """Mutex and event or semaphore of a pipe from 1.3.19 on, which are closed among the files."""
    if call.api != "CloseHandle":
        return False
    obj = call.args["h"]
    first = str(obj).startswith(_GUARDS) or (known.through_ntdll and _is_unknown(obj))
    if not (amid or first):
        return False
    i = next(i for i, other in enumerate(calls) if other is call)
    for other in calls[i + 1 :]:
        if other.api != "CloseHandle":
            return False
        if _closes_file(other, known):
            return bool(other.args.get("h") not in known.looked_at)
    return False


def _does_nothing(call: Call) -> bool:
    """SetEvent of no event at all, as api_fatal does before there are signals; a pseudo handle."""
    pseudo = call.api == "CloseHandle" and call.args["hv"] >= _PSEUDO
    return pseudo or (call.api == "SetEvent" and call.args["h"] is None)


def _word(call: Call, known: Sight) -> Word | None:
    make = _MAKERS.get(call.api)
    if call.api == "TerminateProcess" and call.phase == "return":
        return None
    phase = "" if call.api == "TerminateProcess" else call.phase
    name = f"{call.api} {phase}".strip()
    if make is None:
        return Word(name, (("not known", True),), (), call.place)
    made = make(call, known)
    if made is None:
        return None
    facts, objects = made
    if known.named:
        objects = tuple((role, known.named.get(obj, obj)) for role, obj in objects)
    return Word(name, facts, objects, call.place)


_Parts = tuple[tuple[tuple[str, Any], ...], tuple[tuple[str, Any], ...]]


def _event(call: Call, known: Sight) -> _Parts:
    a = call.args
    return (
        ("manual", bool(a["manual"])), ("inherit", bool(a["inherit"])),
        ("initial", bool(a["initial"])),
    ), (("h", a["h"]),)  # fmt: skip


def _mutex(call: Call, known: Sight) -> _Parts | None:
    a = call.args
    if known.anywhere and not a.get("name"):
        return None  # 98 has one more in a fork child
    if a.get("name") and not str(a["name"]).endswith(_OWN_MUTEXES):
        return None  # a program's own
    named = bool(a.get("name"))
    return (("inherit", bool(a["inherit"])), ("named", named)), (("h", a["h"]),)


def _thread(call: Call, known: Sight) -> _Parts:
    return (("flags", int(call.args["flags"])),), (("h", call.args["h"]),)


def _mapping(call: Call, known: Sight) -> _Parts:
    a = call.args
    reserve = bool(a.get("reserve")) or "SEC_RESERVE" in str(a.get("protect", ""))
    return (
        ("size", a["size"]), ("inherit", bool(a["inherit"])), ("reserve", reserve),
        ("existed", call.error == 183),
    ), (("h", a["h"]),)  # fmt: skip


def _open_mapping(call: Call, known: Sight) -> _Parts:
    return (("inherit", bool(call.args["inherit"])),), (("h", call.args["h"]),)


def _map(call: Call, known: Sight) -> _Parts | None:
    a = call.args
    if a["h"] in known.consoles or (known.anywhere and not a["ret"]):
        return None
    where = _where(0 if known.anywhere else a.get("addr", 0), call, known)
    return (("addr", where), ("fails", not a["ret"])), (("h", a["h"]),)


def _unmap(call: Call, known: Sight) -> _Parts:
    return (), (("view of", known.view(call, call.args["addr"])),)


def _alloc(call: Call, known: Sight) -> _Parts | None:
    a = call.args
    where = _where(a["addr"], call, known)
    inside = where.startswith("user heap") and a["type"] == "COMMIT"
    if inside or (where.startswith("0x") and a["size"] < CHUNK_BYTES):
        view = known.view(call, a["addr"])
        if view is None:
            return None
        return (("type", a["type"]), ("size", a["size"])), (("view of", view),)
    size = _told(a["size"], known)
    return (("addr", where), ("type", a["type"]), ("size", size), ("fails", not a["ret"])), ()


def _told(size: int, known: Sight) -> Any:
    """A size, or that it is a heap's that was handed over."""
    return HANDED if size in known.handed else size


def _transfer(call: Call, known: Sight) -> _Parts:
    a = call.args
    where, size = _where(a["addr"], call, known), _told(a["size"], known)
    if where.startswith("user heap"):
        size = (size + PAGE_BYTES - 1) & -PAGE_BYTES  # malloc's end inside its last page is unseen
    whole = a.get("done", a["size"]) == a["size"]
    return (("addr", where), ("size", size), ("whole", whole)), (("h", a["h"]),)


def _duplicate(call: Call, known: Sight) -> _Parts | None:
    a = call.args
    if str(a["src"]).startswith(_GUARDS):
        return None
    closes = bool(a.get("close_source")) or bool(a.get("options", 0) & 1)
    facts = (
        ("inherit", bool(a["inherit"])), ("closes source", closes),
        ("pseudo", a["src_hv"] >= _PSEUDO),
    )  # fmt: skip
    objects = (
        ("from", _process(a["src_proc"])), ("to", _process(a["dst_proc"])), ("of", a["src"]),
    )  # fmt: skip
    return facts, objects


def _handle(call: Call, known: Sight) -> _Parts:
    return (), (("h", call.args["h"]),)


def _wait(call: Call, known: Sight) -> _Parts:
    a = call.args
    ms = "INFINITE" if a["ms"] in ("INFINITE", INFINITE) else a["ms"]
    objects = tuple((f"h{i}", obj) for i, obj in enumerate(a["hs"]))
    facts = (("ms", ms), ("all", bool(a.get("all"))), ("count", len(objects)))
    if call.phase == "return":
        return facts, (*objects, ("woke", a.get("woke")))
    return facts, objects


def _create(call: Call, known: Sight) -> _Parts:
    a = call.args
    if call.phase == "return":
        return (), (("child", _process(a.get("child"))), ("thread", a.get("hthread")))
    info = a.get("child_info") or {}
    flags = a["flags"] if isinstance(a["flags"], str) else _flags(a["flags"])
    if known.through_ntdll and str((info or {}).get("type", "")).startswith("FORK"):
        flags = flags.replace("DETACHED_PROCESS|", "")  # it makes itself a console, unseen
    facts = [("inherit", bool(a["inherit"])), ("flags", "|".join(sorted(flags.split("|"))))]
    if not info:
        return tuple(facts), ()
    cygpid = info.get("cygpid")
    kind = "FORK" if str(info["type"]).startswith("FORK") else str(info["type"])
    facts += [
        ("type", kind), ("cb", info["cb"]), ("n", _told(info.get("n", 0), known)),
        ("cygheap", _where(info.get("cygheap", 0), call, known)),
    ]  # fmt: skip
    if "cygpid" not in known.untold:
        facts.append(("cygpid", cygpid if cygpid in (None, 0, 1) else "mine"))
    objects = [key for key in INFO_OBJECTS if key not in known.untold]
    return tuple(facts), tuple((key, info.get(key) or 0) for key in objects)


def _no_facts(call: Call, known: Sight) -> _Parts:
    return (), ()


def _pipe(call: Call, known: Sight) -> _Parts:
    a = call.args
    return (("size", a.get("size")),), (("read", a["read"]), ("write", a["write"]))


def _open_process(call: Call, known: Sight) -> _Parts:
    return (), (("process", _process(call.args.get("target", call.args.get("h")))),)


def _flags(flags: int) -> str:
    names = [name for bit, name in _FLAGS.items() if flags & bit]
    rest = flags & ~sum(_FLAGS)
    return "|".join(names + ([hex(rest)] if rest else []))


def _resume(call: Call, known: Sight) -> _Parts:
    return (("prev_count", call.args["prev_count"]),), (("h", call.args["h"]),)


def _code(call: Call, known: Sight) -> _Parts:
    objects = (("h", call.args["h"]),) if "h" in call.args else ()
    return (("code", call.args["code"]),), objects


def _duplicate_socket(call: Call, known: Sight) -> _Parts:
    target = call.args["target"]
    return (), (("target", f"{target}.proc" if isinstance(target, str) else target),)


def _socket(call: Call, known: Sight) -> _Parts:
    return (("error", call.error),), ()


_MAKERS = {
    "CreatePipe": _pipe, "#waiter": _no_facts, "OpenProcess": _open_process,
    "SuspendThread": _resume,
    "CreateEvent": _event, "CreateMutex": _mutex, "CreateThread": _thread,
    "CreateFileMapping": _mapping, "OpenFileMapping": _open_mapping, "MapViewOfFile": _map,
    "MapViewOfFileEx": _map, "UnmapViewOfFile": _unmap, "VirtualAlloc": _alloc,
    "ReadProcessMemory": _transfer, "WriteProcessMemory": _transfer,
    "DuplicateHandle": _duplicate, "CloseHandle": _handle, "SetEvent": _handle,
    "ResetEvent": _handle, "ReleaseMutex": _handle, "WaitForSingleObject": _wait,
    "WaitForMultipleObjects": _wait, "CreateProcess": _create, "ResumeThread": _resume,
    "GetExitCodeProcess": _code, "ExitProcess": _code, "ExitThread": _code,
    "TerminateProcess": _code, "WSADuplicateSocket": _duplicate_socket, "WSASocket": _socket,
}  # fmt: skip


def _where(address: int, call: Call, known: Sight) -> str:
    """An address, relative to what it lies in."""
    if not address:
        return "anywhere"
    if known.heap and 0 <= address - known.heap < known.heap_bytes:
        return f"cygheap+{address - known.heap:#x}"
    user = known.user_heaps.get(call.pid)
    if user is not None and 0 <= address - user < CHUNK_BYTES:
        return f"user heap+{address - user:#x}"
    return f"{address:#x}"


def _process(name: Any) -> Any:
    """A process of the log by the name that handles to it have; None if there is none such."""
    if name == "?":
        return None
    return f"{name}.proc" if isinstance(name, str) and name and "." not in name else name


def _name(obj: Any) -> str:
    if isinstance(obj, Process):
        return f"process {obj.pid}"
    if isinstance(obj, KernelObject):
        return obj.role or obj.kind
    return str(obj) if obj else "none"


__all__ = ["ChildType", "Sight", "Word", "words"]
