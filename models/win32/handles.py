"""The handle table of a process: small numbers that stand for kernel objects.

Handles are multiples of 4; a closed one is the next to be given out (NT 4 to XP).  An inheritable
handle appears in a child under the same number.  Pseudo handles are resolved by the kernel calls.

Source: conformance cases `handle_*`, `inherit_*` and their notes on NT.
"""

from __future__ import annotations

from models.win32.errors import ERROR_INVALID_HANDLE, Win32Error
from models.win32.objects import KernelObject

CURRENT_PROCESS = 0xFFFFFFFF  # GetCurrentProcess()
CURRENT_THREAD = 0xFFFFFFFE  # GetCurrentThread()


class HandleTable:
    """Open handles of one process. Slot i stands for handle 4 * i; slot 0 is never used."""

    __slots__ = ("_free", "_inherit", "_objects")

    def __init__(self) -> None:
        self._objects: list[KernelObject | None] = [None]
        self._inherit = bytearray(1)
        self._free: list[int] = []

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
        raise Win32Error(ERROR_INVALID_HANDLE, "handle", f"{handle:#x} is not open")

    def remove(self, handle: int) -> KernelObject:
        """Close `handle`; the object, with one reference less. Raises Win32Error 6."""
        i = handle >> 2
        obj = self.get(handle)
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

    def inherited(self) -> HandleTable:
        """The table that a child created with bInheritHandles starts with."""
        child = HandleTable()
        inherit = self._inherit  # 1 only for open handles
        count = inherit.rfind(1) + 1
        if count:
            mine = self._objects
            objects: list[KernelObject | None] = [None] * count
            free = []
            for i in range(count - 1, 0, -1):
                if inherit[i]:
                    obj = objects[i] = mine[i]
                    obj.refs += 1  # type: ignore[union-attr]  # see above: it is open
                else:
                    free.append(i)
            child._objects = objects
            child._inherit = inherit[:count]
            child._free = free
        return child

    def handles(self) -> list[int]:
        """All open handles, ascending."""
        return [i << 2 for i, obj in enumerate(self._objects) if obj is not None]

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
        gone = [obj for obj in self._objects if obj is not None]
        for obj in gone:
            obj.refs -= 1
        self._objects = [None]
        self._inherit = bytearray(1)
        self._free = []
        return gone
