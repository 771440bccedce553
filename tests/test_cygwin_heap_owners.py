"""Whose each block of a heap is, and that looking on changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine import ARGUMENTS, World, heap_nt_world, leave

from models.cygwin import schemes
from models.cygwin.compile_trace import load_workload
from models.cygwin.cygheap import audit
from models.cygwin.cygheap.audits import garbage_in
from models.cygwin.exit_audit import live_blocks
from models.cygwin.heap_owners import GARBAGE, OWNERS, HeapWatch, owners
from models.cygwin.process import CygwinProcess
from models.cygwin.replay import ReplayRun, prepare, run
from models.cygwin.replay_result import result
from models.win32.cost_profile import load_profile
from models.win32.system import SYSTEMS
from sim.engine import Steps
from sim.streams import Replication

TRACES = Path(__file__).parent / "data" / "traces"


def seen_by(world: World, pid: int, program, until: float | None = None) -> HeapWatch:
    """A watch of process `pid` (1 is the first) over a run of `program`."""
    watch = HeapWatch(pid)
    world.installation.watch = watch
    world.run(program, until)
    return watch


def first_pid(world: World) -> int:
    return next(iter(world.k.processes))


def replayed(trace: str, scheme: str, watch: HeapWatch | None) -> ReplayRun:
    workload = load_workload(TRACES / trace)
    profile = load_profile("p3-800-w2000")
    ready = prepare(workload, schemes.get(scheme), profile, SYSTEMS["nt"], Replication(1, 0))
    ready.installation.watch = watch
    return run(ready)


@heap_nt_world
def test_every_live_block_has_an_owner_and_every_owned_one_is_live(nt_world):
    found: list[tuple[set[int], set[int]]] = []

    def program(p: CygwinProcess) -> Steps:
        p.open(0)
        p.socket(5)
        p.chdir(17)
        found.append((set(owners(p)), {*live_blocks(p).tolist()} - {0}))
        yield from p.exit(0)

    nt_world.finish(nt_world.create("exec", program))
    [(owned, live)] = found
    assert owned == live


@heap_nt_world
def test_garbage_is_what_the_audit_counts(nt_world):
    counted: list[tuple[int, int]] = []

    def program(p: CygwinProcess) -> Steps:
        p.heap.cstrdup(b"nobody's, for ever")
        p.heap.cstrdup1(b"nobody's, tagged")
        counted.append(garbage_in(p.heap, audit.committed_bytes(p.heap), live_blocks(p), {}))
        yield from p.exit(0)

    start = nt_world.create("_P_WAIT", program)
    watches = [seen_by(nt_world, 0, start)]
    child = list(watches[0].seen)[1]
    again = World(schemes.get(nt_world.scheme.name))
    picture = seen_by(again, child, again.create("_P_WAIT", program)).final()
    assert picture is not None
    assert (picture.leaked_bytes, picture.pending_bytes) == counted[0]
    assert picture.leaked_bytes > 0
    assert {b.freed_by for b in picture.blocks if b.owner == GARBAGE} >= {"never"}
    assert picture.at_exit


@heap_nt_world
def test_blocks_fill_the_picture_from_header_to_top(nt_world):
    pid = first_pid_of(nt_world)
    picture = seen_by(World(schemes.get(nt_world.scheme.name)), pid, leave(0)).final()
    assert picture is not None
    assert picture.blocks[0].offset_bytes == picture.header_bytes
    assert sum(b.size_bytes for b in picture.blocks) == picture.top_bytes - picture.header_bytes
    assert {b.owner for b in picture.blocks} <= {*OWNERS, "free"}


def first_pid_of(world: World) -> int:
    """The pid that the first process of such a world has."""
    world.run(leave(0))
    return first_pid(world)


def test_descriptors_are_named_by_their_number():
    world = World(schemes.get("shared-memory"))
    pid = first_pid_of(World(schemes.get("shared-memory")))

    def program(p: CygwinProcess) -> Steps:
        p.socket(7)
        p.open(3)
        yield from p.close(3)
        yield from p.exit(0)

    picture = seen_by(world, pid, program).final()
    assert picture is not None
    what = [b.what for b in picture.blocks if b.owner == "fhandler"]
    assert what == ["fd 7", "fd 7, Win32 name", "fd 7, name", "fd 7, protocol info"]
    assert [b.owner for b in picture.blocks[:6]] == ["fd table", "cwd", "cwd"] + 3 * ["user"]


def test_what_is_laid_out_for_a_child_belongs_to_it_until_spawn_returns():
    world = World(schemes.get("blocking"))
    pid = first_pid_of(World(schemes.get("blocking")))
    endless = world.native(None)

    def program(p: CygwinProcess) -> Steps:
        yield from p.spawn("_P_NOWAIT", endless, ARGUMENTS)

    picture = seen_by(world, pid, program).final()
    assert picture is not None
    assert (picture.at_exit, picture.making) == (False, "native")
    mine = [(b.owner, b.what) for b in picture.blocks if b.what.startswith("for native")]
    assert mine[0] == ("exec info", "for native")
    assert ("argv", "for native, argv[1]") in mine
    assert ("environment", "for native, environ[0]") in mine
    assert picture.pending_bytes == 0


def test_the_last_image_of_a_process_is_shown():
    watch = HeapWatch(5)
    replayed("mini-sockets.ptrec.jsonl.gz", "shared-memory", watch)
    picture = watch.final()
    assert picture is not None
    assert (picture.program, picture.at_exit) == ("wc", True)


@pytest.mark.parametrize("scheme", schemes.names())
def test_looking_on_changes_nothing_and_the_sum_of_all_is_the_run_s(scheme):
    trace = "mini-sockets.ptrec.jsonl.gz"
    plain = result(replayed(trace, scheme, None), 0).document
    leaked = pending = 0
    for pid in range(1, 22):
        watch = HeapWatch(pid)
        watched = replayed(trace, scheme, watch)
        if pid == 1:
            assert result(watched, 0).document == plain
        picture = watch.final()
        assert picture is not None
        leaked += picture.leaked_bytes
        pending += picture.pending_bytes
    assert (leaked, pending) == (
        plain["cygheap"]["leaked_bytes"],
        plain["cygheap"]["pending_bytes"],
    )
