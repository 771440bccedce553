"""Do the DLLs of a process leave each other, and Cygwin's heap, the addresses they need?"""

from __future__ import annotations

import os
from typing import Any

from models.cygwin import layout_risk
from models.cygwin.auto_image_base import RULES
from models.cygwin.layout_check import check_reports, check_spaces
from models.cygwin.listing import read_listing
from scenarios import layout_text
from scenarios.cli_output import print_json, print_table
from scenarios.layout_document import check_document
from scenarios.options import LayoutOptions, RiskOptions
from sim.estimators import proportion_interval

RISK_SCHEMA = "cygsim/layout-risk/1"


def check(asked: LayoutOptions) -> int:
    """Print what is found; 0 if everything fits, else 1. Raises InputError for a bad listing."""
    listing = read_listing(asked.listing)
    spaces = check_spaces(listing, asked.era, asked.heap_size)
    reports = check_reports(listing.reports, asked.era, asked.heap_size)
    fits = all(v.fits for v in spaces) and all(r.fits for r in reports)
    if asked.json:
        print_json(check_document(listing, spaces, reports, fits))
    else:
        layout_text.print_check(listing, spaces, reports, fits)
    return 0 if fits else 1


def base(names: tuple[str, ...], rule: str, as_json: bool) -> int:
    """Print the address that the rule gives each name."""
    found = [(name, RULES[rule].address(os.fsencode(name))) for name in names]
    if as_json:
        print_json([{"name": name, "rule": rule, "address": at} for name, at in found])
        return 0
    for name, address in found:
        print(f"{address:#010x} {name}")
    return 0


def risk(asked: RiskOptions) -> int:
    """Print how likely collisions are, each with its interval."""
    document = _risk(asked)
    if asked.json:
        print_json(document)
        return 0
    rule = RULES[asked.rule]
    print(
        f"{asked.dlls} DLLs of {asked.size} bytes, rule {rule.name}: {rule.slots} slots of "
        f"{rule.slot_bytes // 1024} KiB"
    )
    print(f"{asked.replications} replications, seed {asked.seed}, 95 % interval (Wilson)")
    print()
    rows = [
        (c["what"], f"{c['share']:.5f}", "{:.5f} .. {:.5f}".format(*c["ci95"]), f"{c['exact']:.5f}")
        for c in document["collisions"]
    ]
    print_table(("collision", "share", "interval", "counted exactly"), rows)
    return 0


def _risk(asked: RiskOptions) -> dict[str, Any]:
    rule = RULES[asked.rule]
    size = asked.dlls, asked.size
    found = layout_risk.simulate(rule, *size, asked.replications, asked.seed)
    kinds = [
        ("any", "any of these", found.any, layout_risk.exact_any(rule, *size)),
        (
            "each_other",
            "two of the DLLs",
            found.each_other,
            layout_risk.exact_each_other(rule, *size),
        ),
    ]
    if layout_risk.cygwin_zones(rule) is not None:
        exact = [layout_risk.exact_zone(rule, *size, zone) for zone in (0, 1)]
        kinds.append(("heap", "a DLL in the heap's place", found.heap, exact[1]))
        kinds.append(("cygwin", "a DLL on Cygwin's own", found.cygwin, exact[0]))
    shares = [proportion_interval(hits, asked.replications) for _, _, hits, _ in kinds]
    return {
        "schema": RISK_SCHEMA,
        "dlls": asked.dlls,
        "size_bytes": asked.size,
        "rule": asked.rule,
        "replications": asked.replications,
        "seed": asked.seed,
        "probability": shares[0].share,
        "ci95": [shares[0].low, shares[0].high],
        "collisions": [
            {
                "kind": kind,
                "what": what,
                "hits": hits,
                "share": share.share,
                "ci95": [share.low, share.high],
                "exact": exact_value,
            }
            for (kind, what, hits, exact_value), share in zip(kinds, shares, strict=True)
        ],
    }
