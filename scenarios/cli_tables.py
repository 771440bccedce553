"""The commands that only tell what there is: `list`, `schemes`, `profiles`."""

from __future__ import annotations

import click

JSON_HELP = "Write one JSON document to stdout."


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_scenarios(as_json: bool) -> None:
    """List the scenarios and the question that each asks."""
    from scenarios.cli_catalogue import questions
    from scenarios.cli_output import print_json, print_table

    found = questions()
    if as_json:
        print_json([{"name": name, "question": question} for name, question in found.items()])
    else:
        print_table(("scenario", "question"), list(found.items()))


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
