"""Fuzzing of the commands: damaged files and odd words give one clear line, or a correct run.

    python tests/fuzz_run.py [--count 10000] [--seed 1] [--only NUMBER]

Mutation NUMBER of a seed is always the same.  Each runs in this process through the command line's
own edge, with a bound of processor time and of memory; a watchdog interrupts what passes one, and
names it.  What is wrong: another exit code than 0, 1 or 2; a 2 without exactly one line
`cygsim: WHERE: WHAT; ALLOWED`; a line that owns to an error of the program; and another result
where the mutation leaves the meaning as it was.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import gc
import io
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fuzz_inputs import FILE, Input, inputs, words_without_a_file
from fuzz_mutations import ODD_TOKENS, SAME, Draw, mutate

from scenarios.cli_boundary import run as command_line
from sim.streams import Replication

CPU_LIMIT_S = 20.0  # of one mutation; the slowest that is right takes 3 -- chosen
WALL_LIMIT_S = 200.0  # the same where it waits for something -- chosen
MEMORY_LIMIT_BYTES = 1 << 30  # on top of what the process had -- chosen
_LINE = re.compile(r"cygsim: [^\n]+: [^\n]+; [^\n]+\n")
_OWN_ERRORS = ("internal error", "shows where it arose", "Traceback")
_NOTE = re.compile(r"cygsim: (shown is|[^\n]* are not looked at)")


@dataclass(frozen=True)
class Case:
    """One mutation. wanted: (code, stdout) of the good file where the meaning is the same."""

    label: str
    words: tuple[str, ...]
    file: bytes | None
    wanted: tuple[int, str] | None = None


class Watchdog:
    """Interrupts the main thread when a case takes too long or too much memory."""

    def __init__(self) -> None:
        self.why = ""
        self._label = ""
        self._began: tuple[float, float, int] | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    @contextlib.contextmanager
    def over(self, label: str) -> Iterator[None]:
        self._label, self.why = label, ""
        # a shell lets what runs in the background ignore Ctrl-C, and interruptions with it
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self._began = time.process_time(), time.monotonic(), _resident_bytes()
        try:
            yield
        finally:
            self._began = None
            signal.signal(signal.SIGINT, before)

    def _watch(self) -> None:
        while True:
            time.sleep(0.05)
            if self._began is None:
                continue
            cpu, wall, resident = self._began
            used = time.process_time() - cpu
            if used > CPU_LIMIT_S or time.monotonic() - wall > WALL_LIMIT_S:
                why = f"not done after {used:.0f} s of processor time"
            elif _resident_bytes() - resident > MEMORY_LIMIT_BYTES:
                why = f"more than {MEMORY_LIMIT_BYTES >> 20} MiB"
            else:
                continue
            if self.why and used > 3 * CPU_LIMIT_S:  # it does not listen
                os.write(2, f"{self._label}: {why}, cannot be interrupted\n".encode())
                os._exit(1)
            if not self.why:
                self.why = why
                _thread.interrupt_main()


def _resident_bytes() -> int:
    """Memory that the process has now [bytes]; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except OSError:
        return 0


class Fuzzer:
    """Makes the mutations of a seed, and runs them in a folder of its own.

    codes: exit code -> how often -- output
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.codes: Counter[int] = Counter()
        self._folder = folder
        self._inputs = inputs()
        self._watchdog = Watchdog()
        self._right: dict[tuple[str, tuple[str, ...]], tuple[int, str]] = {}

    def case(self, number: int) -> Case:
        """Mutation `number` of the seed."""
        draw = Replication(self.seed, number).stream("tests/fuzz")
        label = f"seed {self.seed}, mutation {number}"
        kind = draw.random()
        if kind < 0.06:
            words = words_without_a_file(draw, ODD_TOKENS)
            return Case(f"{label}: words", tuple(words), None)
        source = self._inputs[int(draw.integers(0, len(self._inputs)))]
        command = source.commands[int(draw.integers(0, len(source.commands)))]
        path = str(self._folder / source.name)
        words = tuple(word.replace(FILE, path) for word in command)
        if kind < 0.16:
            return self._same(label, source, words, draw)
        if kind < 0.17:
            words = tuple(word.replace(FILE, str(self._folder)) for word in command)
            return Case(f"{label}: a folder for {source.name}", words, None)
        names, data = mutate(source.kind, source.data, draw)
        return Case(f"{label}: {source.name}: {names}", words, data)

    def _same(self, label: str, source: Input, words: tuple[str, ...], draw: Draw) -> Case:
        """A mutation that leaves the meaning as it was."""
        known = SAME[source.kind]
        change = known[int(draw.integers(0, len(known)))]
        key = source.name, words
        if key not in self._right:
            code, out, err = self._run(f"{label}: {source.name} as it is", words, source.data)
            assert code in (0, 1), err  # of a good file
            self._right[key] = code, out
        name = f"{label}: {source.name}: {change.__name__}, the same in meaning"
        return Case(name, words, change(source.data, draw), self._right[key])

    def wrong(self, case: Case) -> str | None:
        """What is wrong with how the command took the case; None if nothing is."""
        code, out, err = self._run(case.label, case.words, case.file)
        self.codes[code] += 1
        if self._watchdog.why:
            return self._watchdog.why
        if any(text in err for text in _OWN_ERRORS):
            return err.strip()[:1000]
        if code == 2 and not _LINE.fullmatch(err):
            return f"2 without one line: {err[:300]!r}"
        if code not in (0, 1, 2):
            return f"exit code {code}: {err[:1000]}"
        if case.wanted is not None and (code, out) != case.wanted:
            return f"another result: {code} and {out[:300]!r}, not {case.wanted[1][:300]!r}; {err}"
        return None

    def _run(self, label: str, words: tuple[str, ...], data: bytes | None) -> tuple[int, str, str]:
        if data is not None:
            path = next(word for word in words if str(self._folder) in word)
            Path(path.partition("@")[2] or path).write_bytes(data)
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        try:
            with (
                self._watchdog.over(label),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = command_line(list(words))
        except KeyboardInterrupt:
            code = 130
        except BaseException:  # noqa: BLE001 -- nothing may come this far: it is a finding
            code = -1
            err.write(traceback.format_exc())
        gc.enable()  # a replay turns it off
        gc.unfreeze()
        return code, _text(out), _text(err)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode("utf-8", "backslashreplace")


def main() -> int:
    """Run the mutations; 1 if one was taken wrongly."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="how many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one of them, by its number")
    asked = parser.parse_args()
    numbers = range(asked.count) if asked.only is None else [asked.only]
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(asked.seed, Path(folder))
        for number in numbers:
            case = fuzzer.case(number)
            if (wrong := fuzzer.wrong(case)) is not None:
                found += 1
                print(f"{case.label}\n    {' '.join(case.words)!r}\n    {wrong}", flush=True)
                if asked.only is not None and case.file is not None:
                    print(f"    {case.file[:2000]!r}")
            if number % 500 == 499:
                print(f"{number + 1} mutations, {found} wrong", file=sys.stderr, flush=True)
    codes = ", ".join(f"{count} ended with {code}" for code, count in sorted(fuzzer.codes.items()))
    print(f"seed {asked.seed}: {len(numbers)} mutations, {found} wrong; {codes}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
