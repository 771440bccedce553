"""Random number streams of one replication, one for each purpose.

A stream depends on the seed, the number of the replication and the stream's name, and on nothing
else: not on the order in which streams are asked for, not on Python's hash seed, not on what other
streams drew.  Two designs of one replication number therefore meet the same random numbers
(common random numbers), purpose by purpose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

_NAME_WORDS = 4  # 128 bits of the name's SHA-256 go into the seed: no collision in practice


class Replication:
    """One replication: its seed, its number and its streams.

    Streams are named by floor and purpose (`"win32/CreateProcess"`, `"machine/antivirus"`), never
    by scheme.
    """

    __slots__ = ("_streams", "made", "number", "seed")

    def __init__(self, seed: int, number: int, made: Callable[[Any], object] | None = None) -> None:
        """Make replication `number` (0, 1, ...) of the experiment with `seed`.

        `made` is told of each model that is built for it.  Raises ValueError if seed or number is
        negative.
        """
        for name, value in (("seed", seed), ("replication number", number)):
            if value < 0:
                raise ValueError(f"{name} ({value}) must not be negative")
        self.seed = seed  # of the whole experiment -- constant
        self.number = number  # of this replication, from 0 -- constant
        self.made = made  # None for nobody -- input
        self._streams: dict[str, np.random.Generator] = {}

    def stream(self, name: str) -> np.random.Generator:
        """The stream of this name; a second call returns the same one, wherever it stands now."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = self.fresh(name)
        return stream

    def fresh(self, name: str) -> np.random.Generator:
        """A generator at the beginning of the stream of this name, whoever drew from it before."""
        digest = hashlib.sha256(name.encode("utf-8")).digest()
        words = [int.from_bytes(digest[4 * i : 4 * i + 4], "little") for i in range(_NAME_WORDS)]
        key = (self.number, *words)
        return np.random.Generator(
            np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key))
        )

    def __repr__(self) -> str:
        return f"Replication(seed={self.seed}, number={self.number})"
