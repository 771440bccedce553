"""The interpreter of a conformance case: steps as data become calls of a simulated thread.

A script is one process: its names stand for handles, addresses and children.  What a verb does is
in `conformance_objects.py`, `conformance_memory.py` and `conformance_processes.py`; what all have
in common is here: how a step is read, where its answers go, and how it can end the process.

    [verb, target, ..., {option: value}]

An option either tells the verb something or names the field that an answer goes to (`out`, `err`,
`null` for all verbs).  Some end the process: `exit_with: 1` with the answer, `exit_if: [value, yes,
no]` with one of two codes (`exit_thread_if` ends the thread), `ANSWER_or_exit: code` unless that
answer is true; `VERB_or_exit` with `{ok: code, bad: code}` does the same for a whole step.

Source: `data/win32/README.md`, section "ops".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.win32.conformance_case import Ops, is_script
from models.win32.errors import PartialCopy, Win32Error
from models.win32.handles import CURRENT_PROCESS, CURRENT_THREAD
from models.win32.kernel import Kernel
from models.win32.thread import Thread
from sim.engine import Steps
from sim.errors import SimError

Answers = dict[str, Any]

EVERY_ANSWER = frozenset(("out", "err", "null"))
DEEPEST = 16  # scripts within scripts -- chosen
_OR_EXIT = "_or_exit"
_EXPRESSION = re.compile(
    r"(#?[A-Za-z_][\w.]*|#?(?:0x[0-9a-fA-F]+|\d+))(?:([+-])(0x[0-9a-fA-F]+|\d+))?"
)


class CannotRun(SimError):
    """A step is not one that the interpreter knows. Args: (reason,)."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Verb:
    """What a verb does.

    run: its calls, in the process of the script; the answers by name -- constant
    arguments: fewest and most targets -- constant
    options: what it can be told -- constant
    answers: what it can answer beside EVERY_ANSWER -- constant
    failed: its answer `out` if the call fails -- constant
    any_option: options are addresses -- constant
    """

    run: Callable[[Script, Step], Steps | Answers]
    arguments: tuple[int, int]
    options: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()
    failed: Any = False
    any_option: bool = False


@dataclass(slots=True)
class Step:
    """One step, read. fields: answer -> field of the outcome; exits: answer -> exit codes.

    scripts: option -> the steps of a child or thread
    """

    verb: Verb
    name: str
    targets: list[Any]
    options: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, str | None] = field(default_factory=dict)
    exits: dict[str, Any] = field(default_factory=dict)
    scripts: dict[str, list[Step]] = field(default_factory=dict)

    def flag(self, option: str, default: bool = False) -> bool:
        """An option that is 0, 1, true or false."""
        value = self.options.get(option, default)
        if not isinstance(value, int):
            raise CannotRun(f"{option} of {self.name!r} is {value!r}, not 0 or 1")
        return bool(value)

    def number(self, option: str, default: int | None = None) -> int:
        """An option that is a whole number. Raises CannotRun if it is none, or missing."""
        value = self.options.get(option, default)
        if not isinstance(value, int):
            raise CannotRun(f"{option} of {self.name!r} is {value!r}, not a whole number")
        return value

    def text(self, option: str, default: str | None = None) -> str:
        """An option that is a string. Raises CannotRun if it is none, or missing."""
        value = self.options.get(option, default)
        if not isinstance(value, str):
            raise CannotRun(f"{option} of {self.name!r} is {value!r}, not a string")
        return value

    def several(self, i: int) -> list[Any]:
        """A target that is a list, or one thing as a list."""
        value = self.targets[i]
        return value if isinstance(value, list) else [value]

    def word(self, i: int) -> str:
        """A target that is a new name. Raises CannotRun."""
        value = self.targets[i]
        if not isinstance(value, str):
            raise CannotRun(f"{self.name!r} needs a name, not {value!r}")
        return value


