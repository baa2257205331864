"""
Networks that are blocked, for a time or until that is taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from reitunnel.hooks.networks import Host, Network


class Block(NamedTuple):
    """
    A network that is blocked.

    @ivar network: the network, in CIDR notation.
    @ivar until: until when, seconds since the epoch; infinite if that is open.
    @ivar automatic: whether it was blocked for its failures.
    """

    network: str
    until: float
    automatic: bool


class BlockList:
    """
    Blocks networks. A block that is over is dropped when somebody comes across it:
    there are no timers.

    Automatic blocks are bounded in number: above that the oldest ends early. So are
    those that were made by hand: above that there can be no more.
    """

    def __init__(self, clock: IReactorTime, capacity: int) -> None:
        """
        @param clock: tells the time.
        @param capacity: how many blocks of either kind there can be.
        """
        self._clock = clock
        self._capacity = capacity
        self._by_hand = _Timed()
        self._automatic = _Timed()

    def __contains__(self, host: Host) -> bool:
        """
        Whether an address is blocked.
        """
        now = self._clock.seconds()
        return self._by_hand.covers(host, now) or self._automatic.covers(host, now)

    def __iter__(self) -> Iterator[Block]:
        """
        Give the blocks that hold, first those that were made by hand.
        """
        now = self._clock.seconds()
        for timed in (self._by_hand, self._automatic):
            timed.drop_all_over(now)
            automatic = timed is self._automatic
            for network, until in timed.items():
                yield Block(str(network), until, automatic)

    def block(self, network: Network, seconds: float | None) -> None:
        """
        Block a network. If it is blocked, the new time counts.

        @param seconds: for how long; until it is unblocked if L{None}.
        @raise ValueError: if there are too many blocks.
        """
        now = self._clock.seconds()
        until = inf if seconds is None else now + seconds
        if network not in self._by_hand and len(self._by_hand) >= self._capacity:
            self._by_hand.drop_all_over(now)
            if len(self._by_hand) >= self._capacity:
                raise ValueError(f"more than {self._capacity} blocks")
        self._by_hand.put(network, until)

    def block_automatically(self, network: Network, seconds: float) -> None:
        """
        Block a network for its failures.

        @param seconds: for how long; the same for each.
        """
        now = self._clock.seconds()
        self._automatic.put(network, now + seconds)
        self._automatic.drop_oldest(now, self._capacity)

    def unblock(self, network: Network) -> bool:
        """
        End the blocks of just this network.

        @return: whether there was one.
        """
        now = self._clock.seconds()
        by_hand = self._by_hand.remove(network, now)
        return self._automatic.remove(network, now) or by_hand


class _Timed:
    """
    Networks with the times when they are over, in the order in which they were put.
    """

    def __init__(self) -> None:
        self._until: dict[Network, float] = {}
        # How many there are of each version and prefix: an address is looked for once
        # in each.
        self._shapes: Counter[tuple[int, int]] = Counter()

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, network: Network) -> bool:
        return network in self._until

    def items(self) -> list[tuple[Network, float]]:
        return list(self._until.items())

    def put(self, network: Network, until: float) -> None:
        if network in self._until:
            self._drop(network)
        self._until[network] = until
        self._shapes[network.bits, network.prefix] += 1

    def remove(self, network: Network, now: float) -> bool:
        """
        @return: whether it was there, and not over.
        """
        until = self._until.get(network)
        if until is None:
            return False
        self._drop(network)
        return until > now

    def covers(self, host: Host, now: float) -> bool:
        for bits, prefix in tuple(self._shapes):
            if bits == host.bits:
                network = host.network(prefix)
                until = self._until.get(network)
                if until is not None:
                    if until > now:
                        return True
                    self._drop(network)
        return False

    def drop_all_over(self, now: float) -> None:
        for network, until in self.items():
            if until <= now:
                self._drop(network)

    def drop_oldest(self, now: float, capacity: int) -> None:
        """
        Drop the oldest ones as long as they are over, or there are too many.
        """
        while self._until:
            network, until = next(iter(self._until.items()))
            if until > now and len(self) <= capacity:
                return
            self._drop(network)

    def _drop(self, network: Network) -> None:
        del self._until[network]
        shape = network.bits, network.prefix
        self._shapes[shape] -= 1
        if not self._shapes[shape]:
            del self._shapes[shape]
