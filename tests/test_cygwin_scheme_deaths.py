"""Children that die or fall silent before they have their heap, under each scheme."""

from __future__ import annotations

import pytest
from machine import ARGUMENTS, World, early_nt_world, heap_world, leave, systems_of, top

from models.cygwin import schemes
from models.cygwin.errors import TryAgain

WAIT_LIMIT_US = 300e6  # FORK_WAIT_TIMEOUT
CELLS = [(name, system) for name in schemes.names() for system in systems_of(name)]


# -- early death and silence -----------------------------------------------------------------------


def fork_and_report(world, seen):
    """A program that forks once and notes what came of it, and when."""

    def child(p):
        yield from p.sleep(100_000)
        yield from p.exit(5)

    def main(p):
        begin = p.now()
        try:
            pid = yield from p.fork(child)
        except TryAgain as error:
            seen["error"] = str(error)
        else:
            seen["code"] = yield from p.waitpid(pid)
        seen["took"] = p.now() - begin

    return main


def at(world, us, action):
    """Call `action` at a moment of the run, between two events."""
    world.k.engine.deadline(us, action)


def moments(scheme, system="nt"):
    """Times just after each call of a fork child up to main(), and the one after which it lives."""
    world = World(scheme, system)
    world.run(fork_and_report(world, {}))
    child = world.first_child()
    ready = [row.t_us for row in world.rows(child.pid, "SetEvent") if "h" in row.args]
    times = sorted({row.t_us for row in world.trace.rows(tid=child.threads[0].tid)})
    return [t + 0.1 for t in times if t <= ready[1] + 1000], ready[1]


