"""Every notebook runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


def cells(path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_to_its_end(path, tmp_path):
    ended, made = executed(path, tmp_path)
    assert ended.returncode == 0, ended.stderr[-3000:]
    done = cells(made)
    assert [cell["execution_count"] for cell in done] == list(range(1, len(done) + 1))
    assert any("image/png" in json.dumps(cell["outputs"]) for cell in done)


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
