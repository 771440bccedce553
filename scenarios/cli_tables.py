"""The commands that only tell what there is: `list`, `schemes`, `profiles`."""

from __future__ import annotations

import textwrap

import click

JSON_HELP = "Write one JSON document to stdout."


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def list_scenarios(as_json: bool) -> None:
    """List the scenarios by the paragraph of the document that each tells, with its question."""
    from scenarios.cli_catalogue import entries
    from scenarios.cli_output import print_json

    found = entries()
    if as_json:
        print_json([entry._asdict() for entry in found])
        return
    from scenarios.spec import PARAGRAPHS

    width = max((len(entry.name) for entry in found), default=0) + 4
    for paragraph, begins in {**PARAGRAPHS, "": "Told by no paragraph"}.items():
        told = [entry for entry in found if entry.paragraph == paragraph]
        if told:
            click.echo(f"{begins}{' ...' if paragraph else ''}")
        for entry in told:
            indent = " " * width
            name = f"  {entry.name}".ljust(width)
            text = textwrap.wrap(entry.question, 80 - width)
            click.echo("\n".join([name + text[0], *(indent + line for line in text[1:])]))


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
