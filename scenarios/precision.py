"""`--precision REL`: replications until each headline's interval is narrow enough.

The rule is that of `sim.stopping`, asked for every headline under every scheme; where a measure is
drawn at random it is not asked before the interval can be trusted (`sim.sample_size`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.campaign import Condition, Rule
from scenarios.headlines import alike, headlines, kind, numbers
from scenarios.spec import Replicated, Spec
from sim.errors import InputError
from sim.sample_size import LEAST, needed_replications
from sim.stopping import MOST, Decision, next_replications, together

ALIKE = "every replication is alike, since nothing in what is asked is drawn at random"


def most(replications: int | None) -> int:
    """How many replications there may be: what --replications says. Raises InputError."""
    if replications is None:
        return MOST
    if replications < LEAST:
        raise InputError(
            f"--replications {replications}", f"with --precision at least {LEAST} are run",
            f"{LEAST} or more: it is the most then",
        )  # fmt: skip
    return replications


def until(spec: Spec, precision: float, limit: int) -> Rule:
    """The rule for one scenario. `limit` is at least `sim.sample_size.LEAST`."""

    def decide(condition: Condition, results: Mapping[str, Replicated]) -> Decision:
        if not results:
            return Decision(False, False, LEAST, None, f"fewer than {LEAST} replications")
        return _decision(spec, condition, results, precision, limit)

    return decide


def _decision(
    spec: Spec,
    condition: Condition,
    results: Mapping[str, Replicated],
    precision: float,
    limit: int,
) -> Decision:
    trusted = min(needed_replications(kind(condition.profile)), limit)
    each: list[Decision] = []
    drawn = False
    for headline, scheme, some in numbers(headlines(spec, condition.point, results), results):
        drawn = drawn or not alike(some)
        least = LEAST if alike(some) else trusted
        decision = next_replications(some, precision, least=least, most=limit)
        each.append(decision._replace(why=f"{headline.words()} under {scheme}: {decision.why}"))
    count = len(next(iter(results.values())).outcomes)
    if not drawn:
        return Decision(True, all(d.reached for d in each), count, 0.0, ALIKE)
    decision = together(each)
    if decision.stop and decision.reached:
        aim = precision / (1 + precision)
        why = f"half-width at most {aim:.3g} of the mean, for each of {len(each)} means"
        return decision._replace(why=why)
    return decision


def described(precision: float, limit: int, decision: Decision) -> dict[str, Any]:
    """What the document says: what was asked for, how many were run, and why no more."""
    return {
        "asked": precision,
        "most": limit,
        "replications": decision.replications,
        "reached": decision.reached,
        "relative_half_width": decision.relative_half_width,
        "why": decision.why,
    }


def in_words(document: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    word = "reached" if document["reached"] else "not reached"
    count, why = document["replications"], document["why"]
    return f"precision {document['asked']:g} {word} after {count} replications: {why}"
