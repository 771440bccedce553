"""A recorded workload as a scenario: the numbers of its replay, and what they rest on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.__main__ import main

TRACES = Path(__file__).parent / "data" / "traces"
MINI = "mini-pipeline.ptrec"


def document(capsys, *words):
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("scheme", ["blocking", "shared-memory", "child-copy"])
def test_it_has_the_numbers_of_the_replay(capsys, scheme):
    run = document(capsys, "run", "recorded_work", "--quick", "--scheme", scheme, "--seed", 4)
    replay = document(
        capsys, "replay", TRACES / f"{MINI}.jsonl.gz", "--scheme", scheme, "--seed", 4,
        "--processors", 4,
    )  # fmt: skip
    found = {row["measure"]: row["value"] for row in run["results"]}
    real = replay["runs"][0]
    assert found["outcome"] == real["outcome"] == "finished"
    for measure in ("makespan_us", "handshake_wait_us", "bytes_copied", "creations"):
        assert found[measure] == pytest.approx(real[measure])
    for measure in ("peak_bytes", "leaked_bytes"):
        assert found[f"cygheap_{measure}"] == real["cygheap"][measure]


def test_only_blocking_loses_blocks_and_waits_longest(capsys):
    rows = document(capsys, "run", "recorded_work", "--quick")["results"]
    lost = {r["scheme"]: r["value"] for r in rows if r["measure"] == "cygheap_leaked_bytes"}
    waits = {r["scheme"]: r["value"] for r in rows if r["measure"] == "handshake_wait_us"}
    assert lost["blocking"] > 100_000
    assert lost["shared-memory"] == lost["shared-memory-1.3.3"] == 0
    assert max(waits, key=lambda name: waits[name]) == "blocking"


def test_ranks_of_a_workload_know_the_speed_of_the_machine(capsys):
    found = document(
        capsys, "run", "recorded_work", "--sensitivity", "lhs:8", "--replications", 2,
        "--scheme", "blocking", "--scheme", "shared-memory",
    )  # fmt: skip
    every = found["sensitivity"]["sample"]
    assert found["sensitivity"]["kind"] == "lhs"
    assert found["sensitivity"]["points"] == 8
    assert any("machine_speed" in json.dumps(one) for one in every)


def test_a_trace_that_is_not_there_is_named(capsys):
    assert main(["run", "recorded_work", "--set", "traces=nothing"]) == 2
    assert "there is no trace nothing" in capsys.readouterr().err
