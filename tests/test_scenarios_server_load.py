"""`cygsim run server_load`: what the server does, when it is steady, and how sure a mean is."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from models.win32.cost_profile import load_profile
from scenarios import server_load as scenario
from scenarios import server_machine
from scenarios.__main__ import main
from scenarios.server_machine import BACKLOG, BATCHES, POISSON, Demand, ServerMachine, arrivals_us
from scenarios.server_steady import (
    ENDED,
    GROWS,
    SHORT,
    STEADY,
    Length,
    _means,
    in_system,
    judged,
    most_per_s,
)
from scenarios.spec import Replicated
from sim.streams import Replication

P3 = "p3-800-w2000"
LENGTH = Length(20.0, 40.0)
SMALL = scenario.Parameters(
    rates=(30.0, 80.0), arrivals=(POISSON,), seconds=20.0, most_s=40.0, stays_s=3.0
)


def demand(kind: str = POISSON, rate: float = 30.0, **other: float) -> Demand:
    return replace(Demand(kind, rate, 2.0, 10.0, 0.0, False), **other)


def server(asked: Demand, scheme: str = "shared-memory", profile: str = P3, processors: int = 2,
           **costs: float) -> ServerMachine:  # fmt: skip
    costs_of = load_profile(profile).replace(costs)
    return ServerMachine(scheme, "nt", costs_of, Replication(1, 0), processors, 1, 16, asked)


def forks(machine: ServerMachine):
    records = machine.machine.kernel.trace.records
    return [r for r in records if getattr(r, "kind", "") == "fork"]


# ---- the machine -------------------------------------------------------------------------------


def test_arrivals_are_of_the_request_s_number_alone():
    slow, fast = (list(islice(arrivals_us(demand(rate=r), Replication(1, 0)), 500))
                  for r in (10.0, 40.0))  # fmt: skip
    assert np.allclose(np.asarray(slow), 4 * np.asarray(fast))
    assert np.mean(np.diff(slow)) == pytest.approx(1e5, rel=0.1)
    other = list(islice(arrivals_us(demand(rate=10.0), Replication(1, 1)), 500))
    assert other != slow


def test_batches_keep_the_rate_and_come_together():
    times = np.asarray(list(islice(arrivals_us(demand(BATCHES, 10.0), Replication(1, 0)), 20_000)))
    assert len(times) / times[-1] * 1e6 == pytest.approx(10.0, rel=0.05)
    assert (np.diff(times) == 0).mean() == pytest.approx(0.5, abs=0.02)  # geometric, mean 2
    assert (np.diff(times) >= 0).all()


def test_an_open_socket_makes_two_steps_and_every_request_has_one_fork():
    found = server(demand())
    found.run_on(2e6)
    made = forks(found)
    assert {fork.section_steps for fork in made} == {2}
    assert len(made) == len(found.served.requests)
    assert all(r.arrived_us <= r.started_us <= r.replied_us for r in found.served.requests
               if r.replied_us is not None)  # fmt: skip


def test_children_that_end_are_reaped_and_those_too_many_are_not_heard_of():
    quick, slow = (server(demand(stays_s=s)) for s in (0.0, 5.0))
    for one in (quick, slow):
        one.run_on(8e6)
    assert max(r.children for r in quick.served.requests) < 5
    assert quick.served.unheard == 0
    assert max(r.children for r in slow.served.requests) == 62
    assert slow.served.unheard > 20


def test_a_child_may_become_another_program():
    found = server(demand(execs=True))
    found.run_on(1e6)
    records = found.machine.kernel.trace.records
    kinds = [getattr(r, "kind", "") for r in records]
    assert kinds.count("exec") > 10
    assert all(r.replied_us for r in found.served.requests[:10])


def test_a_fork_that_fails_closes_the_connection_and_rests_a_second():
    found = server(demand(BACKLOG, stays_s=1e6))
    kernel = found.machine.kernel
    found.run_on(1e6)
    kernel.commit_limit_bytes = kernel.committed_bytes + (1 << 20)
    found.run_on(20e6)
    refused = [r for r in found.served.requests if r.refused]
    assert refused
    assert all(r.started_us is None or r.replied_us is None for r in refused)


def test_the_number_in_the_system_is_counted_by_hand():
    found = server(demand())
    found.run_on(3e6)
    requests = found.served.requests
    for when in (0.5e6, 1.1e6, 2.2e6):
        by_hand = sum(r.arrived_us <= when < (r.replied_us or np.inf) for r in requests)
        assert in_system(requests, np.asarray([when]))[0] == by_hand


# ---- steady state ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "state"), [(30.0, STEADY), (80.0, GROWS), (1.0, SHORT)], ids=["below", "above", "few"]
)
def test_the_state_follows_from_the_queue(rate, state):
    found = judged(server(demand(rate=rate)), LENGTH)
    assert found.state == state
    assert (found.response is not None) == (state == STEADY)


def test_a_server_that_ends_has_no_steady_state(monkeypatch):
    found = server(demand(rate=30.0))
    monkeypatch.setattr(found.machine.kernel.engine, "peek", lambda: float("inf"))
    assert judged(found, LENGTH).state == ENDED
    assert most_per_s(found, Length(30.0, 60.0)) == (None, None)


@pytest.mark.parametrize("work_ms", [0.0, 10.0])
def test_where_forks_cost_nothing_there_is_no_most(monkeypatch, work_ms):
    """With work children pile up; without, requests do. Neither goes on for ever."""
    monkeypatch.setattr(server_machine, "MOST_REQUESTS", 300)
    monkeypatch.setattr(server_machine, "MOST_OPEN", 100)
    found = server(demand(BACKLOG, work_ms=work_ms), profile="ideal")
    assert most_per_s(found, LENGTH) == (None, None)
    assert len(found.served.requests) == (300 if work_ms == 0 else 100)


def test_the_most_is_what_the_costs_say():
    """Every cost 0 but one CreateProcess of 20 ms: one fork in 20 ms, whatever children do."""
    asked = demand(BACKLOG, work_ms=0.0)
    most, _ = most_per_s(server(asked, profile="ideal", create_process=20_000.0), LENGTH)
    assert most is not None
    assert most.mean == pytest.approx(50.0, rel=0.01)


def test_one_processor_is_used_up_and_two_are_not():
    one, two = (server(demand(BACKLOG), processors=n) for n in (1, 2))
    at_one, at_two = (most_per_s(s, LENGTH)[0] for s in (one, two))
    assert at_one is not None
    assert at_two is not None
    assert at_one.high < at_two.low


def test_the_rule_covers_the_mean_of_a_queue_that_is_known():
    """M/M/1 at 0.68, 4800 customers: as often as the scenario says, some 87 %."""
    random = np.random.default_rng(1)
    covered = told = 0
    for _ in range(200):
        arrived = np.cumsum(random.exponential(1 / 0.68, 4800))
        service = random.exponential(1.0, 4800)
        done = np.cumsum(service)
        before = np.concatenate([[0.0], done[:-1]])
        response = done + np.maximum.accumulate(arrived - before) - arrived
        means = _means(response)[1]
        if means is not None and means.interval is not None:
            told += 1
            low, high = means.interval.limits() or (0.0, 0.0)
            covered += low <= 1 / (1 - 0.68) <= high
    assert told > 150
    assert 0.75 < covered / told < 0.98


# ---- the scenario ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    profile = load_profile(P3)
    return {
        name: scenario.run_point(SMALL, name, "nt", profile, Replication(1, 0))
        for name in ("blocking", "shared-memory")
    }


def test_above_what_it_can_take_there_is_no_mean(found):
    for o in found.values():
        most = o.value("arrivals=backlog", "most_per_s")
        assert 30 < most < 80
        assert o.value("arrivals=poisson rate=30", "state") == STEADY
        above = "arrivals=poisson rate=80"
        assert o.value(above, "state") == GROWS
        assert all(o.value(above, f"{m}_us") is None for m in ("response", "response_p95", "start"))
        assert o.value(above, "queue_low_per_s") > 0


def test_response_holds_the_start_and_the_interval_holds_the_mean(found):
    for o in found.values():
        at = "arrivals=poisson rate=30"
        low, mean, high = (o.value(at, f"response{end}_us") for end in ("_low", "", "_high"))
        assert low < mean < high
        assert 5_000 < mean - o.value(at, "start_us") < 20_000  # the child's work: 10 ms on average
        assert o.value(at, "lag1") <= o.value(at, "allowed_lag1")


def test_words_follow_from_the_numbers(found):
    told = {name: Replicated((o,)) for name, o in found.items()}
    said = [text for text, _ in scenario.conclusions(told, SMALL)]
    assert any("poisson: steady at 30; the queue grows at 80" in text for text in said)
    assert any("62 living children are on record" in text for text in said)
    [later] = [text for text in said if "later than under 1.3.4" in text]
    [other] = [text for text, _ in scenario.conclusions(dict(reversed(told.items())), SMALL)
               if "later than under blocking" in text]  # fmt: skip
    assert later.partition("blocking ")[2][0] != other.partition("1.3.4 ")[2][0]  # - and +
    twice = {name: Replicated((o, o)) for name, o in found.items()}
    assert all(list(scenario.conclusions(twice, SMALL)))


def test_the_report_fits_80_columns_and_the_server_s_heap_can_be_looked_at(capsys, tmp_path):
    small = ["--set", "rates=30", "--set", "seconds=6", "--set", "most_s=6", "--scheme", "blocking"]
    words = ["run", "server_load", "--quick", *small, "--out", str(tmp_path / "o")]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert (tmp_path / "o" / "response_by_rate.png").exists()
    show = ["heap", "show", str(tmp_path / "o"), "--pid", "1", "--json"]
    assert main([*show, "--point", "arrivals=poisson rate=30"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outcome"] == "cut"


def test_the_same_bytes_again(found):
    profile = load_profile(P3)
    again = scenario.run_point(SMALL, "blocking", "nt", profile, Replication(1, 0))
    assert again.rows == found["blocking"].rows


@pytest.mark.parametrize(
    "words", ["rates=0", "arrivals=often", "batch=0.5", "seconds=0", "execs=2", "stays=1"]
)
def test_bad_input_is_one_line_and_exit_2(capsys, words):
    assert main(["run", "server_load", "--quick", "--set", words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
