"""Cygwin 3.6: the retries, the exec pipe, and who is waited for."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import pytest
from machine import ARGUMENTS, World, leave

from models.cygwin import heap_guard, schemes
from models.cygwin.cygheap.modern_layout import ModernType
from models.cygwin.cygheap.modern_window import largest_fresh
from models.cygwin.cygheap.soundness import condition, starts
from models.cygwin.early_death import (
    EXIT_FORK_FAILED,
    EXIT_RETRY,
    STATUS_ACCESS_VIOLATION,
    STATUS_DLL_INIT_FAILED,
    STATUS_DLL_NOT_FOUND,
)
from models.cygwin.errors import SilentFailure, TryAgain
from models.cygwin.images import DLL, native_image
from models.cygwin.left_behind import SUSPENDED, balance
from models.cygwin.version import UNGUARDED
from models.win32.image import Image, Layout, Part
from models.win32.objects import PipeEnd

NAME = "child-copy"
BUF = ModernType.HEAP_BUF

# ---- retries ------------------------------------------------------------------------------------

UNKNOWN = 0x77
AGAIN = [  # exit code, CYGWIN=proc_retry, how many children are made if all die so
    (UNKNOWN, 0, 1), (UNKNOWN, 1, 1), (UNKNOWN, 2, 2), (UNKNOWN, 5, 3),
    (STATUS_DLL_INIT_FAILED, 0, 1), (STATUS_DLL_INIT_FAILED, 2, 3), (EXIT_RETRY, 1, 2),
    (STATUS_ACCESS_VIOLATION, 5, 1), (STATUS_DLL_NOT_FOUND, 5, 1), (EXIT_FORK_FAILED, 5, 1),
    (0, 5, 1),
]  # fmt: skip


class Dying:
    """`child-copy` with CYGWIN=proc_retry:N, of which the first children die with a code."""

    def __init__(self, retry, code, deaths=99):
        scheme = copy(schemes.get(NAME))
        self.version = scheme.version = replace(scheme.version, proc_retry=retry)
        self.name, self.parent_side = scheme.name, scheme.parent_side
        self._child_side, self._code, self._deaths = scheme.child_side, code, deaths

    def child_side(self, p, info):
        if p.me.process.image.name in ("new", "sh") and self._deaths:
            self._deaths -= 1
            yield from p.k.exit_process(p.me, self._code)
        yield from self._child_side(p, info)


def made(world):
    """The children, oldest first."""
    return [q for q in world.k.processes.values() if q.parent_pid]


@pytest.mark.parametrize("code", [0, *(code for code, _, _ in AGAIN)])
def test_a_fork_whose_child_died_is_eagain_whatever_the_code_and_proc_retry_say(code):
    """frok::error asks proc_retry for the code 0 only, for which that has no 0 to answer."""
    world, seen = World(Dying(9, code)), {}

    def main(p):
        handles, top = len(p.me.process.handles), p.heap.max
        with pytest.raises(TryAgain) as caught:
            yield from p.fork(leave(0))
        seen["said"] = str(caught.value)
        seen["left"] = len(p.me.process.handles) - handles, p.heap.max - top

    world.run(main)
    assert [q.exit_code for q in made(world)] == [code]
    assert seen["said"] == (
        f"child -1 - forked process {made(world)[0].pid} died unexpectedly, retry 9, "
        f"exit code {code:#x}, errno 11"
    )
    assert seen["left"] == (0, 0)
    silent = code == EXIT_FORK_FAILED  # the child is to have said it
    assert len(world.installation.failures) == (not silent)
    assert world.trace.records[0].error == seen["said"]


@pytest.mark.parametrize(("code", "retry", "children"), AGAIN)
def test_an_exec_makes_its_child_again_as_the_exit_code_allows_and_ends_as_the_last(
    code, retry, children
):
    world = World(Dying(retry, code))

    def main(p):
        yield from p.execute(world.cygwin(leave(0), "new"), ARGUMENTS)

    first = world.finish(main)
    assert [q.exit_code for q in made(world)] == [code] * children
    assert first.exit_code == code


def test_a_second_child_that_lives_is_the_answer_and_costs_the_time_of_the_first():
    took, codes = {}, {}
    for deaths in (0, 2):
        world, seen = World(Dying(2, STATUS_DLL_INIT_FAILED, deaths)), {}

        def child(p, seen=seen):
            seen["main"] = p.now()
            yield from p.exit(6)

        def main(p, seen=seen, world=world, child=child):
            seen["began"] = p.now()
            yield from p.execute(world.cygwin(child, "new"), ARGUMENTS)

        first = world.finish(main)
        codes[deaths] = first.exit_code
        took[deaths] = seen["main"] - seen["began"]
        assert len(made(world)) == deaths + 1
        dead = made(world)[:deaths]
        closed = [r.args["h"] for r in world.rows(first.pid, "CloseHandle")]
        assert all(process in closed for process in dead)
        lost = [q.ended_us - q.created_us for q in dead]
        assert took[deaths] >= took[0] + sum(lost)
    assert codes == {0: 6, 2: 6}
    assert took[2] > 1.5 * took[0]


@pytest.mark.parametrize("mode", ["_P_WAIT", "_P_NOWAIT"])
def test_a_spawned_child_is_made_once_whatever_the_user_asks_for(mode):
    world, seen = World(Dying(5, STATUS_DLL_INIT_FAILED)), {}

    def main(p):
        got = yield from p.spawn(mode, world.cygwin(leave(0), "new"), ARGUMENTS)
        seen["code"] = got if mode == "_P_WAIT" else (yield from p.waitpid(got))

    world.finish(main)
    assert seen["code"] == STATUS_DLL_INIT_FAILED
    assert len(made(world)) == 1


def test_a_retry_of_an_exec_notes_the_heap_s_end_anew():
    """What another thread got while the first child was made is the second one's too."""
    scheme, seen = Dying(1, EXIT_RETRY, 1), {}
    scheme.version = replace(scheme.version, heap_guard=UNGUARDED)
    world = World(scheme)

    def look(p):
        seen["child"] = condition(p.heap, seen["new"])
        yield from p.exit(0)

    def main(p):
        def other(thread):
            yield from p.k.sleep(thread, 2_000)
            user = yield from heap_guard.allocate(p, thread, BUF, largest_fresh(p.heap))
            seen["new"] = frozenset({user - p.heap.era.user_offset_bytes})

        yield from heap_guard.start_thread(p, other, "other")
        yield from p.execute(world.cygwin(look, "new"), ARGUMENTS)

    world.run(main)
    assert seen["child"] == (0, 0, False, None)


