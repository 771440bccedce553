"""Where `cygsim` and `python -m scenarios` begin.

Nothing but `os` and `sys` is imported before the first `try`, so that Ctrl-C during start-up
ends quietly too. The rest is in `scenarios.cli_boundary`.
"""

from __future__ import annotations

import os
import sys


def main(words: list[str] | None = None) -> int:
    """Exit code of the command line `words` (those after the program's name).

    Without `words` it is the program itself: it takes `sys.argv`, and ends the process.
    """
    # NOTE: for speed: nothing here uses linear algebra, whose threads would spin for a while
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from scenarios import cli_boundary

        code = cli_boundary.run(sys.argv[1:] if words is None else words)
    except KeyboardInterrupt:
        sys.stderr.write("cygsim: interrupted\n")
        code = 130
    if words is None:
        # NOTE: for speed: the operating system takes the memory back at once; object by object
        # the interpreter needs 0.35 s for it after a large replay
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
