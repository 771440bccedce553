"""`cygsim run two_step_sockets`: whose socket is stale, and what a socket adds."""

from __future__ import annotations

import json

import pytest

from models.cygwin.creation_calls import calls_of, rows_of
from models.win32.cost_profile import load_profile
from scenarios import run
from scenarios import two_step_sockets as scenario
from scenarios.__main__ import main
from scenarios.spec import Replicated
from sim.streams import Replication

SMALL = scenario.Parameters(sockets=(0, 1, 3), creations=2)


def outcome(scheme: str, system: str = "nt", profile: str = "p3-800-w2000", **costs: float):
    profile = load_profile(profile).replace(costs)
    return scenario.run_point(SMALL, scheme, system, profile, Replication(1, 0))


@pytest.fixture(scope="module")
def found():
    return {name: outcome(name) for name in scenario.SPEC.schemes}


@pytest.mark.parametrize("kind", scenario.KINDS)
def test_only_the_release_hands_on_stale_sockets_and_only_a_fork_child_helps_itself(found, kind):
    for scheme, o in found.items():
        for sockets in (1, 3):
            at = f"child={kind} sockets={sockets}"
            stale = scheme == "shared-memory-1.3.3"
            assert o.value(at, "asked") == sockets
            assert o.value(at, "refused") == (sockets if stale else 0)
            assert o.value(at, "fetched") == (sockets if stale and kind == "fork" else 0)
            dead = stale and kind != "fork"
            assert o.value(at, "socket_in_child") == ("error 6" if dead else "works")


def test_the_variant_copies_after_the_sockets_and_differs_in_nothing_else(found):
    release, mended = found["shared-memory-1.3.3"], found["1.3.3-two-step"]
    calls = [o.drawn["calls"] for o in (release, mended)]
    for kind in scenario.KINDS:
        none, one = (f"child={kind} sockets={n}" for n in (0, 1))
        for measure in ("took_us", "heap_bytes", "copied_bytes", "calls", "section_steps"):
            assert release.value(none, measure) == mended.value(none, measure)
        assert (release.value(one, "section_steps"), mended.value(one, "section_steps")) == (1, 2)
        extra = calls[0][one] - calls[1][one]
        assert extra == ({"DuplicateHandle": 1} if kind == "fork" else {})
        assert not calls[1][one] - calls[0][one]


def test_a_socket_is_two_calls_of_winsock_and_its_blocks_in_the_heap(found):
    for scheme, o in found.items():
        for kind in scenario.KINDS:
            one, three = (f"child={kind} sockets={n}" for n in (1, 3))
            counts = o.drawn["calls"]
            assert counts[one]["WSADuplicateSocket"] == counts[one]["WSASocket"] == 1
            assert counts[three]["WSADuplicateSocket"] == counts[three]["WSASocket"] == 3
            grown = o.value(three, "heap_bytes") - o.value(one, "heap_bytes")
            fhandler = 2056 if scheme != "shared-memory" else 136
            assert grown == 2 * (fhandler + 2 * 72 + 520)
            assert o.value(three, "copied_bytes") - o.value(one, "copied_bytes") == grown


def test_9x_copies_the_section_once_more():
    one, none = "child=fork sockets=1", "child=fork sockets=0"
    o = outcome("shared-memory", "9x")
    copied, heap = (o.value(one, m) - o.value(none, m) for m in ("copied_bytes", "heap_bytes"))
    assert copied == 2 * heap


def test_time_follows_the_calls_of_winsock():
    """A call of 1 ms: parent and child pay one each, a spawn that does not wait its own alone."""
    o = outcome("shared-memory", profile="ideal", winsock_call=1000.0)
    for kind, calls in (("fork", 2), ("exec", 2), ("spawn", 1)):
        more = o.value(f"child={kind} sockets=3", "took_us")
        less = o.value(f"child={kind} sockets=1", "took_us")
        assert (more - less) / 2 == pytest.approx(1000 * calls)


def test_words_follow_from_the_numbers(found):
    told = {name: Replicated((o,)) for name, o in found.items()}
    said = [text for text, _ in scenario.conclusions(told, SMALL)]
    assert any(t.startswith("exec, 1.3.3: 1 of 1 WSASocket refused with 10022") for t in said)
    swapped = {"shared-memory-1.3.3": told["shared-memory"]}
    said = [text for text, _ in scenario.conclusions(swapped, SMALL)]
    assert not any("10022" in text for text in said)


def test_calls_of_a_creation_need_rows_and_begin_with_it():

    def child(p):
        yield from p.work(1)

    def parent(p):
        yield from p.waitpid((yield from p.fork(child)))

    without = run(parent)
    with pytest.raises(ValueError, match="kept no calls"):
        rows_of(without.kernel, without.creations[0])
    with_rows = scenario._machine(
        0, SMALL, "shared-memory", "nt", load_profile("p3-800-w2000"), Replication(1, 0)
    )
    fork = next(r for r in with_rows.kernel.trace.records if r.kind == "fork")
    rows = rows_of(with_rows.kernel, fork)
    assert all(row.t_us > fork.called_us for row in rows)
    assert calls_of(with_rows.kernel, fork)["CreateProcess"] == 1


def test_the_report_fits_80_columns_and_a_socket_can_be_looked_for(capsys, tmp_path):
    words = ["--quick", "--set", "creations=1", "--replications", "1"]
    assert main(["run", "two_step_sockets", *words, "--out", str(tmp_path / "o")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert {p.name for p in (tmp_path / "o").glob("*.png")} == {
        "added_time.png", "added_calls.png",
    }  # fmt: skip
    show = ["heap", "show", str(tmp_path / "o"), "--scheme", "1.3.3-two-step", "--pid", "1"]
    assert main([*show, "--point", "sockets=8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("words", ["sockets=61", "creations=0", "heap_kib=5", "x=1"])
def test_bad_input_is_one_line_and_exit_2(capsys, words):
    assert main(["run", "two_step_sockets", "--quick", "--set", words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("scenario_name", ["exec_latency", "background_native"])
def test_a_variant_can_be_named_in_any_scenario(capsys, scenario_name):
    assert main(["run", scenario_name, "--quick", "--scheme", "1.3.3-two-step"]) == 0
    assert "1.3.3-two-step" in capsys.readouterr().out
    assert main(["run", scenario_name, "--quick", "--scheme", "1.3.3-three-step"]) == 2
    assert "nearest: 1.3.3-two-step" in capsys.readouterr().err


def test_under_3_6_no_wsasocket_is_asked_and_the_words_say_so(capsys):
    assert main(["run", "two_step_sockets", "--quick", "--scheme", "child-copy"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "fork, child-copy: the child inherits the handle of its socket, which works" in text
    assert "WSASocket" not in text
