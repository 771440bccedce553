"""Which exec of a trace runs a #! script.

A trace has the name asked for and the file really mapped.  They differ for a script, but also for
a symbolic link to a shell or an interpreter (rule 9 of the traces' README).
"""

from __future__ import annotations

_SHELLS = frozenset(
    ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash", "posh", "csh", "tcsh", "busybox"]
)
_AWKS = frozenset(["awk", "gawk", "mawk", "nawk", "original-awk"])
_OTHERS = frozenset(
    [
        "python",
        "perl",
        "ruby",
        "tclsh",
        "wish",
        "expect",
        "lua",
        "guile",
        "node",
        "nodejs",
        "php",
        "sed",
        "make",
        "env",
    ]
)
_VERSION = "0123456789.-"


def family(name: str) -> str:
    """The program that a file name stands for: python for python3.11, awk for gawk, sh for bash.

    Other names stand for themselves without their version.
    """
    base = name.removesuffix(".exe")
    if base in _SHELLS:
        return "sh"
    if base in _AWKS:
        return "awk"
    return base.rstrip(_VERSION)


def is_script(prog: str, img: str) -> bool:
    """Does the image interpret a script named `prog`? One level, no option (rule 9)."""
    if prog == img:
        return False
    runs = family(img)
    if runs not in ("sh", "awk") and runs not in _OTHERS:
        return False
    return family(prog) != runs
