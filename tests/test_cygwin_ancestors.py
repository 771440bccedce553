"""1.5.18 and 1.7.7: the race of a spawned child and its end, and who waits for what."""

from __future__ import annotations

import pytest
from machine import ARGUMENTS, World, leave

from models.cygwin import schemes
from models.cygwin.errors import TryAgain

T_US = 800_000.0
MODES = ("_P_NOWAIT", "_P_NOWAITO", "_P_VFORK", "_P_DETACH", "_P_WAIT")


def world_of(name):
    return World(schemes.get(name))


def spawn_took(world, mode, image):
    took = {}

    def main(p):
        begin = p.now()
        yield from p.spawn(mode, image, ARGUMENTS)
        took["us"] = p.now() - begin

    world.run(main)
    return took["us"]


# -- 1.5.18: nobody waits for a spawned child ------------------------------------------------------


def test_a_child_whose_parent_has_gone_reads_nothing_and_kills_what_is_left_of_it():
    world = world_of("1.5.18")
    ran = []

    def child(p):
        ran.append(p)
        yield from p.exit(0)

    def main(p):
        yield from p.spawn("_P_DETACH", world.cygwin(child), ARGUMENTS)
        yield from p.exit(0)

    parent = world.run(main)
    child_process = world.first_child()
    (said,) = world.installation.messages
    assert said.message.startswith("fork_copy: cygheap pass 0 failed, 0x61154000..0x6115")
    assert said.message.endswith(f"done 0, windows pid {parent.pid}, Win32 error 5")
    rows = [row.name for row in world.trace.rows(pid=child_process.pid)]
    assert rows[rows.index("ReadProcessMemory") + 1] == "TerminateProcess"
    assert (parent.exit_code, child_process.exit_code, ran) == (0, 139, [])


def test_a_child_whose_parent_lives_frees_what_that_has_freed_already():
    world = world_of("1.5.18")
    ran, seen = [], {}

    def child(p):
        ran.append(p)
        yield from p.exit(0)

    def main(p):
        pid = yield from p.spawn("_P_NOWAIT", world.cygwin(child), ARGUMENTS)
        seen["code"] = yield from p.waitpid(pid)

    world.finish(main)
    assert (seen["code"], ran) == (139, [])


def test_a_child_whose_parent_waits_for_its_end_has_all_it_was_given():
    world = world_of("1.5.18")
    seen = {}

    def child(p):
        seen["argv"] = p.argv != 0 and len(p.environment()) == len(ARGUMENTS.env)
        yield from p.exit(3)

    def main(p):
        seen["code"] = yield from p.spawn("_P_WAIT", world.cygwin(child), ARGUMENTS)

    world.finish(main)
    assert seen == {"argv": True, "code": 3}


def test_a_fault_before_the_handler_is_there_is_windows_own():
    """Under a scheme of 2001 the same fault is not a signal."""
    world = world_of("shared-memory")

    def child(p):
        p.heap.memory.page(-1)
        yield from p.exit(0)

    world.run(lambda p: p.spawn("_P_WAIT", world.cygwin(child), ARGUMENTS))
    assert world.first_child().exit_code == 0xC0000005


# -- 1.7.7: whom a program without the DLL holds ---------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_native_holds_its_caller_to_its_end_in_the_modes_of_the_logs(mode):
    world = world_of("1.7.7")
    held = mode in ("_P_NOWAITO", "_P_VFORK", "_P_WAIT")
    assert (spawn_took(world, mode, world.native(T_US)) > T_US) == held


@pytest.mark.parametrize("mode", MODES)
def test_no_native_of_1_5_18_holds_its_caller_but_by_waitpid(mode):
    world = world_of("1.5.18")
    assert (spawn_took(world, mode, world.native(T_US)) > T_US) == (mode == "_P_WAIT")


