"""`cygsim run nt_vs_9x`: one view against map, copy, unmap, told from the calls."""

from __future__ import annotations

import pytest

from models.cygwin.cygheap.modern_layout import M
from models.win32.cost_profile import load_profile
from scenarios import nt_vs_9x
from scenarios.nt_vs_9x import KINDS, Parameters, run_point
from scenarios.spec import Replicated
from sim.streams import Replication

SMALL = Parameters(heap_kib=(16, 256))
SCHEMES = ("blocking", "shared-memory-1.3.3", "shared-memory")
COPIES = "map reserve commit copy unmap close"


def outcome(scheme: str, profile: str = "ideal", system: str = "nt+9x"):
    return run_point(SMALL, scheme, system, load_profile(profile), Replication(1, 0))


@pytest.mark.parametrize("profile", ["ideal", "p3-800-w2000", "p3-800-w98"])
@pytest.mark.parametrize(
    ("scheme", "system", "steps", "copied", "peak"),
    [("blocking", "nt", "reserve commit read", 1, 2),
     ("blocking", "9x", "reserve commit read", 1, 2),
     ("shared-memory-1.3.3", "nt", "map close", 0, 2),
     ("shared-memory-1.3.3", "9x", COPIES, 1, 3),
     ("shared-memory", "nt", "map close", 0, 2),
     ("shared-memory", "9x", COPIES, 1, 3),
     ("child-copy", "nt", "reserve commit read", 1, 2)],
)  # fmt: skip
def test_steps_bytes_and_memory_are_the_same_at_any_cost(
    scheme, system, steps, copied, peak, profile
):
    o = outcome(scheme, profile, system)
    for kind in KINDS:
        for size in SMALL.heap_kib:
            at = f"kind={kind} heap_kib={size}"
            n = o.value(at, "heap_bytes", system)
            if scheme != "child-copy" or size > 30:  # 3.6 begins with more
                assert size * 1024 - 64 < n < size * 1024 + 4096
            assert o.value(at, "child_steps", system) == steps
            assert o.value(at, "child_copied_bytes", system) == copied * n
            assert o.value(at, "parent_copied_bytes", system) == scheme.startswith("shared") * n
            assert o.value(at, "peak_copies", system) == peak
            if scheme == "child-copy":
                assert o.value(at, "peak_bytes", system) == peak * M.first_commit_bytes


def test_a_copy_that_commits_more_than_is_used_says_so():
    found = {"child-copy": Replicated((outcome("child-copy", system="nt"),))}
    said = [text for text, _ in nt_vs_9x.conclusions(found, SMALL)]
    assert any(text.endswith("a copy commits at least 3,145,728 bytes)") for text in said)
    assert {row[-1] for row in nt_vs_9x.table(found, SMALL)} == {"peak", "6 MiB"}


def test_a_view_takes_the_same_time_for_every_size_and_a_copy_does_not():
    o = outcome("shared-memory", "p3-800-w2000")
    small, large = (f"kind=fork heap_kib={size}" for size in SMALL.heap_kib)
    assert o.value(small, "child_us", "nt") == pytest.approx(o.value(large, "child_us", "nt"))
    assert o.value(large, "child_us", "9x") > 8 * o.value(small, "child_us", "9x")
    said = [text for text, label in nt_vs_9x.conclusions({"shared-memory": Replicated((o,))}, SMALL)
            if label == "structural"]  # fmt: skip
    text = "the child copies nothing, so its time is the same for every size"
    assert said == [f"shared-memory on nt: {text}"]


def test_words_follow_from_the_numbers():
    found = {name: Replicated((outcome(name),)) for name in SCHEMES}
    said = [text for text, label in nt_vs_9x.conclusions(found, SMALL) if label == "exact"]
    assert (
        "shared-memory: on nt 1 n copied, at most 2 copies committed; on 9x 2 n copied, at most "
        "3 copies committed (n = heap in use)" in said
    )
    swapped = nt_vs_9x.conclusions({"blocking": found["shared-memory"]}, SMALL)
    assert any("blocking: on nt 1 n copied, at most 2 copies" in text for text, _ in swapped)


def test_memory_over_time_begins_with_one_copy_and_ends_with_none():
    for scheme in SCHEMES:
        o = outcome(scheme, "p3-800-w2000")
        for system in ("nt", "9x"):
            for kind in KINDS[:2]:
                course = o.drawn[f"{system} kind={kind} heap_kib=256"]
                one = course[0][1]
                assert [at for at, _ in course] == sorted(at for at, _ in course)
                assert all(total % one == 0 for _, total in course)
                assert course[-1][1] == 0


def test_report_figures_and_results(cygsim, tmp_path):
    out = tmp_path / "out"
    words = ("--quick", "--set", "heap_kib=16", "--scheme", "shared-memory", "--out", out)
    done = cygsim("run", "nt_vs_9x", *words)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.decode().splitlines())) <= 80
    names = {p.name for p in out.iterdir()}
    assert {"child_time.png", "commit_fork.svg", "sequence_9x.png", "results.csv"} <= names


@pytest.mark.parametrize("words", ["heap_kib=8", "heap_kib=9999", "processors=0", "nope=1"])
def test_a_wrong_parameter_is_one_line_and_exit_2(cygsim, words):
    done = cygsim("run", "nt_vs_9x", "--set", words)
    assert done.returncode == 2
    assert len(done.stderr.decode().strip().splitlines()) == 1
