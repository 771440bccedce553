"""Words and figures for what `free_list_bug` found, from the results alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scenarios.free_list_chains import DRAWN, SHAPES, what_lies_there
from scenarios.spec import Replicated, in_words
from sim.estimators import mean_interval

WHOLE = "whole=shell"
_BUG = "2001-09-06"


def at_shape(name: str) -> str:
    """The point of a chain whose sets are known."""
    return f"strings={name}"


def at_drawn(name: str) -> str:
    """The point of the chains whose sets differ by chance."""
    return f"drawn={name}"


def at_trace(name: str) -> str:
    """The point of a recorded workload."""
    return f"trace={Path(name).name}"


def rows_of_scheme(r: Replicated, chains: int) -> Iterator[list[str]]:
    """A row for each kind of chain: first bad list, first wrong string, death, bad address."""
    for name, (_, words) in SHAPES.items():
        at = at_shape(name)
        found = [r.value(at, m) for m in ("lists_damaged_at_exec", "string_wrong_at_exec")]
        dead, fault = r.value(at, "dies_at_exec"), r.value(at, "fault_address")
        cells = ["never" if v is None else f"exec {v}" for v in (*found, dead)]
        yield [f"  {words}", *cells, "" if fault is None else f"{fault:#x}"]
    for name, kind in DRAWN.items():
        at = at_drawn(name)
        wrong, died = (r.value(at, m) for m in ("chains_with_a_wrong_string", "died"))
        firsts = [v for v in r.values(at, "first_death_at_exec") if v is not None]
        shares = [f"{v:.4g} of {chains}" for v in (wrong, died)]
        yield [f"  {kind.words}", "", *shares, f"first {min(firsts)}" if firsts else ""]


def deaths_by_exec(r: Replicated, at: str) -> list[str]:
    """Cells of a recorded workload: processes, deaths, first and median exec."""
    begun, whole = r.value(at, "processes"), r.value(at, "processes_recorded")
    cells = [r.value(at, m) for m in ("processes_died", "first_death_at_exec",
                                      "median_death_at_exec")]  # fmt: skip
    died, *execs = ("" if v is None else f"{v:.4g}" for v in cells)
    return [f"{begun:.4g} of {whole}", died, *(v and f"exec {v}" for v in execs)]


def survival(results: Mapping[str, Replicated], execs: int) -> Any:
    """The share of drawn chains that live, over the execs, a panel for each scheme."""
    from sim.plots_panels import Series, panels

    groups = {
        name: {
            kind.words: Series(
                list(map(float, range(execs + 1))), [_alive(r, key, i) for i in range(execs + 1)]
            )
            for key, kind in DRAWN.items()
        }
        for name, r in results.items()
    }
    return panels(groups, "execs in the chain [1]", "share of chains alive [1]",
                  "Who lives how long, by what differs from exec to exec", plain=True)  # fmt: skip


def _alive(r: Replicated, kind: str, execs: int) -> float:
    at = at_drawn(kind)
    return float(r.value(f"{at} execs={execs}", "alive") / r.value(f"{at} execs=0", "alive"))


def sentences(
    results: Mapping[str, Replicated], execs: int, chains: int, traces: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """(sentence, label), scheme by scheme."""
    for name, r in results.items():
        yield from _named(name, r, execs)
        yield from _by_chance(name, r, execs, chains)
        if any(r.value(at_shape(shape), "dies_at_exec") for shape in SHAPES):
            yield _one_shell(name, r), "exact"
        yield _whole(name, r), "exact"
        for trace in traces:
            yield _trace(name, r, trace), "exact"
    if _BUG in results:
        yield (
            "what the user sees beyond the exit code is not modelled: the DLL's own exception "
            "handler, which makes a signal 11 of it, and the stack dump",
            "assumed",
        )
        yield "the strings of recorded workloads are letters of the recorded lengths", "assumed"


def _named(scheme: str, r: Replicated, execs: int) -> Iterator[tuple[str, str]]:
    """The chains whose sets are known."""
    lives = []
    for name, (_, words) in SHAPES.items():
        at = at_shape(name)
        dead = r.value(at, "dies_at_exec")
        if dead is None:
            lives.append(words)
            continue
        fault = r.value(at, "fault_address")
        loop, mixed = (r.value(at, f"list_{m}_at_exec") for m in ("loops", "of_mixed_sizes"))
        yield (
            f"{scheme}, {words}: dies preparing exec {dead} at {fault:#x}, copying "
            f"the variable {r.value(at, 'dies_of_string').split('=')[0]}; a free list leads back "
            f"into itself from exec {loop} on, into blocks of another size from exec {mixed} on; "
            f"nothing lies at the address, which is {what_lies_there(fault)}, read as a link from "
            "a block that was handed out while it was listed",
            "exact",
        )
    if lives:
        yield f"{scheme}: lives {execs} execs with {'; with '.join(lives)}", "exact"


def _by_chance(scheme: str, r: Replicated, execs: int, chains: int) -> Iterator[tuple[str, str]]:
    """The chains whose sets differ by chance: deaths, silent wrong strings, bad addresses."""
    died = {k: r.values(at_drawn(k), "died") for k in DRAWN}
    wrong = {k: r.values(at_drawn(k), "chains_with_a_wrong_string") for k in DRAWN}
    if not any(map(any, (*died.values(), *wrong.values()))):
        yield (
            f"{scheme}: none of {len(DRAWN) * chains * len(r.outcomes)} chains that differ by "
            f"chance dies within {execs} execs, and no image gets a wrong string",
            "exact",
        )
        return
    firsts = [v for k in DRAWN for v in r.values(at_drawn(k), "first_death_at_exec")]
    worst = max(died, key=lambda k: sum(died[k]))
    mean = in_words(mean_interval([float(v) for v in died[worst]]), 100 / chains, "%")
    yield (
        f"{scheme}: with sets that differ by chance the earliest death is at exec "
        f"{min(v for v in firsts if v is not None)}; with {DRAWN[worst].words} {mean} of the "
        f"chains are dead after {execs} execs (the sets drawn)",
        "assumed",
    )
    worst = max(wrong, key=lambda k: sum(wrong[k]))
    mean = in_words(mean_interval([float(v) for v in wrong[worst]]), 100 / chains, "%")
    yield (
        f"{scheme}: an image that lives can have got another string than was put, for one block "
        f"went to two requests: with {DRAWN[worst].words} in {mean} of the chains",
        "assumed",
    )


def _one_shell(scheme: str, r: Replicated) -> str:
    least = min(r.value(at_shape(name), "commands_of_one_shell") for name in SHAPES)
    return (
        f"{scheme}: one shell forks and execs {least} commands, of whatever strings: it is the "
        "length of the line of execs that kills, for only an exec's child walks"
    )


def _whole(scheme: str, r: Replicated) -> str:
    """What a shell sees of a child that execs on and on."""
    code, done = r.value(WHOLE, "exit_code"), r.value(WHOLE, "completed_execs")
    message = r.value(WHOLE, "message")
    if message == "none":
        return f"{scheme}: the child of a whole shell makes its {done} execs and exits {code}"
    return (
        f"{scheme}: the child of a whole shell makes {done} execs and dies preparing the next "
        f'("{message}"); the shell, which only forked, lives and sees exit code {code:#x}'
    )


def _trace(scheme: str, r: Replicated, trace: str) -> str:
    """What would have become of a recorded workload."""
    at = at_trace(trace)
    died, begun = r.value(at, "processes_died"), r.value(at, "processes")
    name, whole = Path(trace).name, r.value(at, "processes_recorded")
    if not died:
        return f"{scheme}: {name} {r.value(at, 'outcome')}, {begun:.4g} of {whole} processes"
    return (
        f"{scheme}: of {name} {died:.4g} processes die ({r.value(at, 'programs_died')}), the "
        f"first at exec {r.value(at, 'first_death_at_exec')} of its line, and {begun:.4g} of "
        f"{whole} are begun at all"
    )
