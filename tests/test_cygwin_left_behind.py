"""What the processes of a run still have at its end, each handle and byte with its cause."""

from __future__ import annotations

import pytest
from machine import ARGUMENTS, early_nt_world, heap_nt_world, leave

from models.cygwin import left_behind, schemes
from models.cygwin.compile_trace import load_workload
from models.cygwin.errors import TryAgain
from models.cygwin.left_behind import balance
from models.cygwin.replay import prepare, run
from models.cygwin.section_transfer import cygheap_setup_for_child
from models.win32.cost_profile import load_profile
from models.win32.memory import PAGE_BYTES
from models.win32.system import SYSTEMS
from sim.streams import Replication

MINI = "tests/data/traces/mini-pipeline.ptrec.jsonl.gz"
SOCKETS = "tests/data/traces/mini-sockets.ptrec.jsonl.gz"


def causes(world):
    """Cause -> what it has left; nothing may be unexplained, and the bytes are the charge."""
    found = balance(world.installation)
    assert found.unexplained == []
    document = found.document()
    assert document["committed_bytes"] == world.k.committed_bytes
    living = [process for process in world.k.processes.values() if process.alive]
    assert document["handles"] == sum(len(process.handles) for process in living)
    return {left.cause: left for left in found.left}


def test_nothing_is_left_of_a_run_that_has_finished(world):
    world.finish(world.create("fork", leave(3)))
    assert causes(world) == {}


@heap_nt_world
def test_a_native_child_keeps_the_section_of_the_heap(nt_world):
    def parent(p):
        yield from p.spawn("_P_NOWAIT", nt_world.native(None), ARGUMENTS)

    nt_world.run(parent)
    found = causes(nt_world)
    assert left_behind.NATIVE in found
    if nt_world.is_blocking:
        assert len(found[left_behind.BLOCKED].processes) == 1
    elif nt_world.scheme.name == "msys-1.0" or nt_world.child_reads:
        assert left_behind.HEAP_IN_NATIVE not in found
    else:
        kept = found[left_behind.HEAP_IN_NATIVE]
        assert (kept.handles, kept.sections, kept.views) == (1, 1, 0)
        assert kept.committed_bytes == PAGE_BYTES


@early_nt_world
def test_a_creation_that_failed_shows_section_by_section_what_it_left(nt_world):
    """A caller that makes sections for children that never come, and then sleeps."""

    def parent(p):
        for _ in range(3):
            yield from cygheap_setup_for_child(p, copy_now=True)
        yield from p.sleep(None)

    nt_world.run(parent)
    failed = causes(nt_world)[left_behind.FAILED]
    assert (failed.handles, failed.views, failed.sections) == (3, 3, 3)
    assert failed.committed_bytes == 3 * PAGE_BYTES


@heap_nt_world
def test_children_that_nobody_waits_for_are_zombies(nt_world):
    def parent(p):
        for code in range(2):
            yield from p.fork(leave(code))
        yield from p.sleep(None)

    nt_world.run(parent)
    zombies = causes(nt_world)[left_behind.ZOMBIES]
    assert zombies.sections == zombies.views == 2
    assert zombies.committed_bytes == 2 * PAGE_BYTES


def test_a_fork_that_has_no_room_leaves_nothing_unexplained(world):
    def parent(p):
        p.k.commit_limit_bytes = p.k.committed_bytes + 30 * PAGE_BYTES
        for _ in range(2):
            try:
                yield from p.fork(leave(0))
            except TryAgain:
                continue
        yield from p.sleep(None)

    world.run(parent)
    causes(world)


@pytest.mark.parametrize("scheme", schemes.variant_names())
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("path", [MINI, SOCKETS])
def test_a_replay_explains_all_it_leaves_wherever_it_is_cut(path, scheme, system):
    workload, profile = load_workload(path), load_profile("p3-800-w2000")
    end = None
    for part in (1.0, 0.93, 0.71, 0.52, 0.24):
        ready = prepare(workload, schemes.get(scheme), profile, SYSTEMS[system], Replication(1, 0))
        run(ready, None if end is None else end * part)
        end = end or ready.kernel.engine.now
        found = balance(ready.installation)
        assert found.unexplained == []
        assert found.document()["committed_bytes"] == ready.kernel.committed_bytes
        cut = ready.kernel.engine.peek() != float("inf")
        assert bool(found.left) == cut
        # in the trees of 2001-07-17 no child comes to life on 98, and so every fork fails
        lives = system == "nt" or schemes.get(scheme).on_9x
        wanted = {"cut" if cut else "finished"} if lives else {"failed", "cut" if cut else "failed"}
        assert ready.outcome in wanted


def test_what_no_cause_names_is_unexplained(nt_world):
    """The negative control: a handle, a region and a byte that nothing accounts for."""

    def parent(p):
        p.k.create_file_mapping(p.me, 4096, name="of nobody", role="of nobody")
        p.k.virtual_reserve(p.me, 0, 4096, "of nobody")
        yield from p.sleep(None)

    nt_world.run(parent)
    nt_world.k.committed_bytes += 1
    said = balance(nt_world.installation).unexplained
    assert len(said) == 3
    assert "section of nobody" in said[0]
    assert "private of nobody" in said[1]
    assert "bytes are charged" in said[2]


@pytest.mark.parametrize("limit_bytes", [1_400_000, 2_000_000])
def test_a_child_that_dies_at_once_does_not_end_the_thread_that_waits_for_children(limit_bytes):
    """Its handle is closed between wait_subproc's look at the children and its wait."""
    workload = load_workload("tests/data/traces/git-workflow.jsonl.gz")
    scheme, profile = schemes.get("shared-memory"), load_profile("p3-800-w2000")
    ready = prepare(workload, scheme, profile, SYSTEMS["nt"], Replication(1, 0))
    ready.kernel.commit_limit_bytes = limit_bytes
    assert run(ready).outcome == "failed"
    assert any("died before initialization" in f.message for f in ready.installation.failures)
    assert balance(ready.installation).unexplained == []
