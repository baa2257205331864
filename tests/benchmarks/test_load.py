"""
Tests of L{benchmarks.load}: what needs no other process.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.load.request import SIZE, Request


class RequestTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        for request in (
            Request(7, "send", seconds=0.25),
            Request(10**9, "send", size=10**10),
            Request(5, "answer", size=128),
            Request(3, "receive", skip=0.12345678901234567, until=12.345678901234567),
        ):
            data = request.encode()
            self.assertEqual(SIZE, len(data))
            self.assertEqual(request, Request.decode(data))

    def test_anything_else(self) -> None:
        for data in (b"GET / HTTP/1.1", b"[]", b'{"do": "fly"}', b"\xff" * SIZE):
            self.assertRaises(ValueError, Request.decode, data)
