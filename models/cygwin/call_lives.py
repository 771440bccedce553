"""What a real process did between the creations of a log, as far as its heap has to do with it.

A life is the list of acts of one process: what it opened, duplicated and closed, how far malloc
grew, whom it made and when it ended.  Descriptors are followed by their handle values through forks
and execs, so that a run can do the same on descriptors of its own.

The logs leave out failed opens and files that are not inheritable; acts have neither, nor what a
program opened only to look at it, which leaves nothing in the heap.  A console is opened once more
for each image, but stays the same descriptors.

Source: the calls of the logs; dtable.cc (a dup makes a descriptor, close-on-exec a new handle).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.cygwin.call_log import Call
from models.cygwin.call_vforks import copied_table
from models.cygwin.call_windows import EXEC, FORK, SPAWN, Window, by_thread
from models.cygwin.descriptors import DISK, PIPE, SOCKET, WRITES
from models.win32.errors import ERROR_INVALID_ADDRESS

OPEN, DUP, CLOSE, CLOEXEC, GROW, CREATE, EXIT, REAP, SLEEP, VFORK = (
    "open", "dup", "close", "cloexec", "grow", "create", "exit", "reap", "sleep", "vfork",
)  # fmt: skip
_STANDARD = {8: 0, 12: 1, 16: 2}  # handle values of stdin, stdout, stderr in the logs
_FILES = ("F", "PIPE", "SOCK", "CON", "STD", "?")  # "?": nobody saw it being opened
_NAMED_PIPE = "cygwin-0x"  # 1.5.18 makes its pipes of a name, and the log has the write end
FIRST_FD = 3
HIGHEST = 0x7FFE0000  # a process has nothing there -- constant
TAKEN_BYTES = 0x10000  # the least that can be
CHUNK_BYTES = 1 << 27  # address space of malloc, at least; nothing else reserves as much


class Taken(NamedTuple):
    """A place that a process asked for and could not have.

    address: what it asked for -- constant
    committed_bytes: of what lies there, as VirtualQuery said -- constant
    """

    address: int
    committed_bytes: int = 0


class Act(NamedTuple):
    """One thing that a process did.

    what: one of the words above -- constant
    fd, other: descriptors; for `grow` the bytes, for `exit` the code, for `create` the window's
        number, for `reap` the number of the window that made the child, for `vfork` that of the
        guest's spawn, which ends its acts -- constant
    kind, name: of what was opened -- constant
    """

    what: str
    fd: int = 0
    other: int = 0
    kind: str = ""
    name: str = ""


@dataclass
class Life:
    """One process of the log. made_by: the window that made it; None for the first -- constant"""

    pid: str
    image: str
    native: bool
    made_by: Window | None
    acts: list[Act] = field(default_factory=list)
    handles: dict[int, int] = field(default_factory=dict)  # handle value -> descriptor
    cloexec: set[int] = field(default_factory=set)
    command: str = ""
    script: bool = False  # it is a sh that runs a script
    standard: tuple[int, ...] = ()  # what the first process has open
    killed: int | None = None
    high: set[int] = field(default_factory=set)  # descriptors that sh moved out of the way
    consoles: int = 0  # how many of the standard descriptors have been opened on the console
    busy_us: float = 0.0  # when it came to its program, or had made its last child
    running: bool = False  # start-up has come to the signal thread
    taken: list[Taken] = field(default_factory=list)
    given: dict[int, tuple[dict[int, int], set[int]]] = field(default_factory=dict)
    copied: int = 0  # where the duplicates of the last vfork end
    held: tuple[dict[int, int], set[int]] | None = None  # the table on hold during a vfork
    restored: set[int] = field(default_factory=set)  # handles that vfork is to close again


def lives(calls: Sequence[Call], found: Sequence[Window]) -> dict[str, Life]:
    """The lives of all processes that a log shows, by name, each after its parent."""
    threads = by_thread(calls)
    made_by = {w.made.args["child"]: w for w in found if w.made and w.made.args.get("child")}
    all_lives: dict[str, Life] = {}
    standard = _standard(calls)
    for call in calls:
        if call.pid in all_lives:
            continue
        window = made_by.get(call.pid)
        life = _born(call, window, all_lives, standard)
        all_lives[call.pid] = life
        _kill(life, calls)
        life.taken = _taken(threads[f"{call.pid}.t1"])
        _live(
            life, threads[f"{call.pid}.t1"], [w for w in found if w.anchor.pid == call.pid], calls
        )
        _end_by_signal(life, calls)
    return all_lives


def _runs_script(life: Life) -> bool:
    """Whether a sh was started for a script: by its command, or since MSYS tells it nothing."""
    command = life.command
    return life.image == "sh.exe" and (".sh" in command or command.startswith('"'))


def _kill(life: Life, calls: Sequence[Call]) -> None:
    """Somebody ended the process: that is its end."""
    for call in calls:
        if call.api == "TerminateProcess" and call.args.get("h") == f"{life.pid}.proc":
            life.killed = int(call.args["code"])


def _end_by_signal(life: Life, calls: Sequence[Call]) -> None:
    """Another thread than its main one, the signal thread, ended the process."""
    ends = [c for c in calls if c.pid == life.pid and c.api == "ExitProcess"]
    if ends and ends[0].tid != f"{life.pid}.t1":
        after_us = max(0, int(ends[0].t_us - life.busy_us))
        life.acts.append(Act(EXIT, ends[0].args["code"], after_us))


def _standard(calls: Sequence[Call]) -> set[int]:
    """Which of stdin, stdout and stderr are open: those that a log ever closes; none if unknown."""
    closed = {call.args["h"] for call in calls if call.api == "CloseHandle"}
    found = {fd for fd, name in enumerate(("STDIN", "STDOUT", "STDERR")) if name in closed}
    console = any(str(name).startswith("CON") for name in closed)
    return set(_STANDARD.values()) if console else found


def _born(call: Call, window: Window | None, before: dict[str, Life], standard: set[int]) -> Life:
    native = call.api == "#native_start"
    image = call.args.get("image", "") or (window.anchor.args["image"] if window else "")
    life = Life(call.pid, image, native, window, command=call.args.get("cmd", ""))
    parent = before.get(window.anchor.pid) if window else None
    if parent is None:
        life.handles = {hv: fd for hv, fd in _STANDARD.items() if fd in standard or not standard}
        life.standard = tuple(sorted(standard))
        return life
    assert window is not None
    life.script = parent.script if window.kind == "fork" else _runs_script(life)
    handles, cloexec = parent.given[window.number]
    life.handles, life.cloexec, life.high = dict(handles), set(cloexec), set(parent.high)
    if window.kind != "fork":
        life.handles = {hv: fd for hv, fd in life.handles.items() if fd not in life.cloexec}
        life.cloexec = set()
    return life


def _live(life: Life, main: list[Call], mine: list[Window], calls: Sequence[Call]) -> None:
    inside = {id(c): w for w in mine for c in main[w.place : w.last + 1]}
    heap = _user_heap(life, main)
    begun: set[int] = set()
    reaped = sorted((w.over_us, w.number) for w in mine if w.over_us is not None)
    started = False
    for i, call in enumerate(main):
        window = inside.get(id(call))
        while (
            reaped and reaped[0][0] <= call.t_us and (window is None or window.number not in begun)
        ):
            life.acts.append(Act(REAP, reaped.pop(0)[1]))
        if window is not None and window.number not in begun:
            begun.add(window.number)
            _grow_inside(life, main, window, heap)
            if window.kind == EXEC:
                _takes_place_of_stdout(life, main[:i])
            if window.kind == FORK:
                _had_unseen(life, window)
            if not window.again:
                life.acts.append(Act(CREATE, window.number))
            life.given[window.number] = dict(life.handles), set(life.cloexec)
            _end_vfork(life)
        if window is not None:
            life.busy_us = call.t_us
            continue
        if _is_of_vfork(life, main, i, mine):
            continue
        if call.api == "VirtualAlloc" and call.args["type"] == "COMMIT" and not started:
            started = heap[0] <= call.args["addr"] < heap[1]  # start-up's own
            continue
        if call.api == "CreateThread" and not life.running:
            life.running, life.busy_us = True, call.t_us
        _act(life, main, i, heap)


def _is_of_vfork(life: Life, main: list[Call], i: int, mine: list[Window]) -> bool:
    """Whether a call only copies the descriptor table for a guest, or lets go of the copy."""
    call = main[i]
    if call.api == "CloseHandle" and call.args["hv"] in life.restored:
        life.restored.remove(call.args["hv"])
        return True
    following = next((w for w in mine if w.place >= i), None)
    if life.held is None and following is not None and following.kind == SPAWN:
        copy = copied_table(life.handles, main, i)
        if copy is not None:
            life.acts.append(Act(VFORK, following.number))
            life.held = life.handles, life.cloexec
            life.copied, life.handles, life.cloexec = copy
    return i < life.copied and call.api in ("DuplicateHandle", "CloseHandle")


def _end_vfork(life: Life) -> None:
    """The guest's spawn: the table on hold is in force again."""
    if life.held is not None:
        life.restored = set(life.handles)
        life.handles, life.cloexec = life.held
        life.held = None


