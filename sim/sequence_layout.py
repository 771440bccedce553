"""Where everything stands in a sequence chart: one line of text a row, time downwards.

Rows have equal height, whatever time lies between them; the times are printed.  Each step has a row
to itself over the whole width and each bracket opens with a row for its name, so no two texts can
meet; where steps are given rows, two lanes may share one, for each text stays in its own lane, and
rows are numbered instead of timed.  Arrows run level with their two steps and go down in the gap
between lanes, where no text is.  All lengths are inches from the upper left corner.  No drawing
here: a `measure` function says how wide a text is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

ROW = 0.19  # height of a row [in]
TEXT_PT = 8.0
NAME_PT = 9.0  # of a lane, in bold
TITLE_PT = 11.0  # in bold
BRACKET_STEP = 0.11  # between bars of nested brackets [in]
PAD = 0.10  # between a lifeline and its text [in]
CHANNEL_STEP = 0.09  # between the vertical parts of two arrows [in]
OBJECT_STEP = 0.26  # between two kernel objects [in]
MARGIN = 0.18  # [in]
KINDS = ("call", "signal", "wait", "return", "life")

Measure = Callable[[str, float, bool], float]  # (text, size in points, bold) -> width [in]


class Step(NamedTuple):
    """One thing that a lane does: a call, a signal, begin or end of a wait, birth, death."""

    t_us: float
    lane: int  # index into the lanes
    text: str  # the API's name, with what matters of its arguments
    kind: str = "call"  # one of KINDS


class Wait(NamedTuple):
    """A blocked stretch of a lane, from the step that waits to the step that goes on."""

    first: int  # index of a step
    last: int | None  # None: it never ends
    text: str = ""  # what it waits for


class Arrow(NamedTuple):
    """From the step that signals to the step that this sets going."""

    first: int
    last: int


class KernelObject(NamedTuple):
    """An object from the step that made it to the step that closed its last handle."""

    name: str
    first: int
    last: int | None  # None: it outlives the chart


class Bracket(NamedTuple):
    """The steps of a lane that belong to one function of the program."""

    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Column:
    """One lane."""

    name: str
    x: float  # of its lifeline -- output
    right: float  # end of its text, where the gap for arrows begins -- output


@dataclass(frozen=True)
class Bar:
    """A bracket with its place."""

    x: float
    top: float
    bottom: float
    text: str
    text_y: float


@dataclass(frozen=True)
class Path:
    """An arrow as the corners of a line, from its begin to its head."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    """Every place in the chart [in]."""

    width: float
    height: float
    top: float  # where the lifelines begin
    bottom: float  # where they end
    time_x: float  # right edge of the printed times or numbers
    time_head: str  # what these are
    time_text: tuple[str, ...]  # of each step
    columns: tuple[Column, ...]
    step_y: tuple[float, ...]
    step_text: tuple[str, ...]
    bars: tuple[Bar, ...]
    paths: tuple[Path, ...]
    object_x: tuple[float, ...]


def lay_out(
    lanes: Sequence[str],
    steps: Sequence[Step],
    waits: Sequence[Wait],
    arrows: Sequence[Arrow],
    objects: Sequence[KernelObject],
    brackets: Sequence[Bracket],
    measure: Measure,
    rows: Sequence[int] | None = None,
) -> Layout:
    """Place everything. Raises ValueError for a step, lane or kind that does not exist.

    rows: the row of each step, from 0, never falling; None gives each step its own.
    """
    _check(lanes, steps, waits, arrows, objects, brackets)
    _check_rows(steps, rows)
    texts = _texts(steps, waits, timed=rows is None)
    times = tuple(time_text(s.t_us) for s in steps)
    head = "time [µs]"
    if rows is not None:
        times, head = tuple(str(row + 1) for row in rows), "row [1]"
    depth = _depths(brackets, steps)
    opened = sorted(range(len(brackets)), key=lambda i: (brackets[i].first, -brackets[i].last))
    name_width = max((measure(o.name, TEXT_PT, False) for o in objects), default=0.0)
    top = MARGIN + 0.45 + max(ROW, name_width + 0.1)
    step_y, title_y, bottom = _rows(rows or range(len(steps)), brackets, opened, top)
    if any(wait.last is None for wait in waits):
        bottom += 2 * ROW  # room for what never ends
    time_x = MARGIN + max(measure(text, TEXT_PT, False) for text in (*times, head))
    channels = _channels(arrows, steps)
    columns = _columns(lanes, steps, texts, brackets, depth, channels, measure, time_x)
    last_channels = sum(1 for lane, _ in channels if lane == len(lanes) - 1)
    object_x0 = columns[-1].right + last_channels * CHANNEL_STEP + 0.25
    object_x = tuple(object_x0 + i * OBJECT_STEP for i in range(len(objects)))
    bars = tuple(
        Bar(
            columns[steps[b.first].lane].x - PAD - BRACKET_STEP * (depth[i][1] - depth[i][0]),
            title_y[i] - ROW / 2 + 0.03,
            step_y[b.last] + ROW / 2 - 0.03,
            b.text,
            title_y[i],
        )
        for i, b in enumerate(brackets)
    )
    paths = tuple(
        _path(arrow, steps, texts, columns, step_y, channels[i], measure)
        for i, arrow in enumerate(arrows)
    )
    width = max([*(x + 0.2 for x in object_x), object_x0 - 0.1, 5.0]) + MARGIN
    return Layout(
        width, bottom + 0.62, top, bottom, time_x, head, times, columns, step_y, texts, bars,
        paths, object_x,
    )  # fmt: skip


def time_text(t_us: float) -> str:
    """A time as it is printed at the left, to a tenth of a microsecond."""
    return f"{t_us:,.1f}"


def _check(
    lanes: Sequence[str],
    steps: Sequence[Step],
    waits: Sequence[Wait],
    arrows: Sequence[Arrow],
    objects: Sequence[KernelObject],
    brackets: Sequence[Bracket],
) -> None:
    if not lanes or not steps:
        raise ValueError("a sequence chart needs at least one lane and one step")
    for number, step in enumerate(steps):
        if not 0 <= step.lane < len(lanes):
            raise ValueError(f"lane ({step.lane}) of step {number} must be below {len(lanes)}")
        if step.kind not in KINDS:
            raise ValueError(f"kind ({step.kind!r}) of step {number} must be one of {KINDS}")
    spans: list[Wait | Arrow | KernelObject | Bracket]
    spans = [*waits, *arrows, *objects, *brackets]
    for span in spans:
        last = len(steps) - 1 if span.last is None else span.last
        if not 0 <= span.first <= last < len(steps):
            raise ValueError(f"{span} must go from a step to the same or a later one")


def _check_rows(steps: Sequence[Step], rows: Sequence[int] | None) -> None:
    if rows is None:
        return
    if len(rows) != len(steps):
        raise ValueError(f"rows ({len(rows)}) must be as many as steps ({len(steps)})")
    if any(a > b for a, b in pairwise(rows)):
        raise ValueError("rows must not fall from one step to the next")
    if len({(row, step.lane) for row, step in zip(rows, steps, strict=True)}) < len(steps):
        raise ValueError("two steps of one lane must not share a row")


def _texts(steps: Sequence[Step], waits: Sequence[Wait], timed: bool) -> tuple[str, ...]:
    """What stands in each step's row: its own text, what it waits for, how long it took."""
    texts = [step.text for step in steps]
    for wait in waits:
        if wait.text:
            texts[wait.first] += f"  waits for {wait.text}"
        if wait.last is None:
            texts[wait.first] += ", for ever"
        elif timed:
            blocked_us = steps[wait.last].t_us - steps[wait.first].t_us
            texts[wait.last] += f"  after {blocked_us:,.1f} µs"
    return tuple(texts)


