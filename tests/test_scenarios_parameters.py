"""Parameters of scenarios: unit, range, what the command line says of them."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import dataclass

import pytest

from scenarios.__main__ import main
from scenarios.background_native import Parameters
from scenarios.cli_catalogue import entries
from scenarios.parameters import changed, check, described, named, parameter, shown
from sim.errors import InputError


@dataclass(frozen=True)
class Point:
    times: tuple[float, ...] = parameter((1.0, math.inf), "s", 0, 10, above=True, never=True)
    share: float = parameter(0.5, "1", 0, 1)
    count: int = parameter(3, "1", 1, 8)
    trees: tuple[str, ...] = named(("one", "two"), "a name or a path")

    def __post_init__(self) -> None:
        check(self)


def test_each_parameter_has_unit_default_and_range():
    assert described(Point()) == [
        {"key": "times", "default": "1,never", "unit": "s",
         "allowed": "above 0 to 10 s, or never, or several with commas between"},
        {"key": "share", "default": "0.5", "unit": "1", "allowed": "from 0 to 1"},
        {"key": "count", "default": "3", "unit": "1", "allowed": "a whole number from 1 to 8"},
        {"key": "trees", "default": "one,two", "unit": "name",
         "allowed": "a name or a path, or several with commas between"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("times", "2, never", (2.0, math.inf)),
        ("share", "0", 0.0),
        ("share", "1", 1.0),
        ("count", "8", 8),
        ("trees", "a/b, c", ("a/b", "c")),
    ],
)
def test_values_at_the_edge_are_taken(key, text, value):
    assert getattr(changed(Point(), key, text), key) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("times", "0"),
        ("times", "11"),
        ("times", "nan"),
        ("times", "-inf"),
        ("times", "1,,2"),
        ("share", "never"),
        ("share", "inf"),
        ("share", "1.01"),
        ("share", "x"),
        ("count", "0"),
        ("count", "9"),
        ("count", "1.5"),
        ("count", "٣x"),
        ("count", "9" * 5000),
        ("times", ",".join(["1"] * 1001)),
        ("trees", "a,,b"),
    ],
)
def test_other_values_are_refused_with_their_range(key, text):
    allowed = next(row["allowed"] for row in described(Point()) if row["key"] == key)
    with pytest.raises(InputError) as refused:
        changed(Point(), key, text)
    assert str(refused.value).startswith(f"--set {key}: ")
    assert str(refused.value).endswith(f"; {allowed}")


def test_a_point_made_in_python_is_checked_too():
    with pytest.raises(ValueError, match=r"share \(2\) must be from 0 to 1"):
        Point(share=2.0)


def test_shown_values_are_taken_back():
    point = Parameters()
    for row in described(point):
        assert changed(point, row["key"], row["default"]) == point
    assert shown((0.5, math.inf)) == "0.5,never"


@pytest.mark.parametrize("text", ["seconds=0", "make_jobs=61", "compiles=x", "processors=0"])
def test_the_command_refuses_in_one_line(capsys, text):
    assert main(["run", "background_native", "--set", text]) == 2
    shown_text = capsys.readouterr()
    assert shown_text.out == ""
    assert shown_text.err.count("\n") == 1
    assert shown_text.err.startswith(f"cygsim: --set {text.partition('=')[0]}: ")


def test_list_tells_the_parameters_of_a_scenario(capsys):
    assert main(["list", "background_native"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "make_jobs        4                   1     a whole number from 1 to 60" in text
    assert main(["list", "background_native", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["parameters"] == described(Parameters())
    assert main(["list", "background"]) == 2
    assert "nearest: background_native" in capsys.readouterr().err


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_scenario_tells_its_parameters_and_takes_the_defaults_back(entry, capsys):
    spec = importlib.import_module(f"scenarios.{entry.name}").SPEC
    for quick in (False, True):
        point = spec.point(quick)
        for row in described(point):
            assert changed(point, row["key"], row["default"]) == point
    assert main(["list", entry.name]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_scenario_has_processes_to_be_shown_or_is_of_heaps_alone(entry):
    module = importlib.import_module(f"scenarios.{entry.name}")
    spec = module.SPEC
    shown = hasattr(module, "places") and hasattr(module, "watched")
    assert shown is not (spec.heap_only or spec.own_machine)
    assert not shown or list(module.places(module.SPEC.parameters))


def test_a_long_default_is_cut_in_the_table_only(capsys):
    assert main(["list", "short_strings"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "77,14,8,… (25)" in text


def test_list_without_names_fits_80_columns(capsys):
    assert main(["list"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
