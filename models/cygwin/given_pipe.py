"""How a parent hears of its child's end from 1.5.18 on: a pipe that is made after the child.

The parent makes a pipe, gives its write end to the child that already exists, and has a thread wait
for the end of the pipe.  Which handle the child has is written into its pinfo.  An exec gives the
new image a handle of the same write end, so the parent sees one process under one pid; a stub
without a Cygwin parent becomes the parent of what it started.

A thread that has seen its child's end is kept and woken for the next child.

Source: calls of the logs of 1.5.18 (pinfo.cc, sigproc.cc, cygthread.cc of 2005-07); where the
handle stands in the pinfo is assumed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from models.cygwin import children
from models.cygwin.children import Child
from models.cygwin.exec_pipe import EXIT_CODE_SET, exit_code
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.objects import PipeEnd
from models.win32.thread import Thread
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess
    from models.cygwin.process_table import Record
    from models.win32.memory import Memory

WR_PROC_PIPE = 48  # word of a pinfo


@dataclass(slots=True, eq=False)
class IdleWaiter:
    """A thread that waits for the end of one child after the other.

    child: whose end it waits for -- state
    start: event by which it hears of the next -- constant
    """

    child: Child
    start: int = 0


@dataclass(slots=True, eq=False)
class Waits:
    """Of one process. Every field is *state*.

    asked: events of who waits until the signal thread has heard of something
    h_held: event by which a fork lets signals come again, 0 before the first
    idle: threads that have seen the end of a child
    signal: that is ending the process, 0 for none
    """

    asked: list[int] = field(default_factory=list)
    h_held: int = 0
    idle: list[IdleWaiter] = field(default_factory=list)
    signal: int = 0


def watch(p: CygwinProcess, child: Child) -> Steps:
    """Give a child the end of a pipe and wait for it in a thread. Runs in the parent's main thread.

    A child that has ended already is noticed like any other.
    """
    k, me = p.k, p.me
    read_end, write_end = k.create_pipe(me, p.version.exec_pipe_bytes, False, "exec pipe")
    given = 0
    with suppress(Win32Error):
        given = k.duplicate_handle(
            me, CURRENT_PROCESS, write_end, child.h_process, close_source=True
        )
    child.pinfo.write32(WR_PROC_PIPE, given)
    child.rd_proc_pipe = read_end
    if p.waits.idle:
        waiter = p.waits.idle.pop(0)
        waiter.child = child
        yield from k.set_event(me, waiter.start)
        return
    waiter = IdleWaiter(child)
    yield from k.create_thread(me, lambda thread: _proc_waiter(p, thread, waiter), role="waitproc")


def own_end(pinfo: Memory | Record) -> int:
    """The handle by whose end the parent learns of this process's; 0 without a Cygwin parent."""
    return pinfo.read32(WR_PROC_PIPE)


def hand_on(p: CygwinProcess, h_process: int) -> None:
    """An exec: the new image has the write end too, and knows it from the pinfo that it takes.

    The own handle goes with this process.
    """
    end = own_end(p.pinfo)
    if end:
        given = p.k.duplicate_handle(p.me, CURRENT_PROCESS, end, h_process)
        p.pinfo.write32(WR_PROC_PIPE, given)


def _proc_waiter(p: CygwinProcess, thread: Thread, waiter: IdleWaiter) -> Steps:
    """Steps of such a thread: read until the pipe ends, take the code, wait for the next child."""
    k = p.k
    ended = k.create_event(thread, manual=True, role="thread ended")
    waiter.start = k.create_event(thread, manual=False, role="thread start")
    while True:
        child = waiter.child
        end = k.object(thread, child.rd_proc_pipe)
        assert isinstance(end, PipeEnd)
        while end.pipe.write_end.refs or end.pipe.held_bytes:
            yield from k.read_file(thread, child.rd_proc_pipe, 1)
        k.close_handle(thread, child.rd_proc_pipe)
        child.rd_proc_pipe = 0
        child.code = 0
        with suppress(Win32Error):  # the handle of a fork child that died is closed already
            if not child.pinfo.read32(EXIT_CODE_SET):
                yield from k.wait_for_single_object(thread, child.h_process)
            child.code = exit_code(p, thread, child)
        yield from _tell(p, thread, child)
        yield from k.reset_event(thread, ended)
        p.waits.idle.append(waiter)
        yield from k.wait_for_single_object(thread, waiter.start)


def _tell(p: CygwinProcess, thread: Thread, child: Child) -> Steps:
    """The signal thread reaps; where signals are over (a stub), who waits is told at once."""
    child.zombie = True
    if not p.exiting:
        yield from children.tell_signal_thread(p, thread)
    elif p.waiter is not None and p.waiter.pid == child.pid:
        p.children.remove(child)
        p.waiter.code = child.code
        yield from p.k.set_event(thread, p.h_wait)


def let_signals_come(p: CygwinProcess) -> Steps:
    """The end of a fork of 1.7.7: the signal thread goes on, and says that it has heard."""
    if not p.waits.h_held:
        p.waits.h_held = p.k.create_event(p.me, manual=False, role="signals held")
    yield from p.k.set_event(p.me, p.waits.h_held)
    yield from children.ask_signal_thread(p)
