"""Results as bytes: how they come from a worker, and how a journal keeps them."""

from __future__ import annotations

import io
import pickle
import zlib
from typing import Any

_OWN = ("sim", "models", "scenarios")  # whose classes a record may hold
_FOREIGN = frozenset(
    [
        ("builtins", "set"),
        ("builtins", "frozenset"),
        ("builtins", "bytearray"),
        ("builtins", "range"),
        ("builtins", "complex"),
        ("collections", "deque"),
        ("collections", "Counter"),
        ("collections", "OrderedDict"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    ]
)


def encoded(result: Any) -> bytes:
    """A result as a journal keeps it."""
    return zlib.compress(pickle.dumps(result, protocol=5), 1)


def decoded(content: bytes) -> Any:
    """The result in a record.

    Only plain values and classes of this program are made from it, so that a folder of somebody
    else's cannot run code here.  Raises pickle.UnpicklingError for anything else.
    """
    return _Reader(io.BytesIO(zlib.decompress(content))).load()


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _FOREIGN:
            return super().find_class(module, name)
        if module.split(".")[0] in _OWN:
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a journal")