@dataclass(slots=True)
class Reader:
    """Reads the steps of one case.

    verbs: all that are known -- constant
    outcome: the fields of the case -- constant
    asked: fields that the main script will answer -- output
    left_out: fields that an unknown answer was to go to -- output
    """

    verbs: Mapping[str, Verb]
    outcome: frozenset[str]
    asked: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def read(self, ops: Ops, depth: int = 0) -> list[Step]:
        """The steps. Raises CannotRun for a verb, an option or a form that is not known."""
        if depth > DEEPEST:
            raise CannotRun(f"scripts stand in scripts {DEEPEST} deep")
        return [self._step(op, depth) for op in ops]

    def _step(self, op: list[Any], depth: int) -> Step:
        name = op[0]
        verb = self.verbs.get(name)
        whole = verb is None and name.endswith(_OR_EXIT)
        if whole:
            verb = self.verbs.get(name.removesuffix(_OR_EXIT))
        if verb is None:
            raise CannotRun(f"unknown verb {name!r}")
        targets = op[1:]
        options = targets.pop() if targets and isinstance(targets[-1], dict) else {}
        step = Step(verb, name, targets)
        fewest, most = verb.arguments
        if not fewest <= len(targets) <= most:
            raise CannotRun(f"{name!r} with {len(targets)} targets")
        if whole:
            step.exits["whole"] = {key: options[key] for key in ("ok", "bad") if key in options}
            options = {key: options[key] for key in options if key not in step.exits["whole"]}
        for option, value in options.items():
            self._option(step, option, value, depth)
        return step

    def _option(self, step: Step, option: str, value: Any, depth: int) -> None:
        verb = step.verb
        answers = verb.answers | EVERY_ANSWER
        is_field = value is None or (isinstance(value, str) and value in self.outcome)
        if option in ("child", "run") and option in verb.options:
            if not is_script(value):
                raise CannotRun(f"{option} of {step.name!r} is no script")
            # The answers of another process never come back; those of a thread do.
            reader = self if option == "run" else Reader(self.verbs, self.outcome)
            step.scripts[option] = reader.read(value, depth + 1)
        elif option in verb.options or verb.any_option:
            step.options[option] = value
        elif option in answers and is_field:
            step.fields[option] = value
            if value is not None:
                self.asked.append(value)
        elif option in ("exit_with", "exit_if", "exit_thread_if") or (
            option.endswith(_OR_EXIT) and option.removesuffix(_OR_EXIT) in answers
        ):
            step.exits[option] = value
        elif is_field and value is not None:
            self.left_out.append(value)
        else:
            raise CannotRun(f"unknown option {option!r} of {step.name!r}")


@dataclass(slots=True)
class Scope:
    """What the names of one process stand for.

    names: handles and addresses -- state
    children: by name, the scopes of children -- state
    pid: of the process; 0 if it was not created -- constant
    answers: field -> what was answered -- output
    """

    names: dict[str, int] = field(default_factory=dict)
    children: dict[str, Scope] = field(default_factory=dict)
    pid: int = 0
    answers: dict[str, Any] = field(default_factory=dict)


