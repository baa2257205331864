"""
Tests of L{reitunnel.transports.records}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from reitunnel.transports.contexts import new_context, use_credentials
from reitunnel.transports.failures import tls_problem
from reitunnel.transports.pem import load_credentials
from reitunnel.transports.records import RECORD, Buffer, Records
from tests.transports.support import CertificateTestCase


def lengths(sealed: bytes) -> list[int]:
    """
    The lengths of the records in a row of whole ones, without their headers.
    """
    found = []
    while sealed:
        found.append(int.from_bytes(sealed[3:5], "big"))
        sealed = sealed[5 + found[-1] :]
    return found


class RecordsTestCase(CertificateTestCase):
    """
    A test of two sides that have shaken hands.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pair()

    def new(self, version: int = SSL.TLS1_3_VERSION) -> tuple[Records, Records]:
        """
        Make two sides.
        """
        credentials = load_credentials(self.server_pem())
        contexts = []
        for method in (SSL.TLS_SERVER_METHOD, SSL.TLS_CLIENT_METHOD):
            contexts.append(new_context(method, "1.2"))
            contexts[-1].set_max_proto_version(version)
        use_credentials(contexts[0], credentials)
        server, client = (SSL.Connection(context) for context in contexts)
        server.set_accept_state()
        client.set_connect_state()
        return Records(server), Records(client)

    def pair(self, version: int = SSL.TLS1_3_VERSION) -> None:
        """
        Make two sides, and let them shake hands.
        """
        self.server, self.client = self.new(version)
        self.assertFalse(self.client.shake_hands())
        self.move(self.client, self.server)
        self.assertFalse(self.server.shake_hands())
        self.move(self.server, self.client)
        first, second = self.client, self.server
        if version < SSL.TLS1_3_VERSION:
            self.assertFalse(first.shake_hands())
            self.move(first, second)
            first, second = second, first
        self.assertTrue(first.shake_hands())
        self.move(first, second)
        if version < SSL.TLS1_3_VERSION:
            self.assertTrue(second.shake_hands())
        else:
            self.assertTrue(second.shake_hands())
            self.move(second, first)

    def move(self, source: Records, target: Records) -> None:
        """
        Hand over what TLS says on its own.
        """
        said = b"".join(source.remarks())
        if said:
            target.receive(said)

    def seal(self, data: Buffer) -> bytes:
        """
        What the server sends.
        """
        return b"".join(self.server.seal(data))

    def open(self, sealed: bytes) -> bytes:
        """
        What the client gets of it.
        """
        self.client.receive(sealed)
        return self.client.open()


