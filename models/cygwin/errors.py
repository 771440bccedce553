"""What goes wrong inside Cygwin, with the words that a user saw."""

from __future__ import annotations

from models.win32.errors import ERROR_COMMITMENT_LIMIT, Win32Error
from sim.errors import SimError


class CygwinError(SimError):
    """Anything Cygwin itself reports."""


class ApiFatal(CygwinError):
    """api_fatal: the process prints a message and exits with 1. Args: (message,)."""

    def __str__(self) -> str:
        return str(self.args[0])


class TryAgain(CygwinError):
    """fork or spawn returned -1 with EAGAIN. Args: (message,).

    You do not get one when the child ended after the hand-over: that is an ordinary exit.
    """

    def __str__(self) -> str:
        return str(self.args[0])


def try_again(error: TryAgain | Win32Error) -> TryAgain:
    """EAGAIN for what went wrong on the way to a child: it died, or memory ran out.

    Raises `error` itself if it is neither.
    """
    if isinstance(error, Win32Error) and error.code != ERROR_COMMITMENT_LIMIT:
        raise error
    return TryAgain(str(error))
