"""The pool: each task once, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_all_start_methods
from pathlib import Path

import pytest

from sim.encoded import decoded
from sim.pool import Pool, Workers, processes


def double(number: int) -> int:
    return 2 * number


def dies_once(folder: Path, number: int) -> int:
    """Task 3 ends its worker the first time."""
    mark = folder / "died"
    if number == 3 and not mark.exists():
        mark.touch()
        os._exit(1)
    return 2 * number


def dies_afterwards(folder: Path, number: int) -> int:
    """Every seventh task ends its worker a moment after its own end, once."""
    mark = folder / f"died{number}"
    if number % 7 == 0 and not mark.exists():
        mark.touch()
        threading.Timer(0.0005 * number, os._exit, [1]).start()
    return 2 * number


def always_dies(number: int) -> int:
    if number == 3:
        os._exit(1)
    return 2 * number


def fails(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def ran(pool: Pool, count: int) -> dict[int, int]:
    found: dict[int, int] = {}
    for batch in pool.run(range(count), range(count)):
        for number, content in batch:
            assert number not in found
            found[number] = decoded(content)
    return found


def test_each_task_has_its_result():
    assert ran(Pool(double, processes(2)), 50) == {n: 2 * n for n in range(50)}


def test_a_worker_that_dies_costs_nothing(tmp_path):
    pool = Pool(partial(dies_once, tmp_path), processes(2))
    assert ran(pool, 20) == {n: 2 * n for n in range(20)}
    assert pool.rebuilt == 1
    assert pool.given_up == []


def test_a_worker_that_dies_with_results_costs_nothing(tmp_path):
    assert ran(Pool(partial(dies_afterwards, tmp_path), processes(2)), 20) == {
        n: 2 * n for n in range(20)
    }


def test_a_task_that_kills_its_worker_is_given_up_and_the_others_run():
    pool = Pool(always_dies, processes(2))
    assert ran(pool, 20) == {n: 2 * n for n in range(20) if n != 3}
    assert pool.given_up == [3]


def test_any_executor_is_taken():
    def threads(work):
        return Workers(ThreadPoolExecutor(3), work, 5)

    assert ran(Pool(double, threads), 50) == {n: 2 * n for n in range(50)}


@pytest.mark.parametrize("method", get_all_start_methods())
def test_processes_are_started_in_any_way(method):
    assert ran(Pool(double, processes(2, method)), 5) == {n: 2 * n for n in range(5)}


def test_an_error_arrives_as_itself():
    with pytest.raises(ValueError, match="three"):
        ran(Pool(fails, processes(2)), 20)


ORPHANS = """
import os, time
from sim.pool import Pool, Workers, processes

def slow(number):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(30)

for _ in Pool(slow, processes(2)).run(range(2), range(2)):
    pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="asks by signal 0 whether a process is there")
def test_workers_end_with_a_parent_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    for worker in workers:
        for _ in range(200):
            try:
                os.kill(worker, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            os.kill(worker, signal.SIGKILL)
            pytest.fail("a worker outlived its parent")
    parent.stdout.close()
