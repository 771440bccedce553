"""`cygsim run who_can_see_it`: views and handles of the section, in the order of the calls."""

from __future__ import annotations

import pytest

from models.win32.cost_profile import load_profile
from scenarios import who_can_see_it
from scenarios.spec import Replicated
from scenarios.who_can_see_it import WAYS, Parameters, run_point
from sim.streams import Replication

CYGWIN = [way for way in WAYS if not way.endswith("native")]
NATIVE = [way for way in WAYS if way.endswith("native")]
SECTIONS = ("shared-memory-1.3.3", "shared-memory")


def outcome(scheme: str, system: str = "nt", profile: str = "p3-800-w2000"):
    return run_point(Parameters(), scheme, system, load_profile(profile), Replication(1, 0))


def at(way: str) -> str:
    return f"way={way.replace(', ', '-').replace(' ', '-')}"


@pytest.mark.parametrize("profile", ["p3-800-w2000", "ideal"])
@pytest.mark.parametrize("system", ["nt", "9x"])
def test_only_a_one_step_parent_of_1_3_4_still_has_its_view_when_the_child_may_run(system, profile):
    """It holds at any costs, even where nothing takes time: it is the order of two calls."""
    for scheme, wanted in (
        ("blocking", set()),
        ("shared-memory-1.3.3", set()),
        ("shared-memory", {"fork", "exec", "exec native"}),
    ):
        o = outcome(scheme, system, profile)
        assert {w for w in WAYS if o.value(at(w), "view_outlasts_start", system)} == wanted


@pytest.mark.parametrize("scheme", SECTIONS)
def test_at_main_the_child_alone_has_a_view_on_nt_and_nobody_on_9x(scheme):
    for system, who in (("nt", "child"), ("9x", "nobody")):
        o = outcome(scheme, system)
        assert {o.value(at(w), "view_at_main", system) for w in CYGWIN} == {who}
        assert {o.value(at(w), "handle_at_main", system) for w in CYGWIN} == {"nobody"}
        assert {o.value(at(w), "view_at_main", system) for w in NATIVE} == {"nobody"}
        assert {o.value(at(w), "handle_at_main", system) for w in NATIVE} == {"child"}


@pytest.mark.parametrize("scheme", SECTIONS)
def test_a_native_child_keeps_its_handle_as_long_as_it_lives(scheme):
    o = outcome(scheme)
    for way in NATIVE:
        held, life = (o.value(at(way), m, "nt") for m in ("child_handle_us", "child_life_us"))
        assert held == pytest.approx(life)
        assert life > 50_000
    for way in CYGWIN:
        held, life = (o.value(at(way), m, "nt") for m in ("child_handle_us", "child_life_us"))
        assert held < life / 2


def test_words_follow_from_the_numbers():
    found = {n: Replicated((outcome(n, "nt"),)) for n in ("blocking", *SECTIONS)}
    said = [text for text, _ in who_can_see_it.conclusions(found, Parameters())]
    assert "blocking on nt: there is no section" in said
    late = "the caller still has its view when the child may run: fork, exec, exec native"
    assert f"shared-memory on nt: {late}" in said
    assert (
        "shared-memory-1.3.3 on nt: no view of the caller's is left when the child may run" in said
    )
    swapped = {"shared-memory-1.3.3": found["shared-memory"]}
    again = [text for text, _ in who_can_see_it.conclusions(swapped, Parameters())]
    assert f"shared-memory-1.3.3 on nt: {late}" in again


def test_report_figures_and_results(cygsim, tmp_path):
    out = tmp_path / "out"
    words = ("--quick", "--system", "nt", "--set", "native_ms=9", "--out", out)
    done = cygsim("run", "who_can_see_it", *words)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.decode().splitlines())) <= 80
    names = {p.name for p in out.iterdir()}
    assert {"lanes_shared-memory_nt.png", "lanes_blocking_nt.svg", "results.csv"} <= names


@pytest.mark.parametrize("words", ["heap_kib=8", "native_ms=0", "child_ms=never", "processors=0",
                                   "nope=1"])  # fmt: skip
def test_a_wrong_parameter_is_one_line_and_exit_2(cygsim, words):
    done = cygsim("run", "who_can_see_it", "--set", words)
    assert done.returncode == 2
    assert len(done.stderr.decode().strip().splitlines()) == 1
