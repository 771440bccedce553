"""`Experiment`: a run as data, from Python or from its directory."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios import Experiment
from scenarios.__main__ import main
from sim.errors import InputError
from sim.estimators import mean_interval

CASE = {"heap_kib": (16,), "common_kib": 16, "fds": (3,), "sockets": (0, 1), "creations": 2}
COLUMNS = ["scenario", "scheme", "system", "profile", "point", "heap_kib", "fds", "sockets",
           "replication", "measure", "unit", "value", "words", "censored"]  # fmt: skip


@pytest.fixture(scope="module")
def experiment():
    return Experiment.run(
        "exec_latency", schemes=["blocking", "shared-memory"], system="nt", replications=3,
        seed=4, **CASE,
    )  # fmt: skip


def test_results_are_a_tidy_frame(experiment):
    frame = experiment.results()
    assert list(frame.columns) == COLUMNS
    assert len(frame) == len(experiment.rows)
    assert set(frame["scheme"]) == {"blocking", "shared-memory"}
    assert set(frame["replication"]) == {0, 1, 2}
    assert str(frame["sockets"].dtype) == str(frame["value"].dtype) == "float64"
    assert set(frame["sockets"]) == {0.0, 1.0}
    key = ["scheme", "system", "point", "replication", "measure"]
    assert not frame.duplicated(key).any()


def test_every_value_is_that_of_its_row(experiment):
    frame = experiment.results()
    for row, value in zip(experiment.rows, frame["value"], strict=True):
        assert value == row.value


def test_means_are_student_s_over_the_replications(experiment):
    means = experiment.means()
    [row] = [
        r for r in means.itertuples()
        if (r.scheme, r.sockets, r.measure) == ("blocking", 1.0, "fork_mean")
    ]  # fmt: skip
    values = experiment.replicated["blocking"].values(row.point, "fork_mean", "nt")
    found = mean_interval(values)
    assert (row.replications, row.mean, row.low, row.high) == found
    assert row.unit == "us"


def test_words_and_what_never_came_are_no_numbers():
    case = {"ways": 1}  # not a parameter
    with pytest.raises(InputError, match="ways"):
        Experiment.run("background_native", **case)
    found = Experiment.run("background_native", quick=True, schemes=["blocking"])
    frame = found.results()
    outcome = frame[frame["measure"] == "outcome"]
    assert outcome["value"].isna().all()
    assert set(outcome["words"]) <= {"finished", "blocked", "failed"}
    away = frame[(frame["measure"] == "prompt_away_us") & (frame["censored"] == 1)]
    assert len(away) > 0
    assert away["value"].isna().all()
    means = found.means()
    assert "outcome" not in set(means["measure"])
    assert not means["mean"].isna().any()
    assert any(label == "structural" for _, label in found.conclusions)


def test_a_directory_gives_the_same_as_the_run(tmp_path, capsys):
    words = ["--scheme", "blocking", "--system", "nt", "--replications", "2", "--seed", "4"]
    for key, value in CASE.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += ["--set", f"{key}={text}"]
    assert main(["run", "exec_latency", *words, "--out", str(tmp_path / "o")]) == 0
    capsys.readouterr()
    read = Experiment.read(tmp_path / "o")
    made = Experiment.run("exec_latency", schemes=["blocking"], system="nt", replications=2,
                          seed=4, **CASE)  # fmt: skip
    assert (read.name, read.question, read.limits) == (made.name, made.question, made.limits)
    a, b = read.results(), made.results()
    assert list(a.columns) == list(b.columns)
    assert all(
        math.isclose(x, y, rel_tol=1e-11) for x, y in zip(a["value"], b["value"], strict=True)
    )
    assert a.drop(columns="value").equals(b.drop(columns="value"))
    assert read.conclusions == ()
    assert read.replicated == {}


def test_nothing_is_printed_and_jobs_change_nothing(experiment, capsys):
    again = Experiment.run(
        "exec_latency", schemes=["blocking", "shared-memory"], system="nt", replications=3,
        seed=4, jobs=2, **CASE,
    )  # fmt: skip
    assert again.rows == experiment.rows
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "")


def test_a_replay_has_a_frame_too(tmp_path, capsys):
    trace = Path(__file__).parent / "data" / "traces" / "mini-pipeline.ptrec.jsonl.gz"
    assert main(["replay", str(trace), "--out", str(tmp_path / "o")]) == 0
    capsys.readouterr()
    frame = Experiment.read(tmp_path / "o").results()
    assert set(frame["measure"]) >= {"makespan_us", "outcome", "cygheap_leaked_bytes"}


@pytest.mark.parametrize(
    ("name", "asked", "where"),
    [
        ("exec_latencies", {}, "scenario"),
        ("exec_latency", {"schemes": ["newest"]}, "--scheme"),
        ("exec_latency", {"creations": 0}, "--set creations"),
        ("exec_latency", {"profile": "p4"}, "--profile"),
        ("short_strings", {"system": "nt"}, "--system"),
    ],
)
def test_bad_input_is_named(name, asked, where):
    with pytest.raises(InputError) as error:
        Experiment.run(name, **asked)
    assert error.value.args[0].startswith(where)


def test_without_pandas_it_says_what_is_needed():
    text = (
        "import sys; sys.modules['pandas'] = None\n"
        "from scenarios import Experiment\n"
        "e = Experiment('a', 'b?', (), [])\n"
        "try: e.results()\n"
        "except ImportError as error: print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True,
                           check=True, cwd=Path(__file__).parent.parent)  # fmt: skip
    assert found.stdout.startswith("pandas is not installed")
    assert 'pip install -e ".[notebook]"' in found.stdout


def test_pandas_is_not_loaded_before_a_frame_is_asked_for():
    text = "import sys; from scenarios import Experiment; print('pandas' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True,
                           check=True, cwd=Path(__file__).parent.parent)  # fmt: skip
    assert found.stdout == "False\n"