@pytest.mark.parametrize(("name", "system"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_fork_child_killed_at_any_moment_gives_eagain_at_once(name, system):
    times, handed_over = moments(schemes.get(name), system)
    outcomes = set()
    for us in times:
        world = World(schemes.get(name), system)
        seen = {}

        def kill(world=world):
            world.k.end_process(world.first_child(), 0x10900, None)

        at(world, us, kill)
        world.run(fork_and_report(world, seen))
        assert seen["took"] < 200_000
        if "error" in seen:
            outcomes.add(seen["error"].split("(")[0].split(" ")[0])
            assert us < handed_over + 100
            failure = world.installation.failures[0]
            assert failure.message == seen["error"]
            assert failure.program == "sh"
        else:
            assert us > handed_over
            assert seen["code"] == 0x10900
        assert world.k.committed_bytes == 0
    assert "child" in outcomes  # died before initialization


@pytest.mark.parametrize("name", schemes.names())
def test_the_message_of_an_early_death_is_the_era_s(name):
    world, seen = World(schemes.get(name)), {}
    times, _ = moments(schemes.get(name))
    at(world, times[3], lambda: world.k.end_process(world.first_child(), 0x1, None))
    world.run(fork_and_report(world, seen))
    child = world.first_child()
    if name == "child-copy":
        assert seen["error"] == (
            f"child -1 - forked process {child.pid} died unexpectedly, retry 0, exit code 0x1, "
            "errno 11"
        )
    else:
        assert seen["error"].startswith(f"child {child.pid}(0x")
        assert seen["error"].endswith(") died before initialization with status code 0x1")
        assert [said.message for said in world.installation.messages] == [
            "*** child state waiting for longjmp"
        ]
    assert world.trace.records[0].error == seen["error"]
    assert world.trace.records[0].returned_us is None


def timed_out(world):
    """What a fork says whose child did not answer."""
    if world.scheme.name in ("child-copy", "1.7.7"):
        return f"wait failed, pid {world.first_child().pid}, Win32 error 258"
    return "WaitForMultipleObjects timed out"


class Silent:
    """A scheme whose child never comes to its heap."""

    def __init__(self, scheme):
        self.name, self.version = scheme.name, scheme.version
        self.parent_side = scheme.parent_side

    def child_side(self, p, info):
        yield from p.sleep(None)


@heap_world
def test_fork_child_that_never_answers_gives_a_time_out_after_300_s(world):
    silent, seen = World(Silent(schemes.get(world.scheme.name)), world.k.system.name), {}
    silent.run(fork_and_report(silent, seen))
    assert seen["error"] == timed_out(silent)
    assert WAIT_LIMIT_US < seen["took"] < WAIT_LIMIT_US + 20_000
    assert silent.first_child().exit_code == 1
    assert silent.k.committed_bytes == 0
    assert silent.k.engine.now < WAIT_LIMIT_US + 30_000


def test_fork_child_that_stops_between_the_two_waits_times_out_too(nt_world):
    seen = {}

    def stop():
        nt_world.first_child().threads[0].suspend()

    # Between its first SetEvent and its second the child waits for forker_finished.
    reference = World(schemes.get(nt_world.scheme.name))
    reference.run(fork_and_report(reference, {}))
    waits = reference.rows(reference.first_child().pid, "WaitForSingleObject")
    first = next(row.t_us for row in waits if row.args["ms"] == WAIT_LIMIT_US / 1000)
    at(nt_world, first + 0.1, stop)
    nt_world.run(fork_and_report(nt_world, seen))
    assert seen["error"] == timed_out(nt_world)
    assert WAIT_LIMIT_US < seen["took"] < WAIT_LIMIT_US + 20_000
    names = [
        row.name for row in nt_world.trace.rows(tid=nt_world.k.processes[0x100].threads[0].tid)
    ]
    written = 1 if nt_world.scheme.version.fork_reads else 6
    assert names.count("WriteProcessMemory") == written


def test_fork_child_whose_parent_stops_gives_up_after_300_s(nt_world):
    seen = {}
    reference = World(schemes.get(nt_world.scheme.name))
    reference.run(fork_and_report(reference, {}))
    first = reference.rows(reference.first_child().pid, "SetEvent")[0].t_us

    def parent():
        return nt_world.k.processes[0x100].threads[0]

    at(nt_world, first, lambda: parent().suspend())
    at(nt_world, WAIT_LIMIT_US + 100_000, lambda: parent().resume())
    nt_world.run(fork_and_report(nt_world, seen))
    assert nt_world.first_child().exit_code == 1
    messages = [failure.message for failure in nt_world.installation.failures]
    assert messages[0] == "WFSO timed out"
    assert seen["error"] == messages[1]


@pytest.mark.parametrize("mode", ["_P_WAIT", "_P_NOWAIT"])
def test_spawned_child_that_dies_early_is_an_ordinary_dead_child(world, mode):
    seen = {}

    def main(p):
        at(world, 4_000, kill)
        got = yield from p.spawn(mode, world.cygwin(leave(0)), ARGUMENTS)
        seen["code"] = got if mode == "_P_WAIT" else (yield from p.waitpid(got))

    def kill():
        child = world.first_child()
        assert child.alive
        world.k.end_process(child, 0x77, None)

    world.run(main)
    assert seen["code"] == 0x77
    assert world.k.committed_bytes == 0


def test_exec_child_that_dies_early_ends_its_stub_with_its_code(world):
    seen = {}

    def stub(p):
        at(world, 4_000, kill)
        yield from p.execute(world.cygwin(leave(0), "image"), ARGUMENTS)

    def kill():
        image = next(q for q in world.k.processes.values() if q.image.name == "image")
        world.k.end_process(image, 0x55, None)

    def main(p):
        pid = yield from p.fork(stub)
        seen["code"] = yield from p.waitpid(pid)

    world.run(main)
    assert seen["code"] == 0x55
    assert world.k.committed_bytes == 0


@pytest.mark.parametrize("kind", ["fork", "_P_NOWAIT", "exec"])
def test_a_creation_without_memory_for_its_process_leaves_nothing_behind(kind, world):
    """No section, no handle, no heap block: the real code cleans up where CreateProcess fails."""
    image, found = world.cygwin(leave(0)), []

    def create(p):
        if kind == "fork":
            return p.fork(leave(0))
        if kind == "exec":
            return p.execute(image, ARGUMENTS)
        return p.spawn(kind, image, ARGUMENTS)

    def main(p):
        yield from p.work(1)
        world.k.commit_limit_bytes = world.k.committed_bytes + 40_000
        for _ in range(3):
            with pytest.raises(TryAgain, match="1455"):
                yield from create(p)
            found.append((world.k.committed_bytes, len(p.me.process.handles), top(p)))

    world.run(main)
    assert len(set(found)) == 1
    assert len(world.installation.failures) == 3


def test_an_exec_without_memory_ends_a_program_that_does_not_care_with_126(nt_world):
    codes = []

    def child(p):
        yield from p.work(1)
        nt_world.k.commit_limit_bytes = nt_world.k.committed_bytes + 40_000
        yield from p.execute(nt_world.cygwin(leave(0)), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(child)
        codes.append((yield from p.waitpid(pid)))

    nt_world.run(main)
    assert codes == [126]
    assert nt_world.k.crashes == []


@early_nt_world  # the loop that gives up after a hundred signals is gone in 3.6
@pytest.mark.parametrize("way", ["exec", "spawn"])
def test_after_a_hundred_signals_a_stub_ends_with_0_and_its_native_child_runs_on(way, nt_world):
    """The child's code is not asked for. Spawn waits under blocking only."""
    seen = {}

    def pest(p):
        def steps(thread):
            for _ in range(101):
                yield from p.k.sleep(thread, 1_000)
                yield from p.k.set_event(thread, p.signal_arrived)

        return steps

    def stub(p):
        yield from p.k.create_thread(p.me, pest(p))
        yield from p.execute(nt_world.native(2e6, 6), ARGUMENTS)

    def main(p):
        if way == "exec":
            pid = yield from p.fork(stub)
            seen["code"] = yield from p.waitpid(pid)
        else:
            yield from p.k.create_thread(p.me, pest(p))
            yield from p.spawn("_P_NOWAIT", nt_world.native(2e6, 6), ARGUMENTS)
        seen["took"] = p.now()

    nt_world.run(main)
    waited = way == "exec" or nt_world.is_blocking
    assert seen["took"] < 300_000
    assert (seen["took"] > 100_000) == waited
    assert seen.get("code", 0) == 0
    assert nt_world.k.engine.now > 2e6
