"""How `--inputs` and `--sensitivity` print their document, and the figures that they draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scenarios.cli_output import counted, print_table, print_wrapped
from scenarios.compare_schemes import limits, number, scaled
from scenarios.estimates import trust_in_words
from scenarios.interval_text import figures, places
from scenarios.latency_words import short
from scenarios.run_command import print_counterfactual
from sim.sample_size import trust

_BARS = 6  # of a printed tornado -- chosen
_FIGURES = 3  # of each kind -- chosen


def print_report(document: Mapping[str, Any]) -> None:
    """The document as text of at most 80 columns."""
    print_wrapped(document["question"])
    print_wrapped(
        f"{document['system']}, profile {document['profile']}, seed {document['seed']}, "
        f"{counted(document['replications'], 'replication')}; "
        + " ".join(f"{k}={_shown(v)}" for k, v in document["parameters"].items())
    )
    tried, move = document["assumed_inputs"]["tried"], document["assumed_inputs"]["move"]
    print()
    print_wrapped(
        f"{len(move)} of {tried} assumed inputs move anything here: "
        + (", ".join(_plain(one["key"]) for one in move) or "none")
    )
    if "two_intervals" in document:
        _print_intervals(document)
    if "sensitivity" in document:
        _print_sensitivity(document["sensitivity"])
    print_counterfactual(document)


def _print_intervals(document: Mapping[str, Any]) -> None:
    print("\ntwo intervals, which do not add up to one:")
    print("  replications  95 %, Student's t; more replications make it narrower")
    print("  inputs        least and greatest mean while each assumed input alone goes from")
    print("                half to twice its value; more replications leave it as it is")
    for what, rows in _grouped(document["two_intervals"]):
        print()
        print_wrapped(what, "  ")
        for row in rows:
            print_wrapped(f"  {_name(row)}: {_both(row)}", "    ")
    intervals = [row["monte_carlo_ci95"] or (0, 0) for row in document["two_intervals"]]
    if any(low < high for low, high in intervals):
        kind = document["trust"]["kind"]
        print()
        print_wrapped(trust_in_words(trust(kind, document["replications"]), kind))
    if document["split"] is not None:
        _print_curve(document["split"])


def _both(row: Mapping[str, Any]) -> str:
    if row["mean"] is None:
        return "never came in some replication, so it has no mean"
    unit, scale = scaled(row["unit"], row["mean"])
    drawn, moved = row["monte_carlo_ci95"], row["input_range"]
    decimals = places(
        row["mean"] * scale, [(high - low) * scale for low, high in filter(None, (drawn, moved))]
    )

    def span(limits: Sequence[float]) -> str:
        return " to ".join(figures(limit * scale, decimals) for limit in limits)

    text = f"{figures(row['mean'] * scale, decimals)} {unit}".strip()
    if drawn is None:
        text += "; replications: only one"
    else:
        text += f"; replications ({span(drawn)})" if drawn[0] < drawn[1] else "; all alike"
    if moved is None:
        return f"{text}; inputs: it never came at {_named(row['never_came_at'])}"
    if moved[0] == moved[1]:
        return f"{text}; no input moves it"
    least, most = (_plain(row[end]["point"]) for end in ("lowest", "highest"))
    return f"{text}; inputs ({span(moved)}): {least} to {most}"


def _named(points: Sequence[str]) -> str:
    """The first few of several points, and how many there are."""
    shown = ", ".join(map(_plain, points[:_BARS]))
    return shown if len(points) <= _BARS else f"{shown} and {len(points) - _BARS} more"


def _print_curve(split: Mapping[str, Any]) -> None:
    """The headlines over the share of CreateProcess in a creation, which no measurement tells."""
    print()
    print_wrapped(
        "over the share of CreateProcess in a creation (the rest is the child's loader), "
        "which no measurement tells:"
    )
    for what, every in _grouped(split["rows"]):
        rows = [row for row in every if row["minus"] is None]  # the document has differences too
        means = [one["mean"] for row in rows for one in row["means"] if one["mean"] is not None]
        unit, scale = scaled(rows[0]["unit"], max(map(abs, means), default=0.0))
        print()
        heads = ["share", *(_column(row) for row in rows)]
        cells = [
            [_cell(row["means"][i]["mean"], scale) for row in rows]
            for i in range(len(split["shares"]))
        ]
        if all(line == cells[0] for line in cells):
            same = ", ".join(f"{h} {c}" for h, c in zip(heads[1:], cells[0], strict=True))
            print_wrapped(f"{what}: at every share {same} {unit}".rstrip(), "  ")
            continue
        print_wrapped(f"{what}{f' [{unit}]' if unit else ''}", "  ")
        shares = [f"{share:.0%}" for share in split["shares"]]
        print_table(heads, [[share, *line] for share, line in zip(shares, cells, strict=True)])


def _print_sensitivity(found: Mapping[str, Any]) -> None:
    ranked = {(row["what"], _name(row)): row for row in found["sample"]}
    for what, rows in _grouped(found["tornado"]):
        for row in rows:
            if row["minus"] is None and len(rows) > 1:
                continue  # the document has each scheme's own as well
            unit, scale = scaled(row["unit"], row["base"] or 0.0)
            unit_word = f" [{unit}]" if unit else ""
            print()
            print_wrapped(f"{what}, {_name(row)}: the largest swings{unit_word}", "  ")
            _print_bars(row, scale, ranked.get((what, _name(row))), found["kind"])
    print()
    for verdict in found["verdicts"]:
        print_wrapped(f"[{verdict['label']}] {verdict['text']}", "  ")


def _print_bars(
    row: Mapping[str, Any], scale: float, ranked: Mapping[str, Any] | None, kind: str | None
) -> None:
    by_factor = {one["factor"]: one for one in (ranked or {}).get("factors") or ()}
    head = {"lhs": "rank corr.", "sobol": "first / total"}.get(kind or "", "")
    lines = [
        [
            _plain(bar["factor"]),
            _cell(bar["at_low"], scale),
            _cell(bar["at_high"], scale),
            _rank(by_factor.get(bar["factor"])),
        ]
        for bar in row["bars"][:_BARS]
    ]
    print_table(["input", "least", "most", head], lines)


def _rank(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if "rank_correlation" in row:
        rho = row["rank_correlation"]
        return "none" if rho is None else f"{rho:+.2f}{limits(row['ci95'], 1)}"
    return " / ".join(
        f"{row[part]['value']:.2f}{limits(row[part]['ci95'], 1)}" for part in ("first", "total")
    )


def write_figures(folder: Path, document: Mapping[str, Any]) -> None:
    """The tornado of each headline's comparison, and the curve over the split."""
    from sim import plots

    for stem, figure in _figures(document):
        plots.save(figure, folder / stem)


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    from sim import plots_design

    count = document["replications"]
    if document.get("split") is not None:
        here = document["split"]["of_profile"]
        for i, (what, rows) in enumerate(_grouped(document["split"]["rows"])[:_FIGURES], 1):
            own = [row for row in rows if row["minus"] is None]
            if (drawn := _curves(own)) is None:
                continue
            unit, series = drawn
            yield f"split_{i}", plots_design.curves(
                document["split"]["shares"], series,
                "share of CreateProcess in a creation [1], not known", f"mean [{unit or 1}]",
                f"{what}\n{counted(count, 'replication')}, bands: 95 %", here, "the profile's",
            )  # fmt: skip
    if "sensitivity" in document:
        for i, (what, rows) in enumerate(
            _grouped(document["sensitivity"]["tornado"])[:_FIGURES], 1
        ):
            row = rows[-1]  # the last scheme minus the first, where there are several
            bars = [bar for bar in row["bars"] if bar["swing"]]
            if row["base"] is None or not bars:
                continue
            unit, scale = scaled(row["unit"], row["base"])
            yield f"tornado_{i}", plots_design.tornado(
                [_swing(bar, scale) for bar in bars], row["base"] * scale,
                f"{_name(row)} [{unit or 1}]",
                f"{what}\n{counted(count, 'replication')} at each point",
            )  # fmt: skip


