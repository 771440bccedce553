"""Call logs of real DLLs as the tests read them: copies of a few, below data/msys1."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

LOGS = Path(__file__).parent / "data" / "msys1"
FOLDER = {  # scheme -> whose logs it is held against
    "blocking": "cygwin-1.3.2-rebuilt",
    "shared-memory-1.3.3": "cygwin-1.3.3",
    "shared-memory": "cygwin-1.3.19",
}


class CallLog:
    """One log. meta: its first line; rows: the others."""

    def __init__(self, scheme: str, scenario: str) -> None:
        found = next((LOGS / FOLDER[scheme]).glob(f"{scenario}.jsonl*"))
        opener = gzip.open if found.suffix == ".gz" else open
        with opener(found, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        self.meta: dict[str, Any] = rows[0]["meta"]
        self.rows: list[dict[str, Any]] = rows[1:]

    def calls(self, tid: str, first: str, last: str, *names: str) -> list[dict[str, Any]]:
        """Calls of one thread from the first `first` to the next `last`, those in `names` only.

        Of a call that has a return the begin counts.
        """
        mine = [r for r in self.rows if r["tid"] == tid and r.get("ph") != "return"]
        begin = next(i for i, r in enumerate(mine) if r["api"] == first)
        end = next(i for i, r in enumerate(mine) if i > begin and r["api"] == last)
        return [r for r in mine[begin : end + 1] if r["api"] in names]
