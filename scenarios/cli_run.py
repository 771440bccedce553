"""`cygsim run SCENARIO` and `cygsim demo`."""

from __future__ import annotations

from typing import Any

import click

from scenarios.cli_words import (
    AS_OF,
    NOT_NEGATIVE,
    POSITIVE,
    SETTING,
    SHARE,
    SYSTEM,
    check_names,
)


@click.command("run")
@click.argument("scenario", metavar="SCENARIO")
@click.option(
    "--set",
    "sets",
    type=SETTING,
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one parameter of the scenario (repeatable); `cygsim list SCENARIO` tells which."
    " KEY=@FILE takes a list from a file.",
)
@click.option("--scheme", "schemes", multiple=True, metavar="S", help="Scheme (repeatable).")
@click.option("--as-of", "as_of", multiple=True, metavar="DATE", help=AS_OF)
@click.option("--system", type=SYSTEM, metavar="nt|9x", help="Windows.")
@click.option("--profile", metavar="P", help="What things cost: a profile's name or a TOML file.")
@click.option("--replications", type=POSITIVE, metavar="N", help="With --precision at most N.")
@click.option(
    "--precision",
    type=SHARE,
    metavar="REL",
    help="Replicate until each headline's mean is known to within this share of it.",
)
@click.option(
    "--design",
    metavar="FILE|KIND[:N]",
    help="Run every point of a design: a TOML file, or full, 2k, lhs:N, sobol:N or one-at-a-time"
    " over the scenario's own factors.",
)
@click.option(
    "--inputs",
    is_flag=True,
    help="Two intervals for each headline: of replications, and of the assumed costs, each from"
    " half to twice its value.",
)
@click.option(
    "--sensitivity",
    metavar="lhs:N|sobol:N",
    help="Which assumed costs matter: a tornado, and ranks (lhs) or Sobol indices over N points.",
)
@click.option("--seed", type=NOT_NEGATIVE, default=1, show_default=True, metavar="N")
@click.option(
    "--jobs", type=POSITIVE, default=1, show_default=True, metavar="N", help="Processes to use."
)
@click.option("--cluster", metavar="ADDRESS", help="Workers of the Dask scheduler there instead.")
@click.option("--quick", is_flag=True, help="Smaller, same shape.")
@click.option("--out", metavar="DIR", help="Write manifest, results and figures there.")
@click.option("--json", is_flag=True, help="Write one JSON document to stdout.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress bar on stderr; else only on a terminal.",
)
def run(**asked: Any) -> int:
    """Run a scenario (`cygsim list` names them, `cygsim list SCENARIO` its parameters)."""
    from scenarios.cli_catalogue import questions

    check_names("SCENARIO", "scenario", [asked["scenario"]], list(questions()))
    from models.cygwin.schemes import as_of
    from scenarios.options import RunOptions

    dated = map(as_of, asked.pop("as_of"))
    asked["schemes"] = tuple(dict.fromkeys([*asked["schemes"], *dated])) or None
    options = RunOptions(**asked)
    if options.inputs or options.sensitivity is not None:
        from scenarios import inputs_command

        return inputs_command.run(options)
    if options.design is not None:
        from scenarios import design_command

        return design_command.run(options)
    from scenarios import run_command

    return run_command.run(options)


@click.command("demo")
@click.option("--out", metavar="DIR", default="out/demo", show_default=True, help="Folder.")
def demo(out: str) -> int:
    """Run recorded workloads under both handshakes: tables and figures, within a minute."""
    from scenarios import demo as demonstration

    return demonstration.run(out)
