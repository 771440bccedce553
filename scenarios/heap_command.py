"""Does the allocator do what the real one did, and what does a heap look like?"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from models.cygwin.cygheap import audit, golden
from models.cygwin.cygheap.golden_file import open_lines
from scenarios import heap_picture
from scenarios.cli_output import print_json
from scenarios.options import HeapOptions
from sim.errors import InputError

_STATES = {True: "in use", False: "free"}
_DIES = {None: "", 0: "second exec from here", 1: "next exec"}


def replay_files(paths: Iterable[Path | str], out: TextIO) -> int:
    """Replay golden files, one line each to `out`; 1 if one differs, else 0.

    Raises InputError at the first file that is not a golden trace, after the lines before it.
    """
    passed = failed = 0
    for path in paths:
        found = golden.replay(path)
        if isinstance(found, golden.Mismatch):
            failed += 1
            print(mismatch_line(found), file=out)
        else:
            passed += 1
            counts = f"ops={found.ops} checkpoints={found.checkpoints}"
            print(f"{found.name} era={found.era} {counts} ok", file=out)
    print(f"{passed} passed, {failed} failed", file=out)
    return 1 if failed else 0


def show(asked: HeapOptions) -> int:
    """List the blocks of a golden trace after a line (or its end) on stdout.

    With `png` the blocks are drawn into that file too. 1 if the replay differs before that line.
    Raises InputError for a file that is no golden trace, a line or a picture's name that is wrong.
    """
    heap_picture.check_name(asked.png)
    for name in ("pid", "scheme", "point", "trace"):
        if getattr(asked, name) is not None:
            raise InputError(f"--{name}", f"{asked.path} is not a run", "an --out directory")
    with open_lines(asked.path) as lines:
        trace = golden.open_trace(asked.path, lines)
        different = trace.advance(asked.at_line)
    if different is not None:
        print(mismatch_line(different))
        return 1
    blocks = trace.blocks()
    title = f"{trace.name}, era {trace.era_name}, after line {trace.line}"
    if asked.json:
        print_json(_document(trace, blocks))
    else:
        print(title)
        write_listing(trace, blocks, sys.stdout)
    if asked.png is not None:
        drawn = [(b.offset_bytes, b.size_bytes, b.label, b.in_use) for b in blocks]
        heap_picture.draw(drawn, title, Path(asked.png))
    return 0


def mismatch_line(found: golden.Mismatch) -> str:
    """The line that reports the first difference of a file."""
    where = f"{found.name} era={found.era} MISMATCH at line {found.line}"
    return f"{where}: want {found.want}, got {found.got}"


def write_listing(trace: golden.GoldenTrace, blocks: list[audit.Block], out: TextIO) -> None:
    """A table of the blocks by rising offset, and their sums. At most 80 columns."""
    print(f"{'offset':>10} {'size':>10}  {'state':6}  {'type':14}  freed by", file=out)
    for b in blocks:
        line = f"{b.offset_bytes:>10} {b.size_bytes:>10}  {_STATES[b.in_use]:6}  {b.label:14}"
        print(f"{line}  {_freed_by(b)}".rstrip(), file=out)
    used = sum(b.size_bytes for b in blocks if b.in_use)
    free = sum(b.size_bytes for b in blocks if not b.in_use)
    print(
        f"{len(blocks)} blocks: {used} bytes in use, {free} free;"
        f" top {trace.heap.max}, committed {trace.committed_bytes}",
        file=out,
    )


def _freed_by(block: audit.Block) -> str:
    """What frees a block by itself: an exec, never, or nothing that its type says."""
    if block.leaks:
        return "never"
    return _DIES[block.generation] if block.in_use else ""


def _document(trace: golden.GoldenTrace, blocks: list[audit.Block]) -> dict[str, Any]:
    return {
        "schema": heap_picture.SCHEMA,
        "trace": trace.name,
        "era": trace.era_name,
        "line": trace.line,
        "header_bytes": trace.header_bytes,
        "top_bytes": trace.heap.max,
        "committed_bytes": trace.committed_bytes,
        "blocks": [
            {
                "offset_bytes": b.offset_bytes,
                "size_bytes": b.size_bytes,
                "in_use": b.in_use,
                "type": b.label,
                "freed_by": _freed_by(b) or None,
            }
            for b in blocks
        ],
    }
