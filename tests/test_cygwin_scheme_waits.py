"""Who waits for whom under each scheme, and what becomes of sockets on the way."""

from __future__ import annotations

import pytest
from machine import ARGUMENTS, SLOW, early_nt_world, early_world, heap_world, leave

from models.cygwin.child_info import ChildInfo, ChildType
from models.win32.process_calls import CREATE_SUSPENDED
from models.win32.waits import WAIT_TIMEOUT

SPAWN_MODES = ("_P_WAIT", "_P_NOWAIT", "_P_DETACH")


# -- who waits for whom ----------------------------------------------------------------------------

T_US = 800_000.0


@pytest.mark.parametrize("mode", SPAWN_MODES)
def test_native_child_holds_the_caller_of_spawn_only_under_blocking(world, mode):
    took = {}

    def main(p):
        begin = p.now()
        yield from p.spawn(mode, world.native(T_US), ARGUMENTS)
        took["spawn"] = p.now() - begin

    world.finish(main)
    if world.is_blocking or mode == "_P_WAIT":
        assert T_US < took["spawn"] < T_US + 20_000
    else:
        assert took["spawn"] < 20_000


@pytest.mark.parametrize("mode", SPAWN_MODES)
def test_cygwin_child_releases_the_caller_when_it_has_started(world, mode):
    took = {}

    def child(p):
        yield from p.sleep(T_US)
        yield from p.exit(0)

    def main(p):
        begin = p.now()
        yield from p.spawn(mode, world.cygwin(child), ARGUMENTS)
        took["spawn"] = p.now() - begin

    world.finish(main)
    if mode == "_P_WAIT":
        assert T_US < took["spawn"] < T_US + 20_000
    else:
        assert took["spawn"] < 20_000
        assert (took["spawn"] > 5_000) == world.waits_for_spawned  # it saw the child start


def test_three_natives_run_one_after_the_other_under_blocking(nt_world):
    def main(p):
        for _ in range(3):
            yield from p.spawn("_P_NOWAIT", nt_world.native(T_US), ARGUMENTS)

    nt_world.finish(main)
    expected = 3 * T_US if nt_world.is_blocking else T_US
    assert expected < nt_world.k.engine.now < expected + 60_000


def test_native_child_that_a_shell_forks_and_execs_holds_only_the_stub(world):
    times = {}

    def stub(p):
        yield from p.execute(world.native(T_US, 6), ARGUMENTS)

    def main(p):
        begin = p.now()
        pid = yield from p.fork(stub)
        times["fork"] = p.now() - begin
        code = yield from p.waitpid(pid)
        times["code"] = code

    world.finish(main)
    assert times["fork"] < 20_000
    assert times["code"] == 6
    native = next(q for q in world.k.processes.values() if q.image.name == "native")
    stub_process = world.k.processes[native.parent_pid]
    assert stub_process.ended_us > native.ended_us  # it stood in to the end
    status = 6 << 8 if world.scheme.name in ("1.5.18", "1.7.7") else 6
    assert stub_process.exit_code == status


def test_native_child_that_never_ends_blocks_a_spawn_for_ever_under_blocking(nt_world):
    after = []

    def main(p):
        yield from p.spawn("_P_DETACH", nt_world.native(None), ARGUMENTS)
        after.append(p.now())

    process = nt_world.run(main)
    assert bool(after) != nt_world.is_blocking
    assert process.alive == nt_world.is_blocking


@early_nt_world
def test_native_child_keeps_the_heap_section_for_life(nt_world):
    """And with it n bytes of commit; it knows nothing of any of its handles. MSYS gives it none."""
    held = {}

    def main(p):
        yield from p.spawn("_P_NOWAIT", nt_world.native(T_US), ARGUMENTS)
        native = next(q for q in nt_world.k.processes.values() if q.image.name == "native")
        if native.alive:
            held["roles"] = [native.handles.get(h).role for h in native.handles.handles()]
        yield from p.sleep(2 * T_US)

    nt_world.finish(main)
    given = {"blocking": None, "msys-1.0": 0}.get(nt_world.scheme.name, 1)
    assert (held["roles"].count("cygheap copy") if held else None) == given


def test_signals_do_not_end_the_wait_of_an_exec_before_the_hundredth(nt_world):
    """The signal only resets its event; after a hundred wakes the wait gives up."""
    took = []

    def main(p):
        if not nt_world.is_blocking:
            return

        def pest(thread):
            for _ in range(120):
                yield from p.k.sleep(thread, 1000)
                yield from p.k.set_event(thread, p.signal_arrived)

        yield from p.k.create_thread(p.me, pest)
        begin = p.now()
        yield from p.spawn("_P_NOWAIT", nt_world.native(T_US), ARGUMENTS)
        took.append(p.now() - begin)

    nt_world.finish(main)
    assert all(100_000 < us < 110_000 for us in took)


# -- one step, two steps ---------------------------------------------------------------------------


@early_world
@pytest.mark.parametrize("sockets", [0, 1])
def test_two_steps_and_a_suspended_fork_only_with_a_socket(world, sockets):
    def main(p):
        if sockets:
            p.socket(3)
        yield from p.fork(leave(0))
        yield from p.sleep(100_000)
        if sockets:
            yield from p.close(3)
            yield from p.fork(leave(0))
            yield from p.sleep(100_000)

    process = world.finish(main)
    steps = [record.section_steps for record in world.trace.records]
    flags = [row.args["flags"] for row in world.rows(process.pid, "CreateProcess")
             if row.phase == "call"]  # fmt: skip
    one = 0 if world.is_blocking else 1
    two = world.steps_with_a_socket
    assert steps == ([two, one] if sockets else [one])
    assert flags == ([0x24, 0x20] if sockets else [0x20])
    resumed = world.rows(process.pid, "ResumeThread")
    assert len(resumed) == sockets
    assert all(row.args["prev_count"] == 1 for row in resumed)