def _taken(main: list[Call]) -> list[Taken]:
    """Places that the process asked for and could not have, by address."""
    asked = {c.args["addr"] for c in main if c.error == ERROR_INVALID_ADDRESS and _places(c)}
    seen = {
        c.args.get("base"): int(c.args.get("region", 0))
        for c in main
        if c.api == "VirtualQuery" and c.args.get("state") == "COMMIT"
    }
    found = sorted(address for address in asked if 0 < address < HIGHEST)
    return [Taken(address, min(seen.get(address, 0), TAKEN_BYTES)) for address in found]


def _places(call: Call) -> bool:
    """Whether a call wants a place in the address space, not pages of one that it has."""
    return call.api == "MapViewOfFileEx" or call.args.get("type") == "RESERVE"


def _takes_place_of_stdout(life: Life, before: list[Call]) -> None:
    """dup2 of a pipe's write end over stdout, where the log lacks the closing of stdout."""
    copies = [c for c in before if c.api == "DuplicateHandle" and str(c.args["src"]).endswith(".w")]
    stdout = next((hv for hv, fd in life.handles.items() if fd == 1), None)
    if copies and copies[-1].args["inherit"] and stdout is not None and life.image == "sh.exe":
        _close(life, stdout)


def _user_heap(life: Life, main: list[Call]) -> tuple[int, int]:
    for call in main:
        args = call.args
        if call.api == "VirtualAlloc" and args["type"] == "RESERVE" and args["size"] >= CHUNK_BYTES:
            return args["ret"], args["ret"] + args["size"]
    return 0, 0


