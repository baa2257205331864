"""
A producer that writes down what it is told.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer


def _nothing() -> None:
    """
    The default of L{Producer.on_pause} and its like.
    """


@implementer(IPushProducer, IPullProducer)
class Producer:
    """
    Writes down what it is told.

    @ivar told: C{"pause"}, C{"resume"} and C{"stop"}, in order.
    @ivar on_pause: what it does when it is paused.
    @ivar on_resume: what it does when it may go on.
    @ivar on_stop: what it does when it is stopped.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.on_pause: Callable[[], None] = _nothing
        self.on_resume: Callable[[], None] = _nothing
        self.on_stop: Callable[[], None] = _nothing

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self.on_pause()

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.on_resume()

    def stopProducing(self) -> None:
        self.told.append("stop")
        self.on_stop()
