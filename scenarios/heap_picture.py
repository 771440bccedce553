"""A heap with its owners, as a table of 80 columns, as JSON, and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.cygwin.heap_owners import FREE, GARBAGE, OWNERS, HeapPicture, OwnedBlock
from scenarios.cli_output import print_json
from scenarios.options import HeapOptions
from sim.errors import InputError

SCHEMA = "cygsim/heap/1"
COLOURS = {  # the first eight of Okabe and Ito 2008
    "fd table": "#E69F00",
    "fhandler": "#0072B2",
    "cwd": "#009E73",
    "chroot": "#F0E442",
    "user": "#000000",
    "argv": "#56B4E9",
    "environment": "#CC79A7",
    "garbage": "#D55E00",
    "exec info": "#882255",
    "free": "#999999",
}
_WHAT = 27  # columns of the text that says which thing of an owner's it is


def check_name(png: str | None) -> None:
    """Raise InputError for a picture's name that no picture can have."""
    if png is not None and Path(png).suffix.lower() not in (".png", ".svg"):
        raise InputError("--out", f"{png!r} names no picture", "allowed are *.png and *.svg")


def show(picture: HeapPicture, labels: Mapping[str, Any], asked: HeapOptions) -> None:
    """Write the picture to stdout, and draw it if a file is asked for. Raises InputError."""
    if asked.json:
        print_json(document(picture, labels))
    else:
        _print(picture, labels)
    if asked.png is not None:
        draw(
            [(b.offset_bytes, b.size_bytes, b.owner, b.in_use) for b in picture.blocks],
            "\n".join(_heads(picture, labels)),
            Path(asked.png),
            COLOURS,
        )


def document(picture: HeapPicture, labels: Mapping[str, Any]) -> dict[str, Any]:
    """The same as one JSON document."""
    return {
        "schema": SCHEMA,
        **labels,
        "pid": picture.pid,
        "program": picture.program,
        "at_us": picture.at_us,
        "at_exit": picture.at_exit,
        "making": picture.making or None,
        "base": picture.base,
        "header_bytes": picture.header_bytes,
        "top_bytes": picture.top_bytes,
        "committed_bytes": picture.committed_bytes,
        "leaked_bytes": picture.leaked_bytes,
        "pending_bytes": picture.pending_bytes,
        "owners": [
            {"owner": owner, "blocks": count, "bytes": size}
            for owner, count, size in by_owner(picture)
        ],
        "blocks": [
            {**b._asdict(), "what": b.what or None, "freed_by": b.freed_by or None}
            for b in picture.blocks
        ],
    }


def by_owner(picture: HeapPicture) -> list[tuple[str, int, int]]:
    """(owner, blocks, bytes) of every owner that has any, the free blocks last."""
    rows = []
    for owner in (*OWNERS, FREE):
        sizes = [b.size_bytes for b in picture.blocks if b.owner == owner]
        if sizes:
            rows.append((owner, len(sizes), sum(sizes)))
    return rows


def draw(
    blocks: list[tuple[int, int, str, bool]],
    title: str,
    path: Path,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Draw (offset, size, label, in use) of each block into a PNG or SVG. Raises InputError."""
    from sim import block_map, plots

    figure = plots.heap_blocks([block_map.Block(*block) for block in blocks], title, colours)
    try:
        plots.save_as(figure, path)
    except OSError as error:
        raise InputError("--out", error.strerror or str(error), "a writable file") from None


def _heads(picture: HeapPicture, labels: Mapping[str, Any]) -> list[str]:
    """What the heap is, in two lines."""
    if picture.at_exit:
        when = f"at its exit at {picture.at_us / 1e6:,.6f} s"
    else:
        when = f"when the run ended ({labels['outcome']})"
    making = f", making {picture.making}" if picture.making else ""
    return [
        f"{labels['run']}, {labels['scheme']}, replication {labels['replication']}",
        f"process {picture.pid} {picture.program}, {when}{making}",
    ]


def _print(picture: HeapPicture, labels: Mapping[str, Any]) -> None:
    for line in _heads(picture, labels):
        print(line)
    print(f"{'offset':>9} {'size':>8}  {'owner':11}  {'which':{_WHAT}}  type")
    for b in picture.blocks:
        what = _which(b)
        what = what if len(what) <= _WHAT else what[: _WHAT - 1] + "…"
        line = f"{b.offset_bytes:>9} {b.size_bytes:>8}  {b.owner:11}  {what:{_WHAT}}  {b.type}"
        print(line.rstrip())
    print(f"\n{'owner':11} {'blocks':>7} {'bytes':>9}")
    for owner, count, size in by_owner(picture):
        print(f"{owner:11} {count:>7} {size:>9}")
    print(
        f"header {picture.header_bytes}, top {picture.top_bytes},"
        f" committed {picture.committed_bytes} bytes"
    )
    print(
        f"garbage and lost blocks: {picture.leaked_bytes} bytes for ever,"
        f" {picture.pending_bytes} until a coming exec"
    )


def _which(b: OwnedBlock) -> str:
    if b.owner == GARBAGE:
        return "for ever" if b.freed_by == "never" else f"until {b.freed_by}"
    if b.owner == FREE:
        return "in no list, lost" if b.freed_by else ""
    return b.what
