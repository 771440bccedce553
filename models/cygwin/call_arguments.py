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

from models.cygwin.arguments import Arguments
from models.cygwin.call_versions import Variant
from models.cygwin.call_windows import Window

# Bytes and number of variables that the runs `env-N` add: LONG00=..., VAR000=...
MORE_VARIABLES = ((3007, 10), (97, 100))
_STARTS = {";", "&", "|", "&&", "||", "(", "exec"}  # a command begins behind these
TEXT_BYTES = 600  # a log keeps no more of a command
WORK = "/cygdrive/c/work"  # where these runs were
SHELLS = ("sh.exe", "shc.exe")
SCRIPT = re.compile(r"[\w./-]+\.sh\b")
_SEPARATORS = {";", "&", "|", "&&", "||", "(", ")"}


def arguments_of(
    window: Window, command: str, shell: str, variant: Variant, by_script: bool = False
) -> Arguments:
    """What the window's child was started with.

    command: its own command line; shell: what the first sh was given; by_script: a sh that runs a
    script asks for it.
    """
    if len(command) + 1 < int(window.anchor.args["cmd_len"]) or command.startswith('"'):
        command = ""  # it was cut off, or MSYS hands its arguments over another way
    words = _words(command)
    argv, script = _argv(str(window.anchor.args["image"]), words[1:], shell)
    if script:
        argv[0] = variant.interpreter
    if len(shell) == TEXT_BYTES and not command:
        argv = _completed(argv, int(window.anchor.args["cmd_len"]))
    text = [b"a" * len(word) for word in argv]
    return Arguments(text, [b"v" * n for n in environment(window, variant, by_script)], script)


def _argv(image: str, rest: list[str], shell: str) -> tuple[list[str], bool]:
    """argv, and whether it begins with the interpreter of a script."""
    script = SCRIPT.search(shell)
    if image not in SHELLS:
        said = _said(image, shell)
        return [said, *(rest or _tail(said, shell))], False
    if rest:
        script_given = not rest[0].startswith("-")
        return ["/bin/sh", *rest], script_given
    if script:
        return ["/bin/sh", script.group(), *_tail(script.group(), shell)], True
    return [_said(image, shell)], False


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
    """Whether the place of some variable among the others is not known."""
    more = int(window.anchor.args.get("env_bytes", 0)) - variant.env_base_bytes
    added = any(more >= count * (size + 1) for size, count in MORE_VARIABLES)
    return added or not variant.order_known


def reduced_arguments(window: Window, first: Window, shell: str, variant: Variant) -> Arguments:
    """What a child of a reduced log was started with: it has no command lines but its first.

    Each shell passes on what it was given with the number at the end one less, and a script by its
    full path. Raises UnknownArguments where the length of the command line says otherwise.
    """
    argv = _first_argv(shell)
    script = argv[1].endswith(".sh") if len(argv) > 1 else False
    if script:
        argv[0] = variant.interpreter
    if window.number > 1 and len(argv) > 1 and argv[-1].isdigit():
        argv[-1] = str(int(argv[-1]) - window.number + 1)
        if script:
            argv[1] = WORK + argv[1].removeprefix(".")
        more = int(window.anchor.args["cmd_len"]) - int(first.anchor.args["cmd_len"])
        if more != sum(map(len, argv[1:])) - sum(map(len, _first_argv(shell)[1:])):
            raise UnknownArguments
    lengths = environment(window, variant, window.number > 1)
    return Arguments([b"a" * len(w) for w in argv], [b"v" * n for n in lengths], script)


def _first_argv(shell: str) -> list[str]:
    """argv of the first program that sh was told to start: a script, or a sh of its own."""
    assigned = re.match(r"(\w+)='([^']*)'; *exec (.*)", shell)
    if assigned is None:
        words = shlex.split(shell)
        return ["/bin/sh", *words] if words and words[0].endswith(".sh") else words
    name, value, rest = assigned.groups()
    return [word.replace(f"${name}", value) for word in shlex.split(rest)]


class UnknownArguments(Exception):
    """The log does not say what a program was started with."""


def _words(command: str) -> list[str]:
    """A Windows command line in words: double quotes, a backslash before one."""
    found = re.findall(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+', command)
    return [re.sub(r"\\(.)", r"\1", w[1:-1]) if w[:1] == '"' else w for w in found]


def _said(image: str, shell: str) -> str:
    """The word by which a program was named: in what sh was given, else its place in PATH."""
    name = image.removesuffix(".exe")
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
    places = [i for i, word in enumerate(words) if word == said]
    if not places:
        return []
    starts = [i for i in places if i == 0 or words[i - 1] in _STARTS]
    tail: list[str] = []
    for word in words[(starts or places)[-1] + 1 :]:
        if word in _SEPARATORS:
            break
        tail.append(word)
    return tail


def _completed(argv: list[str], cmd_len: int) -> list[str]:
    """argv of a text that was cut off: arguments like the first, as many as the length says."""
    if len(argv) < 2:
        return argv
    return [argv[0]] + [argv[1]] * (cmd_len // (len(argv[1]) + 1))