# ---- the limit on children ----------------------------------------------------------------------


class Few:
    """`child-copy` with room for three children on record, not 5119."""

    def __init__(self):
        scheme = copy(schemes.get(NAME))
        assert scheme.version.max_children == 5119
        self.version = scheme.version = replace(scheme.version, max_children=3)
        self.name, self.parent_side = scheme.name, scheme.parent_side
        self.child_side = scheme.child_side


@pytest.mark.parametrize("zombies", [False, True])
def test_a_fork_beyond_the_limit_ends_its_child_and_is_eagain_until_one_is_reaped(zombies):
    world, seen = World(Few()), {}

    def child(p):
        if not zombies:
            yield from p.sleep(1e6)
        yield from p.exit(0)

    def main(p):
        pids = []
        for _ in range(3):
            pids.append((yield from p.fork(child)))
        yield from p.sleep(100_000)
        handles, top = len(p.me.process.handles), p.heap.max
        with pytest.raises(SilentFailure, match="hit 3 processes"):
            yield from p.fork(child)
        seen["left"] = len(p.me.process.handles) - handles, p.heap.max - top
        yield from p.waitpid(pids[0])
        pids[0] = yield from p.fork(child)
        for pid in pids:
            yield from p.waitpid(pid)

    world.run(main)
    assert seen["left"] == (0, 0)
    assert [q.exit_code for q in made(world)] == [0, 0, 0, 1, 0]
    assert world.installation.failures == []


