"""The questions that are asked of the models, and the command line that asks them.

    from scenarios import Experiment, Program, run, replay

Nothing heavy is imported here: these are loaded when they are asked for, and `cygsim
--version` must start as fast as click does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.cygwin.program_file import Program
    from scenarios.experiments import Experiment
    from scenarios.program_run import replay, run

__version__ = "0.1.0"
__all__ = ["Experiment", "Program", "replay", "run"]


def __getattr__(name: str) -> object:
    """Load a public name. Raises AttributeError for any other."""
    if name == "Program":
        from models.cygwin.program_file import Program

        return Program
    if name == "Experiment":
        from scenarios.experiments import Experiment

        return Experiment
    if name in ("run", "replay"):
        from scenarios import program_run

        return getattr(program_run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
