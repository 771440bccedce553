"""Descriptors: in the heap's bytes, through fork and exec, and through pipes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import ARGUMENTS, FREE, World, early_world, heap_world

from models.cygwin import command_line, schemes
from models.cygwin.data_table import unpacked
from models.cygwin.descriptors import CONSOLE, DISK, PIPE, SOCKET, DescriptorTable
from models.win32.errors import Win32Error


def table_of(p):
    """The table as another reader of the same heap bytes finds it, or of the same lpReserved2."""
    if p.version.has_heap:
        table = DescriptorTable(p.heap)
        table.read()
    else:
        table = unpacked(command_line.given(p).descriptors)
    return {
        fd: (d.kind, d.handle, d.second, d.cloexec, table.names(d))
        for fd, d in table.open.items()
    }  # fmt: skip


def own_view(p):
    return {
        fd: (d.kind, d.handle, d.second, d.cloexec, p.fds.names(d)) for fd, d in p.fds.open.items()
    }


def objects(p):
    """fd -> the kernel object behind it, None if it has no living handle."""
    handles = p.me.process.handles
    return {fd: handles.get(d.handle) if d.handle else None for fd, d in p.fds.open.items()}


# -- in the heap --------------------------------------------------------------------------------


@heap_world
def test_the_table_is_in_the_heap_s_bytes(world):
    seen = {}

    def main(p):
        p.open(0, CONSOLE)
        p.open(5, DISK, cloexec=True)
        p.pipe(6, 7)
        p.socket(40)
        seen["bytes"], seen["own"] = table_of(p), own_view(p)
        yield from p.exit(0)

    world.finish(main)
    assert seen["bytes"] == seen["own"]
    assert sorted(seen["own"]) == [0, 5, 6, 7, 40]
    assert [seen["own"][fd][0] for fd in (0, 5, 6, 40)] == [CONSOLE, DISK, PIPE, SOCKET]
    assert seen["own"][0][4] == (b"CON", b"/dev/conin")


@heap_world
def test_table_grows_by_32_and_keeps_what_it_had(world):
    def main(p):
        for fd in (0, 31, 32, 63, 64, 200):
            p.open(fd)
            assert table_of(p) == own_view(p)
        yield from p.exit(0)

    world.finish(main)


@early_world
def test_sockets_are_counted_in_the_header(world):
    counts = []

    def main(p):
        def count():
            counts.append((p.fds.sockets, p.heap.memory.read32(p.heap.era.fdtab_offset + 12)))

        count()
        p.socket(3)
        p.socket(4)
        count()
        yield from p.dup2(3, 5)
        count()
        for fd in (3, 4, 5):
            yield from p.close(fd)
        count()
        yield from p.exit(0)

    world.finish(main)
    assert counts == [(0, 0), (2, 2), (3, 3), (0, 0)]


@heap_world
def test_closing_frees_every_block(world):
    def main(p):
        def open_all():
            p.open(3)
            p.open(4, CONSOLE)
            p.socket(5)
            p.pipe(6, 7)

        open_all()
        top = p.heap.max
        for _ in range(3):
            for fd in range(3, 8):
                yield from p.close(fd)
            open_all()
        assert p.heap.max == top
        yield from p.exit(0)

    world.finish(main)


def test_closing_what_is_not_open_is_an_error_of_the_caller(nt_world):
    def main(p):
        with pytest.raises(KeyError):
            yield from p.close(9)

    nt_world.finish(main)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("open"), st.integers(0, 70), st.sampled_from([CONSOLE, DISK])),
            st.tuples(st.just("socket"), st.integers(0, 70), st.booleans()),
            st.tuples(st.just("close"), st.integers(0, 70), st.none()),
            st.tuples(st.just("dup"), st.integers(0, 70), st.integers(0, 70)),
            st.tuples(st.just("cloexec"), st.integers(0, 70), st.booleans()),
        ),
        max_size=25,
    ),
    st.sampled_from(schemes.names()),
)
def test_any_history_leaves_a_table_that_a_child_reads_the_same(script, name):
    world = World(schemes.get(name), costs=FREE)
    seen = {}

    def child(p):
        seen["child"] = objects(p)
        seen["flags"] = {fd: d.cloexec for fd, d in p.fds.open.items()}
        yield from p.exit(0)

    def main(p):
        for action, fd, more in script:
            is_open = fd in p.fds.open
            if action == "open" and not is_open:
                p.open(fd, more)
            elif action == "socket" and not is_open:
                p.socket(fd, more)
            elif action == "close" and is_open:
                yield from p.close(fd)
            elif action == "dup" and is_open and fd != more:
                yield from p.dup2(fd, more)
            elif action == "cloexec" and is_open:
                p.set_cloexec(fd, more)
            assert table_of(p) == own_view(p)
        seen["parent"] = objects(p)
        seen["flags before"] = {fd: d.cloexec for fd, d in p.fds.open.items()}
        yield from p.fork(child)
        yield from p.sleep(1)

    world.finish(main)
    assert seen["child"] == seen["parent"]
    assert seen["flags"] == seen["flags before"]


# -- through fork and exec ----------------------------------------------------------------------


def open_some(p):
    p.open(0, CONSOLE)
    p.open(3, DISK)
    p.open(4, DISK, cloexec=True)
    p.pipe(5, 6)
    p.pipe(7, 8, cloexec=True)
    p.socket(9)
    p.socket(10, cloexec=True)


def test_fork_child_has_everything_close_on_exec_too(world):
    seen = {}

    def child(p):
        seen["child"] = objects(p)
        yield from p.exit(0)

    def main(p):
        open_some(p)
        seen["parent"] = objects(p)
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)

    world.finish(main)
    assert seen["child"] == seen["parent"]
    assert None not in seen["child"].values()


@pytest.mark.parametrize("kind", ["exec", "_P_WAIT"])
def test_image_has_what_is_not_close_on_exec(world, kind):
    seen = {}

    def child(p):
        seen["child"] = objects(p)
        seen["bytes"] = sorted(table_of(p))
        yield from p.exit(0)

    def main(p):
        open_some(p)
        seen["parent"] = objects(p)
        yield from world.create(kind, child)(p)

    world.finish(main)
    assert seen["bytes"] == sorted(seen["child"]) == [0, 3, 5, 6, 9]
    lost = world.copies_before_sockets  # its sockets are stale
    for fd, obj in seen["child"].items():
        assert obj is (None if lost and fd == 9 else seen["parent"][fd])


@heap_world
def test_close_on_exec_blocks_are_freed_in_the_child(world):
    """The next image's descriptors take their place."""
    seen = {}

    def child(p):
        seen["top"] = p.heap.max
        p.open(4, DISK)
        seen["after"] = p.heap.max
        yield from p.exit(0)

    def main(p):
        p.open(4, DISK, cloexec=True)
        yield from world.create("_P_WAIT", child)(p)

    world.finish(main)
    assert seen["after"] == seen["top"]


