"""The events of proctrace/1: which fields a row of each must hold, and in which range.

Source: the traces' README (schema).  Upper limits keep a damaged number from becoming a table or
a copy of that size.
"""

from __future__ import annotations

MAX_FD = 1 << 20  # Linux, fs.nr_open
MAX_STRING_BYTES = 1 << 17  # Linux, MAX_ARG_STRLEN
BIG = 1 << 53  # integers above are not exact in every JSON reader
KINDS = frozenset("fdntcpse")  # letters of descriptor kinds

Field = tuple[str, int, int]  # key, least, greatest


class EventSpec:
    """What the rows of one event must hold.

    must: integer fields; may: integer fields that an import may lack -- constant
    text: string fields; kind: has a descriptor kind `k` -- constant
    """

    __slots__ = ("kind", "may", "must", "text")

    def __init__(self, must: str, may: str = "", text: str = "") -> None:
        """Keys separated by blanks; `k` in `text` stands for the descriptor kind."""
        self.must = tuple(_field(key) for key in must.split())
        self.may = tuple(_field(key) for key in may.split())
        self.text = tuple(key for key in text.split() if key != "k")
        self.kind = "k" in text.split()


_LIMITS = {
    "fd": (0, MAX_FD),
    "wfd": (0, MAX_FD),
    "from": (0, MAX_FD),
    "on": (0, MAX_FD),
    "lo": (0, 1 << 64),
    "hi": (0, 1 << 64),
    "cx": (0, 1),
    "eof": (0, 1),
    "for": (-BIG, BIG),
    "to": (-BIG, BIG),
    "ready": (-BIG, BIG),
    "err": (-BIG, BIG),
    "code": (-BIG, BIG),
    "c": (1, 1 << 30),
    "sig": (0, 4096),
    "cwd": (0, MAX_STRING_BYTES),
    "arg": (0, MAX_STRING_BYTES),
}


def _field(key: str) -> Field:
    least, greatest = _LIMITS.get(key, (0, BIG))
    return key, least, greatest


def event_specs() -> dict[str, EventSpec]:
    """Every event between header and trailer, with the fields that are read or checked."""
    birth = EventSpec("child", "us cpu kcpu cwd thr eph nfd nsock npipe", "prog")
    opened = EventSpec("fd ob cx", "passed us err", "k")
    socket = EventSpec("fd ob cx", "type us", "k")
    pause = EventSpec("us", "ready")
    call = EventSpec("fd", "err us")
    moved = EventSpec("fd ob n", "c us eof err", "k")
    return {
        "fd_close": EventSpec("fd ob", "", "k"),
        "fd_dup": EventSpec("fd ob cx from", "", "k"),
        "exit": EventSpec("", "code sig cpu kcpu nexec hwm eph", "prog"),
        "fork": birth,
        "wait_begin": EventSpec("for", "cpu"),
        "wait_end": EventSpec("got", "us code err"),
        "wait_poll": EventSpec("got", "us code err cpu for"),
        "exec": EventSpec("env", "us cpu kcpu cwd nth img_kb envc env_bytes", "prog img"),
        "pipe": EventSpec("fd wfd ob cx", "", "k"),
        "rd": moved,
        "fd_cloexec": EventSpec("fd on"),
        "wr": moved,
        "fd_open": opened,
        "env_def": EventSpec("env", "envc bytes"),
        "vfork_done": EventSpec(""),
        "vfork": birth,
        "spawn": birth,
        "exec_fail": EventSpec("c", "err", "prog"),
        "fd_close_range": EventSpec("lo hi fl", "err"),
        "socket_open": socket,
        "socketpair": socket,
        "accept": EventSpec("fd ob cx", "on us", "k"),
        "connect": call,
        "bind": call,
        "listen": call,
        "poll": pause,
        "sleep": pause,
        "sigwait": pause,
        "kill": EventSpec("to sig"),
        "setsid": EventSpec(""),
        "chdir": EventSpec("", "cwd arg"),
    }
