"""What an exec or a spawn puts into the cygheap for its child, and who frees it.

In this order, all of it tagged: the exec information, the argument vector, for a script the
interpreter in front, each argument, the environment vector, each variable (CYGWIN.md §b4).  The
child takes argv and environment from there; the blocks die two generations later, unless the
parent survives and frees them itself (§b5).

What the strings say is not in a recorded trace: they are letters of the right length (assumed).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.layout import HeapType

EXEC_INFO_BYTES = 28  # uid, old_title, argc, argv, envc, envp, pinfo handle
_INFO = Struct("<IIIIIII")


class Arguments(NamedTuple):
    """What a program is started with.

    argv, env: strings without NUL -- input
    script: how many interpreters `argv` begins with: levels of #! lines without options -- input
    """

    argv: Sequence[bytes]
    env: Sequence[bytes]
    script: int = 0


@dataclass(slots=True)
class ArgumentBlocks:
    """Addresses of the blocks of one exec or spawn.

    info: cygheap_exec_info -- constant
    vector, strings: argv -- constant
    env_vector, env_strings: environment, 0 and () until they are made -- state
    """

    info: int
    vector: int
    strings: list[int]
    env_vector: int = 0
    env_strings: list[int] | None = None


def put_argv(heap: Cygheap, arguments: Arguments) -> ArgumentBlocks:
    """Allocate and fill what belongs to argv: steps 1 to 6 of §b4."""
    argv = arguments.argv
    info = heap.ccalloc(HeapType.HEAP_1_EXEC, 1, EXEC_INFO_BYTES)
    levels = min(arguments.script, len(argv) - 1)
    argc = len(argv) - levels
    vector = heap.cmalloc(HeapType.HEAP_1_ARGV, (argc + 5) * 4)
    strings: list[int] = []
    if levels > 0:
        path = heap.cstrdup1(argv[levels])
        for level in range(levels, 0, -1):
            vector = heap.crealloc(vector, (argc + 2) * 4)
            strings.append(heap.cstrdup1(argv[level - 1]))
            argc += 1
        strings = [*strings[::-1], path, *heap.cstrdup1_many(argv[levels + 1 :])]
    else:
        strings = heap.cstrdup1_many(argv)
    _store(heap, vector, strings)
    return ArgumentBlocks(info, vector, strings)


def put_environment(
    heap: Cygheap, blocks: ArgumentBlocks, arguments: Arguments, pinfo: int
) -> None:
    """Allocate and fill the environment, steps 7 and 8, and complete the exec information."""
    blocks.env_vector = heap.cmalloc(HeapType.HEAP_1_ARGV, (len(arguments.env) + 1) * 4)
    blocks.env_strings = heap.cstrdup1_many(arguments.env)
    _store(heap, blocks.env_vector, blocks.env_strings)
    packed = _INFO.pack(0, 0, len(blocks.strings), blocks.vector,
                        len(blocks.env_strings), blocks.env_vector, pinfo)  # fmt: skip
    heap.memory.write(blocks.info - heap.base, packed)


def free_arguments(heap: Cygheap, blocks: ArgumentBlocks) -> None:
    """What a parent that goes on frees, in the order of its destructors (§b5)."""
    heap.cfree_many([*blocks.strings, blocks.vector])
    if blocks.env_strings is not None:
        heap.cfree_many([*blocks.env_strings, blocks.env_vector])
    heap.cfree(blocks.info)


class Handed(NamedTuple):
    """What a child finds in the heap. Every field is *output*; addresses.

    vector, env_vector: the two vectors; env: the strings of the environment
    pinfo: handle of the pinfo that an exec hands on
    """

    info: int
    vector: int
    env_vector: int
    env: list[int]
    pinfo: int


def read_arguments(heap: Cygheap, info: int) -> Handed:
    """Read the exec information at `info` and what it points to."""
    memory, base = heap.memory, heap.base
    _, _, _, vector, envc, env_vector, pinfo = _INFO.unpack(
        memory.read(info - base, EXEC_INFO_BYTES)
    )
    env = memoryview(memory.read(env_vector - base, 4 * envc)).cast("I").tolist()
    return Handed(info, vector, env_vector, env, pinfo)


def _store(heap: Cygheap, vector: int, pointers: list[int]) -> None:
    heap.memory.write(vector - heap.base, array("I", [*pointers, 0]).tobytes())
