"""The command line: one error line and exit code 2, light start-up, safe streams, same bytes."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import click
import pytest

from scenarios import cli_boundary, cli_catalogue, cli_output, cli_replay, cli_run, cli_version
from scenarios.__main__ import main
from scenarios.cli_root import COMMANDS, root
from scenarios.cli_words import unknown_name
from scenarios.options import ReplayOptions, RunOptions
from scenarios.spec import PARAGRAPHS, Spec
from sim.errors import InputError

HEAVY = ("numpy", "simpy", "scipy", "matplotlib", "pydantic", "tqdm", "importlib.metadata", "json")

# -- bad usage ----------------------------------------------------------------------------------

BAD = [
    ("", "command: ", "--help"),
    ("nope", "command: no command 'nope'", "replay"),
    ("profile", "command: no command 'profile'", "nearest: profiles"),
    ("--nope", "--nope: no such option", "--help"),
    ("replay", "TRACE: missing", "replay --help"),
    ("replay a b", "cygsim replay: ", "unexpected"),
    ("replay a --sheme x", "--sheme: no such option", "nearest: --scheme"),
    ("replay a --seed", "--seed: a value is missing", "--help"),
    ("replay a --seed x", "--seed: 'x' is not a whole number", "0 or more"),
    ("replay a --seed -1", "--seed: -1 is too small", "0 or more"),
    ("replay a --seed 1e3", "--seed: '1e3'", "0 or more"),
    ("replay a --seed ٣", "--seed: ", "0 or more"),
    ("replay a --seed 9999999999999999999", "--seed: ", "too large"),
    ("replay a --processors 0", "--processors: 0 is too small", "1 or more"),
    ("replay a --replications 0", "--replications: 0 is too small", "1 or more"),
    ("replay a --jobs 0", "--jobs: 0 is too small", "1 or more"),
    ("replay a --until -1", "--until: -1", "above 0"),
    ("replay a --until 0", "--until: 0", "above 0"),
    ("replay a --until nan", "--until: nan", "above 0"),
    ("replay a --until inf", "--until: inf", "above 0"),
    ("replay a --until soon", "--until: 'soon' is not a number", "above 0"),
    ("replay a --set nope", "--set: 'nope' is not a setting", "KEY=VALUE"),
    ("replay a --set =1", "--set: '=1' is not a setting", "KEY=VALUE"),
    ("replay a --set k=", "--set: 'k=' is not a setting", "KEY=VALUE"),
    ("replay a --vfork x", "--vfork: 'x' is not known", "era, fork"),
    ("replay a --expect x", "--expect: 'x' is not known", "finished, blocked, failed, cut"),
    ("replay a --system xp", "--system: 'xp' is not known", "nt, 9x"),
    ("run", "SCENARIO: missing", "run --help"),
    ("run nope", "SCENARIO: no scenario 'nope'", ""),
    ("run x --replications 0", "--replications: 0 is too small", "1 or more"),
    ("heap", "cygsim heap: ", "--help"),
    ("heap repla", "cygsim heap: no command 'repla'", "nearest: replay"),
    ("heap replay", "FILE", "missing"),
    ("heap show f --at 0", "--at: 0 is too small", "1 or more"),
    ("layout check x --era C", "--era: 'C' is not known", "A, B"),
    ("layout check x --heap-size 0", "--heap-size: 0 is not in range", "0x"),
    ("layout check x --heap-size 5k", "--heap-size: '5k' is not a number", "0x"),
    ("layout check x --heap-size 0x", "--heap-size: '0x' is not a number", "0x"),
    ("layout check x --heap-size 0xffffffff", "--heap-size: 0xffffffff is not in", "0x"),
    ("layout check no-such-file", "no-such-file: ", "rebase"),
    ("layout base", "NAME...: missing", "--help"),
    ("layout base a --rule x", "--rule: 'x' is not known", "2001, i686, x86_64"),
    ("layout risk", "--dlls: missing", "--help"),
    ("layout risk --dlls 0", "--dlls: 0 is too small", "1 to 20000"),
    ("layout risk --dlls 20001", "--dlls: 20001 is too large", "1 to 20000"),
    ("layout chek", "cygsim layout: no command 'chek'", "nearest: check"),
]


@pytest.mark.parametrize(("words", "where", "hint"), BAD)
def test_bad_usage_is_one_line_and_exit_2(capsys, words, where, hint):
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"cygsim: {where}")
    assert hint in shown.err
    assert "; " in shown.err
    assert shown.err.count("\n") == 1


NAMES = [
    ("replay a --scheme shared-memroy", "--scheme: no scheme", "nearest: shared-memory"),
    ("profiles p3-800-w200", "--profile: ", "p3-800-w2000"),
    ("replay no-such-file.jsonl", "no-such-file.jsonl: ", ""),
    ("heap replay no-such-file.jsonl", "no-such-file.jsonl: ", ""),
    ("heap show no-such-file.jsonl", "no-such-file.jsonl: ", ""),
]


@pytest.mark.parametrize(("words", "where", "hint"), NAMES)
def test_unknown_names_and_missing_files_are_one_line_and_exit_2(capsys, words, where, hint):
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"cygsim: {where}")
    assert hint in shown.err
    assert shown.err.count("\n") == 1


def test_the_process_itself_exits_with_2_and_no_traceback(cygsim):
    ended = cygsim("replay", "a", "--seed", "x")
    assert ended.returncode == 2
    assert ended.stderr == b"cygsim: --seed: 'x' is not a whole number; a whole number, 0 or more\n"


# -- what else may go wrong ---------------------------------------------------------------------


def fail_with(monkeypatch, error: BaseException) -> None:
    """Let `cygsim list` end with `error`."""

    def fail() -> dict[str, str]:
        raise error

    monkeypatch.setattr(cli_catalogue, "entries", fail)


ERRORS = [
    (InputError("f:3", "two\nlines", "one"), "cygsim: f:3: two lines; one\n"),
    (FileNotFoundError(2, "No such file", "x.gz"), "cygsim: x.gz: No such file; "),
    (IsADirectoryError(21, "Is a directory", "d"), "cygsim: d: Is a directory; "),
    (OSError(28, "No space left"), "cygsim: system: No space left; "),
    (KeyError("k"), "cygsim: internal error: KeyError: 'k'; --debug"),
]


@pytest.mark.parametrize(("error", "line"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_of_a_command_is_one_line(monkeypatch, capsys, error, line):
    fail_with(monkeypatch, error)
    assert main(["list"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(line)
    assert shown.count("\n") == 1


@pytest.mark.parametrize("words", [["--debug", "list"], ["list", "--debug"]])
def test_debug_lets_the_error_through_wherever_it_stands(monkeypatch, words):
    fail_with(monkeypatch, KeyError("k"))
    with pytest.raises(KeyError):
        main(words)


def test_debug_behind_two_dashes_is_a_file_name(capsys):
    assert main(["heap", "replay", "--", "--debug"]) == 2
    assert capsys.readouterr().err.startswith("cygsim: --debug: ")


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    fail_with(monkeypatch, KeyboardInterrupt())
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "cygsim: interrupted\n"


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "scenarios", "--help"]
    root_folder = Path(__file__).parent.parent
    with subprocess.Popen(
        command, cwd=root_folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_nearest_names_come_before_all_names():
    error = unknown_name("--x", "thing", "blok", ["block", "other"])
    assert str(error) == "--x: no thing 'blok'; nearest: block (one of block, other)"


# -- start-up -----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["replay", "--help"], ["nope"]])
def test_start_up_imports_nothing_heavy(python, words):
    code = (
        "import sys; from scenarios.__main__ import main; main(sys.argv[1:]);"
        f"sys.stderr.write(repr([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    ended = python("-c", code, *words)
    assert ended.stderr.decode().splitlines()[-1] == "[]"


def test_version_names_what_is_installed(capsys):
    assert main(["--version"]) == 0
    installed = importlib.metadata.version
    assert capsys.readouterr().out == (
        f"cygsim {installed('cygsim')} (Python {platform.python_version()}, "
        f"SimPy {installed('simpy')}, numpy {installed('numpy')})\n"
    )


def test_version_takes_the_first_folder_that_python_would(monkeypatch, tmp_path):
    for folder, version in (("a", "1.5"), ("b", "2.0")):
        (tmp_path / folder / f"SimPy-{version}.dist-info").mkdir(parents=True)
    (tmp_path / "b" / "simpy_more-9.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / name) for name in ("none", "b", "a")])
    assert cli_version.installed_version("simpy") == "2.0"
    assert cli_version.installed_version("nowhere") == "not installed"


def test_help_table_names_every_command():
    context = click.Context(root)
    for name, *_ in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help


# -- options ------------------------------------------------------------------------------------


def test_defaults_of_replay_are_those_of_its_options():
    defaults = {p.name: p.default for p in cli_replay.replay.params if p.name != "trace"}
    options = ReplayOptions("t")
    for name in ("system", "profile", "vfork", "replications", "seed", "jobs"):
        assert defaults[name] == getattr(options, name)


@pytest.mark.parametrize(
    ("command", "options"), [(cli_replay.replay, ReplayOptions), (cli_run.run, RunOptions)]
)
def test_every_option_has_its_field(command, options):
    asked = {p.name for p in command.params} - {"as_of"}  # its days become names of schemes
    assert asked == set(options.__dataclass_fields__)


# -- streams ------------------------------------------------------------------------------------


def test_text_outside_the_console_s_code_page_is_escaped(python):
    code = (
        "from scenarios import cli_boundary, cli_output; cli_boundary.make_streams_safe();"
        "cli_output.print_table(('a', 'b'), [('\\u2192', '\\u00e9')])"
    )
    ended = python("-c", code, PYTHONIOENCODING="cp1252")
    assert ended.stdout == b"a  b\n\\u2192  \xe9\n"
    assert ended.returncode == 0


def test_json_is_utf8_with_lf_whatever_the_console(python):
    code = (
        "from scenarios import cli_boundary, cli_output; cli_boundary.make_streams_safe();"
        "cli_output.print_json({'a': '\\u2192\\udc80'})"
    )
    ended = python("-c", code, PYTHONIOENCODING="cp1252")
    assert json.loads(ended.stdout.decode("utf-8")) == {"a": "→\udc80"}
    assert b"\r" not in ended.stdout


def test_json_refuses_what_is_not_json():
    with pytest.raises(ValueError, match="must be finite"):
        cli_output.print_json(float("nan"))


def test_an_error_line_outside_the_console_s_code_page_is_escaped(cygsim):
    ended = cygsim("→", PYTHONIOENCODING="cp1252")
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"cygsim: command: no command '\\u2192'; ")


def test_streams_that_are_no_files_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    cli_boundary.make_streams_safe()


# -- list, schemes, profiles --------------------------------------------------------------------


def test_scenarios_are_found_without_importing_them(tmp_path):
    (tmp_path / "one.py").write_text(
        '"""First words. How long\ndoes it\ntake? No idea."""\nSPEC: int = 1\nraise RuntimeError\n'
    )
    (tmp_path / "two.py").write_text('"""No question at all."""\nSPEC = 2\n')
    (tmp_path / "no.py").write_text('"""Is this one?"""\nSPECS = 2\n')
    assert cli_catalogue.questions(tmp_path) == {
        "one": "How long does it take?",
        "two": "No question at all.",
    }


def test_the_paragraph_is_read_from_the_source(tmp_path):
    (tmp_path / "one.py").write_text('"""Is it?"""\nSPEC = Spec(name="one", paragraph="place")\n')
    (tmp_path / "two.py").write_text('"""Is it?"""\nSPEC = Spec(name="two")\n')
    assert [e.paragraph for e in cli_catalogue.entries(tmp_path)] == ["place", ""]


def test_an_unknown_paragraph_is_refused():
    with pytest.raises(ValueError, match="paragraph"):
        Spec("one", "Is it?", None, paragraph="plaice")


def test_the_source_says_what_the_spec_has():
    for entry in cli_catalogue.entries():
        spec = importlib.import_module(f"scenarios.{entry.name}").SPEC
        assert (spec.name, spec.paragraph) == (entry.name, entry.paragraph)
        assert spec.question == entry.question


def test_the_list_has_every_scenario_under_its_paragraph(cygsim):
    lines = cygsim("list").stdout.decode().splitlines()
    assert max(map(len, lines)) <= 80
    heads = [line.removesuffix(" ...") for line in lines if not line.startswith(" ")]
    order = [begins for begins in PARAGRAPHS.values() if begins in heads]
    assert heads in (order, [*order, "Told by no paragraph"])
    for entry in cli_catalogue.entries():
        at = next(i for i, line in enumerate(lines) if line.startswith(f"  {entry.name} "))
        head = next(line for line in reversed(lines[:at]) if not line.startswith(" "))
        assert head.startswith(PARAGRAPHS.get(entry.paragraph, "Told by no paragraph"))


KEYS = [
    ("list", {"name", "question", "paragraph"}),
    ("schemes", {"name", "era", "since", "until", "summary"}),
    ("profiles", {"name", "summary", "parameters"}),
]


@pytest.mark.parametrize(("command", "keys"), KEYS)
def test_tables_have_the_keys_of_the_contract(cygsim, command, keys):
    documents = []
    for hash_seed in ("1", "2"):
        ended = cygsim(command, "--json", PYTHONHASHSEED=hash_seed)
        assert ended.stderr == b""
        assert ended.returncode == 0
        documents.append(ended.stdout)
    assert documents[0] == documents[1]
    for row in json.loads(documents[0]):
        assert set(row) >= keys


def test_every_parameter_of_a_profile_has_its_source(cygsim):
    profiles = json.loads(cygsim("profiles", "--json").stdout)
    assert {"p3-800-w2000", "p3-800-w98", "desktop-w11", "desktop-w11-defender", "ideal"} <= {
        profile["name"] for profile in profiles
    }
    for profile in profiles:
        for parameter in profile["parameters"]:
            assert {"key", "distribution", "unit", "source", "kind"} <= set(parameter)
            assert parameter["kind"] in {"measured", "derived", "assumed"}
            assert parameter["source"]


@pytest.mark.parametrize("words", [["schemes"], ["profiles"], ["profiles", "p3-800-w2000"]])
def test_what_is_listed_fits_80_columns(cygsim, words):
    lines = cygsim(*words).stdout.decode().splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", ["list", "schemes", "profiles"])
def test_tables_can_be_read_on_an_old_console(cygsim, command):
    ended = cygsim(command, PYTHONIOENCODING="cp1252")
    assert ended.returncode == 0
    assert ended.stderr == b""
    assert ended.stdout
    assert b"\r" not in ended.stdout


def test_the_console_script_is_the_same_program():
    script = Path(sys.executable).with_name("cygsim.exe" if os.name == "nt" else "cygsim")
    ended = subprocess.run([script, "--version"], capture_output=True, check=True)
    assert ended.stdout.startswith(b"cygsim ")
