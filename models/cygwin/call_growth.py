"""By how much a heap has grown from one creation of a process to its next one like it.

What the programs of 1.7.7 have in their heaps at first is not known, nor which blocks are free, so
that no size can be told.  But who asks for the same again takes what it took before: unless the
process has touched its descriptors in between, the growth follows from the calls that a log has.

Source: the logs of 1.7.7, 47 such creations, of which none grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.cygwin.call_log import Call
from models.cygwin.call_windows import FORK, Threads, Window

_HARMLESS = frozenset({
    "WaitForSingleObject", "WaitForMultipleObjects", "SetEvent", "ResetEvent", "CloseHandle",
    "GetExitCodeProcess", "UnmapViewOfFile",
})  # fmt: skip


def followed(real: Sequence[Window], threads: Threads) -> dict[int, Window]:
    """Number of each creation of a log whose growth follows -> the creation that it follows on."""
    found: dict[int, Window] = {}
    newest: dict[object, Window] = {}
    for window in real:
        before = newest.get(window.anchor.pid)
        newest[window.anchor.pid] = window
        if before is not None and _same_again(window, before, threads):
            found[window.number] = before
    return found


def grown(window: Window, before: Window) -> int:
    """Bytes that the later of two creations hands over more."""
    return int(window.info["n"]) - int(before.info["n"])


def _same_again(window: Window, before: Window, threads: Threads) -> bool:
    """Whether a process asks for what it asked for before, and did nothing else to its heap."""
    if window.kind != before.kind or not (window.info.get("n") and before.info.get("n")):
        return False
    if window.kind != FORK and _asked(window) != _asked(before):
        return False
    thread: list[Call] = threads[window.anchor.tid]
    if before.anchor.tid != window.anchor.tid:
        return False
    return all(call.api in _HARMLESS for call in thread[before.last + 1 : window.place])


def _asked(window: Window) -> tuple[object, ...]:
    args = window.anchor.args
    return args["image"], args["cmd_len"], args["env_bytes"]
