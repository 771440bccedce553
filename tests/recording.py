"""Small traces written by hand, and what tests look at in the programs made of them."""

from __future__ import annotations

import json
from pathlib import Path

from unit_cost_executor import UnitCostExecutor

from models.cygwin.compile_trace import load_workload
from models.cygwin.workload import OP_NAMES, Workload

TABLE = [[0, "t", 0, 0], [1, "t", 0, 0], [2, "t", 0, 0]]


class Recording:
    """Writes a small trace by hand; each call is a row, a millisecond after the last."""

    def __init__(self, path: Path, stdio: list = TABLE) -> None:
        self.path, self.rows = path, []
        self.tables = {1: {entry[0]: entry for entry in stdio}}
        self.add(0, "env_def", env=1, lens=[6])
        self.exec(1, "sh", "bash")

    def add(self, who: int, ev: str, **fields: object) -> Recording:
        self.rows.append({"t": round(0.001 * len(self.rows), 6), "pid": who, "ev": ev, **fields})
        return self

    def table(self, who: int) -> list:
        return [list(entry) for entry in self.tables[who].values()]

    def fork(self, who: int, child: int, ev: str = "fork", **fields: object) -> Recording:
        self.tables[child] = {fd: list(entry) for fd, entry in self.tables[who].items()}
        return self.add(who, ev, child=child, prog="sh", fds=self.table(who), **fields)

    def exec(self, who: int, prog: str, img: str | None = None, **fields: object) -> Recording:
        self.tables[who] = {fd: e for fd, e in self.tables[who].items() if not e[3]}
        fds = self.table(who)
        return self.add(who, "exec", prog=prog, img=img or prog, argv=[4], env=1, fds=fds, **fields)

    def exit(self, who: int, **fields: object) -> Recording:
        return self.add(who, "exit", prog="sh", **{"code": 0, **fields})

    def wait(self, who: int, child: int) -> Recording:
        return self.add(who, "wait_begin", **{"for": -1}).add(who, "wait_end", got=child, us=5)

    def open(self, who: int, fd: int, k: str = "f", ob: int = 0, **fields: object) -> Recording:
        return self.opened(who, "fd_open", fd, k, ob, **fields)

    def opened(
        self, who: int, ev: str, fd: int, k: str, ob: int, cx: int = 0, **fields: object
    ) -> Recording:
        self.tables[who][fd] = [fd, k, ob, cx]
        return self.add(who, ev, fd=fd, k=k, ob=ob, cx=cx, **fields)

    def dup(self, who: int, fd: int, source: int, cx: int = 0) -> Recording:
        _, k, ob, _ = self.tables[who][source]
        return self.opened(who, "fd_dup", fd, k, ob, cx, **{"from": source})

    def close(self, who: int, fd: int) -> Recording:
        _, k, ob, _ = self.tables[who].pop(fd)
        return self.add(who, "fd_close", fd=fd, k=k, ob=ob)

    def cloexec(self, who: int, fd: int, on: int) -> Recording:
        self.tables[who][fd][3] = on
        return self.add(who, "fd_cloexec", fd=fd, on=on)

    def pipe(self, who: int, fd: int, wfd: int, ob: int, cx: int = 0) -> Recording:
        self.tables[who][wfd] = [wfd, "p", ob, cx]
        return self.opened(who, "pipe", fd, "p", ob, cx, wfd=wfd)

    def moved(self, who: int, ev: str, fd: int, n: int, **fields: object) -> Recording:
        _, k, ob, _ = self.tables[who][fd]
        return self.add(who, ev, fd=fd, k=k, ob=ob, n=n, c=1, us=3, **fields)

    def load(self) -> Workload:
        head = {
            **{"ev": "trace", "schema": "proctrace/1", "name": "by hand", "sh": "bash"},
            **{"cpus": 2, "stdio": "ttt"},
        }
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row["ev"]] = counts.get(row["ev"], 0) + 1
        tail = {"t": 9, "pid": 0, "ev": "end", "events": len(self.rows), "counts": counts}
        text = "\n".join(json.dumps(row) for row in (head, *self.rows, tail))
        self.path.write_text(text, encoding="utf-8")
        return load_workload(self.path)


def ops(workload: Workload, pid: int, *names: str) -> list[tuple]:
    """The ops of one process by name, WORK only if it is asked for."""
    wanted = set(names) or set(OP_NAMES) - {"WORK"}
    return [
        (OP_NAMES[op[0]], *op[1:]) for op in workload.programs[pid] if OP_NAMES[op[0]] in wanted
    ]


def finishes(workload: Workload, capacity: int, creation_us: float = 1000.0) -> UnitCostExecutor:
    run = UnitCostExecutor(workload, capacity, creation_us)
    assert run.run() == []
    assert run.exited == workload.programs.keys()
    assert run.counted["short reads"] == 0
    assert run.counted["failed_execs"] == workload.counts.failed_execs
    return run
