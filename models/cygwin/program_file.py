"""Program files: a name, and what a process does that runs it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.cygwin.programs import UserProcess

Body = Callable[["UserProcess"], Generator[Any, Any, Any]]  # what a process does
Text = str | bytes


@dataclass(frozen=True)
class Program:
    """A program file.

    name: of the file -- input
    steps: what its process does, None if it is not linked with Cygwin -- input
    seconds: how long a program without Cygwin runs; None never ends -- input
    code: its exit code -- input
    """

    name: str
    steps: Body | None
    seconds: float | None = None
    code: int = 0

    def __post_init__(self) -> None:
        if self.steps is not None and not callable(self.steps):
            raise TypeError(f"steps ({self.steps!r}) must be a function of a process")
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise ValueError(f"seconds ({self.seconds}) must be 0 or more; None never ends")

    @classmethod
    def native(cls, name: str, seconds: float | None = None, code: int = 0) -> Program:
        """A program that knows nothing of Cygwin and runs for `seconds`, None for ever."""
        return cls(name, None, seconds, code)

    @property
    def is_native(self) -> bool:
        """Whether it is not linked with Cygwin."""
        return self.steps is None


def program_of(program: Program | Body) -> Program:
    """The program file of a function: it is called like it. Raises TypeError."""
    if isinstance(program, Program):
        return program
    if not callable(program):
        raise TypeError(
            f"program ({program!r}) must be a Program or a function of a process; "
            "a name alone does not say what it does"
        )
    return Program(getattr(program, "__name__", "program"), program)


def texts(what: str, words: Sequence[Text]) -> list[bytes]:
    """The words of an argv or environment as they lie in memory. Raises TypeError for a string."""
    if isinstance(words, str | bytes):
        raise TypeError(f"{what} ({words!r}) must be a list of strings")
    return [text.encode() if isinstance(text, str) else text for text in words]


def directory(name: str) -> bytes:
    """An absolute POSIX name. Raises ValueError for another."""
    if not name.startswith("/"):
        raise ValueError(f"name ({name!r}) must begin with /")
    return name.encode()


def not_negative(what: str, value: float) -> float:
    """The value itself. Raises ValueError below 0."""
    if value < 0:
        raise ValueError(f"{what} ({value}) must not be negative")
    return value