def test_close_on_exec_handles_are_not_even_inherited(world):
    """A native child has no table to close anything by."""
    seen = {}

    def look(kernel, thread):
        handles = thread.process.handles
        seen["native"] = {handles.get(h) for h in handles.handles()}
        yield from kernel.work(thread, 0)

    def main(p):
        open_some(p)
        image = world.native(0)
        image = type(image)(image.name, image.parts, look)
        seen["objects"] = objects(p)
        yield from p.spawn("_P_WAIT", image, ARGUMENTS)

    world.finish(main)
    inherited = {0, 3, 5, 6}
    if world.scheme.version.inherits(SOCKET):
        inherited.add(9)
    assert {fd for fd, obj in seen["objects"].items() if obj in seen["native"]} == inherited


def test_cloexec_can_be_set_and_taken_back(world):
    seen = []

    def child(p):
        seen.append(sorted(p.fds.open))
        yield from p.exit(0)

    def main(p):
        p.open(3, DISK)
        p.open(4, DISK, cloexec=True)
        p.set_cloexec(3, True)
        p.set_cloexec(4, False)
        yield from world.create("_P_WAIT", child)(p)
        p.set_cloexec(3, False)
        yield from world.create("_P_WAIT", child)(p)

    world.finish(main)
    assert seen == [[4], [3, 4]]