@pytest.mark.parametrize("what", ["cygwin", "native"])
def test_a_spawn_beyond_the_limit_leaves_its_child_suspended_and_one_without_a_record_goes(what):
    world, seen = World(Few()), {}
    image = world.cygwin(leave(0), "new") if what == "cygwin" else world.native(1e5, 0)

    def main(p):
        for _ in range(3):
            yield from p.fork(leave(0))
        yield from p.sleep(100_000)
        handles, top = len(p.me.process.handles), p.heap.max
        with pytest.raises(SilentFailure):
            yield from p.spawn("_P_NOWAIT", image, ARGUMENTS)
        seen["left"] = len(p.me.process.handles) - handles
        seen["freed"] = p.heap.max - top, (yield from p.spawn("_P_DETACH", image, ARGUMENTS))
        seen["grown"] = p.heap.max - top

    world.run(main)
    assert seen["left"] == 0
    assert seen["grown"] == seen["freed"][0]
    strange, detached = made(world)[-2:]
    assert (strange.alive, strange.threads[0].suspend_count) == (True, 1)
    assert detached.exit_code == 0
    found = balance(world.installation)
    assert found.unexplained == []
    assert [x.processes for x in found.left if x.cause == SUSPENDED] == [{strange.pid}]


# ---- the exec pipe ------------------------------------------------------------------------------


def chain(world, seen, images, end):
    """A program that execs `images` times and then does `end`."""

    def program(p):
        seen.append((p.pid, p.me.process.pid))
        if images:
            following = chain(world, seen, images - 1, end)
            yield from p.execute(world.cygwin(following, "image"), ARGUMENTS)
        yield from end(p)

    return program


def ends_with(code, after_us=50_000):
    def end(p):
        yield from p.sleep(after_us)
        yield from p.exit(code)

    return end


def test_a_chain_of_execs_is_one_child_whose_last_image_gives_the_code():
    world, seen, got = World(schemes.get(NAME)), [], {}

    def main(p):
        pid = yield from p.fork(chain(world, seen, 3, ends_with(7)))
        handle = p.children[0].h_process
        got["code"] = yield from p.waitpid(pid)
        got["pid"], got["handle"] = pid, handle
        got["again"] = yield from p.waitpid(pid)

    first = world.finish(main)
    assert {pid for pid, _ in seen} == {got["pid"]}
    assert len({winpid for _, winpid in seen}) == 4
    assert (got["code"], got["again"]) == (7, None)
    last = world.k.processes[seen[-1][1]]
    stubs = [world.k.processes[winpid] for _, winpid in seen[:-1]]
    assert all(stub.ended_us < last.ended_us - 40_000 for stub in stubs)
    ends = [row for row in world.trace.rows(pid=first.pid) if row.name == "ExitThread"]
    assert len(ends) == 1  # one thread of the parent, for all four images


def pipe_holders(world):
    """Processes that hold a write end of an exec pipe, by pid."""
    return {
        process.pid
        for process in world.k.processes.values()
        if process.alive
        for end in map(process.handles.get, process.handles.handles())
        if isinstance(end, PipeEnd) and end.writes and end.pipe.name == "exec pipe"
    }


def test_the_write_end_is_with_the_stub_and_the_image_until_the_stub_goes():
    world, seen, held = World(schemes.get(NAME)), [], []

    def main(p):
        pid = yield from p.fork(chain(world, seen, 1, ends_with(0)))
        for _ in range(40):
            yield from p.sleep(1_000)
            held.append(len(pipe_holders(world)))
        yield from p.waitpid(pid)

    world.finish(main)
    assert min(held) == 1
    assert max(held) == 2
    assert held[-1] == 1


def test_without_a_cygwin_parent_a_stub_stays_and_ends_with_its_image_s_code():
    world, seen = World(schemes.get(NAME)), []
    first = world.finish(chain(world, seen, 1, ends_with(11)))
    image = world.k.processes[seen[-1][1]]
    assert first.exit_code == image.exit_code == 11
    assert first.ended_us > image.ended_us


