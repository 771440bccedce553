"""What a run has finished so far, in a file that survives the end of the process at any moment.

A result counts only once it is in the journal.  Each is one transaction and carries its own digest,
so a record is whole or is not there; what another run wrote is never taken for this one's.

The journal is SQLite's, in the run's folder.  Its lock goes with the process that holds it: a
killed run leaves nothing that has to be cleared away, and two runs cannot share a folder.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sqlite3
import zlib
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

    path: the file -- constant
    damaged: records that were there and not whole, by name; they count as missing -- output
    """

    def __init__(self, folder: Path, run: str) -> None:
        """Open the journal of the run with the digest `run` in `folder`, or begin one.

        Raises InputError if another process has it open, if it belongs to another run, or if it
        is no journal.
        """
        self.path = folder / FILE
        self.damaged: list[str] = []
        try:
            self._base = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            self._begin(run)
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._base.close()

    def add(self, name: str, content: bytes) -> None:
        """Keep the result of the task `name`; it is safe when this returns.

        Raises InputError if it cannot be written: what was added before stays.
        """
        digest = _digest(name, content)
        try:
            self._base.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)",
                               (name, digest, content))  # fmt: skip
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def keep(self, name: str, result: Any) -> None:
        """`add` for a result that is not encoded yet."""
        self.add(name, encoded(result))

    def finished(self) -> dict[str, bytes]:
        """What `add` was given, by name. Raises InputError if the file cannot be read."""
        found: dict[str, bytes] = {}
        self.damaged = []
        try:
            for name, digest, content in self._base.execute("SELECT * FROM record"):
                if digest == _digest(name, content):
                    found[name] = content
                else:
                    self.damaged.append(name)
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return found

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
