"""Every notebook runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUN = """\
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3",
               resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(notebook, sys.argv[3])
"""


def executed(notebook: Path, folder: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The notebook run in a kernel of its own, from the project's root; what it left."""
    made = folder / "executed.ipynb"
    kept = {name: str(folder) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR",
                                           "JUPYTER_RUNTIME_DIR")}  # fmt: skip
    environment = {**os.environ, **kept, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", RUN, notebook, ROOT, made],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended, made


def names_after(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a notebook after all its cells, run here, to do what a user does."""
    monkeypatch.chdir(path.parent)
    monkeypatch.syspath_prepend(str(ROOT))
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells(path)):
        exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
    return names


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_to_its_end(path, tmp_path):
    ended, made = executed(path, tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    done = cells(made)
    assert [cell["execution_count"] for cell in done] == list(range(1, len(done) + 1))
    shown = json.dumps([cell["outputs"] for cell in done])
    assert "image/png" in shown or "jupyter.widget-view" in shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_is_kept_without_outputs(path):
    for cell in cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_a_notebook_that_breaks_is_noticed(tmp_path):
    document = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))
    last = [cell for cell in document["cells"] if cell["cell_type"] == "code"][-1]
    document["cells"] = [{**last, "source": ["assert 1 == 2"]}]
    broken = tmp_path / "broken.ipynb"
    broken.write_text(json.dumps(document), encoding="utf-8")
    ended, made = executed(broken, tmp_path)
    assert ended.returncode != 0
    assert "AssertionError" in ended.stderr
    assert not made.exists()


def test_two_handshakes_steps_forwards_and_back(monkeypatch, capsys):
    names = names_after(ROOT / "notebooks" / "01_two_handshakes.ipynb", monkeypatch)
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
