"""Windows of creations: which calls of a log belong to the making of one child.

The anchor is a CreateProcess with child_info on thread T.  In the parent the window begins with the
last DuplicateHandle of the own process, inheritable, into itself on T, or before that with the
CreateEvent of subproc_ready, or at a process's first creation with the event and the thread of
wait_subproc.  It ends for a fork with CloseHandle of forker_finished, for a spawn with CloseHandle
of child_info's parent handle, for an exec with ExitProcess.  Of the child it has the main thread
from its start to its CreateThread (fork) or its first WaitForSingleObject, and of its signal thread
what it does with subproc_ready.

Logs and runs go through the same code: it looks at calls only, and compares objects by equality.

Source: CONTRACT §8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from models.cygwin.call_log import Call
from models.win32.objects import KernelObject

_NOT_OURS = ("#process_start", "#dll_detach", "ExitProcess")  # with these alone it never ran
FORK, EXEC, SPAWN = "fork", "exec", "spawn"


@dataclass
class Window:
    """One creation.

    number: from 1, by time of CreateProcess -- constant
    kind: "fork", "exec" or "spawn" -- constant
    first: the first creation of its process that needs wait_subproc -- constant
    place: where the parent's calls begin among all calls of T -- constant
    anchor, made: CreateProcess as it was called and as it returned; None without an answer
    parent: what T did, without the file that a script is read from -- constant
    child, signal, waiter: main and signal thread of the child, wait_subproc -- constant
    native: the child is not linked with Cygwin; None if it never ran -- constant
    leaving: the parent left before wait_subproc had looked at the child
    cut: it left before the child did
    loose: the order of what is put into the heap is not known, so neither is where a page is
        committed
    ended: the log has the end of the parent's part -- constant
    again: it makes once more what the creation before it, which died, was to make -- constant
    over_us: when the parent heard of the child's end; None if it never did [us] -- constant
    """

    number: int
    kind: str
    first: bool
    place: int
    last: int
    anchor: Call
    made: Call | None
    parent: list[Call]
    child: list[Call] = field(default_factory=list)
    signal: list[Call] = field(default_factory=list)
    waiter: list[Call] = field(default_factory=list)
    native: bool | None = None
    loose: bool = False
    leaving: bool = False
    cut: bool = False
    ended: bool = True
    again: bool = False
    over_us: float | None = None

    @property
    def info(self) -> dict[str, Any]:
        """child_info of the creation."""
        info: dict[str, Any] = self.anchor.args["child_info"]
        return info


Threads = dict[Any, list[Call]]


def is_reduced(calls: Sequence[Call]) -> bool:
    """Whether the log kept some kinds of call only."""
    return not any(call.api == "#process_start" for call in calls)


def by_thread(calls: Sequence[Call]) -> Threads:
    """The calls of each thread, in order."""
    threads: Threads = defaultdict(list)
    for call in calls:
        threads[call.tid].append(call)
    return threads


def windows(calls: Sequence[Call]) -> list[Window]:
    """The creations of a log or a run, by the time of their CreateProcess."""
    threads = by_thread(calls)
    at = {id(call): i for thread in threads.values() for i, call in enumerate(thread)}
    waiters: dict[Any, Any] = {}
    found: list[Window] = []
    for call in calls:
        if call.api == "CreateProcess" and call.phase == "call" and call.args.get("child_info"):
            window = _parent_part(len(found) + 1, threads, at[id(call)], call, waiters)
            _child_part(window, threads, calls)
            window.again = window.kind == FORK and _repeats(window, found)
            found.append(window)
    for window in found:
        _waiter_part(window, threads, waiters.get(window.anchor.pid))
    return found


def _parent_part(
    number: int, threads: Threads, i: int, anchor: Call, waiters: dict[Any, Any]
) -> Window:
    thread = threads[anchor.tid]
    info = anchor.args["child_info"]
    kind = _kind(info)
    begin = _begin(thread, i, anchor, info)
    first = False
    if kind != EXEC and anchor.pid not in waiters:
        created = _wait_subproc(threads, thread, begin)
        if created is not None:
            first, begin = True, created[0]
            waiters[anchor.pid] = created[1]
    inside = _made_inside(thread, begin, i)
    if inside is not None and anchor.pid not in waiters:
        first, waiters[anchor.pid] = True, inside
    end = _end(thread, i, kind, info, anchor.pid)
    made = next((c for c in thread[i + 1 : i + 2] if c.api == "CreateProcess"), None)
    following = (j for j in range(i + 1, len(thread)) if _is_creation(thread[j]))
    last = next(following, len(thread)) - 1 if end is None else end
    part = thread[begin : last + 1]
    return Window(number, kind, first, begin, last, anchor, made, part, ended=end is not None)


def _repeats(window: Window, before: Sequence[Window]) -> bool:
    """Whether nothing was made for this fork that the one before did not have."""
    last = next((w for w in reversed(before) if w.anchor.tid == window.anchor.tid), None)
    return (
        last is not None
        and last.kind == FORK
        and window.parent[0] is window.anchor
        and last.info.get("subproc_ready") == window.info.get("subproc_ready")
    )


def _is_creation(call: Call) -> bool:
    return call.api == "CreateProcess" and call.phase == "call"


def _kind(info: dict[str, Any]) -> str:
    if str(info["type"]).startswith("FORK"):
        return FORK
    return EXEC if info["type"] == "EXEC" and info.get("cygpid") not in (0, 1) else SPAWN


def _begin(thread: list[Call], i: int, anchor: Call, info: dict[str, Any]) -> int:
    begin = i
    for j in range(i - 1, -1, -1):
        call = thread[j]
        if call.api == "CreateProcess":
            break
        if is_own_duplicate(call) and call.args["src"] == info.get("parent"):
            begin = j
            break
    ready = info.get("subproc_ready")
    for j in range(begin - 1, -1, -1):
        call = thread[j]
        if call.api == "CreateProcess":
            break
        if ready and call.api == "CreateEvent" and call.args["h"] == ready:
            return j
    return begin


def is_own_duplicate(call: Call) -> bool:
    """DuplicateHandle of the own process into itself, inheritable."""
    if call.api != "DuplicateHandle" or not call.args.get("inherit"):
        return False
    return bool(call.args["src_proc"] == call.args["dst_proc"] == call.pid)


def _wait_subproc(threads: Threads, thread: list[Call], begin: int) -> tuple[int, Any] | None:
    """Place of the event and name of the thread that wait_subproc needs, if they are new."""
    created = [j for j in range(begin) if thread[j].api == "CreateThread"]
    j = created[-1] if created else -1
    if j < 1 or thread[j - 1].api != "CreateEvent" or not _is_waiter(thread, j):
        return None
    new: Any = thread[j].args["new_tid"]
    does = next((call.api for call in threads.get(new, []) if not call.api.startswith("#")), "")
    return (j - 1, new) if does in ("", "WaitForMultipleObjects") else None


def _made_inside(thread: list[Call], begin: int, anchor: int) -> Any:
    """Name of the thread where it is made after the creation's events (1.1), or None."""
    for j in range(begin + 1, anchor):
        made = thread[j - 1].api == "CreateEvent" and thread[j].api == "CreateThread"
        if made and _is_waiter(thread, j):
            return thread[j].args["new_tid"]
    return None