class Script:
    """The steps of one thread.

    k, me: the machine and the thread -- constant
    scope: shared by the threads of a process -- state
    symbols: addresses that every program knows -- constant
    """

    def __init__(self, k: Kernel, me: Thread, scope: Scope, symbols: Mapping[str, int]) -> None:
        self.k = k
        self.me = me
        self.scope = scope
        self.symbols = symbols

    def run(self, steps: list[Step]) -> Steps:
        """Do all steps, one after the other. Runs in the thread of the script."""
        for step in steps:
            self.me.last_error = 0
            try:
                calls = step.verb.run(self, step)
                answers = calls if isinstance(calls, dict) else (yield from calls)
                answers = {"out": True, "null": False, "err": self.me.last_error, **answers}
            except Win32Error as error:
                answers = _failure(step.verb, error)
            for name, place in step.fields.items():
                if place is not None and name in answers:
                    self.scope.answers[place] = answers[name]
            if step.exits:
                code = _exit_code(step, answers)
                if code is not None and "exit_thread_if" in step.exits:
                    yield from self.k.exit_thread(self.me, code)
                elif code is not None:
                    yield from self.k.exit_process(self.me, code)

    def handle(self, expression: Any) -> int:
        """The handle that a target means; one that was never open is still a number."""
        pseudo = {"#self": CURRENT_PROCESS, "#thread": CURRENT_THREAD}
        if isinstance(expression, str) and expression in pseudo:
            return pseudo[expression]
        return self.value(expression)

    def value(self, expression: Any) -> int:
        """The number behind `name`, `name+offset`, `#symbol` or `#0x...`. Raises CannotRun."""
        if isinstance(expression, int) and not isinstance(expression, bool):
            return expression
        found = _EXPRESSION.fullmatch(expression) if isinstance(expression, str) else None
        if found is None:
            raise CannotRun(f"{expression!r} is no name, address or number")
        name, sign, offset = found.groups()
        base = self.base(name)
        return base + int(f"{sign}{offset}", 0) if offset else base

    def base(self, expression: str) -> int:
        """The number behind the name in an expression, its offset left out. Raises CannotRun."""
        name = re.split("[+-]", expression)[0]
        if name in self.scope.names:
            return self.scope.names[name]
        if name in self.symbols:
            return self.symbols[name]
        digits = name.removeprefix("#")
        if digits[:1].isdigit():
            return int(digits, 16) if digits.startswith("0x") else int(digits)
        raise CannotRun(f"nothing is called {name!r} so far")

    def child(self, name: Any) -> Scope:
        """The scope of a child. Raises CannotRun."""
        if not isinstance(name, str) or name not in self.scope.children:
            raise CannotRun(f"no child is called {name!r} so far")
        return self.scope.children[name]

    def milliseconds(self, value: Any) -> int:
        """A time limit [ms]; -1 for INFINITE. Raises CannotRun."""
        if value in ("INFINITE", -1, 0xFFFFFFFF):
            return -1
        if isinstance(value, int) and value >= 0:
            return value
        raise CannotRun(f"{value!r} is no time in milliseconds")


def as_bytes(value: Any) -> bytes:
    """Bytes that a step holds: a string, one number, or a list of numbers. Raises CannotRun."""
    if isinstance(value, str):
        return value.encode("latin-1", "replace")
    numbers = value if isinstance(value, list) else [value]
    if numbers and all(isinstance(byte, int) and 0 <= byte < 256 for byte in numbers):
        return bytes(numbers)
    raise CannotRun(f"{value!r} are no bytes")


def _failure(verb: Verb, error: Win32Error) -> Answers:
    answers: Answers = dict.fromkeys(("exact", "same", "differs", "equal"), False)
    answers |= {"out": verb.failed, "err": error.code, "null": True, "prev": 0xFFFFFFFF}
    answers["n"] = error.done_bytes if isinstance(error, PartialCopy) else 0
    return answers


def _exit_code(step: Step, answers: Answers) -> int | None:
    """The code with which the process is to end after this step, None if it goes on."""
    for option, value in step.exits.items():
        code: Any = None
        if option == "whole":
            worked = answers["out"] not in (False, None, "FAILED", "TIMEOUT", 0xFFFFFFFF)
            code = value.get("ok" if worked else "bad")
        elif option == "exit_with":
            code = answers["out"] if value else None
        elif option in ("exit_if", "exit_thread_if"):
            if not isinstance(value, list) or len(value) != 3:
                raise CannotRun(f"{option} is not [value, code if equal, code if not]")
            code = value[1] if answers["out"] == value[0] else value[2]
        elif not answers.get(option.removesuffix(_OR_EXIT)):
            code = value
        if code is None:
            continue
        if not isinstance(code, int):
            raise CannotRun(f"{code!r} is no exit code")
        return code
    return None
