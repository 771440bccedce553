"""What `cygsim layout check` prints: tables of at most 80 columns, messages as a user sees them."""

from __future__ import annotations

from models.cygwin.layout_check import MOST_OVERLAPS, ReportVerdict, SpaceVerdict
from models.cygwin.layout_moves import MOST_CONFLICTS
from models.cygwin.listing import Listing
from scenarios.cli_output import print_table

NAME_COLUMNS = 24
_WORD = {True: "fits", False: "does not fit"}


def print_check(
    listing: Listing, spaces: list[SpaceVerdict], reports: list[ReportVerdict], fits: bool
) -> None:
    """Everything that was found, the verdict last."""
    print(f"{listing.path}: {listing.kind}")
    for note in listing.notes:
        print(note)
    quiet = [v for v in spaces if len(spaces) > 1 and v.dll is None and v.fits]
    for verdict in spaces:
        if verdict not in quiet:
            print()
            _space(verdict)
    if quiet:
        print(f"\n{len(quiet)} process(es) without Cygwin's DLL and without an overlap")
    if reports:
        print()
        _reports(reports)
    print()
    print("it fits" if fits else "it does not fit")


def _space(verdict: SpaceVerdict) -> None:
    of = f"process {verdict.space.process}: " if verdict.space.process else ""
    total = verdict.overlaps_total
    print(f"{of}{len(verdict.space.images)} image(s), {total or 'no'} overlap(s)")
    if verdict.overlaps:
        rows = [
            (
                f"{o.shared.base:#010x}",
                str(o.shared.end - o.shared.base),
                clipped(o.first.short_name),
                clipped(o.second.short_name),
            )
            for o in verdict.overlaps
        ]
        print_table(("shared from", "bytes", "by", "and"), rows)
    if total > len(verdict.overlaps):
        print(f"the first {MOST_OVERLAPS} are shown")
    _heap(verdict)
    if verdict.messages:
        print("a user sees:")
        for line in verdict.messages:
            print(f"  {line}")
    if not verdict.fits:
        _moves(verdict)


def _heap(verdict: SpaceVerdict) -> None:
    if verdict.dll is None or verdict.plan is None or verdict.heap_fits is None:
        print("Cygwin's DLL is not among them: nothing to say about its heap")
        return
    name = verdict.dll.short_name
    if verdict.room is not None:
        size = verdict.room.end - verdict.room.base
        print(f"room behind {name}, from {verdict.room.base:#010x}: {size} bytes,")
        print(f"  up to {verdict.until} at {verdict.room.end:#010x}")
    place = f"at {verdict.heap.base:#010x}" if verdict.heap else "nowhere"
    chosen = " (the system's choice)" if verdict.plan.era == "A" else ""
    print(
        f"heap of {verdict.plan.title}, {verdict.plan.size_bytes} bytes {place}{chosen}: "
        f"{_WORD[verdict.heap_fits]}"
    )
    if verdict.dll.size_bytes is None:
        print("  (the log gives no sizes: Cygwin's DLL as in 1.3.3, others 64 KiB, is assumed)")
    if verdict.blockers:
        rows = [(clipped(b.short_name, 50), f"{b.base:#010x}") for b in verdict.blockers]
        print_table(("in its place", "base"), rows)


def _moves(verdict: SpaceVerdict) -> None:
    if verdict.moves is None:
        print(
            f"no move found that mends it (or over {MOST_CONFLICTS} images are in the way): "
            "lay all out anew"
        )
        return
    rows = [
        (
            clipped(m.image.short_name),
            f"{m.image.base:#010x}",
            f"{m.to:#010x}",
            f"{m.to - m.image.base:+#x}",
        )
        for m in verdict.moves
    ]
    print_table(("smallest move", "from", "to", "by"), rows)


def _reports(reports: list[ReportVerdict]) -> None:
    """One line a report; what was free there against what the heap asks for."""
    print(f"a heap of {reports[0].heap_bytes} bytes against the region that was free")
    rows = [
        (
            clipped(r.report.name),
            f"{r.report.address:#010x}",
            str(r.report.room_bytes),
            _WORD[r.fits] if r.fits else f"refused, {r.missing_bytes:#x} missing",
        )
        for r in reports
    ]
    print_table(("report", "heap at", "room [bytes]", "verdict"), rows)
    refused = [r for r in reports if not r.fits]
    if refused:
        print("a user sees:")
        for line in refused[0].messages:
            print(f"  {line}")
        print("move what begins behind the region up, or Cygwin's DLL down, by what is missing")


def clipped(name: str, columns: int = NAME_COLUMNS) -> str:
    """The name, its middle left out where it is longer than that."""
    if len(name) <= columns:
        return name
    tail = (columns - 1) // 2
    return f"{name[: columns - 1 - tail]}…{name[-tail:]}"