def _depths(brackets: Sequence[Bracket], steps: Sequence[Step]) -> list[tuple[int, int]]:
    """For each bracket (its nesting depth, the deepest in its lane)."""
    depths = []
    for number, b in enumerate(brackets):
        outer = [
            o
            for i, o in enumerate(brackets)
            if i != number
            and steps[o.first].lane == steps[b.first].lane
            and o.first <= b.first
            and b.last <= o.last
            and ((o.first, o.last) != (b.first, b.last) or i < number)
        ]
        depths.append(len(outer))
    deepest = {
        steps[b.first].lane: max(
            d
            for d, o in zip(depths, brackets, strict=True)
            if steps[o.first].lane == steps[b.first].lane
        )
        for b in brackets
    }
    return [(d, deepest[steps[b.first].lane]) for d, b in zip(depths, brackets, strict=True)]


def _rows(
    rows: Sequence[int], brackets: Sequence[Bracket], opened: Sequence[int], top: float
) -> tuple[tuple[float, ...], dict[int, float], float]:
    """Middle of each step's row, of each bracket's own row, and the lower end of the last."""
    y = top + ROW
    step_y, title_y = [], {}
    before = None
    for number, row in enumerate(rows):
        if before is not None and row != before:
            y += ROW
        for i in opened:
            if brackets[i].first == number:
                title_y[i] = y
                y += ROW
        step_y.append(y)
        before = row
    y += ROW
    return tuple(step_y), title_y, y


