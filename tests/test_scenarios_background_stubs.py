"""`background_native` where a stub stands in for a native program, or is done away with."""

from __future__ import annotations

import pytest
from machine import ARGUMENTS

from models.win32.cost_profile import load_profile
from scenarios.background_native import Parameters, places
from scenarios.background_stub_words import stub_conclusions, stub_figure, stub_places
from scenarios.background_stubs import (
    EXECED,
    FOREGROUND,
    GRANDCHILD,
    KILL,
    SIGNALS_SPAWN,
    SIGNALS_STUB,
    STUB_WAYS,
    TERMINATE,
    Course,
    Stub,
    stub,
)
from scenarios.spec import Measured, Outcome, Replicated
from sim.streams import Replication

P3 = load_profile("p3-800-w2000")
SCHEMES = ("blocking", "shared-memory-1.3.3", "shared-memory", "msys-1.0")
MODERN = "child-copy"
T_US = 2e6


def one(scheme: str, way: str, signal_ms: float = 10.0, profile: str = "") -> Stub:
    costs = load_profile(profile) if profile else P3
    return stub(scheme, "nt", costs, Replication(1, 0), 2, way, T_US / 1e6, signal_ms)


def values(found: Stub) -> dict[str, object]:
    return {m.measure: m.value for m in found.measures("")}


@pytest.mark.parametrize("profile", ["p3-800-w2000", "ideal"])
@pytest.mark.parametrize("way", [FOREGROUND, EXECED])
@pytest.mark.parametrize("scheme", [*SCHEMES, MODERN])
def test_a_stub_stands_in_for_its_program_and_ends_with_its_code(scheme, way, profile):
    got = values(one(scheme, way, profile=profile))
    assert T_US <= got["prompt_away_us"] < T_US + 60_000
    assert got["exit_code"] == 6
    assert got["outcome"] == "finished"


@pytest.mark.parametrize("scheme", [*SCHEMES, MODERN])
def test_the_prompt_does_not_wait_for_a_grandchild_which_keeps_the_section(scheme):
    """As in the logs `native-grandchild-inherit`: the shell has its code while the other runs."""
    got = values(one(scheme, GRANDCHILD))
    assert got["prompt_away_us"] < 100_000
    assert got["exit_code"] == 2
    assert got["native_outlives_us"] > 0.9 * T_US
    has_section = scheme not in ("blocking", "msys-1.0", MODERN)
    assert (got["section_held_us"] > T_US) == has_section


@pytest.mark.parametrize("signal_ms", [1.0, 10.0, 50.0])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_hundred_signals_end_a_wait_if_the_program_does_not_end_before(scheme, signal_ms):
    spawn, waits = (values(one(scheme, way, signal_ms)) for way in (SIGNALS_SPAWN, SIGNALS_STUB))
    limit_us = 100 * signal_ms * 1000
    given_up = limit_us < T_US
    if scheme == "blocking":
        expected = limit_us if given_up else T_US
        assert expected <= spawn["prompt_away_us"] < expected + 60_000
    else:
        assert spawn["prompt_away_us"] < 60_000
    assert spawn["exit_code"] == 6
    assert waits["exit_code"] == (0 if given_up else 6)
    assert (waits["native_outlives_us"] > 0) == given_up


@pytest.mark.parametrize("scheme", SCHEMES)
def test_kill_ends_the_program_behind_a_stub_and_terminate_process_does_not(scheme):
    """0x10900 as in the logs `native-killed-stub`."""
    killed, terminated = (values(one(scheme, way)) for way in (KILL, TERMINATE))
    assert killed["exit_code"] == 0x10900
    assert killed["native_us"] < 0.6 * T_US
    assert killed["native_outlives_us"] < 0
    assert terminated["exit_code"] == 1
    assert terminated["native_us"] > T_US
    assert terminated["native_outlives_us"] > 0.4 * T_US


def test_under_3_6_a_kill_ends_both_and_whoever_terminates_the_stub_waits_for_its_program():
    """The program has the stub's end of the pipe, by whose end the shell knows."""
    killed, terminated = (values(one(MODERN, way)) for way in (KILL, TERMINATE))
    assert killed["exit_code"] == 0x900
    assert killed["native_us"] < 0.6 * T_US
    assert killed["prompt_away_us"] < 10_000
    assert terminated["exit_code"] == 1
    assert terminated["native_us"] > T_US
    assert terminated["prompt_away_us"] > 0.4 * T_US
    assert terminated["native_outlives_us"] < 0


