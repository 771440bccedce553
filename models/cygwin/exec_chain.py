"""A chain of execs seen by the cygheap alone: the parent lays out, the child takes over and walks.

Each exec is what spawn.cc and dcrt0.cc do to the heap and nothing else: the argument set of §b4,
the transfer of [base, max), the walk, and the free of the environment's vector.  No process, no
time.  What must stay true: with the requests of the golden traces h07, h08, h10 and h11 every
`cygheap_max` is theirs, and so is every block and list head.

Source: CYGWIN.md §b; the strings are those of the golden traces.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

from models.cygwin.arguments import (
    EXEC_INFO_BYTES,
    ArgumentBlocks,
    Arguments,
    put_argv,
    put_environment,
)
from models.cygwin.cygheap import audits
from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.heap import Heap
from models.cygwin.cygheap.heap_layout import HeapLayout
from models.cygwin.cygheap.layout import Era, HeapType
from models.cygwin.cygheap.modern_audit import ModernBlock
from models.cygwin.cygheap.transfer import transferred
from models.cygwin.descriptors import CONSOLE, DescriptorTable
from models.win32.memory import Memory

BASE = 0x61100000  # where the golden traces have the heap, golden README
TAGGED, UNTAGGED, OLD_APPLICATION = "tagged", "untagged", "untagged-old-app"
TAGS = (TAGGED, UNTAGGED, OLD_APPLICATION)

_ENV = (
    b"PATH=/usr/local/bin:/usr/bin:/bin:/cygdrive/c/WINNT/system32:/cygdrive/c/WINNT",
    b"HOME=/home/cgf",
    b"USER=cgf",
    b"SHELL=/bin/bash",
    b"TERM=cygwin",
    b"TMP=/tmp",
    b"TEMP=/tmp",
    b"OS=Windows_NT",
    b"COMPUTERNAME=TROLL",
    b"PS1=$ ",
    b"PWD=/home/cgf",
    b"SHLVL=1",
    b"LOGONSERVER=\\\\TROLL",
    b"USERDOMAIN=TROLL",
    b"SYSTEMROOT=C:\\WINNT",
    b"SYSTEMDRIVE=C:",
    b"HOMEDRIVE=C:",
    b"HOMEPATH=\\",
    b"PROCESSOR_ARCHITECTURE=x86",
    b"NUMBER_OF_PROCESSORS=1",
    b"LANG=C",
    b"EDITOR=vi",
    b"PAGER=less",
    b"MAKE_MODE=unix",
    b"_=/usr/bin/make",
)
_COMPILE = b"gcc -O2 -c foo.c -o foo.o"
_SCRIPT = b"/home/user/bin/script"
_COMMANDS = (
    b"ls -l",
    b"make -j2 all",
    None,  # sh -c with _COMPILE
    b"gcc -O2 -g -Wall -c foo.c -o foo.o",
    b"/usr/lib/gcc-lib/i686-pc-cygwin/2.95.3/cc1.exe foo.i -quiet -dumpbase foo.c -O2 -o foo.s",
    b"true",
)


def constant_arguments(number: int) -> Arguments:
    """The same set at every exec: 3 arguments, 25 variables (golden h07 and h08)."""
    return Arguments((b"sh", b"-c", _COMPILE), _ENV)


def varying_arguments(number: int) -> Arguments:
    """Set `number` (from 0) of a chain whose shapes change (golden h10)."""
    words = _COMMANDS[number % len(_COMMANDS)]
    argv = (b"sh", b"-c", _COMPILE) if words is None else tuple(words.split())
    env = [text for text in _ENV if number % 3 or not text.startswith(b"TMP=")]
    env[env.index(b"SHLVL=1")] = b"SHLVL=%d" % (number + 1)
    env.append(b"XVAR%d=%0*d" % (number, 1 + 37 * number % 50, number))
    return Arguments(argv, env)


def scripted_arguments(number: int) -> Arguments:
    """Set `number` (from 0) of a chain of which every fourth program is a script (golden h11).

    Every other script names an option for its interpreter; such a level of #! takes the same
    steps as an interpreter without one.
    """
    words = _COMMANDS[number % len(_COMMANDS)]
    argv = (b"sh", b"-c", _COMPILE) if words is None else tuple(words.split())
    env = list(_ENV)
    env[env.index(b"SHLVL=1")] = b"SHLVL=%d" % (number + 1)
    if number % 4 != 1:
        return Arguments(argv, env)
    front = (b"/bin/sh", b"-e") if number % 8 == 5 else (b"/bin/sh",)
    return Arguments((*front, _SCRIPT, *argv[1:]), env, len(front))


SHAPES: dict[str, Callable[[int], Arguments]] = {
    "constant": constant_arguments,
    "varying": varying_arguments,
}


@dataclass(frozen=True)
class Lost:
    """Blocks that are lost for good. Every field is *output*.

    Free ones that no list of the heap leads to, and under 3.6 tagged ones that no walk frees.

    label: HEAP_ name of what they were; size_bytes: of one; count: how many
    """

    label: str
    size_bytes: int
    count: int


class ExecChain:
    """The heap of one line of descent, image after image.

    heap: of the current image -- state
    execs: how many were completed -- state
    blocks: of the argument set that the current image got -- state
    """

    def __init__(self, era: Era, tag: str = TAGGED) -> None:
        """A first process with a terminal on descriptors 0 to 2, as in golden h07."""
        if tag not in TAGS:
            raise ValueError(f"tag ({tag}) must be one of {', '.join(TAGS)}")
        self.heap = first_heap(era)
        self.execs = 0
        self.blocks: ArgumentBlocks | None = None
        self._tag = tag

    def exec(
        self, arguments: Arguments, before_snapshot: Callable[[Cygheap], None] | None = None
    ) -> int:
        """One exec; cygheap_max - base that the child got [bytes].

        `before_snapshot` is what the parent still does between the argument set and the transfer.
        Raises HeapFatal (the reserve is gone), AccessViolation or EndlessWalk (a damaged heap).
        """
        tagged = self._tag == TAGGED
        blocks = (put_tagged if tagged else put_untagged)(self.heap, arguments)
        if before_snapshot is not None:
            before_snapshot(self.heap)
        handed = self.heap.max
        self.heap = exec_child(self.heap)
        self.heap.cfree(blocks.env_vector)
        if self._tag == OLD_APPLICATION:
            self.heap.cfree_many(blocks.env_strings or ())
        self.blocks = blocks
        self.execs += 1
        return handed

    def fork(self) -> ExecChain:
        """The child's side of a fork: the same bytes and lists, and a life of their own."""
        child = copy(self)
        child.heap = landed(self.heap, self.heap.base, execed=False)
        return child


