"""Descriptor tables while a trace is read: which descriptor is which end of what.

Two descriptors that come from one another by dup or fork share one `End`; so an end that came
from outside learns its direction from the first read or write of any of them (rule 7 of the
traces' README).  Nothing here is known to the run: its tables follow from the ops.
"""

from __future__ import annotations

from typing import Any


class End:
    """What a descriptor refers to.

    kind, thing: kind letter and object number of the trace -- constant
    reads, writes: the channel it is a read or a write end of, -1 for none -- state
    unknown: the channel it is an end of while nobody knows which, else -1 -- state
    """

    __slots__ = ("kind", "reads", "thing", "unknown", "writes")

    def __init__(
        self, kind: str, thing: int, reads: int = -1, writes: int = -1, unknown: int = -1
    ) -> None:
        self.kind = kind
        self.thing = thing
        self.reads = reads
        self.writes = writes
        self.unknown = unknown

    def resolve(self, reads: bool) -> None:
        """It was read, or else written."""
        if reads:
            self.reads = self.unknown
        else:
            self.writes = self.unknown
        self.unknown = -1


class Table:
    """The descriptors of one process.

    ends: descriptor -> End, for all that are open -- state
    cloexec: those with close-on-exec -- state
    """

    __slots__ = ("cloexec", "ends")

    def __init__(self) -> None:
        self.ends: dict[int, End] = {}
        self.cloexec: set[int] = set()

    def copy(self) -> Table:
        """What a forked child has: other tables, the same ends."""
        child = Table()
        child.ends = self.ends.copy()
        child.cloexec = self.cloexec.copy()
        return child

    def put(self, fd: int, end: End, cloexec: int) -> None:
        """Open `fd`, in place of what it was."""
        self.ends[fd] = end
        self.set_cloexec(fd, cloexec)

    def set_cloexec(self, fd: int, on: int) -> None:
        """Set or clear close-on-exec."""
        if on:
            self.cloexec.add(fd)
        else:
            self.cloexec.discard(fd)

    def close(self, fd: int) -> bool:
        """Close `fd`; False if it was not open."""
        self.cloexec.discard(fd)
        return self.ends.pop(fd, None) is not None

    def gives_up(self, fd: int) -> bool:
        """Is `fd` this process's last hold on an end of a channel?"""
        end = self.ends.get(fd)
        if end is None or end.reads == end.writes == end.unknown:  # -1, all three
            return False
        return not any(other is end for held, other in self.ends.items() if held != fd)

    def drop_cloexec(self) -> None:
        """Close what an exec closes."""
        for fd in self.cloexec:
            del self.ends[fd]
        self.cloexec.clear()

    def reads(self, channel: int) -> bool:
        """Is any descriptor a read end of it? An end not known yet counts as one."""
        return any(channel in (end.reads, end.unknown) for end in self.ends.values())

    def equals(self, recorded: list[list[Any]]) -> bool:
        """Is it the table of a row, [[fd, kind, object, cloexec], ...]?"""
        ends, flagged = self.ends, self.cloexec
        if len(recorded) != len(ends):
            return False
        for fd, kind, thing, cloexec in recorded:
            end = ends.get(fd)
            if end is None or end.kind != kind or end.thing != thing or (fd in flagged) != cloexec:
                return False
        return True
