"""`cygsim run allocator`: shares, hits and growths, and sentences that follow them."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from models.cygwin.cygheap.modern_layout import M
from models.win32.cost_profile import load_profile
from scenarios import allocator
from scenarios.__main__ import main
from scenarios.spec import Outcome, Replicated
from sim.streams import Replication

QUICK = allocator.SPEC.point(True)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    profile = load_profile("p3-800-w2000")
    return allocator.run_point(QUICK, "shared-memory", "nt", profile, Replication(1, 0))


def at(fit: str) -> str:
    return f"traces=all fit={fit}"


def test_an_exec_allocates_and_frees_the_set_once(outcome):
    """31 requests (§b4, 3 arguments and 25 variables); as many are freed in the child."""
    assert outcome.value("exec=constant", "operations") == 62


def test_growth_is_that_of_the_real_heaps(outcome):
    grown = {
        name: outcome.value(at(name), "growth_constant_bytes_per_exec") for name in allocator.FITS
    }
    assert grown == dict.fromkeys(allocator.FITS, 0.0) | {"M": 1008.0}
    assert outcome.value(at("A"), "growth_varying_bytes_per_exec") > 100
    assert outcome.value(at("B"), "growth_varying_bytes_per_exec") == 0


def test_rounding_wastes_and_medians_waste_less(outcome):
    share = {name: outcome.value(at(name), "asked_share") for name in allocator.FITS}
    assert share["B"] < share["A"] < share["medians"] < share["exact-fit"] == share["first-fit"]
    tops = {name: outcome.value(at(name), "top_mean_bytes") for name in allocator.FITS}
    assert tops["exact-fit"] < tops["medians"] < tops["B"]


def test_only_first_fit_searches(outcome):
    worst = {name: outcome.value(at(name), "entries_worst") for name in allocator.FITS}
    assert worst.pop("first-fit") > 1
    assert set(worst.values()) == {1}


def test_the_share_follows_the_assumed_costs(outcome):
    profile = load_profile("p3-800-w2000")
    share = outcome.value("exec=constant", "share")
    factor = outcome.value("exec=constant", "factor_to_1_percent")
    assert 0 < share < 0.01 < share * factor
    dear = replace(QUICK, operation_ns=QUICK.operation_ns * factor)
    at_limit = allocator.run_point(dear, "shared-memory", "nt", profile, Replication(1, 0))
    assert at_limit.value("exec=constant", "share") == pytest.approx(0.01)


def test_there_is_no_share_of_an_exec_that_costs_nothing(capsys):
    words = ["run", "allocator", "--quick", "--profile", "ideal", "--scheme", "shared-memory"]
    assert main(words) == 0
    assert "costs nothing in this profile" in capsys.readouterr().out


def test_the_sentences_follow_the_numbers(outcome):
    told = dict(allocator.conclusions({"shared-memory": Replicated((outcome,))}, QUICK))
    assert any("1 % only at" in text for text in told)
    slow = [
        r._replace(value=0.5) if r.measure == "factor_to_1_percent" else r for r in outcome.rows
    ]
    told = dict(allocator.conclusions({"shared-memory": Replicated((Outcome(slow, []),))}, QUICK))
    assert any("1 % already at 0.5" in text for text in told)
    assert set(told.values()) == {"exact", "assumed"}


def test_a_run_leaves_results_figures_and_80_columns(capsys, tmp_path):
    assert main(["run", "allocator", "--quick", "--out", str(tmp_path / "out")]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"asked_share.png", "time_of_an_exec.svg", "results.csv", "manifest.json"} <= names
    rows = csv.DictReader((tmp_path / "out" / "results.csv").read_text("utf-8").splitlines())
    assert {r["scheme"] for r in rows} == set(allocator.SPEC.schemes)
    capsys.readouterr()
    assert main(["heap", "show", str(tmp_path / "out"), "--pid", "1"]) == 0
    assert "fd table" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["execs=1", "operation_ns=0", "walk_ns=x", "traces=nowhere"])
def test_bad_input_is_one_line_and_exit_2(capsys, word):
    assert main(["run", "allocator", "--quick", "--scheme", "blocking", "--set", word]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_under_3_6_the_calls_are_those_of_the_modern_heap(capsys):
    """32 requests, WINDIR among them; of the set before last all but 21 short strings are freed."""
    profile = load_profile("p3-800-w2000")
    found = allocator.run_point(QUICK, "child-copy", "nt", profile, Replication(1, 0))
    assert found.value("exec=constant", "operations") == 32 + 32 - 21
    asked = allocator.requests_of(allocator._added(allocator.constant_arguments(4), 8), 8)
    wasted = sum(M.classes[M.search(n)] - 16 - n for n in asked.sizes)
    assert found.value("exec=constant", "rounding_bytes") == 2 * wasted
    said = dict(allocator.conclusions({"child-copy": Replicated((found,))}, QUICK))
    assert any(text.startswith("the classes of 3.6 serve") for text in said)
    assert main(["run", "allocator", "--quick", "--scheme", "child-copy"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
