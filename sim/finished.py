"""Results of independent tasks, in the order of the tasks, read from the journal when asked for."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, overload

from sim.encoded import decoded
from sim.errors import InputError
from sim.journal import Journal

Result = TypeVar("Result")


class Finished(Sequence[Result], Generic[Result]):
    """The results of the tasks with these names, while the journal is open.

    Only the one that was asked for last is kept in memory.  Asking raises KeyError for a task that
    has no result, and InputError for a record that cannot be read.
    """

    def __init__(self, journal: Journal, names: Sequence[str]) -> None:
        self._journal = journal
        self._names = names
        self._last: tuple[str, Result] | None = None

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, at: int) -> Result: ...
    @overload
    def __getitem__(self, at: slice) -> Finished[Result]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Finished[Result](self._journal, self._names[at])
        name = self._names[at]
        if self._last is None or self._last[0] != name:
            self._last = name, self._read(name)
        return self._last[1]

    def _read(self, name: str) -> Result:
        try:
            result: Result = decoded(self._journal.content(name))
        except (pickle.UnpicklingError, AttributeError, ImportError, TypeError) as error:
            raise InputError(
                str(self._journal.path), f"{name}: {error}", "delete it to begin anew"
            ) from None
        return result
