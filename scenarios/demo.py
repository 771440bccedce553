"""The demonstration: recorded workloads under both handshakes, tables and figures."""

from __future__ import annotations

from sim.errors import InputError


def run(out: str) -> int:
    """Exit code of the demonstration; its tables go to stdout, its figures to the folder `out`."""
    raise InputError(
        "demo", f"nothing to write to {out} yet", "`cygsim --help` names what there is"
    )
