"""The guard of 3.6.5: another thread allocates while a child is made, with it and without it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from machine import ARGUMENTS, World, leave

from models.cygwin import heap_guard, schemes
from models.cygwin.cygheap.c_allocator import EndlessWalk
from models.cygwin.cygheap.modern import ModernHeap
from models.cygwin.cygheap.modern_layout import ModernType
from models.cygwin.cygheap.modern_window import create, largest_fresh
from models.cygwin.cygheap.soundness import Condition, condition, starts
from models.cygwin.errors import TryAgain

GUARDED, BEFORE = "child-copy", "child-copy-3.6.4"
KINDS = ("fork", "exec", "_P_NOWAIT")
LIMIT_US = 300e6  # FORK_WAIT_TIMEOUT
BUF = ModernType.HEAP_BUF


@dataclass
class Seen:
    """What a run of `race` noted; the child's condition is that of its heap in main()."""

    before: frozenset[int] = frozenset()
    parent: ModernHeap | None = None
    asked_us: float | None = None
    had_us: float | None = None
    returned_us: float | None = None
    child: Condition | None = None
    child_max: int = 0
    second_walk: str = ""
    calls: list[tuple[float, str, str]] = field(default_factory=list)


def race(name, kind, at_us=None, reuse=False, silent=False):
    """A process with two threads makes a child; the other one allocates at a moment of the run."""
    world, seen = World(Silent(schemes.get(name)) if silent else schemes.get(name)), Seen()

    def look(p):
        seen.child, seen.child_max = condition(p.heap, seen.before), p.heap.max
        p.heap.cmalloc(BUF, largest_fresh(p.heap))
        try:
            p.heap.child().walk(kind == "exec")
            seen.second_walk = "ends"
        except EndlessWalk:
            seen.second_walk = "never ends"
        yield from p.exit(3)

    def main(p):
        n = 200 if reuse else largest_fresh(p.heap)
        if reuse:
            p.heap.cfree(p.heap.cmalloc(BUF, n))

        def other(thread):
            yield from p.k.sleep(thread, at_us if at_us is None else at_us - p.k.engine.now)
            seen.asked_us = p.k.engine.now
            yield from heap_guard.allocate(p, thread, BUF, n)
            seen.had_us = p.k.engine.now

        yield from heap_guard.start_thread(p, other, "other")
        yield from p.work(500)
        seen.before, seen.parent = starts(p.heap), p.heap
        image = world.cygwin(look, "new")
        try:
            if kind == "fork":
                yield from p.fork(look)
            elif kind == "exec":
                yield from p.execute(image, ARGUMENTS)
            else:
                yield from p.spawn(kind, image, ARGUMENTS)
        except TryAgain:
            pass
        seen.returned_us = p.now()
        yield from p.sleep(1e6)

    first = world.run(main)
    child = world.first_child()
    for thread, who in ((first.threads[0], "parent"), (child.threads[0], "child")):
        rows = world.trace.rows(tid=thread.tid)
        seen.calls += [(row.t_us, who, row.name) for row in rows if row.phase != "return"]
    return world, seen


class Silent:
    """A scheme whose child never comes to its heap."""

    def __init__(self, scheme):
        self.name, self.version = scheme.name, scheme.version
        self.parent_side = scheme.parent_side

    def child_side(self, p, info):
        yield from p.sleep(None)


def time_of(seen, who, name):
    return next(t for t, w, n in seen.calls if (w, n) == (who, name))


