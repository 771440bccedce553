"""`cygsim run leak_growth`: the growths that are known from the real code, and what is lost."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.cygwin.cygheap import layout
from models.cygwin.cygheap.modern_layout import BEFORE, M
from scenarios import short_strings
from scenarios.__main__ import main
from scenarios.leak_chains import FREES, HEADS_MOVED, WALK_MENDED, grown, lost
from scenarios.leak_growth import REAL
from scenarios.leak_words import about_frees, about_tags, loss
from scenarios.spec import Measured, Outcome, Replicated

TRACES = Path(__file__).parent / "data" / "traces"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder of a quick run."""
    folder = tmp_path_factory.mktemp("leak")
    assert main(["run", "leak_growth", "--quick", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def values(ran):
    text = (ran / "results.csv").read_text(encoding="utf-8")
    return {
        (r["scheme"], r["point"], r["measure"]): float(r["value"]) if r["value"] else None
        for r in csv.DictReader(text.splitlines())
    }


def alone(rows: list[Measured]) -> Replicated:
    return Replicated((Outcome(rows, []),))


def losses(era: layout.Era, execs: int = 40) -> dict[str, str]:
    return {f: loss(alone(lost(era, f, execs)), era, f) for f in FREES}


@pytest.mark.parametrize(
    ("scheme", "era", "tag", "number", "want"),
    [
        ("blocking", "A", "tagged", 1, 8936),
        ("blocking", "A", "tagged", 120, 10_360),
        ("blocking", "A", "untagged", 3, 11_784),
        ("shared-memory", "B", "tagged", 1, 9312),
        ("shared-memory", "B", "tagged", 120, 10_896),
        ("shared-memory", "B", "untagged", 2, 10_896),
    ],
)
def test_sizes_are_those_of_the_real_code(values, scheme, era, tag, number, want):
    at = f"era={era} tag={tag} argv=constant exec={number}"
    assert values[scheme, at, "cygheap_bytes"] == want


@pytest.mark.parametrize(
    ("era", "want"), [(layout.A, 861_912), (layout.B, 958_128), (layout.R, 958_124)]
)
def test_six_hundred_untagged_execs_come_to_the_known_size(era, want):
    outcome = alone(grown(era, "untagged", "constant", 600))
    at = f"era={era.name} tag=untagged argv=constant"
    assert outcome.value(f"{at} exec=600", "cygheap_bytes") == want
    [(_, exact), (sentence, label)] = about_tags(with_tagged(outcome, era), era)
    assert exact == label == "exact"
    assert f"{outcome.value(at, 'execs_until_full'):,} execs" in sentence


def with_tagged(outcome: Replicated, era: layout.Era) -> Replicated:
    more = [row for shape in ("constant", "varying") for row in grown(era, "tagged", shape, 40)]
    return alone([*outcome.rows, *more])


@pytest.mark.parametrize("scheme", sorted(REAL))
def test_whole_processes_lose_what_the_real_ones_did(values, scheme):
    assert values[scheme, "whole=file", "growth_bytes_per_exec"] == REAL[scheme]
    lost_here = {p: v for (s, p, m), v in values.items() if (s, m) == (scheme, "lost_bytes")}
    whole = {p: v for p, v in lost_here.items() if p.startswith("whole=")}
    want = {"whole=file lost=HEAP_FHANDLER size=2056": 12 * 2056.0} if REAL[scheme] else {}
    assert whole == want


def test_only_what_is_free_at_the_exec_is_lost_and_only_in_a():
    assert losses(layout.A) | {"varying": ""} == {
        "nothing": "0", "file": "2,056", "strings": "0", "late-strings": "80", "varying": "",
    }  # fmt: skip
    assert losses(layout.R) == dict.fromkeys(FREES, "0")


def test_heads_in_the_heap_end_the_loss_and_need_the_mended_walk():
    assert losses(HEADS_MOVED) == dict.fromkeys(FREES, "0") | {"varying": "0 !"}
    assert losses(WALK_MENDED) == dict.fromkeys(FREES, "0")
    assert losses(layout.C)["varying"] == "dies 18"


def test_the_sentences_follow_the_numbers():
    rows = [row for freed in FREES for row in lost(layout.A, freed, 40)]
    assert "80 HEAP_STR of 40 bytes" in about_frees(alone(rows), layout.A)
    none = [r._replace(value=0) if r.measure == "growth_bytes_per_exec" else r for r in rows]
    assert "nothing is lost" in about_frees(alone(none), layout.A)


def test_the_report_fits_80_columns_and_labels_every_sentence(capsys):
    assert main(["run", "leak_growth", "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    found = [line for line in lines if line.startswith("[")]
    assert found
    assert all(line.startswith(("[exact]", "[structural]", "[assumed]")) for line in found)


def test_the_manifest_holds_what_was_read(ran):
    manifest = json.loads((ran / "manifest.json").read_text(encoding="utf-8"))
    assert {"make-j4-sed", "git-workflow"} <= set(manifest["inputs"])
    assert {p.name for p in ran.glob("*.png")} == {
        "tagged.png", "untagged.png", "freed_before_exec.png",
    }  # fmt: skip


def test_a_heap_of_the_chain_can_be_looked_into(capsys, ran):
    assert main(["heap", "show", str(ran), "--scheme", "blocking", "--pid", "1"]) == 0
    assert "24672 bytes for ever" in capsys.readouterr().out  # 12 images, 2056 each


@pytest.mark.parametrize("word", ["execs=0", "execs=5000", "images=1", "traces=nowhere", "x=1"])
def test_bad_input_is_one_line_and_exit_2(capsys, word):
    assert main(["run", "leak_growth", "--quick", "--scheme", "blocking", "--set", word]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# ---- Cygwin 3.6 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("tag", "name"), [("tagged", "2001 set"), ("untagged", None)])
def test_the_modern_heap_grows_as_the_real_one_did(tag, name):
    """Golden traces h07 and h08 of era M; MODERN.md §4 has the sizes of h07."""
    rows = alone(grown(M, tag, "constant", 600))
    at = f"era=M tag={tag} argv=constant"
    if name is None:
        assert rows.value(at, "growth_bytes_per_exec") == 1760  # with short strings, 1,776 in 2026
        return
    for number, size in short_strings.REAL[name, "3.6"].items():
        assert rows.value(f"{at} exec={number}", "cygheap_bytes") == size
    assert rows.value(at, "growth_bytes_per_exec") == 1008


def test_the_heap_before_3_6_does_not_grow():
    rows = alone(grown(replace(BEFORE, name="M"), "tagged", "constant", 60))
    assert rows.value("era=M tag=tagged argv=constant", "growth_bytes_per_exec") == 0


def test_what_the_modern_heap_loses_are_short_tagged_strings():
    found = losses(M)
    assert found.pop("strings") == "960"  # one of the two freed ones is used and seen by the walk
    assert found.pop("varying") != "1,008"
    assert set(found.values()) == {"1,008"}
    rows = lost(M, "nothing", 40)
    blocks = {row.point: row.value for row in rows if row.measure == "lost_bytes"}
    assert blocks == {"era=M freed=nothing lost=HEAP_1_STR size=48": 40 * 1008}
    assert "smallest class" in about_frees(alone(rows_of(M)), M)


def rows_of(era):
    return [row for freed in FREES for row in lost(era, freed, 40)]


def test_a_run_under_3_6_says_what_whole_processes_lose(capsys):
    words = ("--quick", "--scheme", "child-copy", "--set", "traces=mini-pipeline.ptrec")
    assert main(["run", "leak_growth", *words]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    assert "M, tagged: with constant argv it grows by 1,008 bytes an exec" in text
    assert "grow by 960 bytes an exec; lost: 240 HEAP_1_STR of 48 bytes" in text