@pytest.mark.parametrize("signal_ms", [1.0, 10.0])
def test_under_3_6_no_number_of_signals_ends_a_wait(signal_ms):
    waits = values(one(MODERN, SIGNALS_STUB, signal_ms))
    assert waits["exit_code"] == 6
    assert waits["native_outlives_us"] < 0
    assert values(one(MODERN, SIGNALS_SPAWN, signal_ms))["prompt_away_us"] < 60_000


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_calls_of_a_kill_are_those_of_the_logs(scheme):
    rows = one(scheme, KILL).machine.kernel.calls
    names = [row.name for row in sorted(rows, key=lambda row: row.t_us)]
    at = names.index("OpenSemaphore")
    assert names[at - 2] == "OpenFileMapping"
    assert names[at - 1].startswith("MapViewOfFile")
    assert names[at + 1] == "ReleaseSemaphore"
    assert {"CloseHandle", "UnmapViewOfFile", "TerminateProcess"} <= set(names[at + 2 : at + 9])


@pytest.mark.parametrize("kind", ["fork", "spawn", "exec"])
def test_kill_ends_a_process_of_cygwin_and_knows_who_is_not_there(kind, nt_world):
    seen = {}

    def lives(p):
        yield from p.sleep(1e6)

    def becomes(p):
        yield from p.execute(nt_world.cygwin(lives), ARGUMENTS)

    def main(p):
        if kind == "spawn":
            pid = yield from p.spawn("_P_NOWAIT", nt_world.cygwin(lives), ARGUMENTS)
        else:
            pid = yield from p.fork(lives if kind == "fork" else becomes)
        yield from p.sleep(100_000)
        seen["there"] = yield from p.kill(pid, 15)
        seen["code"] = yield from p.waitpid(pid)
        seen["gone"] = yield from p.kill(pid, 15)

    nt_world.finish(main)
    code = 0xF00 if nt_world.scheme.version.exec_pipe_bytes else 0x10F00
    lost = kind == "spawn" and nt_world.scheme.name == "1.5.18"  # it died before, of its start-up
    assert seen == {"there": not lost, "code": 139 if lost else code, "gone": False}
    assert nt_world.k.engine.now < 900_000


def test_the_places_of_the_stubs_are_points_of_the_scenario():
    assert set(stub_places(2.0)) <= set(places(Parameters()))
    assert list(stub_places(0.5)) == [f"way={way} seconds=0.5" for way in STUB_WAYS]


def test_words_follow_from_the_numbers():
    def said(scheme: str, change: dict[str, float], signal_ms: float = 10.0) -> dict[str, str]:
        rows = []
        for at, way in stub_places(2.0).items():
            for m in one(scheme, way, signal_ms).measures(at):
                rows.append(Measured(*m[:3], change.get(m.measure, m.value), 0))
        results = {scheme: Replicated((Outcome(rows, []),))}
        texts = [text for text, _ in stub_conclusions(results, 2.0, signal_ms)]
        return dict(zip(STUB_WAYS, texts, strict=True))

    plain = said("blocking", {})
    assert "for as long as it runs" in plain[FOREGROUND]
    assert "after 100 signals spawn comes back (1 s of 2)" in plain[SIGNALS_SPAWN]
    assert "ends the native program too (code 0x10900)" in plain[KILL]
    assert "leaves the native program running" in plain[TERMINATE]
    slow = said("blocking", {}, 50.0)
    assert "before so many signals" in slow[SIGNALS_SPAWN]
    assert "before its stub has had so many signals" in slow[SIGNALS_STUB]
    modern = said(MODERN, {})
    assert "100 signals and more do not end" in modern[SIGNALS_STUB]
    assert "ends the native program too (code 0x900)" in modern[KILL]
    assert "sees code 1 when that ends" in modern[TERMINATE]
    changed = {"prompt_away_us": 1.0, "native_outlives_us": -1.0, "native_us": 1e6}
    other = said("shared-memory", changed)
    assert "less time than it runs" in other[FOREGROUND]
    assert "does not wait" in other[SIGNALS_SPAWN]
    assert "ends both" in other[TERMINATE]
    assert "keeps the section" in other[GRANDCHILD]


def test_a_figure_without_processes_is_refused():
    with pytest.raises(ValueError, match="at least one lane"):
        stub_figure({FOREGROUND: Course((0.0, None), [], [])}, "nothing")
