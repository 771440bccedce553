"""Chains of execs under a walk that frees the ends of free lists: measures of `free_list_bug`.

A chain is followed exec by exec: what its free lists lead to, whether every string of the set that
an image got is what was put, and what ends it.  All of it is read from the heap's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from numpy.random import Generator

from models.cygwin.arguments import Arguments, put_argv
from models.cygwin.cygheap.allocator import EndlessWalk, HeapFatal
from models.cygwin.cygheap.free_lists import FreeLists, free_lists
from models.cygwin.cygheap.layout import NBUCKETS, Era
from models.cygwin.exec_chain import (
    ExecChain,
    constant_arguments,
    scripted_arguments,
    varying_arguments,
)
from models.win32.errors import AccessViolation
from sim.errors import SimError

Shape = Callable[[int], Arguments]
_DEATHS = (AccessViolation, EndlessWalk, HeapFatal)
_PLAIN = constant_arguments(0)


def _longer_directory(number: int) -> Arguments:
    return Arguments(_PLAIN.argv, [*_PLAIN.env, b"OLDPWD=/home/cgf" + b"/d" * number])


def _one_more_argument(number: int) -> Arguments:
    return Arguments((b"sh", *[b"x"] * number), _PLAIN.env)


def _every_other(number: int) -> Arguments:
    return Arguments((b"sh", *[b"x"] * (number % 2)), _PLAIN.env)


SHAPES: dict[str, tuple[Shape, str]] = {  # of a point -> its sets, and how a table calls them
    "constant": (constant_arguments, "always the same (h07)"),
    "varying": (varying_arguments, "commands in turn (h10)"),
    "scripts": (scripted_arguments, "the same, 1/4 scripts (h11)"),
    "every-other": (_every_other, "an argument every other time"),
    "one-more": (_one_more_argument, "one argument more each time"),
    "directory": (_longer_directory, "a directory deeper each time"),
}


@dataclass(frozen=True)
class Drawn:
    """Sets that differ by chance. words: how a table calls it; the rest: what may differ.

    arguments, variables: up to so many more than the plain set has
    letters: each of those has from 1 to so many
    """

    words: str
    arguments: int = 0
    variables: int = 0
    letters: int = 12

    def shape(self, draw: Generator) -> Shape:
        """The sets of one chain; each number is to be asked for once, in order."""
        return lambda number: self._set(draw)

    def _set(self, draw: Generator) -> Arguments:
        more = [self._strings(draw, most) for most in (self.arguments, self.variables)]
        return Arguments((*_PLAIN.argv, *more[0]), [*_PLAIN.env, *(b"V=" + s for s in more[1])])

    def _strings(self, draw: Generator, most: int) -> list[bytes]:
        count = int(draw.integers(0, most + 1)) if most else 0
        return [b"x" * n for n in draw.integers(1, self.letters + 1, size=count).tolist()]


DRAWN = {
    "arguments-1": Drawn("0 or 1 argument more", arguments=1),
    "arguments-2": Drawn("0 to 2 arguments more", arguments=2),
    "arguments-8": Drawn("0 to 8 arguments more", arguments=8),
    "variables-2": Drawn("0 to 2 variables more", variables=2),
    "long-2": Drawn("0 to 2 arguments of 1 to 100", arguments=2, letters=100),
}


@dataclass
class Course:
    """What became of a chain. Every field is *output*.

    execs: completed; dies_at: the exec whose preparation or walk ended it, None if it lived
    fault: address of the bad access; request: the string that was to be copied
    lists: what the free lists led to in each image
    damaged_at: first exec whose image had a list that is not sound
    wrong_at: first exec whose image got a string other than was put
    """

    execs: int = 0
    dies_at: int | None = None
    fault: int | None = None
    request: str = ""
    lists: list[FreeLists] = field(default_factory=list)
    damaged_at: int | None = None
    wrong_at: int | None = None

    @property
    def loop_at(self) -> int | None:
        """First exec whose image had a list from bucket 1 on that leads back into itself."""
        return next((i for i, seen in enumerate(self.lists, 1) if any(seen.loops)), None)

    @property
    def mixed_at(self) -> int | None:
        """First exec whose image had a list that goes on in blocks of another size."""
        return next((i for i, seen in enumerate(self.lists, 1) if seen.mixed), None)


def followed(era: Era, shape: Shape, execs: int, every_list: bool = True) -> Course:
    """A chain of at most `execs` execs; `every_list` looks at the free lists of each image."""
    chain, course = ExecChain(era), Course()
    for number in range(execs):
        arguments = shape(number)
        before = chain.fork() if every_list else None
        try:
            chain.exec(arguments)
        except _DEATHS as error:
            course.dies_at = number + 1
            course.fault = error.address if isinstance(error, AccessViolation) else None
            if before is not None:
                course.request = dying_request(before, arguments)
            break
        course.execs += 1
        if course.wrong_at is None and wrong_strings(chain, arguments):
            course.wrong_at = course.execs
        if every_list:
            course.lists.append(free_lists(chain.heap))
            if course.damaged_at is None and not course.lists[-1].sound:
                course.damaged_at = course.execs
    return course


def commands(era: Era, shape: Shape, count: int) -> int:
    """How many commands one shell forks and execs before one of them dies, at most `count`."""
    shell = ExecChain(era)
    shell.exec(_PLAIN)
    for number in range(count):
        try:
            shell.fork().exec(shape(number))
        except _DEATHS:
            return number
    return count


def wrong_strings(chain: ExecChain, arguments: Arguments) -> int:
    """How many strings of the set that the current image got are not what was put."""
    blocks, heap = chain.blocks, chain.heap
    assert blocks is not None
    sets = ((blocks.strings, arguments.argv), (blocks.env_strings or [], arguments.env))
    pairs = [pair for users, texts in sets for pair in zip(users, texts, strict=True)]
    return sum(heap.load(user, len(text) + 1) != text + b"\0" for user, text in pairs)


def dying_request(chain: ExecChain, arguments: Arguments) -> str:
    """Which string of a set an image dies of copying; "" if of none.

    argv is taken as one; the chain is used up by it.
    """
    heap = chain.heap
    try:
        put_argv(heap, arguments)
    except SimError:
        return "argv"
    try:
        heap.cmalloc(heap.era.argv_type, (len(arguments.env) + 1) * 4)
    except SimError:
        return "environ"
    for text in arguments.env:
        try:
            heap.cstrdup1(text)
        except SimError:
            return text.decode()
    return ""


def what_lies_there(fault: int) -> str:
    """What the address of a bad access was before it was taken for one."""
    if fault < NBUCKETS:
        return "a bucket's number"
    letters = fault.to_bytes(4, "little").rstrip(b"\0")
    return "letters" if all(32 < c < 127 for c in letters) else "a link, partly overwritten"


def faults(courses: list[Course]) -> Iterator[tuple[str, int]]:
    """(what lies at the bad address, how many chains died of it), most first."""
    kinds = [what_lies_there(c.fault) for c in courses if c.fault is not None]
    yield from sorted(((k, kinds.count(k)) for k in set(kinds)), key=lambda x: (-x[1], x[0]))