def window(kind):
    """(told, read): when the heap's end is noted, and when the child's read of it begins [us]."""
    _, seen = race(GUARDED, kind)
    return time_of(seen, "parent", "AcquireSRWLockExclusive"), time_of(
        seen, "child", "ReadProcessMemory"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_guard_the_other_thread_waits_and_the_child_is_sound(kind):
    told, read = window(kind)
    for part in (0.1, 0.5, 0.9):
        _, seen = race(GUARDED, kind, told + part * (read - told))
        assert seen.child == (0, 0, False, None)
        assert seen.second_walk == "ends"
        assert seen.asked_us < read
        assert seen.had_us >= time_of(seen, "parent", "ReleaseSRWLockExclusive") > read


@pytest.mark.parametrize("kind", KINDS)
def test_until_3_6_4_the_chain_is_cut_and_the_next_child_walks_for_ever(kind):
    """As the golden traces h19 and h20 have it; the counts are those of the heap alone."""
    told, read = window(kind)
    for part in (0.1, 0.5, 0.9):
        _, seen = race(BEFORE, kind, told + part * (read - told))
        assert seen.had_us - seen.asked_us < 10
        assert seen.child.missing == len(seen.before)
        assert seen.child.beyond == 1
        assert seen.second_walk == "never ends"
    model = create(race(BEFORE, kind)[1].parent, kind == "exec", False, 200_000)
    assert (model.kept, model.second) == (0, "never ends")


@pytest.mark.parametrize("name", [GUARDED, BEFORE])
@pytest.mark.parametrize("kind", ["fork", "_P_NOWAIT"])
def test_before_the_note_and_after_the_read_nothing_is_at_stake(kind, name):
    told, read = window(kind)
    _, early = race(name, kind, told - 30)
    assert early.had_us < told
    assert early.child == (0, 0, False, None)
    _, late = race(name, kind, read + 2000)
    assert late.child == (0, 0, False, None)
    assert late.child_max == race(name, kind)[1].child_max
    assert early.child_max > late.child_max


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_from_a_free_list_does_no_harm_without_the_guard(kind):
    told, read = window(kind)
    _, seen = race(BEFORE, kind, (told + read) / 2, reuse=True)
    assert seen.had_us is not None
    assert seen.child == (0, 0, False, None)
    assert seen.second_walk == "ends"


@pytest.mark.parametrize("kind", KINDS)
def test_the_guard_costs_nothing_where_nobody_else_allocates(kind):
    _, with_guard = race(GUARDED, kind)
    _, without = race(BEFORE, kind)
    locks = {"AcquireSRWLockExclusive", "ReleaseSRWLockExclusive"}
    assert [row for row in with_guard.calls if row[2] not in locks] == without.calls
    assert len(with_guard.calls) == len(without.calls) + 2


def test_a_fork_holds_the_lock_until_the_stack_is_written_and_a_spawn_until_the_child_is_ready():
    for kind, last in (("fork", "WriteProcessMemory"), ("_P_NOWAIT", "WaitForMultipleObjects")):
        _, seen = race(GUARDED, kind)
        parent = [name for _, who, name in seen.calls if who == "parent"]
        first, release = map(parent.index, ("AcquireSRWLockExclusive", "ReleaseSRWLockExclusive"))
        held = parent[first + 1 : release]
        assert "CreateProcess" in held
        assert held[-1] == last


@pytest.mark.parametrize("kind", ["fork", "_P_NOWAIT"])
def test_a_child_that_falls_silent_costs_the_thread_300_s_in_a_fork_and_for_ever_in_a_spawn(kind):
    told, read = window(kind)
    _, seen = race(GUARDED, kind, (told + read) / 2, silent=True)
    if kind == "fork":
        assert LIMIT_US - 20_000 < seen.had_us - seen.asked_us < LIMIT_US + 20_000
    else:
        assert seen.had_us is None
    _, before = race(BEFORE, kind, (told + read) / 2, silent=True)
    assert before.had_us - before.asked_us < 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_creation_lets_the_lock_go(kind):
    world, seen = World(schemes.get(GUARDED)), []

    def main(p):
        yield from heap_guard.start_thread(p, lambda thread: p.k.sleep(thread, None), "other")
        world.k.commit_limit_bytes = world.k.committed_bytes + 100_000
        image = world.cygwin(leave(0))
        creation = {
            "fork": lambda: p.fork(leave(0)),
            "exec": lambda: p.execute(image, ARGUMENTS),
            "_P_NOWAIT": lambda: p.spawn("_P_NOWAIT", image, ARGUMENTS),
        }[kind]
        with pytest.raises(TryAgain):
            yield from creation()
        seen.append(p.heap_lock.owner)

    world.run(main)
    assert seen == [None]
