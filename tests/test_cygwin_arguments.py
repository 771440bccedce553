"""What an exec puts into the heap: blocks in order, who frees them, and how the heap grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import FREE, World, early_nt_world, heap_nt_world, leave, strings

from models.cygwin import command_line, schemes
from models.cygwin.arguments import (
    Arguments,
    free_arguments,
    put_argv,
    put_environment,
    read_arguments,
)
from models.cygwin.cygheap import layout
from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.audit import blocks as blocks_of
from models.cygwin.cygheap.layout import HeapType
from models.win32.memory import Memory

ERAS = [layout.A, layout.C, layout.B, layout.R]
BASE = 0x61100000


def fresh(era):
    memory = Memory(era.cygheapsize)
    return Cygheap.first_process(era, memory, BASE, commit=memory.commit)


@pytest.fixture(params=ERAS, ids=lambda era: era.name)
def heap(request):
    return fresh(request.param)


def text(heap, address):
    """A C string of the heap."""
    content = bytearray()
    while byte := heap.memory.read(address - heap.base + len(content), 1):
        if byte == b"\0":
            return bytes(content)
        content += byte
    raise AssertionError


def put(heap, arguments, pinfo=0):
    blocks = put_argv(heap, arguments)
    put_environment(heap, blocks, arguments, pinfo)
    return blocks


def vector(heap, address, count):
    words = heap.memory.read(address - heap.base, 4 * count + 4)
    return memoryview(words).cast("I").tolist()


# -- what lies there ----------------------------------------------------------------------------


def test_child_finds_every_string_and_the_pinfo_handle(heap):
    given_ = Arguments([b"make", b"-j4", b""], [b"A=1", b"PATH=" + b"x" * 500])
    blocks = put(heap, given_, pinfo=0x4C)
    found = read_arguments(heap, blocks.info)
    assert found.info == blocks.info
    assert found.pinfo == 0x4C
    assert [text(heap, a) for a in vector(heap, found.vector, 3)[:3]] == given_.argv
    assert vector(heap, found.vector, 3)[3] == 0
    assert [text(heap, a) for a in found.env] == given_.env
    assert vector(heap, found.env_vector, 2)[2] == 0


def test_all_of_it_is_tagged_in_the_order_of_the_code(heap):
    before = len(list(blocks_of(heap)))
    put(heap, Arguments([b"a", b"bb"], [b"C=1"]))
    types = [block.type for block in list(blocks_of(heap))[before:]]
    T = HeapType
    assert types == [
        *(T.HEAP_1_EXEC, T.HEAP_1_ARGV, T.HEAP_1_STR, T.HEAP_1_STR),
        *(T.HEAP_1_ARGV, T.HEAP_1_STR),
    ]


def test_script_s_interpreter_comes_behind_its_path(heap):
    """§b4: the path is duplicated first, then the vector fits in place, then the interpreter."""
    before = len(list(blocks_of(heap)))
    argv = [b"/bin/sh", b"./configure", b"--help"]
    blocks = put(heap, Arguments(argv, [], script=True))
    found = list(blocks_of(heap))[before:]
    assert [text(heap, a) for a in vector(heap, blocks.vector, 3)[:3]] == argv
    user = [heap.base + block.offset_bytes + 16 for block in found]
    assert [text(heap, a) for a in user[2:5]] == [b"./configure", b"/bin/sh", b"--help"]
    assert blocks.vector == user[1]


def test_script_without_arguments_of_its_own(heap):
    argv = [b"/bin/sh", b"x"]
    blocks = put(heap, Arguments(argv, [], script=True))
    assert [text(heap, a) for a in vector(heap, blocks.vector, 2)[:2]] == argv


def test_one_word_that_claims_to_be_a_script_is_taken_as_it_is(heap):
    blocks = put(heap, Arguments([b"sh"], [], script=True))
    assert [text(heap, a) for a in blocks.strings] == [b"sh"]


def test_nothing_at_all_is_allowed(heap):
    blocks = put(heap, Arguments([], []))
    found = read_arguments(heap, blocks.info)
    assert found.env == []


def test_freed_in_the_order_of_the_destructors(heap):
    arguments = Arguments([b"a" * 200, b"b" * 200], [b"C" * 200, b"D" * 200])
    blocks = put(heap, arguments)
    free_arguments(heap, blocks)
    # LIFO: equal requests now get the environment's last string first, then back to argv's first.
    got = [heap.cstrdup(b"n" * 200) for _ in range(4)]
    assert got == [
        blocks.env_strings[1],
        blocks.env_strings[0],
        blocks.strings[1],
        blocks.strings[0],
    ]


def test_put_and_free_again_and_again_grows_nothing(heap):
    arguments = Arguments([b"cc1", b"-O2", b"file.c"], [b"PATH=/bin", b"HOME=/"])
    free_arguments(heap, put(heap, arguments))
    top = heap.max
    for _ in range(20):
        free_arguments(heap, put(heap, arguments))
    assert heap.max == top


def test_sizes_of_an_exec_are_those_that_were_seen():
    """§i: 46 variables of the released 1.3.3 made 3,760 bytes: 72+72+40+264 and the strings."""
    heap = fresh(layout.R)
    before = heap.max
    put(heap, Arguments([b"/bin/true"], []))
    # exec information 28 -> 72, vector (1+5)*4 -> 72, "/bin/true" -> 40, empty vector 4 -> 40
    assert heap.max - before == 72 + 72 + 40 + 40
    heap = fresh(layout.R)
    before = heap.max
    put(heap, Arguments([b"/bin/true"], [b"x" * 10] * 46))
    assert heap.max - before == 72 + 72 + 40 + 264 + 46 * 40


words_ = st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\0", b"x")), max_size=12)


@given(words_, words_, st.sampled_from(ERAS), st.integers(0, 40))
def test_any_arguments_come_back_as_they_were(argv, env, era, earlier):
    heap = fresh(era)
    for i in range(earlier):
        block = heap.cstrdup(b"e" * (7 * i % 90))
        if i % 3:
            heap.cfree(block)
    blocks = put(heap, Arguments(argv, env))
    found = read_arguments(heap, blocks.info)
    argv_words = vector(heap, found.vector, len(argv))
    assert [text(heap, a) for a in argv_words[:-1]] == argv
    assert [text(heap, a) for a in found.env] == env
    assert argv_words[-1] == 0


# -- over generations ---------------------------------------------------------------------------


def chain(name, shapes, generations):
    """Heap sizes of images that exec one another with argument lists from `shapes`."""
    world = World(schemes.get(name), costs=FREE)
    sizes = []

    def link(n):
        def program(p):
            sizes.append(p.heap.max)
            if n < generations:
                shape = shapes[n % len(shapes)]
                yield from p.execute(world.cygwin(link(n + 1)), shape)
            yield from p.exit(0)

        return program

    world.finish(link(0))
    return sizes


SAME = [Arguments([b"sh", b"-c", b"true"], [b"VARIABLE=%d" % i for i in range(25)])]
VARYING = [
    Arguments([b"x" * (37 * i % 200)] * (1 + i % 5), [b"V" * (10 + 53 * i % 300)] * (3 + i % 7))
    for i in range(20)
]


@pytest.mark.parametrize("name", schemes.names()[:3])  # 3.6 leaks: a test of its own
def test_a_chain_of_equal_execs_keeps_two_generations(name):
    sizes = chain(name, SAME, 12)
    assert sizes[1] > sizes[0]
    assert sizes[2] > sizes[1]
    assert len(set(sizes[3:])) <= 2
    assert sizes[-1] == sizes[-2]


def test_a_chain_of_varying_execs_is_bounded_only_with_the_lists_in_the_heap():
    growth = {name: chain(name, VARYING, 120) for name in schemes.names()}
    for name in ("shared-memory-1.3.3", "shared-memory"):
        assert growth[name][-1] == growth[name][60]
    a = growth["blocking"]
    assert a[-1] > a[60] + 1000


@heap_nt_world
def test_a_spawn_chain_frees_in_the_parent_what_its_child_copied(nt_world):
    sizes = []

    def child(p):
        sizes.append(p.heap.max)
        yield from p.exit(0)

    def main(p):
        for _ in range(5):
            yield from p.spawn("_P_WAIT", nt_world.cygwin(child), SAME[0])

    nt_world.finish(main)
    assert len(set(sizes)) == 1


def test_argv_of_a_fork_child_of_an_image_is_still_there(world):
    seen = []
    given_ = Arguments([b"image", b"--flag"], [b"A=b"])

    def look(p):
        argv, env = command_line.argv(p), p.environment()
        seen.append((strings(p, argv), strings(p, env)[:1]))  # 3.6 adds two of its own

    def child(p):
        look(p)
        yield from p.exit(0)

    def image(p):
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)
        look(p)
        yield from p.exit(0)

    world.finish(world.create("_P_WAIT", image, given_))
    assert seen == [(given_.argv, given_.env)] * 2


@early_nt_world
def test_program_that_is_not_linked_with_cygwin_costs_the_parent_the_same(nt_world):
    tops = []

    def main(p):
        for image in (nt_world.cygwin(leave(0)), nt_world.native(0)):
            yield from p.spawn("_P_NOWAIT", image, SAME[0])
            tops.append(p.heap.max)
            yield from p.sleep(100_000)

    nt_world.finish(main)
    assert tops[0] == tops[1]
