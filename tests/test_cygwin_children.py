"""Children of a process: hearing of their ends, reaping, and processes that exec meanwhile."""

from __future__ import annotations

import pytest
from machine import ARGUMENTS, early_world, leave

from models.win32.handles import CURRENT_PROCESS


def late(us, code):
    def program(p):
        yield from p.sleep(us)
        yield from p.exit(code)

    return program


# -- waitpid ------------------------------------------------------------------------------------


@pytest.mark.parametrize("child_us", [0, 50_000], ids=["zombie", "alive"])
def test_waitpid_before_and_after_the_end(world, child_us):
    seen = []

    def main(p):
        pid = yield from p.fork(late(child_us, 7))
        yield from p.sleep(20_000)
        begin = p.now()
        seen.append((yield from p.waitpid(pid)))
        seen.append(p.now() - begin)

    world.finish(main)
    assert seen[0] == 7
    assert (seen[1] > 20_000) == (child_us > 0)


def test_children_are_reaped_in_any_order(world):
    seen = {}

    def main(p):
        pids = []
        for n in range(5):
            pids.append((yield from p.fork(late(1_000 * n, n))))
        for n in (3, 0, 4, 1, 2):
            seen[n] = yield from p.waitpid(pids[n])

    world.finish(main)
    assert seen == {n: n for n in range(5)}


def test_wait_for_nobody_s_child_is_echild(nt_world):
    seen = []

    def main(p):
        seen.append((yield from p.waitpid(12345)))
        pid = yield from p.fork(leave(0))
        seen.append((yield from p.waitpid(pid)))
        seen.append((yield from p.waitpid(pid)))

    nt_world.finish(main)
    assert seen == [None, 0, None]


def test_a_zombie_is_not_waited_for_again_by_the_thread(nt_world):
    """wait_subproc drops it from its handles, else it would wake for ever."""

    def main(p):
        yield from p.fork(leave(0))
        yield from p.sleep(5_000_000)

    nt_world.finish(main)
    waits = [r for r in nt_world.trace.rows() if r.args.get("ms") == 1000 and r.phase == "call"]
    assert len(waits) <= 4


def test_reaping_gives_every_handle_back(world):
    counts = []

    def main(p):
        pid = yield from p.fork(leave(0))
        yield from p.waitpid(pid)
        for _ in range(12):
            pid = yield from p.fork(leave(0))
            yield from p.waitpid(pid)
            counts.append((len(p.me.process.handles), len(p.me.process.space.regions())))

    world.finish(main)
    handles = [n for n, _ in counts]
    assert handles[-1] == handles[-4]  # the ring of kept pids is full by then
    assert handles[0] <= handles[-1] <= handles[0] + 8
    assert len({regions for _, regions in counts}) == 1


@pytest.mark.parametrize("mode", ["_P_WAIT", "_P_NOWAIT"])
def test_spawning_gives_every_handle_back_but_those_of_the_child(world, mode):
    counts = []

    def main(p):
        for _ in range(8):
            got = yield from p.spawn(mode, world.cygwin(leave(0)), ARGUMENTS)
            if mode == "_P_NOWAIT":
                yield from p.waitpid(got)
            counts.append(len(p.me.process.handles))

    world.finish(main)
    assert len(set(counts)) == 1


def test_fork_gives_every_handle_back_but_the_child_s_own(world):
    """hProcess, its duplicate, its pinfo and the kept pid; nothing of the hand-over."""
    roles = []

    def main(p):
        yield from p.fork(late(100_000, 0))
        handles = p.me.process.handles
        roles.extend(handles.get(h).role for h in handles.handles())
        yield from p.sleep(1)

    world.finish(main)
    assert not {"subproc_ready", "forker_finished", "cygheap copy"} & set(roles)


# -- processes that exec ------------------------------------------------------------------------


@early_world
def test_parent_adopts_the_new_process_and_hears_only_of_its_end(world):
    """The stub's end is no end of the child: no SIGCHLD for it."""
    seen = {}

    def stub(p):
        yield from p.execute(world.cygwin(late(300_000, 9), "image"), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        yield from p.sleep(100_000)
        child = p.children[0]
        seen["pid"] = child.pid == pid
        seen["zombie"] = child.zombie
        seen["process"] = p.me.process.handles.get(child.h_process).image.name
        begin = p.now()
        seen["code"] = yield from p.waitpid(pid)
        seen["waited"] = p.now() - begin > 150_000

    world.finish(main)
    assert seen == {"pid": True, "zombie": False, "process": "image", "code": 9, "waited": True}


def test_a_chain_of_execs_is_adopted_again_and_again(world):
    images = []

    def link(n):
        def program(p):
            images.append(p.pid)
            if n:
                yield from p.execute(world.cygwin(link(n - 1)), ARGUMENTS)
            yield from p.exit(33)

        return program

    seen = []

    def main(p):
        pid = yield from p.fork(link(6))
        seen.append((yield from p.waitpid(pid)))
        assert set(images) == {pid}

    world.finish(main)
    assert seen == [33]
    assert len(images) == 7


def test_execed_process_has_children_of_its_own(world):
    seen = []

    def image(p):
        pid = yield from p.fork(late(1000, 21))
        seen.append((yield from p.waitpid(pid)))
        pid = yield from p.fork(stub)
        seen.append((yield from p.waitpid(pid)))
        yield from p.exit(22)

    def stub(p):
        yield from p.execute(world.cygwin(late(1000, 23)), ARGUMENTS)

    def first(p):
        yield from p.execute(world.cygwin(image), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(first)
        seen.append((yield from p.waitpid(pid)))

    world.finish(main)
    assert seen == [21, 23, 22]


def test_stub_of_a_native_program_stands_in_for_it(world):
    seen = []

    def stub(p):
        yield from p.execute(world.native(200_000, 17), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        begin = p.now()
        seen.append((yield from p.waitpid(pid)))
        seen.append(p.now() - begin > 150_000)

    world.finish(main)
    assert seen == [17, True]


# -- the end of a parent ------------------------------------------------------------------------


def test_exit_joins_wait_subproc_and_leaves_living_children_alone(world):
    def main(p):
        yield from p.fork(late(500_000, 3))
        yield from p.exit(1)

    process = world.finish(main)
    child = world.first_child()
    assert process.exit_code == 1
    assert process.ended_us < 100_000
    assert child.exit_code == 3
    assert child.ended_us > 500_000


def test_killed_parent_takes_nobody_with_it(world):
    def main(p):
        yield from p.fork(late(500_000, 3))
        yield from p.k.terminate_process(p.me, CURRENT_PROCESS, 0x10900)

    process = world.finish(main)
    assert process.exit_code == 0x10900
    assert world.first_child().exit_code == 3


def test_grandchildren_outlive_their_parents(world):
    order = []

    def grandchild(p):
        yield from p.sleep(300_000)
        order.append("grandchild")
        yield from p.exit(0)

    def child(p):
        yield from p.fork(grandchild)
        order.append("child")
        yield from p.exit(0)

    def main(p):
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)
        order.append("main")

    world.finish(main)
    assert order == ["child", "main", "grandchild"]


def test_many_generations_leave_no_commit_and_no_names(world):
    def main(p):
        for n in range(25):
            pid = yield from p.fork(late(n * 10, n))
            assert (yield from p.waitpid(pid)) == n

    world.finish(main)
    assert len(world.k.processes) == 26
