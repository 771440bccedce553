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
from contextlib import suppress
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
KILLED = "worker killed", "worker killed and then the run", "run killed"
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
        process = self._start(folder / "whole", 1)
        began = _when(process, folder / "whole" / f"{FILE}-wal")
        self._writes_s = _when(process, folder / "whole" / "results.csv") - began
        self.whole = self._ended(process)
        self._files = files(folder / "whole")

    def round(self, number: int, kills: int) -> None:
        """Kill one run so often; AssertionError if it does not end as the undisturbed did."""
        out = self.folder / f"killed-{number}"
        for _ in range(kills):
            process = self._start(out, self._jobs())
            if self._wait_for_a_moment(process, out) and self._kill(process, out):
                break  # it got over that, and is at its end
        for _ in range(3):
            if self._ends_alike(self._start(out, self._jobs()), out):
                return
        raise AssertionError(f"{out}: does not end")

    def kills(self) -> int:
        """How often something was killed."""
        return sum(self.done[what] for what in KILLED)

    def _jobs(self) -> int:
        return 1 if self.rng.random() < 0.3 else 2

    def _ends_alike(self, process: subprocess.Popen[bytes], out: Path) -> bool:
        """Whether a run ends by itself; AssertionError if it is not as the undisturbed did."""
        ended = self._ended(process, out)
        if ended is None:
            return False
        assert ended == self.whole, f"{out}: another document"
        assert files(out) == self._files, f"{out}: other files"
        return True

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
        """Some way into the runs, or at any time at all; whether it is still there."""
        if self.rng.random() < 0.2:
            time.sleep(self.rng.uniform(0, 2 * self._writes_s))
        else:
            _when(process, out / f"{FILE}-wal", psutil.Process(process.pid).create_time())
            time.sleep(self.rng.uniform(0, self._writes_s / 2))
        return process.poll() is None

    def _kill(self, process: subprocess.Popen[bytes], out: Path) -> bool:
        """Kill a worker, and the run, or one of them; whether the run has come to its end."""
        workers = psutil.Process(process.pid).children()
        what = KILLED[2]
        if workers and self.rng.random() < 0.8:
            workers[self.rng.integers(len(workers))].kill()
            what = KILLED[self.rng.integers(2)]
        self.done[what] += 1
        if what == KILLED[0]:
            return self._ends_alike(process, out)
        if what == KILLED[1]:
            time.sleep(self.rng.uniform(0, 0.1))
        process.kill()
        process.wait()
        psutil.wait_procs(workers)  # they see that it is gone
        for path in (out / f"{FILE}-wal", out / FILE):
            if path.exists() and self.rng.random() < 0.3:
                self._harm(path)
        return False

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


def _when(process: subprocess.Popen[bytes], path: Path, after: float = 0) -> float:
    """The time at which a file is written that the process writes after a time; or it ends [s]."""
    while process.poll() is None:
        with suppress(FileNotFoundError):
            if path.stat().st_mtime > after:
                break
        time.sleep(0.0005)
    return time.time()


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
        number = 0
        while (killed := rounds.kills()) < asked.count:
            rounds.round(number, min(KILLS_A_ROUND, asked.count - killed))
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
