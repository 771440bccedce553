"""Runs on a Dask cluster: a real scheduler and two workers on loopback, started by the test."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from conftest import ROOT
from test_sim_pool import always_dies, dies_afterwards, dies_once, double, ran

from sim.errors import InputError
from sim.pool import Pool

pytest.importorskip("distributed", reason="needs the extra `cluster`")

from distributed import Client

from scenarios.cluster import workers

RUN = ["run", "fixed_address", "--set", "trees=50", "--set", "dlls=1,5", "--seed", "5"]
RUN += ["--replications", "4", "--json"]
REPLAY = ["replay", str(next((ROOT / "tests" / "data" / "traces").glob("*mini*"))), "--json"]
REPLAY += ["--replications", "2", "--scheme", "blocking", "--scheme", "shared-memory"]


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """The address of a scheduler that gives a task up when two workers have died of it."""
    file = folder / "scheduler.json"
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with dask("scheduler", *words, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1") as process:
        while not (file.exists() and file.read_text().endswith("}")):
            assert process.poll() is None
            time.sleep(0.02)
        yield json.loads(file.read_text())["address"]


@contextmanager
def dask(kind: str, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
             **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()  # a nanny ends the worker that it looks after
        process.wait()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dask")
    with scheduler(folder) as found:
        one = [found, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
        with dask("worker", *one), dask("worker", *one):
            with Client(found, timeout=120, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=120)
            yield found


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler that nobody works for."""
    with scheduler(tmp_path_factory.mktemp("dask")) as found:
        yield found


def unwalled(document: bytes) -> bytes:
    return re.sub(rb'"ran": .*', b"", document, flags=re.DOTALL)


@pytest.mark.parametrize("words", [RUN, REPLAY], ids=["run", "replay"])
def test_a_cluster_writes_what_one_process_writes(cygsim, address, words):
    here = cygsim(*words)
    there = cygsim(*words, "--cluster", address)
    assert there.returncode == 0, there.stderr
    assert there.stderr == b""
    assert unwalled(there.stdout) == unwalled(here.stdout)


def test_a_worker_that_dies_costs_nothing(tmp_path, address):
    pool = Pool(partial(dies_once, tmp_path), partial(workers, address))
    assert ran(pool, 20) == {n: 2 * n for n in range(20)}
    assert (tmp_path / "died").exists()
    assert pool.given_up == []


def test_a_worker_that_dies_with_results_costs_nothing(tmp_path, address):
    pool = Pool(partial(dies_afterwards, tmp_path), partial(workers, address))
    assert ran(pool, 20) == {n: 2 * n for n in range(20)}


def test_a_task_that_kills_its_workers_is_given_up_and_the_others_run(address):
    pool = Pool(always_dies, partial(workers, address))
    assert ran(pool, 20) == {n: 2 * n for n in range(20) if n != 3}
    assert pool.given_up == [3]


def test_another_version_of_the_program_is_refused(monkeypatch, address):
    monkeypatch.setattr("scenarios.cluster.program_versions", lambda: {"cygsim": "0.0"})
    with pytest.raises(InputError, match=r"a worker has cygsim .*; 0\.0, as here"):
        ran(Pool(double, partial(workers, address)), 2)


def test_a_scheduler_without_workers_is_refused(cygsim, lonely):
    asked = cygsim(*RUN, "--cluster", lonely)
    assert asked.returncode == 2
    line = f"cygsim: --cluster {lonely}: the scheduler has no worker; dask worker {lonely}\n"
    assert asked.stderr.decode() == line


def test_when_the_last_worker_is_gone_a_run_does_not_wait_for_ever(tmp_path, monkeypatch, lonely):
    monkeypatch.setattr("scenarios.cluster._NEXT_WORKER_S", 0.1)
    words = [lonely, "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path)]
    with dask("worker", *words):
        with Client(lonely, timeout=120, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=120)
        with pytest.raises(InputError, match="the scheduler has no worker"):
            ran(Pool(always_dies, partial(workers, lonely)), 20)


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:9", "nowhere"])
def test_where_no_scheduler_answers_one_line_says_so(cygsim, where):
    asked = cygsim(*RUN, "--cluster", where)
    assert asked.returncode == 2
    (line,) = asked.stderr.decode().splitlines()
    assert re.fullmatch(rf"cygsim: --cluster {where}: no scheduler answers \(.*\); .*", line)
    assert asked.stdout == b""


def test_another_kind_of_server_is_refused(cygsim):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(2):  # the first look, and Dask's own
                with server.accept()[0] as peer:
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        where = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        asked = cygsim(*RUN, "--cluster", where)
        thread.join(30)
    assert asked.returncode == 2
    (line,) = asked.stderr.decode().splitlines()
    assert line.startswith(f"cygsim: --cluster {where}: ")
    assert line.endswith("; tcp://HOST:PORT")


def test_without_dask_the_extra_is_named(python):
    words = [*RUN, "--cluster", "tcp://127.0.0.1:9"]
    asked = python("-c", "import sys; sys.modules['dask'] = None; "
                   f"from scenarios.__main__ import main; sys.exit(main({words}))")  # fmt: skip
    assert asked.returncode == 2
    assert asked.stderr.decode() == (
        "cygsim: --cluster: Dask distributed is not installed; pip install 'cygsim[cluster]'\n"
    )


def test_jobs_and_a_cluster_are_not_both_taken(cygsim):
    asked = cygsim(*RUN, "--cluster", "tcp://127.0.0.1:9", "--jobs", "2")
    assert asked.returncode == 2
    assert asked.stderr.startswith(b"cygsim: --jobs: ")
