"""What `--design` asks for: a TOML file, or a kind with its number of points as `lhs:20`.

    kind = "full"                # full, 2k, lhs, sobol or one-at-a-time
    points = 20                  # of lhs and sobol
    [factors.heap_kib]           # a parameter of the scenario, or scheme, or system
    levels = [16, 155, 1024]
    [factors.profile.loader.median]
    low = 1350                   # or about = 2: from half to twice what the profile has
    high = 5400
    log = true                   # even in the logarithm

Which keys there are is for `scenarios.design_points` to say.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

from sim.design import MOST_POINTS, Factor, Level
from sim.errors import InputError
from sim.lines import open_lines

KINDS = ("full", "2k", "lhs", "sobol", "one-at-a-time")
COUNTED = {"lhs": 20, "sobol": 16}  # kinds with a number of points, and how many unless said
ALLOWED = "kind (full, 2k, lhs, sobol or one-at-a-time), points, and [factors.KEY] tables"
_FILE_BYTES = 1 << 20  # chosen
_LARGEST = 1e18  # of a limit; every parameter and every cost is far below -- chosen
_FACTOR_KEYS = ("levels", "low", "high", "log", "about")


class Asked(NamedTuple):
    """A design as it is asked for. where: file or option, for messages"""

    where: str
    kind: str
    points: int | None
    factors: tuple[AskedFactor, ...]  # none: those of the scenario


class AskedFactor(NamedTuple):
    """One factor: a whole one, or a range about the value that the base has."""

    key: str
    factor: Factor | None
    about: float | None = None


def read(text: str, option: str = "--design") -> Asked:
    """The design in a file, or in the short form that `option` has. Raises InputError."""
    if text.endswith(".toml") or "/" in text or "\\" in text:
        return _from_file(text)
    kind, colon, number = text.partition(":")
    where = f"{option} {text[:60]}"
    return Asked(where, _kind(where, kind), _points(where, kind, number if colon else None), ())


def _from_file(path: str) -> Asked:
    try:
        with open_lines(path, ALLOWED, _FILE_BYTES, _FILE_BYTES) as lines:
            raw = b"".join(line for _, line in lines)
        content = tomllib.loads(raw.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start} is not UTF-8", ALLOWED) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(path, f"not TOML: {error}", ALLOWED) from None
    except RecursionError:
        raise InputError(path, "it is nested too deeply", ALLOWED) from None
    for key in content:
        if key not in ("kind", "points", "factors"):
            raise InputError(path, f"{key}: no such key", ALLOWED)
    if "kind" not in content:
        raise InputError(path, "kind: missing", f"one of {', '.join(KINDS)}")
    kind = _kind(f"{path}: kind", content["kind"])
    points = _points(f"{path}: points", kind, content.get("points"))
    factors = content.get("factors", {})
    if not isinstance(factors, dict):
        raise InputError(path, "factors: not a table", "[factors.KEY] tables")
    found = [_factor(path, key, table) for key, table in _tables(path, "", factors)]
    return Asked(path, kind, points, tuple(found))


def _kind(where: str, value: Any) -> str:
    if value not in KINDS:
        raise InputError(where, f"{str(value)[:40]!r} is no kind of design", ", ".join(KINDS))
    return str(value)


def _points(where: str, kind: str, value: Any) -> int | None:
    """The number of points, where the kind has one. Raises InputError."""
    if kind not in COUNTED:
        if value is not None:
            allowed = f"leave it out, or take {' or '.join(COUNTED)}"
            raise InputError(where, f"the points of {kind} follow from its factors", allowed)
        return None
    if value is None:
        return COUNTED[kind]
    rule = f"a whole number from 2 to {MOST_POINTS}"
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= MOST_POINTS:
        raise InputError(where, f"{str(value)[:40]!r} is no number of points", rule)
    if kind == "sobol" and value & (value - 1):
        below = 1 << (value.bit_length() - 1)
        allowed = f"a power of two, as {below} or {2 * below}"
        raise InputError(where, f"{value} points are not balanced", allowed)
    return value


def _tables(path: str, before: str, table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and table of each factor; a table that holds nothing but tables is part of a key."""
    for name, value in table.items():
        key = f"{before}{name}"
        if not isinstance(value, dict):
            what = f"factors.{key}: not a table"
            raise InputError(path, what, f"a table with {', '.join(_FACTOR_KEYS)}")
        if value and all(isinstance(part, dict) for part in value.values()):
            yield from _tables(path, f"{key}.", value)
        else:
            yield key, value


def _factor(path: str, key: str, table: dict[str, Any]) -> AskedFactor:
    at = f"factors.{key}"
    for name in table:
        if name not in _FACTOR_KEYS:
            raise InputError(path, f"{at}.{name}: no such key", ", ".join(_FACTOR_KEYS))
    for name in ("low", "high", "about"):
        if name in table and (isinstance(table[name], bool)
                              or not isinstance(table[name], int | float)):  # fmt: skip
            raise InputError(path, f"{at}.{name}: {table[name]!r} is not a number", "a number")
        if abs(table.get(name, 0)) > _LARGEST:
            raise InputError(path, f"{at}.{name}: too large", f"at most {_LARGEST:g}")
    if not isinstance(table.get("log", False), bool):
        raise InputError(path, f"{at}.log: {table['log']!r} is neither", "true or false")
    if "about" in table:
        if len(table) > 1 or not 1 < table["about"] <= 1000:
            raise InputError(path, f"{at}.about", "a number above 1 to 1000, and nothing beside it")
        return AskedFactor(key, None, float(table["about"]))
    levels = table.get("levels", [])
    if not isinstance(levels, list) or not all(isinstance(v, str | int | float) for v in levels):
        raise InputError(path, f"{at}.levels: not a list of values", "[first, second, …]")
    for level in levels:
        if isinstance(level, float) and not math.isfinite(level):
            allowed = 'a finite number; "never" is a word'
            raise InputError(path, f"{at}.levels: {level} is no value", allowed)
    try:
        factor = Factor(key, tuple(map(_level, levels)), _end(table, "low"), _end(table, "high"),
                        table.get("log", False))  # fmt: skip
    except ValueError as error:
        raise InputError(path, f"{at}: {error}", "levels, or low and high") from None
    return AskedFactor(key, factor)


def _level(value: Level) -> Level:
    return str(value).lower() if isinstance(value, bool) else value


def _end(table: dict[str, Any], name: str) -> float | None:
    return None if name not in table else float(table[name])
