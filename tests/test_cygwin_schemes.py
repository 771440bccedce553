"""The contract that every scheme keeps, on both kinds of Windows: what a child comes to own."""

from __future__ import annotations

import pytest
from machine import ARGUMENTS, early_nt_world, early_world, heap_world, leave, strings, top, word

from models.cygwin import command_line, schemes
from models.cygwin.arguments import Arguments
from models.cygwin.cygheap.layout import HeapType
from models.cygwin.errors import NoSuchFile

SPAWN_MODES = ("_P_WAIT", "_P_NOWAIT", "_P_DETACH")
KINDS = ("fork", "exec", *SPAWN_MODES)


# -- the catalogue ---------------------------------------------------------------------------------


def test_the_schemes_are_four_and_some_have_variants():
    assert schemes.names() == ["blocking", "shared-memory-1.3.3", "shared-memory", "child-copy"]
    assert schemes.variant_names() == [
        *schemes.names(), "msys-1.0", "1.5.18", "1.7.7", "1.1", "fixed-2000", "2000-09-11",
        "2000-09-30", "2001-07-17", "2001-07-18", "2001-08-04", "2001-08-20", "2001-08-31",
        "1.3.3-two-step",
        "2001-09-06", "child-copy-3.6.4",
    ]  # fmt: skip
    for name in schemes.variant_names():
        assert schemes.get(name).name == name
    with pytest.raises(KeyError):
        schemes.get("modern")


def test_the_catalogue_tells_each_scheme_s_era_and_dates():
    told = schemes.describe()
    assert [entry["name"] for entry in told] == schemes.names()
    assert [entry["era"] for entry in told] == ["A", "R", "B", "M"]
    assert all(entry["since"] < (entry["until"] or "9999") and entry["summary"] for entry in told)


# -- the heap arrives ------------------------------------------------------------------------------


def never_comes_to_main(world, kind):
    """What 1.5.18 makes of a spawned child that nobody waits for: it dies of its start-up."""
    seen = []

    def child(p):
        seen.append(p.pid)
        yield from p.exit(0)

    def main(p):
        yield from world.create(kind, child)(p)
        yield from p.sleep(1e6)

    world.run(main)
    assert seen == []
    assert [q.exit_code for q in world.k.processes.values() if q.parent_pid] == [139]


def busy(p):
    """Some heap beyond the first page, with holes."""
    blocks = [p.heap.cstrdup(b"text %d " % i * i) for i in range(1, 60)]
    for block in blocks[::3]:
        p.heap.cfree(block)


@heap_world
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sockets", [0, 2], ids=["", "sockets"])
def test_child_owns_its_parent_s_heap_byte_for_byte(world, kind, sockets):
    """As it was when it was handed over: with a socket that is later, but in 1.3.3 and MSYS."""
    if not world.keeps(kind):
        never_comes_to_main(world, kind)
        return
    seen = {}

    def child(p):
        seen["base"] = p.heap.base
        yield from p.sleep(10_000)
        yield from p.exit(0)

    def main(p):
        for fd in range(3, 3 + sockets):
            p.socket(fd)
        busy(p)
        seen["parent base"] = p.heap.base
        yield from world.create(kind, child)(p)

    world.finish(main)
    snapshots = world.k.at_create
    if sockets and not world.copies_before_sockets:
        snapshots = {**snapshots, **world.k.__dict__.get("at_resume", {})}
    assert len(world.scheme.received) == (2 if kind == "exec" else 1)
    for pid, heap in world.scheme.received.items():
        assert len(heap) > 2 * 4096
        assert heap == snapshots[pid]
    assert seen["base"] == seen["parent base"]


@heap_world
@pytest.mark.parametrize("kind", KINDS)
def test_later_writes_of_either_side_do_not_show_on_the_other(world, kind):
    if not world.keeps(kind):
        never_comes_to_main(world, kind)
        return
    seen = {}

    def rewrite(p, at, content):
        p.heap.memory.write(at, content)
        return p.heap.memory.read(at, len(content))

    def child(p):
        at = seen["at"]
        seen["found"] = p.heap.memory.read(at, 6)
        rewrite(p, at, b"child!")
        p.heap.cmalloc(HeapType.HEAP_STR, 50_000)
        yield from p.sleep(1_000_000)
        seen["child"] = p.heap.memory.read(at, 6)
        yield from p.exit(0)

    def main(p):
        block = p.heap.cstrdup(b"before")
        seen["at"] = block - p.heap.base
        image = world.cygwin(child, "new")
        if kind in SPAWN_MODES:
            yield from p.spawn(kind, image, ARGUMENTS)
        else:
            target = child

            def stub(q):
                yield from q.execute(image, ARGUMENTS)

            if kind == "exec":
                target = stub
            yield from p.fork(target)
        yield from p.sleep(100_000)
        seen["parent before"] = p.heap.memory.read(seen["at"], 6)
        rewrite(p, seen["at"], b"parent")
        top = p.heap.max
        yield from p.sleep(2_000_000)
        seen["parent"] = p.heap.memory.read(seen["at"], 6)
        assert p.heap.max == top

    world.finish(main)
    assert seen["found"] == seen["parent before"] == b"before"
    assert seen["child"] == b"child!"
    assert seen["parent"] == b"parent"


