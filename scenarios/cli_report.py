"""`cygsim report RUN`: what a finished run has to say of itself."""

from __future__ import annotations

import click


@click.command("report")
@click.argument("run", metavar="RUN")
@click.option("--stress", is_flag=True, help="The 20 items of STRESS-DES, gaps marked.")
@click.option("-o", "--output", metavar="FILE", help="Write there, not to stdout: NAME.md.")
def report(run: str, stress: bool, output: str | None) -> int:
    """Write a report of RUN, an --out directory of `cygsim run` or `cygsim replay`."""
    from scenarios import report_command

    return report_command.report(run, stress, output)
