"""`cygsim order check`: lines, tally and exit codes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from scenarios import order_command
from sim.errors import InputError

LOGS = Path(__file__).parent / "data" / "msys1"
GOOD = LOGS / "cygwin-1.3.3" / "fork-exec-true.jsonl.gz"
SKIPPED = LOGS / "cygwin-1.3.3" / "chain-vary-200.jsonl.gz"
NO_CREATION = LOGS / "cygwin-1.3.3" / "collide-first-at.jsonl"


def lines(paths, scheme=None):
    out = io.StringIO()
    code = order_command.check_files(paths, scheme, out)
    return code, out.getvalue().splitlines()


def test_good_and_skipped_logs_are_told_and_counted():
    code, said = lines([GOOD, SKIPPED])
    assert code == 0
    assert said[0].startswith("fork-exec-true creations=2 calls=")
    assert said[0].endswith(" ok seeded=824+0")
    assert said[1].startswith("chain-vary-200 skipped: the arguments")
    assert said[2] == "1 passed, 0 failed, 1 skipped"


def test_a_log_without_a_creation_has_messages_and_codes_to_compare():
    code, said = lines([NO_CREATION])
    assert code == 0
    assert said[0] == "collide-first-at creations=0 calls=0 messages=2 codes=2 ok"


def test_a_scheme_of_another_time_is_a_mismatch():
    code, said = lines([GOOD], "blocking")
    assert code == 1
    assert said[0].startswith("fork-exec-true MISMATCH creation 1, call 59: real parent ")
    assert ", simulated parent " in said[0]
    assert said[1] == "0 passed, 1 failed, 0 skipped"


def test_a_scheme_with_a_heap_and_a_dll_without_one_are_not_compared():
    early = LOGS / "cygwin-1.1.3" / "fork-exec-cat.jsonl.gz"
    assert lines([early], "blocking")[1][0] == (
        "fork-exec-cat MISMATCH creation 1, call 67: real no cygheap, simulated a cygheap"
    )
    assert lines([GOOD], "1.1")[1][0].endswith("real a cygheap, simulated no cygheap")
    assert lines([early], "1.1")[0] == 0


def test_a_dll_that_is_not_modelled_is_skipped_with_a_reason(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"meta": {"dll_set": "msys-1.0.12-w98", "cmd": ""}}\n')
    assert lines([path]) == (
        0,
        [
            "log skipped: MSYS on 98 has no variant",
            "0 passed, 0 failed, 1 skipped",
        ],
    )


def test_a_dll_without_a_scheme_is_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"meta": {"dll_set": "cygwin-9", "cmd": ""}}\n')
    with pytest.raises(InputError, match="no scheme for the DLL"):
        lines([path])


def test_what_was_not_compared_is_counted():
    native = LOGS / "cygwin-1.3.3" / "spawn-nowait-native.jsonl.gz"
    _, said = lines([native, LOGS / "cygwin-1.3.3-w98" / "sock-fork.jsonl.gz"])
    assert said[0].endswith(" ok seeded=784+0 left_out=[1 heap commits]")
    assert said[1].endswith(" left_out=[1 waiter's end]")
