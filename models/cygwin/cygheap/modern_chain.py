"""A chain of execs in the 64-bit cygheap: what each allocates, who frees it, and what stays.

Only the heap: no process, no time.  Strings are given by their lengths, since the heap sees nothing
else of them.

Source: MODERN.md §5; the start of a first process as the recorded chains have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from models.cygwin.cygheap.modern import ModernHeap
from models.cygwin.cygheap.modern_layout import ModernEra, ModernType
from models.win32.memory import Memory

BASE = 0x800000000  # memory_layout.h
POINTER_BYTES = 8
EXEC_INFO_BYTES = 48  # sigproc.cc: without unreaped children
FHANDLER_BYTES = 568  # of a console, as the recorded chains have it
ARGV_SPARE, ENV_SPARE = 5, 11  # pointers beyond the strings, winf.h and environ.cc
LONGEST_SHORT = 15  # characters of a string that gets a block of the smallest class
SHORT_BLOCK_BYTES = 48  # what such a string takes


@dataclass(frozen=True)
class Request:
    """What one exec or spawn passes on. Every field is *input*.

    argv, env: lengths of the arguments and of the NAME=VALUE strings, without their 0 byte
    added: lengths of the variables that the DLL adds where they are missing
    tagged: whether the blocks are marked as the next image's; all real ones are
    """

    argv: tuple[int, ...]
    env: tuple[int, ...]
    added: tuple[int, ...] = ()
    tagged: bool = True

    @property
    def short_strings(self) -> int:
        """How many of its strings fit a block of the smallest class."""
        return sum(n <= LONGEST_SHORT for n in (*self.argv, *self.env, *self.added))


class Passed(NamedTuple):
    """The user addresses of what a `Request` became."""

    info: int
    vector: int
    argv: list[int]
    env_vector: int
    env: list[int]


def first_heap(era: ModernEra) -> ModernHeap:
    """The heap of a first process when it is ready to exec: signals, fd table, cwd, a console."""
    heap = ModernHeap.first_process(era, Memory(era.reserve_bytes), BASE)
    heap.ccalloc_abort(ModernType.HEAP_SIGS, 65, 24)
    heap.ccalloc_abort(ModernType.HEAP_TLS, 256, 16)
    heap.ccalloc(ModernType.HEAP_ARGV, 32, POINTER_BYTES)
    heap.crealloc_abort(0, 44)
    heap.crealloc_abort(0, 10)
    for text in (b"cgf", b"TROLL", b"cgf", b"C:\\Windows"):
        heap.cstrdup(text)
    heap.crealloc_abort(0, 64)
    heap.ccalloc(ModernType.HEAP_FHANDLER, 1, FHANDLER_BYTES)
    for _ in range(3):
        heap.ccalloc(ModernType.HEAP_FHANDLER, 1, FHANDLER_BYTES)
        heap.cstrdup(b"/dev/pty0")
        heap.cstrdup(b"/dev/pty0")
    return heap


def allocate(heap: ModernHeap, request: Request) -> Passed:
    """What the parent allocates for an exec or spawn, in its order."""
    argv_kind, info_kind, copy = ModernType.HEAP_ARGV, ModernType.HEAP_BUF, heap.cstrdup
    if request.tagged:
        argv_kind, info_kind = ModernType.HEAP_1_ARGV, ModernType.HEAP_1_EXEC
        copy = heap.cstrdup1
    info = heap.ccalloc_abort(info_kind, 1, EXEC_INFO_BYTES)
    vector = heap.cmalloc(argv_kind, (len(request.argv) + ARGV_SPARE) * POINTER_BYTES)
    argv = [copy(b"x" * n) for n in request.argv]
    env_vector = heap.cmalloc(argv_kind, (len(request.env) + ENV_SPARE) * POINTER_BYTES)
    env = [copy(b"x" * n) for n in (*request.env, *request.added)]
    return Passed(info, vector, argv, env_vector, env)


def release(heap: ModernHeap, passed: Passed) -> None:
    """What a parent that lives on frees, in its order."""
    for user in (*passed.env, passed.env_vector, passed.info, *passed.argv, passed.vector):
        heap.cfree(user)


def exec_chain(
    era: ModernEra,
    requests: Iterator[Request],
    forked: bool = False,
    spawned: Request | None = None,
) -> Iterator[ModernHeap]:
    """The heap of each image of a chain of execs, before it does anything of its own.

    It is the image's own: it changes when the chain goes on.

    forked: a fork comes before each exec but the first, and its child is who execs
    spawned: what each image spawns before its exec; the image outlives that child
    """
    heap = first_heap(era)
    for i, request in enumerate(requests):
        if forked and i:
            heap = heap.child()
            heap.walk(False)
        if spawned is not None:
            release(heap, allocate(heap, spawned))
        passed = allocate(heap, request)
        heap = heap.child()
        heap.walk(True)
        yield heap
        heap.cfree(passed.env_vector)  # the image has copied it to its malloc heap
