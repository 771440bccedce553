"""A run that is killed goes on where it was, and ends with the same bytes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from conftest import ROOT

from scenarios.tasks import Tasks
from sim.encoded import encoded
from sim.journal import FILE, Journal
from sim.results import Manifest, RunDirectory, open_run
from sim.streams import Replication

DATA = Path(__file__).parent / "data"
RUN = ["run", "exec_latency", "--quick", "--replications", "3", "--seed", "5"]
MINI = str(next((DATA / "traces").glob("*mini*")))
REPLAY = ["replay", MINI, "--replications", "4", "--seed", "5"]


def files(folder: Path) -> dict[str, bytes]:
    """All that a run wrote, but for its journal and wall-clock figures."""
    return {
        path.name: re.sub(rb'"ran": .*', b"", path.read_bytes(), flags=re.DOTALL)
        for path in folder.iterdir()
        if path.suffix in (".csv", ".json", ".svg")
    }


def document(stdout: bytes) -> bytes:
    return re.sub(rb'"ran": .*', b"", stdout, flags=re.DOTALL)


def all_of(runs: Tasks, directory: RunDirectory | None) -> list:
    with runs.results(directory) as found:
        return list(found)


@pytest.mark.parametrize("words", [RUN, REPLAY], ids=["run", "replay"])
def test_killed_at_any_moment_it_ends_alike(cygsim, tmp_path, words):
    began = time.monotonic()
    undisturbed = cygsim(*words, "--json", "--out", tmp_path / "whole")
    took = time.monotonic() - began
    assert undisturbed.returncode == 0, undisturbed.stderr
    moments = Replication(1, 0).stream("tests/kill")
    out = tmp_path / "killed"
    for jobs in (1, 2):
        process = subprocess.Popen(
            [sys.executable, "-m", "scenarios", *words, "--jobs", str(jobs), "--out", str(out)],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(took * moments.uniform(0.3, 0.8))
        process.kill()
        process.wait()
    for jobs in (2, 1):
        ended = cygsim(*words, "--jobs", jobs, "--json", "--out", out)
        assert ended.returncode == 0, ended.stderr
        assert document(ended.stdout) == document(undisturbed.stdout)
        assert files(out) == files(tmp_path / "whole")


def test_what_is_finished_is_not_run_again(tmp_path, monkeypatch):
    calls: list[int] = []

    def work(number: int) -> int:
        calls.append(number)
        if number == 2 and len(calls) == 3:
            raise KeyboardInterrupt
        return number * number

    manifest = Manifest(["run", "squares"], 1, {}, {})
    runs = Tasks(work, range(5), [f"square {n}" for n in range(5)], 1)
    directory: RunDirectory = open_run(tmp_path / "out", manifest)
    with pytest.raises(KeyboardInterrupt, match="2 of 5 runs are kept"):
        all_of(runs, directory)
    assert all_of(runs, open_run(tmp_path / "out", manifest)) == [0, 1, 4, 9, 16]
    assert calls == [0, 1, 2, 2, 3, 4]
    assert all_of(runs, open_run(tmp_path / "out", manifest)) == [0, 1, 4, 9, 16]
    assert len(calls) == 6


def test_a_damaged_record_is_run_again_and_said(tmp_path, capsys):
    manifest = Manifest(["run", "squares"], 1, {}, {})
    directory = open_run(tmp_path / "out", manifest)
    with Journal(directory.path, manifest.digest()) as journal:
        journal.add([("square 0", encoded(0))])
        journal._base.execute("UPDATE record SET content = x'00'")
    runs = Tasks(lambda n: n * n, [0], ["square 0"], 1)
    assert all_of(runs, directory) == [0]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cygsim: note: ")
    assert line.endswith("1 damaged (square 0); run again")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C goes to a console there")
def test_ctrl_c_says_what_is_kept(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "scenarios", *RUN[:-3], "500", "--jobs", "2", "--out", str(out)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for _ in range(400):
        time.sleep(0.05)
        if (out / f"{FILE}-wal").exists() and (out / f"{FILE}-wal").stat().st_size > 100_000:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = said.decode().splitlines()
    assert re.fullmatch(
        rf"cygsim: interrupted; \d+ of 1500 runs are kept in {re.escape(str(out))}, and the same "
        "command goes on with the rest",
        line,
    )
