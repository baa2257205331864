"""
The visitor's side: does what it is told, one line of JSON a command, and answers each
with a line of JSON. It ends when its standard input does.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.figures import fairness, percentile
from benchmarks.load.exchanges import Failed, Visitors
from benchmarks.load.handshakes import Handshakes
from benchmarks.load.pings import ask, ping
from benchmarks.load.request import Request
from benchmarks.load.sharing import share
from benchmarks.load.transfer import prepare, receive, send
from benchmarks.running.ports import LOOPBACK

Answer = dict[str, Any]

_WARM_UP = 0.05
_PAUSE = 0.001
_CONNECT_TIMEOUT = 10.0


def connect(port: int) -> socket.socket:
    """
    Connect as a visitor.
    """
    connection = socket.create_connection((LOOPBACK, port), _CONNECT_TIMEOUT)
    connection.settimeout(None)
    prepare(connection)
    return connection


def times(taken: list[float]) -> Answer:
    """
    Sum up how long things took.
    """
    return {
        "count": len(taken),
        "p50": percentile(taken, 0.5),
        "p99": percentile(taken, 0.99),
        "most": max(taken),
    }


class Worker:
    """
    The commands. Each is a method, and its arguments are the command's.
    """

    def __init__(self) -> None:
        self._crowd: Visitors | None = None
        self._random = Random(1)

    def down(
        self,
        port: int,
        number: int,
        seconds: float | None = None,
        size: int | None = None,
        skip: float = 0.0,
        until: float | None = None,
        rate: float | None = None,
    ) -> Answer:
        """
        Receive a bulk stream from the target.
        """
        with connect(port) as connection:
            connection.sendall(Request(number, "send", seconds, size).encode())
            moved = receive(connection, skip=skip, until=until, rate=rate)
            return moved._asdict()

    def up(
        self,
        port: int,
        number: int,
        seconds: float | None = None,
        size: int | None = None,
        skip: float = 0.0,
        until: float | None = None,
    ) -> Answer:
        """
        Send a bulk stream to the target, which tells what it got.
        """
        with connect(port) as connection:
            connection.sendall(
                Request(number, "receive", skip=skip, until=until).encode()
            )
            return {"bytes": send(connection, seconds=seconds, size=size)}

    def ping(
        self, port: int, seconds: float, size: int = 64, interval: float = 0.0
    ) -> Answer:
        """
        Exchange small words with the target on one connection.
        """
        with connect(port) as connection:
            ping(connection, size=size, seconds=min(_WARM_UP, seconds))
            return times(
                ping(connection, size=size, seconds=seconds, interval=interval)
            )

    def ask(self, port: int, number: int, seconds: float, size: int = 128) -> Answer:
        """
        Ask the target for bulk questions in two writes, on one connection.
        """
        with connect(port) as connection:
            connection.sendall(Request(number, "answer", size=size).encode())
            ask(connection, size=size, seconds=min(_WARM_UP, seconds), pause=_PAUSE)
            return times(ask(connection, size=size, seconds=seconds, pause=_PAUSE))

    def visits(self, port: int, at_once: int, seconds: float, skip: float) -> Answer:
        """
        Have visitors come and go, and count them.
        """
        visitors = Visitors(port, stay=False)
        begin = time.monotonic()
        visitors.come(at_once=at_once, count=None, seconds=seconds)
        counted = [
            each.seconds
            for each in visitors.done
            if begin + skip <= each.ended < begin + seconds
        ]
        if not counted:
            raise Failed("no visitor was served in time")
        return {
            "all": len(visitors.done),
            "a_second": len(counted) / (seconds - skip),
            **times(counted),
        }

    def visit_each(self, ports: list[int]) -> Answer:
        """
        Have one visitor go to each port, and hear back what it says.
        """
        for port in ports:
            with connect(port) as connection:
                ping(connection, size=64, seconds=0.0)
        return {"count": len(ports)}

    def crowd(self, port: int, count: int, at_once: int) -> Answer:
        """
        Have visitors come and stay.
        """
        self._crowd = visitors = Visitors(port, stay=True)
        begin = time.monotonic()
        visitors.come(at_once=at_once, count=count, seconds=None)
        return {"count": len(visitors.staying), "seconds": time.monotonic() - begin}

    def murmur(self, at_once: int, seconds: float) -> Answer:
        """
        Have random ones of the crowd talk.
        """
        assert self._crowd is not None
        self._crowd.done.clear()
        self._crowd.talk(at_once=at_once, seconds=seconds, random=self._random)
        return times([each.seconds for each in self._crowd.done])

    def disperse(self) -> Answer:
        """
        Have the crowd leave.
        """
        if self._crowd is not None:
            self._crowd.go()
            self._crowd = None
        return {}

    def share(self, port: int, streams: int, seconds: float) -> Answer:
        """
        Have many bulk streams at once, and see what each gets.
        """
        got = share(port, streams, seconds)
        if not any(got):
            raise ConnectionError("no stream got anything")
        return {"fairness": fairness(got), "bytes": sum(got)}

    def handshakes(
        self,
        port: int,
        ca: str,
        version: str,
        resume: bool,
        count: int,
        alpn: str | None = None,
    ) -> Answer:
        """
        Make TLS handshakes.
        """
        handshakes = Handshakes(port, ca=ca, version=version, alpn=alpn)
        return times(handshakes.make(count, resume=resume))


def main() -> None:
    """
    Run.
    """
    worker = Worker()
    for line in sys.stdin:
        arguments = json.loads(line)
        command: Callable[..., Answer] = getattr(worker, arguments.pop("do"))
        try:
            answer = command(**arguments)
        except (OSError, Failed, ValueError) as error:
            answer = {"error": f"the visitor: {type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
