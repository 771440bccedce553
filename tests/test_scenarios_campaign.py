"""Scenarios as experiments: comparisons, --precision, --design, --inputs and --sensitivity."""

from __future__ import annotations

import csv
import importlib
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from models.cygwin.replay_result import ReplayResult
from models.win32.cost_profile import load_profile
from scenarios.__main__ import main
from scenarios.assumed_inputs import assumed
from scenarios.campaign import Campaign, Condition, exactly
from scenarios.cli_catalogue import entries
from scenarios.compare_schemes import compare
from scenarios.design_file import read
from scenarios.design_points import conditions, factors_of, points, share_of_call, split
from scenarios.headlines import Headline, by_role, kind
from scenarios.inputs_text import print_report
from scenarios.interval_text import figures, places
from scenarios.replay_durations import document as durations
from scenarios.spec import Measured, Outcome, Replicated
from sim.errors import InputError
from sim.sample_size import Kind, trust

TINY = ("--set", "heap_kib=16", "--set", "common_kib=16", "--set", "fds=3", "--set", "sockets=0",
        "--set", "creations=1", "--system", "nt", "--scheme", "blocking",
        "--scheme", "shared-memory")  # fmt: skip
BELIEF = trust(Kind.SKEWED, 3)
LATENCY = ("run", "exec_latency", *TINY)


