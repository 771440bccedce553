"""Signals from 2005 on: a pipe in each process, a handle of it in the pinfo."""

from __future__ import annotations

import pytest
from call_logs import LOGS
from machine import ARGUMENTS, World, leave

from models.cygwin import schemes, signal_pipe
from models.cygwin.call_log import read_log
from models.cygwin.errors import NotExecuted, TryAgain

NAME = "child-copy"
GIVEN = ("1.5.18", "1.7.7")
CODE = 0x900
KILLS = (("1.5.18", "cyg-killed"), ("1.7.7", "cyg-killed"), ("1.7.7", "native-killed-stub"))


def lives(p):
    yield from p.sleep(1e6)
    yield from p.exit(6)


def killed(world, child, seen, after_us=100_000):
    """A program that forks `child`, kills it after a while and waits for it."""

    def main(p):
        pid = yield from p.fork(child)
        yield from p.sleep(after_us)
        seen["handles"] = len(p.me.process.handles)
        seen["there"] = yield from p.kill(pid, 9)
        seen["left"] = len(p.me.process.handles)
        seen["killed_us"] = p.now()
        seen["code"] = yield from p.waitpid(pid)
        seen["known_us"] = p.now()
        seen["gone"] = yield from p.kill(pid, 9)

    return main


def native_stub(world, us=1e6):
    def becomes(p):
        yield from p.execute(world.native(us, 6), ARGUMENTS)

    return becomes


def image_of(world):
    def becomes(p):
        yield from p.execute(world.cygwin(lives, "image"), ARGUMENTS)

    return becomes


@pytest.mark.parametrize("name", [NAME, *GIVEN])
@pytest.mark.parametrize("what", ["fork child", "image after an exec", "stub"])
def test_kill_ends_whoever_has_the_pid_and_its_parent_knows_at_once(what, name):
    world, seen = World(schemes.get(name)), {}
    child = {
        "fork child": lives,
        "image after an exec": image_of(world),
        "stub": native_stub(world),
    }[what]
    world.finish(killed(world, child, seen))
    assert (seen["there"], seen["code"], seen["gone"]) == (True, CODE, False)
    assert seen["known_us"] - seen["killed_us"] < 10_000
    assert seen["left"] == seen["handles"]
    assert world.k.engine.now < 900_000


def test_the_calls_of_a_kill_open_the_process_and_write_to_a_copy_of_its_handle():
    world, seen = World(schemes.get(NAME)), {}
    first = world.finish(killed(world, lives, seen))
    rows = [r for r in world.trace.rows(tid=first.threads[0].tid) if r.phase != "return"]
    names = [row.name for row in rows]
    at = names.index("OpenProcess")
    assert names[at - 2] == "OpenFileMapping"
    assert names[at + 1 : at + 3] == ["DuplicateHandle", "CloseHandle"]
    assert rows[at + 1].args["src_proc"] is world.first_child()
    assert "OpenSemaphore" not in names


def test_a_stub_passes_the_number_on_as_its_program_s_exit_code():
    world, seen = World(schemes.get(NAME)), {}
    world.finish(killed(world, native_stub(world), seen))
    native = next(q for q in world.k.processes.values() if q.image.name == "native")
    assert native.exit_code == 9
    assert world.first_child().exit_code == CODE


@pytest.mark.parametrize(("name", "scenario"), KILLS)
def test_the_calls_of_a_kill_are_those_of_the_log(name, scenario):
    """From opening the victim to letting go of its pinfo; then what the victim does."""
    log = read_log(LOGS / f"cygwin-{name}" / f"{scenario}.jsonl.gz")
    first = next(i for i, call in enumerate(log.calls) if call.api == "OpenProcess")
    killer = [call for call in log.calls[first:] if call.tid == "P1.t1"][:6]
    victim = str(killer[0].args["target"]).removesuffix(".proc")
    world, seen = World(schemes.get(name)), {}
    child = image_of(world) if scenario == "cyg-killed" else native_stub(world)
    parent = world.finish(killed(world, child, seen))
    rows = [r for r in world.trace.rows(tid=parent.threads[0].tid) if r.phase != "return"]
    at = next(i for i, row in enumerate(rows) if row.name == "OpenProcess")
    assert [row.name for row in rows[at : at + 6]] == [call.api for call in killer]
    assert rows[at - 1].name == "MapViewOfFileEx"
    dead = rows[at].args["h"]
    end = [call for call in log.calls if call.pid == victim and call.api == "ExitProcess"]
    assert [call.args["code"] for call in end] == [dead.exit_code] == [9]
    assert end[0].tid == f"{victim}.t2"
    ended_by = [row.tid for row in world.trace.rows(dead.pid) if row.name == "ExitProcess"]
    assert ended_by == [dead.threads[1].tid]
    own = [r.name for r in world.trace.rows(dead.pid, ended_by[0]) if r.t_us > seen["killed_us"]]
    real = [call.api for call in log.calls[first:] if call.tid == end[0].tid]
    for what in ("SetEvent", "TerminateProcess"):
        assert (what in own) == (what in real)


