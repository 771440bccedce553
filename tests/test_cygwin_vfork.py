"""vfork as the releases had it: a guest in its parent's process."""

from __future__ import annotations

from machine import ARGUMENTS, early_world, heap_world, leave

from models.cygwin.descriptors import DISK, DescriptorTable
from models.cygwin.errors import TryAgain
from models.cygwin.exit_audit import ExitAudit
from models.cygwin.vfork import Longjmp, is_real

A, R, B = "blocking", "shared-memory-1.3.3", "shared-memory"
T_US = 800_000.0


def guest(world, target, seen=None, before=None):
    """A vfork child: does `before`, then execs `target`."""

    def steps(p):
        if seen is not None:
            seen["guest"] = p
        if before is not None:
            yield from before(p)
        yield from p.execute(target, ARGUMENTS)
        raise AssertionError("an exec came back")

    return steps


def open_some(p):
    for fd in range(3):
        p.open(fd, DISK)
    p.pipe(3, 4)
    p.set_cloexec(4, True)


# -- one process ----------------------------------------------------------------------------------


@early_world
def test_the_child_runs_in_its_parent_s_process_and_its_exec_is_a_spawn(world):
    seen = {}

    def child(p):
        seen["child"] = p.me.process.pid
        yield from p.exit(7)

    def main(p):
        open_some(p)
        seen["parent"] = p
        seen["pid"] = yield from p.vfork(guest(world, world.cygwin(child), seen))
        seen["code"] = yield from p.waitpid(seen["pid"])

    world.finish(main)
    assert seen["guest"] is seen["parent"]
    assert seen["pid"] == seen["child"]
    assert seen["code"] == 7
    assert len(world.k.processes) == 2
    made = [(record.kind, record.mode) for record in world.trace.records]
    assert made == [("vfork", ""), ("spawn", "_P_NOWAIT")]
    call = next(r for r in world.trace.rows() if r.name == "CreateProcess")
    assert call.args["child_info"].type.name == "SPAWN"
    assert world.trace.records[0].returned_us >= world.trace.records[1].returned_us


@heap_world
def test_the_parent_s_table_is_as_before_and_every_block_of_the_copy_is_free_again(world):
    seen = {}

    def redirect(p):
        yield from p.close(3)
        yield from p.dup2(4, 1)
        yield from p.close(4)
        p.open(9, DISK)

    def main(p):
        open_some(p)
        before = {fd: (d.address, d.handle, d.cloexec) for fd, d in p.fds.open.items()}
        handles = set(p.me.process.handles.handles())
        child = guest(world, world.cygwin(leave(0)), before=redirect)
        pid = yield from p.vfork(child)
        assert {fd: (d.address, d.handle, d.cloexec) for fd, d in p.fds.open.items()} == before
        again = DescriptorTable(p.heap)
        again.read()
        assert again.open.keys() == before.keys()
        assert again.held is None
        yield from p.waitpid(pid)
        seen["leaked"] = ExitAudit().look(p)[0]
        seen["lost"] = handles - set(p.me.process.handles.handles())

    world.finish(main)
    assert seen == {"leaked": 0, "lost": set()}


@early_world
def test_what_a_guest_opens_and_closes_is_its_own_but_its_directory_is_not(world):
    seen = {}

    def before(p):
        seen["table"] = p.fds.open.keys() | set()
        seen["same handle"] = p.fds.open[0].handle == seen["handle"]
        yield from p.close(0)
        p.chdir(40)

    def main(p):
        open_some(p)
        seen["handle"] = p.fds.open[0].handle
        pid = yield from p.vfork(guest(world, world.cygwin(leave(0)), before=before))
        assert 0 in p.fds.open
        cwd = p.heap.memory.read32(p.heap.era.cwd_offset)
        seen["cwd"] = len(p.heap.string(cwd))
        yield from p.waitpid(pid)

    world.finish(main)
    assert seen["table"] == {0, 1, 2, 3, 4}
    assert not seen["same handle"]
    assert seen["cwd"] == 40


@early_world
def test_heap_commits_and_growth_are_those_of_a_second_table(world):
    """A vector, and for each descriptor an fhandler and two names; all of it free afterwards."""
    grown = {}

    def note(p):
        grown["guest"] = p.heap.max
        yield from p.work(1.0)

    def main(p):
        for fd in range(3):
            p.open(fd, DISK)
        before = p.heap.max
        pid = yield from p.vfork(guest(world, world.cygwin(leave(0)), before=note))
        yield from p.waitpid(pid)
        era = p.heap.era
        sizes = world.installation.sizes
        names = (sizes.file_name + 1, sizes.file_name + sizes.win32_extra + 1)
        asked = [32 * 4] + 3 * [era.fhandler_bytes["disk"], *names]
        grown["expected"] = sum(8 + era.search(n)[1] for n in asked)
        grown["guest"] -= before

    world.finish(main)
    assert grown["guest"] == grown["expected"]