def document(capsys, *words) -> dict:
    assert main([*map(str, words), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    found.pop("ran")
    return found


def refused(capsys, *words) -> str:
    assert main([*map(str, words)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("cygsim: ")
    return line


def replicated(**measures: list[float | None]) -> Replicated:
    count = max(map(len, measures.values()))
    rows = [
        [Measured("p", m, "us", v[i], int(v[i] is None)) for m, v in measures.items() if i < len(v)]
        for i in range(count)
    ]
    return Replicated(tuple(Outcome(some, []) for some in rows))


# -- comparisons --------------------------------------------------------------------------------


def test_differences_are_of_pairs_and_what_blocked_is_counted_not_averaged():
    results = {
        "a": replicated(x=[1.0, None, 3.0], never_asked=[1.0]),
        "b": replicated(x=[2.0, 9.0, 5.0], never_asked=[4.0, 9.0, 9.0]),
    }
    x, other = compare(results, [Headline("p", "x", "us", "")], BELIEF)
    assert (x["mean_difference"], x["replications"], x["unmatched"]) == (1.5, 2, 1)
    assert x["ratio"] == pytest.approx(3.5 / 2)
    assert (x["label"], x["headline"]) == ("assumed", True)
    assert (other["mean_difference"], other["replications"], other["unmatched"]) == (3.0, 1, 2)
    assert other["ci95"] is other["ci95_together"] is None


def test_counts_that_always_differ_alike_are_exact_and_equal_ones_have_no_row():
    def one(n: int, same: int) -> Replicated:
        rows = [Measured("p", "n", "1", n, 0), Measured("p", "same", "1", same, 0)]
        return Replicated((Outcome(rows, []), Outcome(rows, [])))

    (row,) = compare({"a": one(3, 7), "b": one(5, 7)}, [Headline("p", "n", "1", "")], BELIEF)
    assert (row["measure"], row["mean_difference"], row["label"]) == ("n", 2, "exact")


def test_several_intervals_that_are_shown_are_wider_than_each_alone():
    results = {
        "a": replicated(x=[1.0, 2.0, 4.0]),
        "b": replicated(x=[2.0, 4.0, 5.0]),
        "c": replicated(x=[9.0, 7.0, 8.0]),
    }
    for row in compare(results, [Headline("p", "x", "us", "")], BELIEF):
        assert (row["trusted"], row["needed"]) == (False, 30)
        assert row["ci95_together"][0] < row["ci95"][0] < row["ci95"][1] < row["ci95_together"][1]


def test_a_run_says_what_its_pairs_gained_and_whether_its_intervals_can_be_believed(capsys):
    found = document(capsys, *LATENCY, "--replications", 12)
    row = next(r for r in found["compare"] if r["headline"] and r["measure"] == "fork_p50")
    assert row["variance_reduction"] > 0.9  # both meet the same CreateProcess
    means = {h["scheme"]: h["mean"] for h in found["headlines"] if h["measure"] == "fork_p50"}
    assert row["mean_difference"] == pytest.approx(means["shared-memory"] - means["blocking"])
    assert found["trust"] == {
        "kind": "skewed", "replications": 12, "needed": 30, "enough": False, "coverage": 0.9139,
    }  # fmt: skip
    headline = found["headlines"][0]
    assert (headline["trusted"], headline["needed"]) == (False, 30)
    assert headline["quantiles"]["p50"]["ci95"] is not None
    assert headline["quantiles"]["p95"] == {
        "value": headline["quantiles"]["p95"]["value"], "ci95": None, "needed": 59,
    }  # fmt: skip
    exact = next(r for r in found["results"] if r["measure"] == "fork_steps")
    assert exact["trusted"] is None


def test_what_is_blocked_for_ever_has_a_share_with_an_interval(capsys):
    words = ("--set", "seconds=never", "--set", "compiles=1", "--replications", 2)
    found = document(capsys, "run", "background_native", *words)
    never = {h["scheme"]: h["never_came"] for h in found["headlines"] if "nowait" in h["point"]}
    assert never["blocking"]["count"] == 2
    assert never["blocking"]["ci95"] == [pytest.approx(0.342, abs=1e-3), 1.0]
    assert never["shared-memory"]["count"] == 0
    row = next(r for r in found["compare"] if "nowait" in r["point"] and r["headline"])
    assert (row["mean_difference"], row["unmatched"]) == (None, 2)


def test_contention_makes_a_tail_that_needs_more():
    profile = load_profile("desktop-w11")
    assert kind(profile) == Kind.SKEWED
    assert kind(profile.replace({"contention.probability": 0.3})) == Kind.TAIL
    assert kind(profile.replace({"contention.probability": 0.1})) == Kind.RARE_TAIL


# -- precision ----------------------------------------------------------------------------------


def test_a_precision_is_reached_after_as_many_as_can_be_trusted_whatever_the_jobs(capsys, tmp_path):
    words = (*LATENCY, "--precision", 0.2)
    found = document(capsys, *words, "--out", tmp_path / "out")
    said = found["precision"]
    assert (said["reached"], said["most"]) == (True, 1000)
    assert found["replications"] == said["replications"] >= 30
    assert said["relative_half_width"] <= 0.2 / 1.2
    assert document(capsys, *words, "--jobs", 2) == found
    results = (tmp_path / "out" / "results.csv").read_bytes()
    with closing(sqlite3.connect(tmp_path / "out" / "journal.sqlite")) as base, base:
        base.execute("DELETE FROM record WHERE name LIKE '%3'")
    assert document(capsys, *words, "--out", tmp_path / "out") == found
    assert (tmp_path / "out" / "results.csv").read_bytes() == results


def test_what_is_not_drawn_stops_at_the_least_and_says_so(capsys):
    found = document(capsys, "run", "growth_window", "--precision", 0.01)["precision"]
    assert (found["replications"], found["reached"]) == (10, True)
    assert found["why"].startswith("every replication is alike")


def test_there_is_an_upper_limit(capsys):
    found = document(capsys, *LATENCY, "--precision", 0.001, "--replications", 12)["precision"]
    assert (found["replications"], found["reached"]) == (12, False)
    assert found["why"].endswith("12 replications were not enough")


MINI = Path(__file__).parent / "data" / "traces" / "mini-pipeline.ptrec.jsonl.gz"


def test_a_replay_goes_on_until_its_makespans_are_known(capsys, tmp_path):
    words = ("replay", MINI, "--precision", 0.1, "--scheme", "shared-memory")
    found = document(capsys, *words, "--out", tmp_path / "out")
    said = found["precision"]
    assert said["reached"]
    assert said["relative_half_width"] <= 0.1 / 1.1
    assert [run["replication"] for run in found["runs"]] == list(range(said["replications"]))
    assert said["replications"] >= 10
    assert document(capsys, *words, "--jobs", 2) == found
    few = document(capsys, *words, "--profile", "ideal")["precision"]
    assert few["replications"] == 10
    assert "--replications 4: with" in refused(capsys, *words, "--replications", 4)


def test_creations_that_a_horizon_cuts_are_censored_and_not_slow(capsys):
    words = ("replay", MINI, "--scheme", "shared-memory", "--replications", 2)
    whole = document(capsys, *words)
    assert whole["durations"] == []

    def cut_at(seconds: float) -> dict:
        rows = document(capsys, *words, "--until", seconds)["durations"]
        return next(row for row in rows if row["kind"] == "fork")

    first = cut_at(0.03)
    assert (first["came"], first["cut"], first["blocked"]) == (0, 2, 0)
    assert first["quantiles_us"] == {"p50": None, "p95": None, "p99": None}
    assert first["blocked_in"]["share"] == 0
    later = cut_at(0.09)  # the one that was cut had lasted longer than all others
    assert (later["came"], later["cut"]) == (6, 1)
    assert later["quantiles_us"]["p50"] > 0
    assert later["quantiles_us"]["p95"] is None


def test_creations_that_are_blocked_have_no_duration():
    def one(took: dict[int, float | None]) -> ReplayResult:
        empty: dict[int, float | None] = {}
        return ReplayResult({"scheme": "a"}, {"fork": empty, "exec": empty, "spawn": took}, {}, [],
                            {"fork": [], "exec": [], "spawn": []})  # fmt: skip

    (row,) = durations([one({1: None, 2: 5.0}), one({1: 7.0}), one({1: None})], ["a"])
    assert (row["kind"], row["came"], row["cut"], row["blocked"]) == ("spawn", 2, 0, 2)
    assert row["quantiles_us"]["p50"] == 5.0  # of the two that returned
    assert row["blocked_in"]["share"] == pytest.approx(2 / 3)
    assert row["blocked_in"]["ci95"][0] < 2 / 3 < row["blocked_in"]["ci95"][1]


# -- designs ------------------------------------------------------------------------------------

DESIGN = """
kind = "2k"
[factors.common_kib]
low = 16
high = 512
[factors.profile.cygwin_init.median]
about = 2
"""


def base(name: str, profile: str = "p3-800-w2000") -> Condition:
    spec = importlib.import_module(f"scenarios.{name}").SPEC
    return Condition(spec.point(True), "nt", load_profile(profile), spec.schemes)


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
@pytest.mark.parametrize("short", ["one-at-a-time", "lhs:7"])
def test_every_scenario_has_factors_whose_values_it_takes(name, short):
    spec = importlib.import_module(f"scenarios.{name}").SPEC
    asked = read(short)
    factors = factors_of(asked, spec, base(name))
    found = conditions(points(asked, factors, 1), base(name), asked.where)
    assert len(found) > 1
    assert len({one.words for one in found}) == len(found)


def test_each_point_of_a_file_is_run_and_named_in_every_row(capsys, tmp_path):
    (tmp_path / "d.toml").write_text(DESIGN)
    words = (*LATENCY, "--design", tmp_path / "d.toml", "--replications", 2)
    found = document(capsys, *words, "--out", tmp_path / "out")
    names = [point["words"] for point in found["design"]["points"]]
    assert names[0] == "common_kib=16 profile.cygwin_init.median=1500"
    assert len(names) == 4
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    assert {" ".join(row["point"].split()[:2]) for row in rows} == set(names)
    assert {row["replication"] for row in rows} == {"0", "1"}
    effects = next(e for e in found["design"]["effects"]
                   if (e["measure"], e["scheme"]) == ("spawn_p50", "shared-memory"))  # fmt: skip
    by_factor = {one["factor"]: one["effect"] for one in effects["factors"]}
    assert by_factor["common_kib"] > 3000  # 496 KiB are copied
    assert by_factor["profile.cygwin_init.median"] == pytest.approx(0, abs=1e-6)  # nobody waits
    verdict = next(v for v in found["verdicts"] if v["measure"] == "spawn_p50")
    assert (verdict["points"], verdict["positive"], verdict["unmatched"]) == (4, 0, 0)
    assert {path.suffix for path in (tmp_path / "out").iterdir()} >= {".png", ".svg"}
    assert document(capsys, *words, "--jobs", 2) == found


def test_scheme_and_system_can_be_factors(capsys, tmp_path):
    (tmp_path / "d.toml").write_text(
        'kind = "full"\n[factors.scheme]\nlevels = ["blocking", "shared-memory"]\n'
        '[factors.system]\nlevels = ["nt", "9x"]\n'
    )
    words = ("run", "exec_latency", *TINY[:-6], "--design", tmp_path / "d.toml")
    found = document(capsys, *words)
    assert {(r["scheme"], r["system"]) for r in found["results"]} == {
        (scheme, system) for scheme in ("blocking", "shared-memory") for system in ("nt", "9x")
    }
    line = refused(capsys, *words, "--scheme", "blocking")
    assert "--scheme" in line
    assert main([*map(str, words)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("kind = 3", "d.toml: kind: '3' is no kind of design"),
        ("points = 3", "d.toml: kind: missing"),
        ('kind = "full"\nnope = 1', "d.toml: nope: no such key"),
        ('kind = "lhs"\npoints = 1', "d.toml: points: '1' is no number of points"),
        ('kind = "lhs"\npoints = true', "d.toml: points: 'True' is no number"),
        ('kind = "sobol"\npoints = 6', "d.toml: points: 6 points are not balanced"),
        ('kind = "full"\npoints = 6', "d.toml: points: the points of full follow"),
        ('kind = "full"\nfactors = 1', "d.toml: factors: not a table"),
        ('kind = "full"\n[factors]\nheap_kib = 1', "d.toml: factors.heap_kib: not a table"),
        ('kind = "full"\n[factors.heap_kib]\nlevel = [1]', "factors.heap_kib.level: no such key"),
        ('kind = "full"\n[factors.heap_kib]\nlow = "a"', "factors.heap_kib.low: 'a' is not a"),
        ('kind = "full"\n[factors.heap_kib]\nlow = 3\nhigh = 2', "factors.heap_kib: range of"),
        ('kind = "full"\n[factors.heap_kib]\nlevels = [16]', "factors.heap_kib: levels of"),
        ('kind = "full"\n[factors.heap_kib]\nlevels = [1, 2]', "factors.heap_kib: 1 is out of"),
        ('kind = "full"\n[factors.heap_kib]\nabout = 1', "factors.heap_kib.about; a number above"),
        ('kind = "full"\n[factors.heap_kb]\nlevels = [1, 2]', "factors.heap_kb: no factor"),
        ('kind = "full"\n[factors.scheme]\nlevels = ["a", "b"]', "factors.scheme: no scheme 'a'"),
        ('kind = "full"\n[factors.profile.nope]\nabout = 2', "factors.profile.nope: no number of"),
        ('kind = "full"\n[factors.profile.exit]\nlevels = [-1, 2]', "factors.profile: exit.value"),
        ('kind = "full"\n[factors.exit]\nlow = 1979-05-27', "factors.exit.low: datetime"),
        (f'kind = "full"\n[factors.exit]\nlow = {10**400}', "factors.exit.low: too large"),
        ('kind = "full"\n[factors.creation_split]\nlevels = [0.5, "x"]', "creation_split: not all"),
        ('kind = "full"\n[factors.processors]\nlevels = [1, nan]', "processors.levels: nan is no"),
        ('kind = "full"\n[factors.processors]\nlevels = [1, 1.5]', "processors: '1.5' is not such"),
        ("kind = [", "d.toml: not TOML"),
        (b"\xff\xfe", "d.toml: byte 0 is not UTF-8"),
    ],
)
def test_a_wrong_design_is_one_line_with_file_and_key(capsys, tmp_path, text, where):
    (tmp_path / "d.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert where in refused(capsys, *LATENCY[:2], "--design", tmp_path / "d.toml")


@pytest.mark.parametrize("text", ["nope", "lhs:0", "lhs:x", "sobol:3", "full:3", "no/file.toml"])
def test_a_wrong_short_form_is_one_line(capsys, text):
    assert text in refused(capsys, *LATENCY[:2], "--design", text)


def test_what_a_heap_cannot_have_is_no_factor_of_it():
    spec = importlib.import_module("scenarios.growth_window").SPEC
    for key in ("scheme", "system", "profile.exit", "creation_split"):
        asked = read("2k")._replace(factors=(read_factor(key),))
        with pytest.raises(InputError, match="nothing of the kind"):
            factors_of(asked, spec, base("growth_window"))


def read_factor(key: str):
    from scenarios.design_file import AskedFactor

    return AskedFactor(key, None, 2.0)


def test_the_split_of_a_creation_keeps_its_whole():
    profile = load_profile("p3-800-w2000")
    other = profile.replace(split(profile, 0.3))
    assert share_of_call(other) == pytest.approx(0.3)
    sums = [
        sum(p.parameters[key].numbers()["median"] for key in ("create_process", "loader"))
        for p in (profile, other)
    ]
    assert sums[0] == pytest.approx(sums[1])


# -- assumed inputs -----------------------------------------------------------------------------


def test_every_assumed_number_above_zero_is_an_input_from_half_to_twice():
    profile = load_profile("p3-800-w2000")
    found = {one.factor.name: one for one in assumed(profile)}
    wanted = {
        key for key, p in profile.parameters.items()
        if p.kind == "assumed" and max(p.numbers().values()) > 0
    }  # fmt: skip
    assert {re.sub(r"\.(median|mode)$", "", k.removeprefix("profile.")) for k in found} == {
        *wanted, "creation_split",
    }  # fmt: skip
    exit_us = found["profile.exit"]
    assert (exit_us.factor.low, exit_us.value, exit_us.factor.high) == (750, 1500, 3000)
    split_factor = found["creation_split"].factor
    assert (split_factor.low, split_factor.high) == (pytest.approx(0.2985, abs=1e-4), 0.9)


def test_two_intervals_stand_apart_and_the_split_is_a_curve(capsys, tmp_path):
    words = (*LATENCY, "--inputs", "--sensitivity", "lhs:4", "--replications", 2)
    found = document(capsys, *words, "--out", tmp_path / "out")
    move = {one["key"] for one in found["assumed_inputs"]["move"]}
    assert {"profile.cygwin_init.median", "creation_split"} <= move
    assert "profile.winsock_call" not in move  # no socket is open
    row = next(r for r in found["two_intervals"] if r["minus"] and r["measure"] == "spawn_p50")
    low, high = row["input_range"]
    assert low < row["mean"] < high < 0
    assert row["monte_carlo_ci95"] != row["input_range"]
    assert row["points"] == 1 + 2 * len(move)
    wanted = ("spawn_p50", "shared-memory", None)
    curve = next(r for r in found["split"]["rows"]
                 if (r["measure"], r["scheme"], r["minus"]) == wanted)  # fmt: skip
    means = [one["mean"] for one in curve["means"]]
    assert means == sorted(means)  # its caller waits for CreateProcess alone
    verdict = next(v for v in found["sensitivity"]["verdicts"] if v["measure"] == "spawn_p50")
    assert verdict["points"] == row["points"] + 4
    bars = next(r for r in found["sensitivity"]["tornado"]
                if r["minus"] and r["measure"] == "spawn_p50")["bars"]  # fmt: skip
    assert [b["swing"] for b in bars] == sorted((b["swing"] for b in bars), reverse=True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"tornado_1.png", "split_1.svg", "results.csv"} <= names
    print_report(found)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_indices_of_one_creation_name_what_it_rests_on(capsys):
    words = ("--scheme", "shared-memory", "--sensitivity", "sobol:8", "--replications", 1)
    found = document(capsys, *LATENCY[:-4], *words)["sensitivity"]
    spawn = next(r for r in found["sample"] if r["measure"] == "spawn_p50")
    assert spawn["factors"][0]["factor"] == "profile.machine_speed.median"
    assert found["verdicts"] == []


def test_where_nothing_costs_anything_no_input_moves_it(capsys):
    found = document(capsys, *LATENCY, "--profile", "ideal", "--inputs", "--replications", 1)
    assert found["split"] is None
    row = next(r for r in found["two_intervals"] if r["measure"] == "fork_p50")
    assert row["mean"] == 0


def test_what_is_alike_everywhere_is_said_to_be_and_whole_numbers_are_whole(capsys):
    words = ("what_is_inherited", "--inputs", "--replications", "2", "--scheme", "blocking")
    assert main(["run", *words]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "blocking: 19,864 bytes; all alike; inputs (19,768 to 20,056): workload." in text
    assert "top_bytes at image=fork-child: at every share blocking 19,900 bytes" in text
    assert "too few" not in text  # no interval is drawn that could be believed or not


@pytest.mark.parametrize(
    ("mean", "widths", "decimals", "text"),
    [
        (2301.0, [0.0], 0, "2,301"),
        (2.0083, [0.0066, 0.0135], 4, "2.0083"),
        (14.82, [9.9, 22.1], 1, "14.8"),
        (-0.0000161, [0.000014], 6, "-0.000016"),
        (0.0, [0.0], 0, "0"),
        (-0.0000001, [1.0], 6, "0.000000"),
        (19_864.5, [288.0], 0, "19,864"),
    ],
)
def test_as_many_places_are_written_as_tell_the_limits_apart(mean, widths, decimals, text):
    assert places(mean, widths) == decimals
    assert figures(mean, decimals) == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("growth_window", "--inputs"), "--inputs: growth_window is about a heap alone"),
        (("real_order", "--sensitivity", "lhs"), "--sensitivity: in real_order the machine"),
        (("exec_latency", "--inputs", "--design", "2k"), "--design: it does not go along"),
        (("exec_latency", "--inputs", "--precision", "0.1"), "--precision: it does not go along"),
        (("exec_latency", "--sensitivity", "2k"), "--sensitivity: '2k' is no such sample"),
        (("exec_latency", "--sensitivity", "sobol:3"), "--sensitivity sobol:3: 3 points"),
        (("exec_latency", "--precision", "0"), "--precision: 0 is not in range"),
        (("exec_latency", "--precision", "nan"), "--precision: nan is not in range"),
        (("exec_latency", "--precision", "0.1", "--replications", "9"), "--replications 9: with"),
    ],
)
def test_what_a_scenario_cannot_take_is_one_line(capsys, words, said):
    assert said in refused(capsys, "run", *words)


@pytest.mark.parametrize("name", [e.name for e in entries() if e.name != "real_order"])
def test_the_headlines_that_a_scenario_names_are_measured(name):
    spec = importlib.import_module(f"scenarios.{name}").SPEC
    point = replace(spec.point(True), **dict(spec.narrow))
    one = Condition(point, spec.system, load_profile(spec.profile), spec.schemes[-1:])
    with Campaign(name, 1) as campaign:
        (found,) = campaign.carried_out([one], exactly(1))
        there = by_role(spec, point, found.results)
    assert {(role.at, role.measure) for role in there} == set(spec.headlines)


def test_folders_of_a_design_have_no_heap_to_show(capsys, tmp_path):
    out = tmp_path / "out"
    words = ("--set", "creations=1", "--design", "one-at-a-time", "--scheme", "blocking")
    small = ("--set", "heap_kib=16", "--set", "sockets=0", "--set", "fds=3", "--system", "nt")
    assert main(["run", "exec_latency", *words, *small, "--out", str(out)]) == 0
    capsys.readouterr()
    assert "design" in refused(capsys, "heap", "show", out, "--pid", 1)
    assert Path(out / "manifest.json").exists()
