"""`cygsim export`: a run's results for other programs."""

from __future__ import annotations

import click

from scenarios.cli_words import EXPORT_FORMAT


@click.command("export")
@click.argument("folder", metavar="RUN")
@click.option(
    "--format", "form", type=EXPORT_FORMAT, required=True, metavar="csv|parquet", help="Of FILE."
)
@click.option("-o", "--output", metavar="FILE", required=True, help="File to write.")
def export(folder: str, form: str, output: str) -> int:
    """Write what the journal of RUN, an --out directory, holds: the rows of results.csv.

    Of a run that is not finished it is what there is so far; stderr says how much.
    """
    from scenarios import export_command

    return export_command.run(folder, form, output)
