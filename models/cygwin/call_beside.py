"""One creation of a log beside the simulated one: both lists of calls, aligned, each line marked.

Lines are paired as `order check` pairs them: the same windows, parts and words, and objects that
are partners from their first meeting on.  Where both sides agree a line has both calls; where they
do not, calls are aligned by what they are, and what only one side has stands alone.

Objects are named by what child_info says of them, so that the same object has one name on both
sides; what child_info does not have is named by its kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from models.cygwin.call_compare import Comparison, pair_windows, same
from models.cygwin.call_log import Call
from models.cygwin.call_windows import Window
from models.cygwin.call_words import INFO_OBJECTS, Word
from models.win32.objects import KernelObject
from models.win32.thread import Process

SAME, OTHER, REAL_ONLY, SIMULATED_ONLY, ALLOWED = "=", "!", "-", "+", "~"
MARKS = {
    SAME: "the same call about the same objects",
    OTHER: "the same call with another size, flag, object, time-out or waker",
    REAL_ONLY: "in the log only",
    SIMULATED_ONLY: "in the run only",
    ALLOWED: "one side only, and order check allows it: the log or the run ends before",
}
_KINDS = {
    "E": "event", "S": "section", "M": "mutex", "F": "file", "P": "process", "SEM": "semaphore",
    "PIPE": "pipe", "SOCK": "socket", "CON": "console", "STD": "file",
}  # fmt: skip


class Line(NamedTuple):
    """A line of both lists. Every field is *output*.

    part: "parent", "child", "signal" or "waiter"
    mark: one of MARKS
    real, simulated: the call in words; None where that side has none
    place: of the log's call among all its lines, or of the last one before it
    """

    part: str
    mark: str
    real: Word | None
    simulated: Word | None
    place: int


class Beside(NamedTuple):
    """A creation on both sides. Every field is *output*."""

    real: Window
    simulated: Window
    lines: list[Line]


def beside(comparison: Comparison, number: int) -> Beside:
    """The creation with that number, from 1; those before it are held to learn the objects.

    Raises LookupError if the log or the run does not have it.
    """
    for window, other in pair_windows(comparison.real, comparison.made):
        if window.number == number and other is not None:
            found = [
                line
                for part, mine, others in comparison.parts(window, other)
                for line in _lines(comparison, part, mine, others, window, other)
            ]
            return Beside(window, other, sorted(found, key=lambda line: line.place))
        if other is not None:
            comparison.hold(window, other)
    raise LookupError(number)


def _lines(
    comparison: Comparison, part: str, mine: list[Word], others: list[Word], real: Window,
    made: Window,
) -> Iterator[Line]:  # fmt: skip
    place = _begin(part, real)
    spared = comparison.may_be_longer(part, real, made) or (part == "waiter" and real.leaving)
    named = roles(real), roles(made)
    for a, b in _aligned(mine, others, named):
        if a is not None:
            place = max(place, a.place)
        if a is not None and b is not None:
            mark = SAME if same(a, b, comparison.pairs) else OTHER
        elif spared:
            mark = ALLOWED
        else:
            mark = REAL_ONLY if b is None else SIMULATED_ONLY
        yield Line(part, mark, a, b, place)


def _begin(part: str, real: Window) -> int:
    """Where a part begins in the log; what a killed child would have done stands at the anchor."""
    calls: list[Call] = getattr(real, part)
    return calls[0].place if calls else real.anchor.place


def _aligned(
    mine: list[Word], others: list[Word], named: tuple[Mapping[Any, str], Mapping[Any, str]]
) -> Iterator[tuple[Word | None, Word | None]]:
    """Pairs in order: by what is said of a call and its objects, else by its name alone."""
    said = [(w[:2], text(w, named[0])) for w in mine], [(w[:2], text(w, named[1])) for w in others]
    for tag, i, j, k, n in SequenceMatcher(None, *said, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(mine[i:j], others[k:n], strict=True)
        else:
            yield from _by_name(mine[i:j], others[k:n])


def _by_name(mine: list[Word], others: list[Word]) -> Iterator[tuple[Word | None, Word | None]]:
    names = [w.name for w in mine], [w.name for w in others]
    for tag, i, j, k, n in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(mine[i:j], others[k:n], strict=True)
        else:
            yield from ((word, None) for word in mine[i:j])
            yield from ((None, word) for word in others[k:n])


def roles(window: Window) -> dict[Any, str]:
    """What the objects of a creation are for, as far as child_info and CreateProcess say it.

    Handles of a process are told by the process: those of the parent are "parent".
    """
    found = {window.info.get(key): key for key in INFO_OBJECTS if window.info.get(key)}
    if window.made is not None:
        args = window.made.args
        found[args.get("hproc")] = "child"
        found[args.get("hthread")] = "child's thread"
    found.pop(None, None)
    found.pop(0, None)
    return found


def text(word: Word, named: Mapping[Any, str]) -> str:
    """A call in few words: its name, what it is about, sizes and limits."""
    facts = dict(word.facts)
    objects = [name(obj, named) for role, obj in word.objects if role != "woke"]
    said = word.name.removesuffix(" call")
    if word.name.startswith("CreateProcess"):
        return _creation(word, facts, objects)
    if word.name.startswith("WaitFor"):
        return _wait(word, facts, objects, named)
    if word.name == "DuplicateHandle":
        into = "" if objects[0] == objects[1] else f" into {objects[1]}"
        return f"{said} {objects[2]}{into}"
    parts = [said, *(o for o in objects if o)]
    parts += [
        str(facts[key]) for key in ("type", "addr") if facts.get(key, "anywhere") != "anywhere"
    ]
    parts += [f"{facts[key]:,} bytes" for key in ("size",) if key in facts]
    parts += [f"{key} {facts[key]:#x}" for key in ("code",) if key in facts]
    parts += [f"{facts[key]}" for key in ("count",) if key in facts]
    parts += [f"error {facts[key]}" for key in ("error",) if facts.get(key)]
    return " ".join(parts)


def _creation(word: Word, facts: Mapping[str, Any], objects: list[str]) -> str:
    if word.name.endswith("return"):
        return "CreateProcess returns"
    suspended = " suspended" if "SUSPENDED" in facts["flags"] else ""
    return f"CreateProcess {facts.get('type', '')}{suspended} n={facts.get('n', 0):,}"


def _wait(
    word: Word, facts: Mapping[str, Any], objects: list[str], named: Mapping[Any, str]
) -> str:
    if word.name.endswith("return"):
        woke = dict(word.objects).get("woke")
        return f"woken by {name(woke, named)}" if woke else "time-out"
    ms = "" if facts["ms"] == "INFINITE" else f" {facts['ms']} ms"
    short = word.name.split()[0].replace("WaitForMultipleObjects", "WaitFor").replace(
        "WaitForSingleObject", "WaitFor"
    )  # fmt: skip
    return f"{short} {{{', '.join(objects)}}}{ms}"


def name(obj: Any, named: Mapping[Any, str]) -> str:
    """What an object is called: its role in the creation, else its kind."""
    try:
        if obj in named:
            return named[obj].replace("cygheap_h", "heap section")
    except TypeError:
        pass
    if isinstance(obj, Process):
        return "process"
    if isinstance(obj, KernelObject):
        return obj.kind
    if not isinstance(obj, str) or not obj:
        return ""
    if obj.endswith(".thread"):
        return "thread"
    return _KINDS.get(obj.partition(".")[0].rstrip("0123456789"), obj)
