"""What goes wrong inside Cygwin, with the words that a user saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from models.win32.errors import ERROR_COMMITMENT_LIMIT, Win32Error
from sim.errors import SimError

if TYPE_CHECKING:
    from models.cygwin.installation import Creation


class CygwinError(SimError):
    """Anything Cygwin itself reports."""


class ApiFatal(CygwinError):
    """api_fatal: the process prints a message and exits with 1. Args: (message,)."""

    def __str__(self) -> str:
        return str(self.args[0])


class ForkAborted(ApiFatal):
    """child_info_fork::abort of 3.6: a fork child that knows why it cannot be. Args: (message,)."""


class TryAgain(CygwinError):
    """fork or spawn returned -1 with EAGAIN. Args: (message,).

    You do not get one when the child ended after the hand-over: that is an ordinary exit.
    """

    def __str__(self) -> str:
        return str(self.args[0])


class SilentFailure(TryAgain):
    """fork gave EAGAIN and says nothing, for the child has. Args: (message,)."""


class NotExecuted(TryAgain):
    """exec returned -1 with EAGAIN: its process could not be made. Args: (message,).

    A program that does not handle it ends with 126, as a shell's child does.
    """


class NoSuchFile(CygwinError):
    """exec or spawn returned -1 with ENOENT: no such program. Args: (program,).

    It comes before anything is made: no heap block, no handle, no process.
    """

    def __str__(self) -> str:
        return f"ENOENT: no program {self.args[0]!r}"


def no_image(creation: Creation) -> NoReturn:
    """ENOENT for an exec or spawn of a program that is not there. Raises NoSuchFile."""
    error = NoSuchFile(creation.program)
    creation.error = str(error)
    raise error


def try_again(error: TryAgain | Win32Error) -> TryAgain:
    """EAGAIN for what went wrong on the way to a child: it died, or memory ran out.

    Raises `error` itself if it is neither.
    """
    if isinstance(error, Win32Error) and error.code != ERROR_COMMITMENT_LIMIT:
        raise error
    kind = SilentFailure if isinstance(error, SilentFailure) else TryAgain
    return kind(str(error))
