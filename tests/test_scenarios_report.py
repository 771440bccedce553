"""`cygsim report RUN --stress`: the items of STRESS-DES from a finished run; limits of validity."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from pathlib import Path

import pytest

from scenarios.__main__ import main
from scenarios.cli_catalogue import entries
from scenarios.stress_items import TITLES, Item
from scenarios.stress_report import stress_report
from scenarios.stress_subject import read_subject

TRACE = Path(__file__).parent / "data" / "traces" / "mini-pipeline.ptrec.jsonl.gz"
RUNS = {
    "processes": ["run", "two_step_sockets", "--quick", "--set", "sockets=0,1",
                  "--set", "creations=1"],
    "heaps": ["run", "short_strings", "--quick", "--set", "execs=1,2,3"],
    "steady": ["run", "server_load", "--quick", "--set", "seconds=5", "--set", "most_s=5",
               "--set", "rates=30", "--scheme", "blocking"],
    "replay": ["replay", str(TRACE), "--set", "create_process=1000"],
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, words in RUNS.items():
        assert main([*words, "--out", str(folder / name)]) == 0
    return folder


def text_of(runs: Path, name: str) -> str:
    return stress_report(read_subject(runs / name))


@pytest.mark.parametrize("name", RUNS)
def test_every_item_is_there_once_and_in_its_order(runs, name):
    text = text_of(runs, name)
    heads = re.findall(r"^### (\S+) (.+)$", text, re.MULTILINE)
    assert heads == list(TITLES.items())
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        assert len(part.strip().splitlines()) > 1, part  # something, or a gap


@pytest.mark.parametrize("name", RUNS)
def test_the_head_names_the_items_that_have_a_gap(runs, name):
    text = text_of(runs, name)
    [told] = re.findall(r"items have\s+a\s+gap:\s+([\d., \n]+)\.\n", text)
    marked = []
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        if "**Gap:**" in part:
            marked.append(part.split()[0])
    assert re.split(r",\s+", told.strip()) == marked
    assert {"5.4", "6.1"} <= set(marked)


@pytest.mark.parametrize("name", RUNS)
def test_lines_fit_80_columns(runs, name):
    assert max(map(len, text_of(runs, name).splitlines())) <= 80


def test_numbers_come_from_the_run(runs):
    manifest = json.loads((runs / "replay" / "manifest.json").read_text(encoding="utf-8"))
    text = text_of(runs, "replay")
    assert all(digest in text for digest in manifest["inputs"].values())
    assert "`create_process`: constant 1000 us" in text
    assert "`create_process` (assumed): set by the user" in text
    sockets = text_of(runs, "processes")
    assert "- `creations` = 1 (allowed: a whole number from 1 to 1000)" in sockets
    assert "`creations` is 1, by default 20" in sockets
    assert "why 2 replications: chosen" in " ".join(sockets.split())
    assert re.search(r"`added_us` [\d.e+-]+ us \(95 %:", " ".join(sockets.split()))


def test_a_steady_state_has_its_warm_up_and_batch_means(runs):
    text = " ".join(text_of(runs, "steady").split())
    assert "Non-terminating. It begins with an idle machine" in text
    assert "MSER-5" in text
    assert "requests come one by one (Poisson)" in text
    other = " ".join(text_of(runs, "processes").split())
    assert "Terminating: a run ends when nothing can happen any more" in other
    assert "Poisson" not in other


def test_a_heap_alone_has_neither_processors_nor_costs(runs):
    text = text_of(runs, "heaps")
    assert "no process runs and nothing takes time" in " ".join(text.split())
    assert "create_process" not in text


def test_a_profile_that_was_changed_is_a_gap(runs, tmp_path):
    source = Path(__file__).parent.parent / "models" / "win32" / "profiles" / "ideal.toml"
    mine = tmp_path / "mine.toml"
    shutil.copy(source, mine)
    words = ["run", "two_step_sockets", "--quick", "--set", "creations=1", "--scheme", "blocking"]
    assert main([*words, "--profile", str(mine), "--out", str(tmp_path / "o")]) == 0
    before = stress_report(read_subject(tmp_path / "o"))
    assert "not at hand" not in before
    mine.unlink()
    text = " ".join(stress_report(read_subject(tmp_path / "o")).split())
    assert "**Gap:** the profile is not at hand" in text


def test_other_versions_are_named(runs, tmp_path):
    shutil.copytree(runs / "heaps", tmp_path / "o")
    file = tmp_path / "o" / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest["versions"]["simpy"] = "3.0"
    file.write_text(json.dumps(manifest), encoding="utf-8")
    text = " ".join(stress_report(read_subject(tmp_path / "o")).split())
    assert "was written with other versions of simpy" in text


def test_it_is_written_to_a_file_as_to_stdout(runs, tmp_path, capsys):
    words = ["report", str(runs / "heaps"), "--stress"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert main([*words, "-o", str(tmp_path / "report.md")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == shown


def test_an_item_must_be_one_of_the_checklist():
    assert len({number for number in TITLES if not number.startswith("2.5.")} | {"2.5"}) == 20
    with pytest.raises(ValueError, match="must be one of"):
        Item("7.1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RUN"], "cygsim: report: there is no other report than --stress yet; --stress"),
        (["nowhere", "--stress"], "cygsim: nowhere/manifest.json: No such file"),
        (["RUN", "--stress", "-o", "report.html"], "cygsim: --output: report.html: the report is"),
        (["RUN", "--stress", "-o", "no/where/r.md"], "cygsim: --output: no/where is no folder"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(runs, capsys, words, said):
    assert main(["report", *(str(runs / "heaps") if w == "RUN" else w for w in words)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(said)


@pytest.mark.parametrize("damage", ["unfinished", "no parameters", "no command"])
def test_a_run_that_is_not_whole_is_refused(runs, tmp_path, capsys, damage):
    shutil.copytree(runs / "heaps", tmp_path / "o")
    file = tmp_path / "o" / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest |= {"unfinished": {"ran": {}}, "no parameters": {"parameters": {}},
                 "no command": {"command": ["run"]}}[damage]  # fmt: skip
    file.write_text(json.dumps(manifest), encoding="utf-8")
    assert main(["report", str(tmp_path / "o"), "--stress"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# ---- limits of validity ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
def test_every_scenario_says_its_limits(name):
    limits = importlib.import_module(f"scenarios.{name}").SPEC.limits
    assert limits
    assert all(text and not text.endswith(".") for text in limits)


def test_limits_stand_in_the_document_and_the_first_in_the_text(capsys):
    words = RUNS["heaps"]
    limits = importlib.import_module("scenarios.short_strings").SPEC.limits
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["limits"] == list(limits)
    assert main(words) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"limits of validity: {limits[0]} ({len(limits) - 1} more: --json)" in text
