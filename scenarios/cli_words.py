"""The words that a command line may hold: names, whole numbers, seconds, settings.

Each type carries `allowed`, the last part of the error line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import click

from sim.errors import InputError

AS_OF = "The scheme that a Cygwin of that day had, YYYY-MM-DD (repeatable)."
LARGEST_DIGITS = 18  # digits; every number that long fits numpy's 64-bit integers


def unknown_name(where: str, kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not known: the nearest ones first, then all."""
    import difflib

    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    every = "one of " + ", ".join(names) if names else "there are none"
    hint = f"nearest: {', '.join(near)} ({every})" if near else every
    return InputError(where, f"no {kind} {name!r}", hint)


def check_names(where: str, kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raise InputError for the first of `names` that is not `known`."""
    for name in names:
        if name not in known:
            raise unknown_name(where, kind, name, known)


def command_words(context: click.Context | None) -> str:
    """What an error line calls the place: the command's own words, or `command` at the top."""
    top = context is None or context.parent is None
    return "command" if top or context is None else context.command_path


class NearestGroup(click.Group):
    """A group that lists its commands as they were added and names the nearest to a wrong one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of definition."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named by the first word; InputError where there is none of that name."""
        names = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in names:
            raise unknown_name(command_words(ctx), "command", args[0], names)
        return super().resolve_command(ctx, args)


class _Number(click.ParamType[int]):
    """A number written in digits; a subclass says which digits, and which numbers."""

    kind: str  # what messages call it

    def digits(self, text: str) -> tuple[str, int]:
        """The digits of `text` and their base; "" if it is no number."""
        raise NotImplementedError

    def outside(self, number: int) -> str:
        """Why it is refused, "" if it is not."""
        raise NotImplementedError

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number itself; click's error for anything else."""
        if isinstance(value, int):
            return value
        text = str(value)
        digits, base = self.digits(text)
        if not digits:
            self.fail(f"{text[:40]!r} is not {self.kind}", param, ctx)
        if len(digits) > LARGEST_DIGITS:
            self.fail(f"{text[:40]} is too large", param, ctx)
        number = int(digits, base) if not text.startswith("-") else -int(digits, base)
        if why := self.outside(number):
            self.fail(f"{text} is {why}", param, ctx)
        return number


class Whole(_Number):
    """A whole number of at least `minimum`."""

    name = "whole number"
    kind = "a whole number"

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum
        self.allowed = f"a whole number, {minimum} or more"

    def digits(self, text: str) -> tuple[str, int]:
        """Decimal, with a sign or without."""
        digits = text.removeprefix("-")
        return (digits if digits.isascii() and digits.isdigit() else ""), 10

    def outside(self, number: int) -> str:
        """Too small for this option."""
        return "too small" if number < self.minimum else ""


class Bytes(_Number):
    """A number of bytes above zero, decimal or hexadecimal with 0x."""

    name = "bytes"
    kind = "a number of bytes"

    def __init__(self, most: int) -> None:
        self.most = most
        self.allowed = f"a number of bytes from 1 to {most}, decimal or 0x…"

    def digits(self, text: str) -> tuple[str, int]:
        """Decimal or hexadecimal, without a sign."""
        digits = text[2:] if text[:2] in ("0x", "0X") else text
        base = 10 if digits == text else 16
        known = "0123456789abcdefABCDEF" if base == 16 else "0123456789"
        return ("" if set(digits) - set(known) else digits), base

    def outside(self, number: int) -> str:
        """None, or more than can be."""
        return "" if 1 <= number <= self.most else "not in range"


class Seconds(click.ParamType[float]):
    """A finite time above zero [s]."""

    name = "seconds"
    allowed = "a number of seconds above 0"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The time [s]; click's error for anything else, NaN and infinity among it."""
        if isinstance(value, float):
            return value
        try:
            seconds = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not (math.isfinite(seconds) and seconds > 0):
            self.fail(f"{value} is not in range", param, ctx)
        return seconds


class Share(click.ParamType[float]):
    """A number between 0 and 1."""

    name = "share"
    allowed = "a number above 0 and below 1, as 0.05"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number itself; click's error for anything else, NaN among it."""
        try:
            share = float(str(value))
        except ValueError:
            self.fail(f"{str(value)[:40]!r} is not a number", param, ctx)
        if not 0 < share < 1:
            self.fail(f"{value} is not in range", param, ctx)
        return share


class Setting(click.ParamType[tuple[str, str]]):
    """`KEY=VALUE`. Which keys there are is for the command to say."""

    name = "setting"
    allowed = "KEY=VALUE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The two texts, without the blanks around them."""
        if isinstance(value, tuple):
            return value
        key, sign, setting = (part.strip() for part in str(value).partition("="))
        if not (key and sign and setting):
            self.fail(f"{value!r} is not a setting", param, ctx)
        return key, setting


class OneOf(click.ParamType[str]):
    """One of a few fixed words."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self.words = words
        self.allowed = "one of " + ", ".join(words)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The word itself; click's error for another."""
        if value not in self.words:
            self.fail(f"{value!r} is not known", param, ctx)
        return str(value)


class UpTo(Whole):
    """A whole number from 1 to `most`."""

    def __init__(self, most: int) -> None:
        super().__init__(1)
        self.most = most
        self.allowed = f"a whole number from 1 to {most}"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number itself; click's error for anything else."""
        number = super().convert(value, param, ctx)
        if number > self.most:
            self.fail(f"{number} is too large", param, ctx)
        return number


POSITIVE = Whole(1)
NOT_NEGATIVE = Whole(0)
SECONDS = Seconds()
SETTING = Setting()
SHARE = Share()
SYSTEM = OneOf("nt", "9x")
VFORK = OneOf("era", "fork")
OUTCOME = OneOf("finished", "blocked", "failed", "cut")
USER_HALF_BYTES = Bytes(0x7FFE0000)
ERA = OneOf("A", "B")
EXPORT_FORMAT = OneOf("csv", "parquet")
