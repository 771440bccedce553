"""`cygsim run background_native`, `cygsim replay` and their results, as a user gets them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

TRACES = Path(__file__).parent / "data" / "traces"
MINI = TRACES / "mini-pipeline.ptrec.jsonl.gz"
SCHEMES = ("blocking", "shared-memory-1.3.3", "shared-memory")


def test_the_prompt_is_held_under_blocking_only(cygsim, tmp_path):
    out = tmp_path / "out"
    done = cygsim("run", "background_native", "--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    text = (out / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    away = {(r["scheme"], r["point"]): r["value"] for r in rows if r["measure"] == "prompt_away_us"}
    assert float(away["blocking", "way=nowait seconds=0.8"]) > 800_000
    assert away["blocking", "way=nowait seconds=never"] == ""
    for scheme in SCHEMES[1:]:
        assert float(away[scheme, "way=nowait seconds=never"]) < 50_000
    assert {"manifest.json", "prompt_away.png", "sequence_exec_blocking.svg"} <= {
        p.name for p in out.iterdir()
    }


def test_jobs_and_replications_change_no_byte(cygsim):
    words = ("run", "background_native", "--quick", "--replications", 2, "--seed", 5, "--json")
    documents = [json.loads(cygsim(*words, "--jobs", jobs).stdout) for jobs in (1, 2)]
    for document in documents:
        document.pop("ran")
    assert documents[0] == documents[1]


@pytest.mark.parametrize("words", [("nope=1",), ("seconds=0",), ("make_jobs=99",), ("seconds=x",)])
def test_a_wrong_parameter_is_one_line_and_exit_2(cygsim, words):
    done = cygsim("run", "background_native", "--set", *words)
    assert done.returncode == 2
    assert len(done.stderr.decode().strip().splitlines()) == 1


@pytest.mark.parametrize("system", ["nt", "9x"])
@pytest.mark.parametrize("trace", ["mini-pipeline.ptrec", "mini-sockets.ptrec",
                                   "mini-pipeline.from-strace", "git-workflow"])  # fmt: skip
def test_a_replay_finishes_with_the_traces_own_counts(cygsim, trace, system):
    done = cygsim("replay", TRACES / f"{trace}.jsonl.gz", "--system", system, "--json",
                  "--expect", "finished")  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    for run in document["runs"]:
        for key in ("processes", "forks", "execs", "spawns", "failed_execs"):
            assert run[key] == document["trace"][key], (run["scheme"], key)
        assert not run["failures"]


def test_hash_seed_and_jobs_change_no_byte_and_the_seed_does(cygsim):
    def document(hash_seed: str, jobs: int, seed: int) -> dict[str, object]:
        done = cygsim("replay", MINI, "--replications", 2, "--jobs", jobs, "--seed", seed,
                      "--json", PYTHONHASHSEED=hash_seed)  # fmt: skip
        found: dict[str, object] = json.loads(done.stdout)
        del found["ran"], found["seed"]
        return found

    one = document("1", 1, 7)
    assert one == document("2", 2, 7)
    assert one != document("1", 1, 8)


def test_background_native_programs_of_a_recorded_make_hold_their_parents(cygsim):
    done = cygsim("replay", TRACES / "make-j4-sed.jsonl.gz", "--native", "cc1", "--background",
                  "cc1", "--scheme", "blocking", "--scheme", "shared-memory", "--json")  # fmt: skip
    runs = {run["scheme"]: run for run in json.loads(done.stdout)["runs"]}
    means = {name: run["spawn_latency_us"]["mean"] for name, run in runs.items()}
    assert runs["blocking"]["spawn_latency_us"]["n"] > 0
    assert means["blocking"] > 20 * means["shared-memory"]
    assert runs["blocking"]["cygheap"]["leaked_bytes"] > 0
    assert runs["shared-memory"]["cygheap"]["leaked_bytes"] == 0


@pytest.mark.parametrize("vfork", ["fork", "era"])
def test_schemes_meet_the_same_durations(cygsim, vfork):
    """But where era A's vfork loses close-on-exec, a parent reads its pipe to the child's end."""
    done = cygsim("replay", MINI, "--profile", "ideal", "--vfork", vfork, "--json")
    document = json.loads(done.stdout)
    assert document["vfork"] == vfork
    runs = {run["scheme"]: run["makespan_us"] for run in document["runs"]}
    assert len({runs[name] for name in SCHEMES[1:]}) == 1
    assert (runs["blocking"] > runs["shared-memory"]) == (vfork == "era")
    assert runs["blocking"] < 1.001 * runs["shared-memory"]


def test_many_replications_meet_no_race_at_the_end_of_make(cygsim):
    done = cygsim("run", "background_native", "--quick", "--replications", 12)
    assert done.returncode == 0, done.stderr


def test_compilers_that_never_end_are_refused(cygsim):
    done = cygsim("run", "background_native", "--set", "compile_seconds=never")
    assert done.returncode == 2
    assert b"compile_seconds" in done.stderr


def test_an_edited_profile_is_another_run_and_its_name_is_the_same_one(cygsim, tmp_path):
    source = Path(__file__).parent.parent / "models" / "win32" / "profiles" / "ideal.toml"
    profile = tmp_path / "mine.toml"
    profile.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    words = ("replay", MINI, "--profile", profile, "--out", tmp_path / "out")
    assert cygsim(*words).returncode == 0
    assert cygsim(*words).returncode == 0
    assert cygsim(*words, "--set", "exit=5").returncode == 2
    named = ("run", "background_native", "--quick", "--out", tmp_path / "named")
    assert cygsim(*named).returncode == 0
    assert cygsim(*named, "--profile", "p3-800-w2000").returncode == 0


@pytest.mark.parametrize("limit_bytes", [4096, 620_000])
def test_too_little_memory_is_a_result_and_no_traceback(cygsim, tmp_path, limit_bytes):
    source = Path(__file__).parent.parent / "models" / "win32" / "profiles" / "ideal.toml"
    text = source.read_text(encoding="utf-8")
    at = text.index("[commit_limit_bytes]")
    text = text[:at] + re.sub(r"value = \S+", f"value = {limit_bytes}", text[at:], count=1)
    (tmp_path / "small.toml").write_text(text, encoding="utf-8")
    done = cygsim("run", "background_native", "--quick", "--profile", tmp_path / "small.toml",
                  "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"failed" in done.stdout
    assert b"nothing follows" in done.stdout
    assert b"holds its caller" not in done.stdout


def test_reports_fit_80_columns(cygsim):
    native = ("replay", TRACES / "make-j4-sed.jsonl.gz", "--native", "cc1", "--until", 6)
    for words in (
        ("run", "background_native", "--quick", "--profile", "p3-800-w98"),
        (*native, "--profile", "p3-800-w98"),
        ("replay", MINI, "--replications", 2, "--set", "commit_limit_bytes=800000"),
    ):
        done = cygsim(*words)
        assert done.returncode == 0, done.stderr
        assert max(len(line) for line in done.stdout.decode().splitlines()) <= 80
