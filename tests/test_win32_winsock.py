"""Handing a socket to another process by WSADuplicateSocket and WSASocket."""

from __future__ import annotations

import pytest
from machine import FREE, run

from models.win32.errors import Win32Error
from models.win32.image import Image
from models.win32.objects import File
from models.win32.process_calls import CREATE_SUSPENDED
from models.win32.winsock_calls import PROTOCOL_INFO_BYTES, WSAEINVAL


def refused(code, call, *arguments):
    with pytest.raises(Win32Error) as caught:
        call(*arguments)
    assert caught.value.code == code


def test_information_makes_the_same_socket_in_its_target_process(kernel):
    made = []

    def child(k, me):
        made.append(k.object(me, k.wsa_socket(me, infos[0])))
        yield from k.work(me, 0)

    infos = []

    def main(k, me):
        socket = File("socket")
        h = k.new_handle(me, socket, False)
        _, t, pid = yield from k.create_process(me, Image("c", (), child), True, CREATE_SUSPENDED)
        infos.append(k.wsa_duplicate_socket(me, h, pid))
        assert len(infos[0]) == PROTOCOL_INFO_BYTES == 372
        yield from k.resume_thread(me, t)
        yield from k.sleep(me, 1)
        assert made == [socket]

    run(kernel, main)


def test_information_for_another_process_is_10022(kernel):
    def main(k, me):
        h = k.new_handle(me, File("socket"), False)
        info = k.wsa_duplicate_socket(me, h, me.process.pid + 4)
        refused(WSAEINVAL, k.wsa_socket, me, info)
        yield from k.work(me, 0)

    run(kernel, main)


@pytest.mark.parametrize("info", [bytes(372), b"\xff" * 372, bytes(4)])
def test_stale_bytes_are_10022(kernel, info):
    def main(k, me):
        k.wsa_duplicate_socket(me, k.new_handle(me, File("socket"), False), me.process.pid)
        refused(WSAEINVAL, k.wsa_socket, me, info)
        yield from k.work(me, 0)

    run(kernel, main)


def test_what_is_no_socket_is_6(kernel):
    def main(k, me):
        for handle in (400, k.create_event(me, manual=True)):
            refused(6, k.wsa_duplicate_socket, me, handle, me.process.pid)
        yield from k.work(me, 0)

    run(kernel, main)


def test_both_calls_take_their_time_and_leave_rows(kernel, trace):
    def main(k, me):
        h = k.new_handle(me, File("socket"), False)
        k.wsa_socket(me, k.wsa_duplicate_socket(me, h, me.process.pid))
        refused(WSAEINVAL, k.wsa_socket, me, bytes(372))
        yield from k.work(me, 0)

    run(kernel, main, costs=FREE._replace(winsock_us=100.0))
    assert kernel.engine.now == 300
    rows = [row for row in trace.rows() if row.name.startswith("WSA")]
    assert [(row.name, row.args.get("err", 0)) for row in rows] == [
        ("WSADuplicateSocket", 0),
        ("WSASocket", 0),
        ("WSASocket", WSAEINVAL),
    ]