def _swing(bar: Mapping[str, Any], scale: float) -> Any:
    from sim.plots_design import Swing

    ends = (f"{bar['low']:.4g}", f"{bar['high']:.4g}")
    return Swing(_plain(bar["factor"]), bar["at_low"] * scale, bar["at_high"] * scale, *ends)


def _curves(rows: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]] | None:
    """Unit and lines of the curve; None where some mean never came."""
    means = [one["mean"] for row in rows for one in row["means"]]
    if any(value is None for value in means):
        return None
    unit, scale = scaled(rows[0]["unit"], max(map(abs, means)))
    return unit, {
        _column(row): [
            (one["mean"] * scale, *(x * scale for x in one["ci95"] or (one["mean"],) * 2))
            for one in row["means"]
        ]
        for row in rows
    }


def _grouped(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """The rows of each headline, in their order."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["what"], []).append(row)
    return list(found.items())


def _name(row: Mapping[str, Any]) -> str:
    return row["scheme"] if row["minus"] is None else f"{row['scheme']} - {row['minus']}"


def _column(row: Mapping[str, Any]) -> str:
    return short(_name(row))


def _plain(text: str) -> str:
    return text.replace("profile.", "")


def _cell(value: float | None, scale: float) -> str:
    return "never" if value is None else number(value * scale, "")


def _shown(value: Any) -> str:
    return ",".join(map(_shown, value)) if isinstance(value, list) else str(value)
