"""Does a simulated creation make the same calls, in the same order, as the real DLL did?

Every process creation of a real call log is asked of the simulator again, and the calls of parent
and child are held against the logged ones, thread by thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from models.cygwin import schemes
from models.cygwin.call_check import Verdict, check
from models.cygwin.call_log import read_log
from models.cygwin.call_versions import UNMODELLED, variants
from sim.errors import InputError


def check_files(paths: Iterable[Path | str], scheme: str | None, out: TextIO) -> int:
    """Check the logs, one line each to `out`; 1 if one differs, else 0.

    Raises InputError at the first file that is no call log or of a DLL without a scheme, after the
    lines of those before it.
    """
    known = variants(schemes.get)
    given = None if scheme is None else schemes.get(scheme)
    tally = {"ok": 0, "MISMATCH": 0, "skipped": 0}
    for path in paths:
        log = read_log(path)
        variant = known.get(log.dll_set)
        if variant is None and log.dll_set in UNMODELLED:
            tally["skipped"] += 1
            print(f"{log.name} skipped: {UNMODELLED[log.dll_set]}", file=out)
            continue
        if variant is None:
            allowed = f"allowed are {', '.join(known)}"
            raise InputError(f"{path}:1", f"no scheme for the DLL {log.dll_set!r}", allowed)
        verdict = check(log, variant, given)
        word, line = verdict_line(log.name, verdict)
        tally[word] += 1
        print(line, file=out)
    passed, failed, skipped = tally.values()
    print(f"{passed} passed, {failed} failed, {skipped} skipped", file=out)
    return 1 if failed else 0


def verdict_line(name: str, verdict: Verdict) -> tuple[str, str]:
    """ok, MISMATCH or skipped, and the line that says so."""
    if verdict.skipped:
        return "skipped", f"{name} skipped: {verdict.skipped}"
    found = verdict.difference
    if found is not None:
        where = f"creation {found.creation}, call {found.call}" if found.creation else "at the end"
        return "MISMATCH", (
            f"{name} MISMATCH {where}: real {found.real}, simulated {found.simulated}"
        )
    counts = f"creations={verdict.creations} calls={verdict.calls}"
    counts += f" messages={verdict.messages} codes={verdict.codes}"
    kept = f" deviations={verdict.deviations}" if verdict.deviations else ""
    return "ok", f"{name} {counts} ok{kept}{_allowed(verdict)}"


def _allowed(verdict: Verdict) -> str:
    """What a log that agrees was spared: heap taken from it, calls that were not compared."""
    used, freed = verdict.seeded_bytes
    seeded = f" seeded={used}+{freed}" if used or freed else ""
    left = ", ".join(f"{count} {what}" for what, count in verdict.left_out.items())
    return seeded + (f" left_out=[{left}]" if left else "")