# -- exits, nesting, failures ---------------------------------------------------------------------


@early_world
def test_a_guest_that_exits_becomes_a_fork_that_exits_at_once(world):
    seen = {}

    def main(p):
        open_some(p)
        pid = yield from p.vfork(leave(5))
        seen["open"] = sorted(p.fds.open)
        seen["code"] = yield from p.waitpid(pid)

    world.finish(main)
    assert seen == {"open": [0, 1, 2, 3, 4], "code": 5}
    assert [record.kind for record in world.trace.records] == ["vfork", "fork"]
    assert len(world.k.processes) == 2


def test_a_guest_that_only_returns_exits_with_0(world):
    def idle(p):
        yield from p.work(10.0)

    def main(p):
        pid = yield from p.vfork(idle)
        assert (yield from p.waitpid(pid)) == 0

    world.finish(main)


@heap_world
def test_two_vforks_one_after_the_other(world):
    def main(p):
        open_some(p)
        pids = []
        for _ in range(2):
            pids.append((yield from p.vfork(guest(world, world.cygwin(leave(0))))))
        top = p.heap.max
        pids.append((yield from p.vfork(guest(world, world.cygwin(leave(0))))))
        assert p.heap.max == top  # the third table lies where the second lay
        for pid in pids:
            assert (yield from p.waitpid(pid)) == 0

    world.finish(main)


@early_world
def test_a_vfork_in_a_guest_is_a_fork_from_1_3_3_on(world):
    seen = {}

    def inner(p):
        seen["same process"] = p is seen["outer"]
        yield from p.execute(world.cygwin(leave(3)), ARGUMENTS)

    def outer(p):
        seen["outer"] = p
        assert is_real(p) == world.is_blocking
        pid = yield from p.vfork(inner)
        if not world.is_blocking:
            assert (yield from p.waitpid(pid)) == 3
        yield from p.execute(world.cygwin(leave(4)), ARGUMENTS)

    def main(p):
        open_some(p)
        pid = yield from p.vfork(outer)
        seen["returned"] = True
        assert (yield from p.waitpid(pid)) == 4

    process = world.run(main)
    kinds = [record.kind for record in world.trace.records]
    if world.is_blocking:
        # the inner vfork took the place of the outer: the parent itself has become the program
        assert seen["same process"]
        assert "returned" not in seen
        assert kinds == ["vfork", "vfork", "spawn", "exec"]
        assert process.exit_code == 4
    else:
        world.check_clean()
        assert seen["returned"]
        assert not seen["same process"]
        assert kinds == ["vfork", "fork", "exec", "spawn"]


@early_world
def test_a_fork_in_a_guest_has_both_tables_and_its_exec_lets_go_of_the_held_one(world):
    seen = {}

    def last(p):
        seen["last"] = p.fds.held, sorted(p.fds.open)
        yield from p.exit(0)

    def child(p):
        assert not p.vforking
        seen["child"] = sorted(p.fds.held.open), sorted(p.fds.open)
        yield from p.execute(world.cygwin(last), ARGUMENTS)

    def outer(p):
        yield from p.close(3)
        pid = yield from p.fork(child)
        assert (yield from p.waitpid(pid)) == 0
        yield from p.exit(0)

    def main(p):
        open_some(p)
        p.set_cloexec(4, False)
        pid = yield from p.vfork(outer)
        assert (yield from p.waitpid(pid)) == 0

    world.finish(main)
    assert seen == {"child": ([0, 1, 2, 3, 4], [0, 1, 2, 4]), "last": (None, [0, 1, 2, 4])}


@early_world
def test_an_exec_that_fails_comes_back_to_the_guest(world):
    seen = []

    def child(p):
        world.k.commit_limit_bytes = world.k.committed_bytes + 4096
        try:
            yield from p.execute(world.cygwin(leave(0)), ARGUMENTS)
        except TryAgain as error:
            seen.append(str(error))
        world.k.commit_limit_bytes = None
        yield from p.exit(127)

    def main(p):
        pid = yield from p.vfork(child)
        seen.append((yield from p.waitpid(pid)))

    world.run(main)
    assert len(seen) == 2
    assert seen[1] == 127


