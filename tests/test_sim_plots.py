"""Figures: what they say in words, that nothing overlaps, that bytes repeat."""

from __future__ import annotations

import itertools
import math

import pytest

from sim.block_map import Block, grouped, in_words, pieces
from sim.plots import (
    blocked_bars,
    heap_blocks,
    heap_over_generations,
    latency_ecdf,
    lines,
    save,
    save_as,
    sequence_chart,
)
from sim.sequence_layout import Arrow, Bracket, KernelObject, Step, Wait, lay_out

LANES = ["parent", "child"]
STEPS = [
    Step(0.0, 0, "CreateEvent", "call"),
    Step(1.0, 0, "CreateProcess", "call"),
    Step(1.0, 1, "starts", "life"),
    Step(2.0, 0, "WaitForMultipleObjects", "wait"),
    Step(9.5, 1, "SetEvent", "signal"),
    Step(10.0, 0, "wait returns 0", "return"),
]
CHART = {
    "waits": [Wait(3, 5, "ready, child")],
    "arrows": [Arrow(1, 2), Arrow(4, 5)],
    "objects": [KernelObject("ready", 0, 5), KernelObject("child", 1, None)],
    "brackets": [Bracket(0, 5, "outer"), Bracket(1, 1, "inner"), Bracket(4, 4, "in_child")],
}


def texts(figure):
    """Every text of a figure, axes and legends included."""
    from matplotlib.text import Text

    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def chart():
    return sequence_chart(LANES, STEPS, "one creation", **CHART)


def layout(steps=STEPS, **parts):
    given = {"waits": (), "arrows": (), "objects": (), "brackets": (), **parts}
    return lay_out(LANES, steps, *given.values(), lambda text, size, bold: 0.01 * size * len(text))


def test_ecdf_counts_observations_and_censored_ones():
    groups = {"a": [1000.0, 2000.0], "b": [5000.0, None, math.inf]}
    found = texts(latency_ecdf(groups, "t"))
    assert "a (n=2)" in found
    assert "b (n=3, 2 censored)" in found
    assert "time from call to return [ms]" in found


def test_ecdf_ends_below_one_by_the_censored_share():
    axes = latency_ecdf({"b": [5000.0, 6000.0, None, None]}, "t").axes[0]
    assert list(axes.get_lines()[0].get_xdata()) == [5.0, 6.0]
    assert list(axes.get_lines()[0].get_ydata()) == [0.25, 0.5]


@pytest.mark.parametrize("groups", [{}, {"a": []}, {"a": [None]}, {"a": [0.0, 0.0]}])
def test_ecdf_of_next_to_nothing_can_be_drawn(groups, tmp_path):
    save(latency_ecdf(groups, "t"), tmp_path / "f")


def test_a_wait_that_never_ends_is_said_not_drawn_as_a_number(tmp_path):
    bars = blocked_bars(["x", "y"], {"old": [4.2e6, None], "new": [1e3, 2e3]}, "t")
    assert {"never ends", "4,200", "old", "new", "x", "y"} <= set(texts(bars))
    away = lines({"old": ([1, 2, 3], [1.0, 2.0, None])}, "T [s]", "away [s]", "t")
    assert "old (n=3, 1 never ends)" in texts(away)
    save(away, tmp_path / "away")


def test_a_label_that_begins_with_an_underscore_is_in_the_legend():
    figures = [
        latency_ecdf({"_P_WAIT": [1.0]}, "t"),
        lines({"_P_WAIT": ([1], [1.0])}, "x", "y", "t"),
        blocked_bars(["x"], {"_P_WAIT": [1.0]}, "t"),
    ]
    assert [any("_P_WAIT" in text for text in texts(f)) for f in figures] == [True] * 3


def test_all_bars_may_never_end(tmp_path):
    save(blocked_bars(["x"], {"old": [None]}, "t"), tmp_path / "f")


def test_heap_is_drawn_in_kib():
    figure = heap_over_generations({"A": ([0, 1], [1024, 2048])}, "t")
    assert list(figure.axes[0].get_lines()[0].get_ydata()) == [1.0, 2.0]
    assert "heap in use [KiB]" in texts(figure)


def test_blocks_are_named_and_counted(tmp_path):
    blocks = [Block(0, 240, "header", True), Block(240, 8192, "argv", True)]
    figure = heap_blocks([*blocks, Block(8432, 40, "argv", False)], "t")
    found = texts(figure)
    assert "argv (1 in use, 8,192 bytes; 1 free, 40 bytes)" in found
    assert "hatched: free" in found
    save(heap_blocks([], "nothing"), tmp_path / "none")


def test_a_block_is_cut_at_the_ends_of_rows():
    assert pieces(Block(4000, 4300, "x", True), 4096) == [(0, 4000, 96), (1, 0, 4096), (2, 0, 108)]
    assert pieces(Block(0, 0, "x", True), 4096) == []


