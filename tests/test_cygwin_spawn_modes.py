"""The modes of spawn in every scheme, held against the logs `spawn-*` of the real DLLs."""

from __future__ import annotations

import pytest
from call_logs import FOLDER, log_of
from machine import ARGUMENTS, World, leave

from models.cygwin import schemes

MODES = ("_P_NOWAIT", "_P_NOWAITO", "_P_VFORK", "_P_DETACH")
LOGGED = {mode: f"spawn-{mode[3:].lower()}-native" for mode in MODES}
T_US = 800_000.0
CELLS = [(name, mode) for name in FOLDER for mode in MODES]  # there are no such logs of MSYS
COMPLAINT = "wait_sig: SetEvent (subproc_ready) failed, Win32 error 6"


@pytest.fixture(params=schemes.names())
def world(request):
    return World(schemes.get(request.param))


def held_us(name, *modes):
    """How long each of several spawns of an 800 ms native program holds its caller [us]."""
    world, took = World(schemes.get(name)), []

    def main(p):
        pids = []
        for mode in modes:
            began = p.now()
            pids.append((yield from p.spawn(mode, world.native(T_US, 6), ARGUMENTS)))
            took.append(p.now() - began)
        for pid in pids:
            if pid:
                assert (yield from p.waitpid(pid)) == 6

    world.finish(main)
    return took


@pytest.mark.parametrize(("name", "mode"), CELLS)
def test_native_program_holds_the_caller_as_long_as_in_the_log(name, mode):
    """826, 819, 871 and 821 ms in 1.3.2, 10 to 30 ms in 1.3.3 and 1.3.19."""
    back = next(c for c in log_of(name, LOGGED[mode]).calls if c.api == "#app_spawn_return")
    (took,) = held_us(name, mode)
    assert (took > T_US) == (back.args["took_us"] > T_US) == (name == "blocking")
    if name == "blocking":
        assert took < 1.1 * T_US
    else:
        assert took < 30_000


@pytest.mark.parametrize("name", schemes.names())
def test_three_native_programs_run_one_after_the_other_under_blocking(name):
    took = held_us(name, *["_P_NOWAIT"] * 3)
    assert all((us > T_US) == (name == "blocking") for us in took)
    assert (sum(took) > 3 * T_US) == (name == "blocking")


def test_all_modes_but_detach_return_a_pid_that_can_be_waited_for(world):
    def main(p):
        for mode in MODES:
            pid = yield from p.spawn(mode, world.cygwin(leave(3)), ARGUMENTS)
            assert bool(pid) == (mode != "_P_DETACH")
            if pid:
                assert (yield from p.waitpid(pid)) == 3
        yield from p.sleep(100_000)

    world.finish(main)


@pytest.mark.parametrize(("name", "mode"), CELLS)
def test_child_info_of_each_mode_is_that_of_the_log(name, mode):
    world = World(schemes.get(name))

    def main(p):
        yield from p.spawn(mode, world.native(10.0), ARGUMENTS)
        yield from p.sleep(100_000)

    world.finish(main)
    real = next(c.args for c in log_of(name, LOGGED[mode]).calls if "child_info" in c.args)
    call = next(r for r in world.trace.rows() if "child_info" in r.args)
    info = call.args["child_info"]
    assert info.type.name == real["child_info"]["type"]
    assert info.cygpid == real["child_info"].get("cygpid", 1)
    assert bool(info.subproc_ready) == bool(real["child_info"]["subproc_ready"])
    assert bool(call.args["flags"] & 4) == ("CREATE_SUSPENDED" in real["flags"])
    assert (info.type.name == "EXEC") == (mode == "_P_VFORK" and name != "shared-memory")


@pytest.mark.parametrize("name", FOLDER)
def test_child_of_p_vfork_in_1_3_3_complains_of_handle_0(name):
    """It is told that it was exec'ed, and told of no event: SetEvent(0) fails with 6."""
    world, ran = World(schemes.get(name)), []

    def child(p):
        ran.append(p.pid == p.me.process.pid)
        yield from p.exit(9)

    def main(p):
        pid = yield from p.spawn("_P_VFORK", world.cygwin(child, "sleep"), ARGUMENTS)
        assert (yield from p.waitpid(pid)) == 9

    world.finish(main)
    assert ran == [True]
    said = [(m.program, m.message) for m in world.installation.messages]
    log = log_of(world.scheme.name, "spawn-vfork-cyg")
    assert bool(said) == bool(log.meta["stderr"]) == (world.scheme.name == "shared-memory-1.3.3")
    if said:
        assert said == [("sleep", COMPLAINT)]
        assert log.meta["stderr"].endswith(COMPLAINT)


def test_child_of_p_vfork_has_its_own_pid_and_parent_after_an_exec_too(world):
    """Typed EXEC it takes over neither the pid nor the parent of its parent."""
    seen = {}

    def last(p):
        seen["last"] = p.pid
        yield from p.exit(2)

    def child(p):
        seen["child"] = p.pid
        yield from p.execute(world.cygwin(last), ARGUMENTS)

    def middle(p):
        pid = yield from p.spawn("_P_VFORK", world.cygwin(child), ARGUMENTS)
        seen["pid"] = pid
        yield from p.exit((yield from p.waitpid(pid)))

    def main(p):
        pid = yield from p.spawn("_P_NOWAIT", world.cygwin(middle), ARGUMENTS)
        assert (yield from p.waitpid(pid)) == 2

    world.finish(main)
    assert seen["child"] == seen["last"] == seen["pid"]
