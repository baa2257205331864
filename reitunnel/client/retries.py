"""
When tunnels that were refused are asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reitunnel.client.tunnel import ClientTunnel

_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 30.0
"""How long to wait before asking again: first, and at most, in seconds."""


class Retries:
    """
    Asks again, each time after twice the time.
    """

    def __init__(
        self, clock: IReactorTime, ask: Callable[[ClientTunnel], None]
    ) -> None:
        """
        @param ask: asks for a tunnel.
        """
        self._clock = clock
        self._ask = ask
        self._waiting: dict[ClientTunnel, tuple[float, IDelayedCall]] = {}

    def wait(self, wanted: ClientTunnel) -> None:
        """
        Ask for a tunnel later.
        """
        delay, _ = self._waiting.get(wanted, (_FIRST_RETRY, None))
        # It may have been asked for in between.
        self.forget(wanted)
        retry = self._clock.callLater(delay, self._ask, wanted)
        self._waiting[wanted] = (min(2 * delay, _LAST_RETRY), retry)

    def forget(self, wanted: ClientTunnel) -> None:
        """
        Ask for a tunnel no more, unless it is waited for anew.
        """
        _, retry = self._waiting.pop(wanted, (0.0, None))
        if retry is not None and retry.active():
            retry.cancel()

    def stop(self) -> None:
        """
        Ask for none.
        """
        for wanted in tuple(self._waiting):
            self.forget(wanted)
