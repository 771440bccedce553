"""`cygsim run placement`: what it counts, what the releases say, and its sentences."""

from __future__ import annotations

import csv

import pytest

from scenarios import placement
from scenarios.__main__ import main
from scenarios.spec import Outcome, Replicated

SCHEMES = placement.SPEC.schemes


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("placement") / "out"
    assert main(["run", "placement", "--quick", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def values(ran):
    text = (ran / "results.csv").read_text(encoding="utf-8")
    return {
        (r["scheme"], r["point"], r["measure"]): r["value"]
        for r in csv.DictReader(text.splitlines())
    }


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pointers_dangle_and_the_chain_faults_first(values, scheme):
    moved = {m: v for (s, p, m), v in values.items() if (s, p) == (scheme, "heap=moved")}
    assert int(moved["dangling"]) == sum(
        int(v) for m, v in moved.items() if m.startswith("dangling in")
    )
    assert int(moved["faults"]) == sum(
        int(v) for m, v in moved.items() if m.startswith("faults in")
    )
    assert int(moved["faults"]) < int(moved["dangling"])
    assert (moved["first_fault_kind"], moved["first_fault_step"]) == ("chain", "the walk")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_child_refuses_with_the_words_of_its_release(values, scheme):
    message = values[scheme, "exec=refused", "message"]
    assert message.startswith("Couldn't reserve space for cygwin's heap (")
    assert ("<" in message) is (scheme != "blocking")
    assert values[scheme, "exec=refused", "exit_code"] == "1"


def test_the_sentences_follow_the_numbers():
    point = placement.SPEC.point(True)
    from models.win32.cost_profile import load_profile
    from sim.streams import Replication

    profile = load_profile("ideal")
    o = placement.run_point(point, "shared-memory", "nt", profile, Replication(1, 0))
    told = [text for text, _ in placement.conclusions({"shared-memory": Replicated((o,))}, point)]
    assert any(text.startswith("after-dll: DLL behind, in all: the first") for text in told)
    fine = [r._replace(value="fine") if r.measure == "fate" else r for r in o.rows]
    other = Replicated((Outcome(fine, []),))
    told = [text for text, _ in placement.conclusions({"shared-memory": other}, point)]
    assert any(text.startswith("after-dll: no mishap hits it; 20 of 1020") for text in told)


def test_a_run_leaves_figures_and_80_columns(capsys, ran):
    names = {p.name for p in ran.iterdir()}
    assert {"dangling.png", "mishaps_survived.svg", "manifest.json"} <= names
    assert main(["run", "placement"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("[exact]") for line in lines) == sum(
        line.startswith("[") for line in lines
    )


def test_the_refused_heap_can_be_looked_into(capsys, ran):
    assert main(["heap", "show", str(ran), "--pid", "1"]) == 0
    assert "argv" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["shift_kib=0", "shift_kib=65", "execs=-1", "long_execs=x"])
def test_bad_input_is_one_line_and_exit_2(capsys, word):
    assert main(["run", "placement", "--scheme", "blocking", "--set", word]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_heap_of_3_6_is_refused_and_the_scenario_that_answers_is_named(capsys):
    assert main(["run", "placement", "--scheme", "child-copy"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "cygsim: --scheme: the heap of era M is not followed here: its place is 0x800000000; "
        "cygsim run fixed_address, or a scheme of era A, R or B\n"
    )