def test_a_fork_child_that_dies_early_is_made_again_five_times():
    class Dies:
        def __init__(self, scheme):
            self.name, self.version = scheme.name, scheme.version
            self.parent_side = scheme.parent_side

        def child_side(self, p, info):
            yield from p.k.exit_process(p.me, 3)

    world = World(Dies(schemes.get("1.7.7")))
    seen = []

    def main(p):
        try:
            yield from p.fork(leave(0))
        except TryAgain as error:
            seen.append(str(error))

    world.run(main)
    assert world.k.created == 6
    died = "child -1 - died waiting for longjmp before initialization"
    assert seen == [f"{died}, retry 0, exit code 0x3, errno 11"]


# -- September 2000: the first heaps ---------------------------------------------------------------

FIRST = ["fixed-2000", "2000-09-11", "2000-09-30"]


@pytest.mark.parametrize("name", FIRST)
def test_before_october_2000_no_native_holds_its_caller_and_no_spawned_child_lives(name):
    """What the wait of 2000-10-14 cured, and what it cost until 1.3.3."""
    for mode, code in (("_P_NOWAIT", 0xC0000005), ("_P_DETACH", 1)):
        world, ran = world_of(name), []

        def child(p, ran=ran):
            ran.append(p)
            yield from p.exit(0)

        def main(p, world=world, mode=mode, child=child):
            yield from p.spawn(mode, world.cygwin(child), ARGUMENTS)
            if mode != "_P_DETACH":
                yield from p.sleep(T_US)

        world.run(main)
        assert (world.first_child().exit_code, ran) == (code, [])
        assert spawn_took(world_of(name), mode, world.native(T_US)) < 20_000
    assert spawn_took(world_of("blocking"), "_P_NOWAIT", world.native(T_US)) > T_US


@pytest.mark.parametrize("name", FIRST)
def test_only_the_first_heap_is_where_a_number_puts_it(name):
    world, bases = world_of(name), []

    def last(p):
        bases.append(p.heap.base)
        yield from p.exit(0)

    def stub(p):
        yield from p.execute(world.cygwin(last), ARGUMENTS)

    def main(p):
        bases.append(p.heap.base)
        pid = yield from p.fork(stub)
        yield from p.waitpid(pid)

    world.finish(main)
    assert len(set(bases)) == 1
    assert (bases[0] == 0x12010000) == (name == "fixed-2000")


def grown(name, execs):
    """By how much the heap grows over a chain of execs of one shape, after the first two."""
    world, sizes = world_of(name), []

    def link(p):
        sizes.append(p.heap.max)
        if len(sizes) <= execs:
            yield from p.execute(world.cygwin(link), ARGUMENTS)
        yield from p.exit(0)

    world.run(link)
    return sizes[-1] - sizes[3]


def test_without_a_walk_every_exec_leaves_its_arguments_for_ever():
    kept, walked = grown("fixed-2000", 12), grown("2000-09-30", 12)
    assert kept > 8 * sum(map(len, (*ARGUMENTS.argv, *ARGUMENTS.env)))
    assert walked < kept / 4


# -- how a parent hears of an end ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1.5.18", "1.7.7"])
def test_an_exec_hands_on_the_pipe_and_the_parent_hears_of_the_last_image_only(name):
    world = world_of(name)
    seen = {}

    def last(p):
        yield from p.sleep(100_000)
        yield from p.exit(5)

    def stub(p):
        yield from p.execute(world.cygwin(last), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        begin = p.now()
        seen["code"] = yield from p.waitpid(pid)
        seen["took"] = p.now() - begin

    world.finish(main)
    assert seen["code"] == 5
    assert seen["took"] > 100_000
    size = world.scheme.version.exec_pipe_bytes
    made = [
        row for row in world.trace.rows() if row.name == "CreatePipe" and row.args["size"] == size
    ]
    assert len(made) == 1


@pytest.mark.parametrize("name", ["1.5.18", "1.7.7"])
def test_a_thread_that_has_seen_an_end_waits_for_the_next_child(name):
    world = world_of(name)

    def main(p):
        for _ in range(3):
            pid = yield from p.fork(leave(0))
            yield from p.waitpid(pid)

    process = world.finish(main)
    assert (
        len(world.rows(process.pid, "CreateThread")) == 2
    )  # the signal thread and one for all three
