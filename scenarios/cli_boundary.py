"""The edge between the command line and everything else: streams, exit codes, the one error line.

What must stay true: a wrong word or a wrong file ends with exactly one line
`cygsim: WHERE: WHAT; ALLOWED` on stderr and exit code 2; a traceback comes only with `--debug`.
Exit codes are those of the commands' contract: 0, 1, 2, and 130 after Ctrl-C.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any

import click

from scenarios.cli_root import root
from scenarios.cli_words import command_words
from sim.errors import InputError, SimError

PROGRAM = "cygsim"
DEBUG = "--debug"
DONE = 0
BAD_INPUT = 2
INTERRUPTED = 130


def run(words: list[str]) -> int:
    """Exit code of `words`. `--debug` may stand anywhere before a lone `--`."""
    make_streams_safe()
    debug, words = _take_debug(words)
    try:
        code = _invoke(words)
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        if debug:
            raise
        _say(str(error) or "interrupted")
        return INTERRUPTED
    except Exception as error:  # the contract: never a traceback unless asked for
        if _reader_went_away(error):
            _drop_stdout()
            return DONE
        if debug:
            raise
        _say(error_line(error))
        return BAD_INPUT
    return code


def make_streams_safe() -> None:
    """Let stdout and stderr write LF, and escape what their encoding lacks instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", newline="\n")


def error_line(error: BaseException) -> str:
    """`WHERE: WHAT; ALLOWED` for any error, on one line."""
    if isinstance(error, InputError):
        text = str(error)
    elif isinstance(error, click.ClickException):
        text = "{}: {}; {}".format(*_usage_parts(error))
    elif isinstance(error, OSError):
        where = error.filename if error.filename is not None else "system"
        text = f"{where}: {error.strerror or error}; a file or folder that can be used is needed"
    elif isinstance(error, SimError):
        text = f"{type(error).__name__}: {error}; {DEBUG} shows where it arose"
    else:
        text = f"internal error: {type(error).__name__}: {error}; {DEBUG} shows where it arose"
    return " ".join(text.split())


def _take_debug(words: list[str]) -> tuple[bool, list[str]]:
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != DEBUG]
    return len(kept) < end, kept + words[end:]


def _invoke(words: list[str]) -> int:
    """Run the command; click's own `main` is not used, for it prints and exits its own way."""
    try:
        with root.make_context(PROGRAM, list(words)) as context:
            code: Any = root.invoke(context)
    except click.exceptions.Exit as end:  # --help and --version
        return int(end.exit_code)
    return int(code or DONE)


def _usage_parts(error: click.ClickException) -> tuple[str, str, str]:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else PROGRAM
    allowed = f"`{command} --help` describes it"
    if isinstance(error, click.NoSuchOption):
        near = ", ".join(error.possibilities or ())
        return error.option_name, "no such option", f"nearest: {near}" if near else allowed
    if isinstance(error, click.BadOptionUsage):
        return error.option_name, "a value is missing", allowed
    if isinstance(error, click.BadParameter):
        rule = getattr(getattr(error.param, "type", None), "allowed", allowed)
        if isinstance(error, click.MissingParameter):
            return _name(error), "missing", allowed
        return _name(error), error.message.rstrip("."), rule
    return command_words(context), error.message.rstrip("."), allowed


def _name(error: click.BadParameter) -> str:
    if error.param is None:
        return str(error.param_hint or "command line")
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return str(error.param.human_readable_name)


def _reader_went_away(error: Exception) -> bool:
    """Whether stdout is a pipe that nobody reads any more (`cygsim … | head`)."""
    if isinstance(error, BrokenPipeError):
        return True
    # Windows says EINVAL; an error of a file has the file's name with it.
    return isinstance(error, OSError) and error.errno == errno.EINVAL and error.filename is None


def _drop_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not fail again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    sys.stderr.write(f"{PROGRAM}: {text}\n")
