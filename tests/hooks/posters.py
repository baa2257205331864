"""
Something that posts, in the hands of a test.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from reitunnel.hooks.posting import Poster, PostFailed


class ManualPoster(Poster):
    """
    Posts nothing: the test answers.

    @ivar bodies: what was posted.
    @ivar answers: those that are awaited.
    @ivar closed: how often it was closed.
    """

    def __init__(self) -> None:
        super().__init__(Clock(), "http://localhost:1/?secret", timeout=1.0)
        self.bodies: list[Any] = []
        self.answers: list[Deferred[bytes]] = []
        self.closed = 0

    def post(self, body: bytes) -> Deferred[bytes]:
        self.bodies.append(json.loads(body))
        answer: Deferred[bytes] = Deferred()
        self.answers.append(answer)
        return answer

    def answer(self, body: object = None) -> None:
        """
        Answer the oldest post.
        """
        self.answers.pop(0).callback(json.dumps(body).encode())

    def fail(self, reason: str = "no answer within 1 s") -> None:
        """
        Let the oldest one fail.
        """
        self.answers.pop(0).errback(PostFailed(reason))

    async def close(self) -> None:
        self.closed += 1