def _grow_inside(life: Life, main: list[Call], window: Window, heap: tuple[int, int]) -> None:
    """malloc's growth during a creation counts before it."""
    for call in main[window.place : window.last + 1]:
        if call.api == "WriteProcessMemory":
            break
        if call.api == "VirtualAlloc" and heap[0] <= call.args["addr"] < heap[1]:
            life.acts.append(Act(GROW, call.args["size"]))


def _act(life: Life, main: list[Call], i: int, heap: tuple[int, int]) -> None:
    call = main[i]
    args = call.args
    if call.api == "VirtualAlloc" and args["type"] == "COMMIT":
        if heap[0] <= args["addr"] < heap[1]:
            life.acts.append(Act(GROW, args["size"]))
    elif call.api == "ExitProcess":
        life.acts.append(Act(EXIT, args["code"], max(0, int(call.t_us - life.busy_us))))
    elif call.api == "#native_exit":
        life.acts.append(Act(EXIT, args["code"]))
    elif call.api == "#native_sleep":
        life.acts.append(Act(SLEEP, args["ms"]))
    elif call.api == "CreateFile" and args["name"] == "CONIN$" and args["inherit"]:
        if life.consoles < len(_STANDARD):  # in the order of the descriptors
            life.handles[args["hv"]] = life.consoles
            life.consoles += 1
    elif call.api == "CreateFile" and args["name"].startswith(_NAMED_PIPE):
        read_hv = _unseen_value(life, main[i:])
        _open(life, read_hv, PIPE, "")
        _open(life, args["hv"], PIPE, WRITES)
    elif call.api == "CreateFile" and args.get("inherit"):
        if not _only_looked_at(main, i) and not args["name"].startswith("CON"):
            _open(life, args["hv"], DISK, args["name"])
    elif call.api == "CreatePipe":
        _pipe(life, main, i)
    elif call.api == "socket" and args.get("ret"):
        _open(life, -len(life.acts) - 1000, SOCKET, "")
    elif call.api == "DuplicateHandle":
        _duplicate(life, call)
    elif call.api == "CloseHandle" and args["hv"] in life.handles and _of_descriptor(args):
        if life.running and not 0 < life.consoles < len(_STANDARD):
            _close(life, args["hv"])
        else:  # start-up has another one instead
            life.handles = {hv: fd for hv, fd in life.handles.items() if hv != args["hv"]}


