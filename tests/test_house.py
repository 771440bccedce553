"""The house: what packaging, Makefile, README and continuous integration promise each other."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

from models.cygwin import schemes

ROOT = Path(__file__).resolve().parent.parent


def test_every_scheme_and_variant_stands_in_the_readme():
    text = read("README.md")
    section = text[text.index("### Schemes") : text.index("### Scenarios")]
    told = section + text[text.index("### Other days, other releases") :]
    assert [name for name in schemes.variant_names() if f"`{name}`" not in told] == []
    rows = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert rows == schemes.names()


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads(read("pyproject.toml"))["project"]


@pytest.fixture(scope="module")
def pins():
    lines = read("constraints.txt").splitlines()
    wrong = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line)]
    assert not wrong, f"only NAME==VERSION lines: {wrong}"
    return {plain(name): version for name, version in (line.split("==") for line in lines)}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirements: list[str]) -> set[str]:
    return {plain(re.match(r"[\w.-]+", text)[0]) for text in requirements}


def test_everything_that_the_tests_need_is_pinned(project, pins):
    extras = project["optional-dependencies"]
    needed = required([*project["dependencies"], *extras["test"], *extras["lint"]])
    assert needed <= set(pins)


def test_what_is_needed_in_turn_is_pinned_too(project, pins):
    todo = required(project["dependencies"])
    seen = set()
    while todo:
        name = todo.pop()
        seen.add(name)
        needs = importlib.metadata.requires(name) or []
        todo |= required([text for text in needs if ";" not in text]) - seen
    assert seen <= set(pins)


def test_core_dependencies_are_the_agreed_ones(project):
    wanted = {"simpy", "numpy", "scipy", "matplotlib", "pydantic", "click", "tqdm"}
    assert required(project["dependencies"]) == wanted


def test_version_is_the_changelog_s_newest(project):
    from scenarios import __version__

    assert re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[1] == __version__
    assert project["dynamic"] == ["version"]


def test_changelog_lines_begin_with_their_kind():
    lines = [line for line in read("CHANGELOG.md").splitlines() if line.startswith("- ")]
    assert lines
    for line in lines:
        assert re.match(r"- \[(NEW|FIX|CHANGE|BREAKING|DOCS)\] ", line)


@pytest.mark.parametrize("target", ["demo", "test", "check-all", "bench", "clean", "lint"])
def test_makefile_has_target(target):
    assert re.search(rf"^{target}:", read("Makefile"), re.MULTILINE)


def test_makefile_only_runs_modules_that_exist():
    for module in re.findall(r"python -m (tests[\w.]*|scenarios[\w.]*)", read("Makefile")):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_continuous_integration_runs_the_test_command_of_the_readme():
    commands = [line for line in read(".ci/run").splitlines() if line.startswith("exec ")]
    assert commands == ["exec make test"]
    assert re.search(r"^ {4}make test\b", read("README.md"), re.MULTILINE)
    assert re.search(r"^ {4}make demo\b", read("README.md"), re.MULTILINE)


def test_readme_names_only_commands_that_exist():
    from scenarios.cli_root import COMMANDS

    known = {name for name, *_ in COMMANDS}
    named = set(re.findall(r"^ {4}cygsim (\w+)", read("README.md"), re.MULTILINE))
    assert named
    assert named <= known


def test_readme_maps_the_document_to_every_scenario_and_notebook():
    from scenarios.cli_catalogue import entries

    table = read("README.md").partition("## The document")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    targets = " ".join(row.split("|")[2] for row in rows)
    missing = [entry.name for entry in entries() if f"`{entry.name}`" not in targets]
    notebooks = [path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")]
    missing += [number for number in notebooks if f"notebook {number}" not in targets]
    assert not missing
    assert len(rows) > 25


def test_readme_lists_every_scenario_with_its_question():
    from scenarios.cli_catalogue import entries

    table = read("README.md").partition("### Scenarios")[2].partition("\n### ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(f"| `{e.name}` | {e.question} |" for e in entries())


def test_data_beside_the_modules_travels_with_the_package():
    packed = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["package-data"]
    named = {
        path
        for package, patterns in packed.items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    there = {
        path
        for top in ("sim", "models", "scenarios")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert there
    assert named == there


def test_every_package_says_that_it_is_one():
    for top in ("sim", "models", "scenarios"):
        for folder in {path.parent for path in (ROOT / top).rglob("*.py")}:
            assert (folder / "__init__.py").exists(), folder


def test_python_is_new_enough(project):
    assert project["requires-python"] == ">=3.11"
    assert sys.version_info >= (3, 11)


def test_licence_is_the_one_that_is_declared(project):
    assert project["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License\n\nCopyright (c) the cygsim authors\n")