def test_a_stub_goes_at_once_though_its_parent_has_gone_before():
    """The write end is what tells it of a parent, and that it has: nobody reads it any more."""
    world, seen = World(schemes.get(NAME)), []

    def stub(p):
        yield from p.sleep(100_000)
        yield from chain(world, seen, 1, ends_with(11, 800_000))(p)

    def main(p):
        yield from p.fork(stub)

    world.finish(main)
    old, image = (world.k.processes[winpid] for _, winpid in seen)
    assert (old.exit_code, image.exit_code) == (0, 11)
    assert old.ended_us < image.ended_us - 700_000


def test_an_image_that_is_terminated_leaves_the_code_of_the_first_process():
    """Its pinfo has no code, and the parent's handle is that of the stub, which ended with 0."""
    for images, code in ((0, 0x900), (2, 0)):
        world, seen, got = World(schemes.get(NAME)), [], {}

        def kill(world=world, seen=seen):
            world.k.end_process(world.k.processes[seen[-1][1]], 0x900, None)

        def main(p, world=world, seen=seen, got=got, images=images, kill=kill):
            pid = yield from p.fork(chain(world, seen, images, ends_with(7, 1e6)))
            world.k.engine.deadline(400_000, kill)
            got["code"] = yield from p.waitpid(pid)
            got["at"] = p.now()

        world.finish(main)
        assert got["code"] == code
        assert 400_000 <= got["at"] < 430_000


