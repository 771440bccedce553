"""`cygsim run free_list_bug`: who dies at which exec, of what, and who lives on."""

from __future__ import annotations

import csv
import re

import pytest
from conftest import in_python

from models.cygwin.cygheap.layout import C, R
from models.cygwin.exec_chain import ExecChain, constant_arguments
from models.win32.cost_profile import load_profile
from scenarios.free_list_chains import (
    DRAWN,
    SHAPES,
    commands,
    followed,
    what_lies_there,
    wrong_strings,
)
from scenarios.free_list_machines import shell
from sim.streams import Replication

BUG, MENDED = "2001-09-06", "shared-memory-1.3.3"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """(text, folder) of a quick run."""
    folder = tmp_path_factory.mktemp("lists") / "out"
    words = ["run", "free_list_bug", "--quick", "--out", str(folder)]
    done = in_python("-m", "scenarios", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(), folder


@pytest.fixture(scope="module")
def values(quick):
    text = (quick[1] / "results.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {(r["scheme"], r["point"], r["measure"]): r["value"] for r in rows}


@pytest.mark.parametrize(
    ("shape", "dies", "fault", "text"),
    [
        ("varying", 18, 5, "XVAR17=000000000000000000000000000017"),
        ("scripts", 26, 6, "_=/usr/bin/make"),
        ("constant", None, None, ""),
        ("every-other", None, None, ""),
    ],
)
def test_a_chain_dies_of_the_recorded_request_or_lives(shape, dies, fault, text):
    course = followed(C, SHAPES[shape][0], 60)
    assert (course.dies_at, course.fault, course.request) == (dies, fault, text)
    assert (course.damaged_at is None) == (dies is None)
    assert (course.loop_at, course.mixed_at) == ((5, 6) if dies else (None, None))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mended_walk_lives_on(shape):
    course = followed(R, SHAPES[shape][0], 60)
    assert (course.execs, course.dies_at, course.damaged_at, course.wrong_at) == (60, *[None] * 3)


def test_one_shell_can_start_any_number_of_commands():
    assert commands(C, SHAPES["varying"][0], 60) == 60


def test_a_wrong_string_is_seen():
    chain = ExecChain(C)
    arguments = constant_arguments(0)
    chain.exec(arguments)
    assert wrong_strings(chain, arguments) == 0
    assert chain.blocks is not None
    chain.heap.store(chain.blocks.strings[2], b"rm")
    assert wrong_strings(chain, arguments) == 1


def test_chance_kills_under_the_bug_alone():
    def died(era):
        draw = Replication(1, 0).stream("test")
        kind = DRAWN["arguments-8"]
        return sum(
            followed(era, kind.shape(draw), 40, every_list=False).dies_at is not None
            for _ in range(10)
        )

    assert died(C) >= 5
    assert died(R) == 0


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (5, "a bucket's number"),
        (0x78787878, "letters"),
        (0x4242, "letters"),
        (0x61110084, "a link, partly overwritten"),
    ],
)
def test_an_address_is_named_after_what_it_was(fault, what):
    assert what_lies_there(fault) == what


@pytest.mark.parametrize(("scheme", "execs", "code"), [(BUG, 17, 0xC0000005), (MENDED, 30, 0)])
def test_a_whole_shell_sees_the_exit_code_of_its_child(scheme, execs, code):
    machine, seen = shell(scheme, "nt", load_profile("ideal"), Replication(1, 0), 30)
    assert (seen.execs, seen.code) == (execs, code)
    assert ("0x00000005" in seen.message) == (scheme == BUG)
    assert not any(process.alive for process in machine.kernel.processes.values())


def test_the_results_say_it(values, quick):
    at = "strings=varying"
    assert values[BUG, at, "dies_at_exec"] == "18"
    assert values[MENDED, at, "dies_at_exec"] == ""
    assert values[BUG, "whole=shell", "exit_code"] == str(0xC0000005)
    assert {p.name for p in quick[1].glob("*.png")} == {
        f"free_lists_{BUG}.png", f"free_lists_{MENDED}.png", "survival.png",
    }  # fmt: skip


def test_a_recorded_make_dies_under_the_bug_alone(values, quick):
    at = "trace=make-j4-sed"
    assert values[BUG, at, "outcome"] == "failed"
    assert (values[BUG, at, "processes_died"], values[BUG, at, "processes"]) == ("104", "479")
    assert values[BUG, at, "first_death_at_exec"] == "7"
    assert (values[MENDED, at, "outcome"], values[MENDED, at, "processes"]) == ("finished", "723")
    assert max(map(len, quick[0].splitlines())) <= 80
    assert re.search(r"^  make-j4-sed +479 of 723 +104 +exec 7 ", quick[0], re.MULTILINE)


@pytest.mark.parametrize(
    "words", [["--set", "execs=29"], ["--set", "traces=nowhere"], ["--scheme", "child-copy"]]
)
def test_bad_input_is_one_line_and_exit_2(cygsim, words):
    done = cygsim("run", "free_list_bug", "--quick", *words)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
