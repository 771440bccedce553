"""What an allocation in one step of a creation comes to, for `heap_growth_race`.

Read off the child's heap and the machine at its end; nothing is taken from the scheme's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from models.cygwin.blocked import blocked
from models.cygwin.creation_window import Step, step_at
from models.cygwin.cygheap.layout import Era, HeapType
from models.cygwin.cygheap.soundness import condition, starts
from models.cygwin.cygheap.transfer import transferred
from models.cygwin.exec_chain import first_heap
from models.cygwin.machine import Machine
from models.win32.errors import AccessViolation
from models.win32.system import SYSTEMS
from scenarios.background_machines import failures
from scenarios.race_machines import Ran, Setting, grown, steps_of_call

UNUSED = "sound, a part never used"
SOUND, LOST, TRUNCATED = "sound", "free block lost", "chain truncated"
BEYOND, TWICE, LINKED = "chain beyond its end", "block handed out twice", "chain linked to itself"
ENDLESS, CRASH, FAILED, BLOCKED = "endless walk", "crash", "message", "blocked"


class Case(NamedTuple):
    """What one allocation at one moment came to. Every field is *output*.

    step: in which the other thread had its block, None if the creation was over by then
    planned: in which it asks for it, as far as the creation without a guard goes
    found: what was wrong with the child's heap, and what became of that, in this order; empty if
        nothing was
    said: what a user sees
    waited_us: the other thread, for the lock or a processor; None if it never had both
    latency_us: of the creation, None if it never ended
    """

    planned: Step
    step: Step | None
    found: tuple[str, ...]
    said: str
    waited_us: float | None
    latency_us: float | None

    @property
    def outcome(self) -> str:
        """All that was found in one line."""
        return ", ".join(self.found) or SOUND


def cases(setting: Setting, way: str, n: int, steps: Sequence[Step], whole: Ran) -> Iterator[Case]:
    """An allocation of `n` bytes in each of `steps`, of the creation without a guard.

    `whole` is the run of this setting in which the other thread sleeps on.
    """
    real = steps_of_call(whole)
    for step in steps:
        yield _case(step, real, grown(setting, way, n, step.middle_us), whole)


def longest(steps: Sequence[Step], count: int) -> list[Step]:
    """So many of the longest steps, in their order."""
    chosen = sorted(steps, key=lambda step: (step.start_us - step.end_us, step.number))[:count]
    return sorted(chosen, key=lambda step: step.number)


def told_late(era: Era, system: str, n: int) -> str:
    """What becomes of a child whose parent allocates between copying the heap and noting its end.

    The few instructions between the two are no moment of a run, so the heap is handed over alone:
    from a first process, then the child allocates 20 bytes.
    """
    parent = first_heap(era)
    later = transferred(parent, parent.max, parent.max, execed=False)
    later.cmalloc(HeapType.HEAP_BUF, n)
    try:
        child = transferred(parent, later.max, parent.max)
        if SYSTEMS[system].map_view_of_file_ex_sucks:  # it copies what it was told
            child = transferred(child, later.max, later.max)
        child.cmalloc(HeapType.HEAP_BUF, 20)
    except AccessViolation:
        return CRASH
    whole = condition(child, starts(parent)).sound
    return SOUND if whole and later.max == parent.max else UNUSED if whole else TRUNCATED


def _case(planned: Step, real: list[Step], ran: Ran, whole: Ran) -> Case:
    """One run, held against the one in which the other thread sleeps on."""
    seen, latency_us = ran.seen, ran.latency_us
    step = None if seen.had_us is None else step_at(real, seen.had_us)
    waited_us = None
    if seen.asked_us is not None and seen.had_us is not None:
        waited_us = seen.had_us - seen.asked_us
    found = tuple(_found(ran, whole.seen.lost))
    return Case(planned, step, found, _said(ran.machine), waited_us, latency_us)


def _found(ran: Ran, lost_anyway: int) -> Iterator[str]:
    """What was wrong with the child's heap, and what became of it."""
    seen, machine = ran.seen, ran.machine
    if seen.main is not None:
        if seen.main.missing or seen.main.fault is not None:
            yield TRUNCATED
        elif seen.main.beyond:
            yield BEYOND
        if seen.lost > lost_anyway:
            yield LOST
        if seen.twice:
            yield TWICE
        if seen.main.cyclic or (seen.later is not None and seen.later.cyclic):
            yield LINKED
    if _loops(machine):
        yield ENDLESS
    if machine.kernel.crashes:
        yield CRASH
    if machine.installation.failures:
        yield FAILED
    if not (seen.went_on or _loops(machine) or failures(machine)):
        yield BLOCKED


def _loops(machine: Machine) -> list[str]:
    """The programs that use their processor for ever."""
    alive = [process for process in machine.kernel.processes.values() if process.alive]
    return [process.image.name for process in alive if process.threads[0].loop is not None]


def _said(machine: Machine) -> str:
    """What a user sees."""
    loops = _loops(machine)
    waits = [e["program"] for e in blocked(machine.kernel) if e["program"] not in loops]
    words = failures(machine) + [f"{program} loops for ever" for program in loops]
    if waits:
        names = list(dict.fromkeys(waits))
        words.append(f"{' and '.join(names)} {'wait' if len(names) > 1 else 'waits'} for ever")
    return "; ".join(words)
