"""Documents as they are written: strict JSON, and files that appear whole or not at all.

The same document is the same bytes everywhere: UTF-8, LF, floats to 12 significant digits.
"""

from __future__ import annotations

import json
import math
import numbers
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.mapped import Mapped

DIGITS = 12  # significant digits of every float that is written
PARTIAL = ".partial"  # ends the name of a file that is not whole yet


def json_text(document: Any, indent: int | None = 2) -> str:
    """A strict JSON document with LF at its end, floats to 12 significant digits, order as given.

    Raises ValueError for NaN and infinity and TypeError for what JSON cannot say, both with the
    path to it.
    """
    return _dumped(plain(document, "$"), indent) + "\n"


def _dumped(document: Any, indent: int | None) -> str:
    return json.dumps(document, indent=indent, allow_nan=False, ensure_ascii=False)


def json_pieces(document: Any) -> Iterator[str]:
    """`json_text(document)` in pieces, so that a sequence at its top never has to be whole.

    What comes item by item is every value of a mapping that is `Mapped`.
    Raises as `json_text` does, when it comes to what is wrong.
    """
    items = list(document.items()) if isinstance(document, Mapping) else []
    if not any(isinstance(value, Mapped) for _, value in items):
        yield json_text(document)
        return
    for at, (key, value) in enumerate(items):
        yield f"{',' if at else '{'}\n  {json.dumps(key, ensure_ascii=False)}: "
        if not isinstance(value, Mapped):
            yield _indented(value, 1, f"$.{key}")
            continue
        for number, item in enumerate(value):
            yield f"{',' if number else '['}\n    {_indented(item, 2, f'$.{key}[{number}]')}"
        yield "\n  ]" if value else "[]"
    yield "\n}\n"


def _indented(value: Any, levels: int, path: str) -> str:
    return _dumped(plain(value, path), 2).replace("\n", "\n" + "  " * levels)


def plain(value: Any, path: str) -> Any:
    """The same value in Python's own types, floats rounded; tuples become lists.

    `path` is how errors name it. Raises ValueError and TypeError as `json_text` does.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"{path} ({number}) must be finite; unset is null")
        return float(f"{number:.{DIGITS}g}")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{path}: key ({key!r}) must be text")
        return {key: plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{path} ({type(value).__name__}) has no form in JSON")


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A path to write to: what is there at the end becomes the file, or what was there is left."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Write the whole file or leave what was there; text becomes UTF-8 as it stands."""
    with beside(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path
