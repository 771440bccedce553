"""argv and environment as an exec left them in the heap, taken over at start-up.

Source: dcrt0.cc and environ.cc of aa9d50a1c (CYGWIN.md §b1, §b5); logs of 1.5.18.
"""

from __future__ import annotations

from collections.abc import Callable

from models.cygwin.arguments import Handed, read_arguments
from models.cygwin.child_info import ChildInfo
from models.cygwin.process import CygwinProcess


def handed(p: CygwinProcess, info: ChildInfo) -> Handed:
    """What the caller of an exec left, read once."""
    if p.handed is None:
        p.handed = read_arguments(p.heap, info.moreinfo)
    return p.handed


def _arguments(p: CygwinProcess, info: ChildInfo | None) -> None:
    assert info is not None
    found = handed(p, info)
    p.exec_info, p.argv = found.info, found.vector


def _heap_page(p: CygwinProcess, info: ChildInfo | None) -> None:
    """The first page of the user heap; environ goes there."""
    _first_page(p, info)
    _environ(p, info)


def _first_page(p: CygwinProcess, info: ChildInfo | None) -> None:
    p.user_heap_bytes = p.version.heap_page_bytes
    p.k.virtual_commit(p.me, p.user_heap.base, p.user_heap_bytes)


def _environ(p: CygwinProcess, info: ChildInfo | None) -> None:
    """A copy of the environment's vector in the user heap; the one that came along is freed (§b5).

    A parent that did not wait may have freed it already: then cfree is where it ends.
    """
    if info is not None:
        found = handed(p, info)
        p.set_environment(found.env)
        p.heap.cfree(found.env_vector)
        p.handed = None


CALLS: dict[str, Callable[[CygwinProcess, ChildInfo | None], None]] = {
    "arguments": _arguments,
    "heap-page": _heap_page,
    "first-page": _first_page,
    "environ": _environ,
}
