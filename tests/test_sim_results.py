"""An --out directory: what is written, when it is refused, when it goes on."""

from __future__ import annotations

import gzip
import hashlib
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.documents import json_pieces, json_text, write_atomically
from sim.errors import InputError
from sim.mapped import Mapped
from sim.results import (
    Manifest,
    ResultRow,
    csv_text,
    input_digest,
    open_run,
    program_versions,
    read_rows,
)

ROW = ResultRow(*("replay", "blocking", "nt", "ideal", "-"), 0, "makespan", "us", 1234567.5, 0)


def manifest(seed=1, **parameters):
    return Manifest(["replay", "a.jsonl"], seed, parameters, {"a.jsonl": "0" * 64})


def test_results_are_lf_and_in_the_agreed_columns(tmp_path):
    run = open_run(tmp_path / "out", manifest())
    run.write_results([ROW, ROW._replace(replication=1, value=None, censored=3)])
    raw = (tmp_path / "out" / "results.csv").read_bytes()
    assert raw.decode() == (
        "scenario,scheme,system,profile,point,replication,measure,unit,value,censored\n"
        "replay,blocking,nt,ideal,-,0,makespan,us,1234567.5,0\n"
        "replay,blocking,nt,ideal,-,1,makespan,us,,3\n"
    )


def test_manifest_holds_the_run_and_wall_clock_apart(tmp_path):
    run = open_run(tmp_path, manifest(T=3))
    run.finish({"seconds": 1.25})
    document = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert document.pop("ran") == {"seconds": 1.25}
    assert document.pop("versions").keys() == {"cygsim", "python", "simpy", "numpy"}
    assert document == {
        "schema": "cygsim/manifest/1",
        "command": ["replay", "a.jsonl"],
        "seed": 1,
        "parameters": {"T": 3},
        "inputs": {"a.jsonl": "0" * 64},
    }


def test_same_run_goes_on_with_its_rows(tmp_path):
    first = open_run(tmp_path, manifest())
    first.write_results([ROW])
    first.finish({"seconds": 1.0})
    again = open_run(tmp_path, manifest())
    assert (first.resumed, again.resumed) == (False, True)
    assert again.read_results() == [ROW]


def test_an_interrupted_run_is_recognised(tmp_path):
    open_run(tmp_path, manifest())  # never finished
    (tmp_path / "results.csv.partial").write_text("half", encoding="utf-8")
    assert open_run(tmp_path, manifest()).read_results() == []


@pytest.mark.parametrize(
    ("other", "named"), [(manifest(seed=2), "seed"), (manifest(T=1), "parameters")]
)
def test_another_run_is_refused_and_what_differs_is_named(tmp_path, other, named):
    open_run(tmp_path, manifest())
    with pytest.raises(InputError, match=f"another run \\({named} differ\\)"):
        open_run(tmp_path, other)


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="holds no run"):
        open_run(tmp_path, manifest())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", ["{", "[]", '"x"'])
def test_a_broken_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"manifest\.json: not"):
        open_run(tmp_path, manifest())


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="--out"):
        open_run(tmp_path / "out", manifest())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = write_atomically(tmp_path / "a", "old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_atomically(target, "new")
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [("a", "old")]


@given(
    st.one_of(st.none(), st.integers(-(10**15), 10**15), st.floats(-1e15, 1e15)), st.integers(0, 9)
)
def test_rows_survive_writing_and_reading(tmp_path_factory, value, censored):
    """What is read and written again gives the same bytes, so a resumed run is the same."""
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    row = ROW._replace(value=value, censored=censored, point='T=1, "x"')
    path.write_bytes(csv_text([row]).encode())
    assert csv_text(read_rows(path)) == csv_text([row])


def test_text_that_looks_like_no_finite_number_stays_text(tmp_path):
    path = write_atomically(tmp_path / "r.csv", csv_text([ROW._replace(value="nan")]))
    assert read_rows(path)[0].value == "nan"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ":1: wrong header"),
        ("a,b\n", ":1: wrong header"),
        (csv_text([]) + "x,y\n", ":2: 2 columns"),
        (csv_text([ROW]).replace(",0,makespan", ",one,makespan"), ":2: replication"),
    ],
)
def test_a_broken_results_file_is_refused_by_line(tmp_path, text, where):
    path = write_atomically(tmp_path / "r.csv", text)
    with pytest.raises(InputError, match=where):
        read_rows(path)


def test_json_is_strict_rounded_and_in_the_order_given():
    document = {"b": 0.1 + 0.2, "a": (np.float64(2), np.int64(3), True, None), "ü": "µs"}
    expected = '{"b": 0.3, "a": [2.0, 3, true, null], "ü": "µs"}\n'
    assert json_text(document, indent=None) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_json_refuses_what_is_not_finite_and_says_where(bad):
    with pytest.raises(ValueError, match=r"\$\.runs\[1\]\.x"):
        json_text({"runs": [{}, {"x": bad}]})


def test_json_refuses_keys_and_things_without_a_form():
    with pytest.raises(TypeError, match="must be text"):
        json_text({1: 2})
    with pytest.raises(TypeError, match=r"\$\.x \(set\)"):
        json_text({"x": {1}})


def test_digest_is_that_of_the_content_packed_or_not(tmp_path):
    content = b"one line\n"
    plain, packed = tmp_path / "t.jsonl", tmp_path / "t.jsonl.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    assert input_digest(plain) == input_digest(packed) == hashlib.sha256(content).hexdigest()


def test_digest_of_a_cut_or_missing_file_is_refused(tmp_path):
    cut = tmp_path / "t.gz"
    cut.write_bytes(gzip.compress(b"x" * 1000)[:-9])
    for path in (cut, tmp_path / "absent"):
        with pytest.raises(InputError, match="a readable file"):
            input_digest(path)


def test_versions_are_known_without_importing_the_packages(python):
    script = "import sys, sim.results as r; r.program_versions(); print('numpy' in sys.modules)"
    assert python("-c", script).stdout.split() == [b"False"]
    assert program_versions()["numpy"] == np.__version__


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_document_in_pieces_is_the_document(count):
    runs = [{"n": n, "deep": {"text": "a\nb", "none": [], "of": [n / 3]}} for n in range(count)]
    whole = {"a": {"b": [1, {}]}, "runs": runs, "z": None}
    pieces = list(json_pieces({**whole, "runs": Mapped(runs.__getitem__, range(count))}))
    assert "".join(pieces) == json_text(whole)
    assert len(pieces) > count


def test_what_json_cannot_say_is_named_in_pieces_too():
    bad = {"runs": Mapped(lambda n: {"x": math.nan}, range(1))}
    with pytest.raises(ValueError, match=r"\$\.runs\[0\]\.x"):
        list(json_pieces(bad))
