"""The commands that only tell what there is: `list`, `schemes`, `profiles`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from scenarios.cli_catalogue import Entry

_DEFAULT_WIDTH = 28  # columns of a default in a table -- chosen
JSON_HELP = "Write one JSON document to stdout."


@click.command("list")
@click.argument("names", metavar="[SCENARIO]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_scenarios(names: tuple[str, ...], as_json: bool) -> None:
    """List the scenarios by the paragraph of the document that each tells.

    With names, list the parameters of these, as `cygsim run --set` takes them.
    """
    from scenarios.cli_catalogue import entries
    from scenarios.cli_output import print_json, print_table, print_wrapped
    from scenarios.cli_words import check_names

    found = entries()
    check_names("SCENARIO", "scenario", names, [entry.name for entry in found])
    rows: list[dict[str, Any]] = [
        entry._asdict() | (_declared(entry.name) if names else {})
        for entry in found
        if not names or entry.name in names
    ]
    if as_json:
        print_json(rows)
    elif not names:
        _print_by_paragraph(found)
    else:
        keys = ("key", "default", "unit", "allowed")
        for row in rows:
            print_wrapped(f"{row['name']}: {row['question']}", "  ")
            lines = [line | {"default": _short(line["default"])} for line in row["parameters"]]
            print_table(keys, [tuple(line[key] for key in keys) for line in lines])
            _print_experiment(row)


def _print_by_paragraph(found: list[Entry]) -> None:
    """The paragraphs in the document's order, each with the scenarios that tell it."""
    from scenarios.cli_output import print_table, print_wrapped
    from scenarios.spec import PARAGRAPHS

    width = max((len(entry.name) for entry in found), default=0)
    for paragraph, begins in {**PARAGRAPHS, "": "Told by no paragraph"}.items():
        told = [entry for entry in found if entry.paragraph == paragraph]
        if told:
            heads, *rows = [(f"  {entry.name}".ljust(width + 2), entry.question) for entry in told]
            print_wrapped(f"{begins}{' ...' if paragraph else ''}")
            print_table(heads, rows)


def _short(default: str) -> str:
    """A default for a table: the first values of a long list, and how many there are."""
    if len(default) <= _DEFAULT_WIDTH:
        return default
    values = default.split(",")
    shown = ",".join(values[:3])
    if len(shown) > _DEFAULT_WIDTH:
        shown = shown[: _DEFAULT_WIDTH - len("… (1000)")]
        return f"{shown}… ({len(values)})"
    return f"{shown},… ({len(values)})"


def _declared(name: str) -> dict[str, Any]:
    """Parameters, headlines and factors of a scenario; only this imports it."""
    import importlib

    from scenarios.design_points import derived, factor_document
    from scenarios.parameters import described

    spec = importlib.import_module(f"scenarios.{name}").SPEC
    factors = spec.factors or tuple(derived(spec.parameters))
    return {
        "parameters": described(spec.parameters),
        "terminating": spec.terminating,
        "headlines": [{"measure": measure, "at": at} for at, measure in spec.headlines],
        "factors": [factor_document(factor) for factor in factors],
    }


def _print_experiment(row: dict[str, Any]) -> None:
    """What an experiment needs: headlines, and the factors that --design varies."""
    from scenarios.cli_output import print_wrapped

    for one in row["headlines"]:
        print_wrapped(f"headline: {one['measure']} at {one['at']}", "  ")
    for factor in row["factors"]:
        if "levels" in factor:
            text = ", ".join(map(str, factor["levels"]))
        else:
            text = f"{factor['low']:g} to {factor['high']:g}"
        print_wrapped(f"factor: {factor['key']}, {text}", "  ")


@click.command("schemes")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_schemes(as_json: bool) -> None:
    """List the ways in which a child comes to own its parent's heap."""
    from models.cygwin import schemes
    from scenarios.cli_output import print_json, print_table

    keys = ("name", "era", "since", "until", "summary")
    if as_json:
        print_json([{key: row[key] for key in keys} for row in schemes.describe()])
        return
    for variants in (False, True):
        rows = schemes.describe(variants)
        title = ("variant" if variants else "name", *keys[1:])
        print_table(title, [tuple(_text(row[key]) for key in keys) for row in rows])
        click.echo("" if not variants else "Each can be named with --scheme.")


@click.command("profiles")
@click.argument("names", metavar="[PROFILE]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_profiles(names: tuple[str, ...], as_json: bool) -> None:
    """List the profiles; with names, every parameter of these with its source."""
    from models.win32.cost_profile import describe, load_profile, profile_names
    from scenarios.cli_output import print_json, print_table, print_wrapped

    rows = [describe(load_profile(name)) for name in names or profile_names()]
    if as_json:
        print_json(rows)
        return
    if not names:
        print_table(("profile", "summary"), [(row["name"], row["summary"]) for row in rows])
        return
    for row in rows:
        print_wrapped(f"{row['name']}: {row['summary']}", "  ")
        for line in row["parameters"]:
            unit = "" if line["unit"] in (None, "1") else f" {line['unit']}"
            print_wrapped(f"{line['key']}: {line['distribution']}{unit} ({line['kind']})", "  ")
            print_wrapped(f"  {line['source']}", "  ")


def _text(value: object) -> str:
    return "-" if value is None else str(value)
