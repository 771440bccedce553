"""A sequence whose items are made when they are asked for, and kept by nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, overload

From = TypeVar("From")
To = TypeVar("To")


class Mapped(Sequence[To], Generic[From, To]):
    """`function` of each item of `items`, anew at every access."""

    def __init__(self, function: Callable[[From], To], items: Sequence[From]) -> None:
        self._function = function
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, at: int) -> To: ...
    @overload
    def __getitem__(self, at: slice) -> Mapped[From, To]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Mapped(self._function, self._items[at])
        return self._function(self._items[at])
