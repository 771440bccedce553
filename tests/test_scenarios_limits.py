"""`cygsim run limits`: after how many a program is refused, and what it sees then."""

from __future__ import annotations

import pytest

from models.win32.cost_profile import load_profile
from scenarios import limits
from scenarios.limit_machines import (
    FORK,
    SHELL,
    SPAWN,
    Ground,
    children,
    descriptors,
    held_pids,
    natives,
    zombies,
)
from scenarios.limits import Parameters, conclusions, run_point
from scenarios.messages import general, legend, lettered
from scenarios.spec import Measured, Outcome, Replicated
from sim.streams import Replication

P3 = load_profile("p3-800-w2000")
SCHEMES = ("blocking", "shared-memory-1.3.3", "shared-memory", "msys-1.0")
SMALL = Parameters(
    children=64, zombies=70, descriptors=50, rounds=10, heap_kib=(16, 1024), commit_mib=8
)


def ground(scheme: str, system: str = "nt", profile=P3) -> Ground:
    return Ground(scheme, system, profile, Replication(1, 0), 2)


@pytest.mark.parametrize("profile", ["p3-800-w2000", "ideal"])
@pytest.mark.parametrize("way", [FORK, SPAWN])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_62_living_children_are_heard_of_and_the_others_run_on(scheme, way, profile):
    r = children(ground(scheme, profile=load_profile(profile)), way, 65)
    assert (r.asked.made, r.asked.refused, r.asked.again) == (62, 3, True)
    assert r.asked.per_one == 3
    assert r.widest_wait == 63
    assert not r.messages
    few = children(ground(scheme), way, 62)
    assert (few.asked.made, few.asked.refused) == (62, 0)


@pytest.mark.parametrize("way", [FORK, SPAWN])
@pytest.mark.parametrize("scheme", ["blocking", "shared-memory"])
def test_255_zombies_are_heard_of(scheme, way):
    r = zombies(ground(scheme), way, 260)
    assert (r.asked.made, r.asked.refused, r.asked.again) == (255, 5, True)
    assert r.machine.kernel.committed_bytes == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fork_holds_on_to_its_last_eight_children_and_spawn_to_none(scheme):
    for rounds in (5, 8, 12):
        forked = held_pids(ground(scheme), FORK, rounds).asked
        assert forked.held == forked.dead[-8:]
        assert held_pids(ground(scheme), SPAWN, rounds).asked.held == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_open_files_fill_the_heap_and_end_their_program(scheme):
    era = ground(scheme).machine().installation.version.era
    r = descriptors(ground(scheme), 3000)
    if scheme == "shared-memory":
        assert (r.asked.made, r.messages) == (3000, [])
        return
    assert r.messages == ["couldn't commit memory for cygwin heap, Win32 error 0"]
    per_one = era.cygheapsize / r.asked.made
    assert 2_056 < per_one < 2_300  # 8 + 2^11 for the fhandler; table and names
    assert r.asked.handles > r.asked.made


@pytest.mark.parametrize("scheme", SCHEMES)
def test_natives_keep_a_section_each_and_blocking_makes_only_one(scheme):
    r = natives(ground(scheme), SPAWN, 155, 16 << 20, 400)
    if scheme == "blocking":
        assert r.caller_waits
        assert r.running("nat") == 1
        assert not r.messages
        return
    assert not r.caller_waits
    given = 0 if scheme == "msys-1.0" else r.running("nat")
    assert len(r.sections) == given
    n = -(-155 * 1024 // 4096) * 4096
    assert r.section_bytes == given * n
    assert r.machine.kernel.committed_bytes <= 16 << 20
    assert "1455" in r.messages[0]
    large = natives(ground(scheme), SPAWN, 1024, 16 << 20, 400)
    assert large.running("nat") < r.running("nat")
    if given:  # the section is the first to find no memory, and that is fatal for the caller
        assert large.messages == ["couldn't allocate new cygwin heap for child, Win32 error 1455"]
        assert not large.goes_on
    else:
        assert large.goes_on


@pytest.mark.parametrize("scheme", [*SCHEMES, "child-copy"])
def test_a_shell_s_background_jobs_end_with_eagain_whatever_the_scheme(scheme):
    r = natives(ground(scheme), SHELL, 16, 16 << 20, 400)
    assert not r.caller_waits
    fewest, most = (1, 10) if scheme == "child-copy" else (10, 60)  # its stubs have 3 MiB of heap
    assert fewest < r.running("nat") < most
    assert r.goes_on
    said = ("1455", "died before", "died unexpectedly")
    assert any(word in text for text in r.messages for word in said)


def test_words_follow_from_the_numbers():
    o = run_point(SMALL, "shared-memory", "nt", P3, Replication(1, 0))
    said = [text for text, _ in conclusions({"shared-memory": Replicated((o,))}, SMALL)]
    assert any("of 64 living children 62 are heard of" in text for text in said)
    assert any("of 70 children that ended unwaited for 70 are heard of (" in text for text in said)
    assert any("the caller ends" in text for text in said)
    assert any("8 of 10 that were forked, the last ones" in text for text in said)
    changed = {"after": 64, "unheard": 0, "sees": "nothing", "message": ""}
    rows = [Measured(*row[:3], changed.get(row.measure, row.value), 0) for row in o.rows]
    other = {"shared-memory": Replicated((Outcome(rows, []),))}
    again = [text for text, _ in conclusions(other, SMALL)]
    assert any("all 64 living children are heard of" in text for text in again)
    assert not any("the caller ends" in text for text in again)


@pytest.mark.parametrize("limit_bytes", [4096, 620_000, 2_000_000])
def test_too_little_memory_is_a_result(small_profile, limit_bytes):
    profile = load_profile(small_profile(limit_bytes))
    o = run_point(SMALL, "shared-memory", "nt", profile, Replication(1, 0))
    assert o.value("limit=children way=fork", "after") < 62
    assert "1455" in o.value("limit=children way=fork", "message")
    said = [text for text, _ in conclusions({"shared-memory": Replicated((o,))}, SMALL)]
    assert any("memory ran out after" in text for text in said)


def test_a_place_that_there_is_not_is_refused():
    with pytest.raises(KeyError):
        limits.watched("limit=moon way=fork", SMALL, "blocking", "nt", P3, Replication(1, 0), None)


def test_messages_that_differ_in_numbers_only_are_one():
    a = general("child 596(0xD0) died before initialization with status code 0x3")
    assert a == general("child 12(0x4) died before initialization with status code 0xC0000005")
    letters = lettered([a, "", a, "b / c"])
    assert letters == {a: "a", "b / c": "b"}
    assert [text for text, _ in legend(letters)][1] == 'b is "b", "c"'


def test_report_figures_and_results(cygsim, tmp_path):
    out = tmp_path / "out"
    words = ("--quick", "--scheme", "shared-memory", "--set", "commit_mib=8", "--out", out)
    done = cygsim("run", "limits", *words)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.decode().splitlines())) <= 80
    assert {"results.csv", "natives.png", "sections.png"} <= {path.name for path in out.iterdir()}
