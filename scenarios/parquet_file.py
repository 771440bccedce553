"""Rows of results as a Parquet file, a piece at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from sim.documents import beside, plain
from sim.errors import InputError
from sim.results import ResultRow

_ROWS = 50_000  # in memory at a time, and in a group of the file -- chosen


def write_parquet(path: Path, rows: Iterable[ResultRow], manifest: Mapping[str, Any]) -> None:
    """Write the columns of results.csv, whole or not at all.

    `value` is a double, null where there is none; words are in a column of their own, `word`.
    Numbers are rounded as in results.csv.  The manifest is in the file's metadata as
    `cygsim.manifest`.  Raises InputError if pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            "--format parquet", "pyarrow is not installed", "pip install 'cygsim[parquet]'"
        ) from None
    text, whole = arrow.dictionary(arrow.int32(), arrow.string()), arrow.int64()
    kinds = {"replication": whole, "censored": whole, "value": arrow.float64()}
    schema = arrow.schema(
        [(name, kinds.get(name, text)) for name in (*ResultRow._fields, "word")],
        metadata={"cygsim.manifest": json.dumps(manifest, ensure_ascii=False)},
    )
    left = iter(rows)
    with beside(path) as partial, parquet.ParquetWriter(partial, schema) as writer:
        while some := list(islice(left, _ROWS)):
            columns = [arrow.array(c, t) for c, t in zip(_columns(some), schema.types, strict=True)]
            writer.write_table(arrow.table(columns, schema=schema))


def _columns(rows: list[ResultRow]) -> list[list[Any]]:
    """Those of results.csv, then the words among the values."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    values = [plain(row.value, "results") for row in rows]
    at = ResultRow._fields.index("value")
    columns[at] = [None if v is None or isinstance(v, str) else float(v) for v in values]
    return [*columns, [v if isinstance(v, str) else None for v in values]]
