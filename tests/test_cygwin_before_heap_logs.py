"""Real logs of 1.1.1 and 1.1.3, falsified: what the check must find in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from falsified_logs import events, place, verdict

LOGS = Path(__file__).parent / "data" / "msys1"
FORK = LOGS / "cygwin-1.1.3" / "fork-exec-cat.jsonl.gz"
ORPHAN = LOGS / "cygwin-1.1.3" / "exec-overlay-cat.jsonl.gz"
NATIVE = LOGS / "cygwin-1.1.3" / "native-fg.jsonl.gz"
PIPED = LOGS / "cygwin-1.1.1" / "pipe2.jsonl.gz"


def no_first_wait(rows):
    for phase in ("call", "return"):
        del rows[place(rows, "WaitForMultipleObjects", phase, ms=300000)]


def child_runs_while_it_is_written(rows):
    del rows[place(rows, "SuspendThread")]


def stopped_too_late(rows):
    i, j = place(rows, "SuspendThread"), place(rows, "WriteProcessMemory")
    rows[i], rows[j] = rows[j], rows[i]


def let_go_before_it_is_told(rows):
    j = place(rows, "ResumeThread")
    i = max(k for k in range(j) if rows[k].get("api") == "SetEvent")
    rows[i], rows[j] = rows[j], rows[i]


def data_of_another_size(rows):
    row = rows[place(rows, "WriteProcessMemory", addr="0x61082000")]
    row["args"].update(size=22440, done=22440)


def stack_of_another_place(rows):
    row = rows[place(rows, "WriteProcessMemory", nth=3)]
    assert row["args"]["addr"].startswith("0x241")
    row["args"]["addr"] = "0x241e000"


def stub_does_not_wait(rows):
    for phase in ("call", "return"):
        del rows[place(rows, "WaitForMultipleObjects", phase, ms="INFINITE")]


def exec_not_suspended(rows):
    args = rows[place(rows, "CreateProcess", "call", image="cat.exe")]["args"]
    args["flags"] = args["flags"].replace("CREATE_SUSPENDED|", "")


def parent_s_thread_not_handed_on(rows):
    del rows[place(rows, "DuplicateHandle", inherit=1, src="?90")]


def another_thread_handed_on(rows):
    """The child is to hear of its stub's end, not of its parent's."""
    row = rows[place(rows, "DuplicateHandle", src_proc="P3", src="?90")]
    row["args"]["src"] = "P2.t3.thread"


def image_given_to_somebody_else(rows):
    row = rows[place(rows, "DuplicateHandle", src_proc="P2", src="P3.proc")]
    row["args"]["dst_proc"] = "P3"


def image_not_given(rows):
    del rows[place(rows, "DuplicateHandle", src_proc="P2", src="P3.proc")]


def table_not_locked(rows):
    i = place(rows, "ResumeThread", h="P3.t1.thread")
    del rows[i - 3 : i]
    assert all(row["api"] != "ReleaseMutex" for row in rows[i - 4 : i])


@pytest.mark.parametrize(
    "falsify",
    [no_first_wait, child_runs_while_it_is_written, stopped_too_late, let_go_before_it_is_told,
     data_of_another_size, stack_of_another_place, stub_does_not_wait, exec_not_suspended,
     parent_s_thread_not_handed_on, another_thread_handed_on, image_given_to_somebody_else,
     image_not_given, table_not_locked],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_a_falsified_log_of_1_1_3_is_found(tmp_path, falsify):
    rows = events(FORK)
    assert verdict(tmp_path, rows).difference is None
    falsify(rows)
    assert verdict(tmp_path, rows).difference is not None


def test_the_native_holds_its_stub_by_nothing_but_its_end(tmp_path):
    rows = events(NATIVE)
    assert verdict(tmp_path, rows).difference is None
    row = rows[place(rows, "WaitForMultipleObjects", "return", ms="INFINITE", woke="P3.proc")]
    row["args"].update(woke="E23", ret=2)
    assert verdict(tmp_path, rows).difference is not None


def test_a_stub_without_a_parent_that_leaves_is_found(tmp_path):
    rows = events(ORPHAN)
    assert verdict(tmp_path, rows).difference is None
    for phase in ("call", "return"):
        del rows[place(rows, "WaitForMultipleObjects", phase, hs=["P2.proc"])]
    assert verdict(tmp_path, rows).difference is not None


def test_a_fork_child_of_1_1_1_closes_its_parent_before_it_says_so(tmp_path):
    """In 1.1.3 it is the other way round."""
    rows = events(PIPED)
    assert verdict(tmp_path, rows).difference is None
    i = place(rows, "CloseHandle", h="P1.proc", nth=2)
    assert (rows[i]["pid"], rows[i + 1]["api"]) == ("P2", "SetEvent")
    rows[i], rows[i + 1] = rows[i + 1], rows[i]
    assert verdict(tmp_path, rows).difference is not None