@heap_world
def test_fork_child_goes_on_with_the_whole_state_of_the_allocator(world):
    """What it frees and allocates next is what its parent would have got."""
    got = {}

    def next_blocks(p):
        return [p.heap.cstrdup(b"x" * n) for n in (5, 30, 100, 5, 250)]

    def child(p):
        got["child"] = next_blocks(p)
        yield from p.exit(0)

    def main(p):
        busy(p)
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)
        got["parent"] = next_blocks(p)

    world.finish(main)
    assert got["child"] == got["parent"]


@early_world
def test_heap_is_shared_pages_on_nt_and_a_copy_on_9x(world):
    kinds = {}

    def child(p):
        kinds["child"] = p.me.process.space.find(p.heap.base).kind
        yield from p.exit(0)

    def main(p):
        kinds["parent"] = p.me.process.space.find(p.heap.base).kind
        yield from world.create("fork", child)(p)

    world.finish(main)
    view = not world.is_blocking and not world.k.system.map_view_of_file_ex_sucks
    assert kinds == {"parent": "private", "child": "view" if view else "private"}


def test_after_the_hand_over_the_parent_has_neither_view_nor_handle(world):
    seen = []

    def main(p):
        yield from p.spawn("_P_NOWAIT", world.cygwin(leave(0)), ARGUMENTS)
        space, handles = p.me.process.space, p.me.process.handles
        seen.extend(region.name for region in space.regions() if region.name == "cygheap copy")
        seen.extend(h for h in handles.handles() if handles.get(h).role == "cygheap copy")
        yield from p.sleep(1e6)

    world.finish(main)
    assert seen == []


@heap_world
@pytest.mark.parametrize("kind", KINDS)
def test_generations_of_children_do_not_collide(world, kind):
    """Each child creates the next one: heaps stay at the same address through all of them."""
    if not world.keeps(kind):
        never_comes_to_main(world, kind)
        return
    bases = []

    def generation(n):
        def program(p):
            bases.append(p.heap.base)
            if n:
                yield from world.create(kind, generation(n - 1))(p)
            yield from p.exit(n)

        return program

    world.finish(generation(4))
    assert len(bases) == 5
    assert len(set(bases)) == 1


# -- argv and environment --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exec", *SPAWN_MODES])
def test_argv_and_environment_arrive(world, kind):
    if not world.keeps(kind):
        never_comes_to_main(world, kind)
        return
    seen = []
    given = Arguments([b"cc1", b"", b"x" * 300], [b"PATH=/usr/bin", b"HOME=/home/me", b"E="])

    def child(p):
        argv = command_line.argv(p)
        env = strings(p, p.environment())[: len(given.env)]  # 3.6 adds two of its own
        seen.append((strings(p, argv), env))
        yield from p.exit(0)

    world.finish(world.create(kind, child, given))
    assert seen == [(list(given.argv), list(given.env))]


@heap_world
@pytest.mark.parametrize("mode", SPAWN_MODES)
def test_a_parent_that_goes_on_frees_what_it_put_there(world, mode):
    tops = []

    def main(p):
        for _ in range(4):
            pid = yield from p.spawn(mode, world.cygwin(leave(0)), ARGUMENTS)
            yield from p.sleep(1e6)
            if mode == "_P_NOWAIT":  # 3.6 names each child that nobody has waited for
                yield from p.waitpid(pid)
            tops.append(p.heap.max)

    world.finish(main)
    assert len(set(tops)) == 1


# -- exit codes and pids ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3, 255])
def test_fork_gives_the_pid_and_waitpid_the_exit_code(world, code):
    seen = {}

    def child(p):
        seen["own pid"] = p.pid
        yield from p.sleep(5_000)
        yield from p.exit(code)

    def main(p):
        seen["pid"] = yield from p.fork(child)
        seen["code"] = yield from p.waitpid(seen["pid"])
        seen["again"] = yield from p.waitpid(seen["pid"])

    world.finish(main)
    assert seen["own pid"] == seen["pid"]
    assert seen["code"] == code
    assert seen["again"] is None  # ECHILD


@pytest.mark.parametrize("native", [False, True], ids=["cygwin", "native"])
def test_spawn_gives_exit_code_pid_or_0_by_its_mode(world, native):
    seen = {}

    def main(p):
        for mode in SPAWN_MODES:
            image = world.native(2_000, 9) if native else world.cygwin(leave(9))
            seen[mode] = yield from p.spawn(mode, image, ARGUMENTS)
        seen["waited"] = yield from p.waitpid(seen["_P_NOWAIT"])

    world.finish(main)
    assert seen["_P_WAIT"] == 9
    assert seen["waited"] == (9 if native or world.keeps("_P_NOWAIT") else 139)
    assert seen["_P_DETACH"] == 0
    windows = world.k.processes if world.scheme.version.has_heap else range(1000, 1128)
    assert seen["_P_NOWAIT"] in windows


