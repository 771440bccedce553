"""Real logs of 1.5.18 and 1.7.7, falsified: what the check must find in them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from falsified_logs import events, place, verdict

from models.cygwin import schemes
from models.cygwin.call_check import check
from models.cygwin.call_log import read_log
from models.cygwin.call_versions import variants

LOGS = Path(__file__).parent / "data" / "msys1"
FORK = LOGS / "cygwin-1.5.18" / "fork-exec-true.jsonl.gz"
RACE = LOGS / "cygwin-1.5.18" / "spawn-detach-cyg.jsonl.gz"
FREED = LOGS / "cygwin-1.5.18" / "spawn-nowait-cyg.jsonl.gz"
CHAIN = LOGS / "cygwin-1.5.18" / "chain-const-200.jsonl.gz"
LEAKS = LOGS / "cygwin-1.1.8-rebuilt" / "chain-noscript-60.jsonl.gz"
NATIVE = LOGS / "cygwin-1.7.7" / "spawn-vfork-native.jsonl.gz"
READS = LOGS / "cygwin-1.7.7" / "fork-exec-true.jsonl.gz"


def no_wait_for_the_child(rows):
    for phase in ("call", "return"):
        del rows[place(rows, "WaitForMultipleObjects", phase, ms=300000)]


def swapped(rows):
    i = place(rows, "CreatePipe", size=16)
    rows[i], rows[i + 1] = rows[i + 1], rows[i]


def no_word_of_signals(rows):
    del rows[place(rows, "WaitForSingleObject", "call", hs=["E17"])]


def heap_not_whole(rows):
    rows[place(rows, "ReadProcessMemory", size=8704)]["args"]["done"] = 4096


def another_size(rows):
    info = rows[place(rows, "CreateProcess", "call", image="true.exe")]["args"]["child_info"]
    info["n"] += 40
    rows[place(rows, "ReadProcessMemory", size=8704)]["args"].update(size=8744, done=8744)


def pipe_not_handed_on(rows):
    del rows[place(rows, "DuplicateHandle", dst_proc="P3", src="PIPE2.w")]


def parent_closed_late(rows):
    i = place(rows, "CloseHandle", h="P2.proc", hv="0x110")
    rows[i], rows[i + 1] = rows[i + 1], rows[i]


@pytest.mark.parametrize(
    "falsify",
    [no_wait_for_the_child, swapped, no_word_of_signals, heap_not_whole, another_size,
     pipe_not_handed_on, parent_closed_late],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_a_falsified_log_of_1_5_18_is_found(tmp_path, falsify):
    rows = events(FORK)
    assert verdict(tmp_path, rows).difference is None
    falsify(rows)
    assert verdict(tmp_path, rows).difference is not None


def test_the_lost_race_is_in_the_log_the_run_and_the_message(tmp_path):
    rows = events(RACE)
    found = verdict(tmp_path, rows)
    assert (found.difference, found.messages) == (None, 1)
    won = [dict(row) for row in rows]
    read = won[place(won, "ReadProcessMemory")]
    read["args"] = {**read["args"], "done": read["args"]["size"], "ret": 1}
    assert verdict(tmp_path, won).difference is not None
    del rows[place(rows, "TerminateProcess", "call")]
    assert verdict(tmp_path, rows).difference is not None


def test_a_race_that_nobody_told_of_is_found(tmp_path):
    rows = events(RACE)
    rows[0]["meta"]["stderr"] = ""
    assert verdict(tmp_path, rows).difference is not None


def test_what_dies_of_its_parent_s_freeing_dies_with_139(tmp_path):
    rows = events(FREED)
    assert verdict(tmp_path, rows).difference is None
    rows[place(rows, "ExitProcess", "call", code=139)]["args"]["code"] = 0
    assert "139" not in str(rows[0])
    found = verdict(tmp_path, rows).difference
    assert found is not None
    assert "0x8b" in found.simulated


def test_a_chain_of_1_5_18_loses_nothing_after_its_first_programs(tmp_path):
    rows = events(CHAIN)
    found = verdict(tmp_path, rows)
    assert (found.difference, found.creations, found.deviations) == (None, 201, 1)
    infos = [r["args"]["child_info"] for r in rows if "child_info" in r.get("args", {})]
    for info in infos[170:]:  # behind the pids that come back
        info["n"] += 40
    found = verdict(tmp_path, rows).difference
    assert found is not None
    assert found.creation == 171


def no_wait_for_the_native(rows):
    for phase in ("call", "return"):
        del rows[place(rows, "WaitForMultipleObjects", phase, hs=["P2.proc"])]


def an_event_for_the_native(rows):
    rows[place(rows, "CreateProcess", "call")]["args"]["child_info"]["subproc_ready"] = "?f8"


def test_a_falsified_log_of_1_7_7_is_found(tmp_path):
    for falsify in (no_wait_for_the_native, an_event_for_the_native):
        rows = events(NATIVE)
        assert verdict(tmp_path, rows).difference is None
        falsify(rows)
        assert verdict(tmp_path, rows).difference is not None


def test_what_a_fork_child_of_1_7_7_reads_and_its_parent_writes_is_compared(tmp_path):
    for api, size in (("ReadProcessMemory", 36260), ("WriteProcessMemory", 14328)):
        rows = events(READS)
        del rows[place(rows, api, size=size)]
        assert verdict(tmp_path, rows).difference is not None


def test_the_80_bytes_of_each_exec_of_1_1_8_come_out_of_the_run(tmp_path):
    """Two names of its directory, 40 bytes each, that a new image finds out anew."""
    rows = events(LEAKS)
    found = verdict(tmp_path, rows)
    assert (found.difference, found.deviations, found.creations) == (None, 0, 61)
    infos = [r["args"]["child_info"] for r in rows if "child_info" in r.get("args", {})]
    grown = {b["n"] - a["n"] for a, b in pairwise(infos[1:])}
    assert grown == {80}
    infos[40]["n"] += 8
    assert verdict(tmp_path, rows).difference is not None


def test_a_1_1_8_that_knew_its_directory_would_not_grow(tmp_path):
    log = read_log(LEAKS)
    variant = variants(schemes.get)[log.dll_set]
    version = replace(variant.version, directory=None)
    found = check(log, replace(variant, version=version)).difference
    assert found is not None
