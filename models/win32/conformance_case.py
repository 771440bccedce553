"""Conformance cases: what a real program did with the Win32 API, and what it was answered.

A file has one JSON object a line (`tests/data/win32/README.md`).  `expected` is what NT answers:
what was observed, with the corrections of the case.

Raises InputError and nothing else for a file that is missing, cut off or no file of cases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.lines import open_lines

ALLOWED = "allowed are Win32 conformance cases, one JSON object a line, plain or gzip"
STATUSES = ("same", "differs", "unsure")
LINE_LIMIT_BYTES = 1 << 20  # of one case -- chosen
CASES_LIMIT = 100_000  # in one file -- chosen

Value = bool | int | float | str | None
Ops = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    name: stable id -- constant
    ops: what the program did, as data; None if there are only words -- constant
    observed: fields and answers under Wine -- constant
    expected: the same with what NT is known to answer instead -- constant
    status: "same", "differs" or "unsure" -- constant
    """

    name: str
    ops: Ops | None
    observed: dict[str, Value]
    expected: dict[str, Value]
    status: str


def read_cases(path: Path | str) -> Iterator[Case]:
    """The cases of a file, in order; "-" is standard input."""
    where = str(path)
    number = 0
    with open_lines(path, ALLOWED, LINE_LIMIT_BYTES, LINE_LIMIT_BYTES * CASES_LIMIT) as lines:
        for number, line in lines:
            if number > CASES_LIMIT:
                raise InputError(
                    f"{where}:{number}", "the file is too long", f"at most {CASES_LIMIT} cases"
                )
            yield _case(f"{where}:{number}", line)
    if not number:
        raise InputError(where, "the file is empty", ALLOWED)


def _case(where: str, line: bytes) -> Case:
    try:
        raw: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        text = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(where, f"not a line of JSON ({text})", ALLOWED) from None
    if not isinstance(raw, dict):
        raise InputError(where, "the line is no JSON object", ALLOWED)
    if "schema" in raw:
        raise InputError(where, f"the schema is {raw['schema']!r}", ALLOWED)
    name = raw.get("name")
    if not isinstance(name, str) or not name or any(c.isspace() for c in name):
        raise InputError(where, f"name {name!r}", "a name is a word; " + ALLOWED)
    observed = _answers(f"{where}: {name}: outcome", raw.get("outcome"))
    windows = raw.get("windows")
    if not isinstance(windows, dict) or windows.get("status") not in STATUSES:
        raise InputError(f"{where}: {name}: windows", "no status", "one of " + ", ".join(STATUSES))
    corrected = _answers(f"{where}: {name}: windows.expected", windows.get("expected", {}))
    ops = raw.get("ops")
    if ops is not None and not is_script(ops):
        raise InputError(f"{where}: {name}: ops", "no script", "a list of [verb, target, …]")
    return Case(name, ops, observed, {**observed, **corrected}, windows["status"])


def _answers(where: str, raw: Any) -> dict[str, Value]:
    if not isinstance(raw, dict):
        raise InputError(where, "it is missing", "an object of fields and answers")
    for field, value in raw.items():
        if not (value is None or isinstance(value, bool | int | float | str)):
            raise InputError(where, f"{field} is no plain value", "numbers, strings, true, false")
    return raw


def is_script(ops: Any) -> bool:
    """Whether this is a list of lists that begin with a verb."""
    return isinstance(ops, list) and all(
        isinstance(op, list) and op and isinstance(op[0], str) for op in ops
    )
