"""`cygsim run double_fork`: which exits hang, of which way to end the waiting thread, and why."""

from __future__ import annotations

import json

import pytest

from models.cygwin import schemes
from models.cygwin.blocked import blocked
from models.cygwin.exec_pipe import ASKED, CANCELLED, STOPPED, TERMINATED
from models.win32.cost_profile import load_profile
from models.win32.emulation import Translation
from scenarios import double_fork as scenario
from scenarios.double_fork_machines import STATES, Times, double_fork
from sim.streams import Replication

EMULATED = Translation(20.0, 30.0)
LOCK, IO, READS = STATES["shielded"], STATES["io"], STATES["pipe"]


def at(way, later_us, translated=EMULATED, io_us=30.0, closing_us=20.0, profile="ideal"):
    """(machine, what was seen) of one double fork; by default calls cost nothing."""
    times = Times(translated, io_us, later_us, closing_us, 1e6)
    return double_fork("child-copy", way, times, "nt", load_profile(profile), Replication(1, 0), 4)


def sweep(way, **more):
    return [at(way, later_us, **more)[1] for later_us in range(0, 480, 13)]


@pytest.mark.parametrize("way", [TERMINATED, ASKED])
def test_an_exit_hangs_if_and_only_if_the_thread_has_the_lock(way):
    found = sweep(way)
    assert {seen.state for seen in found} >= {LOCK, IO, READS}
    for seen in found:
        assert seen.held == seen.parent_held == seen.orphaned == (seen.state == LOCK)
        assert (seen.exit_us is None) == seen.held


def test_looking_at_the_stopped_thread_saves_every_exit():
    found = sweep(STOPPED)
    assert any(seen.state == LOCK for seen in found)
    assert not any(seen.held or seen.orphaned for seen in found)


def test_looking_costs_what_is_left_of_the_translation():
    took = {seen.state: seen.exit_us for seen in sweep(STOPPED)}
    assert 0 < took[LOCK] - took[READS] <= EMULATED.translate_us


@pytest.mark.parametrize("translated", [EMULATED, None])
def test_a_cancelled_call_on_another_file_holds_the_exit_until_the_other_ends(translated):
    found = sweep(CANCELLED, translated=translated)
    held = [seen for seen in found if seen.held]
    assert held
    assert {seen.state for seen in held} == {IO}
    assert all(seen.exit_us is not None and seen.exit_us > 900_000 for seen in held)
    assert not any(seen.held for seen in found if seen.state == READS)


def test_without_such_a_call_cancelling_is_no_harm():
    assert not any(seen.held for seen in sweep(CANCELLED, io_us=0.0))


@pytest.mark.parametrize("way", [TERMINATED, ASKED, STOPPED])
def test_without_an_emulator_no_exit_hangs(way):
    assert not any(seen.held for seen in sweep(way, translated=None))


def test_who_hangs_is_the_middle_process_and_whoever_waits_for_it():
    machine, seen = at(TERMINATED, 60.0)
    assert seen.state == LOCK
    waits = {entry["pid"]: entry["waits_for"][0]["name"] for entry in blocked(machine.kernel)}
    assert waits == {1: "waitpid", 2: "a lock of its own process"}


def test_a_thread_that_finds_its_pipe_closed_says_so():
    costs = {"translated": None, "closing_us": 0.0, "profile": "desktop-w11"}
    for later_us in range(0, 120, 9):
        machine, seen = at(CANCELLED, later_us, **costs)
        if machine.installation.messages:
            break
    (said,) = machine.installation.messages
    assert said.message.startswith("error on read of child wait pipe 0x")
    assert seen.state == IO
    assert not seen.held


def test_3_6_stops_a_thread_before_it_ends_it():
    assert schemes.get("child-copy").version.ends_waiter == STOPPED
    assert schemes.get("blocking").version.ends_waiter == ""


def test_the_report(cygsim, tmp_path):
    done = cygsim("run", "double_fork", "--quick", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert max(map(len, text.splitlines())) <= 80
    for words in ("has the lock", "in other I/O", "0 %     0 %       -"):
        assert words in text
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {
        "moments_emulated.png", "moments_native.png",
    }  # fmt: skip


def test_sentences_follow_from_the_results(cygsim):
    words = ["--quick", "--set", "moments=6", "--set", "translate_us=0.1", "--set", "io_us=0"]
    done = cygsim("run", "double_fork", *words, "--json")
    document = json.loads(done.stdout)
    found = {(r["point"], r["measure"]): r["value"] for r in document["results"]}
    said = " ".join(c["text"] for c in document["conclusions"])
    held = found["processor=emulated way=1", "held"]
    assert ("holds the exit for ever" in said) == bool(held)
    assert "CancelSynchronousIo says" not in said


@pytest.mark.parametrize(
    "words", [["--set", "moments=1"], ["--set", "processors=0"], ["--scheme", "blocking"]]
)
def test_bad_input_is_one_line_and_exit_2(cygsim, words):
    done = cygsim("run", "double_fork", *words)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_moments_are_even():
    point = scenario.SPEC.point(quick=False)
    assert [point.later_us(i) for i in (0, point.moments - 1)] == [0.0, point.longest_us]
