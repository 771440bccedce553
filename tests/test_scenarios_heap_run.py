"""`cygsim heap show RUN`: the heap of one process of a run, carried out again from its manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from models.cygwin.compile_trace import load_workload
from models.cygwin.workload import Op
from scenarios.__main__ import main

MINI = Path(__file__).parent / "data" / "traces" / "mini-sockets.ptrec.jsonl.gz"
OWNERS = {"fd table", "fhandler", "cwd", "chroot", "user", "argv", "environment", "exec info",
          "garbage", "free"}  # fmt: skip


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """A finished replay beside its trace."""
    folder = tmp_path_factory.mktemp("replayed")
    shutil.copy(MINI, folder / "t.jsonl.gz")
    words = ["--scheme", "blocking", "--scheme", "shared-memory", "--set", "exit=300"]
    assert main(["replay", str(folder / "t.jsonl.gz"), "--out", str(folder / "run"), *words]) == 0
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    words = ["--set", "seconds=0.1,never", "--set", "compiles=2", "--scheme", "blocking"]
    assert main(["run", "background_native", "--out", str(folder), *words]) == 0
    return folder


def refused(capsys, *words: object) -> str:
    """The one line of a command that must end with 2."""
    capsys.readouterr()
    assert main(["heap", "show", *map(str, words)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    line = shown.err.splitlines()[-1]
    assert line.startswith("cygsim: ")
    assert "Traceback" not in shown.err
    return line


def shown(capsys, *words: object) -> str:
    capsys.readouterr()
    assert main(["heap", "show", *map(str, words)]) == 0
    return str(capsys.readouterr().out)


def test_the_table_names_owners_and_fits_80_columns(capsys, replayed):
    text = shown(capsys, replayed / "run", "--pid", 3)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "mini-sockets, blocking, replication 0"
    assert lines[1].startswith("process 3 sh, at its exit")
    for owner in ("fd table", "fhandler", "cwd", "user", "argv", "environment", "garbage"):
        assert any(f" {owner} " in line for line in lines), owner


def test_json_is_the_same_heap_and_its_sums_agree(capsys, replayed):
    words = (replayed / "run", "--pid", 5, "--scheme", "shared-memory", "--json")
    found = json.loads(shown(capsys, *words))
    assert found["schema"] == "cygsim/heap/1"
    assert (found["pid"], found["scheme"], found["at_exit"]) == (5, "shared-memory", True)
    assert {b["owner"] for b in found["blocks"]} <= OWNERS
    assert sum(o["bytes"] for o in found["owners"]) + found["header_bytes"] == found["top_bytes"]
    assert shown(capsys, *words) == shown(capsys, *words)


def test_the_picture_is_drawn(capsys, replayed, tmp_path):
    shown(capsys, replayed / "run", "--pid", 2, "--out", tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")


def test_a_process_that_the_run_does_not_have_is_refused(capsys, replayed):
    line = refused(capsys, replayed / "run", "--pid", 400)
    assert line == ("cygsim: --pid 400: the run has no such Cygwin process; allowed: from 1 to 21")


def test_a_trace_that_is_gone_or_changed_is_refused_and_may_be_named(capsys, replayed, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(replayed / "run", folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["ran"]["from"]["trace"] = str(tmp_path / "gone.jsonl.gz")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "not there any more" in refused(capsys, folder, "--pid", 1)
    other = MINI.with_name("mini-pipeline.ptrec.jsonl.gz")
    assert "content" in refused(capsys, folder, "--pid", 1, "--trace", other)
    assert "process 1 python3" in shown(capsys, folder, "--pid", 1, "--trace", MINI)


def test_a_run_that_comes_out_otherwise_now_is_refused(capsys, replayed, tmp_path):
    folder = tmp_path / "edited"
    shutil.copytree(replayed / "run", folder)
    text = (folder / "results.csv").read_text(encoding="utf-8")
    (folder / "results.csv").write_text(text.replace("cygheap_end_bytes,bytes,",
                                        "cygheap_end_bytes,bytes,9"), encoding="utf-8")  # fmt: skip
    assert "cannot be repeated" in refused(capsys, folder, "--pid", 1)


def test_a_broken_manifest_is_one_line(capsys, replayed, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(replayed / "run", folder)
    whole = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for key in ("command", "parameters", "inputs", "ran", "seed"):
        part = {k: v for k, v in whole.items() if k != key}
        (folder / "manifest.json").write_text(json.dumps(part), encoding="utf-8")
        assert "not a whole manifest" in refused(capsys, folder, "--pid", 1), key
    (folder / "manifest.json").write_text("{", encoding="utf-8")
    assert "not JSON" in refused(capsys, folder, "--pid", 1)
    (folder / "manifest.json").unlink()
    assert "manifest.json" in refused(capsys, folder, "--pid", 1)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ((), "--pid: missing"),
        (("--pid", 1, "--at", 3), "--at: "),
        (("--pid", 1, "--out", "x.txt"), "--out: "),
        (("--pid", 1, "--scheme", "shared-memory-1.3.3"), "--scheme: "),
        (("--pid", 1, "--replication", 1), "--replication: 1"),
    ],
)
def test_wrong_options_of_a_run_are_refused(capsys, replayed, words, hint):
    assert hint in refused(capsys, replayed / "run", *words)


def test_options_of_a_run_are_refused_for_a_golden_trace(capsys):
    golden = Path(__file__).parent / "data" / "golden" / "A" / "h02_lifo.jsonl.gz"
    assert "--pid: " in refused(capsys, golden, "--pid", 1)
    found = json.loads(shown(capsys, golden, "--json"))
    assert found["era"] == "A"
    assert found["blocks"]


def test_a_native_image_has_no_cygheap(capsys, tmp_path):
    trace = MINI.with_name("make-j4-sed.jsonl.gz")
    words = ["--native", "cc1", "--scheme", "shared-memory"]
    assert main(["replay", str(trace), "--out", str(tmp_path / "run"), *words]) == 0
    programs = load_workload(trace).programs
    pid = next(p for p, ops in programs.items() if any(op[2] == "cc1" for op in execs(ops)))
    line = refused(capsys, tmp_path / "run", "--pid", pid)
    assert "its last image, cc1, is not linked with Cygwin and has no cygheap" in line


def execs(ops):
    return [op for op in ops if op[0] == Op.EXEC]


def test_a_scenario_s_process_is_shown_at_its_point(capsys, ran):
    text = shown(capsys, ran, "--pid", 1, "--point", "way=nowait seconds=never")
    assert "when the run ended (blocked), making nat" in text
    assert " exec info " in text
    assert "at its exit" in shown(capsys, ran, "--pid", 1, "--point", "way=make jobs=4 seconds=2")
    assert "nearest: way=shell" in refused(capsys, ran, "--pid", 1, "--point", "way=shell")
    assert "allowed: 1, " in refused(capsys, ran, "--pid", 7)
