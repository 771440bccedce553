"""The command `cygsim`: its subcommands, `--version`, and what it says to an unknown word.

A subcommand's module is imported when the subcommand is named, not before: `cygsim --help` must
start about as fast as click itself does, however many commands there are.
"""

from __future__ import annotations

import importlib

import click

from scenarios.cli_words import NearestGroup

# Name, module and function, and what `--help` says about it.
COMMANDS = (
    ("list", "cli_tables", "list_scenarios", "List the scenarios and what each asks."),
    ("schemes", "cli_tables", "list_schemes", "List the ways a child comes to own its heap."),
    ("profiles", "cli_tables", "list_profiles", "List the profiles of what things cost."),
    ("run", "cli_run", "run", "Run a scenario."),
    ("replay", "cli_replay", "replay", "Replay a recorded process tree."),
    ("heap", "cli_heap", "heap", "Replay and draw allocator traces."),
    ("machine", "cli_machine", "machine", "Hold the machine against the real Win32 API."),
    ("order", "cli_order", "order", "Hold creations against call logs of real DLLs."),
    ("layout", "cli_layout", "layout", "Addresses of DLLs: check, compute, estimate."),
    ("report", "cli_report", "report", "Report a finished run (STRESS-DES)."),
    ("export", "cli_export", "export", "Write a run's results as CSV or Parquet."),
    ("demo", "cli_run", "demo", "Run recorded workloads under both handshakes."),
)


class RootGroup(NearestGroup):
    """The group whose commands are named in COMMANDS and loaded when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of COMMANDS."""
        return [name for name, *_ in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, its module imported; None where there is none."""
        for name, module, function, _ in COMMANDS:
            if name == cmd_name:
                command = getattr(importlib.import_module(f"scenarios.{module}"), function)
                assert isinstance(command, click.Command)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, _, _, summary in COMMANDS])


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from scenarios.cli_version import version_line

    click.echo(version_line())
    context.exit()


@click.group("cygsim", cls=RootGroup, no_args_is_help=False)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the versions of cygsim, Python, SimPy and numpy.",
)
@click.option(
    "--debug", is_flag=True, expose_value=False, help="Show tracebacks; may stand anywhere."
)
def root() -> None:
    """Simulate how a Cygwin process hands its heap to a child.

    stdout carries the result, stderr everything else. Exit codes: 0 done, and what was checked
    holds; 1 what was checked does not hold; 2 bad usage or input; 130 interrupted.
    """
