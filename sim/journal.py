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
import os
import sqlite3
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any, Self

from sim.documents import PARTIAL
from sim.errors import InputError

FILE = "journal.sqlite"
_RUN = "CREATE TABLE IF NOT EXISTS run (digest TEXT)"
_RECORD = "CREATE TABLE IF NOT EXISTS record (name TEXT PRIMARY KEY, digest BLOB, content BLOB)"
_INSERT = "INSERT OR REPLACE INTO record VALUES (?, ?, ?)"


class Journal:
    """The journal of one run.

    path: the file; None for a journal that ends with its process -- constant
    damaged: records that were there and not whole, by name; they count as missing -- output
    set_aside: where the file was put that was damaged itself; what could be read of it is here
    """

    def __init__(self, folder: Path | None, run: str) -> None:
        """Open the journal of the run with the digest `run` in `folder`, or begin one.

        Without a folder it is in memory while it is small, else in a file without a name, which
        the system takes back whatever happens.  Raises InputError if another process has it open,
        if it belongs to another run, or if it is no journal.
        """
        self.path = None if folder is None else folder / FILE
        self.damaged: list[str] = []
        self.set_aside: Path | None = None
        self._finished: set[str] | None = None  # what was read of it and added to it since
        try:
            if not self._open_sound(run):
                assert self.path is not None  # what has no file was made just now
                self._begin_anew(self.path, run)
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
            base.executemany(_INSERT, rows)
            base.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._refused(error) from None
        if self._finished is not None:
            self._finished.update(name for name, _, _ in rows)

    def finished(self) -> Set[str]:
        """Names of the records that are whole. Raises InputError if the file cannot be read.

        The file is read once, digests and all, when this is first asked.
        """
        if self._finished is None:
            self._finished = self._read()
        return self._finished

    def _read(self) -> set[str]:
        found: set[str] = set()
        try:
            for name, digest, content in self._base.execute("SELECT * FROM record"):
                if _is_whole(name, digest, content):
                    found.add(name)
                else:
                    self.damaged.append(str(name))
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
        if not _is_whole(name, digest, content):
            raise InputError(str(self.path), f"{name} is damaged", "run the same command again")
        assert isinstance(content, bytes)
        return content

    def _open_sound(self, run: str) -> bool:
        """Open the file; whether it is as SQLite wrote it. What records hold is not looked at."""
        try:
            self._open(run)
            found = self._base.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            if not error.sqlite_errorname.startswith("SQLITE_CORRUPT"):
                raise
            return False
        return bool(found == ("ok",))

    def _open(self, run: str) -> None:
        self._base = base = sqlite3.connect(self.path or "", timeout=0, isolation_level=None)
        base.text_factory = _text
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute("BEGIN IMMEDIATE")  # takes the lock, and keeps it
        base.execute(_RUN)
        base.execute(_RECORD)
        whose = base.execute("SELECT digest FROM run").fetchone()
        if whose is None:
            base.execute("INSERT INTO run VALUES (?)", (run,))
        base.execute("COMMIT")
        if whose is not None and whose[0] != run:
            base.close()
            raise InputError(
                str(self.path), "the journal of another run", "delete it, or take a new folder"
            )

    def _begin_anew(self, path: Path, run: str) -> None:
        """Put a damaged file aside, and take over what records of this run in it are whole."""
        self.set_aside = path.with_name(path.name + ".damaged")
        partial = path.with_name(path.name + PARTIAL)
        partial.unlink(missing_ok=True)
        new = sqlite3.connect(partial, isolation_level=None)
        new.execute("BEGIN")
        new.execute(_RUN)
        new.execute("INSERT INTO run VALUES (?)", (run,))
        new.execute(_RECORD)
        new.executemany(_INSERT, _whole(self._base, run))
        new.execute("COMMIT")
        new.close()
        self._base.close()
        path.with_name(path.name + "-wal").unlink(missing_ok=True)  # it is of the old file
        os.replace(path, self.set_aside)
        os.replace(partial, path)
        self._open(run)

    def _refused(self, error: sqlite3.Error) -> InputError:
        where = "temporary journal" if self.path is None else str(self.path)
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_BUSY"):
            what = "the same run is going on there", "wait for it, or stop it"
        elif name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            what = f"no journal that can be used ({error})", "delete it to begin anew"
        else:
            what = f"cannot be used ({error})", "a folder with room that can be written"
        return InputError(where, *what)


def _whole(base: sqlite3.Connection, run: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Records of a damaged file of this run, up to where it cannot be read."""
    try:
        if base.execute("SELECT digest FROM run").fetchone() != (run,):
            return
        for name, digest, content in base.execute("SELECT * FROM record NOT INDEXED"):
            if _is_whole(name, digest, content):
                yield name, digest, content
    except sqlite3.DatabaseError:
        return


def _is_whole(name: Any, digest: Any, content: Any) -> bool:
    words = isinstance(name, str) and isinstance(content, bytes)
    return words and digest == _digest(name, content)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")  # a damaged name is one that no task has


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()