def _is_waiter(thread: list[Call], j: int) -> bool:
    event = thread[j - 1].args
    return not event["manual"] and not event["inherit"] and begin_thread(thread, j)


def begin_thread(thread: list[Call], j: int) -> bool:
    """Whether the CreateThread at `j` is not that of the signal thread, which is the first."""
    return any(call.api == "CreateThread" for call in thread[:j])


def _end(thread: list[Call], i: int, kind: str, info: dict[str, Any], pid: Any) -> int | None:
    parent = info.get("parent")
    wanted = info.get("forker_finished", parent) if kind == FORK else parent
    for j in range(i + 1, len(thread)):
        call = thread[j]
        if kind == EXEC and call.api == "ExitProcess":
            return j
        if kind != EXEC and call.api == "CloseHandle" and call.args["h"] == wanted:
            return j if wanted == parent else _parent_kept(thread, i, j, parent)
        if call.api == "CreateProcess" and call.phase == "call":
            return None
    return None


def _parent_kept(thread: list[Call], i: int, j: int, parent: Any) -> int:
    """The end of a fork that closes its own handle for the child last, not after CreateProcess."""
    if not any(call.api == "CloseHandle" and call.args["h"] == parent for call in thread[i:j]):
        for k in range(j + 1, len(thread)):
            if thread[k].api == "CreateProcess":
                break
            if thread[k].api == "CloseHandle" and thread[k].args["h"] == parent:
                return k
    return j


def _child_part(window: Window, threads: Threads, calls: Sequence[Call]) -> None:
    child = window.made.args.get("child") if window.made is not None else None
    if not child:
        return
    mine = [call for call in calls if call.pid == child]
    starts = [c for c in mine if c.api in ("#process_start", "#native_start")]
    if not starts:
        window.child = mine[
            : next((i for i, c in enumerate(mine) if c.api == "CreateProcess"), None)
        ]
        return
    if starts[0].api != "#native_start" and not any(c.api not in _NOT_OURS for c in mine):
        return
    window.native = starts[0].api == "#native_start"
    if window.native:
        return
    main = threads[starts[0].tid]
    stop = "CreateThread" if window.kind == FORK else "WaitForSingleObject"
    for call in main:
        window.child.append(call)
        if call.api == stop and not (stop == "WaitForSingleObject" and _waits_for_mutex(call)):
            break
    if window.kind != FORK:
        _cut_crash(window)
    ready = window.info.get("subproc_ready")
    if str(ready).startswith("?"):
        return  # a handle's value, which others have had too
    others = [c for c in mine if c.tid != starts[0].tid]
    window.signal = [
        c for c in others if ready and c.api in ("SetEvent", "CloseHandle") and c.args["h"] == ready
    ]


