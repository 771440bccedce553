"""`cygsim heap`: the allocator held against golden traces, and a heap drawn."""

from __future__ import annotations

import click

from scenarios.cli_words import POSITIVE, NearestGroup


@click.group("heap", cls=NearestGroup, no_args_is_help=False)
def heap() -> None:
    """Replay and draw allocator traces of the real cygheap."""


@heap.command("replay")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def replay_files(files: tuple[str, ...]) -> int:
    """Hold the allocator against golden traces, byte for byte."""
    import sys

    from scenarios import heap_command

    return heap_command.replay_files(files, sys.stdout)


@heap.command("show")
@click.argument("path", metavar="FILE")
@click.option(
    "--at", "at_line", type=POSITIVE, metavar="LINE", help="After that line, not the end."
)
@click.option("--out", "png", metavar="PNG", help="Draw the blocks into that file too.")
def show(path: str, at_line: int | None, png: str | None) -> int:
    """List the blocks of a golden trace."""
    from scenarios import heap_command

    return heap_command.show(path, at_line, png)
