"""Notebooks run from the first cell to the last, and are kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def executed(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a notebook after all its cells."""
    monkeypatch.chdir(path.parent)
    monkeypatch.syspath_prepend(str(ROOT))
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells(path)):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
    return names


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    for cell in cells(path):
        assert not cell.get("outputs"), cell["source"]
        assert cell.get("execution_count") is None


def test_two_handshakes_steps_forwards_and_back(monkeypatch, capsys):
    names = executed(ROOT / "notebooks" / "01_two_handshakes.ipynb", monkeypatch)
    out = capsys.readouterr().out
    assert "blocking: the prompt is back after 2,0" in out
    assert all(result.exit_code == 3 for result in names["runs"].values())
    slider, images = names["slider"], names["images"]
    first = {scheme: bytes(image.value) for scheme, image in images.items()}
    assert all(picture.startswith(b"\x89PNG") for picture in first.values())
    slider.value = 12
    later = {scheme: bytes(image.value) for scheme, image in images.items()}
    assert all(first[scheme] != later[scheme] for scheme in first)
    back, forward = names["box"].children[0].children[::2]
    forward.click()
    assert slider.value == 13
    for _ in range(20):
        back.click()
    assert slider.value == slider.min
    assert {scheme: bytes(image.value) for scheme, image in images.items()} == first
