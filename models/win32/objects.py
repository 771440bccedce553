"""Kernel objects: what a handle can stand for.

An object lives as long as a handle (`refs`) or a view of it exists.  Objects that a thread can
wait for say whether they are signalled for that thread, and what a satisfied wait takes from them.
They do not wake anybody: `waits.py` does.

Source: the conformance cases of `tests/data/win32` and the Win32 documentation they quote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.win32.memory import Memory

if TYPE_CHECKING:
    from models.win32.thread import Thread
    from models.win32.waits import Wait


class KernelObject:
    """Anything behind a handle.

    refs: open handles in all processes -- state
    waiters: waits that name this object, oldest first -- state
    role: what the program uses it for; for messages and charts only -- input
    """

    __slots__ = ("refs", "role", "waiters")
    kind = "object"
    waitable = False  # *constant*: a thread can wait for it

    def __init__(self) -> None:
        self.refs = 0
        self.role = ""
        self.waiters: list[Wait] = []

    def is_signalled(self, thread: Thread) -> bool:
        """Whether a wait of `thread` would be satisfied now."""
        return False

    def take(self, thread: Thread) -> bool:
        """What a satisfied wait does to the object; True if it was an abandoned mutex."""
        return False


class Event(KernelObject):
    """CreateEvent. manual: stays set until ResetEvent; otherwise one wait takes it."""

    __slots__ = ("is_set", "manual")
    kind = "event"
    waitable = True

    def __init__(self, manual: bool, is_set: bool, role: str = "") -> None:
        self.refs = 0
        self.role = role
        self.waiters = []
        self.manual = manual
        self.is_set = is_set

    def is_signalled(self, thread: Thread) -> bool:
        """Whether it is set."""
        return self.is_set

    def take(self, thread: Thread) -> bool:
        """An auto-reset event is taken by the wait that it satisfies."""
        if not self.manual:
            self.is_set = False
        return False


class Mutex(KernelObject):
    """CreateMutex: owned by a thread, recursively; abandoned if the owner ends."""

    __slots__ = ("abandoned", "count", "owner")
    kind = "mutex"
    waitable = True

    def __init__(self, owner: Thread | None = None) -> None:
        super().__init__()
        self.owner = owner
        self.count = 1 if owner else 0
        self.abandoned = False
        if owner is not None:
            owner.owned.append(self)

    def is_signalled(self, thread: Thread) -> bool:
        """Whether it is free or owned by `thread` itself."""
        return self.owner is None or self.owner is thread

    def take(self, thread: Thread) -> bool:
        """`thread` owns it once more; True if its last owner ended without releasing it."""
        if self.owner is None:
            self.owner = thread
            thread.owned.append(self)
        self.count += 1
        was, self.abandoned = self.abandoned, False
        return was


class Semaphore(KernelObject):
    """CreateSemaphore: a count from 0 to `maximum`."""

    __slots__ = ("count", "maximum")
    kind = "semaphore"
    waitable = True

    def __init__(self, count: int, maximum: int, role: str = "") -> None:
        self.refs = 0
        self.role = role
        self.waiters = []
        self.count = count
        self.maximum = maximum

    def is_signalled(self, thread: Thread) -> bool:
        """Whether the count is above zero."""
        return self.count > 0

    def take(self, thread: Thread) -> bool:
        """One less."""
        self.count -= 1
        return False


class Section(KernelObject):
    """CreateFileMapping on the paging file.

    size_bytes: as asked for -- constant
    memory: its pages, shared by every view -- state
    views: mapped views in all processes -- state
    name: the name it can be opened by, or "" -- constant
    """

    __slots__ = ("memory", "name", "size_bytes", "views")
    kind = "section"

    def __init__(self, size_bytes: int, name: str = "", role: str = "") -> None:
        self.refs = 0
        self.role = role
        self.waiters = []
        self.size_bytes = size_bytes
        self.memory = Memory(size_bytes)
        self.views = 0
        self.name = name


class File(KernelObject):
    """A file, device or socket opened by a program: here only its handle matters."""

    __slots__ = ("what",)
    kind = "file"

    def __init__(self, what: str) -> None:
        self.refs = 0
        self.role = what
        self.waiters = []
        self.what = what


class Pipe:
    """CreatePipe: `capacity_bytes` between a write end and a read end.

    held_bytes: written and not yet read -- state
    """

    __slots__ = ("capacity_bytes", "closers", "held_bytes", "name", "read_end", "readers",
                 "write_end", "writers")  # fmt: skip

    def __init__(self, capacity_bytes: int, name: str = "") -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self.name = name
        self.read_end = PipeEnd(self, writes=False)
        self.write_end = PipeEnd(self, writes=True)
        self.readers: list[Thread] = []  # threads held in ReadFile, oldest first
        self.writers: list[Thread] = []  # threads held in WriteFile, oldest first
        self.closers: list[Thread] = []  # threads held in CloseHandle of an end in use


class PipeEnd(KernelObject):
    """One end of a pipe; the pipe breaks when the last handle to the other end is closed."""

    __slots__ = ("pipe", "writes")
    kind = "pipe"

    def __init__(self, pipe: Pipe, writes: bool) -> None:
        super().__init__()
        self.pipe = pipe
        self.writes = writes
        self.role = "write end" if writes else "read end"
