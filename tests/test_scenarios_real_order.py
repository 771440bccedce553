"""`cygsim run real_order`: one creation of a log beside the simulated one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from models.cygwin import schemes
from models.cygwin.call_beside import beside
from models.cygwin.call_chart import LANES, chart
from models.cygwin.call_check import simulate
from models.cygwin.call_log import read_log
from models.cygwin.call_versions import variants
from models.cygwin.call_windows import windows
from sim import plots

LOGS = Path(__file__).parent / "data" / "msys1"
PLAIN = LOGS / "cygwin-1.3.3" / "fork-exec-true.jsonl.gz"


def both(path, number, scheme=None):
    """(creation on both sides, chart)."""
    log = read_log(path)
    variant = variants(schemes.get)[log.dll_set]
    real = windows(log.calls)
    run = simulate(log, real, variant, schemes.get(scheme) if scheme else variant.scheme)
    found = beside(run.comparison(), number)
    return found, chart(found, log.calls, run.calls)


def marks(found):
    return {line.mark for line in found.lines}


@pytest.mark.parametrize("number", [1, 2])
def test_a_creation_that_agrees_stands_level(number):
    found, made = both(PLAIN, number)
    assert marks(found) == {"="}
    rows = {}
    for row, step in zip(made.rows, made.steps, strict=True):
        rows.setdefault(row, []).append((step.lane, step.text))
    assert len(rows) == len(found.lines)
    for (left, one), (right, two) in rows.values():
        assert (right, two) == (left + 2, one)


def test_waits_and_objects_of_both_sides_end_at_the_same_rows():
    _, made = both(PLAIN, 2)
    spans = {}
    for wait in made.waits:
        spans.setdefault(made.steps[wait.first].lane // 2, []).append(
            (made.rows[wait.first], made.rows[wait.last])
        )
    assert spans[0] == spans[1] != []
    bars = {
        o.name: (made.rows[o.first], None if o.last is None else made.rows[o.last])
        for o in made.objects
    }
    assert bars["real: subproc_ready"] == bars["simulated: subproc_ready"]
    assert bars["real: heap section"] == bars["simulated: heap section"]
    assert bars["real: heap section"][1] is None  # the child keeps its view


def test_under_another_scheme_the_other_transfer_is_marked():
    found, _ = both(PLAIN, 1, "blocking")
    apart = {(line.mark, (line.real or line.simulated).name) for line in found.lines}
    assert ("-", "CreateFileMapping") in apart
    assert ("+", "ReadProcessMemory") in apart


def test_a_falsified_size_and_a_removed_call_are_marked(tmp_path):
    with gzip.open(PLAIN, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for i, row in enumerate(rows):
        if row.get("api") == "CreateFileMapping" and row["args"]["size"] == 5123308:
            row["args"]["size"] -= 8
            gone = next(k for k in range(i, len(rows)) if rows[k]["api"] == "UnmapViewOfFile")
            break
    del rows[gone]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, made = both(path, 1)
    by_mark = {line.mark: line for line in found.lines if line.mark != "="}
    assert by_mark["!"].real.name == "CreateFileMapping"
    assert by_mark["+"].simulated.name == "UnmapViewOfFile"
    assert any(step.text.startswith("! CreateFileMapping") for step in made.steps)


def test_a_chart_can_be_drawn_with_level_rows():
    _, made = both(PLAIN, 1)
    figure = plots.sequence_chart(
        made.lanes, made.steps, "T", made.waits, made.arrows, made.objects, rows=made.rows
    )
    said = [t.get_text() for t in figure.axes[0].texts]
    assert set(LANES) <= set(said)
    assert "row [1]" in said


@pytest.mark.parametrize(
    "rows", [[0, 1], [1, 0, 2], [0, 0, 1]], ids=["too few", "falling", "one lane twice"]
)
def test_rows_that_cannot_be_are_refused(rows):
    from sim.sequence_layout import Step

    steps = [Step(0.0, 0, "a"), Step(1.0, 0, "b"), Step(2.0, 1, "c")]
    with pytest.raises(ValueError, match=r"rows|share"):
        plots.sequence_chart(["x", "y"], steps, "T", rows=rows)


def test_the_report_fits_80_columns(cygsim):
    done = cygsim("run", "real_order", "--set", f"logs={PLAIN},cygwin-1.3.19/sock-fork")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(done.stdout.decode().split())
    assert "44 calls are the same, with a heap of 13,460 bytes; none differs" in text
    assert "[structural] shared-memory-1.3.3" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "logs=nowhere"], "there is no log nowhere"),
        (["--set", "logs=cygwin-1.3.3/chain-const-200"], "only some kinds of call"),
        (["--set", "logs=cygwin-1.3.3/collide-first-at"], "no creation in it"),
        (["--set", "creations=3"], "there is no creation 3; 1 to 2"),
        (["--system", "9x"], "the machine follows from what is read"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(cygsim, arguments, said):
    done = cygsim("run", "real_order", *arguments)
    assert done.returncode == 2
    error = done.stderr.decode().strip()
    assert said in error
    assert "\n" not in error
