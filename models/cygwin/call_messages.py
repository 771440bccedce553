"""What a user saw of a failure, and the exit codes: those of a log against those of its run.

The DLL's own lines of stderr are compared in order: fatal texts (`PROGRAM: *** …`), system_printf
(`  µs [thread] PROGRAM pid FUNCTION: …`) and what it says of a place that is taken.  What a program
says itself is not the DLL's, but one thing in it is: "Resource temporarily unavailable" is the
EAGAIN that it got.  Pids, handles and addresses that the system chose are told by what they are.

Exit codes are those of every process that the log saw end, and of the first one as its caller saw
it.  A shell's own code is in what is asked of it; a stub's, a fatal one's, a native's and that of
what was killed come out of the run.

Not compared: the text of a fork child that died before it had its descriptors.  In all logs of such
a child nothing of it was seen: nothing but exec and spawn hands on the standard handles of Windows.
Nor are the texts of a log in which a heap is exhausted by an exec: that exec made no creation, so
it is not asked for again.

Source: stderr and exit of the logs' meta.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from models.cygwin.call_compare import Difference, pair_windows
from models.cygwin.call_log import CallLog
from models.cygwin.call_run import LogRun
from models.cygwin.call_windows import EXEC, Window
from models.cygwin.installation import Failure

EAGAIN = "EAGAIN"
_SEEN_AS = {EAGAIN: re.compile(r": (?:v?fork|spawn): Resource temporarily unavailable$")}
_PRINTED = re.compile(r"^\s*\d+ \[[^\]]*(?:\([^)]*\))?\] .* \d+ (\w+: .*)$")
_FATAL = re.compile(r"^[^*]*: \*\*\* (.*)$")
_PLACE = re.compile(r"^(?:m\.)?AllocationBase .*$")
_FUNCTION = re.compile(r"^[a-z_]+: ")
_CHILD = re.compile(r"\bchild \d+(\(0x[0-9A-Fa-f]+\))?")
_HEAP_END = re.compile(r"\bHEAP\.\.0x[0-9A-Fa-f]+")  # where sizes are compared, they are elsewhere
_ERRNO = re.compile(r", errno 11$")
_WINPID = re.compile(r"\bwindows pid \d+")
_VIEW = re.compile(r"<0x[0-9A-Fa-f]+>")
_CODES = ("ExitProcess", "#native_exit")
_BYTE = 0x100  # an exit code of Windows above a byte is seen as 1 by who ran the log's command


def compare_messages(log: CallLog, run: LogRun) -> tuple[int, Difference | None]:
    """How many lines were compared, and the first that differs, if one does."""
    real = list(logged(log, _heap(run.windows)))
    made = list(simulated(run, _made_heap(run)))
    for i in range(max(len(real), len(made))):
        one = real[i] if i < len(real) else "no further message"
        two = made[i] if i < len(made) else "no further message"
        if one != two:
            return i + 1, Difference(0, 0, one, two)
    return len(real), None


def logged(log: CallLog, heap: int) -> Iterator[str]:
    """The DLL's own lines in the log, in order, without what differs from run to run."""
    for line in log.said.splitlines():
        text = _own(line)
        if text is not None:
            yield _plain(text, heap)


def simulated(run: LogRun, heap: int) -> Iterator[str]:
    """The same of a run."""
    installation = run.installation
    said = sorted([*installation.failures, *installation.messages], key=lambda f: f.at_us)
    for failure in said:
        if failure in unseen(run):
            continue
        yield _plain(failure.message, heap)
        if failure.message.startswith("*** child state") or _ERRNO.search(failure.message):
            yield EAGAIN


def unseen(run: LogRun) -> list[Failure]:
    """What fork children said to nobody."""
    if run.console:
        return []
    return [f for f in run.installation.failures if f.made_by == "fork"]


def _own(line: str) -> str | None:
    """What the DLL said in a line, or None."""
    for errno, pattern in _SEEN_AS.items():
        if pattern.search(line):
            return errno
    for pattern in (_PRINTED, _FATAL):
        if found := pattern.match(line):
            return found.group(1)
    return line if _PLACE.match(line) else None


def _plain(text: str, heap: int) -> str:
    text = _FUNCTION.sub("", text)
    text = _CHILD.sub(lambda found: "child PID" + ("(HANDLE)" if found[1] else ""), text)
    text = _WINPID.sub("windows pid PID", text)
    text = _VIEW.sub("<VIEW>", text)
    if heap:
        text = re.sub(rf"\b0x{heap:x}\b", "HEAP", text, flags=re.IGNORECASE)
    return _HEAP_END.sub("HEAP..END", text)


def _heap(windows: Sequence[Window]) -> int:
    return int(windows[0].info.get("cygheap", 0)) if windows else 0


def _made_heap(run: LogRun) -> int:
    infos = (q.startup for q in run.kernel.processes.values() if q.startup is not None)
    return next((info.cygheap for info in infos), 0)


# -- exit codes ------------------------------------------------------------------------------------


def compare_codes(
    log: CallLog, run: LogRun, made: Sequence[Window]
) -> tuple[int, Difference | None]:
    """How many exit codes were compared, and the first that differs, if one does."""
    partner = _partners(log, run, made)
    stubs = {w.anchor.pid for w in run.windows if w.kind == EXEC and w.native}
    stubs = stubs if run.variant.version.pipe_given else set()
    compared = 0
    for call in log.calls:
        process = partner.get(call.pid)
        if call.api not in _CODES or process is None or process.alive:
            continue
        if call.pid in stubs and call.tid != f"{call.pid}.t1":
            continue  # killed by a signal, which is not asked for again
        compared += 1
        if process.exit_code != call.args["code"]:
            one, two = (f"{call.pid} ends with {code:#x}"
                        for code in (call.args["code"], process.exit_code))  # fmt: skip
            return compared, Difference(0, call.place, one, two)
    first = partner.get(log.calls[0].pid) if log.calls else None
    if log.exit_code is None or first is None or first.alive:
        return compared, None
    code = first.exit_code if first.exit_code < _BYTE else 1
    if code != log.exit_code:
        one, two = (f"the command ends with {c}" for c in (log.exit_code, code))
        return compared + 1, Difference(0, 0, one, two)
    return compared + 1, None


def _partners(log: CallLog, run: LogRun, made: Sequence[Window]) -> dict[Any, Any]:
    """Process of the log -> process of the run."""
    processes = list(run.kernel.processes.values())
    found: dict[Any, Any] = {log.calls[0].pid: processes[0]} if log.calls else {}
    for window, other in pair_windows(run.windows, made):
        if other is not None and window.made is not None and other.made is not None:
            found[window.made.args.get("child")] = other.made.args.get("child")
    return found
