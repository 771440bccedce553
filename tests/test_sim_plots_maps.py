"""Maps of a heap under each other."""

from __future__ import annotations

import pytest

from sim.block_map import Block
from sim.plots import save
from sim.plots_maps import heap_maps

COLOURS = {"argv": "#0072B2", "cwd": "#D55E00", "free": "#999999"}
BEFORE = [Block(0, 3000, "argv", True), Block(3000, 3000, "cwd", True)]
AFTER = [Block(0, 3000, "free", False), *BEFORE[1:]]


def drawn():
    return heap_maps({"before": BEFORE, "after": AFTER}, "title", COLOURS)


def test_every_map_has_its_name_and_the_same_scale():
    first, second = drawn().axes
    assert [a.get_title(loc="left") for a in (first, second)] == ["before", "after"]
    assert first.get_xlim() == second.get_xlim() == (0, 4096)
    assert first.get_ylim() == (2, 0)


def test_the_key_has_what_is_drawn_and_nothing_else():
    [legend] = heap_maps({"before": BEFORE}, "title", COLOURS).legends
    assert [text.get_text() for text in legend.get_texts()] == ["argv", "cwd"]


def test_no_map_is_refused():
    with pytest.raises(ValueError, match="at least one map"):
        heap_maps({}, "title", COLOURS)


def test_the_same_maps_give_the_same_bytes(tmp_path):
    pairs = [save(drawn(), tmp_path / name) for name in ("one", "two")]
    for one, two in zip(*pairs, strict=True):
        assert one.read_bytes() == two.read_bytes()
