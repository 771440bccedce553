"""The DLL's own variables where fork copies them from: its bss.

What the runtime keeps in a `CygwinProcess` the real DLL keeps in variables, and a fork child has
them because its parent writes the whole bss into it.  So they are put there before, and read from
there after.  A Cygwin without a cygheap has more of them: the directory, and the table of what is
open.

Source: fork.cc of 4abaaac33 and aa9d50a1c (CYGWIN.md §c2); the places in the bss are assumed.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from models.cygwin.data_table import packed, unpacked
from models.cygwin.errors import ApiFatal

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess

# The bss begins with environ, argv, exec information and the end of the user heap; the list heads
# of era A's cygheap follow here, or without a heap what else there is, behind its lengths.
_HEADS = 64
_LENGTHS = 8


def save(p: CygwinProcess) -> None:
    """Put what the DLL keeps in variables where fork copies it from."""
    memory, at = p.me.process.space.memory_at(p.version.dll_bss[0])
    words = [p.environ, p.argv, p.exec_info, p.user_heap_bytes]
    packed = array(p.version.era.word_code, words).tobytes()
    if memory.read(at, len(packed)) != packed:  # the page stays shared if nothing has changed
        memory.write(at, packed)
    if not p.version.has_heap:
        _save_table(p)
    elif p.heap.buckets is not None:
        memory.write(at + _HEADS, array("I", p.heap.buckets).tobytes())


def load(p: CygwinProcess) -> None:
    """What a fork child finds in its bss once the parent has written it."""
    memory, at = p.me.process.space.memory_at(p.version.dll_bss[0])
    era = p.version.era
    words = memoryview(memory.read(at, 4 * era.word_bytes)).cast(era.word_code)
    p.environ, p.argv, p.exec_info, p.user_heap_bytes = words
    if not p.version.has_heap:
        _load_table(p)
    elif p.heap.buckets is not None:
        heads = memoryview(memory.read(at + _HEADS, 128)).cast("I")
        p.heap.buckets[:] = heads.tolist()


def _save_table(p: CygwinProcess) -> None:
    """Directory and descriptors. Raises ApiFatal where they are more than the bss can hold."""
    memory, at = p.me.process.space.memory_at(p.version.dll_bss[0] + _HEADS)
    parts = p.directory, packed(p.fds)
    room = p.version.dll_bss[1] - _HEADS - _LENGTHS
    if sum(map(len, parts)) > room:
        raise ApiFatal(f"{len(p.fds.open)} descriptors do not fit in {room} bytes")
    memory.write(at, array("I", map(len, parts)).tobytes() + b"".join(parts))


def _load_table(p: CygwinProcess) -> None:
    memory, at = p.me.process.space.memory_at(p.version.dll_bss[0] + _HEADS)
    lengths = memory.read32(at), memory.read32(at + 4)
    p.directory = memory.read(at + _LENGTHS, lengths[0])
    p.fds = unpacked(memory.read(at + _LENGTHS + lengths[0], lengths[1]))
