"""Heap addresses in drawn process trees, and `cygsim run fixed_address` as a user gets it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from models.cygwin import schemes
from models.cygwin.layout_trees import WORLDS, Chances, fail
from models.win32.cost_profile import load_profile
from scenarios import fixed_address
from scenarios.fixed_address import SPEC, conclusions, run_point
from scenarios.spec import Replicated
from sim.estimators import proportion_interval
from sim.streams import Replication

CHANCES = Chances(10, 0x40000, 256 << 20, 3, 1 << 20, 256)
TREES = 20_000
CHOSEN, RELEASE, FIXED = (
    schemes.get(name).version for name in ("blocking", "shared-memory-1.3.3", "shared-memory")
)


def drawn(version, world, **more):
    return fail(version, world, replace(CHANCES, **more), TREES, Replication(3, 0))


@pytest.fixture(scope="module")
def outcomes():
    profile = load_profile("p3-800-w2000")
    point = SPEC.point(quick=True)
    return {name: run_point(point, name, "nt", profile, Replication(1, 0)) for name in SPEC.schemes}


def told(found):
    return {name: Replicated((outcome,)) for name, outcome in found.items()}


# -- drawn trees ------------------------------------------------------------------------------


@pytest.mark.parametrize("dlls", [1, 10, 40])
def test_first_processes_die_as_often_as_the_rule_says(dlls):
    found = drawn(FIXED, "fixed", dlls=dlls)
    share = proportion_interval(found.first, TREES, 0.9999)
    assert share.low <= 1 - (1 - 20 / 1024) ** dlls <= share.high


def test_a_fork_child_has_its_parents_dlls_and_an_exec_has_others():
    found = drawn(FIXED, "fixed")
    lives = TREES - found.first
    assert found.fork == 0
    share = proportion_interval(found.exec, lives, 0.9999)
    assert share.low <= 1 - (1 - 20 / 1024) ** 10 <= share.high
    assert found.any == found.first + found.exec


def test_where_the_system_chooses_only_its_own_allocations_do_harm():
    assert drawn(CHOSEN, "fixed").any == 0
    found = drawn(CHOSEN, "xp")
    assert found.first == 0
    assert found.fork > 0
    assert found.exec > 0
    assert drawn(CHOSEN, "xp", arena_regions=0).any == 0


def test_what_xp_moves_does_not_reach_a_heap_behind_the_dll():
    assert drawn(FIXED, "xp") == drawn(FIXED, "fixed")


def test_a_child_is_hit_as_often_as_its_region_is_large():
    """One region in an arena: the chosen place is at its bottom, unless the parent's lies there."""
    found = drawn(CHOSEN, "xp", arena_regions=1)
    size = (CHOSEN.era.cygheapsize + 0xFFFF) // 0x10000
    places = (CHANCES.arena_bytes - CHANCES.region_bytes) // 0x10000 + 1
    share = proportion_interval(found.fork, TREES, 0.9999)
    # at the bottom fewer regions reach it from below: between these two
    assert share.low <= (size + 15) / places
    assert size / places <= share.high


def test_a_dll_of_cygwin_s_own_that_moves_kills_all_forks_but_one_in_256():
    found = drawn(CHOSEN, "aslr")
    share = proportion_interval(TREES - found.fork, TREES, 0.9999)
    assert share.low <= 1 / 256 <= share.high
    assert drawn(CHOSEN, "aslr", dll_bases=1).any == 0


def test_releases_meet_the_same_trees():
    """The chosen heap's window, put where the fixed one is, fails in the same trees."""
    same = replace(CHOSEN, heap_address=FIXED.heap_address, era=FIXED.era)
    for world in WORLDS:
        assert drawn(same, world) == drawn(FIXED, world)


# -- the scenario -----------------------------------------------------------------------------


def test_the_cases_give_what_the_call_logs_give(outcomes):
    """Who dies, with which words, and what the parent comes to know (logs `collide-*`)."""
    words = "Couldn't reserve space for cygwin's heap"
    for name, outcome in outcomes.items():
        message = {c: outcome.value(f"case={c}", "message") for c in fixed_address.CASES}
        parent = {c: outcome.value(f"case={c}", "parent") for c in fixed_address.CASES}
        if name == "blocking":
            assert (message["first"], parent["first"]) == ("nothing", "child exits with 0")
        else:
            heap = schemes.get(name).version.heap_address
            place = f"AllocationBase 0x{heap:X}, BaseAddress 0x{heap:X}, RegionSize 0x"
            assert message["first"].startswith(place)
            assert message["first"].endswith(f"State 0x1000; {words}, Win32 error 0")
            assert parent["first"] == "none"
        assert f"{words} (0x" in message["exec"]
        assert message["exec"].endswith("Win32 error 0")
        assert parent["exec"] == "child exits with 1"
        assert f"{words} (0x" in message["fork"]
        assert "died before initialization with status code 0x1" in parent["fork"]
        assert parent["moved"].startswith("fork: EAGAIN")


def test_conclusions_follow_from_the_numbers(outcomes):
    point = SPEC.point(quick=True)
    said = [text for text, _ in conclusions(told(outcomes), point)]
    assert any("no tendency is needed (3 of 3 within 99.9 %; dll_kib)" in text for text in said)
    more = {
        name: replace(
            outcome,
            rows=[
                row._replace(value=0.9) if row.measure in ("first_dies", "any_dies") else row
                for row in outcome.rows
            ],
        )
        for name, outcome in outcomes.items()
    }
    other = [text for text, _ in conclusions(told(more), point)]
    assert any("even chances do not explain it (0 of 3" in text for text in other)
    assert not any("no DLL that ld places" in text for text in other)


def test_a_run_writes_results_and_figures(cygsim, tmp_path):
    out = tmp_path / "out"
    words = ("run", "fixed_address", "--quick", "--set", "trees=500", "--set", "dlls=1,5")
    done = cygsim(*words, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {c["label"] for c in document["conclusions"]} == {"exact", "structural", "assumed"}
    rows = list(csv.DictReader((out / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["scheme"] for row in rows} == set(SPEC.schemes)
    figures = {"tendency", *(f"trees_{world}" for world in WORLDS)}
    assert {path.stem for path in out.glob("*.png")} == figures
    again = cygsim(*words, "--jobs", 2, "--json")
    assert json.loads(again.stdout)["results"] == document["results"]


def test_the_report_fits_80_columns(cygsim):
    done = cygsim("run", "fixed_address", "--quick", "--set", "trees=500")
    assert max(map(len, done.stdout.decode().splitlines())) <= 80
    assert b"1,000 trees in 2 replications" in b" ".join(done.stdout.split())


def test_the_heap_of_a_case_can_be_shown(cygsim, tmp_path):
    out = tmp_path / "out"
    words = ("run", "fixed_address", "--quick", "--set", "trees=10", "--set", "dlls=1")
    assert cygsim(*words, "--scheme", "shared-memory", "--out", out).returncode == 0
    shown = cygsim("heap", "show", out, "--pid", 1, "--point", "case=exec")
    assert shown.returncode == 0, shown.stderr
    assert b"fd table" in shown.stdout


@pytest.mark.parametrize(
    "setting", ["trees=0", "dlls=0", "dlls=501", "dll_kib=0", "xp_arena_mib=1", "aslr_bases=257"]
)
def test_a_wrong_parameter_is_one_line_and_exit_2(cygsim, setting):
    done = cygsim("run", "fixed_address", "--set", setting)
    assert done.returncode == 2
    assert len(done.stderr.decode().strip().splitlines()) == 1
