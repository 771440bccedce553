"""Processes in the shared section: a table of records, as every Cygwin before the cygheap had it.

A record is found by its pid, which is no Windows pid: whoever makes a process takes the next free
number, and the process that it becomes part of by an exec keeps it.  A record lasts until somebody
has waited for its process, or until the end of one that nobody can wait for.

What must stay true: whoever takes a record has the mutex that guards them.  Nothing here is timed.

Source: calls of the logs of 1.1.1 and 1.1.3: a mutex of that name is taken before each fork, and no
process has a section of its own.  Assumed: where the records lie, how many there are, that numbers
begin with 1000 and go up.
"""

from __future__ import annotations

from models.win32.memory import Memory

FIRST_PID = 1000
RECORDS = 128
RECORD_BYTES = 1024
_TABLE = 0x8000  # behind the mounts
_LAST = _TABLE - 4  # the number that was given last
PID, _IN_USE, PPID = 0, 4, 24  # words of a record, between those that every pinfo has
_ROOT, ROOT_BYTES = 64, 261


class Record:
    """One process's record, as some process sees it. memory, offset: where it lies -- constant"""

    __slots__ = ("_memory", "_offset")

    def __init__(self, memory: Memory, offset: int) -> None:
        self._memory = memory
        self._offset = offset

    def read32(self, word: int) -> int:
        """A word of it."""
        return self._memory.read32(self._offset + word)

    def write32(self, word: int, value: int) -> None:
        """Change a word of it."""
        self._memory.write32(self._offset + word, value)

    @property
    def pid(self) -> int:
        """Whose it is."""
        return self.read32(PID)

    @property
    def root(self) -> bytes:
        """The root of its names, b"" where there was no chroot."""
        return self._memory.read(self._offset + _ROOT, ROOT_BYTES).partition(b"\0")[0]

    @root.setter
    def root(self, name: bytes) -> None:
        self._memory.write(self._offset + _ROOT, name.ljust(ROOT_BYTES, b"\0"))

    def free(self) -> None:
        """Its process is over, and whoever could ask for it has."""
        self.write32(_IN_USE, 0)


def allocate(memory: Memory) -> Record | None:
    """The record of a new process, cleared but for its pid; None if all are in use."""
    last = memory.read32(_LAST) or FIRST_PID - 1
    for pid in range(last + 1, last + 1 + RECORDS):
        record = _at(memory, pid)
        if not record.read32(_IN_USE):
            memory.write(_offset(pid), bytes(RECORD_BYTES))
            record.write32(PID, pid)
            record.write32(_IN_USE, 1)
            memory.write32(_LAST, pid)
            return record
    return None


def find(memory: Memory, pid: int) -> Record | None:
    """The record of that process, None if there is none such."""
    record = _at(memory, pid)
    return record if record.read32(_IN_USE) and record.pid == pid else None


def _at(memory: Memory, pid: int) -> Record:
    return Record(memory, _offset(pid))


def _offset(pid: int) -> int:
    return _TABLE + pid % RECORDS * RECORD_BYTES
