"""`cygsim run short_strings`: the leak of 3.6 to the byte, other environments, and bad input."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path

import pytest
from conftest import in_python

from models.cygwin.cygheap.modern_audit import leaked_bytes
from models.cygwin.cygheap.modern_chain import Request, allocate, exec_chain, first_heap, release
from models.cygwin.cygheap.modern_layout import BEFORE, INDEX_FROM_1, STORE_PLUS_1, M
from scenarios import short_strings
from scenarios.short_strings import ARGUMENTS, ENV_2001, ENV_2026, SPAWNED, WINDIR
from scenarios.spec import Replicated

GOLDEN = Path(__file__).parent / "data" / "golden" / "M"
SET_2026 = Request(ARGUMENTS, ENV_2026)
SET_2001 = Request(ARGUMENTS, ENV_2001, (WINDIR,))


def recorded(name: str) -> list[int]:
    """The heap of each exec child of a golden trace [bytes]."""
    lines = gzip.decompress((GOLDEN / f"{name}.jsonl.gz").read_bytes()).splitlines()
    values = [json.loads(line) for line in lines]
    return [v[-2] for v in values if isinstance(v, list) and v[0] == "x"]


@pytest.mark.parametrize(
    ("name", "request_", "words"),
    [
        ("h24_execchain_2026", SET_2026, {}),
        ("h25_forkexec_2026", SET_2026, {"forked": True}),
        ("h26_spawn_then_exec", SET_2026, {"spawned": replace(SET_2026, argv=SPAWNED)}),
        ("h07_execchain", SET_2001, {}),
        ("h08_execchain_untagged", replace(SET_2001, tagged=False), {}),
    ],
)
def test_a_chain_grows_as_the_recorded_one(name, request_, words):
    wanted = recorded(name)
    assert len(wanted) >= 20
    chain = exec_chain(M, repeat(request_), **words)
    assert [heap.max for heap in islice(chain, len(wanted))] == wanted


@pytest.mark.parametrize(
    ("era", "wanted"),
    [(M, 98 * 816), (BEFORE, 0), (INDEX_FROM_1, 0), (STORE_PLUS_1, 0)],
    ids=lambda x: getattr(x, "name", ""),
)
def test_what_a_walk_never_frees_is_what_the_heap_grows_by(era, wanted):
    tops = []
    for heap in islice(exec_chain(era, repeat(SET_2026)), 100):
        tops.append(heap.max)
    assert tops[99] - tops[1] == wanted
    assert leaked_bytes(heap) == (100 * 816 if era is M else 0)


def test_a_parent_that_lives_on_frees_its_own_set():
    heap = first_heap(M)
    release(heap, allocate(heap, SET_2026))
    top = heap.max
    for _ in range(50):
        release(heap, allocate(heap, SET_2026))
    assert heap.max == top
    assert leaked_bytes(heap) == 0


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("short") / "out"
    done = in_python("-m", "scenarios", "run", "short_strings", "--quick", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(), out


def test_the_report_has_the_measured_numbers(quick):
    text, _ = quick
    table = text.split("\n\n")[1].splitlines()
    assert max(map(len, table)) <= 80
    assert "fork, exec   3.6           33248   35024   35840   74192    114992    816" in table
    assert "spawn, exec  3.6           33248   35024   35072   37328    39728     48" in table
    assert "[exact] 24 of 24 heap sizes measured on the real code are met to the byte" in text
    assert "(= 17 x 48)" in text


def test_results_manifest_and_figures_are_written(quick):
    _, out = quick
    rows = list(csv.DictReader((out / "results.csv").read_text(encoding="utf-8").splitlines()))
    sizes = {r["point"]: r["value"] for r in rows if r["measure"] == "heap_bytes"}
    assert sizes["chain=exec walk=3.6 execs=100"] == "114992"
    assert sizes["chain=exec walk=store-b+1 execs=100"] == "35024"
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["parameters"]["lengths"] == list(ENV_2026)
    pictures = {p.name for p in out.iterdir() if p.suffix in (".png", ".svg")}
    assert pictures == {f"heap_by_{x}.{e}" for x in ("walk", "chain") for e in ("png", "svg")}


def test_a_changed_measurement_is_counted_as_not_met(monkeypatch):
    """Negative control of the last conclusion."""
    point = short_strings.SPEC.point(True)
    point = replace(point, execs=(1, 2, 3))
    monkeypatch.setitem(short_strings.REAL, ("exec", "3.6"), {1: 33248, 2: 35024, 3: 35841})
    outcome = short_strings.run_point(point, "", "", None, Shapes())
    (*_, last) = short_strings.conclusions({"child-copy": Replicated((outcome,))}, point)
    assert last == ("17 of 18 heap sizes measured on the real code are met to the byte", "exact")


class Shapes:
    """A replication whose shapes never change."""

    def stream(self, name):
        return self

    def integers(self, low, high, size=None):
        return low if size is None else [low] * size


def test_another_environment_is_read_from_a_file(cygsim, tmp_path):
    lengths = tmp_path / "lengths"
    lengths.write_text("5\n15\n16\n200\n", encoding="ascii")
    done = cygsim("run", "short_strings", "--quick", "--set", f"lengths=@{lengths}", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["parameters"]["lengths"] == [5, 15, 16, 200]
    growth = {r["point"]: r["value"] for r in document["results"]
              if r["measure"] == "growth_bytes_per_exec"}  # fmt: skip
    assert growth["chain=exec walk=3.6"] == 4 * 48  # sh, -c and two variables
    assert not any("real code" in c["text"] for c in document["conclusions"])
    assert document["counterfactual"] == []


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--set", "lengths=@LENGTHS"), b"LENGTHS:2: 'x' is no such value; one value a line"),
        (("--set", "lengths=@EMPTY"), b"EMPTY: the file is empty"),
        (("--set", "lengths=@none"), b"none: No such file"),
        (
            ("--set", "lengths=-1"),
            b"--set lengths: -1 is out of range; a whole number",
        ),
        (("--set", "execs=3,2"), b"must be two or more rising numbers"),
        (("--scheme", "blocking"), b"--scheme: short_strings is about a heap alone"),
        (("--system", "9x"), b"--system: short_strings is about a heap alone"),
        (("--profile", "ideal"), b"--profile: short_strings is about a heap alone"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(cygsim, tmp_path, words, what):
    (tmp_path / "LENGTHS").write_text("5\nx\n", encoding="ascii")
    (tmp_path / "EMPTY").write_text("", encoding="ascii")
    words = [w.replace("@", f"@{tmp_path}/") if "none" not in w else w for w in words]
    done = cygsim("run", "short_strings", *words)
    assert done.returncode == 2
    assert what in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_only_changing_shapes_differ_between_replications(cygsim):
    done = cygsim("run", "short_strings", "--quick", "--replications", 2, "--json")
    document = json.loads(done.stdout)
    wide = {r["point"] for r in document["results"] if r["ci95"] and r["ci95"][0] < r["ci95"][1]}
    assert wide
    assert all(point.startswith("chain=varying ") for point in wide)
    assert "mean of 2 replications, 95 %" in " ".join(c["text"] for c in document["conclusions"])


def test_a_heap_without_a_process_is_not_shown(cygsim, quick):
    done = cygsim("heap", "show", quick[1], "--pid", 1)
    assert done.returncode == 2
    assert b"short_strings has heaps but no processes" in done.stderr
