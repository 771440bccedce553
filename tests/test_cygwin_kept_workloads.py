"""A trace that was read before is the same workload again, and never that of another."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from conftest import ROOT

from models.cygwin import compile_trace, kept_workloads
from models.cygwin.compile_trace import load_workload
from models.cygwin.kept_workloads import workload_of
from sim import kept_files
from sim.errors import InputError

TRACES = sorted((ROOT / "tests" / "data" / "traces").glob("*.jsonl.gz"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where this test keeps what it reads; everything is worth keeping."""
    monkeypatch.setenv(kept_files.CACHE, str(tmp_path / "kept"))
    monkeypatch.setattr(kept_workloads, "_WORTH_S", -1.0)
    return tmp_path / "kept"


@pytest.fixture
def reads(monkeypatch):
    """Paths that were read in full."""
    seen = []

    def load(path):
        seen.append(path)
        return load_workload(path)

    monkeypatch.setattr(kept_workloads, "load_workload", load)
    return seen


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name.partition(".")[0])
def test_what_is_found_again_is_what_was_read(path, reads):
    assert workload_of(path) == workload_of(path) == load_workload(path)
    assert reads == [path]


def test_it_has_the_name_of_the_file_at_hand(tmp_path, reads):
    other = tmp_path / "other.jsonl.gz"
    other.write_bytes(TRACES[0].read_bytes())
    workload_of(TRACES[0])
    assert workload_of(other).where == str(other)
    assert reads == [TRACES[0]]


def test_another_content_is_read(tmp_path, reads):
    path = tmp_path / "trace.jsonl"
    text = gzip.decompress(TRACES[0].read_bytes())
    path.write_bytes(text)
    workload_of(path)
    path.write_bytes(text.replace(b'"cpus":2', b'"cpus":3', 1))
    assert workload_of(path).cpus == 3
    assert len(reads) == 2


def test_other_code_reads_again(tmp_path, reads, monkeypatch):
    workload_of(TRACES[0])
    newer = tmp_path / "compile_trace.py"
    newer.write_bytes(Path(str(compile_trace.__file__)).read_bytes())
    os.utime(newer, ns=(1, 1))
    monkeypatch.setattr(compile_trace, "__file__", str(newer))
    workload_of(TRACES[0])
    assert len(reads) == 2


@pytest.mark.parametrize(
    "harm", [lambda b: b[:-1], lambda b: b[:40] + b"x" + b[41:], lambda _: b""]
)
def test_a_harmed_file_is_not_believed(folder, reads, harm):
    workload_of(TRACES[0])
    (kept,) = folder.iterdir()
    kept.write_bytes(harm(kept.read_bytes()))
    assert workload_of(TRACES[0]) == load_workload(TRACES[0])
    assert len(reads) == 2


def test_only_a_wrong_trace_is_refused_each_time(tmp_path, folder):
    path = tmp_path / "wrong.jsonl"
    path.write_text("{}\n")
    for _ in range(2):
        with pytest.raises(InputError, match=r"wrong\.jsonl:1"):
            workload_of(path)
    assert not folder.exists()


def test_where_nothing_can_be_kept_it_is_read(tmp_path, reads, monkeypatch):
    monkeypatch.setenv(kept_files.CACHE, "")
    workload_of(TRACES[0])
    (tmp_path / "file").touch()
    monkeypatch.setenv(kept_files.CACHE, str(tmp_path / "file" / "below"))
    assert workload_of(TRACES[0]) == workload_of(TRACES[0])
    assert len(reads) == 3


def test_what_is_read_quickly_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(kept_workloads, "_WORTH_S", 1e9)
    workload_of(TRACES[0])
    assert not folder.exists()


def test_the_oldest_make_room(folder, monkeypatch):
    monkeypatch.setattr(kept_files, "_MOST_FILES", 2)
    for number in range(3):
        kept_files.keep(b"%d" % number, b"content")
        (newest,) = set(folder.iterdir()) - {path for path in folder.iterdir() if _age(path)}
        os.utime(newest, (number + 1, number + 1))
    assert [kept_files.find(b"%d" % number) for number in range(3)] == [
        None,
        b"content",
        b"content",
    ]


def _age(path: Path) -> bool:
    return path.stat().st_mtime < 10
