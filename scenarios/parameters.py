"""Parameters of a scenario: each with its unit and the values that it may have.

A scenario's parameters are a frozen dataclass whose fields are made by `parameter` or `named`; its
`__post_init__` calls `check`.  `described` is what the command line says of them.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from sim.errors import InputError
from sim.lines import open_lines

MOST_VALUES = 1000  # of a list -- chosen
_FILE_LINE_BYTES, _FILE_BYTES = 4096, 1 << 20  # of the values of --set KEY=@FILE -- chosen
_KEY = "allowed"
_DIGITS = 18  # of a whole number, as everywhere on the command line


@dataclass(frozen=True)
class Allowed:
    """unit: "1" for a count; low, high: both allowed, but `low` only without `above`; never: inf"""

    unit: str
    low: float
    high: float
    above: bool = False
    never: bool = False

    def text(self, whole: bool, several: bool) -> str:
        """The rule in words: what comes behind the semicolon of an error line."""
        rule = f"{'above' if self.above else 'from'} {self.low:g} to {self.high:g}"
        unit = "" if self.unit == "1" else f" {self.unit}"
        words = f"{'a whole number ' if whole else ''}{rule}{unit}"
        never = ", or never" if self.never else ""
        return f"{words}{never}{', or several with commas between' if several else ''}"

    def holds(self, value: float) -> bool:
        """Whether a value may be; NaN may not."""
        if math.isinf(value):
            return self.never and value > 0
        return (self.low < value if self.above else self.low <= value) and value <= self.high


@dataclass(frozen=True)
class AllowedText:
    """rule: what the names are, in words"""

    rule: str
    unit: str = "name"

    def text(self, whole: bool, several: bool) -> str:
        """The rule in words: what comes behind the semicolon of an error line."""
        return f"{self.rule}{', or several with commas between' if several else ''}"

    def holds(self, value: str) -> bool:
        """Whether it is a name at all; whether it is known is for whoever loads what it names."""
        return bool(value)


def parameter(
    default: Any, unit: str, low: float, high: float, above: bool = False, never: bool = False
) -> Any:
    """A field of a scenario's parameters."""
    allowed = Allowed(unit, low, high, above, never)
    return dataclasses.field(default=default, metadata={_KEY: allowed})


def named(default: Any, rule: str) -> Any:
    """A field of a scenario's parameters that is a name, or several."""
    return dataclasses.field(default=default, metadata={_KEY: AllowedText(rule)})


def check(point: Any) -> None:
    """Raise ValueError for the first value of a design point that is not allowed."""
    for field in dataclasses.fields(point):
        value = getattr(point, field.name)
        if (wrong := _wrong(field, value)) is not None:
            raise ValueError(f"{field.name} ({wrong}) must be {_rule(field, value)}")


def described(point: Any) -> list[dict[str, Any]]:
    """key, default, unit and allowed of each parameter."""
    return [
        {
            "key": field.name,
            "default": shown(getattr(point, field.name)),
            "unit": field.metadata[_KEY].unit,
            "allowed": _rule(field, getattr(point, field.name)),
        }
        for field in dataclasses.fields(point)
    ]


def allowed_of(field: dataclasses.Field[Any]) -> Allowed | AllowedText:
    """What the values of a parameter may be."""
    allowed: Allowed | AllowedText = field.metadata[_KEY]
    return allowed


def changed(point: Any, key: str, text: str, where: str = "--set ") -> Any:
    """The design point with one parameter set; `where` stands before its key in messages.

    `@FILE` is the values of a list, one a line. Raises InputError for text that is no such value,
    and for a value that is not allowed.
    """
    field = next(f for f in dataclasses.fields(point) if f.name == key)
    default = getattr(point, key)
    rule = _rule(field, default)
    if isinstance(default, tuple) and text.startswith("@"):
        value = _from_file(default[0], text[1:], rule)
    else:
        try:
            value = _like(default, text)
        except ValueError:
            raise InputError(f"{where}{key}", f"{text[:40]!r} is not such a value", rule) from None
    if (wrong := _wrong(field, value)) is not None:
        raise InputError(f"{where}{key}", f"{wrong} is out of range", rule)
    try:
        return dataclasses.replace(point, **{key: value})
    except ValueError as error:  # a rule of the scenario's own, about several values
        raise InputError(f"{where}{key}", str(error), rule) from None


def shown(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    if value == math.inf:
        return "never"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rule(field: dataclasses.Field[Any], value: Any) -> str:
    several = isinstance(value, tuple)
    whole = isinstance(value[0] if several else value, int)
    allowed: Allowed | AllowedText = field.metadata[_KEY]
    return allowed.text(whole, several)


def _wrong(field: dataclasses.Field[Any], value: Any) -> str | None:
    """The first of a parameter's values that is not allowed, as text; None if all are."""
    values = value if isinstance(value, tuple) else (value,)
    if not 1 <= len(values) <= MOST_VALUES:
        return f"{len(values)} values"
    holds = field.metadata[_KEY].holds
    return next(
        (
            one or "an empty name" if isinstance(one, str) else f"{one:g}"
            for one in values
            if not holds(one)
        ),
        None,
    )


def _from_file(example: Any, path: str, rule: str) -> tuple[Any, ...]:
    """The values in a file, one a line. Raises InputError."""
    allowed = f"one value a line, {rule.partition(', or several')[0]}"
    values = []
    with open_lines(path, allowed, _FILE_LINE_BYTES, _FILE_BYTES) as lines:
        for number, raw in lines:
            text = raw.decode("utf-8", "replace").strip()
            try:
                values.append(_like(example, text))
            except ValueError:
                what = f"{text!r:.40} is no such value"
                raise InputError(f"{path}:{number}", what, allowed) from None
    if not values:
        raise InputError(path, "the file is empty", allowed)
    return tuple(values)


def _like(default: Any, text: str) -> Any:
    """`text` as a value of the default's type; a list is separated by commas."""
    if isinstance(default, tuple):
        return tuple(_like(default[0], part.strip()) for part in text.split(","))
    if isinstance(default, float):
        return math.inf if text == "never" else float(text)
    if isinstance(default, str):
        return text
    if len(text) > _DIGITS or not text.removeprefix("-").isdecimal():
        raise ValueError(text)
    return int(text)
