"""What `cygsim layout check --json` writes. Addresses are numbers; unset is null."""

from __future__ import annotations

from typing import Any

from models.cygwin.layout_check import ReportVerdict, SpaceVerdict
from models.cygwin.layout_ranges import Range
from models.cygwin.listing import Listing
from models.cygwin.listing_entries import ListedImage

SCHEMA = "cygsim/layout/1"


def check_document(
    listing: Listing, spaces: list[SpaceVerdict], reports: list[ReportVerdict], fits: bool
) -> dict[str, Any]:
    """The document of one listing."""
    return {
        "schema": SCHEMA,
        "listing": listing.path,
        "kind": listing.kind,
        "fits": fits,
        "overlaps": sum(verdict.overlaps_total for verdict in spaces),
        "spaces": [_space(verdict) for verdict in spaces],
        "reports": [_report(verdict) for verdict in reports],
        "notes": list(listing.notes),
    }


def _space(verdict: SpaceVerdict) -> dict[str, Any]:
    plan, heap = verdict.plan, verdict.heap
    return {
        "process": verdict.space.process or None,
        "fits": verdict.fits,
        "images": len(verdict.space.images),
        "overlaps_total": verdict.overlaps_total,
        "overlaps": [
            {"first": _image(o.first), "second": _image(o.second), **_range(o.shared)}
            for o in verdict.overlaps
        ],
        "dll": _image(verdict.dll) if verdict.dll else None,
        "room": {**_range(verdict.room), "until": verdict.until} if verdict.room else None,
        "heap": None
        if plan is None
        else {
            "era": plan.era,
            "release": plan.title,
            "asked_bytes": plan.size_bytes,
            "base": heap.base if heap else None,
            "fits": verdict.heap_fits,
            "blockers": [_image(image) for image in verdict.blockers],
        },
        "messages": verdict.messages,
        "messages_in_child": verdict.child_messages,
        "moves": None
        if verdict.moves is None
        else [
            {**_image(m.image), "to": m.to, "by_bytes": m.to - m.image.base} for m in verdict.moves
        ],
    }


def _report(verdict: ReportVerdict) -> dict[str, Any]:
    report = verdict.report
    return {
        "name": report.name,
        "line": report.line,
        "fits": verdict.fits,
        "base": report.address,
        "room_bytes": report.room_bytes,
        "heap_bytes": verdict.heap_bytes,
        "missing_bytes": verdict.missing_bytes,
        "messages": verdict.messages,
    }


def _image(image: ListedImage) -> dict[str, Any]:
    return {"name": image.name, "base": image.base, "size_bytes": image.size_bytes}


def _range(taken: Range) -> dict[str, int]:
    return {"from": taken.base, "bytes": taken.end - taken.base}
