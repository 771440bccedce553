"""What a file can come to: bytes damaged, lines moved, values replaced, packed well and badly.

Each mutation takes the bytes of a good file and a generator, and gives other bytes; the same
generator gives the same bytes.  `SAME` are those that leave the meaning as it was.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

Draw = np.random.Generator
Mutation = Callable[[bytes, Draw], bytes]

BOMB_BYTES = 64 << 20
_DEEP = "[" * 100_000
_ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 255, 4096, 65_536, 1 << 31, (1 << 31) - 1, 1 << 32,
    1 << 53, 1 << 63, 1 << 64, -(1 << 63), 10**30, 0.5, -0.0, 1e-308, 1e15, 1e308, "", "0", "x",
    "0x", "0x61000000", "0xffffffffffffffffffff", "-", "@", "a b", "é", "\u0000", "\ud800",
    "\u2028", "%s%n", "../..", "x" * 5000, [], [0], [[]], [-1, 1e9], {}, {"a": 1}, [None] * 50,
)  # fmt: skip
ODD_TOKENS = (
    b"", b"0", b"-1", b"1", b"nan", b"NaN", b"-inf", b"Infinity", b"1e400", b"-1e308", b"1e-400",
    b"9" * 400, b"9" * 5000, b"0x", b"0xffffffff", b"0x7fffffffffffffff", b"0b1", b"1_0", b"1_",
    b"true", b"null", b'"x"', b"[]", b"[[[]]]", b"{}", b"''", b"=", b'"', b"'", b"\\", b",", b":",
    b"\x00", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", "é".encode(), "１２".encode(), b"%d",
    b"a" * 300, b"2026-01-01", b"99999-99-99", b"-0", b"+1", b"00", b"0.1", b"1.", b".1", b"1e5",
    b"4294967296",
)  # fmt: skip
_TOKEN = re.compile(rb"[A-Za-z0-9_.+-]+|[^\sA-Za-z0-9_.+-]")


def _at(draw: Draw, count: int) -> int:
    return int(draw.integers(0, max(count, 1)))


def _one_of(draw: Draw, values: Any) -> Any:
    return values[_at(draw, len(values))]


# ---- bytes -----------------------------------------------------------------------------------


def flip_bytes(data: bytes, draw: Draw) -> bytes:
    made = bytearray(data)
    for _ in range(1 + _at(draw, 5)):
        if made:
            made[_at(draw, len(made))] = _at(draw, 256)
    return bytes(made)


def cut_off(data: bytes, draw: Draw) -> bytes:
    return data[: _at(draw, len(data) + 1)]


def cut_out(data: bytes, draw: Draw) -> bytes:
    begin = _at(draw, len(data))
    return data[:begin] + data[begin + 1 + _at(draw, 40) :]


def put_in(data: bytes, draw: Draw) -> bytes:
    at = _at(draw, len(data) + 1)
    return data[:at] + _one_of(draw, ODD_TOKENS) + data[at:]


def replace_token(data: bytes, draw: Draw) -> bytes:
    made = data
    for _ in range(1 + _at(draw, 2)):
        found = list(_TOKEN.finditer(made))
        if found:
            token = _one_of(draw, found)
            made = made[: token.start()] + _one_of(draw, ODD_TOKENS) + made[token.end() :]
    return made


def replace_number(data: bytes, draw: Draw) -> bytes:
    found = list(re.finditer(rb"(?<![\w.])-?[0-9][\w.]*", data))
    if not found:
        return replace_token(data, draw)
    token = _one_of(draw, found)
    return data[: token.start()] + _one_of(draw, ODD_TOKENS) + data[token.end() :]


def nothing(data: bytes, draw: Draw) -> bytes:
    return b""


def zeros(data: bytes, draw: Draw) -> bytes:
    return data[: _at(draw, len(data))] + bytes(1 + _at(draw, 5000))


def long_line(data: bytes, draw: Draw) -> bytes:
    return data + _one_of(draw, (b" ", b"x", b"9", b"[", b'"')) * (8 << 20) + b"\n"


def deep_nesting(data: bytes, draw: Draw) -> bytes:
    lines = data.split(b"\n")
    lines[_at(draw, len(lines))] = (_one_of(draw, ("", '{"a":', "a = ")) + _DEEP).encode()
    return b"\n".join(lines)


# ---- lines -----------------------------------------------------------------------------------


def repeat_line(data: bytes, draw: Draw) -> bytes:
    lines = data.splitlines(keepends=True)
    if lines:
        lines.insert(_at(draw, len(lines) + 1), _one_of(draw, lines))
    return b"".join(lines)


def drop_line(data: bytes, draw: Draw) -> bytes:
    lines = data.splitlines(keepends=True)
    if lines:
        del lines[_at(draw, len(lines))]
    return b"".join(lines)


def swap_lines(data: bytes, draw: Draw) -> bytes:
    lines = data.splitlines(keepends=True)
    if lines:
        a, b = _at(draw, len(lines)), _at(draw, len(lines))
        lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def many_lines(data: bytes, draw: Draw) -> bytes:
    return data + _one_of(draw, data.splitlines(keepends=True) or [b"x\n"]) * 300


def blank_lines(data: bytes, draw: Draw) -> bytes:
    lines = data.splitlines(keepends=True)
    lines.insert(_at(draw, len(lines) + 1), _one_of(draw, (b"\n", b"  \n", b"\r", b"\x0c\n")))
    return b"".join(lines)


# ---- values in JSON --------------------------------------------------------------------------


def _json_line(data: bytes, draw: Draw) -> tuple[list[bytes], int, Any]:
    lines = data.split(b"\n")
    at = _at(draw, len(lines))
    for place in (at, 0):
        try:
            return lines, place, json.loads(lines[place])
        except (ValueError, RecursionError):
            continue
    return lines, at, None


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value below."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += _places(inner)
    return found


def _changed(data: bytes, draw: Draw, change: Callable[[Any, Any, Draw], None]) -> bytes:
    lines, at, value = _json_line(data, draw)
    if not isinstance(value, dict | list) or not (places := _places(value)):
        return replace_token(data, draw)
    change(*_one_of(draw, places), draw)
    lines[at] = json.dumps(value).encode()
    return b"\n".join(lines)


def odd_value(data: bytes, draw: Draw) -> bytes:
    def change(container: Any, key: Any, draw: Draw) -> None:
        container[key] = _one_of(draw, _ODD_VALUES)

    return _changed(data, draw, change)


def near_value(data: bytes, draw: Draw) -> bytes:
    """A number a little or a lot away; anything else becomes odd."""

    def change(container: Any, key: Any, draw: Draw) -> None:
        value = container[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            container[key] = _one_of(draw, (value + 1, value - 1, -value, value * 1000, value / 3))
        else:
            container[key] = _one_of(draw, _ODD_VALUES)

    return _changed(data, draw, change)


def drop_key(data: bytes, draw: Draw) -> bytes:
    def change(container: Any, key: Any, draw: Draw) -> None:
        del container[key]

    return _changed(data, draw, change)


def odd_key(data: bytes, draw: Draw) -> bytes:
    def change(container: Any, key: Any, draw: Draw) -> None:
        if isinstance(container, dict):
            container[str(_one_of(draw, _ODD_VALUES))] = container.pop(key)
        else:
            container.append(container[key])

    return _changed(data, draw, change)


def key_twice(data: bytes, draw: Draw) -> bytes:
    lines, at, value = _json_line(data, draw)
    if not isinstance(value, dict) or not value:
        return repeat_line(data, draw)
    key = _one_of(draw, list(value))
    more = json.dumps({key: _one_of(draw, (value[key], *_ODD_VALUES))})
    lines[at] = json.dumps(value)[:-1].encode() + b", " + more[1:].encode()
    return b"\n".join(lines)


# ---- packing ---------------------------------------------------------------------------------


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def gzip_cut_off(data: bytes, draw: Draw) -> bytes:
    return cut_off(_packed(data), draw)


def gzip_damaged(data: bytes, draw: Draw) -> bytes:
    return flip_bytes(_packed(data), draw)


def gzip_and_more(data: bytes, draw: Draw) -> bytes:
    return _packed(data) + bytes(draw.integers(0, 256, 1 + _at(draw, 40), dtype=np.uint8))


def gzip_twice(data: bytes, draw: Draw) -> bytes:
    return _packed(_packed(data))


def bomb(data: bytes, draw: Draw) -> bytes:
    return _packed(data + _one_of(draw, (b"\x00", b" ", b"x", b"\n", b"9 ", b"[")) * BOMB_BYTES)


# ---- what changes nothing --------------------------------------------------------------------


def crlf(data: bytes, draw: Draw) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def packed(data: bytes, draw: Draw) -> bytes:
    return _packed(data)


def trailing_blanks(data: bytes, draw: Draw) -> bytes:
    return b"\n".join(line + b"  " if line else line for line in data.split(b"\n"))


def keys_in_another_order(data: bytes, draw: Draw) -> bytes:
    lines = []
    for line in data.split(b"\n"):
        value = json.loads(line) if line else None
        if isinstance(value, dict):
            keys = list(value)
            draw.shuffle(keys)
            line = json.dumps({key: value[key] for key in keys}).encode()
        lines.append(line)
    return b"\n".join(lines)


def wide_json(data: bytes, draw: Draw) -> bytes:
    wide = (" , ", " : ")
    return b"\n".join(
        json.dumps(json.loads(line), separators=wide, ensure_ascii=True).encode() if line else line
        for line in data.split(b"\n")
    )


def wide_toml(data: bytes, draw: Draw) -> bytes:
    return re.sub(rb"(?m)^(\w+) = ", rb"  \1   =   ", data) + b"\n# the end\n"


BYTES: tuple[Mutation, ...] = (
    flip_bytes, cut_off, cut_out, put_in, replace_token, replace_token, replace_number,
    replace_number, nothing, zeros, repeat_line, drop_line, swap_lines, many_lines, blank_lines,
    gzip_cut_off, gzip_damaged, gzip_and_more, gzip_twice,
)  # fmt: skip
LARGE: tuple[Mutation, ...] = (long_line, deep_nesting, bomb)  # slow: one in fifty
JSON: tuple[Mutation, ...] = (
    odd_value, odd_value, odd_value, near_value, near_value, drop_key, odd_key, key_twice,
)  # fmt: skip
SAME: dict[str, tuple[Mutation, ...]] = {
    "json": (crlf, packed, trailing_blanks, keys_in_another_order, wide_json),
    "toml": (crlf, trailing_blanks, wide_toml),
    "text": (crlf, packed, trailing_blanks),
    "csv": (crlf, packed),
}


def mutate(kind: str, data: bytes, draw: Draw) -> tuple[str, bytes]:
    """One to three mutations after each other: (their names, what comes of them)."""
    if draw.random() < 0.02:
        last = _one_of(draw, LARGE)
        return last.__name__, last(data, draw)
    known = BYTES + JSON + JSON if kind == "json" else BYTES
    names = []
    for _ in range(1 + _at(draw, 3)):
        mutation = _one_of(draw, known)
        names.append(mutation.__name__)
        data = mutation(data, draw)
    return " ".join(names), data
