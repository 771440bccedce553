"""Parameters of a scenario: each with its unit and the values that it may have.

A scenario's parameters are a frozen dataclass whose fields are made by `parameter`; its
`__post_init__` calls `check`.  `described` is what the command line says of them.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from sim.errors import InputError
from sim.lines import open_lines

_KEY = "allowed"
LINE_LIMIT_BYTES, FILE_LIMIT_BYTES = 4096, 1 << 20  # of a list in a file -- chosen
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
        rule = f"{'above' if self.above else 'from'} {self.low:.15g} to {self.high:.15g}"
        unit = "" if self.unit == "1" else f" {self.unit}"
        words = f"{'a whole number ' if whole else ''}{rule}{unit}"
        never = ", or never" if self.never else ""
        return f"{words}{never}{', or several with commas between' if several else ''}"

    def holds(self, value: float) -> bool:
        """Whether a value may be; NaN may not."""
        if math.isinf(value):
            return self.never and value > 0
        return (self.low < value if self.above else self.low <= value) and value <= self.high


def parameter(
    default: Any, unit: str, low: float, high: float, above: bool = False, never: bool = False
) -> Any:
    """A field of a scenario's parameters."""
    allowed = Allowed(unit, low, high, above, never)
    return dataclasses.field(default=default, metadata={_KEY: allowed})


def check(point: Any) -> None:
    """Raise ValueError for the first value of a design point that is not allowed."""
    for field in dataclasses.fields(point):
        value = getattr(point, field.name)
        for one in value if isinstance(value, tuple) else (value,):
            if not field.metadata[_KEY].holds(one):
                raise ValueError(f"{field.name} ({one:g}) must be {_rule(field, value)}")


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


def changed(point: Any, key: str, text: str) -> Any:
    """The design point with one parameter set from the command line.

    `@FILE` stands for a list in a file, one value a line.  Raises InputError for text that is no
    such value, for a value that is not allowed, and for a file that cannot be read.
    """
    field = next(f for f in dataclasses.fields(point) if f.name == key)
    default = getattr(point, key)
    rule = _rule(field, default)
    if text.startswith("@") and isinstance(default, tuple):
        text = _listed(text[1:], default[0], rule)
    try:
        value = _like(default, text)
    except ValueError:
        raise InputError(f"--set {key}", f"{text[:40]!r} is not such a value", rule) from None
    for one in value if isinstance(value, tuple) else (value,):
        if not field.metadata[_KEY].holds(one):
            raise InputError(f"--set {key}", f"{one:g} is out of range", rule)
    try:
        return dataclasses.replace(point, **{key: value})
    except ValueError as error:  # a rule for all values together
        raise InputError(f"--set {key}", str(error), rule) from None


def _listed(path: str, default: Any, rule: str) -> str:
    """The lines of a file with commas between them."""
    values = []
    with open_lines(path, rule, LINE_LIMIT_BYTES, FILE_LIMIT_BYTES) as lines:
        for number, raw in lines:
            value = raw.decode("utf-8", "replace").strip()
            try:
                _like(default, value)
            except ValueError:
                what = f"{value[:40]!r} is not such a value"
                raise InputError(f"{path}:{number}", what, f"{rule}; one a line") from None
            values.append(value)
    if not values:
        raise InputError(path, "the file is empty", f"{rule}; one a line")
    return ",".join(values)


def shown(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    return "never" if value == math.inf else f"{value:g}"


def _rule(field: dataclasses.Field[Any], value: Any) -> str:
    several = isinstance(value, tuple)
    whole = isinstance(value[0] if several else value, int)
    allowed: Allowed = field.metadata[_KEY]
    return allowed.text(whole, several)


def _like(default: Any, text: str) -> Any:
    """`text` as a value of the default's type; a list is separated by commas."""
    if isinstance(default, tuple):
        return tuple(_like(default[0], part.strip()) for part in text.split(","))
    if isinstance(default, float):
        return math.inf if text == "never" else float(text)
    if len(text) > _DIGITS or not text.removeprefix("-").isdecimal():
        raise ValueError(text)
    return int(text)
