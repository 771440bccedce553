"""Children of Cygwin 3.6 that outlive an exec or an exit of their parent."""

from __future__ import annotations

from machine import ARGUMENTS, World

from models.cygwin import schemes

GUARDED = "child-copy"


def child_of_an_earlier_image(child_us, before_us, wait=True):
    """What the image after an exec hears of a child that the image before had made."""
    world, seen = World(schemes.get(GUARDED)), {}

    def child(p):
        yield from p.sleep(child_us)
        yield from p.exit(7)

    def second(p):
        seen["pid"] = p.pid
        (record,) = p.children
        seen["zombie"] = record.zombie
        if wait:
            seen["code"] = yield from p.waitpid(record.pid)
            assert p.children == []
        yield from p.exit(0)

    def first(p):
        seen["before"] = p.pid
        yield from p.fork(child)
        yield from p.sleep(before_us)
        yield from p.execute(world.cygwin(second, "second"), ARGUMENTS)

    def shell(p):
        pid = yield from p.fork(first)
        seen["shell"] = yield from p.waitpid(pid)

    world.finish(shell)
    return seen


def test_a_living_child_is_waited_for_by_the_next_image():
    seen = child_of_an_earlier_image(child_us=200_000, before_us=0)
    assert (seen["zombie"], seen["code"], seen["shell"]) == (False, 7, 0)
    assert seen["pid"] == seen["before"]


def test_a_dead_child_is_still_on_record_after_an_exec():
    seen = child_of_an_earlier_image(child_us=1, before_us=200_000)
    assert (seen["zombie"], seen["code"]) == (True, 7)


def test_a_child_that_ends_during_the_exec_is_not_lost():
    codes = {child_of_an_earlier_image(us, 0)["code"] for us in range(1, 20_000, 1_500)}
    assert codes == {7}


def test_an_exit_leaves_its_children_running():
    world, ended = World(schemes.get(GUARDED)), {}

    def child(p):
        yield from p.sleep(50_000)
        ended["child"] = p.now()
        yield from p.exit(0)

    def middle(p):
        yield from p.fork(child)
        yield from p.exit(3)

    def shell(p):
        pid = yield from p.fork(middle)
        assert (yield from p.waitpid(pid)) == 3
        ended["middle"] = p.now()

    world.finish(shell)
    assert ended["middle"] < ended["child"]


def test_an_exit_ends_its_waiting_threads_when_they_have_stopped():
    world = World(schemes.get(GUARDED))

    def main(p):
        yield from p.fork(lambda q: q.sleep(50_000))
        yield from p.exit(0)

    process = world.run(main)
    names = [row.name for row in world.rows(
        process.pid, "SuspendThread", "GetThreadContext", "TerminateThread", "ExitProcess"
    )]  # fmt: skip
    assert names == ["SuspendThread", *["GetThreadContext"] * 2, "TerminateThread", "ExitProcess"]