def test_exec_keeps_the_pid_and_its_parent_gets_the_final_code(world):
    seen = {}

    def second(p):
        seen["second"] = p.pid
        yield from p.sleep(50_000)
        yield from p.exit(7)

    def first(p):
        seen["first"] = p.pid
        yield from p.execute(world.cygwin(second), ARGUMENTS)

    def stub(p):
        seen["stub"] = p.pid
        yield from p.execute(world.cygwin(first), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        code = yield from p.waitpid(pid)
        assert {seen["stub"], seen["first"], seen["second"]} == {pid}
        assert code == 7

    world.finish(main)
    version = world.scheme.version
    code = 0 if version.exec_pipe_bytes or not version.has_heap else 0x20000
    stubs = [q for q in world.k.processes.values() if q.parent_pid and q.exit_code == code]
    assert len(stubs) == 2
    last = max(q.ended_us for q in world.k.processes.values() if q.exit_code == 7)
    assert all(stub.ended_us < last - 40_000 for stub in stubs)  # long before the program


@early_world  # from 3.6 on it can wait for them, which test_cygwin_child_copy.py has
def test_child_of_an_exec_can_be_waited_for_by_the_new_image_s_own_children_only(world):
    """A wait for a child that an earlier image of the process made is ECHILD."""
    seen = {}

    def image(p):
        seen["lost"] = yield from p.waitpid(seen["pid"])
        own = yield from p.fork(leave(4))
        seen["own"] = yield from p.waitpid(own)
        yield from p.exit(0)

    def stub(p):
        seen["pid"] = yield from p.fork(leave(5))
        yield from p.execute(world.cygwin(image), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        yield from p.waitpid(pid)

    world.finish(main)
    assert (seen["lost"], seen["own"]) == (None, 4)


@early_world
@pytest.mark.parametrize("parent", ["none", "gone"])
def test_stub_without_a_living_parent_stays_and_returns_the_child_s_code(world, parent):
    def image(p):
        yield from p.sleep(800_000)
        yield from p.exit(11)

    def stub(p):
        yield from p.sleep(100_000)
        yield from p.execute(world.cygwin(image, "image"), ARGUMENTS)

    def main(p):
        if parent == "none":
            yield from stub(p)
        yield from p.fork(stub)

    world.run(main)
    world.check_clean()
    by_end = sorted(world.k.processes.values(), key=lambda q: q.ended_us)
    new, last = by_end[-2:]
    assert new.image.name == "image"
    assert last.exit_code == new.exit_code == 11
    arrived = [
        row.name for row in world.rows(last.pid, "SetEvent", "WaitForMultipleObjects", "ResetEvent")
    ]
    wait = "WaitForMultipleObjects"
    loop = [] if world.is_blocking else ["ResetEvent", wait, wait]
    assert arrived[arrived.index(wait) :] == [*(wait, wait, "SetEvent", wait, wait), *loop]
    main_thread = [row for row in world.trace.rows(tid=last.threads[0].tid) if row.name[0] != "#"]
    assert [word(row) for row in main_thread if row.phase != "return"][-4:] == [
        *("GetExitCodeProcess process", "CloseHandle subproc_ready", "CloseHandle process"),
        "ExitProcess",
    ]


def test_a_parent_that_never_waits_leaves_nothing_behind(world):
    def main(p):
        for _ in range(3):
            yield from p.fork(leave(0))
        yield from p.sleep(1e6)

    world.finish(main)


# -- 62 children -----------------------------------------------------------------------------------


@early_nt_world
@pytest.mark.parametrize("living", [True, False], ids=["living", "zombies"])
def test_nobody_hears_of_the_63rd_living_child(living, nt_world):
    seen = []

    def child(p):
        yield from p.sleep(2e6 if living else 1)
        yield from p.exit(1)

    def main(p):
        pids = []
        for _ in range(63):
            pids.append((yield from p.fork(child)))
            yield from p.sleep(10_000)
        for pid in pids:
            seen.append((yield from p.waitpid(pid)))
        pid = yield from p.fork(leave(2))
        seen.append((yield from p.waitpid(pid)))

    nt_world.finish(main)
    assert seen == [1] * 62 + ([None, 2] if living else [1, 2])


@pytest.mark.parametrize("kind", ["exec", "_P_WAIT", "_P_NOWAIT", "_P_DETACH"])
def test_a_program_that_is_not_there_is_enoent_and_nothing_is_made(world, kind):
    seen = []

    def program(p):
        before = top(p)
        try:
            if kind == "exec":
                yield from p.execute(None, ARGUMENTS)
            else:
                yield from p.spawn(kind, None, ARGUMENTS)
        except NoSuchFile as error:
            seen.append(str(error))
        assert top(p) == before
        yield from p.exit(0)

    world.finish(program)
    assert seen == ["ENOENT: no program ''"]
    assert len(world.k.processes) == 1
    [creation] = world.trace.records
    assert creation.error == seen[0]
