"""`cygsim replay`: a recorded process tree under one or more schemes."""

from __future__ import annotations

from typing import Any

import click

from scenarios.cli_words import NOT_NEGATIVE, OUTCOME, POSITIVE, SECONDS, SETTING, SYSTEM, VFORK


@click.command("replay")
@click.argument("trace", metavar="TRACE")
@click.option(
    "--scheme",
    "schemes",
    multiple=True,
    metavar="S",
    help="Scheme to run (repeatable). Default: blocking, shared-memory-1.3.3, shared-memory.",
)
@click.option(
    "--system", type=SYSTEM, default="nt", show_default=True, metavar="nt|9x", help="Windows."
)
@click.option(
    "--profile",
    default="p3-800-w2000",
    show_default=True,
    metavar="P",
    help="What things cost: a profile's name or a TOML file.",
)
@click.option(
    "--processors", type=POSITIVE, metavar="N", help="Processors; else the trace's own number."
)
@click.option(
    "--native", multiple=True, metavar="PROG", help="PROG is not linked with Cygwin (repeatable)."
)
@click.option(
    "--background",
    multiple=True,
    metavar="PROG",
    help="Fork and exec of PROG become one spawn that never waits (repeatable).",
)
@click.option(
    "--spawn",
    multiple=True,
    metavar="PROG",
    help="Fork and exec of PROG become one spawn (repeatable).",
)
@click.option(
    "--vfork",
    type=VFORK,
    default="era",
    show_default=True,
    metavar="era|fork",
    help="A vfork as the scheme's time had it, or always as a fork.",
)
@click.option(
    "--set",
    "sets",
    type=SETTING,
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one number of the profile (repeatable).",
)
@click.option("--until", "until_s", type=SECONDS, metavar="SECONDS", help="Cut the run there.")
@click.option(
    "--expect",
    type=OUTCOME,
    metavar="OUTCOME",
    help="Exit with 1 if a run ends otherwise: finished, blocked, failed or cut.",
)
@click.option("--replications", type=POSITIVE, default=1, show_default=True, metavar="N")
@click.option("--seed", type=NOT_NEGATIVE, default=1, show_default=True, metavar="N")
@click.option(
    "--jobs", type=POSITIVE, default=1, show_default=True, metavar="N", help="Processes to use."
)
@click.option("--out", metavar="DIR", help="Write manifest, results and figures there.")
@click.option("--json", is_flag=True, help="Write one JSON document to stdout.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress bar on stderr; else only on a terminal.",
)
def replay(**asked: Any) -> int:
    """Replay a recorded process tree (proctrace/1; "-" is standard input)."""
    from models.cygwin import schemes
    from scenarios import replay_command
    from scenarios.cli_words import check_names
    from scenarios.options import DEFAULT_SCHEMES, ReplayOptions

    asked["schemes"] = tuple(dict.fromkeys(asked["schemes"])) or DEFAULT_SCHEMES
    check_names("--scheme", "scheme", asked["schemes"], schemes.variant_names())
    return replay_command.run(ReplayOptions(**asked))
