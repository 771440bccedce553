"""Panels side by side: shared axes, bands, marks at powers of two."""

from __future__ import annotations

import pytest

from sim.plots import save
from sim.plots_panels import Band, Series, panels


def drawn(**more):
    series = {"a": Series([16, 64, 4096], [1, 2, 9], [1, 2, 9], [2, 3, 10])}
    return panels({"fork": series, "exec": series}, "heap [KiB]", "latency [ms]", "title", **more)


def test_every_group_has_a_panel_with_its_name_and_the_same_limits():
    left, right = drawn().axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["fork", "exec"]
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] == 0
    assert left.get_ylabel() == "latency [ms]"


def test_a_logarithmic_axis_is_marked_at_powers_of_two():
    axes = drawn(logarithmic=True).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["16", "64", "256", "1,024", "4,096"]


def test_a_band_is_in_the_legend_once():
    figure = drawn(bands=[Band(10, 23, "seen in 2001")])
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["seen in 2001", "a"]


def test_the_same_series_give_the_same_bytes(tmp_path):
    pairs = [save(drawn(), tmp_path / name) for name in ("one", "two")]
    for one, two in zip(*pairs, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_no_group_is_no_figure():
    with pytest.raises(ValueError):
        panels({}, "x", "y", "nothing")
