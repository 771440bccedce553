"""Call logs changed by a test: their rows, where a call stands, and what the check then says."""

from __future__ import annotations

import gzip
import json

from models.cygwin import schemes
from models.cygwin.call_check import check
from models.cygwin.call_log import read_log
from models.cygwin.call_versions import variants


def events(path):
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def verdict(tmp_path, rows):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = read_log(path)
    return check(log, variants(schemes.get)[log.dll_set])


def place(rows, api, phase="", nth=0, **wanted):
    """Index of a row of that call whose args have these values."""
    found = [
        i
        for i, row in enumerate(rows)
        if row.get("api") == api
        and (not phase or row.get("ph") == phase)
        and all(row.get("args", {}).get(key) == value for key, value in wanted.items())
    ]
    assert nth < len(found), api
    return found[nth]
