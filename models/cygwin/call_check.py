"""Is the order of calls in a real log that of the simulator? One verdict for each log.

The log's processes are run on the simulator under the scheme of its DLL, and every creation is
compared.  What the first process had in its heap before its first creation cannot be seen: the
first size seeds it, as one untagged block; what sh has above its usual is blocks that it freed.
Every later size must come out of the run.

Source: CONTRACT §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.cygwin import schemes
from models.cygwin.call_compare import Difference, compare
from models.cygwin.call_lives import lives
from models.cygwin.call_log import Call, CallLog
from models.cygwin.call_run import LogRun, Seed
from models.cygwin.call_versions import Variant
from models.cygwin.call_windows import Window, windows
from models.cygwin.protocol import Scheme

TRIES = 3  # runs to find the seed: as it is, what was freed, what is left


@dataclass(frozen=True)
class Verdict:
    """What came of a log. Every field is *output*.

    creations, calls: how many were compared
    difference: the first one, None if there is none
    skipped: why nothing was compared, "" if it was
    """

    creations: int
    calls: int
    difference: Difference | None = None
    skipped: str = ""


def check(log: CallLog, variant: Variant, scheme: Scheme | None = None) -> Verdict:
    """Run the creations of a log and compare them."""
    real = windows(log.calls)
    if not real:
        return Verdict(0, 0, skipped="no creation in it")
    scheme = scheme or schemes.get(variant.scheme)
    calls, made = _run(log, real, variant, scheme)
    compared, difference = compare(real, log.calls, made, calls)
    return Verdict(len(real), compared, difference)


def _run(
    log: CallLog, real: list[Window], variant: Variant, scheme: Scheme
) -> tuple[list[Call], list[Window]]:
    """The calls and creations of a run whose first size is the log's, if that can be."""
    all_lives = lives(log.calls, real)
    first = next(iter(all_lives.values())).image
    sh = first.startswith("sh")
    seed = Seed(variant.sh_bytes if sh else 0)
    console = _console(log.calls)
    for k in range(TRIES):
        run = LogRun(log, real, all_lives, variant, scheme, seed, console)
        calls = run.run()
        made = windows(calls)
        missing = real[0].info.get("n", 0) - made[0].info["n"] if made else 0
        if missing <= 0:
            break
        if k == 0 and sh and not console:
            seed = Seed(seed.untagged_bytes, _blocks(missing))
        else:
            seed = Seed(seed.untagged_bytes + missing, seed.freed)
    return calls, made


def _blocks(size_bytes: int) -> tuple[int, ...]:
    """The fewest blocks of 8 + 2^b bytes that are `size_bytes` together; () if there are none."""
    found: list[int] = []
    for b in range(12, 3, -1):
        while size_bytes >= 8 + (1 << b):
            found.append(8 + (1 << b))
            size_bytes -= found[-1]
    return tuple(found) if not size_bytes else ()


def _console(calls: Sequence[Call]) -> bool:
    """Whether the first process has a console: it opened it."""
    return any(call.api == "CreateFile" and call.args["name"] == "CONOUT$" for call in calls)