def first_heap(era: Era, base: int = BASE) -> Cygheap:
    """The heap of a first process: descriptor table, cwd, user, three descriptors (golden h07)."""
    heap = Cygheap.first_process(era, Memory(era.reserve_bytes), base)
    fds = DescriptorTable(heap)
    fds.create()
    cwd, user = era.cwd_offset, era.user_offset
    for i, size in enumerate((262, 10)):
        heap.memory.write32(cwd + 4 * i, heap.crealloc(0, size))
    for i, name in enumerate((b"cgf", b"TROLL", b"TROLL")):
        heap.memory.write32(user + 4 * i, heap.cstrdup(name))
    for fd in range(3):
        fds.add(fd, CONSOLE, 0, 0, False, b"CON", b"/dev/conin")
    return heap


def put_tagged(heap: Cygheap, arguments: Arguments) -> ArgumentBlocks:
    """What spawn.cc allocates, in its order."""
    blocks = put_argv(heap, arguments)
    put_environment(heap, blocks, arguments, 0)
    return blocks


def put_untagged(heap: Cygheap, arguments: Arguments) -> ArgumentBlocks:
    """The same requests with the types that no walk frees: what tagging was invented against."""
    info = heap.ccalloc(HeapType.HEAP_BUF, 1, EXEC_INFO_BYTES)
    vector = heap.cmalloc(HeapType.HEAP_ARGV, (len(arguments.argv) + 5) * 4)
    strings = [heap.cstrdup(text) for text in arguments.argv]
    env_vector = heap.cmalloc(HeapType.HEAP_ARGV, (len(arguments.env) + 1) * 4)
    env_strings = [heap.cstrdup(text) for text in arguments.env]
    for at, pointers in ((vector, strings), (env_vector, env_strings)):
        heap.memory.write(at - heap.base, _vector(pointers))
    return ArgumentBlocks(info, vector, strings, env_vector, env_strings)


def exec_child(parent: Cygheap, base: int | None = None) -> Cygheap:
    """The heap of an exec's child: the bytes [base, max), then the walk.

    With `base` they land at another address than the parent's; nothing in them is changed for it.
    """
    child = landed(parent, parent.base if base is None else base)
    child.walk(execed=True)
    return child


def landed(parent: Cygheap, base: int, execed: bool = True) -> Cygheap:
    """The transferred bytes at `base`, before the child does anything."""
    return transferred(parent, parent.max, parent.max, base, execed)


def lost_blocks(heap: Heap) -> list[Lost]:
    """The blocks that are lost for good, by what they were, most bytes first."""
    reached = audits.listed_blocks(heap)
    found = Counter(
        (b.label, b.size_bytes)
        for b in audits.blocks(heap)
        if (isinstance(b, ModernBlock) and b.leaks)
        or not (b.in_use or heap.base + b.offset_bytes in reached)
    )
    lost = [Lost(label, size, count) for (label, size), count in found.items()]
    return sorted(lost, key=lambda x: (-x.size_bytes * x.count, x.label))


def execs_until_full(era: HeapLayout, top_bytes: int, growth_bytes: int) -> int | None:
    """How many more execs the reserve carries if each takes `growth_bytes`; None for ever."""
    return None if growth_bytes <= 0 else (era.reserve_bytes - top_bytes) // growth_bytes


def _vector(pointers: Sequence[int]) -> bytes:
    return array("I", [*pointers, 0]).tobytes()
