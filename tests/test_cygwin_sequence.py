"""Sequence charts: what is in them, where they end, and how long an object lasts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from machine import ARGUMENTS, SLOW, World, leave

from models.cygwin import schemes
from models.cygwin.installation import Creation
from models.cygwin.process import CygwinProcess
from models.cygwin.sequence import Sequence, sequence
from models.win32.cost_profile import load_profile
from scenarios.creation_charts import KINDS, chart
from sim.engine import Steps
from sim.sequence_layout import KernelObject
from sim.streams import Replication

NAMES = schemes.names()


def drawn(kind: str, scheme: str, system: str = "nt") -> Sequence:
    return chart(kind, scheme, system, load_profile("p3-800-w2000"), Replication(1, 0))


def texts(made: Sequence, lane: int) -> list[str]:
    return [step.text for step in made.steps if step.lane == lane]


def spawned(scheme: str, us: float | None, until: float | None = None) -> tuple[World, Creation]:
    """A run in which a native program that runs for `us` is spawned, and the creation."""
    world = World(schemes.get(scheme), costs=SLOW)
    native = world.native(us)

    def program(p: CygwinProcess) -> Steps:
        yield from p.work(1.0)
        yield from p.spawn("_P_NOWAIT", native, ARGUMENTS)
        p.open(7)
        yield from p.work(50.0)

    world.run(program, until)
    return world, next(r for r in world.trace.records if isinstance(r, Creation))


@pytest.mark.parametrize("scheme", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_has_both_lanes_in_time_order(kind, scheme):
    made = drawn(kind, scheme)
    times = [step.t_us for step in made.steps]
    assert times == sorted(times)
    assert made.lanes[0].startswith("parent ")
    assert made.lanes[1].startswith("child ")
    assert {step.lane for step in made.steps} == set(range(len(made.lanes)))


@pytest.mark.parametrize("scheme", NAMES[1:3])
@pytest.mark.parametrize("system", ["nt", "9x"])
def test_functions_have_the_names_of_the_document(scheme, system):
    brackets = {b.text for b in drawn("fork_socket", scheme, system).brackets}
    wanted = {"cygheap_setup_for_child", "fixup_before_fork", "cygheap_fixup_in_child"}
    if scheme == "shared-memory":
        wanted.add("cygheap_setup_for_child_cleanup")
    assert brackets == wanted


@pytest.mark.parametrize("scheme", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bracket_holds_steps_of_one_lane(kind, scheme):
    made = drawn(kind, scheme)
    for bracket in made.brackets:
        first, last = made.steps[bracket.first], made.steps[bracket.last]
        assert first.lane == last.lane == (1 if bracket.text.endswith("in_child") else 0)


@pytest.mark.parametrize("scheme", NAMES)
def test_the_caller_s_lane_ends_when_the_call_returns(scheme):
    world, creation = spawned(scheme, 5_000.0)
    made = sequence(world.k, creation)
    assert texts(made, 0)[-1] == "spawn returns"
    assert not any("CreateFile disk" in text for text in texts(made, 0))
    assert max(s.t_us for s in made.steps if s.lane == 0) == creation.returned_us


@pytest.mark.parametrize("kind", ["fork", "fork_socket", "exec"])
@pytest.mark.parametrize("scheme", NAMES)
def test_the_child_s_lane_ends_in_main(kind, scheme):
    assert texts(drawn(kind, scheme), 1)[-1] == "main()"


@pytest.mark.parametrize("scheme", NAMES[:3])
def test_a_stub_s_lane_ends_with_it(scheme):
    made = drawn("exec", scheme)
    assert texts(made, 0)[-1].startswith("ExitProcess")
    assert made.lanes[2] == "child's signal thread"


@pytest.mark.parametrize("scheme", NAMES[1:3])
def test_the_section_lasts_as_long_as_a_native_child_has_its_handle(scheme):
    made = drawn("spawn", scheme)
    sections = [thing for thing in made.objects if thing.name == "cygheap copy"]
    if scheme == "msys-1.0":  # gives such a child none
        assert sections == []
        return
    [section] = sections
    closed = next(i for i, s in enumerate(made.steps) if s.text == "CloseHandle cygheap copy")
    assert section.last is not None
    assert section.last > closed
    assert made.steps[section.last].text.startswith("ExitProcess")


@pytest.mark.parametrize("scheme", NAMES[1:3])
@pytest.mark.parametrize(("system", "outlives"), [("nt", True), ("9x", False)])
def test_the_section_lasts_as_long_as_a_cygwin_child_has_its_view(scheme, system, outlives):
    made = drawn("fork", scheme, system)
    [section] = [thing for thing in made.objects if thing.name == "cygheap copy"]
    assert (section.last is None) == outlives
    if section.last is not None:
        assert made.steps[section.last].text == "CloseHandle cygheap copy"
        assert made.steps[section.last].lane == 1


def test_a_blocked_spawn_is_shaded_until_the_child_ends():
    made = drawn("spawn", "blocking")
    [wait] = made.waits
    assert made.steps[wait.first].text.startswith("WaitForMultipleObjects")
    assert wait.last is not None
    assert made.steps[wait.last].t_us - made.steps[wait.first].t_us > 800_000
    causes = [made.steps[a.first].text for a in made.arrows if a.last == wait.last]
    assert causes == ["ExitProcess 0x0"]


def test_a_wait_that_never_ends_has_no_end_and_one_that_was_cut_is_not_called_endless():
    world, creation = spawned("blocking", None)
    [wait] = sequence(world.k, creation).waits
    assert wait.last is None
    world, creation = spawned("blocking", 1e6, until=100_000.0)
    assert sequence(world.k, creation).waits == []


@pytest.mark.parametrize("scheme", NAMES[:3])
def test_what_set_the_child_going_points_to_its_start(scheme):
    for kind, cause in (("fork", "CreateProcess sh"), ("fork_socket", "ResumeThread thread")):
        made = drawn(kind, scheme)
        start = next(i for i, s in enumerate(made.steps) if s.text == "process start")
        causes = [made.steps[a.first].text for a in made.arrows if a.last == start]
        assert causes == [cause]


@pytest.mark.parametrize("kind", ["fork", "fork_socket"])
def test_events_last_until_both_have_closed_them(kind):
    made = drawn(kind, "blocking")
    closed = [i for i, s in enumerate(made.steps) if s.text == "CloseHandle forker_finished"]
    assert [made.steps[i].lane for i in closed] in ([0, 1], [1, 0])
    assert KernelObject("forker_finished", closed[0], closed[1]) not in made.objects
    [finished] = [thing for thing in made.objects if thing.name == "forker_finished"]
    assert finished.last == closed[1]


def test_a_run_without_calls_or_child_is_refused():
    world, creation = spawned("blocking", 5.0)
    with pytest.raises(ValueError, match="made no process"):
        sequence(world.k, Creation(0, "fork", 1, "x"))
    world.k.calls = None
    with pytest.raises(ValueError, match="kept no calls"):
        sequence(world.k, creation)


@pytest.mark.parametrize("program", [leave(0)], ids=["leaves"])
def test_a_chart_of_a_child_that_reached_main_ends_there(program: Callable[..., Steps]):
    world = World(schemes.get("shared-memory"))
    world.finish(world.create("_P_WAIT", program))
    creation = next(r for r in world.trace.records if isinstance(r, Creation))
    made = sequence(world.k, creation)
    assert texts(made, 1)[-1] == "main()"
    assert texts(made, 0)[-1] == "spawn returns"


@pytest.mark.parametrize("scheme", ["blocking", "shared-memory"])
def test_the_first_steps_of_a_chart_are_a_chart_and_refer_to_nothing_after_them(scheme):
    whole = drawn("fork", scheme)
    assert whole.first(len(whole.steps)) == whole
    for count in range(1, len(whole.steps)):
        part = whole.first(count)
        assert part.steps == whole.steps[:count]
        lasts = [x.last for x in (*part.waits, *part.arrows, *part.brackets)]
        assert all(last is not None and last < count for last in lasts)
        assert all(part.steps[b.first].lane == part.steps[b.last].lane for b in part.brackets)
