"""Lanes: who has what from when until when."""

from __future__ import annotations

import pytest

from sim.plots import save
from sim.plots_lanes import Lane, Span, lanes

ROWS = [Lane("caller", 0, 10, "fork"), Lane("child", 4, 9, "fork"), Lane("child", 2, None, "exec")]
SPANS = [Span(0, "handle", 0, 5), Span(1, "view", 5, 9), Span(2, "handle", 2, None)]


def drawn():
    return lanes(ROWS, SPANS, "title", "time [ms]")


def test_every_lane_has_its_name_and_every_group_its_head():
    axes = drawn().axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["caller", "child", "child"]
    assert [t.get_text() for t in axes.texts] == ["fork", "exec"]
    ys = [*axes.get_yticks()]
    assert ys == sorted(ys)
    assert len(set(ys)) == 3


def test_what_never_ends_goes_on_to_the_edge():
    axes = drawn().axes[0]
    edge = axes.get_xlim()[1]
    assert edge > 10
    rights = {round(p.get_x() + p.get_width(), 6) for p in axes.patches if hasattr(p, "get_width")}
    assert round(edge, 6) in rights


def test_each_kind_is_in_the_legend_once():
    [legend] = drawn().legends
    assert [text.get_text() for text in legend.get_texts()] == ["handle", "view", "exists"]


def test_a_span_of_no_lane_and_no_lanes_are_refused():
    with pytest.raises(ValueError, match=r"lane \(3\) must be from 0 to 2"):
        lanes(ROWS, [Span(3, "view", 0, 1)], "title", "time [ms]")
    with pytest.raises(ValueError, match="at least one lane"):
        lanes([], [], "title", "time [ms]")


def test_the_same_lanes_give_the_same_bytes(tmp_path):
    pairs = [save(drawn(), tmp_path / name) for name in ("one", "two")]
    for one, two in zip(*pairs, strict=True):
        assert one.read_bytes() == two.read_bytes()
