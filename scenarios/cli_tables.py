"""The commands that only tell what there is: `list`, `schemes`, `profiles`."""

from __future__ import annotations

from typing import Any

import click

JSON_HELP = "Write one JSON document to stdout."
LONGEST_WORD = 30  # characters of a default in the list of parameters -- chosen


@click.command("list")
@click.argument("names", metavar="[SCENARIO]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_scenarios(names: tuple[str, ...], as_json: bool) -> None:
    """List the scenarios; with names, the parameters of these, as `cygsim run --set` takes them."""
    from scenarios.cli_catalogue import questions
    from scenarios.cli_output import print_json, print_table, print_wrapped
    from scenarios.cli_words import check_names

    found = questions()
    check_names("SCENARIO", "scenario", names, list(found))
    rows: list[dict[str, Any]] = [
        {"name": name, "question": question} | ({"parameters": _parameters(name)} if names else {})
        for name, question in found.items()
        if not names or name in names
    ]
    if as_json:
        print_json(rows)
    elif not names:
        print_table(("scenario", "question"), list(found.items()))
    else:
        keys = ("key", "default", "unit", "allowed")
        for row in rows:
            print_wrapped(f"{row['name']}: {row['question']}", "  ")
            print_table(
                keys, [tuple(_short(line[key]) for key in keys) for line in row["parameters"]]
            )


def _short(text: str) -> str:
    """The text, a list with many values as its first ones and their number."""
    if " " in text or len(text) <= LONGEST_WORD:
        return text
    parts = text.split(",")
    return f"{','.join(parts[:3])},... ({len(parts)})"


def _parameters(name: str) -> list[dict[str, Any]]:
    """What a scenario says of its parameters; only this imports it."""
    import importlib

    from scenarios.parameters import described

    return described(importlib.import_module(f"scenarios.{name}").SPEC.parameters)


@click.command("schemes")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_schemes(as_json: bool) -> None:
    """List the ways in which a child comes to own its parent's heap."""
    from models.cygwin import schemes
    from scenarios.cli_output import print_json, print_table

    keys = ("name", "era", "since", "until", "summary")
    rows = [{key: row[key] for key in keys} for row in schemes.describe()]
    if as_json:
        print_json(rows)
    else:
        print_table(keys, [tuple(_text(row[key]) for key in keys) for row in rows])


@click.command("profiles")
@click.argument("names", metavar="[PROFILE]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_profiles(names: tuple[str, ...], as_json: bool) -> None:
    """List the profiles; with names, every parameter of these with its source."""
    from models.win32.cost_profile import describe, load_profile, profile_names
    from scenarios.cli_output import print_json, print_table

    rows = [describe(load_profile(name)) for name in names or profile_names()]
    if as_json:
        print_json(rows)
        return
    if not names:
        print_table(("profile", "summary"), [(row["name"], row["summary"]) for row in rows])
        return
    keys = ("key", "distribution", "unit", "kind", "source")
    for row in rows:
        print(f"{row['name']}: {row['summary']}")
        print_table(keys, [tuple(_text(line[key]) for key in keys) for line in row["parameters"]])


def _text(value: object) -> str:
    return "-" if value is None else str(value)