def is_file(obj: Any) -> bool:
    """Whether a name of the log is that of a file, a pipe, a socket or the console."""
    return isinstance(obj, str) and obj.startswith(_FILES)


def _of_descriptor(args: dict[str, Any]) -> bool:
    """Whether a handle is a file's: stdin, stdout and stderr are, whatever a log calls them."""
    return args["hv"] in _STANDARD or is_file(args["h"])


def _only_looked_at(main: list[Call], i: int) -> bool:
    """stat: opened, and closed before anything else is done with files."""
    hv = main[i].args["hv"]
    for call in main[i + 1 :]:
        if call.api == "CloseHandle":
            return bool(call.args["hv"] == hv)
        if call.api in ("DuplicateHandle", "CreateFile", "CreateProcess", "CreatePipe"):
            return False
    return False


def _free_fd(life: Life) -> int:
    used = set(life.handles.values())
    fd = FIRST_FD
    while fd in used:
        fd += 1
    return fd


def _open(life: Life, hv: int, kind: str, name: str) -> None:
    fd = _free_fd(life)
    life.handles[hv] = fd
    life.acts.append(Act(OPEN, fd, kind=kind, name=name))


def _pipe(life: Life, main: list[Call], i: int) -> None:
    """CreatePipe tells no handle values: they come with the first use of the two ends."""
    args = main[i].args
    for end, name in ((args["read"], ""), (args["write"], WRITES)):
        hv = _value_of(end, main[i:])
        _open(life, hv, PIPE, name)


def _unseen_value(life: Life, later: list[Call]) -> int:
    """The handle of a pipe's read end, which shows when it is closed or duplicated."""
    for call in later:
        names = ("h", "hv") if call.api == "CloseHandle" else ("src", "src_hv")
        obj, hv = (call.args.get(name) for name in names)
        if str(obj).startswith("?") and isinstance(hv, int) and hv not in life.handles:
            return hv
    return -1 - len(life.acts)


def _had_unseen(life: Life, window: Window) -> None:
    """A fork child fetches what it did not inherit: what nobody saw its parent open, too."""
    for call in window.child:
        args = call.args
        of_parent = call.api == "DuplicateHandle" and args["src_proc"] == life.pid
        if of_parent and str(args["src"])[:1] == "?" and args["src_hv"] not in life.handles:
            _open(life, args["src_hv"], DISK, "")
            life.cloexec.add(life.handles[args["src_hv"]])
            life.acts.append(Act(CLOEXEC, life.handles[args["src_hv"]], 1))


def _value_of(end: str, later: list[Call]) -> int:
    for call in later:
        if call.api == "CloseHandle" and call.args["h"] == end:
            return int(call.args["hv"])
        if call.api == "DuplicateHandle" and call.args["src"] == end:
            return int(call.args["src_hv"])
    return -1 - hash(end) % 1000


def _duplicate(life: Life, call: Call) -> None:
    args = call.args
    source, new = args["src_hv"], args["dst_hv"]
    if not is_file(args["src"]) or args["dst_proc"] != life.pid:
        return
    if args["src_proc"] != life.pid:  # a fork child fetches what it could not inherit
        if source in life.handles:
            life.handles[new] = life.handles.pop(source)
        return
    if source not in life.handles:
        return
    if args["inherit"]:
        fd = _free_fd(life)
        life.acts.append(Act(DUP, fd, life.handles[source]))
        life.handles[new] = fd
    else:
        fd = life.handles.pop(source)
        life.handles[new] = fd
        life.cloexec.add(fd)
        dup = next((act for act in reversed(life.acts) if act.what in (OPEN, DUP)), None)
        if life.image.startswith("sh") and dup is not None and dup[:2] == (DUP, fd):
            life.high.add(fd)
        life.acts.append(Act(CLOEXEC, fd, 1))


def _close(life: Life, hv: int) -> None:
    fd = life.handles.pop(hv)
    life.cloexec.discard(fd)
    life.acts.append(Act(CLOSE, fd))
