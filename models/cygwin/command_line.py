"""argv and environment of a Cygwin without a cygheap: by command line and environment block.

CreateProcess puts both into the new process, whatever that is linked with.  The DLL there makes
argv and environ of them, in the user heap, where a fork copies them with everything else.

Source: CYGWIN.md §0, §i: before the heap there was nothing else to pass them by; that they lie at
the user heap's beginning is assumed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from models.cygwin.arguments import argv_of

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess

_WORD = 4


class Parameters(NamedTuple):
    """What CreateProcess copies into the child beside child_info. Every field is *input*.

    descriptors: what lpReserved2 has behind child_info (`data_table.py`)
    command_line, environment: strings, each with its NUL
    directory: the current directory
    """

    descriptors: bytes
    command_line: bytes
    environment: bytes
    directory: bytes


def block(texts: Iterable[bytes]) -> bytes:
    """Strings as one after the other, each with its NUL."""
    return b"".join(text + b"\0" for text in texts)


def given(p: CygwinProcess) -> Parameters:
    """What this process was given by whoever made it."""
    found = p.me.process.parameters
    assert isinstance(found, Parameters)
    return found


def take(p: CygwinProcess) -> None:
    """Make environ and argv of what CreateProcess put there."""
    found = given(p)
    blocks = found.environment, found.command_line
    texts = [part.split(b"\0")[:-1] for part in blocks]
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
    memory.write(0, array("I", words).tobytes() + b"".join(blocks))


def argv(p: CygwinProcess) -> Sequence[int]:
    """Addresses of the arguments, in whatever heap they lie; none in a first process."""
    if not p.argv:
        return []
    if p.version.has_heap:
        return argv_of(p.heap, p.exec_info, p.argv)
    memory, at = p.me.process.space.memory_at(p.argv)
    return memoryview(memory.read(at + _WORD, _WORD * memory.read32(at))).cast("I").tolist()


def string(p: CygwinProcess, address: int) -> bytes:
    """The C string at an address of argv or of the environment, in whatever heap it lies."""
    if p.version.has_heap:
        return p.heap.string(address)
    memory, at = p.me.process.space.memory_at(address)
    end = p.user_heap.base + p.user_heap_bytes
    return memory.read(at, end - address).partition(b"\0")[0]
