"""
Tests for blocked networks.
"""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.block_list import Block, BlockList
from reitunnel.hooks.networks import Host, Network, parse_host, parse_network


def host(text: str) -> Host:
    """
    An address that is one.
    """
    parsed = parse_host(text)
    assert parsed is not None
    return parsed


class BlockListTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.blocks = BlockList(self.clock, capacity=3)

    def block(self, text: str, seconds: float | None = None) -> None:
        self.blocks.block(parse_network(text), seconds)

    def automatic(self, text: str, seconds: float = 10.0) -> None:
        self.blocks.block_automatically(parse_network(text), seconds)

    def unblock(self, text: str) -> bool:
        return self.blocks.unblock(parse_network(text))

    def test_expiry(self) -> None:
        self.block("192.0.2.0/24", 10.0)
        self.automatic("198.51.100.1", 10.0)
        self.clock.advance(9.9)
        self.assertIn(host("192.0.2.77"), self.blocks)
        self.assertIn(host("198.51.100.1"), self.blocks)
        self.clock.advance(0.1)
        self.assertNotIn(host("192.0.2.77"), self.blocks)
        self.assertNotIn(host("198.51.100.1"), self.blocks)
        self.assertEqual([], list(self.blocks))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_open_end(self) -> None:
        self.block("2001:db8::/32")
        self.clock.advance(1e9)
        self.assertIn(host("2001:db8::1"), self.blocks)
        self.assertEqual([Block("2001:db8::/32", inf, False)], list(self.blocks))
        self.assertTrue(self.unblock("2001:db8::/32"))
        self.assertNotIn(host("2001:db8::1"), self.blocks)

    def test_listed(self) -> None:
        self.automatic("192.0.2.1")
        self.block("192.0.2.0/24", 5.0)
        self.assertEqual(
            [Block("192.0.2.0/24", 5.0, False), Block("192.0.2.1/32", 10.0, True)],
            list(self.blocks),
        )

    def test_new_time_counts(self) -> None:
        self.block("192.0.2.1", 100.0)
        self.block("192.0.2.1", 1.0)
        self.clock.advance(1)
        self.assertNotIn(host("192.0.2.1"), self.blocks)

    def test_unblock(self) -> None:
        self.block("192.0.2.1", 10.0)
        self.automatic("192.0.2.1")
        self.assertFalse(self.unblock("192.0.2.2"))
        self.assertFalse(self.unblock("192.0.2.0/24"))
        self.assertTrue(self.unblock("192.0.2.1"))
        self.assertNotIn(host("192.0.2.1"), self.blocks)
        self.assertFalse(self.unblock("192.0.2.1"))

    def test_unblock_what_is_over(self) -> None:
        self.block("192.0.2.1", 10.0)
        self.clock.advance(10)
        self.assertFalse(self.unblock("192.0.2.1"))

    def test_too_many_automatic_ones(self) -> None:
        """
        The oldest ends early.
        """
        for number in range(4):
            self.automatic(f"192.0.2.{number}")
        self.assertNotIn(host("192.0.2.0"), self.blocks)
        for number in range(1, 4):
            self.assertIn(host(f"192.0.2.{number}"), self.blocks)

    def test_too_many_by_hand(self) -> None:
        """
        None of them ends early.
        """
        self.block("192.0.2.0", 5.0)
        self.block("192.0.2.1")
        self.block("192.0.2.2")
        error = self.assertRaises(ValueError, self.block, "192.0.2.3")
        self.assertEqual("more than 3 blocks", str(error))
        self.block("192.0.2.1", 20.0)
        self.clock.advance(5)
        self.block("192.0.2.3")
        self.assertEqual(3, len(list(self.blocks)))

    def test_kinds_do_not_crowd_each_other(self) -> None:
        for number in range(3):
            self.block(f"192.0.2.{number}")
        for number in range(20):
            self.automatic(f"198.51.100.{number}")
        self.assertIn(host("192.0.2.0"), self.blocks)
        self.assertEqual(6, len(list(self.blocks)))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["block", "automatic", "unblock", "wait"]),
                st.integers(0, 7),
                st.integers(29, 32),
            ),
            max_size=40,
        )
    )
    def test_as_a_plain_list(self, moves: list[tuple[str, int, int]]) -> None:
        clock = Clock()
        blocks = BlockList(clock, capacity=100)
        plain: dict[tuple[str, Network], float] = {}
        for kind, number, prefix in moves:
            network = Host(32, number).network(prefix)
            if kind == "wait":
                clock.advance(number)
            elif kind == "unblock":
                blocks.unblock(network)
                plain.pop(("block", network), None)
                plain.pop(("automatic", network), None)
            elif kind == "block":
                blocks.block(network, prefix - 28)
                plain[kind, network] = clock.seconds() + prefix - 28
            else:
                blocks.block_automatically(network, 5)
                plain[kind, network] = clock.seconds() + 5
            for address in range(8):
                expected = any(
                    network.first <= address <= network.last
                    for (_, network), until in plain.items()
                    if until > clock.seconds()
                )
                self.assertEqual(expected, Host(32, address) in blocks)
