"""Call logs of real Cygwin DLLs: the calls that a DLL made, one line each, by time.

A log is read whole or not at all: every line is checked before anything is done with it.  An object
has one name in all processes of the log (`E11`, `S4`, `P2.proc`); a handle is a number of one
process.  The rows of a simulated run are brought into the same form by `call_rows.py`, so what is
done with a log can be done with a run.

Source: the logs' own README (format of `data/msys1`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from models.cygwin.call_alive import name_threads
from models.cygwin.call_completion import complete
from models.cygwin.call_names import told_apart, without_bystanders
from sim.errors import InputError
from sim.lines import open_lines

LINE_LIMIT_BYTES = 1 << 20  # longest line read -- chosen
FILE_LIMIT_BYTES = 1 << 28  # largest log read, unpacked -- chosen
WORD = 1 << 32
ALLOWED = "a call log of a Cygwin DLL"

_NEEDED = {
    "CloseHandle": ("h", "hv"), "CreateEvent": ("h", "inherit", "initial", "manual"),
    "CreateFile": ("h", "hv", "name"), "CreateFileMapping": ("h", "inherit", "size"),
    "CreateMutex": ("h", "inherit"), "CreatePipe": ("read", "write"),
    "CreateThread": ("flags", "h", "new_tid"), "ExitProcess": ("code",),
    "DuplicateHandle": ("dst_hv", "dst_proc", "inherit", "src", "src_hv", "src_proc"),
    "GetExitCodeProcess": ("code", "h"), "MapViewOfFile": ("h", "ret"),
    "MapViewOfFileEx": ("addr", "h", "ret"), "OpenFileMapping": ("h", "inherit"),
    "ReadProcessMemory": ("addr", "h", "size"), "ReleaseMutex": ("h",), "ResetEvent": ("h",),
    "ResumeThread": ("h", "prev_count"), "SuspendThread": ("h", "prev_count"),
    "SetEvent": ("h",), "TerminateProcess": ("code", "h"),
    "UnmapViewOfFile": ("addr",), "VirtualAlloc": ("addr", "ret", "size", "type"),
    "WaitForMultipleObjects": ("hs", "ms"), "WaitForSingleObject": ("hs", "ms"),
    "WriteProcessMemory": ("addr", "h", "size"), "WSADuplicateSocket": ("target",),
    "#app_spawn_call": ("mode",), "#native_exit": ("code",), "#native_sleep": ("ms",),
}  # fmt: skip
_NAME = (str, int, type(None))  # of an object; a handle that no object of the log stands behind
_KINDS: dict[str, tuple[type, ...]] = {  # what a value must be, once 0x... is a number
    **dict.fromkeys(
        ("h", "s", "src", "read", "write", "child", "hproc", "hthread", "woke", "target"), _NAME
    ),
    **dict.fromkeys(("src_proc", "dst_proc", "new_tid", "image", "cmd", "name"), (str,)),
    **dict.fromkeys(
        ("size", "code", "prev_count", "cmd_len", "env_bytes", "mode", "region"), (int,)
    ),
    **dict.fromkeys(("inherit", "initial", "manual", "all", "options", "count"), (int,)),
    **dict.fromkeys(("addr", "hv", "src_hv", "dst_hv", "hproc_hv", "hthread_hv"), (int,)),
    **dict.fromkeys(("flags", "ms", "type", "ret", "protect"), (str, int)),
    "hs": (list,),
    "child_info": (dict, type(None)),
}
_ANY = (str, int, list, dict, type(None))
_INFO_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("cb", "n", "stack_bytes", "cygheap", "cygheap_max"), (int,)),
    "type": (str,),
}
_WHOLE = {  # (api, key): a number here, whatever it is elsewhere
    ("VirtualAlloc", "ret"), ("MapViewOfFile", "ret"), ("MapViewOfFileEx", "ret"),
    ("CreateThread", "flags"),
}  # fmt: skip
MOST_T_US = 1e15  # thirty years -- chosen
_INFO_NEEDED = ("type", "cb")
_PHASES = ("", "call", "return")
_TEXTS = ("pid", "tid", "api")
_NUMBERS = (
    "hv",
    "src_hv",
    "dst_hv",
    "addr",
    "base",
    "ret",
    "hproc_hv",
    "hthread_hv",
)  # written as 0x...
_INFO_NUMBERS = ("cygheap", "cygheap_max")
_PROCESS = ("cmd_len", "env_bytes", "flags", "image", "inherit")  # asked of CreateProcess


class Call(NamedTuple):
    """One line of a log, or one row of a run.

    place: line of the file, or number of the row -- constant
    pid, tid: who; the same name all through -- constant
    api: name without A or W; "#..." for what is no call -- constant
    phase: "" for a whole call, "call" or "return" -- constant
    args: what was asked for and answered; objects by name, handles and addresses as int -- constant
    error: GetLastError where the call failed or said something, else 0 -- constant
    t_us: when [us] -- constant
    """

    place: int
    pid: Any
    tid: Any
    api: str
    phase: str
    args: dict[str, Any]
    error: int = 0
    t_us: float = 0.0


@dataclass(frozen=True)
class CallLog:
    """One log. Every field is *input*.

    name: of the file; dll_set: which DLL; command: what the shell was given
    first_image: program of the first process; meta: all that the first line says
    said: what its user saw on stderr; exit_code: of the first process, None where nobody noted it
    """

    name: str
    dll_set: str
    command: str
    calls: list[Call]
    first_image: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    exit_code: int | None = None


def read_log(path: Path | str) -> CallLog:
    """The log in a file, plain or gzip. Raises InputError, which names file and line."""
    with open_lines(path, ALLOWED, LINE_LIMIT_BYTES, FILE_LIMIT_BYTES) as lines:
        records = _records(str(path), lines)
        where, first = next(records, (f"{path}:1", {}))
        meta = first.get("meta")
        if not isinstance(meta, dict):
            raise InputError(where, "the first line has no meta", ALLOWED)
        for key in ("dll_set", "cmd"):
            if not isinstance(meta.get(key), str):
                raise InputError(where, f"meta has no text {key!r}", ALLOWED)
        calls = [_call(at, record) for at, record in records]
        calls = without_bystanders(calls)
        complete(calls)
        name_threads(calls)
        if not any(call.api == "#process_start" for call in calls):
            calls = list(told_apart(calls))
    name = Path(path).name.removesuffix(".gz").removesuffix(".jsonl")
    said, code = meta.get("stderr"), meta.get("exit")
    return CallLog(
        name, meta["dll_set"], meta["cmd"], calls, _first_image(meta, calls), meta,
        said if isinstance(said, str) else "", code if isinstance(code, int) else None,
    )  # fmt: skip


def _first_image(meta: dict[str, Any], calls: list[Call]) -> str:
    """Program of the first process, which is not listed first if a bystander was there before."""
    processes = meta.get("processes")
    listed = [one for one in processes if isinstance(one, dict)] if _is_list(processes) else []
    pid = calls[0].pid if calls else ""
    first = next((one for one in listed if one.get("pid") == pid), listed[0] if listed else {})
    image = first.get("image")
    return image if isinstance(image, str) else ""


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _records(path: str, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in lines:
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(where, "the line is not JSON", ALLOWED) from None
        if not isinstance(record, dict):
            raise InputError(where, "the line is not an object", ALLOWED)
        yield where, record


def _call(where: str, record: dict[str, Any]) -> Call:
    for key in _TEXTS:
        if not isinstance(record.get(key), str) or not record[key]:
            raise InputError(where, f"no text {key!r}", ALLOWED)
    phase = record.get("ph", "")
    if phase not in _PHASES:
        raise InputError(where, f"ph {phase!r}", "call or return, or no ph")
    args = record.get("args", {})
    for key in _NEEDED.get(record["api"], ()):
        if not isinstance(args, dict) or key not in args:
            raise InputError(where, f"{record['api']} without {key!r}", ALLOWED)
    error, t_us = record.get("err", 0), record.get("t_us", 0)
    if not isinstance(args, dict) or not isinstance(error, int):
        raise InputError(where, "args is not an object or err not a number", ALLOWED)
    if not isinstance(t_us, int | float) or not abs(t_us) <= MOST_T_US:
        raise InputError(where, "t_us is not a number", ALLOWED)
    api, made = record["api"], dict(args)
    _to_numbers(where, made, _NUMBERS)
    if api == "CreateThread":
        made["flags"] = _digits(made["flags"])
    _check_values(where, made, _KINDS)
    for key in made.keys() & {key for name, key in _WHOLE if name == api}:
        if not isinstance(made[key], int):
            raise InputError(where, f"{key} {made[key]!r:.60} is no number", ALLOWED)
    if not all(isinstance(obj, str | int | None) for obj in made.get("hs", ())):
        raise InputError(where, "hs has more than names of objects", ALLOWED)
    for key in _PROCESS if api == "CreateProcess" and phase != "return" else ():
        if key not in made:
            raise InputError(where, f"{api} without {key!r}", ALLOWED)
    info = made.get("child_info")
    if info is not None:
        made["child_info"] = info = dict(info)
        for key in _INFO_NEEDED:
            if key not in info:
                raise InputError(where, f"child_info without {key!r}", ALLOWED)
        _to_numbers(where, info, _INFO_NUMBERS)
        _check_values(f"{where}: child_info", info, _INFO_KINDS, _NAME)
    number = int(where.rsplit(":", 1)[1])
    return Call(number, record["pid"], record["tid"], api, phase, made, error, t_us)


def _check_values(
    where: str,
    args: dict[str, Any],
    kinds: dict[str, tuple[type, ...]],
    others: tuple[type, ...] = _ANY,
) -> None:
    """Raise InputError for a value of another kind than is written there, or a number too large."""
    for key, value in args.items():
        if isinstance(value, int) and not -WORD < value < WORD:
            raise InputError(where, f"{key} {value} is no 32-bit number", ALLOWED)
        if not isinstance(value, kinds.get(key, others)):
            raise InputError(where, f"{key} {value!r:.60} is of another kind", ALLOWED)


def _digits(value: Any) -> Any:
    """The number that a text of digits is; anything else as it was."""
    plain = isinstance(value, str) and len(value) <= 10 and value.isascii() and value.isdigit()
    return int(value) if plain else value


def _to_numbers(where: str, args: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        text = args.get(key)
        if isinstance(text, str) and text.startswith("0x"):
            try:
                args[key] = int(text, 16)
            except ValueError:
                raise InputError(where, f"{key} {text!r} is no number", ALLOWED) from None
