"""Does the simulated machine answer as Windows does?  One conformance case, run and compared.

Each case gets a machine of its own: NT, one processor, calls that cost little against the time
limits of the cases, and a program whose main thread runs the steps.  Fields that the steps answer
are held against what NT is known to answer; fields nobody asks for are left alone.

* `same` and `differs`: every answer must be NT's.
* `unsure`: all answers must be those that were observed, or all those that are expected.  Where
  the case names no other answer and ours differs, it is skipped: nobody knows better.

Source: `tests/data/win32/README.md`, "How to compare a simulator".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.win32 import conformance_memory, conformance_objects, conformance_processes
from models.win32.conformance_case import Case, Value
from models.win32.conformance_script import CannotRun, Reader, Scope, Script, Step, Verb
from models.win32.conformance_steps import steps_of
from models.win32.costs import CostRow
from models.win32.image import Image, Layout
from models.win32.kernel import Kernel
from models.win32.processors import Processors
from models.win32.system import NT
from models.win32.thread import Process, Thread
from sim.engine import Engine, Steps
from sim.trace import Trace

# What things cost here: below the time limits of any case (chosen; nothing is compared with it).
COSTS = CostRow(
    create_process_us=1000.0,
    loader_us=1000.0,
    init_us=0.0,
    exit_us=100.0,
    wake_us=10.0,
    handle_us=1.0,
    map_us=5.0,
    thread_us=20.0,
    winsock_us=1.0,
    call_us=1.0,
    page_us=0.5,
    copy_us_per_byte=0.001,
)
QUANTUM_US = 20_000.0  # chosen
COMMIT_LIMIT_BYTES = 1 << 30  # chosen: a machine of 2001 with its paging file
END = "(end)"  # where a field's name would stand, if the script did not reach its end


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case.

    result: "ok", "MISMATCH" or "skipped" -- output
    detail: the first wrong field with what was wanted and got, or why it was skipped -- output
    compared: fields that were held against the expected ones -- output
    left_out: fields whose answers the interpreter does not know -- output
    """

    name: str
    result: str
    detail: str = ""
    compared: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """`NAME ok`, `NAME MISMATCH FIELD: want …, got …` or `NAME skipped: REASON`."""
        if self.result == "ok":
            return f"{self.name} ok"
        colon = ":" if self.result == "skipped" else ""
        return f"{self.name} {self.result}{colon} {self.detail}"


def verbs() -> dict[str, Verb]:
    """Everything that a step can do."""
    return {
        **conformance_objects.VERBS,
        **conformance_memory.VERBS,
        **conformance_processes.VERBS,
    }


def check(case: Case) -> Verdict:
    """Run a case and compare its answers."""
    ops = case.ops if case.ops is not None else steps_of(case.name)
    if ops is None:
        return Verdict(case.name, "skipped", "it has no steps as data")
    reader = Reader(verbs(), frozenset(case.expected))
    try:
        steps = reader.read(ops)
        answers, end = run(steps, conformance_processes.layout())
    except CannotRun as error:
        return Verdict(case.name, "skipped", str(error))
    answers = {field: value for field, value in answers.items() if field in case.expected}
    compared = tuple(dict.fromkeys([*reader.asked, *answers]))
    verdict = Verdict(case.name, "ok", "", compared, tuple(dict.fromkeys(reader.left_out)))
    if not compared:
        return replace(verdict, result="skipped", detail="none of its fields is modelled")
    wrong = _first_difference(case.expected, answers, compared, end)
    if not wrong:
        return verdict
    if case.status == "unsure":
        if not _first_difference(case.observed, answers, compared, end):
            return verdict
        if case.observed == case.expected and not end:
            unsure = f"what Windows answers is not known ({wrong})"
            return replace(verdict, result="skipped", detail=unsure)
    return replace(verdict, result="MISMATCH", detail=wrong)


def run(steps: list[Step], layout: Layout) -> tuple[dict[str, Any], str]:
    """Run a script on a machine of its own: its answers, and why it did not reach its end.

    Raises CannotRun where a step turns out to be none.
    """
    engine = Engine()
    kernel = Kernel(engine, Processors(engine, 1, QUANTUM_US), NT, Trace(), COMMIT_LIMIT_BYTES)
    scope = Scope()

    def entry(k: Kernel, thread: Thread) -> Steps:
        yield from Script(k, thread, scope, conformance_processes.SYMBOLS).run(steps)

    process = kernel.boot(Image("case", layout, entry), COSTS)
    engine.run()
    return scope.answers, _why_not_ended(kernel, process)


def _why_not_ended(kernel: Kernel, process: Process) -> str:
    """What keeps or ended the main script before its time; "" if nothing did."""
    if process.alive:
        wait = process.threads[0].wait
        kinds = [obj.kind for obj in getattr(wait, "objects", ())]
        return f"waits for {' or '.join(kinds)}" if kinds else "waits"
    for _, pid, _, message in kernel.crashes:
        if pid == process.pid:
            return message
    return ""


def _first_difference(
    wanted: Mapping[str, Value], got: Mapping[str, Any], compared: tuple[str, ...], end: str
) -> str:
    """`FIELD: want …, got …` for the first field that differs; "" if none does."""
    for field in compared:
        if field not in got:
            return f"{field}: want {_text(wanted[field])}, got nothing{f' ({end})' if end else ''}"
        want, have = wanted[field], got[field]
        if want != have or isinstance(want, bool) is not isinstance(have, bool):
            return f"{field}: want {_text(want)}, got {_text(have)}"
    return f"{END}: want reached, got {end}" if end else ""


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)
