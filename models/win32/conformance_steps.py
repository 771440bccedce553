"""Steps as data for conformance cases that only tell them in words.

Each is the sentence of its case (`steps`) in the language of `conformance_script.py`.  A case that
has steps of its own keeps them; a case that is not here and has none is skipped.
"""

from __future__ import annotations

import copy
from typing import Any

from models.win32.conformance_case import Ops

_WAITERS = ("t1", "t2", "t3")
_CHILDREN = tuple(f"c{i}" for i in range(62))
_EVENTS = tuple(f"e{i}" for i in range(8))
_TEN = {"size": 10, "bytes": "0123456789"}
_IMAGE = {"type": "type", "alloc_is_base": "allocbase_is_module"}
_RESERVED2 = "\0\0\0\0\xab" + "\0" * 18 + "\xcd"


def steps_of(name: str) -> Ops | None:
    """The steps of the case of that name, None if nobody wrote them down."""
    return copy.deepcopy(_STEPS.get(name))


def _event(name: str, **options: Any) -> list[Any]:
    return ["event", name, {"manual": 1, "set": 0, **options}]


def _spawn(name: str, *child: list[Any], **options: Any) -> list[Any]:
    return ["spawn", name, {"child": list(child), **options}]


def _one_if_woken() -> list[Any]:
    return ["wait", ["e"], {"ms": 1000, "exit_thread_if": ["OBJECT_0", 1, 0]}]


