"""Runs from Python: the README's program, recorded trees, and what a result says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from models.cygwin import schemes
from scenarios import Program, replay, run

ROOT = Path(__file__).resolve().parent.parent
MINI = ROOT / "tests" / "data" / "traces" / "mini-pipeline.ptrec.jsonl.gz"


def readme_program() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("### Write a program\n")[2]
    block = re.search(r"((?:^ {4}.*\n|^\n)+)", section[section.index("\n    ") :], re.MULTILINE)
    assert block is not None
    return "\n".join(line[4:] for line in block[1].splitlines())


def test_the_readmes_program_runs_and_shows_who_is_held():
    program = readme_program()
    assert len([line for line in program.splitlines() if line]) <= 15
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "README.md", "exec"), {})
    took = re.findall(r"^spawn _P_NOWAIT +notepad +\S+ +(\S+)", out.getvalue(), re.MULTILINE)
    blocking, shared = (float(text.replace(",", "")) for text in took)
    assert blocking > 2000 > 100 > shared
    assert out.getvalue().count("exit code 3") == 2


@pytest.mark.parametrize("line", readme_program().splitlines())
def test_the_readmes_program_fits_a_terminal(line):
    assert len(line) <= 96


def test_importing_the_three_names_loads_nothing_before_they_are_used(python):
    code = (
        "import sys, scenarios; heavy = {'simpy', 'numpy', 'pydantic', 'matplotlib'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "from scenarios import Program; assert not heavy & set(sys.modules);"
        "from scenarios import run; assert 'matplotlib' not in sys.modules"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_a_name_that_there_is_not_is_no_attribute():
    with pytest.raises(ImportError):
        from scenarios import nothing  # noqa: F401


@pytest.mark.parametrize("scheme", schemes.names())
def test_a_recorded_tree_gives_the_same_kind_of_result(scheme):
    result = replay(MINI, scheme=scheme)
    assert result.outcome == "finished"
    assert result.exit_code == 0
    assert len(result.latencies_us("fork")) > 0
    assert all(value is not None for value in result.latencies_us("exec"))


def test_a_blocked_run_says_who_waits_for_what():
    def parent(p):
        yield from p.spawn("_P_NOWAIT", Program.native("notepad"))

    result = run(parent, scheme="blocking")
    assert result.outcome == "blocked"
    assert result.exit_code is None
    assert "parent (pid 1) waits for process" in str(result)
    assert "never" in str(result)
    assert result.creations[0].waited_us > 0 or result.end_us > 0


def test_a_run_that_is_cut_is_not_blocked():
    def sleeper(p):
        yield from p.sleep(1e9)

    assert run(sleeper, until_us=1e6).outcome == "cut"


def test_a_scheme_on_a_machine_that_it_never_met_is_counterfactual():
    def leave(p):
        yield from p.exit(0)

    assert not run(leave, scheme="blocking", profile="p3-800-w2000").counterfactual
    modern = run(leave, scheme="blocking", profile="desktop-w11")
    assert modern.counterfactual
    assert "counterfactual" in str(modern)


def test_the_report_fits_80_columns_and_the_seed_decides():
    def parent(p):
        yield from p.fork(leave)
        yield from p.spawn("_P_NOWAIT", Program.native("a-program-with-a-long-name", 100.0))

    def leave(p):
        yield from p.exit(0)

    one, same, other = (str(run(parent, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert max(map(len, one.splitlines())) <= 80


@pytest.mark.parametrize("scheme", schemes.names())
def test_a_recorded_tree_makes_the_calls_of_the_program_that_it_records(scheme, trace_of):
    """Calls of each main thread and creations: a replay is no second way of running a program."""
    t = trace_of
    t.fork(1, 2).exec(2, "ls").exit(2, code=3).wait(1, 2)
    t.open(1, 3).fork(1, 3).close(3, 3).exit(3).wait(1, 3).close(1, 3).exit(1)
    t.load()
    recorded = replay(t.path, scheme=scheme, profile="ideal", calls=True)

    def ls(p):
        yield from p.exit(3)

    def becomes_ls(p):
        yield from p.exec(ls, ["name"], ["A=2345"])

    def closes(p):
        yield from p.close(3)

    def shell(p):
        for _ in range(3):
            p.open("/dev/tty")
        for child in (becomes_ls, closes):
            pid = yield from p.fork(child)
            yield from p.work(2000)  # as recorded, the child has ended when it is waited for
            yield from p.waitpid(pid)
            if child is becomes_ls:
                p.open("/" * 20)
        yield from p.close(3)

    written = run(shell, scheme=scheme, profile="ideal", calls=True)
    assert _calls(written) == _calls(recorded)
    assert [(c.kind, c.waits, c.section_steps) for c in written.creations] == [
        (c.kind, c.waits, c.section_steps) for c in recorded.creations
    ]


def _calls(result):
    """Names of the calls of each process's main thread, in the order of the processes."""
    first, found = {}, {}
    for row in result.kernel.calls:
        if row.tid == first.setdefault(row.pid, row.tid):
            found.setdefault(row.pid, []).append(row.name)
    return list(found.values())
