"""argv and environment of an exec or spawn in a log, by their lengths.

The child's command line gives the arguments; where it has none (MSYS passes it another way) the
command that the shell was given does.  argv[0] is the word that the shell or program was told, and
the environment is the one that the shell passes on in these runs, with "_" where the Windows
environment is that much longer.

Source: `env_lengths.json` of the logs (lengths only; values are left out), §b4.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from models.cygwin.arguments import Arguments
from models.cygwin.call_versions import Variant
from models.cygwin.call_windows import Window

# Bytes and number of variables that the runs `env-N` add: LONG00=..., VAR000=...
MORE_VARIABLES = ((3007, 10), (97, 100))
TEXT_BYTES = 600  # a log keeps no more of a command
_SEPARATORS = {";", "&", "|", "&&", "||", "(", ")"}


def arguments_of(
    window: Window, command: str, shell: str, variant: Variant, by_script: bool = False
) -> Arguments:
    """What the window's child was started with.

    command: its own command line; shell: what the first sh was given; by_script: a sh that runs a
    script asks for it.
    """
    if len(command) + 1 < int(window.anchor.args["cmd_len"]):
        command = ""  # it was cut off
    words = _words(command)
    image = str(window.anchor.args["image"])
    said = _said(image, words, shell)
    tail = words[1:] if len(words) > 1 else _tail(said, shell)
    if len(shell) == TEXT_BYTES and not command:
        tail = _completed(tail, int(window.anchor.args["cmd_len"]))
    script = _is_script(image, words, shell, tail)
    argv = ["/bin/sh", *tail] if script else [said, *tail]
    text = [b"a" * len(word) for word in argv]
    return Arguments(text, [b"v" * n for n in environment(window, variant, by_script)], script)


def environment(window: Window, variant: Variant, by_script: bool) -> list[int]:
    """Lengths of the variables that were passed."""
    lengths = list(variant.script_environment if by_script else variant.environment)
    more = int(window.anchor.args.get("env_bytes", 0)) - variant.env_base_bytes
    for size, count in MORE_VARIABLES:
        if more >= count * (size + 1):
            lengths += [size] * count
            more -= count * (size + 1)
    if more > 0:
        at = variant.script_underscore if by_script else variant.underscore
        lengths.insert(at, more - 1)
    return lengths


def order_unknown(window: Window, variant: Variant) -> bool:
    """Whether variables were added whose place among the others is not known."""
    more = int(window.anchor.args.get("env_bytes", 0)) - variant.env_base_bytes
    return any(more >= count * (size + 1) for size, count in MORE_VARIABLES)


def _words(command: str) -> list[str]:
    """A Windows command line in words: double quotes, a backslash before one."""
    found = re.findall(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+', command)
    return [re.sub(r"\\(.)", r"\1", w[1:-1]) if w[:1] == '"' else w for w in found]


def _said(image: str, words: Sequence[str], shell: str) -> str:
    """The word by which the program was named: in what sh was given, else its own path."""
    name = image.removesuffix(".exe")
    if len(words) > 1 and words[1].startswith(("./", "/")) and name == "sh":
        return words[1]
    for match in re.finditer(r"[\w./\\:-]+", shell):
        word = match.group()
        if re.split(r"[/\\]", word)[-1] in (image, name):
            return word
    return f"/usr/bin/{name}"


def _tail(said: str, shell: str) -> list[str]:
    """The words after `said` up to the end of that command."""
    lexer = shlex.shlex(shell, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    words = list(lexer)
    if said not in words:
        return []
    tail: list[str] = []
    for word in words[words.index(said) + 1 :]:
        if word in _SEPARATORS:
            break
        tail.append(word)
    return tail


def _completed(words: list[str], cmd_len: int) -> list[str]:
    """The words of a text that was cut off: all like the first, as many as the length says."""
    return [words[0]] * (cmd_len // (len(words[0]) + 1)) if words else words


def _is_script(image: str, words: Sequence[str], shell: str, tail: Sequence[str]) -> bool:
    if image not in ("sh.exe", "shc.exe") or not tail or tail[0].startswith("-"):
        return False
    del words, shell
    return True
