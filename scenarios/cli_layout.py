"""`cygsim layout`: addresses of DLLs checked, computed, and their risk estimated."""

from __future__ import annotations

from typing import Any

import click

from scenarios.cli_words import ERA, NOT_NEGATIVE, USER_HALF_BYTES, NearestGroup, OneOf, UpTo

RULE = OneOf("2001", "i686", "x86_64", "mingw32", "mingw64")
JSON_HELP = "Write one JSON document to stdout."
RULE_HELP = "Which version of ld's rule."


@click.group("layout", cls=NearestGroup, no_args_is_help=False)
def layout() -> None:
    """Where DLLs lie, and whether Cygwin's heap finds room beside them."""


@layout.command("check")
@click.argument("listing", metavar="LISTING")
@click.option(
    "--era", type=ERA, metavar="A|B", help="Whose heap; else that of the DLL in the listing, or B."
)
@click.option(
    "--heap-size",
    type=USER_HALF_BYTES,
    metavar="BYTES",
    help="What the heap asks for; else the era's or the DLL's own size.",
)
@click.option("--json", is_flag=True, help=JSON_HELP)
def check(**asked: Any) -> int:
    """Check a list of images for overlaps and for room for Cygwin's heap.

    LISTING is the output of `rebase -i` or `rebaseall -v`, `name base size` lines, a Process
    Monitor CSV, a Cygwin strace log, or Cygwin's own message that its heap found no room. "-" is
    standard input.  Exit code 0: it fits; 1: it does not.
    """
    from scenarios import layout_command
    from scenarios.options import LayoutOptions

    return layout_command.check(LayoutOptions(**asked))


@layout.command("base")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--rule", type=RULE, default="2001", show_default=True, metavar="RULE", help=RULE_HELP
)
@click.option("--json", is_flag=True, help=JSON_HELP)
def base(names: tuple[str, ...], rule: str, json: bool) -> int:
    """Print the address that ld's --enable-auto-image-base gives each file.

    NAME is the name as given to ld's -o, folders included. RULE is 2001, i686, x86_64 (Cygwin),
    mingw32 or mingw64.
    """
    from scenarios import layout_command

    return layout_command.base(names, rule, json)


@layout.command("risk")
@click.option("--dlls", type=UpTo(20_000), required=True, metavar="N", help="DLLs in a process.")
@click.option(
    "--size",
    type=USER_HALF_BYTES,
    default=0x40000,
    show_default=True,
    metavar="BYTES",
    help="Size of each DLL.",
)
@click.option(
    "--rule", type=RULE, default="2001", show_default=True, metavar="RULE", help=RULE_HELP
)
@click.option(
    "--replications", type=UpTo(10_000_000), default=10_000, show_default=True, metavar="N"
)
@click.option("--seed", type=NOT_NEGATIVE, default=1, show_default=True, metavar="N")
@click.option("--json", is_flag=True, help=JSON_HELP)
def risk(**asked: Any) -> int:
    """Estimate how likely DLLs linked with --enable-auto-image-base collide.

    Under the rules 2001 and i686 a collision with Cygwin's DLL and with the heap of era B behind
    it counts too.
    """
    from scenarios import layout_command
    from scenarios.options import RiskOptions

    return layout_command.risk(RiskOptions(**asked))
