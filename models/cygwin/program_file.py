"""Program files: a name, and what a process does that runs it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.cygwin.program_checks import exit_code, function, number, text

if TYPE_CHECKING:
    from models.cygwin.programs import UserProcess

Body = Callable[["UserProcess"], Generator[Any, Any, Any]]  # what a process does


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
        if not text("name", self.name):
            raise ValueError("name ('') must not be empty")
        if self.steps is not None:
            function(self.steps)
        if self.seconds is not None:
            number("seconds", self.seconds, "None never ends")
        exit_code(self.code)

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
    if isinstance(program, str | bytes):
        raise TypeError(
            f"program ({program!r}) must be a Program or a function of a process; "
            "a name alone does not say what it does"
        )
    return Program(getattr(program, "__name__", "program"), function(program))
