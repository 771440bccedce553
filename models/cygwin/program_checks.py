"""What a program may give to a call: each value is checked before anything happens.

A check returns the value in the form that the calls below want.  TypeError says that it is of
another kind, ValueError that it is out of range; both name it, the value and the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isfinite
from types import GeneratorType
from typing import Any

Text = str | bytes

WORD = 1 << 32  # a DWORD of Win32 is below


def number(what: str, value: float, also: str = "") -> float:
    """A finite number of at least 0. `also`: what else there is, for the message."""
    rule = f"must be a number of at least 0{also and f'; {also}'}"
    if not isinstance(value, int | float):
        raise TypeError(f"{what} ({value!r}) {rule}")
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"{what} ({value}) {rule}")
    return value


def whole(what: str, value: int, low: int = 0, high: float = inf) -> int:
    """An integer between two limits, both allowed."""
    rule = f"between {low} and {high}" if high != inf else f"of at least {low}"
    if not isinstance(value, int):
        raise TypeError(f"{what} ({value!r}) must be an integer {rule}")
    if not low <= value <= high:
        raise ValueError(f"{what} ({value}) must be an integer {rule}")
    return value


def exit_code(value: int) -> int:
    """An exit code, which Windows keeps in 32 bits; a negative one wraps around."""
    return whole("exit code", value, -WORD // 2, WORD - 1) % WORD


def text(what: str, value: Text) -> bytes:
    """A string as it lies in memory: UTF-8, ended by NUL."""
    if not isinstance(value, str | bytes):
        raise TypeError(f"{what} ({value!r}) must be a string")
    found = value.encode() if isinstance(value, str) else value
    if b"\0" in found:
        raise ValueError(f"{what} ({value!r}) must not contain NUL, which ends a string")
    return found


def texts(what: str, words: Sequence[Text]) -> list[bytes]:
    """The words of an argv or environment."""
    if isinstance(words, str | bytes) or not isinstance(words, Sequence):
        raise TypeError(f"{what} ({words!r}) must be a list of strings")
    return [text(f"{what}[{i}]", word) for i, word in enumerate(words)]


def directory(name: Text) -> bytes:
    """An absolute POSIX name."""
    found = text("name", name)
    if not found.startswith(b"/"):
        raise ValueError(f"name ({name!r}) must begin with /")
    return found


def function(value: object) -> Callable[[Any], Any]:
    """A function of a process, which is what a fork child goes on with."""
    if isinstance(value, GeneratorType):
        name = value.gi_code.co_name
        raise TypeError(f"{name}(...) has been called already: give the function, {name}")
    if not callable(value):
        hint = "; a program file is for exec and spawn" if hasattr(value, "steps") else ""
        raise TypeError(f"program ({value!r}) must be a function of a process{hint}")
    return value
