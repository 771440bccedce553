"""The simulated machine against recorded answers of the real API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "data" / "win32" / "cases.jsonl"
LINES = CASES.read_text(encoding="utf-8").splitlines()


def test_every_case_is_answered_as_windows_answers_it(cygsim):
    done = cygsim("machine", "check", str(CASES))
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-1] == f"{len(LINES)} passed, 0 failed, 0 skipped"


def test_falsified_outcomes_are_found(cygsim, tmp_path):
    false = []
    for line in LINES:
        case = json.loads(line)
        if case["windows"]["status"] != "same":
            continue
        for key, value in case["outcome"].items():
            if value in ("TIMEOUT", "OBJECT_0"):
                case["outcome"][key] = "OBJECT_0" if value == "TIMEOUT" else "TIMEOUT"
                false.append(json.dumps(case))
                break
    path = tmp_path / "false.jsonl"
    path.write_text("\n".join(false) + "\n", encoding="utf-8")
    done = cygsim("machine", "check", str(path))
    assert done.returncode == 1
    assert done.stdout.decode().splitlines()[-1].startswith(f"0 passed, {len(false)} failed")


@pytest.mark.parametrize("text", ["not json\n", '{"name": 1}\n', ""])
def test_what_is_no_case_file_is_refused_in_one_line(cygsim, tmp_path, text):
    path = tmp_path / "bad.jsonl"
    path.write_text(text, encoding="utf-8")
    done = cygsim("machine", "check", str(path))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert b"Traceback" not in done.stderr