@pytest.mark.parametrize("ended", [False, True], ids=["running", "zombie"])
def test_the_image_after_an_exec_waits_for_what_the_one_before_had_made(ended):
    world, seen = World(schemes.get(NAME)), {}

    def image(p):
        seen["children"] = [(child.pid, child.zombie) for child in p.children]
        seen["code"] = yield from p.waitpid(seen["pid"])
        seen["at"] = p.now()
        own = yield from p.fork(leave(4))
        seen["own"] = yield from p.waitpid(own)
        yield from p.exit(0)

    def stub(p):
        seen["pid"] = yield from p.fork(ends_with(5, 1 if ended else 200_000))
        yield from p.sleep(50_000)
        yield from p.execute(world.cygwin(image), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        yield from p.waitpid(pid)

    world.finish(main)
    assert seen["children"] == [(seen["pid"], ended)]
    assert (seen["code"], seen["own"]) == (5, 4)
    assert (seen["at"] > 200_000) == (not ended)


@pytest.mark.parametrize("kind", ["fork", "_P_NOWAIT"])
def test_a_grandchild_that_runs_on_does_not_keep_a_parent_waiting(kind):
    """It has a write end of its own; its parent's is kept from it."""
    world, got = World(schemes.get(NAME)), {}

    def child(p):
        daemon = ends_with(0, 3e6)
        if kind == "fork":
            yield from p.fork(daemon)
        else:
            yield from p.spawn(kind, world.cygwin(daemon), ARGUMENTS)
        yield from p.exit(2)

    def main(p):
        pid = yield from p.fork(child)
        got["code"] = yield from p.waitpid(pid)
        got["at"] = p.now()

    world.finish(main)
    assert got["code"] == 2
    assert got["at"] < 100_000
    assert world.k.engine.now > 3e6


def test_a_native_program_s_own_children_do_not_keep_its_parent_waiting():
    """It does not know of its write end, which is not inheritable."""
    world, got = World(schemes.get(NAME)), {}
    daemon = world.native(3e6)

    def steps(k, me):
        yield from k.create_process(me, daemon, True)
        return 2

    image = native_image(world.scheme.version, "starts", steps)

    def main(p):
        pid = yield from p.spawn("_P_NOWAIT", image, ARGUMENTS)
        got["code"] = yield from p.waitpid(pid)
        got["at"] = p.now()

    world.finish(main)
    assert got["code"] == 2
    assert got["at"] < 100_000
    assert world.k.engine.now > 3e6


# ---- the import table decides -------------------------------------------------------------------


def loads(world, *dlls, us=2e6):
    """A program without Cygwin's start-up whose import table names `dlls`."""
    native = world.native(us, 9)
    own = [part for part in native.parts if not part.name.endswith(".dll")]
    libraries = [Part(0x70000000 + i * 0x100000, 0x10000, name) for i, name in enumerate(dlls)]
    return Image("native", Layout([*own, *libraries]), native.entry)


TABLES = {
    "Cygwin": None,
    "native": ("kernel32.dll", "ntdll.dll"),
    "native that loads nothing": (),
    "one with such a name": ("kernel32.dll", f"not{DLL}", f"{DLL}.dll"),
}


@pytest.mark.parametrize("mode", ["_P_NOWAIT", "_P_DETACH"])
@pytest.mark.parametrize("what", TABLES)
def test_a_program_is_waited_for_if_its_import_table_names_the_dll(what, mode):
    world, seen = World(schemes.get(NAME)), {}
    dlls = TABLES[what]
    image = world.cygwin(ends_with(9, 2e6), "native") if dlls is None else loads(world, *dlls)

    def main(p):
        before = starts(p.heap)
        began = p.now()
        yield from p.spawn(mode, image, ARGUMENTS)
        seen["took"] = p.now() - began
        seen["blocks"] = len(starts(p.heap) - before)

    first = world.finish(main)
    rows = [row for row in world.trace.rows(pid=first.pid) if row.phase != "return"]
    events = [row for row in rows if row.name == "CreateEvent"]
    waits = [row for row in rows if row.name == "WaitForMultipleObjects"]
    ready = [row for row in events if "h" in row.args and row.args["h"].role == "subproc_ready"]
    assert len(ready) == len(waits) == (dlls is None)
    child = world.first_child()
    assert seen["took"] < 20_000
    assert child.ended_us > 2e6
    copied = len(ARGUMENTS.argv) if dlls is None else 0  # for a Cygwin program only
    assert seen["blocks"] == 3 + len(ARGUMENTS.env) + 2 + copied  # SYSTEMROOT and WINDIR


def test_a_program_that_names_the_dll_and_never_reports_is_waited_for_until_it_ends():
    """The table is all that the parent looks at: such a program brings the old complaint back."""
    world, seen = World(schemes.get(NAME)), {}

    def main(p):
        began = p.now()
        pid = yield from p.spawn("_P_NOWAIT", loads(world, "kernel32.dll", DLL), ARGUMENTS)
        seen["took"] = p.now() - began
        seen["code"] = yield from p.waitpid(pid)

    world.finish(main)
    assert seen["took"] > 2e6
    assert seen["code"] == 9


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("mode", ["_P_NOWAIT", "_P_DETACH"])
def test_a_program_taken_for_cygwin_s_unread_holds_its_caller_and_the_heap_lock(taken, mode):
    """On a cygexec mount: the event is made, and nobody sets it; the complaint of 2001 is back."""
    world, seen = World(schemes.get(NAME)), {}
    world.installation.taken_for_cygwin = frozenset({"native"} if taken else ())

    def other(p):
        def steps(thread):
            yield from p.k.sleep(thread, 100_000)
            yield from heap_guard.allocate(p, thread, BUF, 20)
            seen["allocated"] = p.now()

        return steps

    def main(p):
        yield from heap_guard.start_thread(p, other(p), "other")
        began = p.now()
        pid = yield from p.spawn(mode, world.native(800_000, 6), ARGUMENTS)
        seen["took"] = p.now() - began
        if pid:
            seen["code"] = yield from p.waitpid(pid)
        yield from p.sleep(2e6)

    first = world.finish(main)
    assert (seen["took"] >= 800_000) == taken
    assert (seen["allocated"] >= 800_000) == taken
    assert seen.get("code", 6) == 6
    looked = world.rows(first.pid, "UnmapViewOfFile")  # at the file; then a pinfo at the reaping
    assert len(looked) == (not taken) + (mode == "_P_NOWAIT")