@heap_world
def test_working_directory_travels(world):
    lengths = []

    def look(p):
        era = p.heap.era
        posix = p.heap.string(p.heap.word(era.cwd_offset))
        win32 = p.heap.word(era.cwd_win32_offset)
        wide = p.heap.load(win32, 2 * size) if era.wide_names else p.heap.string(win32)
        lengths.append([len(posix), len(wide) // (2 if era.wide_names else 1)])

    def child(p):
        look(p)
        p.chdir(100)
        yield from p.exit(0)

    def main(p):
        p.chdir(17)
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)
        yield from world.create("_P_WAIT", child)(p)
        look(p)

    extra = world.installation.sizes.cwd_win32_extra
    size = 17 + extra
    world.finish(main)
    assert lengths == [[17, 17 + extra]] * 3


# -- dup2 and close -----------------------------------------------------------------------------


def test_dup2_closes_what_was_there_and_shares_what_is_behind(world):
    def main(p):
        p.open(3, DISK)
        p.open(4, CONSOLE)
        old = objects(p)
        yield from p.dup2(3, 4)
        assert objects(p)[4] is old[3]
        assert old[4].refs == 0
        assert old[3].refs == 2
        assert p.fds.open[4].handle != p.fds.open[3].handle
        assert p.fds.names(p.fds.open[4]) == p.fds.names(p.fds.open[3])
        yield from p.close(3)
        assert old[3].refs == 1

    world.finish(main)


def test_dup2_sets_its_own_close_on_exec(world):
    def main(p):
        p.open(3, DISK, cloexec=True)
        yield from p.dup2(3, 4)
        yield from p.dup2(3, 5, cloexec=True)
        assert [p.fds.open[fd].cloexec for fd in (3, 4, 5)] == [True, False, True]
        inherits = p.me.process.handles.inherits
        assert [inherits(p.fds.open[fd].handle) for fd in (3, 4, 5)] == [False, True, False]

    world.finish(main)


# -- pipes between processes --------------------------------------------------------------------


def test_pipe_from_a_child_ends_with_the_child(world):
    got = []

    def child(p):
        yield from p.close(3)
        yield from p.k.write_file(p.me, p.fds.open[4].handle, 100)
        yield from p.sleep(70_000)
        yield from p.exit(0)

    def main(p):
        p.pipe(3, 4)
        yield from p.fork(child)
        yield from p.close(4)
        begin = p.now()
        while True:
            n = yield from p.k.read_file(p.me, p.fds.open[3].handle, 1000)
            got.append(n)
            if not n:
                break
        assert p.now() - begin > 65_000

    world.finish(main)
    assert got == [100, 0]


def test_a_pipeline_of_execs_comes_to_its_end(world):
    """main | cat | wc: the ends that nobody closed would keep it waiting for ever."""
    read = []

    def cat(p):
        while n := (yield from p.k.read_file(p.me, p.fds.open[0].handle, 4096)):
            yield from p.k.write_file(p.me, p.fds.open[1].handle, n)
        yield from p.exit(0)

    def wc(p):
        total = 0
        while n := (yield from p.k.read_file(p.me, p.fds.open[0].handle, 4096)):
            total += n
        read.append(total)
        yield from p.exit(0)

    def stage(program, source, target, others):
        def child(p):
            yield from p.dup2(source, 0)
            if target is not None:
                yield from p.dup2(target, 1)
            for fd in others:
                yield from p.close(fd)
            yield from p.execute(world.cygwin(program), ARGUMENTS)

        return child

    def main(p):
        p.pipe(3, 4)
        p.pipe(5, 6)
        first = yield from p.fork(stage(cat, 3, 6, (3, 4, 5, 6)))
        second = yield from p.fork(stage(wc, 5, None, (3, 4, 5, 6)))
        for fd in (3, 5, 6):
            yield from p.close(fd)
        yield from p.k.write_file(p.me, p.fds.open[4].handle, 100_000)
        yield from p.close(4)
        yield from p.waitpid(first)
        yield from p.waitpid(second)

    world.finish(main)
    assert read == [100_000]


def test_write_into_a_pipe_whose_reader_died_is_broken(world):
    seen = []

    def child(p):
        yield from p.close(4)
        yield from p.exit(0)

    def main(p):
        p.pipe(3, 4)
        pid = yield from p.fork(child)
        yield from p.close(3)
        yield from p.waitpid(pid)
        try:
            yield from p.k.write_file(p.me, p.fds.open[4].handle, 1)
        except Win32Error as error:
            seen.append(error.code)

    world.finish(main)
    assert seen == [109]
