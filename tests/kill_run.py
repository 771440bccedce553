"""Kills runs and their workers at random moments, harms what they wrote, and lets them go on.

`python tests/kill_run.py --count 200` (`make kills`).  However often it is killed, a run ends with
the bytes of one that nobody disturbed; and what a writer has been told is in its journal is there
after the writer is killed, in the middle of a write too.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil

from sim.journal import FILE, Journal
from sim.streams import Replication

ROOT = Path(__file__).resolve().parent.parent
RUN = [
    *("run", "fixed_address", "--scheme", "blocking", "--scheme", "shared-memory", "--seed", "5"),
    *("--set", "dlls=1", "--set", "trees=20", "--replications", "40", "--json"),
]
KILLS_A_ROUND = 8
WRITER = """
import os, sys
from itertools import count
from pathlib import Path
from sim.journal import Journal

with Journal(Path(sys.argv[1]), "kills") as journal:
    for number in count(int(sys.argv[2])):
        journal.add([(str(number), b"%d " % number * 200)])
        os.write(1, b"%d\\n" % number)
"""


class Rounds:
    """Runs that are killed again and again, in folders below `folder`.

    done: how often which kind of kill and harm was done -- output
    """

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder = folder
        self.done: Counter[str] = Counter()
        self.rng = rng
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        self.whole = self._ended(self._start(folder / "whole", 1))
        self._files = files(folder / "whole")

    def round(self, number: int, kills: int) -> None:
        """Kill one run so often; AssertionError if it does not end as the undisturbed did."""
        out = self.folder / f"killed-{number}"
        for _ in range(kills):
            process = self._start(out, int(self.rng.integers(1, 3)))
            if self._wait_for_a_moment(process, out):
                self._kill(process, out)
        for _ in range(3):
            process = self._start(out, int(self.rng.integers(1, 3)))
            ended = self._ended(process, out)
            if ended is not None:
                assert ended == self.whole, f"{out}: another document"
                assert files(out) == self._files, f"{out}: other files"
                return
        raise AssertionError(f"{out}: does not end")

    def _start(self, out: Path, jobs: int) -> subprocess.Popen[bytes]:
        words = [*RUN, "--jobs", str(jobs), "--out", str(out)]
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", "scenarios", *words], cwd=ROOT, stdout=stdout, stderr=stderr
            )

    def _ended(self, process: subprocess.Popen[bytes], out: Path | None = None) -> bytes | None:
        """The document of a run that is let alone; None if it asked for a hand and got it."""
        process.wait()
        said = self._stderr.read_text(encoding="utf-8").splitlines()
        assert all(line.startswith("cygsim: ") for line in said), said
        if process.returncode == 0:
            return re.sub(rb'"ran": .*', b"", self._stdout.read_bytes(), flags=re.DOTALL)
        assert out is not None, said
        assert process.returncode == 2, said
        if "another run" in said[-1] or "begin anew" in said[-1]:
            self.done["journal deleted, as the message said"] += 1
            (out / FILE).unlink()
        else:
            assert "killed its process twice" in said[-1], said
        return None

    def _wait_for_a_moment(self, process: subprocess.Popen[bytes], out: Path) -> bool:
        """Some way into the run, or at any time at all; whether it is still there."""
        if self.rng.random() < 0.2:
            time.sleep(self.rng.uniform(0, 3))
            return process.poll() is None
        more = self.rng.integers(0, 60_000)
        log = out / f"{FILE}-wal"
        began = log.stat().st_size if log.exists() else 0
        while process.poll() is None:
            if log.exists() and log.stat().st_size >= began + more:
                time.sleep(self.rng.uniform(0, 0.01))
                return process.poll() is None
            time.sleep(0.0005)
        return False

    def _kill(self, process: subprocess.Popen[bytes], out: Path) -> None:
        """Kill a worker and see the run end; or the run, and harm its journal perhaps."""
        workers = psutil.Process(process.pid).children()
        if workers and self.rng.random() < 0.5:
            self.done["worker killed"] += 1
            workers[self.rng.integers(len(workers))].kill()
            if self._wait_for_a_moment(process, out):
                self.done["and the run"] += 1
                process.kill()
        else:
            self.done["run killed"] += 1
            process.kill()
        process.wait()
        psutil.wait_procs(workers)  # they see that it is gone
        for path in (out / f"{FILE}-wal", out / FILE):
            if path.exists() and self.rng.random() < 0.3:
                self._harm(path)

    def _harm(self, path: Path) -> None:
        """Cut the end of a file off, or write over some of it."""
        content = bytearray(path.read_bytes())
        at = len(content) - int(self.rng.integers(0, min(20_000, len(content)) + 1))
        if self.rng.random() < 0.5:
            self.done[f"{path.name} cut"] += 1
            del content[at:]
        else:
            self.done[f"{path.name} overwritten"] += 1
            content[at : at + 16] = self.rng.bytes(len(content[at : at + 16]))
        path.write_bytes(content)


def files(folder: Path) -> dict[str, bytes]:
    """All that a run wrote, but for its journal and wall-clock figures."""
    return {
        path.name: re.sub(rb'"ran": .*', b"", path.read_bytes(), flags=re.DOTALL)
        for path in folder.iterdir()
        if path.suffix in (".csv", ".json", ".svg")
    }


def kill_writer(folder: Path, kills: int, rng: np.random.Generator) -> int:
    """Kill so often what does nothing but write; how many records were acknowledged and are whole.

    Raises AssertionError if one is missing, or is not what was written.
    """
    told = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(told)],
            cwd=ROOT, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        rest = process.communicate()[0].split(b"\n")
        told = int(rest[-2]) + 1 if len(rest) > 1 else told + 1  # the last line may be torn
        with Journal(folder, "kills") as journal:
            found = journal.finished()
            assert not journal.damaged
            assert journal.set_aside is None
            missing = [number for number in range(told) if str(number) not in found]
            assert not missing, missing
            assert journal.content(str(told - 1)) == b"%d " % (told - 1) * 200
    return told


def main() -> int:
    """Kill, and print what was done; 1 if something was lost."""
    words = argparse.ArgumentParser()
    words.add_argument("--count", type=int, default=200)
    words.add_argument("--seed", type=int, default=1)
    asked = words.parse_args()
    rng = Replication(asked.seed, 0).stream("tests/kills")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rounds = Rounds(folder, rng)
        killed = number = 0
        while killed < asked.count:
            rounds.round(number, min(KILLS_A_ROUND, asked.count - killed))
            killed = sum(rounds.done[k] for k in ("worker killed", "and the run", "run killed"))
            number += 1
        (folder / "writer").mkdir()
        told = kill_writer(folder / "writer", asked.count, rng)
    for what, count in sorted(rounds.done.items()):
        print(f"{count:6} {what}")
    print(f"{number} runs killed {killed} times: each ended with the bytes of an undisturbed one")
    print(f"a writer killed {asked.count} times: all {told} records that it was told of are whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