def test_a_release_without_vfork_forks(world):
    class Modern:
        def __getattr__(self, name):
            return None if name == "vfork" else getattr(world.scheme.version, name)

    seen = {}

    def child(p):
        seen["other process"] = p is not seen["parent"]
        yield from p.execute(world.cygwin(leave(0)), ARGUMENTS)

    def main(p):
        p.version = Modern()
        seen["parent"] = p
        pid = yield from p.vfork(child)
        yield from p.waitpid(pid)

    world.finish(main)
    assert seen["other process"]
    assert [record.kind for record in world.trace.records] == ["fork", "exec"]


def test_longjmp_says_where_it_goes():
    assert str(Longjmp(260, 0)) == "longjmp to vfork with pid 260, exit code 0"


# -- who waits, who keeps what --------------------------------------------------------------------


def test_a_native_program_after_vfork_holds_the_caller_under_blocking_only(nt_world):
    """Nothing declares it: the spawn waits for {child, signal_arrived, subproc_ready}."""
    took = {}

    def main(p):
        open_some(p)
        began = p.now()
        pid = yield from p.vfork(guest(nt_world, nt_world.native(T_US, 6)))
        took["us"] = p.now() - began
        assert (yield from p.waitpid(pid)) == 6

    nt_world.finish(main)
    assert (took["us"] > T_US) == nt_world.is_blocking
    assert nt_world.is_blocking or took["us"] < 20_000


def test_a_native_program_that_never_ends_blocks_make_itself(nt_world):
    def main(p):
        yield from p.vfork(guest(nt_world, nt_world.native(None)))

    process = nt_world.run(main)
    assert process.alive == nt_world.is_blocking
    if process.alive:
        wait = process.threads[0].wait
        assert [obj.role or obj.kind for obj in wait.objects] == [
            "process", "signal_arrived", "subproc_ready",
        ]  # fmt: skip


@early_world
def test_a_cygwin_child_closes_the_held_table_and_a_native_one_keeps_it(world):
    """So a pipe's write end that the guest closed stays open in a native child."""
    ends = {}

    def child(p):
        table = p.me.process.handles
        end = ends["write"]
        ends["cygwin"] = sum(table.get(h) is end for h in table.handles())
        yield from p.exit(0)

    def close_it(p):
        yield from p.close(4)

    def main(p):
        p.pipe(3, 4)
        ends["write"] = p.me.process.handles.get(p.fds.open[4].handle)
        pid = yield from p.vfork(guest(world, world.cygwin(child), before=close_it))
        yield from p.waitpid(pid)
        native = world.native(50_000.0)
        began = list(world.k.processes)
        pid = yield from p.vfork(guest(world, native, before=close_it))
        process = next(q for q in world.k.processes.values() if q.pid not in began)
        if process.alive:
            table = process.handles
            ends["native"] = sum(table.get(h) is ends["write"] for h in table.handles())
        yield from p.waitpid(pid)

    world.finish(main)
    assert ends["cygwin"] == 0
    assert ends.get("native", 1) == 1


def test_close_on_exec_is_lost_in_the_copied_table_of_era_a(world):
    seen = {}

    def child(p):
        seen["open"] = sorted(p.fds.open)
        yield from p.exit(0)

    def main(p):
        open_some(p)  # 4 has close-on-exec
        pid = yield from p.vfork(guest(world, world.cygwin(child)))
        assert p.fds.open[4].cloexec
        yield from p.waitpid(pid)

    world.finish(main)
    assert seen["open"] == ([0, 1, 2, 3, 4] if world.is_blocking else [0, 1, 2, 3])


@early_world
def test_the_copy_counts_no_sockets_but_closing_it_counts_them_down(world):
    seen = {}

    def main(p):
        p.socket(3)
        p.socket(4)
        pid = yield from p.vfork(guest(world, world.cygwin(leave(0)), seen))
        seen["after"] = p.fds.sockets
        yield from p.waitpid(pid)
        again = DescriptorTable(p.heap)
        again.read()
        seen["in the heap"] = again.sockets
        del seen["guest"]

    world.finish(main)
    assert seen == {"after": 0, "in the heap": 0}
    call = next(r for r in world.trace.rows() if r.name == "CreateProcess" and r.phase == "call")
    assert call.args["flags"] & 4
    spawn = world.trace.records[1]
    assert spawn.section_steps == world.steps_with_a_socket
