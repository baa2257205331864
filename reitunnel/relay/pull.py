"""
Pull producers, driven as push producers.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import (
    IDelayedCall,
    IPullProducer,
    IPushProducer,
    IReactorTime,
)
from zope.interface import implementer


@implementer(IPushProducer)
class PullAdapter:
    """
    Asks a pull producer for more, once in each turn of the reactor, while it is
    not paused.
    """

    def __init__(
        self,
        producer: IPullProducer,
        clock: IReactorTime,
        failed: Callable[[], None],
    ) -> None:
        """
        @param failed: called while the exception that the producer has raised is
            being handled.
        """
        self._producer = producer
        self._clock = clock
        self._failed = failed
        self._next: IDelayedCall | None = None

    def resumeProducing(self) -> None:
        """
        Go on asking.
        """
        if self._next is None:
            self._next = self._clock.callLater(0, self._ask)

    def pauseProducing(self) -> None:
        """
        Ask no more.
        """
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def stopProducing(self) -> None:
        """
        Ask no more, and tell the producer.
        """
        self.pauseProducing()
        self._producer.stopProducing()

    def _ask(self) -> None:
        # Before asking: the producer may pause or unregister.
        self._next = self._clock.callLater(0, self._ask)
        try:
            self._producer.resumeProducing()
        except Exception:
            self._failed()
