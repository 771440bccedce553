"""Sentences about results: they follow the numbers, change their words, or are left out."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest

from scenarios import demo_findings as demo
from scenarios.background_native import Parameters, conclusions, places, table
from scenarios.background_stub_words import stub_places
from scenarios.options import ReplayOptions
from scenarios.replay_command import results_of
from scenarios.spec import Measured, Outcome, Replicated, in_words
from sim.estimators import mean_interval

MINI = str(Path(__file__).parent / "data" / "traces" / "mini-pipeline.ptrec.jsonl.gz")
POINT = Parameters(seconds=(0.1, 0.8, math.inf))


def replicated(spawn_us: dict[str, list[float | None]], outcome: str = "finished") -> Replicated:
    """Replications in which spawn takes what is given at each T, and a shell 20 ms."""
    outcomes = []
    for number in range(len(spawn_us["0.1"])):
        rows = []
        for place in places(POINT):
            if place.startswith("way=make"):
                rows.append(Measured(place, "mean_running", "1", 2.0 + number, 0))
            elif place in stub_places(POINT.stub_seconds):
                for measure in (
                    "prompt_away_us",
                    "section_held_us",
                    "native_outlives_us",
                    "native_us",
                ):
                    rows.append(Measured(place, measure, "us", 3e6, 0))
                rows.append(Measured(place, "exit_code", "1", 7, 0))
            else:
                seconds = place.partition("seconds=")[2]
                away = 20_000.0 if "shell" in place else spawn_us[seconds][number]
                rows.append(Measured(place, "prompt_away_us", "us", away, int(away is None)))
                held = away is None or (away > 20_000.0 and "shell" not in place)
                rows.append(Measured(place, "waits_for_native", "1", int(held), 0))
            rows.append(Measured(place, "outcome", "", outcome, 0))
        outcomes.append(Outcome(rows, []))
    return Replicated(tuple(outcomes))


HELD = {"0.1": [101_000.0, 102_000.0], "0.8": [801_000.0, 802_000.0], "never": [None, None]}
QUICK = {"0.1": [6_000.0, 8_000.0], "0.8": [6_000.0, 8_000.0], "never": [6_000.0, 8_000.0]}


def said(results: dict[str, Replicated]) -> list[tuple[str, str]]:
    return list(conclusions(results, POINT))


def test_all_replications_are_in_a_conclusion():
    found = dict(said({"new": replicated(QUICK)}))
    [text] = [t for t in found if "spawn returns" in t]
    low, high = mean_interval([6.0, 8.0]).limits() or (0, 0)
    assert text == (
        f"new: spawn returns after 7 ms (mean of 2 replications, 95 %: {low:.3g} to {high:.3g}), "
        "whatever T is (all costs of the profile)"
    )
    assert found[text] == "assumed"


def test_one_replication_out_of_line_changes_the_words():
    held = said({"old": replicated(HELD)})
    assert ("old: spawn holds its caller for as long as the native program runs (in each of 2 "
            "replications)", "structural") in held  # fmt: skip
    once = HELD | {"0.8": [801_000.0, 6_000.0]}
    texts = [text for text, _ in said({"old": replicated(once)})]
    assert not any("holds its caller" in text for text in texts)
    assert any("it depends on T" in text for text in texts)
    missing = HELD | {"0.8": [801_000.0, None]}
    texts = [text for text, _ in said({"old": replicated(missing)})]
    assert any("does not return in every replication" in text for text in texts)


def test_never_is_counted():
    half = HELD | {"never": [None, 5.0]}
    texts = [text for text, _ in said({"old": replicated(half)})]
    assert any("(in 1 of 2 replications)" in text for text in texts)
    rows = list(table({"old": replicated(half)}, POINT))
    assert ["nowait", "never", "never in 1 of 2"] in rows


def test_a_failed_run_supports_no_conclusion():
    texts = [text for text, _ in said({"old": replicated(HELD, "failed")})]
    assert texts == ["old: memory ran out or a program died; nothing follows"]
    rows = list(table({"old": replicated(HELD, "failed")}, POINT))
    assert ["nowait", "0.1", "failed"] in rows


def test_the_shell_sentence_names_only_those_that_it_holds_for():
    texts = [t for t, _ in said({"a": replicated(QUICK), "b": replicated(HELD, "failed")})]
    assert "a shell that forks and execs does not wait for the native program under a" in texts


def test_a_mean_says_how_many_and_how_sure():
    assert in_words(mean_interval([2000.0]), 1e-3, "ms") == "2 ms (1 replication, no interval)"
    assert "mean of 3 replications, 95 %: 1 to 1" in in_words(mean_interval([1, 1, 1]), 1.0, "")


# -- the demonstration ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replayed():
    return results_of(ReplayOptions(MINI, schemes=("blocking", "shared-memory")))


def test_reading_and_losing_come_from_the_counted_bytes(replayed):
    found = {text: label for label, text in demo.of_reading(replayed)}
    assert list(found.values()) == ["exact", "exact"]
    assert "shared-memory reads nothing out of a parent" in found
    other = copy.deepcopy(replayed)
    for run in other["runs"]:
        run["read_process_memory_bytes"] = 3 << 20
        run["cygheap"]["leaked_bytes"] = 0
    assert [text for _, text in demo.of_reading(other)] == [
        "blocking reads 3.0 MiB out of living parents",
        "shared-memory reads 3.0 MiB out of living parents",
    ]
    assert [text for _, text in demo.of_lost_heap(other)] == [
        "blocking, shared-memory: no heap has lost anything for good"
    ]


def test_a_run_that_did_not_finish_supports_nothing(replayed):
    cut = copy.deepcopy(replayed)
    for run in cut["runs"]:
        run["outcome"] = "cut"
    for finding in (demo.of_reading, demo.of_lost_heap, demo.of_fork_and_exec,
                    demo.of_native_compilers):  # fmt: skip
        assert list(finding(cut)) == []
    assert list(demo.of_copies(cut, cut)) == []


def test_same_and_different_times_have_their_own_words(replayed):
    plain = copy.deepcopy(replayed)
    for run, mean in zip(plain["runs"], (10_000.0, 10_100.0), strict=True):
        run["spawns"] = 0
        run["fork_latency_us"]["mean"] = mean
        run["exec_latency_us"]["mean"] = None
    assert list(demo.of_fork_and_exec(plain)) == [
        ("assumed", "mini-pipeline: fork takes the same time under all schemes, within 1.0% "
         "(mean 10.0 ms)")
    ]  # fmt: skip
    plain["runs"][1]["fork_latency_us"]["mean"] = 12_000.0
    [(_, text)] = demo.of_fork_and_exec(plain)
    assert "fork takes 20.0% longer under shared-memory than under blocking" in text
    plain["runs"][0]["spawns"] = 1
    assert list(demo.of_fork_and_exec(plain)) == []


def test_spawn_is_said_to_hold_only_where_it_does():
    def row(scheme: str, value: float | None) -> dict[str, object]:
        return {"scheme": scheme, "point": "way=nowait seconds=0.8", "value": value,
                "measure": "prompt_away_us", "censored": int(value is None)}  # fmt: skip

    both = {"results": [row("old", 814_000.0), row("new", 6_000.0)]}
    assert [label for label, _ in demo.of_spawn(both)] == ["structural", "assumed"]
    quick = {"results": [row("old", 5_000.0), row("new", 6_000.0)]}
    assert list(demo.of_spawn(quick)) == [
        ("assumed", "old, new: spawn of that program returns after 5.0 to 6.0 ms")
    ]
    [(label, text)] = demo.of_spawn({"results": [row("old", None)]})
    assert (label, text[-12:]) == ("structural", "(back never)")


def test_the_heap_is_copied_twice_on_9x():
    nt, nine = (results_of(ReplayOptions(MINI, schemes=("shared-memory",), system=s))
                for s in ("nt", "9x"))  # fmt: skip
    [(label, text)] = demo.of_copies(nt, nine)
    assert label == "exact"
    assert text.endswith(" 2.00 times as much")