@pytest.mark.parametrize("name", GIVEN)
def test_the_main_thread_of_a_killed_stub_gets_no_further_than_the_lock(name):
    """As in the log `native-killed-stub`: it has its program's code, and does not end with it."""
    world, seen = World(schemes.get(name)), {}
    world.finish(killed(world, native_stub(world), seen))
    stub = world.first_child()
    rows = world.trace.rows(stub.pid, stub.threads[0].tid)
    assert "ExitProcess" not in [row.name for row in rows]
    native = next(q for q in world.k.processes.values() if q.image.name == "native")
    assert (native.exit_code, stub.exit_code) == (9, 9)
    assert (seen["code"], seen["there"]) == (CODE, True)


@pytest.mark.parametrize("name", GIVEN)
def test_a_stub_without_a_cygwin_parent_ends_as_its_killed_image_does(name):
    world, seen = World(schemes.get(name)), {}

    def killer(p):
        yield from p.sleep(100_000)
        seen["there"] = yield from p.kill(seen["pid"], 9)
        yield from p.exit(0)

    def main(p):
        seen["pid"] = p.pid
        yield from p.fork(killer)
        yield from p.execute(world.cygwin(lives, "image"), ARGUMENTS)

    stub = world.run(main)
    image = next(q for q in world.k.processes.values() if q.image.name == "image")
    assert seen["there"]
    assert image.exit_code == 9
    assert stub.exit_code == CODE
    assert world.k.engine.now < 900_000


def test_150_signals_do_not_end_the_wait_of_a_stub():
    """Nothing counts them: the loop of 2001 that gives up after a hundred is gone."""
    world, seen = World(schemes.get(NAME)), {}

    def pest(p):
        def steps(thread):
            for _ in range(150):
                yield from p.k.sleep(thread, 1_000)
                yield from p.k.set_event(thread, p.signal_arrived)

        return steps

    def stub(p):
        yield from p.k.create_thread(p.me, pest(p))
        yield from p.execute(world.native(2e6, 6), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        seen["code"] = yield from p.waitpid(pid)

    world.finish(main)
    assert seen["code"] == 6
    assert world.k.engine.now > 2e6


def test_a_process_that_kills_itself_does_not_come_back():
    world, seen = World(schemes.get(NAME)), {}

    def child(p):
        seen["there"] = yield from p.kill(p.pid, 9)
        yield from p.sleep(1e6)
        yield from p.exit(6)

    def main(p):
        pid = yield from p.fork(child)
        seen["code"] = yield from p.waitpid(pid)

    world.finish(main)
    assert seen["code"] == CODE
    assert world.k.engine.now < 900_000


def test_a_zombie_and_a_pid_that_never_was_are_not_there():
    world, seen = World(schemes.get(NAME)), {}

    def main(p):
        pid = yield from p.fork(leave(4))
        yield from p.sleep(100_000)
        seen["zombie"] = yield from p.kill(pid, 9)
        seen["code"] = yield from p.waitpid(pid)
        seen["nobody"] = yield from p.kill(0x7777, 9)

    world.finish(main)
    assert seen == {"zombie": False, "code": 4, "nobody": False}


def test_a_spawned_program_without_cygwin_has_no_pipe_and_no_stub_and_is_eagain():
    world, seen = World(schemes.get(NAME)), {}

    def main(p):
        pid = yield from p.spawn("_P_NOWAIT", world.native(300_000, 6), ARGUMENTS)
        handles = len(p.me.process.handles)
        with pytest.raises(TryAgain, match="never materialized"):
            yield from p.kill(pid, 9)
        seen["left"] = len(p.me.process.handles) - handles
        seen["code"] = yield from p.waitpid(pid)

    world.finish(main)
    assert seen == {"left": 0, "code": 6}


def test_an_exec_that_fails_leaves_the_process_to_be_reached_as_before():
    world, seen = World(schemes.get(NAME)), {}

    def child(p):
        yield from p.work(1)
        limit = world.k.commit_limit_bytes
        world.k.commit_limit_bytes = world.k.committed_bytes + 100_000
        with pytest.raises(NotExecuted):
            yield from p.execute(world.cygwin(leave(0)), ARGUMENTS)
        world.k.commit_limit_bytes = limit
        assert p.pinfo.read32(signal_pipe.SENDSIG) == p.h_sendsig
        yield from lives(p)

    world.run(killed(world, child, seen))
    assert (seen["there"], seen["code"]) == (True, CODE)
