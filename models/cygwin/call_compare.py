"""Hold the creations of a run against those of a real log: the first difference.

Objects are paired as they are met: an object of the log stands for one of the run from then on, in
every process and every later window.  A call about another object than its partner's is a
difference, as is another name, flag, size, time-out, or another object that ended a wait.

Source: CONTRACT §8.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from models.cygwin.call_growth import followed, grown
from models.cygwin.call_log import Call
from models.cygwin.call_sight import Sight, sight
from models.cygwin.call_windows import EXEC, Window, by_thread, is_reduced
from models.cygwin.call_words import Word, until_parent, words

REDUCED = ("CreateProcess", "ReadProcessMemory")  # calls that a reduced log keeps
PARTS = ("parent", "child", "signal", "waiter")
# What `left_out` counts beside the ends of parts
GROWTH = "heap commits"  # the order of what is put into the heap is not known
WAITER = "wait_subproc"  # the parent left before it had looked at the child


class Difference(NamedTuple):
    """creation: its number; call: place in the log, 0 past its end; real, simulated: in words."""

    creation: int
    call: int
    real: str
    simulated: str


class Pairs:
    """Which object of the log is which of the run."""

    def __init__(self, unknown: str = "0x") -> None:
        self._unknown = unknown, "0x"  # what names begin with that say nothing
        self._there: dict[Any, Any] = {}
        self._back: dict[int, Any] = {}

    def same(self, real: Any, simulated: Any) -> bool:
        """Whether both are none, or partners, or not met before; then they are partners now."""
        if not real or not simulated:
            return not real and not simulated
        if isinstance(simulated, str):
            return bool(real == simulated)  # a name that both know
        if isinstance(real, str) and real.startswith(self._unknown):
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


class Comparison:
    """The creations of a log beside those of a run, read in order.

    views_anywhere: where a view lies is not compared (see `schemes/deviations.toml`) -- constant
    sizes: how large the heaps are is compared; else only that each is handed over whole, and how
        it grows where that follows from the calls (`call_growth`) -- constant
    pairs: which object is which, as far as it was read -- state
    left_out: what was not compared although the log has it, counted by what it is -- output
    """

    def __init__(
        self, real: Sequence[Window], real_calls: Sequence[Call], made: Sequence[Window],
        made_calls: Sequence[Call], views_anywhere: bool = False, sizes: bool = True,
        untold: tuple[str, ...] = (), through_ntdll: bool = False,
    ) -> None:  # fmt: skip
        self.real, self.made = real, made
        self.here = sight(real_calls, real[0].info.get("cygheap", 0))
        self.there = sight(made_calls, made[0].info["cygheap"] if made else 0)
        self._follows: dict[int, Window] = {}
        self.here.anywhere = self.there.anywhere = views_anywhere
        self.here.untold = self.there.untold = untold
        self.here.through_ntdll = self.there.through_ntdll = through_ntdll
        if not sizes:
            self.here.handed, self.there.handed = _handed(real), _handed(made)
            self._follows = followed(real, by_thread(real_calls))
        self.full = not is_reduced(real_calls)
        self.bases = self.full or _has_bases(real, self.here)
        self.pairs = Pairs("?" if through_ntdll else "0x")
        self.pairs.same(f"{real_calls[0].pid}.proc", made_calls[0].pid if made_calls else None)
        self.left_out: Counter[str] = Counter()

    def run(self) -> tuple[int, Difference | None]:
        """How many calls were compared, and the first difference if there is one."""
        compared = 0
        partners: dict[int, Window] = {}
        for window, other in pair_windows(self.real, self.made):
            if other is None:
                missing = Difference(window.number, window.anchor.place, "a creation", "none")
                return compared, missing
            count, found = self.hold(window, other)
            compared += count
            partners[window.number] = other
            found = found or self._growth(window, partners)
            if found is not None:
                return compared, found
        if len(self.made) > len(self.real):
            more = Difference(len(self.real) + 1, 0, "no creation", f"a {self.made[-1].kind}")
            return compared, more
        return compared, None

    def _growth(self, real: Window, partners: Mapping[int, Window]) -> Difference | None:
        """Whether the heap has grown otherwise since the creation before, where that follows."""
        before = self._follows.get(real.number)
        if before is None:
            return None
        mine, other = grown(real, before), grown(partners[real.number], partners[before.number])
        if mine == other:
            return None
        what = f"a heap that has grown by {mine} B", f"by {other} B"
        return Difference(real.number, real.anchor.place, *what)

    def parts(self, real: Window, made: Window) -> Iterator[tuple[str, list[Word], list[Word]]]:
        """Each part of a creation in words, as it is in the log and as it is in the run."""
        for part in PARTS:
            mine = words(getattr(real, part), self.here, real.loose)
            other = words(getattr(made, part), self.there, real.loose)
            if self.here.through_ntdll and real.kind == EXEC and part == "parent":
                mine, other = until_parent(mine), until_parent(other)
            if not self.full:
                mine, other = _kept(mine, self.bases), _kept(other, self.bases)
            yield part, mine, other

    def hold(self, real: Window, made: Window) -> tuple[int, Difference | None]:
        """The same for one creation."""
        number, place = real.number, real.anchor.place
        for what in ("kind", "native") if self.full else ("kind",):
            a, b = getattr(real, what), getattr(made, what)
            if a != b:
                return 0, Difference(number, place, f"{what} {a}", f"{what} {b}")
        if real.loose and self.full:
            self._count(GROWTH, _grown(real, self.here))
        compared = 0
        for part, mine, other in self.parts(real, made):
            if part == "waiter" and real.leaving:
                self._count(WAITER, len(mine))
                continue
            for a, b in zip(mine, other, strict=False):
                compared += 1
                if not same(a, b, self.pairs):
                    return compared, Difference(number, a.place, f"{part} {a}", f"{part} {b}")
            if len(mine) != len(other):
                if self.may_be_longer(part, real, made):
                    self._count(f"{part}'s end", abs(len(mine) - len(other)))
                    continue
                return compared, _end(part, number, mine, other)
        return compared, None

    def may_be_longer(self, part: str, real: Window, made: Window) -> bool:
        """Whether a side may go on: the parent was killed, or nobody looked at the child."""
        if part == "parent":
            return self.full and not real.ended
        return part == "waiter" and (real.cut or made.cut)

    def _count(self, what: str, calls: int) -> None:
        if calls:
            self.left_out[what] += calls


def _handed(windows: Sequence[Window]) -> frozenset[int]:
    return frozenset(int(window.info["n"]) for window in windows if window.info.get("n"))


def _grown(window: Window, known: Sight) -> int:
    """How many commits of the heap a window has whose places are not compared."""
    every = words(window.parent, known), words(window.child, known)
    kept = words(window.parent, known, True), words(window.child, known, True)
    return sum(map(len, every)) - sum(map(len, kept))


def _end(part: str, number: int, mine: list[Word], other: list[Word]) -> Difference:
    """One side of a part ends before the other."""
    i = min(len(mine), len(other))
    one = f"{part} {mine[i]}" if i < len(mine) else f"the end of {part}"
    two = f"{part} {other[i]}" if i < len(other) else f"the end of {part}"
    return Difference(number, mine[i].place if i < len(mine) else 0, one, two)


def _kept(part: list[Word], bases: bool) -> list[Word]:
    """What a reduced log has of a part: the creation itself, and how the child came by its heap.

    bases: the log has VirtualAlloc of the heap's place.
    """
    return [w for w in part if w.name.split()[0] in REDUCED or (bases and _is_heap_base(w))]


def _has_bases(real: Sequence[Window], known: Sight) -> bool:
    return any(_is_heap_base(word) for window in real for word in words(window.child, known))


def _is_heap_base(word: Word) -> bool:
    return word.name == "VirtualAlloc" and ("addr", "cygheap+0x0") in word.facts


def same(real: Word, made: Word, pairs: Pairs) -> bool:
    """Whether two calls are the same, about the same objects, which are partners then."""
    if (real.name, real.facts) != (made.name, made.facts) or len(real.objects) != len(made.objects):
        return False
    if ("existed", False) in real.facts:  # a section of its name that was there before is gone
        pairs.forget(real.objects[0][1], made.objects[0][1])
    return all(pairs.same(a, b) for (_, a), (_, b) in zip(real.objects, made.objects, strict=True))
