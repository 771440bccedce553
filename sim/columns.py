"""Observations of many replications, kept small: what one measure gave, in their order.

What must stay true: a column gives back what was put into it, types and signs of zero included.
Most measures of a simulation are exact counts and alike in every replication; a column of those is
one value.  Else it is machine numbers as long as all are of one kind, and objects only after that.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

_INT64 = range(-(2**63), 2**63)


class Column(Sequence[Any]):
    """Values in the order of `append`: numbers, words, None."""

    def __init__(self) -> None:
        self._count = 0
        self._alike: Any = None  # the value of all, while there are no `_many`
        self._many: array[Any] | list[Any] | None = None

    def append(self, value: Any) -> None:
        """Add the value of the next replication."""
        if isinstance(value, str):
            value = sys.intern(value)
        if self._many is None:
            if self._count and not _same(self._alike, value):
                kind = type(value) if self._alike is None else type(self._alike)
                code = {float: "d", int: "q"}.get(kind)
                self._many = [] if code is None else array(code)
                for _ in range(self._count):
                    self._put(self._alike)
                self._put(value)
            self._alike = value
        else:
            self._put(value)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._count))]
        if not -self._count <= at < self._count:
            raise IndexError(at)
        if self._many is None:
            return self._alike
        return self._many[at] if isinstance(self._many, list) else _out(self._many[at])

    def __iter__(self) -> Iterator[Any]:
        if self._many is None:
            return iter([self._alike] * self._count)
        return iter(self._many) if isinstance(self._many, list) else map(_out, self._many)

    def __contains__(self, value: object) -> bool:
        return any(value == one for one in self)

    def _put(self, value: Any) -> None:
        assert self._many is not None
        if isinstance(self._many, list):
            self._many.append(value)
            return
        floats = self._many.typecode == "d"
        if floats and (value is None or (type(value) is float and not math.isnan(value))):
            self._many.append(math.nan if value is None else value)
        elif not floats and type(value) is int and value in _INT64:
            self._many.append(value)
        else:
            self._many = [*map(_out, self._many), value]


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one != other:
        return False
    return not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other)


def _out(value: Any) -> Any:
    """What a machine number stands for: NaN for None, since a column with NaN is of objects."""
    return None if isinstance(value, float) and math.isnan(value) else value
