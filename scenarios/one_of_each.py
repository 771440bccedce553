"""One creation of each kind: a program of a few lines, for scenarios of single creations."""

from __future__ import annotations

from models.cygwin.program_file import Program
from models.cygwin.programs import UserProcess
from models.cygwin.protocol import P_NOWAIT
from sim.engine import Steps


def one_of_each(p: UserProcess) -> Steps:
    """A fork whose child execs, then a spawn; both are waited for."""
    child = yield from p.fork(_becomes)
    yield from p.waitpid(child)
    child = yield from p.spawn(P_NOWAIT, Program("true", _leaves))
    yield from p.waitpid(child)


def _leaves(p: UserProcess) -> Steps:
    """A program that does nothing."""
    yield from p.exit(0)


def _becomes(p: UserProcess) -> Steps:
    yield from p.exec(Program("true", _leaves))
