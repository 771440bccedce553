"""argv and environment of a Cygwin without a cygheap: by command line and environment block.

CreateProcess puts both into the new process, whatever that is linked with.  The DLL there makes
argv and environ of them, in the user heap, where a fork copies them with everything else.

Source: CYGWIN.md §0, §i: before the heap there was nothing else to pass them by; that they lie at
the user heap's beginning is assumed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.cygwin.child_info import ChildInfo
    from models.cygwin.process import CygwinProcess

_WORD = 4


def block(texts: Iterable[bytes]) -> bytes:
    """Strings as one after the other, each with its NUL."""
    return b"".join(text + b"\0" for text in texts)


def take(p: CygwinProcess, info: ChildInfo) -> None:
    """Make environ and argv of what CreateProcess put there."""
    texts = [part.split(b"\0")[:-1] for part in (info.environment, info.command_line)]
    base = at = p.user_heap.base
    p.environ, p.argv = at, at + _WORD * (1 + len(texts[0]))
    at = p.argv + _WORD * (1 + len(texts[1]))
    words: list[int] = []
    for part in texts:
        words.append(len(part))
        for text in part:
            words.append(at)
            at += len(text) + 1
    p.grow_user_heap(at - base)
    memory = p.user_heap.memory
    assert memory is not None
    memory.write(0, array("I", words).tobytes() + info.environment + info.command_line)


def argv(p: CygwinProcess) -> Sequence[int]:
    """Addresses of the arguments; none in a first process."""
    if not p.argv:
        return []
    memory, at = p.me.process.space.memory_at(p.argv)
    return memoryview(memory.read(at + _WORD, _WORD * memory.read32(at))).cast("I").tolist()


def string(p: CygwinProcess, address: int) -> bytes:
    """The C string at an address of the user heap."""
    memory, at = p.me.process.space.memory_at(address)
    end = p.user_heap.base + p.user_heap_bytes
    return memory.read(at, end - address).partition(b"\0")[0]
