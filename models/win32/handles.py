"""The handle table of a process: small numbers that stand for kernel objects.

Handles are multiples of 4; a closed one is the next to be given out (NT 4 to XP).  An inheritable
handle appears in a child under the same number.  Pseudo handles are resolved by the kernel calls.

Source: conformance cases `handle_*`, `inherit_*` and their notes on NT.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.win32.errors import ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, Win32Error
from models.win32.objects import KernelObject

CURRENT_PROCESS = 0xFFFFFFFF  # GetCurrentProcess()
CURRENT_THREAD = 0xFFFFFFFE  # GetCurrentThread()


ALL_ACCESS = 0x1F0FFF  # what a handle grants unless it was made for less


@dataclass(frozen=True, slots=True)
class Special:
    """What sets a handle apart from most. access: granted rights; protected: cannot be closed."""

    access: int = ALL_ACCESS
    protected: bool = False


class HandleTable:
    """Open handles of one process. Slot i stands for handle 4 * i; slot 0 is never used.

    special: by slot, the handles that are not like most; usually empty -- state
    """

    __slots__ = ("_free", "_inherit", "_objects", "special")

    def __init__(self) -> None:
        self._objects: list[KernelObject | None] = [None]
        self._inherit = bytearray(1)
        self._free: list[int] = []
        self.special: dict[int, Special] = {}

    def add(self, obj: KernelObject, inherit: bool) -> int:
        """A new handle to `obj`."""
        obj.refs += 1
        if self._free:
            i = self._free.pop()
            self._objects[i] = obj
            self._inherit[i] = inherit
        else:
            i = len(self._objects)
            self._objects.append(obj)
            self._inherit.append(inherit)
        return i << 2

    def get(self, handle: int) -> KernelObject:
        """The object behind `handle`. Raises Win32Error 6 if there is none."""
        try:
            obj = self._objects[handle >> 2]  # slot 0 and closed slots hold None
        except IndexError:
            obj = None
        if obj is not None and handle > 0:
            return obj
        raise _not_open(handle)

    def look(self, handle: int) -> KernelObject | None:
        """The object behind `handle`, None if there is none."""
        i = handle >> 2
        return self._objects[i] if 0 < i < len(self._objects) else None

    def remove(self, handle: int) -> KernelObject:
        """Close `handle`; the object, with one reference less.

        Raises Win32Error 6 if it is not open or protected from close.
        """
        i = handle >> 2
        try:
            obj = self._objects[i]  # NOTE: for speed: `get` written out, a quarter of the time
        except IndexError:
            obj = None
        if obj is None or handle < 0:
            raise _not_open(handle)
        if self.special and i in self.special:
            if self.special[i].protected:
                raise Win32Error(ERROR_INVALID_HANDLE, "handle", f"{handle:#x} is protected")
            del self.special[i]
        self._objects[i] = None
        self._inherit[i] = 0
        self._free.append(i)
        obj.refs -= 1
        return obj

    def inherits(self, handle: int) -> bool:
        """Whether a child would inherit `handle`. Raises Win32Error 6."""
        self.get(handle)
        return bool(self._inherit[handle >> 2])

    def set_inherit(self, handle: int, inherit: bool) -> None:
        """SetHandleInformation(HANDLE_FLAG_INHERIT). Raises Win32Error 6."""
        self.get(handle)
        self._inherit[handle >> 2] = inherit

    def mark(self, handle: int, special: Special) -> None:
        """Set `handle` apart. Raises Win32Error 6."""
        self.get(handle)
        self.special[handle >> 2] = special

    def marked(self, handle: int) -> Special:
        """What sets `handle` apart. Raises Win32Error 6."""
        self.get(handle)
        return self.special.get(handle >> 2, Special())

    def require(self, handle: int, access: int) -> None:
        """Raise Win32Error 5 unless `handle` grants all of `access`."""
        special = self.special.get(handle >> 2)
        if special is not None and access & ~special.access:
            raise Win32Error(ERROR_ACCESS_DENIED, "handle", f"{handle:#x} lacks {access:#x}")

    def inherited(self) -> HandleTable:
        """The table that a child created with bInheritHandles starts with."""
        child = HandleTable()
        inherit = self._inherit  # 1 only for open handles
        count = inherit.rfind(1) + 1
        if count:
            mine = self._objects
            objects: list[KernelObject | None] = [None] * count
            i = inherit.find(1)
            while i >= 0:
                obj = objects[i] = mine[i]
                obj.refs += 1  # type: ignore[union-attr]  # see above: it is open
                i = inherit.find(1, i + 1)
            free = [i for i in range(count - 1, 0, -1) if not inherit[i]]
            child._objects = objects
            child._inherit = inherit[:count]
            child._free = free
            if self.special:
                child.special = {i: s for i, s in self.special.items() if inherit[i]}
        return child

    def handles(self) -> list[int]:
        """All open handles, ascending."""
        return [i << 2 for i, obj in enumerate(self._objects) if obj is not None]

    def table(self) -> dict[int, KernelObject]:
        """What each open handle stands for."""
        return {i << 2: obj for i, obj in enumerate(self._objects) if obj is not None}

    def find(self, obj: KernelObject) -> int | None:
        """The lowest handle to `obj`, or None."""
        for i, mine in enumerate(self._objects):
            if mine is obj:
                return i << 2
        return None

    def __len__(self) -> int:
        return len(self._objects) - self._objects.count(None)

    def empty(self) -> list[KernelObject]:
        """Close everything at once (process exit); the objects, each with a reference less."""
        gone = []
        for obj in self._objects:
            if obj is not None:
                obj.refs -= 1
                gone.append(obj)
        del self._objects[1:], self._inherit[1:]
        self._free.clear()
        self.special.clear()
        return gone


def _not_open(handle: int) -> Win32Error:
    return Win32Error(ERROR_INVALID_HANDLE, "handle", f"{handle:#x} is not open")