class MovingTests(RecordsTestCase):
    def test_sizes(self) -> None:
        for version in (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION):
            self.pair(version)
            for size in (1, 100, RECORD, RECORD + 1, 65_546, 131_072, 1_000_001):
                data = bytes(range(251)) * (size // 251 + 1)
                sealed = self.seal(data[:size])
                self.assertEqual(-(-size // RECORD), len(lengths(sealed)))
                self.assertEqual(data[:size], self.open(sealed))
                self.assertEqual([], self.server.remarks())

    def test_memoryview(self) -> None:
        self.assertEqual(b"bc", self.open(self.seal(memoryview(b"abcd")[1:3])))

    def test_both_ways_at_once(self) -> None:
        down, up = self.server.seal(b"down"), self.client.seal(b"up")
        self.server.receive(b"".join(up))
        self.assertEqual(b"up", self.server.open())
        self.assertEqual(b"down", self.open(b"".join(down)))

    @settings(deadline=None)
    @given(
        writes=st.lists(st.integers(1, 40_000), min_size=1, max_size=5),
        cuts=st.lists(st.one_of(st.integers(1, 9), st.integers(1, 40_000))),
    )
    def test_cut_anywhere(self, writes: list[int], cuts: list[int]) -> None:
        data = [bytes([number]) * size for number, size in enumerate(writes)]
        sealed = b"".join(self.seal(each) for each in data)
        opened = []
        for cut in (*cuts, len(sealed)):
            if sealed[:cut]:
                opened.append(self.open(sealed[:cut]))
                sealed = sealed[cut:]
        self.assertEqual(b"".join(data), b"".join(opened))

    def test_byte_by_byte(self) -> None:
        sealed = self.seal(b"ab") + self.seal(b"c")
        first = 5 + lengths(sealed)[0]
        opened = [self.open(sealed[at : at + 1]) for at in range(len(sealed))]
        self.assertEqual(b"ab", opened[first - 1])
        self.assertEqual(b"c", opened[-1])
        self.assertEqual(2, sum(map(bool, opened)))

    def test_nothing_is_asked_for_in_vain(self) -> None:
        """
        OpenSSL is asked for whole records alone.
        """

        class Reluctant:
            bio_write = self.client.connection.bio_write

            def recv(self, size: int) -> bytes:
                raise AssertionError("there is no whole record")

        self.client.open()
        sealed = self.seal(bytes(100))
        connection = self.client.connection
        self.client.connection = Reluctant()  # type: ignore[assignment]  # for what is used of it
        self.assertEqual(b"", self.open(sealed[:-1]))
        self.client.connection = connection
        self.assertEqual(bytes(100), self.open(sealed[-1:]))
        self.assertFalse(self.client.addressed)


class HandshakeTests(RecordsTestCase):
    def test_long_words(self) -> None:
        """
        A certificate for many names.
        """
        pem = self.server_pem(*(f"name-{number}.example" for number in range(500)))
        context = new_context(SSL.TLS_SERVER_METHOD, "1.3")
        use_credentials(context, load_credentials(pem))
        self.server.connection = SSL.Connection(context)
        self.server.connection.set_accept_state()
        _, client = self.new()
        client.shake_hands()
        self.move(client, self.server)
        self.server.shake_hands()
        self.assertGreater(sum(map(len, self.server.remarks())), 8192)
        self.assertEqual([], self.server.remarks())


class AddressedTests(RecordsTestCase):
    def test_tickets(self) -> None:
        """
        They come after the handshake, and have no plain bytes.
        """
        self.assertEqual(b"", self.client.open())
        self.assertTrue(self.client.addressed)
        self.assertEqual([], self.client.remarks())
        self.assertEqual(b"a", self.open(self.seal(b"a")))
        self.assertFalse(self.client.addressed)

    def test_tickets_and_bytes(self) -> None:
        self.assertEqual(b"a", self.open(self.seal(b"a")))
        self.assertTrue(self.client.addressed)


class RenegotiationTests(RecordsTestCase):
    """
    A peer that asks TLS 1.2 to shake hands again.
    """

    def test_refused(self) -> None:
        """
        It is told so, and the connection goes on.
        """
        self.server, _ = self.new(SSL.TLS1_2_VERSION)
        # One that has not been told to leave it.
        connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
        connection.set_connect_state()
        self.client = Records(connection)
        for _ in range(3):
            for side, other in (
                (self.client, self.server),
                (self.server, self.client),
            ):
                side.shake_hands()
                self.move(side, other)
        self.assertEqual(b"a", self.open(self.seal(b"a")))
        self.assertTrue(connection.renegotiate())
        self.assertFalse(self.client.shake_hands())
        self.move(self.client, self.server)
        self.assertEqual(b"", self.server.open())
        self.assertTrue(self.server.addressed)
        self.assertIsNone(self.server.problem)
        self.move(self.server, self.client)
        self.client.open()
        assert self.client.problem is not None
        self.assertIn("no renegotiation", str(tls_problem(self.client.problem)))
        self.assertNotEqual([], self.server.seal(b"a"))
        self.assertIsNone(self.server.problem)


class EndTests(RecordsTestCase):
    def test_end(self) -> None:
        sealed = self.seal(b"last words") + b"".join(self.server.end())
        self.assertEqual(b"last words", self.open(sealed))
        self.assertTrue(self.client.ended)
        self.assertIsNone(self.client.problem)
        self.assertEqual(b"", self.client.open())
        self.assertTrue(self.client.ended)

    def test_the_other_direction_goes_on(self) -> None:
        self.open(b"".join(self.server.end()))
        self.server.receive(b"".join(self.client.seal(b"more")))
        self.assertEqual(b"more", self.server.open())
        self.assertFalse(self.server.ended)
        self.server.receive(b"".join(self.client.end()))
        self.server.open()
        self.assertTrue(self.server.ended)

    def test_twice(self) -> None:
        self.assertNotEqual([], self.server.end())
        self.assertEqual([], self.server.end())


class ProblemTests(RecordsTestCase):
    def test_broken_record(self) -> None:
        good, bad = self.seal(b"good"), bytearray(self.seal(b"bad"))
        bad[-1] ^= 1
        self.assertEqual(b"good", self.open(good + bytes(bad)))
        problem = self.client.problem
        assert problem is not None
        self.assertIsNone(problem.__traceback__)
        self.assertFalse(self.client.ended)
        # The peer is told.
        self.move(self.client, self.server)
        self.assertEqual(b"", self.server.open())
        assert self.server.problem is not None
        self.assertIn("alert bad record mac", str(tls_problem(self.server.problem)))
        # That is all that can be said.
        self.assertEqual([], self.client.seal(b"x"))
        self.assertIs(problem, self.client.problem)

    def test_record_that_is_too_long(self) -> None:
        """
        It is not waited for.
        """
        self.assertEqual(b"", self.open(b"\x17\x03\x03\xff\xff"))
        self.assertIsNotNone(self.client.problem)

    def test_longest_record(self) -> None:
        """
        It is waited for.
        """
        self.client.open()
        length = RECORD + 256
        self.open(b"\x17\x03\x03" + length.to_bytes(2, "big") + bytes(length - 1))
        self.assertIsNone(self.client.problem)
        self.open(bytes(1))
        self.assertIsNotNone(self.client.problem)

    def test_handshake(self) -> None:
        """
        It is not waited for what the length of a record seems to say.
        """
        for side in self.new():
            side.shake_hands()
            side.remarks()
            side.receive(b"GET / HTTP/1.1\r\n\r\n")
            self.assertFalse(side.shake_hands())
            assert side.problem is not None
            said = str(tls_problem(side.problem))
            self.assertEqual("the peer does not speak TLS", said)

    def test_nothing_after_the_end(self) -> None:
        self.server.end()
        self.assertEqual([], self.server.seal(b"x"))
        self.assertIsNotNone(self.server.problem)
        server, _ = self.new()
        self.assertEqual([], server.end())
