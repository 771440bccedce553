"""Where `cygsim` and `python -m scenarios` begin.

Nothing but the standard `sys` is imported before the first `try`, so that Ctrl-C during start-up
ends quietly too. The rest is in `scenarios.cli_boundary`.
"""

from __future__ import annotations

import sys


def main(words: list[str] | None = None) -> int:
    """Exit code of the command line `words` (those after the program's name; None: `sys.argv`)."""
    try:
        from scenarios import cli_boundary

        return cli_boundary.run(sys.argv[1:] if words is None else words)
    except KeyboardInterrupt:
        sys.stderr.write("cygsim: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
