"""The questions that are asked of the models, and the command line that asks them.

Nothing heavy is imported here: `cygsim --version` must start as fast as click does.
"""

from __future__ import annotations

__version__ = "0.1.0"