_STEPS: dict[str, Ops] = {
    "sysinfo": [["system_info", {"page": "page", "granularity": "granularity"}]],
    # -- events, mutexes and threads
    "event_set_by_thread": [
        _event("e"),
        ["thread", "t", {"run": [["sleep", 150], ["set", "e"], ["exit_thread", 7]]}],
        ["wait", ["e"], {"ms": "INFINITE", "out": "w"}],
        ["wait", ["t"], {"ms": "INFINITE", "out": "thread"}],
        ["exit_code", "t", {"out": "thread_code"}],
    ],
    "event_auto_wakes_one": [
        _event("e", manual=0),
        *(["thread", name, {"run": [_one_if_woken()]}] for name in _WAITERS),
        ["sleep", 100],
        ["set", "e"],
        ["wait", list(_WAITERS), {"ms": 5000, "all": 1}],
        ["sum_codes", list(_WAITERS), {"out": "woken"}],
    ],
    "mutex_abandoned_process": [
        ["mutex", "m", {"owned": 0, "inherit": 1}],
        _spawn("c", ["wait", ["m"], {"ms": 0}], ["exit", 1], inherit=1),
        ["exit_code", "c.process", {"wait": 1, "out": "code"}],
        ["wait", ["m"], {"ms": 0, "out": "w"}],
    ],
    "event_access_wait_only": [
        _event("e"),
        ["dup", "e", "f", {"access": "SYNCHRONIZE"}],
        ["set", "f", {"out": "ok", "err": "err"}],
    ],
    # -- handles
    "dup_into_suspended": [
        _event("e", inherit=1),
        _spawn("c", ["set_or_exit", "f", {"ok": 1, "bad": 2}], suspended=1, inherit=1),
        ["dup", "e", "c:f", {"out": "dup", "differs": "new_value_differs"}],
        ["resume", "c.thread"],
        ["exit_code", "c.process", {"wait": 1, "out": "child_code"}],
        ["wait", ["e"], {"ms": 0, "out": "w"}],
    ],
    "handle_values": [
        *(_event(name) for name in _EVENTS),
        ["numbers", list(_EVENTS), {"multiple_of_4": "multiple_of_4", "non_zero": "non_zero"}],
    ],
    "handle_reuse_two": [
        *(_event(name) for name in "abc"),
        ["close", "a"],
        ["close", "b"],
        _event("d"),
        _event("e"),
        ["numbers", ["a", "b", "c"], {"like": "d", "equal": "first_new_is"}],
        ["numbers", ["a", "b", "c"], {"like": "e", "equal": "second_new_is"}],
    ],
    # -- memory
    "sec_decommit_view": [
        ["section", "g", {"size": 65536}],
        ["map", "g", "p"],
        ["vfree", "p", {"size": 4096, "type": "DECOMMIT", "out": "ok", "err": "err"}],
    ],
    "vq_image": [
        ["query", "#image+0x1000", {"base": "#image", **_IMAGE}],
    ],
    "rpm_self": [
        ["valloc", 0, {"size": 4096, "type": "RESERVE|COMMIT", "name": "p"}],
        ["write", "p+100", "abcdef"],
        [
            "rpm",
            "#self",
            "p+100",
            {"size": 6, "bytes": "abcdef", "out": "ok", "n": "n", "equal": "equal"},
        ],
    ],
    "rpm_zero": [
        ["valloc", 0, {"size": 4096, "type": "RESERVE|COMMIT", "name": "p"}],
        ["rpm", "#self", "p", {"size": 0, "out": "ok", "n": "n"}],
    ],
    "rpm_parent_blocked": [
        ["valloc", 0, {"size": 4096, "type": "RESERVE|COMMIT", "name": "p"}],
        ["write", "p", "0123456789"],
        ["dup", "#self", "h", {"inherit": 1}],
        _spawn("c", ["rpm", "h", "p", {**_TEN, "equal_or_exit": 2}], ["exit", 1], inherit=1),
        ["exit_code", "c.process", {"wait": 1, "out": "child_code"}],
    ],
    "wpm_readonly": [
        _spawn("c", ["exit", 0], suspended=1),
        ["wpm", "c.process", "#ntdll", {"bytes": "abcd", "out": "ok", "err": "err", "n": "n"}],
        ["resume", "c.thread"],
        ["exit_code", "c.process", {"wait": 1}],
    ],
    # What is written of the first page depends on the version: only the failure is compared.
    "wpm_partial": [
        ["valloc", 0, {"size": 65536, "type": "RESERVE", "name": "p"}],
        ["valloc", "p", {"size": 4096, "type": "COMMIT"}],
        ["wpm", "#self", "p", {"size": 8192, "out": "ok"}],
    ],
    "wpm_terminated": [
        _spawn("c", ["exit", 0]),
        ["wait", ["c.process"], {"ms": 5000}],
        ["wpm", "c.process", "#image", {"bytes": "abcd", "out": "ok", "err": "err"}],
    ],
    # -- processes
    "resume_exited": [
        _spawn("c", ["exit", 0]),
        ["wait", ["c.process"], {"ms": 5000}],
        ["resume", "c.thread", {"prev": "ret"}],
    ],
    "exit_crash": [
        _spawn("c", ["write", "#0x10", "x"]),
        ["exit_code", "c.process", {"wait": 1, "out": "code"}],
    ],
    "pid_multiple_of_4": [
        *(_spawn(name, ["exit", 0]) for name in "abc"),
        ["ids", ["a", "b", "c"], {"multiple_of_4": "multiple_of_4"}],
    ],
    "reserved2_passed": [
        _spawn(
            "c",
            ["got_reserved2", _RESERVED2, {"exit_if": [True, 1, 2]}],
            reserved2=_RESERVED2,
            out="ok",
        ),
        ["exit_code", "c.process", {"wait": 1, "out": "child_code"}],
    ],
    "cp_missing_in_existing_dir": [_spawn("c", program="missing", out="ok", err="err")],
    "cp_directory": [_spawn("c", program="folder", out="ok", err="err")],
    "cp_bad_cwd": [_spawn("c", directory="missing", out="ok", err="err")],
    "cp_detached_no_console": [
        _spawn("c", ["open_console_or_exit", "o", {"ok": 1, "bad": 2}], detached=1),
        ["exit_code", "c.process", {"wait": 1, "out": "child_code"}],
    ],
    "cp_detached_and_new": [_spawn("c", detached=1, new_console=1, out="ok", err="err")],
    "cp_pi_ids": [
        _spawn("c", ["exit", 0]),
        ["info", "c.process", {"out": "flags"}],
        ["open_process", "x", {"of": "c", "out": "open"}],
    ],
    "many_children_62": [
        *(_spawn(name, ["exit", 1]) for name in _CHILDREN),
        ["wait", [f"{name}.process" for name in _CHILDREN], {"all": 1, "out": "all"}],
        ["sum_codes", [f"{name}.process" for name in _CHILDREN], {"out": "sum_of_codes"}],
    ],
}
