"""The root of every error that this project raises on purpose."""

from __future__ import annotations


class SimError(Exception):
    """Anything that went wrong in a way the project has a name for."""


class InputError(SimError):
    """Input from outside is wrong. Args: (where, what, allowed).

    `where` is a file and line, a key path or an option; the command line prints the three parts
    on one line and exits with 2.
    """

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}; {self.args[2]}"
