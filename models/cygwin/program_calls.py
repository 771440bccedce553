"""Calls of a program that are written down first and made by `yield from`.

A generator that is never run is no error in Python, and one that is yielded instead of run from
looks like an event.  Both are mistakes that everyone makes; here they are found and named.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import simpy

if TYPE_CHECKING:
    from sim.engine import Steps

T = TypeVar("T")


class Call(Generic[T]):
    """A call that was written down; `yield from` makes it."""

    def __init__(self, caller: Caller, name: str, steps: Generator[Any, Any, T]) -> None:
        self.name = name
        self._caller = caller
        self._steps = steps

    def __iter__(self) -> Generator[Any, Any, T]:
        self._caller.made(self)
        return self._steps


class Caller:
    """Who writes calls down and makes them."""

    _written: Call[Any] | None = None  # written down and not made yet -- state

    def made(self, call: Call[Any]) -> None:
        """`yield from` has taken a call up."""
        if self._written is call:
            self._written = None

    def check_made(self) -> None:
        """Raises TypeError if a call was written down and not made."""
        call = self._written
        if call is not None:
            self._written = None
            raise TypeError(f"p.{call.name}(...) was not made: write yield from p.{call.name}(...)")

    def call(self, name: str, steps: Steps) -> Call[Any]:
        """Write a call down. Raises TypeError if the one before was not made."""
        self.check_made()
        self._written = Call(self, name, steps)
        return self._written


def checked(p: Caller, body: Callable[[Any], Any]) -> Steps:
    """The steps of a program, each looked at: only what a call yields may come."""
    name = getattr(body, "__name__", "program")
    steps = body(p)
    if not isinstance(steps, Generator):
        p.check_made()
        raise TypeError(f"{name} is no generator: it must make its calls with yield from")
    sent = None
    while True:
        try:
            event = steps.send(sent)
        except StopIteration as end:
            p.check_made()
            if end.value is not None and not isinstance(end.value, int):
                raise TypeError(f"{name} returned {end.value!r}; it must be an exit code") from None
            return end.value
        if not isinstance(event, simpy.Event):
            steps.close()
            call = event.name if isinstance(event, Call) else ""
            hint = f"yield from p.{call}(...)" if call else "yield from and a call"
            raise TypeError(f"{name} yielded {type(event).__name__} {call}: write {hint}")
        try:
            sent = yield event
        except GeneratorExit:  # its process was ended by another
            steps.close()
            raise
