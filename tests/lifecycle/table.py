"""
Rows of the table, and the tests that are made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config.values import Carrier
from tests.memory import Peer
from tests.pair import PUBLIC_PORT, Pair


@dataclass(frozen=True)
class Row:
    """
    One way to end, and what the hooks are told of it.

    @ivar way: how it ends.
    @ivar act: brings it about, in a pair that has been started.
    @ivar server: what the server's hooks are told from then on, in order.
    @ivar client: what the client's hooks are told.
    @ivar make: makes the pair.
    @ivar before: what comes before C{act}, which is not looked at.
    @ivar errors: the contexts that C{on_error} is told of, on both sides.
    """

    way: str
    act: Callable[[Pair], None]
    server: Sequence[str] = ()
    client: Sequence[str] = ()
    make: Callable[[], Pair] = Pair
    before: Callable[[Pair], None] = lambda pair: None
    errors: Sequence[str] = ()


def nothing(pair: Pair) -> None:
    """
    Do nothing: what there is to see happens by itself.
    """


def talk(pair: Pair) -> None:
    """
    Open stream 2; the visitor says 5 bytes and the target 7.
    """
    visitor, target = pair.open_stream()
    visitor.say(b"hello")
    pair.reactor.settle()
    target.say(b"worlds!")
    pair.reactor.settle()
    assert (target.received, visitor.received) == (b"hello", b"worlds!")


def visitor_of(pair: Pair) -> Peer:
    """
    The newest visitor.
    """
    visitor = pair.reactor.connection_to(PUBLIC_PORT).client.protocol
    assert isinstance(visitor, Peer)
    return visitor


class TableCase(SynchronousTestCase):
    """
    Tests made of rows. Each row is a test; what comes after it, the stop of both
    sides, must keep the rules too, and leave nothing behind.

    @cvar rows: the rows.
    @cvar carrier: the carrier of the client.
    """

    rows: Sequence[Row] = ()
    carrier: Carrier = "auto"

    def __init_subclass__(cls) -> None:
        """
        Make a test of each row.
        """
        super().__init_subclass__()
        for row in cls.__dict__.get("rows", ()):
            name = "test_" + "".join(c if c.isalnum() else "_" for c in row.way)
            assert not hasattr(cls, name), f"two rows are called {row.way}"
            setattr(cls, name, _test_of(row))

    def check(self, row: Row) -> None:
        """
        Compare a row with what happens.
        """
        self.patch(Pair, "carrier", self.carrier)
        pair = row.make().start()
        row.before(pair)
        pair.reactor.settle()
        pair.told_server.take()
        pair.told_client.take()
        pair.told_server.errors.clear()
        pair.told_client.errors.clear()
        row.act(pair)
        pair.reactor.settle()
        told = {"server": pair.told_server.take(), "client": pair.told_client.take()}
        contexts = [
            context
            for ledger in (pair.told_server, pair.told_client)
            for _, context in ledger.errors
        ]
        left = pair.stop()
        expected = {"server": list(row.server), "client": list(row.client)}
        self.assertEqual(expected, told)
        self.assertEqual(list(row.errors), contexts)
        self.assertEqual([], left)


def _test_of(row: Row) -> Callable[[TableCase], None]:
    def test(self: TableCase) -> None:
        self.check(row)

    test.__doc__ = row.way
    return test
