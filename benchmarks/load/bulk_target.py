"""
The target of bulk streams: each connection has a process of its own.

It prints its port, and for each connection what was moved, as lines of JSON. It
ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress

from benchmarks.load.pings import answer
from benchmarks.load.request import SIZE, Request
from benchmarks.load.transfer import prepare, receive, receive_exactly, send
from benchmarks.running.ports import LOOPBACK


def serve(connection: socket.socket, request: Request) -> dict[str, object]:
    """
    Do what a visitor asks.

    @return: what was moved.
    """
    if request.do == "send":
        return {"bytes": send(connection, seconds=request.seconds, size=request.size)}
    if request.do == "answer":
        assert request.size is not None
        return {"bytes": answer(connection, request.size)}
    return receive(connection, skip=request.skip, until=request.until)._asdict()


def serve_one(connection: socket.socket) -> None:
    """
    Serve a connection, and report.
    """
    prepare(connection)
    try:
        request = Request.decode(receive_exactly(connection, SIZE))
    except (OSError, ValueError):
        # Nobody waits for a report.
        return
    try:
        report = serve(connection, request)
    except OSError as error:
        report = {"error": f"the target: {type(error).__name__}: {error}"}
    # One write, so that reports of several processes do not mix; and before the
    # visitor can know that it is over.
    report["number"] = request.number
    os.write(1, json.dumps(report).encode() + b"\n")
    with suppress(OSError):
        connection.close()


def main() -> None:
    """
    Run.
    """
    # Children that have ended leave nothing behind.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.create_server((LOOPBACK, 0), backlog=1024) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in readable:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                serve_one(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
