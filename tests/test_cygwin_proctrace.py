"""Recorded traces are read as they are, and whatever is wrong with one names its line."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from models.cygwin.compile_trace import load_workload
from models.cygwin.proctrace import ProcTrace
from sim.errors import InputError

TRACES = sorted((Path(__file__).parent / "data" / "traces").glob("*.jsonl.gz"))

TABLE = [[0, "t", 0, 0], [1, "t", 0, 0], [2, "t", 0, 0]]
HEAD = {
    **{"ev": "trace", "schema": "proctrace/1", "recorder": "ptrec", "name": "two", "what": "x"},
    **{"env_profile": "cyg", "sh": "bash", "cpus": 2, "stdio": "ttt"},
}
ROOT_EXEC = {
    **{"t": 0.001, "pid": 1, "ev": "exec", "prog": "sh", "img": "bash", "nth": 1, "us": 100},
    **{"cpu": 100, "kcpu": 50, "argv": [2], "env": 1, "fds": TABLE, "cwd": 7},
}


def rows() -> list[dict]:
    """A small good trace: line 4 is a fork, 5 a pipe, 6 a write, 7 the exit of the child."""
    mem = {"heap": 132, "stk": 132}
    body = [
        {"t": 0.001, "pid": 0, "ev": "env_def", "env": 1, "envc": 1, "bytes": 7, "lens": [6]},
        ROOT_EXEC,
        {
            **{"t": 0.002, "pid": 1, "ev": "fork", "child": 2, "prog": "sh", "us": 50},
            **{"cpu": 300, "kcpu": 20, "mem": mem, "fds": TABLE},
        },
        {"t": 0.003, "pid": 2, "ev": "pipe", "fd": 3, "wfd": 4, "k": "p", "ob": 1, "cx": 0},
        {"t": 0.004, "pid": 2, "ev": "wr", "fd": 4, "k": "p", "ob": 1, "n": 5, "c": 1, "us": 3},
        {"t": 0.005, "pid": 2, "ev": "exit", "code": 0, "prog": "sh", "nexec": 0, "cpu": 90},
        {"t": 0.006, "pid": 1, "ev": "wait_poll", "for": -1, "got": 2, "code": 0, "cpu": 400},
        {"t": 0.007, "pid": 1, "ev": "exit", "code": 0, "prog": "sh", "nexec": 1, "cpu": 500},
    ]
    counts: dict[str, int] = {}
    for row in body:
        counts[row["ev"]] = counts.get(row["ev"], 0) + 1
    tail = {"t": 0.007, "pid": 0, "ev": "end", "events": len(body), "counts": counts}
    return [dict(row) for row in (HEAD, *body, tail)]


def text_of(some: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in some).encode()


@pytest.fixture
def written(tmp_path):
    def write(content: bytes, name: str = "t.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def refused(path: object) -> InputError:
    with pytest.raises(InputError) as caught:
        load_workload(path)
    return caught.value


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_every_row_of_a_recorded_trace_is_given_in_order(path):
    lines = gzip.decompress(path.read_bytes()).splitlines()
    trace = ProcTrace(path)
    got = list(trace.rows())
    assert trace.header == json.loads(lines[0])
    assert [row for _, row in got] == [json.loads(line) for line in lines[1:-1]]
    assert [line for line, _ in got] == list(range(2, len(lines)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda raw: raw, id="plain"),
        pytest.param(gzip.compress, id="gzip"),
        pytest.param(lambda raw: gzip.compress(raw[:500]) + gzip.compress(raw[500:]), id="members"),
        pytest.param(lambda raw: gzip.compress(raw) + b"\0" * 512, id="padded"),
        pytest.param(lambda raw: raw.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(lambda raw: b"\xef\xbb\xbf" + raw, id="byte-order mark"),
        pytest.param(lambda raw: raw.rstrip(b"\n"), id="no last line feed"),
        pytest.param(lambda raw: raw + b"\n\r\n", id="empty lines at the end"),
    ],
)
def test_the_same_text_in_other_clothes_is_the_same_trace(written, change):
    want = load_workload(written(text_of(rows())))
    assert load_workload(written(change(text_of(rows())))) == want


def test_a_dash_is_standard_input(monkeypatch):
    raw = io.TextIOWrapper(io.BytesIO(gzip.compress(text_of(rows()))))
    monkeypatch.setattr(sys, "stdin", raw)
    workload = load_workload("-")
    assert workload.counts.processes == 2
    assert workload.where == "stdin"


def test_what_the_recorder_does_is_accepted(written):
    """Waits before the exit, for nothing and failed; kills of 0 and of the dead; failed calls."""
    some = rows()
    some[6], some[7] = some[7], some[6]
    some[6]["t"] = some[7]["t"]
    wait = {"t": 0.007, "pid": 1, "ev": "wait_end", "got": 0, "code": 0, "err": 10, "us": 1}
    kill = {"t": 0.007, "pid": 1, "ev": "kill", "to": 0, "sig": 15}
    call = {"t": 0.007, "pid": 1, "ev": "connect", "fd": 9, "err": 2, "us": 1}
    some[8:8] = [wait, kill, {**kill, "to": 2}, call]
    some[-1]["events"] += 4
    some[-1]["counts"].update(wait_end=1, kill=2, connect=1)
    assert load_workload(written(text_of(some))).counts.processes == 2


DROP = object()
BAD_ROWS = [
    ("unknown event", 5, {"ev": "nonsense"}, "unknown event"),
    ("event of no name", 5, {"ev": ["pipe"]}, "unknown event"),
    ("no event", 5, {"ev": DROP}, "unknown event"),
    ("unknown pid", 5, {"pid": 99999}, "no process born so far"),
    ("pid is true", 5, {"pid": True}, "no process born so far"),
    ("pid is a fraction", 5, {"pid": 2.0}, "no process born so far"),
    ("pid of the recorder", 5, {"pid": 0}, "no process born so far"),
    ("exited", 8, {"pid": 2}, "after its exit on line 7"),
    ("negative time", 5, {"t": -5}, "seconds since the start"),
    ("time is text", 5, {"t": "0.003"}, "seconds since the start"),
    ("time is true", 5, {"t": True}, "seconds since the start"),
    ("no time", 5, {"t": DROP}, "seconds since the start"),
    ("huge time", 5, {"t": 1e300}, "seconds since the start"),
    ("infinite time", 5, {"t": 1e999}, "no NaN"),
    ("time is no number", 5, {"t": float("nan")}, "no NaN"),
    ("time backwards", 6, {"t": 0.0029}, "time does not run backwards"),
    ("last return before the first", 6, {"te": 0.001}, '"te"'),
    ("negative fd", 5, {"fd": -1}, '"fd":-1'),
    ("huge fd", 5, {"fd": 1 << 40}, '"fd"'),
    ("fd is text", 5, {"fd": "3"}, '"fd":"3"'),
    ("fd is true", 5, {"fd": True}, '"fd":true'),
    ("no fd", 5, {"fd": DROP}, '"fd" is missing in pipe'),
    ("negative bytes", 6, {"n": -1}, '"n":-1'),
    ("huge bytes", 6, {"n": 1 << 90}, '"n"'),
    ("negative microseconds", 6, {"us": -3}, '"us":-3'),
    ("unknown kind", 6, {"k": "z"}, '"k":"z"'),
    ("kind is a list", 6, {"k": []}, '"k"'),
    ("second birth of a child", 4, {"child": 1}, "process 1 exists already"),
    ("child of no number", 4, {"child": 0}, "a new pid above 0"),
    ("child is text", 4, {"child": "2"}, '"child"'),
    ("no table", 4, {"fds": DROP}, '"fds" is missing'),
    ("table of numbers", 4, {"fds": [1, 2]}, '"fds"'),
    ("negative fd in a table", 4, {"fds": [[-1, "t", 0, 0]]}, '"fds"'),
    ("flag is true", 4, {"fds": [[1, "t", 0, True]]}, '"fds"'),
    ("kind of no name", 4, {"fds": [[1, [], 0, 0]]}, '"fds"'),
    ("memory is a number", 4, {"mem": 5}, '"mem"'),
    ("huge heap", 4, {"mem": {"heap": 1 << 60}}, '"heap"'),
    ("argv is text", 3, {"argv": "sh"}, '"argv"'),
    ("negative argv", 3, {"argv": [-2]}, '"argv"'),
    ("huge argv", 3, {"argv": [1 << 50]}, '"argv"'),
    ("fraction in argv", 3, {"argv": [2.5]}, '"argv"'),
    ("undefined environment", 3, {"env": 7}, "environment 7 is not defined"),
    ("no program", 3, {"prog": DROP}, '"prog" is missing'),
    ("program is a number", 3, {"img": 3}, '"img":3'),
    ("environment is text", 2, {"lens": "abc"}, '"lens"'),
    ("exit of no kind", 7, {"code": DROP}, '"code" is missing in exit'),
    ("wait for a stranger", 8, {"got": 77}, '"got":77'),
    ("count is text", 10, {"counts": {"fork": "1"}}, '"counts"'),
    ("counts differ", 10, {"events": 9}, "8 rows were read"),
    ("a count differs", 10, {"counts": {"fork": 2}}, "rows were read"),
    ("no counts", 10, {"counts": DROP}, '"counts" is missing'),
    (
        "wrong schema",
        1,
        {"schema": "proctrace/9"},
        'schema "proctrace/9"; this reads "proctrace/1"',
    ),
    ("no schema", 1, {"schema": DROP}, "this reads"),
    ("no header", 1, {"ev": "fork"}, "a header"),
    ("no processors", 1, {"cpus": 0}, '"cpus":0'),
    ("processors are true", 1, {"cpus": True}, '"cpus":true'),
    ("no name", 1, {"name": DROP}, '"name" is missing'),
]


@pytest.mark.parametrize(
    ("line", "change", "said"), [case[1:] for case in BAD_ROWS], ids=[case[0] for case in BAD_ROWS]
)
def test_a_wrong_field_is_named_with_its_line(written, line, change, said):
    some = rows()
    for key, value in change.items():
        if value is DROP:
            del some[line - 1][key]
        else:
            some[line - 1][key] = value
    path = written(text_of(some))
    error = refused(path)
    if said == "no NaN" and "1e999" in str(change):  # JSON readers take it for infinity
        said = "seconds since the start"
    assert str(error.args[0]) == f"{path}:{line}"
    assert said in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 600


RAW = text_of(rows())
LINES = RAW.splitlines(keepends=True)
BAD_FILES = [
    ("empty", b"", 1, "empty"),
    ("empty gzip", gzip.compress(b""), 1, "empty"),
    ("only a line feed", b"\n", 1, "not JSON"),
    ("random bytes", np.random.default_rng(1).bytes(3000), 1, "not UTF-8"),
    ("UTF-16", RAW.decode().encode("utf-16"), 1, "not UTF-8"),
    ("no trailer", b"".join(LINES[:-1]), 9, "without its trailer"),
    ("only the header", LINES[0], 1, "without its trailer"),
    ("cut line", RAW[:-20], 10, "not JSON"),
    ("cut gzip", gzip.compress(RAW)[:-40], None, "cut"),
    ("gzip without its end", gzip.compress(RAW)[:-4], None, "cut"),
    ("damaged gzip", gzip.compress(RAW)[:60] + b"\0" * 80, None, "damaged"),
    ("wrong sum", gzip.compress(RAW)[:-8] + b"\0" * 8, None, "damaged"),
    ("something behind the gzip", gzip.compress(RAW) + b"behind", None, "damaged"),
    ("gzip magic only", b"\x1f\x8b", None, "cut"),
    ("a list", b"[1,2]\n" + RAW, 1, "not an object"),
    ("not UTF-8", b"".join(LINES[:4]) + b"\xff\n" + b"".join(LINES[4:]), 5, "not UTF-8"),
    ("not JSON", b"".join(LINES[:4]) + b"{'a':1}\n" + b"".join(LINES[4:]), 5, "not JSON"),
    ("two on a line", RAW.replace(b"\n", b"", 2), 1, "not JSON"),
    ("deep", LINES[0] + b"[" * 100_000 + b"\n", 2, "not JSON"),
    ("many digits", LINES[0] + b'{"t":' + b"9" * 10_000 + b"}\n", 2, "not JSON"),
    ("something follows", RAW + LINES[3], 11, "follows the trailer"),
    ("two trailers", RAW + LINES[-1], 11, "follows the trailer"),
    ("long line", LINES[0] + b" " * (5 << 20), 2, "more than 4 MiB"),
]


@pytest.mark.parametrize(
    ("raw", "line", "said"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES]
)
def test_a_damaged_file_is_refused_with_a_line(written, raw, line, said):
    path = written(raw)
    error = refused(path)
    assert re.fullmatch(re.escape(str(path)) + r":\d+", error.args[0])
    assert line is None or error.args[0] == f"{path}:{line}"
    assert said in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("count", [1, 30, 500])
def test_the_first_lines_of_a_recorded_trace_are_refused(written, count):
    lines = gzip.decompress(TRACES[0].read_bytes()).splitlines(keepends=True)
    path = written(b"".join(lines[:count]))
    assert str(refused(path)).startswith(f"{path}:{count}: the trace ends without its trailer")


def test_a_cut_recorded_trace_is_refused(written):
    path = written(TRACES[-1].read_bytes()[:4000], "cut.jsonl.gz")
    assert "the gzip file is cut" in str(refused(path))


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    assert "No such file" in str(refused(tmp_path / "missing"))
    assert refused(tmp_path).args[0] == str(tmp_path)


def test_a_bomb_of_lines_stops_at_the_limit(written, monkeypatch):
    monkeypatch.setattr("models.cygwin.proctrace.MAX_TOTAL_BYTES", 8 << 20)
    path = written(gzip.compress(LINES[0] + b"\n" * (64 << 20), 1))
    assert "more than 8 MiB of text" in str(refused(path))


def test_a_bomb_of_one_line_is_not_held_in_memory(written):
    import tracemalloc

    pack = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [pack.compress(LINES[0])]
    parts += [pack.compress(b"0" * (1 << 20)) for _ in range(100)]
    path = written(b"".join([*parts, pack.flush()]))
    tracemalloc.start()
    error = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "a line of more than 4 MiB" in str(error)
    assert peak < 32 << 20