@early_world
def test_close_on_exec_sockets_still_make_the_start_suspended(world):
    def stub(p):
        yield from p.execute(world.cygwin(leave(0)), ARGUMENTS)

    def main(p):
        p.socket(3, cloexec=True)
        pid = yield from p.fork(stub)
        yield from p.waitpid(pid)

    world.finish(main)
    child = world.first_child()
    call = next(r for r in world.rows(child.pid, "CreateProcess") if r.phase == "call")
    assert call.args["flags"] == world.scheme.version.spawn_flags | CREATE_SUSPENDED
    assert world.rows(child.pid, "WSADuplicateSocket") == []


@early_world
@pytest.mark.parametrize("kind", ["fork", "exec", "_P_WAIT"])
def test_what_becomes_of_a_socket(world, kind):
    """1.3.3 and MSYS copy the heap before the sockets are fixed up: stale, WSASocket fails."""
    seen = {}

    def child(p):
        handle = p.fds.open[3].handle
        seen["object"] = p.me.process.handles.get(handle) if handle else None
        yield from p.exit(0)

    def stub(p):
        yield from p.execute(world.cygwin(child), ARGUMENTS)

    def main(p):
        p.socket(3)
        seen["original"] = p.me.process.handles.get(p.fds.open[3].handle)
        if kind == "_P_WAIT":
            yield from p.spawn(kind, world.cygwin(child), ARGUMENTS)
            return
        pid = yield from p.fork(child if kind == "fork" else stub)
        yield from p.waitpid(pid)

    world.finish(main)
    calls = [row for row in world.trace.rows() if row.name == "WSASocket"]
    assert calls
    stale = world.copies_before_sockets
    assert {row.args.get("err") for row in calls} == ({10022} if stale else {None})
    if stale and kind != "fork":
        assert seen["object"] is None
    else:
        assert seen["object"] is seen["original"]
    fetched = [
        row for row in world.trace.rows()
        if row.name == "DuplicateHandle" and row.args["src"] is seen["original"]
    ]  # fmt: skip
    assert bool(fetched) == (stale and kind != "_P_WAIT")


# -- the handshake's own account -------------------------------------------------------------------


@heap_world
def test_creation_records_tell_waits_and_bytes(world):
    def main(p):
        pid = yield from p.fork(leave(0))
        yield from p.waitpid(pid)
        yield from p.spawn("_P_NOWAIT", world.native(T_US), ARGUMENTS)

    world.finish(main)
    fork, spawn = world.trace.records
    assert fork.kind == "fork"
    assert fork.called_us < fork.main_us
    assert fork.called_us < fork.returned_us
    assert 0 < fork.waited_us < fork.returned_us - fork.called_us
    assert fork.heap_bytes > 500
    if world.scheme.name == "msys-1.0":
        assert spawn.heap_bytes == 0  # a program without the DLL is given none
    else:
        assert spawn.heap_bytes > fork.heap_bytes  # argv and environment
    if world.is_blocking:
        assert spawn.waited_us > T_US
    else:
        assert spawn.waited_us == 0


@early_world
def test_only_section_schemes_copy_and_only_blocking_reads_the_parent(world):
    def main(p):
        pid = yield from p.fork(leave(0))
        yield from p.waitpid(pid)

    world.finish(main)
    n = world.trace.records[0].heap_bytes
    copies = [row for row in world.trace.rows() if row.name == "#memcpy"]
    if world.is_blocking:
        assert world.k.read_process_memory_bytes == n
        assert copies == []
    else:
        assert world.k.read_process_memory_bytes == 0
        assert [row.args["size"] for row in copies] == [n] * (
            2 if world.k.system.map_view_of_file_ex_sucks else 1
        )


@heap_world
@pytest.mark.parametrize("kind", list(ChildType))
def test_child_info_holds_numbers_only(world, kind):
    infos = []

    def stub(p):
        yield from p.execute(world.cygwin(leave(0)), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        yield from p.waitpid(pid)
        yield from p.spawn("_P_WAIT", world.cygwin(leave(0)), ARGUMENTS)

    world.finish(main)
    for row in world.trace.rows():
        if row.name == "CreateProcess" and row.phase == "call":
            infos.append(row.args["child_info"])
    info = next(info for info in infos if info.type is kind)
    values = {name: getattr(info, name) for name in ChildInfo.__annotations__}
    assert all(isinstance(v, int) for name, v in values.items() if name != "type")
    assert bool(info.cygheap_h) != world.child_reads
    assert bool(info.moreinfo) == (kind is not ChildType.FORK)
    assert bool(info.forker_finished) == (kind is ChildType.FORK)
    if kind is ChildType.SPAWN:
        assert bool(info.subproc_ready) == world.waits_for_spawned
    else:
        assert info.subproc_ready


def test_ends_at_the_last_real_event(world):
    """No 300 s limit of a fork outlives it."""

    def main(p):
        pid = yield from p.fork(leave(0))
        yield from p.waitpid(pid)

    world.finish(main)
    assert world.k.engine.now < 50_000
    assert world.costs is SLOW
    waits = [row for row in world.trace.rows() if row.name == "WaitForMultipleObjects"]
    limits = [row.args["ms"] for row in waits if row.args.get("ret") == WAIT_TIMEOUT]
    # wait_subproc's last look when its process ends; 3.6 has no such thread
    assert limits == ([] if world.scheme.version.exec_pipe_bytes else [0])
