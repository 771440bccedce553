"""What is costly to make and quick to read, kept in the user's cache folder between commands.

A file is found by a key that names all that its content depends on, and is believed only if it is
whole.  Everything here may fail without harm: then nothing is found, or nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path

from sim.documents import write_atomically

CACHE = "CYGSIM_CACHE"  # the folder, in place of the system's; empty: keep nothing
_MOST_FILES = 32  # chosen; the oldest go
_DIGEST_BYTES = 32


def cache_folder() -> Path | None:
    """Where files are kept, whether it exists or not; None if none are to be kept."""
    asked = os.environ.get(CACHE)
    if asked is not None:
        return Path(asked) if asked else None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "cygsim"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "cygsim"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "cygsim"


def find(key: bytes) -> bytes | None:
    """The content kept under `key`, None if there is none or it has been harmed."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / _name(key)
    try:
        found = path.read_bytes()
    except OSError:
        return None
    digest, content = found[:_DIGEST_BYTES], found[_DIGEST_BYTES:]
    if digest != hashlib.sha256(content).digest():
        return None
    with suppress(OSError):
        os.utime(path)  # it is of use: others are older
    return content


def keep(key: bytes, content: bytes) -> None:
    """Keep `content` under `key`, if the folder can be written to; the oldest files make room."""
    folder = cache_folder()
    if folder is None:
        return
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        mine = folder / f"{_name(key)}.{os.getpid()}"  # two commands may keep the same
        write_atomically(mine, hashlib.sha256(content).digest() + content)
        os.replace(mine, folder / _name(key))
        _make_room(folder)


def _make_room(folder: Path) -> None:
    kept = sorted(folder.glob("*.kept*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[_MOST_FILES:]:
        path.unlink(missing_ok=True)


def _name(key: bytes) -> str:
    return f"{hashlib.sha256(key).hexdigest()}.kept"