def _cut_crash(window: Window) -> None:
    """A program that crashes before its signal thread runs: what it does after is the crash's."""
    own = {call.args["h"] for call in window.child if call.api == "CreateEvent"}
    if any(call.api == "CreateThread" for call in window.child):
        return
    for i, call in enumerate(window.child):
        if call.api == "SetEvent" and call.args["h"] in own:
            window.child = window.child[:i]
            return


def _waits_for_mutex(call: Call) -> bool:
    obj = next(iter(call.args.get("hs", ())), None)
    if isinstance(obj, KernelObject):
        return obj.kind == "mutex"
    return obj is None or str(obj)[:1] == "M"  # nothing at all: a mutex that was not made


def _waiter_part(window: Window, threads: Threads, tid: Any) -> None:
    """What wait_subproc does about this child: from its wake-up to the end of the child.

    Its waits are told as if they were for this child alone; which others live is not its matter.
    """
    _pipe_part(window, threads)
    if tid is None or window.kind == EXEC or window.made is None:
        return
    watched: Any = None
    woken: Call | None = None  # its last wake-up by word of a new child
    slot = 0
    add = window.waiter.append
    for call in threads.get(tid, []):
        args = call.args
        if call.api == "WaitForMultipleObjects" and args["ms"] == 0:
            window.leaving = window.leaving or (watched is None and not slot)
            window.cut = True
            return  # a last look before the process ends
        if call.api == "WaitForMultipleObjects" and call.phase == "call":
            if watched is None and not slot:
                if window.made.args.get("hproc") in args["hs"]:
                    watched = window.made.args["hproc"]
                    slot = args["hs"].index(watched)
                    if woken is not None:
                        add(woken._replace(args={**woken.args, "hs": woken.args["hs"][:1]}))
                    add(_for_one(call, watched))
            elif watched is None and slot < len(args["hs"]):
                watched = args["hs"][slot]
                add(_for_one(call, watched))
            else:
                slot = args["hs"].index(watched) if watched in args["hs"] else slot
        elif watched is None:
            if call.api == "WaitForMultipleObjects":
                woken = call if args.get("woke") == args["hs"][0] else None
        elif call.api == "WaitForMultipleObjects" and args.get("woke") == watched:
            add(_for_one(call, watched))
        elif call.api == "CloseHandle" and args["h"] == watched:
            add(call)
            watched = None
        elif call.api == "ReleaseSemaphore" and window.waiter[-1].phase == "return":
            add(call)
            window.over_us = call.t_us
            return


def _pipe_part(window: Window, threads: Threads) -> None:
    """What the thread does that reads the pipe by whose end a parent learns of its child's.

    A stub that becomes the parent of what it exec'ed has one too.
    """
    pipes = [call.args for call in window.parent if call.api == "CreatePipe"]
    end = pipes[-1].get("read") if pipes else None
    if end is not None:
        _one_waiter(window)
    for tid, thread in threads.items():
        if end is None or tid == window.anchor.tid or thread[0].pid != window.anchor.pid:
            continue
        closed = [i for i, c in enumerate(thread) if c.api == "CloseHandle" and c.args["h"] == end]
        if closed:
            window.over_us = thread[closed[0]].t_us
            window.waiter = _for_child(thread, closed[0])


def _one_waiter(window: Window) -> None:
    """Whether a thread was idle or had to be made is a matter of when earlier children ended."""
    part = window.parent
    i = next(i for i, call in enumerate(part) if call.api == "CreatePipe")
    for j in range(i, len(part)):
        if part[j].api in ("CreateThread", "SetEvent"):
            part[j] = part[j]._replace(api="#waiter")
            if part[j - 1].api == "ResetEvent":
                del part[j - 1]
            return


def _for_child(thread: list[Call], closed: int) -> list[Call]:
    """The calls of such a thread from the end of the pipe until it is idle.

    A look at a process whose handle is closed already does not count.
    """
    part: list[Call] = []
    for call in thread[closed:]:
        objects = call.args.get("hs", ())
        idle = call.api == "WaitForSingleObject" and not any(map(_is_process, objects))
        if idle or call.api == "ResetEvent":
            break
        if call.api != "SetEvent":
            part.append(call)
    return part


def _is_process(obj: Any) -> bool:
    return obj.kind == "process" if isinstance(obj, KernelObject) else str(obj).endswith(".proc")


def _for_one(call: Call, child: Any) -> Call:
    return call._replace(args={**call.args, "hs": [call.args["hs"][0], child]})