def test_small_labels_come_together():
    blocks = [Block(i * 100, 10 + i, f"l{i}", True) for i in range(10)]
    groups = grouped(blocks, 8)
    assert list(groups) == [*(f"l{i}" for i in range(9, 2, -1)), "other"]
    assert sum(len(some) for some in groups.values()) == len(blocks)
    assert in_words(groups["other"]) == "3 in use, 33 bytes"


def test_sequence_chart_says_every_call_wait_object_and_function():
    found = texts(chart())
    for text in (
        *("parent", "child", "ready", "outer", "inner", "in_child", "CreateEvent", "starts"),
        "WaitForMultipleObjects  waits for ready, child",
        "wait returns 0  after 8.0 µs",
        *("blocked", "kernel object", "time [µs]", "one creation"),
    ):
        assert text in found
    assert found.count("1.0") == 1  # an equal time is printed once


def test_a_wait_without_end_is_said():
    figure = sequence_chart(LANES, STEPS[:4], "t", waits=[Wait(3, None, "child")])
    assert "WaitForMultipleObjects  waits for child, for ever" in texts(figure)


def overlaps(figure):
    """Pairs of texts whose boxes meet."""
    from matplotlib.text import Text

    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    shown = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in shown]
    return [
        (a, b)
        for (a, box_a), (b, box_b) in itertools.combinations(boxes, 2)
        if min(box_a.x1, box_b.x1) - max(box_a.x0, box_b.x0) > 1
        and min(box_a.y1, box_b.y1) - max(box_a.y0, box_b.y0) > 3
    ]


def busy_chart():
    kinds = ("call", "signal", "wait", "return", "life")
    steps = [
        Step(i * 1e5, i % 3, f"call {i} with a long argument list", kinds[i % 5]) for i in range(40)
    ]
    return sequence_chart(
        ["parent", "child", "a thread with a long name"],
        steps,
        "busy",
        waits=[Wait(2, 20, "x"), Wait(31, None, "y")],
        arrows=[Arrow(i, i + 4) for i in range(0, 36, 3)],
        objects=[KernelObject(f"object {i}", i, None if i % 2 else i + 3) for i in range(8)],
        brackets=[Bracket(0, 39, "all"), Bracket(3, 30, "part_of_it"), Bracket(6, 9, "deep")],
    )


@pytest.mark.parametrize("draw", [chart, busy_chart])
def test_no_two_texts_of_a_sequence_chart_meet(draw):
    assert overlaps(draw()) == []


def test_the_check_for_overlaps_finds_one():
    figure = chart()
    figure.axes[0].text(1.6, 1.6, "in the way " * 9, fontsize=40)
    assert overlaps(figure)


def test_texts_of_a_sequence_chart_stay_on_the_page():
    from matplotlib.text import Text

    figure = busy_chart()
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    for text in figure.findobj(Text):
        if text.get_text():
            box = text.get_window_extent(renderer)
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= figure.bbox.x1, text
            assert box.y1 <= figure.bbox.y1, text


def test_a_row_belongs_to_one_text():
    placed = layout(brackets=CHART["brackets"])
    ys = [*placed.step_y, *(bar.text_y for bar in placed.bars)]
    gaps = [b - a for a, b in itertools.pairwise(sorted(ys))]
    assert min(gaps) > 0.15
    assert list(placed.step_y) == sorted(placed.step_y)


def test_nested_brackets_stand_side_by_side():
    outer, inner, _ = layout(brackets=CHART["brackets"]).bars
    assert outer.x < inner.x
    assert (outer.top < inner.top, inner.bottom < outer.bottom) == (True, True)


def test_arrows_that_run_at_the_same_time_use_their_own_gap():
    first, second = layout(arrows=[Arrow(0, 4), Arrow(1, 2)]).paths
    assert first.xs[1] != second.xs[1]


@pytest.mark.parametrize(
    ("steps", "parts", "said"),
    [
        ([], {}, "at least one"),
        ([Step(0, 2, "x", "call")], {}, r"lane \(2\)"),
        ([Step(0, 0, "x", "cry")], {}, r"kind \('cry'\)"),
        (STEPS, {"waits": [Wait(3, 2)]}, "later"),
        (STEPS, {"arrows": [Arrow(0, 6)]}, "later"),
        (STEPS, {"objects": [KernelObject("x", -1, None)]}, "later"),
        (STEPS, {"brackets": [Bracket(9, 9, "x")]}, "later"),
    ],
)
def test_what_is_not_in_the_chart_is_refused(steps, parts, said):
    with pytest.raises(ValueError, match=said):
        layout(steps, **parts)


def test_figures_repeat_byte_for_byte_and_tell_no_date(tmp_path):
    for name in ("a", "b"):
        save(chart(), tmp_path / name)
    for ending in ("png", "svg"):
        first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
        assert first == second
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]


def test_saved_format_follows_the_name(tmp_path):
    save_as(chart(), tmp_path / "x.PNG")
    assert (tmp_path / "x.PNG").read_bytes().startswith(b"\x89PNG")


def test_matplotlib_is_not_imported_before_it_is_needed(python):
    script = "import sys, sim.plots; print('matplotlib' in sys.modules)"
    assert python("-c", script).stdout.split() == [b"False"]
