"""What a run has finished so far, in a file that survives the end of the process at any moment.

A result counts only once it is in the journal.  What is added at a time is one transaction, and
each record carries its own digest, so that it is whole or is not there; what another run wrote is
never taken for this one's.  Results are read back from here and nowhere else: a long run needs no
more memory than a short one.

The journal is SQLite's, in the run's folder.  Its lock goes with the process that holds it: a
killed run leaves nothing that has to be cleared away, and two runs cannot share a folder.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from sim.errors import InputError

FILE = "journal.sqlite"
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


class Journal:
    """The journal of one run.

    path: the file; None for a journal that ends with its process -- constant
    damaged: records that were there and not whole, by name; they count as missing -- output
    """

    def __init__(self, folder: Path | None, run: str) -> None:
        """Open the journal of the run with the digest `run` in `folder`, or begin one.

        Without a folder it is in memory while it is small, else in a file without a name, which
        the system takes back whatever happens.  Raises InputError if another process has it open,
        if it belongs to another run, or if it is no journal.
        """
        self.path = None if folder is None else folder / FILE
        self.damaged: list[str] = []
        try:
            self._base = sqlite3.connect(self.path or "", timeout=0, isolation_level=None)
            self._begin(run)
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._base.close()

    def add(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Keep results, each (name of its task, content); all are safe when this returns.

        Raises InputError if they cannot be written: what was added before stays.
        """
        rows = [(name, _digest(name, content), content) for name, content in records]
        base = self._base
        try:
            base.execute("BEGIN")
            base.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", rows)
            base.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def finished(self) -> set[str]:
        """Names of the records that are whole. Raises InputError if the file cannot be read."""
        found: set[str] = set()
        self.damaged = []
        try:
            for name, digest, content in self._base.execute("SELECT * FROM record"):
                if digest == _digest(name, content):
                    found.add(name)
                else:
                    self.damaged.append(name)
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return found

    def content(self, name: str) -> bytes:
        """What was added under a name.

        Raises KeyError if nothing was, InputError if it is not what was added.
        """
        asked = "SELECT digest, content FROM record WHERE name = ?"
        try:
            row = self._base.execute(asked, (name,)).fetchone()
        except sqlite3.Error as error:
            raise self._refused(error) from None
        if row is None:
            raise KeyError(name)
        digest, content = row
        if digest != _digest(name, content):
            raise InputError(str(self.path), f"{name} is damaged", "run the same command again")
        assert isinstance(content, bytes)
        return content

    def _begin(self, run: str) -> None:
        base = self._base
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute("BEGIN IMMEDIATE")  # takes the lock, and keeps it
        base.execute("CREATE TABLE IF NOT EXISTS run (digest TEXT)")
        base.execute(
            "CREATE TABLE IF NOT EXISTS record (name TEXT PRIMARY KEY, digest BLOB, content BLOB)"
        )
        whose = base.execute("SELECT digest FROM run").fetchone()
        if whose is None:
            base.execute("INSERT INTO run VALUES (?)", (run,))
        base.execute("COMMIT")
        if whose is not None and whose[0] != run:
            base.close()
            raise InputError(
                str(self.path), "the journal of another run", "delete it, or take a new folder"
            )

    def _refused(self, error: sqlite3.Error) -> InputError:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return InputError(
                str(self.path), "the same run is going on there", "wait for it, or stop it"
            )
        return InputError(
            str(self.path), f"no journal that can be used ({error})", "delete it to begin anew"
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


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()
