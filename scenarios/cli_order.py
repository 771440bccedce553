"""`cygsim order`: simulated creations held against real call logs."""

from __future__ import annotations

import click

from scenarios.cli_words import NearestGroup


@click.group("order", cls=NearestGroup, no_args_is_help=False)
def order() -> None:
    """Hold the calls of simulated creations against those of a real DLL."""


@order.command("check")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--scheme", metavar="S", help="Scheme to run. Default: that of the log's DLL.")
def check(files: tuple[str, ...], scheme: str | None) -> int:
    """Run every process creation of real call logs and compare parent's and child's calls.

    Compared are order, name, flags, sizes, time-outs, which object each handle stands for, and
    which object ended a wait.
    """
    import sys

    from models.cygwin import schemes
    from scenarios import order_command
    from scenarios.cli_words import check_names

    if scheme is not None:
        check_names("--scheme", "scheme", [scheme], schemes.variant_names())
    return order_command.check_files(files, scheme, sys.stdout)
