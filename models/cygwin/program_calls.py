"""Calls of a program that are written down first and made by `yield from`.

A generator that is never run is no error in Python, and one that is yielded instead of run from
looks like an event.  A function that fork was given can see its parent's process too, and a name
may outlive the process.  All are mistakes that everyone makes; here they are found and named.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import simpy

from models.cygwin.program_checks import exit_code

if TYPE_CHECKING:
    from sim.engine import Steps

T = TypeVar("T")

_AT_ONCE = "open, socket, pipe, chdir, chroot, malloc and fill_heap return at once, without it"


class Call(Generic[T]):
    """A call that was written down; `yield from` makes it."""

    def __init__(self, caller: Caller, name: str, steps: Generator[Any, Any, T]) -> None:
        self.name = name
        self._caller = caller
        self._steps: Generator[Any, Any, T] | None = steps

    def __iter__(self) -> Generator[Any, Any, T]:
        steps, self._steps = self._steps, None
        if steps is None:
            raise TypeError(f"p.{self.name}(...) was made already: write it down once more")
        self._caller.made(self)
        return steps


class Caller:
    """Who writes calls down and makes them."""

    running = False  # its program has the processor at this moment -- state
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

    def check_running(self) -> None:
        """Raises TypeError if it is another process that makes the call, or this one has ended."""
        if not self.running:
            raise TypeError(
                "this process does not run at this moment, or has ended: a function that is given "
                "to fork, exec or spawn gets a process of its own and makes its calls on that"
            )

    def call(self, name: str, steps: Steps) -> Call[Any]:
        """Write a call down. Raises TypeError if the one before was not made."""
        self.check_running()
        self.check_made()
        self._written = Call(self, name, steps)
        return self._written


def checked(p: Caller, body: Callable[[Any], Any]) -> Steps:
    """The steps of a program, each looked at: only what a call yields may come."""
    name = getattr(body, "__name__", "program")
    steps = _started(p, body, name)
    sent = None
    while True:
        p.running = True
        try:
            event = steps.send(sent)
        except StopIteration as end:
            p.check_made()
            return None if end.value is None else _code(name, end.value)
        except TypeError as error:
            if "object is not iterable" not in str(error):
                raise
            raise TypeError(f"{name}: {error}: was that a yield from? {_AT_ONCE}") from error
        finally:
            p.running = False
        if not isinstance(event, simpy.Event):
            steps.close()
            if isinstance(event, Call):
                raise TypeError(f"{name} yielded a call: write yield from p.{event.name}(...)")
            raise TypeError(
                f"{name} yielded {event!r}, which is no call: write yield from and a call, as "
                f"yield from p.work(5); {_AT_ONCE}"
            )
        try:
            sent = yield event
        except GeneratorExit:  # its process was ended by another
            steps.close()
            raise


def _started(p: Caller, body: Callable[[Any], Any], name: str) -> Generator[Any, Any, Any]:
    """The generator of a program. Raises TypeError for a function that makes none."""
    p.running = True
    try:
        steps = body(p)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # it has run, and failed in a way of its own
        raise TypeError(
            f"{name} must be a function of one argument, its process: {error}"
        ) from error
    finally:
        p.running = False
    if not isinstance(steps, Generator):
        p.check_made()
        raise TypeError(f"{name} is no generator: it must make its calls with yield from")
    return steps


def _code(name: str, value: Any) -> int:
    """The exit code that a program returned."""
    try:
        return exit_code(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} returned {value!r}: {error}") from None
