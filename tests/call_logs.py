"""Call logs of real DLLs, as copied below data/msys1, and a thread's calls in one of them."""

from __future__ import annotations

from pathlib import Path

from models.cygwin.call_log import Call, CallLog, read_log

LOGS = Path(__file__).parent / "data" / "msys1"
FOLDER = {  # scheme -> whose logs it is held against
    "blocking": "cygwin-1.3.2-rebuilt",
    "shared-memory-1.3.3": "cygwin-1.3.3",
    "shared-memory": "cygwin-1.3.19",
}


def log_of(scheme: str, scenario: str) -> CallLog:
    """The log of a scenario under the DLL that the scheme is held against."""
    return read_log(next((LOGS / FOLDER[scheme]).glob(f"{scenario}.jsonl*")))


def calls_between(log: CallLog, tid: str, first: str, last: str, *names: str) -> list[Call]:
    """Calls of one thread from the first `first` to the next `last`, those in `names` only.

    Of a call that has a return the begin counts.
    """
    mine = [call for call in log.calls if call.tid == tid and call.phase != "return"]
    begin = next(i for i, call in enumerate(mine) if call.api == first)
    end = next(i for i, call in enumerate(mine) if i > begin and call.api == last)
    return [call for call in mine[begin : end + 1] if call.api in names]
