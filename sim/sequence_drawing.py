"""A laid-out sequence chart put on axes: lines, marks and texts, each where the layout says.

The axes (of matplotlib) are given and measure inches from the upper left corner; `sim.plots` makes
them.  Who reads black and white can tell the kinds by their marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.sequence_layout import (
    NAME_PT,
    PAD,
    ROW,
    TEXT_PT,
    KernelObject,
    Layout,
    Step,
    Wait,
)

# Okabe and Ito 2008
BLUE, GREEN, VERMILION, PURPLE, ORANGE = "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00"
DARK_PURPLE, PALE, GREY, BLACK = "#9B4F7B", "#F6C9A8", "#999999", "#000000"
# kind -> (mark, colour, what the key says)
LOOKS = {
    "call": ("o", BLUE, "call"),
    "signal": ("^", GREEN, "signals"),
    "wait": ("s", VERMILION, "begins to wait"),
    "return": ("D", VERMILION, "goes on"),
    "life": ("X", BLACK, "begins or ends"),
}
_LEVEL: dict[str, Any] = {"fontsize": TEXT_PT, "va": "center_baseline"}


def draw_chart(
    axes: Any,
    layout: Layout,
    steps: Sequence[Step],
    waits: Sequence[Wait],
    objects: Sequence[KernelObject],
) -> None:
    """Everything but the title."""
    _draw_lanes(axes, layout)
    _draw_objects(axes, layout, objects)
    for wait in waits:
        _draw_wait(axes, layout, steps, wait)
    _draw_brackets(axes, layout)
    _draw_arrows(axes, layout)
    _draw_steps(axes, layout, steps)
    _draw_key(axes, layout, steps, waits, objects)


def _draw_lanes(axes: Any, layout: Layout) -> None:
    y = layout.top - 0.06
    for column in layout.columns:
        axes.plot([column.x] * 2, [layout.top, layout.bottom], color=GREY, lw=1.0, zorder=0)
        axes.text(column.x - 0.05, y, column.name, fontsize=NAME_PT, weight="bold", va="bottom")
    axes.text(layout.time_x, y, layout.time_head, fontsize=TEXT_PT, va="bottom", ha="right")


def _draw_objects(axes: Any, layout: Layout, objects: Sequence[KernelObject]) -> None:
    for x, thing in zip(layout.object_x, objects, strict=True):
        first = layout.step_y[thing.first]
        last = layout.bottom if thing.last is None else layout.step_y[thing.last]
        axes.plot([x, x], [first, last], color=ORANGE, lw=5, solid_capstyle="butt", zorder=0)
        for y in [first] if thing.last is None else [first, last]:
            axes.plot([x - 0.07, x + 0.07], [y, y], color=BLACK, lw=1.0)
        place = (x, layout.top - 0.06)
        axes.text(*place, thing.name, rotation=90, fontsize=TEXT_PT, va="bottom", ha="center")


def _draw_wait(axes: Any, layout: Layout, steps: Sequence[Step], wait: Wait) -> None:
    x = layout.columns[steps[wait.first].lane].x
    top = layout.step_y[wait.first]
    bottom = layout.bottom - ROW if wait.last is None else layout.step_y[wait.last]
    xs, ys = [x - 0.055, x + 0.055, x + 0.055, x - 0.055], [top, top, bottom, bottom]
    axes.fill(xs, ys, facecolor=PALE, edgecolor=VERMILION, lw=0.6, zorder=1)
    if wait.last is None:
        ends = {"xy": (x, layout.bottom), "xytext": (x, bottom)}
        axes.annotate("", arrowprops=_head(VERMILION), **ends)


def _draw_brackets(axes: Any, layout: Layout) -> None:
    for bar in layout.bars:
        axes.plot([bar.x, bar.x], [bar.top, bar.bottom], color=PURPLE, lw=2.4)
        column = next(c for c in layout.columns if c.x > bar.x)
        place = (column.x + PAD, bar.text_y)
        axes.text(*place, bar.text, weight="bold", color=DARK_PURPLE, **_LEVEL)


def _draw_arrows(axes: Any, layout: Layout) -> None:
    for path in layout.paths:
        axes.plot(path.xs[:-1], path.ys[:-1], color=GREEN, lw=1.0)
        ends = {"xy": (path.xs[-1], path.ys[-1]), "xytext": (path.xs[-2], path.ys[-2])}
        axes.annotate("", arrowprops=_head(GREEN), **ends)


def _draw_steps(axes: Any, layout: Layout, steps: Sequence[Step]) -> None:
    marks: dict[str, list[tuple[float, float]]] = {}
    before = None
    lines = zip(steps, layout.step_y, layout.step_text, layout.time_text, strict=True)
    for step, y, text, shown in lines:
        x = layout.columns[step.lane].x
        marks.setdefault(step.kind, []).append((x, y))
        axes.text(x + PAD, y, text, **_LEVEL)
        if shown != before:
            axes.text(layout.time_x, y, shown, ha="right", color="#555555", **_LEVEL)
        before = shown
    for kind, places in marks.items():
        marker, colour, _ = LOOKS[kind]
        xs, ys = zip(*places, strict=True)
        axes.plot(xs, ys, ls="none", marker=marker, color=colour, markersize=4, zorder=3)


def _draw_key(
    axes: Any,
    layout: Layout,
    steps: Sequence[Step],
    waits: Sequence[Wait],
    objects: Sequence[KernelObject],
) -> None:
    """What the marks mean, as far as they occur, in lines of equal length below the lanes."""
    used = {step.kind for step in steps}
    for kind, (marker, colour, name) in LOOKS.items():
        if kind in used:
            axes.plot([], [], ls="none", marker=marker, color=colour, ms=4, label=name)
    if waits:
        axes.fill([], [], facecolor=PALE, edgecolor=VERMILION, lw=0.6, label="blocked")
    if layout.paths:
        axes.plot([], [], color=GREEN, lw=1.0, label="sets going")
    if layout.bars:
        axes.plot([], [], color=PURPLE, lw=2.4, label="function")
    if objects:
        axes.plot([], [], color=ORANGE, lw=5, solid_capstyle="butt", label="kernel object")
    names = axes.get_legend_handles_labels()[1]
    lines = -(-len(names) * 1.25 // layout.width)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0.01, (layout.height - layout.bottom - 0.06) / layout.height),
        ncols=int(-(-len(names) // lines)),
        fontsize=7.5,
        handletextpad=0.6,
        columnspacing=1.2,
    )


def _head(colour: str) -> dict[str, Any]:
    return {"arrowstyle": "-|>", "color": colour, "lw": 1.0, "shrinkA": 0, "shrinkB": 0}
