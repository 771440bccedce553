"""Hold the creations of a run against those of a real log: the first difference.

Objects are paired as they are met: an object of the log stands for one of the run from then on, in
every process and every later window.  A call about another object than its partner's is a
difference, as is another name, flag, size, time-out, or another object that ended a wait.

Source: CONTRACT §8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from models.cygwin.call_log import Call
from models.cygwin.call_windows import Window, is_reduced
from models.cygwin.call_words import Sight, Word, sight, words

REDUCED = ("CreateProcess", "ReadProcessMemory")  # calls that a reduced log keeps
PARTS = ("parent", "child", "signal", "waiter")


class Difference(NamedTuple):
    """creation: its number; call: place in the log, 0 past its end; real, simulated: in words."""

    creation: int
    call: int
    real: str
    simulated: str


class Pairs:
    """Which object of the log is which of the run."""

    def __init__(self) -> None:
        self._there: dict[Any, Any] = {}
        self._back: dict[int, Any] = {}

    def same(self, real: Any, simulated: Any) -> bool:
        """Whether both are none, or partners, or not met before; then they are partners now."""
        if not real or not simulated:
            return not real and not simulated
        if isinstance(real, str) and real.startswith("0x"):
            return True  # the log does not know what the handle stood for
        if real in self._there or id(simulated) in self._back:
            return self._there.get(real) is simulated and self._back.get(id(simulated)) == real
        self._there[real] = simulated
        self._back[id(simulated)] = real
        return True

    def forget(self, real: Any, simulated: Any) -> None:
        """Both names stand for something new from now on, if the other has not met its own yet."""
        if id(simulated) not in self._back and real in self._there:
            del self._back[id(self._there.pop(real))]


def pair_windows(
    real: Sequence[Window], made: Sequence[Window]
) -> list[tuple[Window, Window | None]]:
    """Each creation of the log with that of the run: same parent, same place among its own."""
    of_process: dict[Any, list[Window]] = defaultdict(list)
    for window in made:
        of_process[window.anchor.pid].append(window)
    partner: dict[Any, Any] = {}
    if real and made:
        partner[real[0].anchor.pid] = made[0].anchor.pid
    found: list[tuple[Window, Window | None]] = []
    for window in real:
        mine = of_process.get(partner.get(window.anchor.pid), [])
        other = mine.pop(0) if mine else None
        found.append((window, other))
        if other is not None and window.made is not None and other.made is not None:
            partner[window.made.args.get("child")] = other.made.args.get("child")
    return found


def compare(
    real: Sequence[Window], real_calls: Sequence[Call], made: Sequence[Window],
    made_calls: Sequence[Call], views_anywhere: bool = False,
) -> tuple[int, Difference | None]:  # fmt: skip
    """How many calls were compared, and the first difference if there is one.

    views_anywhere: where a view lies is not compared (see `schemes/deviations.toml`).
    """
    if not real:
        return 0, None
    here = sight(real_calls, real[0].info.get("cygheap", 0))
    there = sight(made_calls, made[0].info["cygheap"] if made else 0)
    here.anywhere = there.anywhere = views_anywhere
    full = not is_reduced(real_calls)
    bases = full or _has_bases(real, here)
    pairs = Pairs()
    pairs.same(f"{real_calls[0].pid}.proc", made_calls[0].pid if made_calls else None)
    compared = 0
    for window, other in pair_windows(real, made):
        if other is None:
            return compared, Difference(window.number, window.anchor.place, "a creation", "none")
        count, found = _window(window, other, pairs, here, there, full, bases)
        compared += count
        if found is not None:
            return compared, found
    if len(made) > len(real):
        return compared, Difference(len(real) + 1, 0, "no creation", f"a {made[-1].kind}")
    return compared, None


def _window(
    real: Window, made: Window, pairs: Pairs, here: Sight, there: Sight, full: bool, bases: bool
) -> tuple[int, Difference | None]:
    number, place = real.number, real.anchor.place
    for what in ("kind", "native") if full else ("kind",):
        a, b = getattr(real, what), getattr(made, what)
        if a != b:
            return 0, Difference(number, place, f"{what} {a}", f"{what} {b}")
    compared = 0
    for part in PARTS[:-1] if real.leaving else PARTS:
        mine = words(getattr(real, part), here, real.loose)
        other = words(getattr(made, part), there, real.loose)
        if not full:
            mine, other = _kept(mine, bases), _kept(other, bases)
        for a, b in zip(mine, other, strict=False):
            compared += 1
            if not _same(a, b, pairs):
                return compared, Difference(number, a.place, f"{part} {a}", f"{part} {b}")
        if full and part == "parent" and not real.ended:
            continue  # it was killed in the middle
        if part == "waiter" and (real.cut or made.cut):
            continue  # nobody looked at the child any more
        if len(mine) != len(other):
            i = min(len(mine), len(other))
            one = f"{part} {mine[i]}" if i < len(mine) else f"the end of {part}"
            two = f"{part} {other[i]}" if i < len(other) else f"the end of {part}"
            return compared, Difference(number, mine[i].place if i < len(mine) else 0, one, two)
    return compared, None


def _kept(part: list[Word], bases: bool) -> list[Word]:
    """What a reduced log has of a part: the creation itself, and how the child came by its heap.

    bases: the log has VirtualAlloc of the heap's place.
    """
    return [w for w in part if w.name.split()[0] in REDUCED or (bases and _is_heap_base(w))]


def _has_bases(real: Sequence[Window], known: Sight) -> bool:
    return any(_is_heap_base(word) for window in real for word in words(window.child, known))


def _is_heap_base(word: Word) -> bool:
    return word.name == "VirtualAlloc" and ("addr", "cygheap+0x0") in word.facts


def _same(real: Word, made: Word, pairs: Pairs) -> bool:
    if (real.name, real.facts) != (made.name, made.facts) or len(real.objects) != len(made.objects):
        return False
    if ("existed", False) in real.facts:  # a section of its name that was there before is gone
        pairs.forget(real.objects[0][1], made.objects[0][1])
    return all(pairs.same(a, b) for (_, a), (_, b) in zip(real.objects, made.objects, strict=True))
