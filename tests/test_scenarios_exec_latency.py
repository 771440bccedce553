"""`cygsim run exec_latency`: what it measures, and that its words follow from the numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from models.win32.cost_profile import load_profile
from scenarios import exec_latency
from scenarios.exec_latency import Parameters, Place, common, run_point, sweeps
from scenarios.spec import Outcome, Replicated
from sim.streams import Replication

SMALL = Parameters(heap_kib=(16, 1024), fds=(3,), sockets=(0, 2), creations=3)
SCHEMES = ("blocking", "shared-memory-1.3.3", "shared-memory")


def outcome(scheme: str, system: str = "nt+9x", point: Parameters = SMALL, **costs: float):
    profile = load_profile("ideal").replace(costs)
    return run_point(point, scheme, system, profile, Replication(1, 0))


def test_points_are_three_sweeps_through_a_common_one():
    point = Parameters(heap_kib=(16, 155), fds=(3, 64), sockets=(0, 8))
    found = sweeps(point)
    assert common(point) == Place(155, 3, 0)
    assert set(found) == {
        Place(16, 3, 0), Place(155, 3, 0), Place(155, 64, 0), Place(155, 3, 8),
    }  # fmt: skip
    assert len(found) == len(set(found))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_heap_has_the_size_that_was_asked_for(scheme):
    o = outcome(scheme, "nt")
    for place in sweeps(SMALL):
        size = o.value(str(place), "fork_heap_bytes", "nt")
        assert place.heap_kib * 1024 - 64 < size <= place.heap_kib * 1024 + 4096


def test_only_copies_take_time_where_only_copies_cost():
    """One byte a microsecond: a fork copies its heap once on NT, twice on 9x by a section."""
    low, high = Place(16, 3, 0), Place(1024, 3, 0)

    def longer(scheme: str, system: str) -> float:
        o = outcome(scheme, system, copy_bandwidth=1.0)
        took, size = (
            [o.value(str(place), f"fork_{what}", system) for place in (low, high)]
            for what in ("p50", "heap_bytes")
        )
        return (took[1] - took[0]) / (size[1] - size[0])

    assert longer("blocking", "nt") == pytest.approx(1)
    assert longer("blocking", "9x") == pytest.approx(1)
    assert longer("shared-memory", "nt") == pytest.approx(1)
    assert longer("shared-memory", "9x") == pytest.approx(2)


def test_words_follow_from_the_numbers():
    found = {
        name: Replicated((outcome(name),)) for name in SCHEMES
    }  # who waits is no matter of costs
    said = dict(exec_latency.conclusions(found, SMALL))
    waits = "every spawn waits for its child under blocking; no spawn waits under shared-1.3.3"
    assert any(text.startswith(waits) and label == "structural" for text, label in said.items())
    steps = "shared-memory, without a socket open: a section in one step; with a socket open: a"
    assert any(text == f"{steps} section in two steps" for text in said)
    # the other way round, the sentence turns round
    swapped = {"blocking": found["shared-memory"], "shared-memory": found["blocking"]}
    waits = "every spawn waits for its child under shared; no spawn waits under blocking"
    assert waits in dict(exec_latency.conclusions(swapped, SMALL))


def test_a_time_is_assumed_and_names_what_it_rests_on():
    found = {"blocking": Replicated((outcome("blocking"),))}
    for text, label in exec_latency.conclusions(found, SMALL):
        if " ms" in text or "%" in text:
            assert label == "assumed"
            assert "copy_bandwidth" in text or "winsock_call" in text


def test_latencies_that_figures_draw_are_those_of_the_rows():
    o: Outcome = outcome("shared-memory", "nt", create_process=5.0)
    place = common(SMALL)
    drawn = o.drawn[f"nt exec {place}"]
    assert len(drawn) == 3
    assert sorted(drawn)[1] == o.value(str(place), "exec_p50", "nt")


def test_results_name_the_system_of_each_row_and_the_report_fits(cygsim, tmp_path):
    out = tmp_path / "out"
    words = ("--quick", "--set", "creations=3", "--set", "heap_kib=16,64", "--scheme", "blocking")
    done = cygsim("run", "exec_latency", *words, "--out", out)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.decode().splitlines())) <= 80
    assert b"[counterfactual] blocking on 9x" in done.stdout
    rows = list(csv.DictReader((out / "results.csv").read_text("utf-8").splitlines()))
    assert {row["system"] for row in rows} == {"nt", "9x"}
    names = {Path(p).name for p in out.iterdir()}
    assert {"latency_by_heap_nt.png", "ecdf_9x.svg", "manifest.json"} <= names


def test_one_system_is_asked_for_by_its_name(cygsim):
    words = ("--quick", "--set", "creations=1", "--set", "heap_kib=16", "--set", "sockets=0")
    done = cygsim("run", "exec_latency", *words, "--system", "9x", "--profile", "p3-800-w98")
    assert done.returncode == 0, done.stderr
    assert b" nt " not in done.stdout
    assert b"counterfactual" not in done.stdout


@pytest.mark.parametrize("words", ["heap_kib=8", "heap_kib=5000", "fds=1", "sockets=-1",
                                   "creations=0", "nope=1", "fds=x"])  # fmt: skip
def test_a_wrong_parameter_is_one_line_and_exit_2(cygsim, words):
    done = cygsim("run", "exec_latency", "--set", words)
    assert done.returncode == 2
    assert len(done.stderr.decode().strip().splitlines()) == 1


def test_replications_are_told_of_together():
    profile = load_profile("p3-800-w2000")
    twice = tuple(run_point(SMALL, "blocking", "nt", profile, Replication(1, i)) for i in (0, 1))
    said = dict(exec_latency.conclusions({"blocking": Replicated(twice)}, SMALL))
    assert any("means of 2 replications, 95 % intervals" in text for text in said)
    assert any("all schemes, 2 replications" in text for text in said)


def test_the_heap_of_a_point_on_one_of_the_systems_is_shown(cygsim, tmp_path):
    words = ("--quick", "--set", "creations=1", "--set", "heap_kib=16", "--scheme", "blocking")
    assert cygsim("run", "exec_latency", *words, "--out", tmp_path / "o").returncode == 0
    at = "heap_kib=16 fds=3 sockets=0 system=9x"
    done = cygsim("heap", "show", tmp_path / "o", "--pid", 1, "--point", at)
    assert done.returncode == 0, done.stderr
    assert b"system=9x" in done.stdout


def test_a_heap_that_cannot_be_so_small_says_so():
    found = {"child-copy": Replicated((outcome("child-copy", "nt"),))}
    said = [text for text, _ in exec_latency.conclusions(found, SMALL)]
    size = outcome("child-copy", "nt").value(str(Place(16, 3, 0)), "fork_heap_bytes", "nt")
    assert 20_000 < size < 40_000
    assert f"child-copy: its heap has {size:,.0f} bytes where 16 KiB are asked for" in said
    others = exec_latency.conclusions({"blocking": Replicated((outcome("blocking", "nt"),))}, SMALL)
    assert not any("are asked for" in text for text, _ in others)
