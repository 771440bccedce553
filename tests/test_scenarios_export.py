"""The journal of a run as a file for other programs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from conftest import in_python

from sim.journal import FILE
from sim.results import read_rows

MINI = next((Path(__file__).parent / "data" / "traces").glob("*mini*"))
RUN = ["run", "fixed_address", "--set", "dlls=1,5", "--set", "trees=50", "--replications", "2"]


FACTORS = """kind = "full"
[factors.scheme]
levels = ["blocking", "shared-memory"]
[factors.system]
levels = ["nt", "9x"]
[factors.trees]
levels = [20, 30]
"""


@pytest.fixture(scope="module", params=["run", "replay", "design", "precision"])
def folder(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "out"
    (out.parent / "design.toml").write_text(FACTORS)
    words = {
        "run": RUN,
        "replay": ["replay", str(MINI), "--replications", "2"],
        "design": [*RUN[:4], "--replications", "2", "--design", str(out.parent / "design.toml")],
        "precision": [*RUN[:-2], "--scheme", "blocking", "--precision", "0.5"],
    }[request.param]
    ended = in_python("-m", "scenarios", *words, "--out", str(out))
    assert ended.returncode == 0, ended.stderr
    return out


def test_csv_is_the_runs_own(cygsim, tmp_path, folder):
    asked = cygsim("export", folder, "--format", "csv", "-o", tmp_path / "x.csv")
    assert (asked.returncode, asked.stdout) == (0, b"")
    assert asked.stderr == b"" or b"of at most " in asked.stderr
    assert (tmp_path / "x.csv").read_bytes() == (folder / "results.csv").read_bytes()


def test_parquet_has_the_same_values(cygsim, tmp_path, folder):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")
    for name in ("x", "y"):
        asked = cygsim("export", folder, "--format", "parquet", "-o", tmp_path / name)
        assert asked.returncode == 0, asked.stderr
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    table = parquet.read_table(tmp_path / "x")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["ran"]
    assert json.loads(table.schema.metadata[b"cygsim.manifest"]) == manifest
    rows = read_rows(folder / "results.csv")
    assert table.num_rows == len(rows)
    for row, found in zip(rows, table.to_pylist(), strict=True):
        word = found.pop("word")
        assert {**found, "value": found["value"] if word is None else word} == row._asdict()


def test_of_a_run_that_was_interrupted_it_is_what_there_is(cygsim, tmp_path):
    out = tmp_path / "out"
    assert cygsim(*RUN, "--out", out).returncode == 0
    base = sqlite3.connect(out / FILE)
    base.execute("DELETE FROM record WHERE name = 'blocking 1'")
    base.commit()
    base.close()
    asked = cygsim("export", out, "--format", "csv", "-o", tmp_path / "x.csv")
    assert asked.returncode == 0
    assert asked.stderr.startswith(b"cygsim: note: ")
    assert asked.stderr.endswith(b" runs are there\n")
    found, whole = read_rows(tmp_path / "x.csv"), read_rows(out / "results.csv")
    assert found == [r for r in whole if (r.scheme, r.replication) != ("blocking", 1)]
    assert len(found) < len(whole)


def test_points_found_on_the_way_are_exported_once_the_run_is_finished(cygsim, tmp_path):
    words = ["run", "exec_latency", "--set", "creations=1", "--system", "nt", "--inputs"]
    out = tmp_path / "out"
    assert cygsim(*words, "--replications", "2", "--out", out).returncode == 0
    asked = cygsim("export", out, "--format", "csv", "-o", tmp_path / "x.csv")
    assert asked.returncode == 0, asked.stderr
    assert (tmp_path / "x.csv").read_bytes() == (out / "results.csv").read_bytes()
    (out / "results.csv").unlink()
    asked = cygsim("export", out, "--format", "csv", "-o", tmp_path / "y.csv")
    assert asked.returncode == 2
    assert b"results.csv: missing, since the run's points follow from" in asked.stderr


@pytest.mark.parametrize(
    "words, line",
    [
        (["--format", "perfetto", "-o", "x"], "--format: 'perfetto' is not known; one of csv, "),
        (["--format", "csv"], "--output: missing"),
        (["-o", "x"], "--format: missing"),
        (["--format", "csv", "-o", "no/such/folder/x"], "no/such/folder"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(cygsim, folder, words, line):
    asked = cygsim("export", folder, *words)
    assert asked.returncode == 2
    (said,) = asked.stderr.decode().splitlines()
    assert said.startswith(f"cygsim: {line}")


def test_a_folder_without_a_run_or_a_journal_is_refused(cygsim, tmp_path):
    words = ["--format", "csv", "-o", tmp_path / "x"]
    asked = cygsim("export", tmp_path, *words)
    assert asked.returncode == 2
    assert b"manifest.json" in asked.stderr
    p = {"schemes": ["blocking"], "replications": 1, "system": "nt", "profile": "ideal"}
    manifest = {"schema": "cygsim/manifest/1", "command": ["run", "limits"], "parameters": p}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    asked = cygsim("export", tmp_path, *words)
    assert asked.returncode == 2
    assert b"journal.sqlite: missing; " in asked.stderr
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "parameters": 3}))
    asked = cygsim("export", tmp_path, *words)
    assert asked.returncode == 2
    assert b"tells of no run or replay" in asked.stderr
    assert not (tmp_path / "x").exists()


def test_without_pyarrow_the_extra_is_named(python, folder, tmp_path):
    words = ["export", str(folder), "--format", "parquet", "-o", str(tmp_path / "x")]
    asked = python("-c", "import sys; sys.modules['pyarrow'] = None; "
                   f"from scenarios.__main__ import main; sys.exit(main({words}))")  # fmt: skip
    assert asked.returncode == 2
    assert b"pyarrow is not installed; pip install 'cygsim[parquet]'" in asked.stderr
