"""`cygsim run child_dies`: a child that dies in a step of its creation, and who sees what."""

from __future__ import annotations

from itertools import pairwise

import pytest

from models.cygwin.creation_window import step_at, steps_of
from models.cygwin.section_life import child_of
from models.win32.cost_profile import load_profile
from scenarios import child_dies
from scenarios.child_dies import Parameters, run_point
from scenarios.creation_ways import WAYS
from scenarios.death_machines import (
    BLOCKED,
    CODE,
    CRASHED,
    EAGAIN,
    KILLED,
    Setting,
    deaths,
    reference,
)
from scenarios.spec import Outcome, Replicated
from sim.streams import Replication

P3 = load_profile("p3-800-w2000")
SCHEMES = ("blocking", "shared-memory-1.3.3", "shared-memory", "msys-1.0")


def setting(scheme: str, system: str = "nt", profile=P3) -> Setting:
    return Setting(scheme, system, profile, Replication(1, 0), 3, 16, 9)


def code(cause: str) -> int:
    return 9 if cause == KILLED else 0xC0000005


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("way", WAYS)
def test_steps_are_those_of_the_calls_of_child_and_caller(way, scheme):
    ran = reference(setting(scheme), way)
    steps = steps_of(ran.machine.kernel, ran.creation)
    assert [step.number for step in steps] == sorted({step.number for step in steps})
    assert all(a.end_us <= b.start_us for a, b in pairwise(steps))
    made = {(step.who, step.call) for step in steps}
    assert steps[0][1:3] == ("child", "")
    assert {("child", "CreateThread"), ("child", "SetEvent")} & made
    assert (("caller", "WriteProcessMemory") in made) == way.startswith("fork")
    assert step_at(steps, steps[3].middle_us) is steps[3]
    assert step_at(steps, steps[0].start_us - 1) is None


def test_steps_of_a_creation_that_came_to_nothing_are_refused():
    ran = reference(setting("blocking"), "fork")
    ran.creation.returned_us = None
    with pytest.raises(ValueError, match="has no end"):
        steps_of(ran.machine.kernel, ran.creation)


@pytest.mark.parametrize(
    ("scheme", "system"), [*((name, "nt") for name in SCHEMES), ("shared-memory", "9x")]
)
def test_a_fork_is_eagain_until_the_child_has_answered_twice_and_leaves_a_record(scheme, system):
    place = setting(scheme, system)
    ran = reference(place, "fork")
    kernel = ran.machine.kernel
    rows = kernel.trace.rows(pid=child_of(kernel, ran.creation).pid)
    answers = [row.t_us for row in rows if row.name == "SetEvent"]
    for death in deaths(place, "fork", 9):
        wanted = EAGAIN if death.step.start_us < answers[1] else CODE
        assert death.result == wanted, death.step
        assert death.code == (None if wanted == EAGAIN else code(death.cause))
        assert (death.records, death.sections) == ((1, 1) if wanted == EAGAIN else (0, 0))
        assert dict(death.left) == ({"process": 1, "pinfo": 1} if wanted == EAGAIN else {})
        assert not death.still
        assert not death.bytes
        if wanted == EAGAIN:
            first = death.step.start_us < answers[0]
            words = "*** child state waiting for longjmp" if first else "pass"
            assert words in death.message or "*** child state child loading dlls" in death.message
        else:
            assert death.message == ""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("way", ["exec", "spawn", "exec, socket", "spawn, socket"])
def test_a_dead_exec_or_spawn_is_an_ordinary_dead_child(way, scheme):
    found = list(deaths(setting(scheme), way, 14))
    assert {death.cause for death in found} == {KILLED, CRASHED}
    for death in found:
        assert (death.result, death.code) == (CODE, code(death.cause))
        assert not death.message
        assert not death.left
        assert not death.records
        assert not death.bytes
        assert 0 < death.noticed_us < 5_000


def test_where_nothing_takes_time_there_is_no_step_to_die_in():
    ideal = load_profile("ideal")
    outcome = run_point(Parameters(), "blocking", "nt", ideal, Replication(1, 0))
    assert outcome.rows == outcome.notes == []
    [said] = list(child_dies.conclusions(_of(outcome), Parameters()))[1:]
    assert "no step takes any time" in said[0]


def test_too_little_memory_is_a_note_and_nothing_follows(small_profile):
    for limit_bytes in (4096, 620_000, 1_100_000):
        profile = load_profile(small_profile(limit_bytes))
        o = run_point(Parameters(every=9), "shared-memory", "nt", profile, Replication(1, 0))
        assert any("1455" in note for note in o.notes)
        assert all(not o.drawn[way] for way in WAYS if any(f", {way}: " in n for n in o.notes))


def test_words_follow_from_the_deaths():
    outcome = run_point(Parameters(every=20), "blocking", "nt", P3, Replication(1, 0))
    said = [text for text, _ in child_dies.conclusions(_of(outcome), Parameters())]
    assert any("after none of" in text for text in said)
    waits = dict(outcome.drawn)
    waits["spawn"] = [d._replace(result=BLOCKED, noticed_us=None) for d in waits["spawn"]]
    waits["exec"] = [d._replace(bytes=4096) for d in waits["exec"]]
    again = [
        text
        for text, _ in child_dies.conclusions(_of(Outcome(outcome.rows, [], waits)), Parameters())
    ]
    assert any(f"waits for ever after {len(waits['spawn'])} deaths" in text for text in again)
    assert not any("after none of" in text for text in again)
    assert any(f"something {len(waits['exec'])} times is left" in text for text in again)


def _of(outcome: Outcome) -> dict[str, Replicated]:
    return {"blocking": Replicated((outcome,))}


def test_report_figures_and_results(cygsim, tmp_path):
    out = tmp_path / "out"
    words = ("--scheme", "blocking", "--set", "every=25", "--replications", 2, "--out", out)
    done = cygsim("run", "child_dies", *words)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert max(map(len, text.splitlines())) <= 80
    assert "died before initialization with status code" in text
    assert {"results.csv", "death_blocking.png"} <= {path.name for path in out.iterdir()}
