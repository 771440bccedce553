"""`cygsim machine`: the simulated machine held against what the real API answers."""

from __future__ import annotations

import click

from scenarios.cli_words import NearestGroup


@click.group("machine", cls=NearestGroup, no_args_is_help=False)
def machine() -> None:
    """Hold the simulated machine against the real Win32 API."""


@machine.command("check")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def check(files: tuple[str, ...]) -> int:
    """Run conformance cases and compare every answer.

    The machine is NT. On 9x a view cannot be put at a private address, handles and process ids
    are no multiples of 4, and Read/WriteProcessMemory answer other error codes.
    """
    import sys

    from scenarios import machine_command

    return machine_command.check_files(files, sys.stdout, sys.stderr)
