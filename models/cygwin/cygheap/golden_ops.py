"""What may stand in an operation line of a golden trace, and the bytes that the line stands for."""

from __future__ import annotations

import string
from typing import Any

from models.cygwin.cygheap.layout import Era

TEXT_LIMIT_BYTES = 8 << 20  # of a generated string -- chosen
MODES = ("rpm", "nt1", "9x1", "nt2", "9x2", "ntg", "9xg")
MASK32 = 0xFFFFFFFF
_INT = {int}
_ARGUMENTS = {"m": 2, "M": 2, "z": 3, "r": 2, "f": 1}  # numbers before the results
_LETTERS = string.ascii_lowercase.encode()
_STEP7 = bytes((7 * i) & 255 for i in range(256))


def wanted(op: list[Any], count: int) -> tuple[int, ...]:
    """The results at the end of an operation line, behind its `count` arguments and name.

    Raises ValueError if they are not of the trace's format.
    """
    results = op[count:]
    expected = 2 if op[0] == "f" or (op[0] in "xk" and count == 2) else 3
    if not numbers(results, expected):
        raise ValueError(f"operation {op[0]!r} must end with {expected} whole numbers")
    return tuple(results)


def arguments(op: list[Any], era: Era) -> int:
    """How many entries of an operation come before its results, its name included.

    Raises ValueError if one of them is not allowed.
    """
    name = op[0]
    count = _ARGUMENTS.get(name)
    if count is not None:
        values = op[1 : 1 + count]
        if not numbers(values, count):
            raise ValueError(f"operation {name!r} needs {count} whole numbers")
        # the first is a type or, of "r" and "f", an offset: -1 stands for NULL
        if not -1 <= values[0] <= MASK32 >> (name in "mMz"):
            raise ValueError(f"operation {name!r} has a number outside its range")
        if min(values[1:], default=0) < 0 or max(values) > MASK32:
            raise ValueError(f"operation {name!r} has a number outside 32 bits")
        return 1 + count
    if name in "sS":
        return string_arguments(op)
    if len(op) < 2 or op[1] not in MODES:
        raise ValueError(f"the mode of {name!r} is not one of {', '.join(MODES)}")
    if (op[1] == "rpm") == era.buckets_in_header:
        raise ValueError(f"era {era.name} has no mode {op[1]!r}")
    if not op[1].endswith("g"):
        return 2
    if not numbers(op[2:3], 1) or not 0 <= op[2] <= MASK32:
        raise ValueError(f"mode {op[1]!r} needs the growth in bytes")
    return 3


def string_arguments(op: list[Any]) -> int:
    """`arguments` of a line that copies a string."""
    if len(op) > 1 and isinstance(op[1], str) and op[1].isascii() and "\0" not in op[1]:
        return 2
    if numbers(op[1:3], 2) and 0 <= op[1] < TEXT_LIMIT_BYTES and op[2] >= 0:
        return 3
    raise ValueError(f"operation {op[0]!r} needs a text, or a length and a seed")


def numbers(values: Any, count: int) -> bool:
    """Whether `values` is a list of `count` whole numbers."""
    return isinstance(values, list) and len(values) == count and set(map(type, values)) <= _INT


def text(op: list[Any]) -> bytes:
    """The string of an `s` or `S` line: literal, or `length` letters from `seed` on."""
    if isinstance(op[1], str):
        return op[1].encode()
    length, first = int(op[1]), int(op[2]) % 26
    letters = (_LETTERS[first:] + _LETTERS[:first]) * (length // 26 + 1)
    return letters[:length]


def pattern(kind: int, n: int) -> bytes:
    """What the trace's driver writes into a block of an `m` line; byte i = 31*kind + n + 7*i."""
    # 7 * 183 = 1 (mod 256), so the pattern is the table of multiples of 7, rotated
    start = ((31 * kind + n) * 183) & 255
    turn = _STEP7[start:] + _STEP7[:start]
    return turn[:n] if n <= 256 else (turn * ((n >> 8) + 1))[:n]
