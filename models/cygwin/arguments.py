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
from typing import NamedTuple

from models.cygwin.cygheap.allocator import HeapFatal
from models.cygwin.cygheap.heap import Heap
from models.cygwin.cygheap.heap_layout import HeapLayout

EXEC_INFO_BYTES = HeapLayout.exec_info.words.size  # in 2001: 28


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
    pinfo: handle of the pinfo that goes along, 0 for none -- state
    """

    info: int
    vector: int
    strings: list[int]
    env_vector: int = 0
    env_strings: list[int] | None = None
    pinfo: int = 0


def put_argv(
    heap: Heap, arguments: Arguments, more_info_bytes: int = 0, copied: bool = True
) -> ArgumentBlocks:
    """Allocate and fill what belongs to argv: steps 1 to 6 of §b4.

    more_info_bytes: of exec information beyond the fixed part
    copied: the strings of argv are; of a script's, those in front are in any case
    Raises HeapFatal if there is no room where the code dies of that.
    """
    argv, era = arguments.argv, heap.era
    word_bytes, kind = era.word_bytes, era.argv_type
    info = heap.ccalloc(era.exec_type, 1, era.exec_info.words.size + more_info_bytes)
    if not info:
        raise HeapFatal("ccalloc would have returned NULL")
    levels = min(arguments.script, len(argv) - 1)
    argc = len(argv) - levels
    vector = heap.cmalloc(kind, (argc + 5) * word_bytes)
    strings: list[int] = []
    if levels > 0:
        path = heap.cstrdup1(argv[levels])
        for level in range(levels, 0, -1):
            vector = heap.crealloc(vector, (argc + 2) * word_bytes)
            strings.append(heap.cstrdup1(argv[level - 1]))
            argc += 1
        strings = [*strings[::-1], path]
        if copied:
            strings += heap.cstrdup1_many(argv[levels + 1 :])
    elif copied:
        strings = heap.cstrdup1_many(argv)
    _store(heap, vector, strings)
    return ArgumentBlocks(info, vector, strings)


def put_environment(heap: Heap, blocks: ArgumentBlocks, arguments: Arguments, pinfo: int) -> None:
    """Allocate and fill the environment, steps 7 and 8, and complete the exec information."""
    era = heap.era
    places = len(arguments.env) + era.env_spare
    blocks.env_vector = heap.cmalloc(era.argv_type, places * era.word_bytes)
    if not blocks.env_vector:
        raise HeapFatal("cmalloc would have returned NULL")
    blocks.env_strings = heap.cstrdup1_many(arguments.env)
    _store(heap, blocks.env_vector, blocks.env_strings)
    put_info(heap, blocks, pinfo)


def put_info(heap: Heap, blocks: ArgumentBlocks, pinfo: int) -> None:
    """Complete the exec information; `pinfo` is the handle of a pinfo to go along, 0 for none."""
    assert blocks.env_strings is not None
    blocks.pinfo = pinfo
    packed = heap.era.exec_info.packed(
        len(blocks.strings), blocks.vector, len(blocks.env_strings), blocks.env_vector, pinfo
    )
    heap.memory.write(blocks.info - heap.base, packed)


def free_arguments(heap: Heap, blocks: ArgumentBlocks) -> None:
    """What a parent that goes on frees, in the order of its destructors (§b5)."""
    argv = [*blocks.strings, blocks.vector]
    rest = [blocks.info]
    if blocks.env_strings is not None:
        rest = [*blocks.env_strings, blocks.env_vector, blocks.info]
    heap.cfree_many([*rest, *argv] if heap.era.environment_first else [*argv, *rest])


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


def read_arguments(heap: Heap, info: int) -> Handed:
    """Read the exec information at `info` and what it points to."""
    layout = heap.era.exec_info
    words = layout.words.unpack(heap.memory.read(info - heap.base, layout.words.size))
    env = _load(heap, words[layout.envp], words[layout.envc])
    pinfo = 0 if layout.pinfo is None else words[layout.pinfo]
    return Handed(info, words[layout.argv], words[layout.envp], env, pinfo)


def argv_of(heap: Heap, info: int, vector: int) -> list[int]:
    """Addresses of the arguments in `vector`, as many as the exec information says."""
    layout = heap.era.exec_info
    words = layout.words.unpack(heap.memory.read(info - heap.base, layout.words.size))
    return _load(heap, vector, words[layout.argc])


def _load(heap: Heap, vector: int, count: int) -> list[int]:
    if not count:
        return []  # then there may be no vector either
    era = heap.era
    content = heap.memory.read(vector - heap.base, era.word_bytes * count)
    return memoryview(content).cast(era.word_code).tolist()


def _store(heap: Heap, vector: int, pointers: list[int]) -> None:
    heap.memory.write(vector - heap.base, array(heap.era.word_code, [*pointers, 0]).tobytes())
