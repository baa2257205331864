"""
Wrappers that hand data events on as sums: one in so many, or every few seconds. No
byte is lost to the total.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from reitunnel.errors import Code
from reitunnel.hooks.calls import wants
from reitunnel.hooks.wrapping import HookWrapper, Rewrap, method_of
from reitunnel.interfaces import Decision, IDataHook, ITunnel, ITunnelHook


class Held:
    """
    What has been counted of a tunnel and not yet handed on.

    @ivar received: bytes from visitors.
    @ivar received_events: in so many events.
    @ivar sent: bytes to visitors.
    @ivar sent_events: in so many events.
    """

    __slots__ = ("received", "received_events", "sent", "sent_events", "tunnel")

    def __init__(self, tunnel: ITunnel) -> None:
        self.tunnel = tunnel
        self.received = 0
        self.received_events = 0
        self.sent = 0
        self.sent_events = 0


class HoldingWrapper(HookWrapper):
    """
    Holds counts of data events back. What is held of a tunnel is handed on before the
    tunnel's close, and all of it at L{finish}.

    It changes nothing, and costs nothing, if the other hook wants no data events.
    """

    def __init__(self, hook: object) -> None:
        """
        @raise InvalidHook: if C{hook} is none.
        """
        data = [event for event in IDataHook.names() if wants(hook, event)]
        if data:
            super().__init__(
                hook, changes=[*data, "on_tunnel_close"], also=[ITunnelHook]
            )
        else:
            super().__init__(hook)
        self._held: dict[int, Held] = {}
        self._received = method_of(hook, "on_data_received")
        self._sent = method_of(hook, "on_data_sent")
        self._closed = method_of(hook, "on_tunnel_close")

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """
        held = self._held.pop(id(tunnel), None)
        if held is not None:
            self._release(held)
        self._closed(tunnel, code, reason)

    def finish(self) -> Decision:
        """
        Hand on all that is held.
        """
        self._release_all()
        return super().finish()

    def _hold(self, tunnel: ITunnel) -> Held:
        """
        Begin to hold something of a tunnel.
        """
        # By id(): a tunnel of somebody else may not be hashable. It lives as long as
        # something of it is held.
        held = self._held[id(tunnel)] = Held(tunnel)
        return held

    def _release(self, held: Held) -> None:
        """
        Hand on what is held of a tunnel.
        """
        # The hook may close the tunnel in the call; then the rest goes before that.
        count, held.received, held.received_events = held.received, 0, 0
        if count:
            self.tell(self._received, "on_data_received", held.tunnel, count)
        count, held.sent, held.sent_events = held.sent, 0, 0
        if count:
            self.tell(self._sent, "on_data_sent", held.tunnel, count)

    def _release_all(self) -> None:
        for key, held in tuple(self._held.items()):
            self._release(held)
            # More may have come meanwhile, and the tunnel may be gone.
            if not (held.received or held.sent) and self._held.get(key) is held:
                del self._held[key]


class SampledHook(HoldingWrapper):
    """
    Hands on one in so many data events of each tunnel and direction, with the sum of
    those before it.

    @ivar rate: of how many events one is handed on.
    """

    def __init__(self, hook: object, rate: int) -> None:
        """
        @param rate: of how many events one is handed on, at least 1.
        @raise InvalidHook: if C{hook} is none.
        @raise ValueError: if the rate is less than 1.
        """
        if rate < 1:
            raise ValueError(f"the rate must be at least 1, not {rate}")
        super().__init__(hook)
        self.rate = rate

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_received}.
        """
        held = self._held.get(id(tunnel)) or self._hold(tunnel)
        held.received += count
        held.received_events += 1
        if held.received_events >= self.rate:
            count, held.received, held.received_events = held.received, 0, 0
            if not held.sent_events:
                del self._held[id(tunnel)]
            self.tell(self._received, "on_data_received", tunnel, count)

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_sent}.
        """
        held = self._held.get(id(tunnel)) or self._hold(tunnel)
        held.sent += count
        held.sent_events += 1
        if held.sent_events >= self.rate:
            count, held.sent, held.sent_events = held.sent, 0, 0
            if not held.received_events:
                del self._held[id(tunnel)]
            self.tell(self._sent, "on_data_sent", tunnel, count)

    def around(self, change: Rewrap) -> SampledHook:
        """
        See L{HookWrapper.around}.
        """
        return SampledHook(change(self.wrapped_hook), self.rate)


class AggregatingHook(HoldingWrapper):
    """
    Hands on the sums of data events every few seconds: one call for each tunnel and
    direction in which something moved. While nothing moves there is no timer.

    @ivar interval: the time between two calls, in seconds.
    """

    def __init__(self, hook: object, interval: float) -> None:
        """
        @param interval: the time between two calls, in seconds, more than 0.
        @raise InvalidHook: if C{hook} is none.
        @raise ValueError: if the interval is not more than 0.
        """
        if not interval > 0:
            raise ValueError(f"the interval must be more than 0, not {interval}")
        super().__init__(hook)
        self.interval = interval
        self._timer: IDelayedCall | None = None

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_received}.
        """
        held = self._held.get(id(tunnel)) or self._hold(tunnel)
        held.received += count

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_sent}.
        """
        held = self._held.get(id(tunnel)) or self._hold(tunnel)
        held.sent += count

    def finish(self) -> Decision:
        """
        Hand on all that is held.
        """
        finished = super().finish()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return finished

    def around(self, change: Rewrap) -> AggregatingHook:
        """
        See L{HookWrapper.around}.
        """
        return AggregatingHook(change(self.wrapped_hook), self.interval)

    def _hold(self, tunnel: ITunnel) -> Held:
        self._start_timer()
        return super()._hold(tunnel)

    def _start_timer(self) -> None:
        if self._timer is None and self.host is not None:
            self._timer = self.host.reactor.callLater(self.interval, self._due)

    def _due(self) -> None:
        self._timer = None
        self._release_all()
        if self._held:
            # More has come while that was handed on.
            self._start_timer()