def _channels(arrows: Sequence[Arrow], steps: Sequence[Step]) -> list[tuple[int, int]]:
    """For each arrow (the lane behind which it goes down, its place in that gap)."""
    taken: dict[int, list[tuple[int, int, int]]] = {}
    found = []
    for arrow in arrows:
        lane = min(steps[arrow.first].lane, steps[arrow.last].lane)
        busy = taken.setdefault(lane, [])
        place = 0
        while any(p == place and a <= arrow.last and arrow.first <= b for a, b, p in busy):
            place += 1
        busy.append((arrow.first, arrow.last, place))
        found.append((lane, place))
    return found


def _columns(
    lanes: Sequence[str],
    steps: Sequence[Step],
    texts: Sequence[str],
    brackets: Sequence[Bracket],
    depth: Sequence[tuple[int, int]],
    channels: Sequence[tuple[int, int]],
    measure: Measure,
    time_x: float,
) -> tuple[Column, ...]:
    x = time_x + 0.12
    columns = []
    for lane, name in enumerate(lanes):
        mine = [i for i, b in enumerate(brackets) if steps[b.first].lane == lane]
        levels = depth[mine[0]][1] + 1 if mine else 0
        x += PAD + BRACKET_STEP * levels
        widths = [
            measure(t, TEXT_PT, False) for s, t in zip(steps, texts, strict=True) if s.lane == lane
        ]
        widths += [measure(brackets[i].text, TEXT_PT, True) for i in mine]
        right = x + PAD + max([*widths, measure(name, NAME_PT, True), 0.6])
        columns.append(Column(name, x, right))
        gap = 1 + max((place for where, place in channels if where == lane), default=-1)
        x = right + 0.12 + gap * CHANNEL_STEP + (0.1 if gap else 0.0)
    return tuple(columns)


def _path(
    arrow: Arrow,
    steps: Sequence[Step],
    texts: Sequence[str],
    columns: Sequence[Column],
    step_y: Sequence[float],
    channel: tuple[int, int],
    measure: Measure,
) -> Path:
    """Level from the first step, down in the gap, level to the last step."""
    lane, place = channel
    middle = columns[lane].right + 0.1 + place * CHANNEL_STEP
    ends = []
    for number in (arrow.first, arrow.last):
        column = columns[steps[number].lane]
        left_of_gap = steps[number].lane <= lane
        end_of_text = column.x + PAD + measure(texts[number], TEXT_PT, False) + 0.05
        ends.append(end_of_text if left_of_gap else column.x - 0.06)
    y0, y1 = step_y[arrow.first], step_y[arrow.last]
    return Path((ends[0], middle, middle, ends[1]), (y0, y0, y1, y1))
