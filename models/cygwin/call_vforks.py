"""A vfork in a call log: where a process copied its descriptor table for a guest.

vfork duplicates the handle of every descriptor, the lowest first, and a release that keeps
close-on-exec flags does so twice.  No other call does that to a whole table, so it is found by its
duplicates alone.  What follows until the next spawn is the guest's; the handles of the copy are
closed after it.

Source: dtable.cc (vfork_child_dup, vfork_parent_restore); logs `vfork-make`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from models.cygwin.call_log import Call

_NOT_OURS = ("VirtualAlloc", "VirtualQuery")  # the heap grows in between


class Copy(NamedTuple):
    """The table of a guest.

    end: place of the first call after the duplicates -- constant
    handles: handle value -> descriptor; cloexec: descriptors whose handle is not inherited
    """

    end: int
    handles: dict[int, int]
    cloexec: set[int]


def copied_table(handles: Mapping[int, int], main: Sequence[Call], i: int) -> Copy | None:
    """The copy of a whole table that begins with the call at `i`, None if none does."""
    if not handles or main[i].api != "DuplicateHandle":
        return None
    made: dict[int, int] = {}
    cloexec: set[int] = set()
    for fd, source in sorted((fd, hv) for hv, fd in handles.items()):
        i = _ours(main, i)
        if not _is_duplicate(main, i, source):
            return None
        last = main[i]
        i = _ours(main, i + 1)
        if _is_duplicate(main, i, last.args["dst_hv"]):  # once more, as the flag wants it
            first, last = last.args["dst_hv"], main[i]
            i = _ours(main, i + 1)
            if i < len(main) and main[i].api == "CloseHandle" and main[i].args["hv"] == first:
                i += 1
        made[last.args["dst_hv"]] = fd
        if not last.args["inherit"]:
            cloexec.add(fd)
    return Copy(i, made, cloexec)


def _ours(main: Sequence[Call], i: int) -> int:
    while i < len(main) and main[i].api in _NOT_OURS:
        i += 1
    return i


def _is_duplicate(main: Sequence[Call], i: int, source: int) -> bool:
    if i >= len(main) or main[i].api != "DuplicateHandle":
        return False
    args, pid = main[i].args, main[i].pid
    return bool(args["src_proc"] == args["dst_proc"] == pid and args["src_hv"] == source)
