"""`cygsim heap`: the allocator held against golden traces, and a heap drawn."""

from __future__ import annotations

from typing import Any

import click

from scenarios.cli_words import NOT_NEGATIVE, POSITIVE, NearestGroup


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
@click.argument("path", metavar="FILE|RUN")
@click.option(
    "--at", "at_line", type=POSITIVE, metavar="LINE", help="FILE: after that line, not the end."
)
@click.option("--pid", type=POSITIVE, metavar="P", help="RUN: whose heap.")
@click.option("--scheme", metavar="S", help="RUN: under which scheme; else its first.")
@click.option(
    "--replication",
    type=NOT_NEGATIVE,
    default=0,
    show_default=True,
    metavar="N",
    help="RUN: in which replication.",
)
@click.option("--point", metavar="POINT", help="RUN of a scenario: at which point, as in results.")
@click.option("--trace", metavar="FILE", help="RUN of a replay: its trace, if that has moved.")
@click.option("--out", "png", metavar="PNG", help="Draw the blocks into that file too.")
@click.option("--json", is_flag=True, help="Write one JSON document to stdout.")
def show(**asked: Any) -> int:
    """List the blocks of a golden trace, or of a run's process with their owners.

    RUN is an --out directory of `cygsim replay` or `cygsim run`; the run is carried out again.
    """
    from pathlib import Path

    from scenarios.options import HeapOptions

    options = HeapOptions(**asked)
    if Path(options.path).is_dir():
        from scenarios import heap_run

        return heap_run.show_run(options)
    from scenarios import heap_command

    return heap_command.show(options)
