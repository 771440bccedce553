"""Messages of many runs side by side: what differs between them has a word, each has a letter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NUMBERS = (  # what differs from run to run in a message -> what stands for it
    (re.compile(r"\d+\(0x[0-9A-F]+\)"), "PID(HANDLE)"),
    (re.compile(r"status code 0x[0-9A-F]+"), "status code CODE"),
    (re.compile(r"pass \d+ failed, 0x[0-9A-F]+\.\.0x[0-9A-F]+"), "pass N failed, FROM..TO"),
    (re.compile(r"heap 0X[0-9A-F]+, size \d+"), "heap BASE, size N"),
    (re.compile(r" \(\d+ bytes are over the limit\)"), ""),
)


def general(message: str) -> str:
    """A message without the numbers that differ from run to run."""
    for pattern, word in _NUMBERS:
        message = pattern.sub(word, message)
    return message


def lettered(messages: Iterable[str]) -> dict[str, str]:
    """A letter for each message, in the order in which they are met; "" has none."""
    return dict(zip(dict.fromkeys(m for m in messages if m), _LETTERS, strict=False))


def legend(letters: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A conclusion for each letter: what it stands for."""
    for text, letter in letters.items():
        lines = ", ".join(f'"{line}"' for line in text.split(" / "))
        yield f"{letter} is {lines}", "exact"
