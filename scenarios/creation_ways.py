"""Ways of making a child that a scenario tries in turn: fork, exec or spawn, each without a socket
open and with one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scenarios.parameters import named

KINDS = ("fork", "exec", "spawn")
WAYS = tuple(f"{kind}{socket}" for socket in ("", ", socket") for kind in KINDS)
_BY_WORD = {way.replace(", ", "-"): way for way in WAYS}  # as --set and points name each
_A_WAY = f"one of {', '.join(_BY_WORD)}"


def ways_parameter() -> Any:
    """A field of a scenario's parameters: words of the ways to try, all of them if none are set."""
    return named(tuple(_BY_WORD), _A_WAY)


def check_ways(words: Iterable[str]) -> None:
    """Raise ValueError for the first word that names no way."""
    for word in words:
        if word not in _BY_WORD:
            raise ValueError(f"ways ({word}) must be {_A_WAY}")


def asked(words: Iterable[str]) -> list[str]:
    """The ways that these words name, in the order of WAYS."""
    chosen = set(words)
    return [way for word, way in _BY_WORD.items() if word in chosen]
