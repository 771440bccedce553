"""`cygsim run growth_window`: what the guard of 3.6.5 keeps from a child."""

from __future__ import annotations

import json

import pytest

from models.cygwin.cygheap.modern_chain import Request
from models.cygwin.cygheap.modern_layout import M
from models.cygwin.cygheap.modern_window import create, fill_first_commit, parent_heap

SET = Request((2, 2), (20, 9))
KINDS = pytest.mark.parametrize("execed", [False, True])


@KINDS
def test_growth_in_the_window_costs_the_child_every_block(execed):
    heap = parent_heap(M, SET)
    blocks = len(list(heap.chain()))
    found = create(heap, execed, guarded=False, n=5000)
    assert found == (0, blocks, "ends", "never ends")


@KINDS
def test_the_guard_keeps_every_block(execed):
    heap = parent_heap(M, SET)
    blocks = len(list(heap.chain()))
    assert create(heap, execed, guarded=True, n=5000) == (blocks, 0, "ends", "ends")


@KINDS
def test_a_block_from_a_free_list_does_no_harm(execed):
    heap = parent_heap(M, SET)
    heap.cfree(heap.cmalloc(3, 5000))
    found = create(heap, execed, guarded=False, n=5000)
    assert (found.lost, found.second) == (0, "ends")


@KINDS
def test_growth_beyond_the_first_commit_faults_at_its_end(execed):
    heap = parent_heap(M, SET)
    fill_first_commit(heap)
    assert heap.max == M.first_commit_bytes
    assert create(heap, execed, guarded=False, n=5000).first == "faults at 0x800300000"


def test_the_report(cygsim, tmp_path):
    done = cygsim("run", "growth_window", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    table = done.stdout.decode().split("\n\n")[1].splitlines()
    assert max(map(len, table)) <= 80
    assert len(table) == 13
    assert "fork   fresh       off    0     35    ends                   never ends" in table
    assert (tmp_path / "out" / "blocks_lost.png").exists()


@pytest.mark.parametrize("setting", ["bytes_allocated=2000000", "lengths=-1"])
def test_bad_input_is_one_line_and_exit_2(cygsim, setting):
    done = cygsim("run", "growth_window", "--set", setting)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_size_that_a_list_could_serve_gives_way_to_a_fresh_block(cygsim):
    done = cygsim("run", "growth_window", "--set", "bytes_allocated=280", "--json")
    document = json.loads(done.stdout)
    found = {r["point"]: r["value"] for r in document["results"] if r["measure"] == "blocks_lost"}
    assert found["child=fork allocation=fresh guard=off"] > 0
    assert found["child=fork allocation=fresh guard=on"] == 0
