"""
Public ports: which one a tunnel gets, where, and why not.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.config import Rule
from reitunnel.config.settings import ClientPolicy, Policy
from reitunnel.config.values import PortRange
from reitunnel.errors import TunnelRefused
from reitunnel.server.listening import bind_address
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import (
    TunnelEnded,
    TunnelOpen,
    TunnelOpened,
    encode_message,
    known_code,
)
from tests.pair import Pair, server_config
from tests.server.raw import RawClient, raw_client


def rule(*bind: str, ports: Sequence[str] = ("1024-65535",)) -> Rule:
    return Rule(ports=tuple(PortRange.parse(text) for text in ports), bind=bind)


class BindTests(SynchronousTestCase):
    """
    L{bind_address}.
    """

    def refused(self, bind: str, default: str, allowed: Rule) -> Code:
        with self.assertRaises(TunnelRefused) as caught:
            bind_address(bind, default, allowed)
        code: Code = caught.exception.code
        return code

    def test_default(self) -> None:
        self.assertEqual("198.51.100.1", bind_address("", "198.51.100.1", rule()))

    def test_the_same(self) -> None:
        """
        What the server's own address is may be asked for by name, in any form.
        """
        self.assertEqual("127.0.0.1", bind_address("localhost", "127.0.0.1", rule()))
        self.assertEqual("127.0.0.1", bind_address("127.0.0.1", "127.0.0.1", rule()))
        self.assertEqual("::1", bind_address("0:0:0:0:0:0:0:1", "::1", rule()))
        self.assertEqual("0.0.0.0", bind_address("*", "0.0.0.0", rule()))
        self.assertEqual("::", bind_address("*", "::", rule()))

    def test_other(self) -> None:
        for bind in ("127.0.0.1", "localhost", "192.0.2.1", "::1", "::"):
            self.assertEqual(Code.POLICY, self.refused(bind, "0.0.0.0", rule()))
        self.assertEqual(Code.POLICY, self.refused("*", "127.0.0.1", rule()))

    def test_allowed(self) -> None:
        allowed = rule("192.0.2.1", "2001:db8::1")
        self.assertEqual("192.0.2.1", bind_address("192.0.2.1", "127.0.0.1", allowed))
        self.assertEqual(
            "2001:db8::1", bind_address("2001:DB8:0::1", "127.0.0.1", allowed)
        )
        self.assertEqual(Code.POLICY, self.refused("192.0.2.2", "127.0.0.1", allowed))
        self.assertEqual(Code.POLICY, self.refused("*", "127.0.0.1", allowed))

    def test_any(self) -> None:
        allowed = rule("*")
        self.assertEqual("0.0.0.0", bind_address("*", "127.0.0.1", allowed))
        self.assertEqual("::", bind_address("*", "::1", allowed))
        self.assertEqual("192.0.2.9", bind_address("192.0.2.9", "127.0.0.1", allowed))

    def test_no_address(self) -> None:
        for bind in ("example.com", "127.1", "127.0.0.1:80", " 127.0.0.1", "../x"):
            self.assertEqual(
                Code.ADDRESS_INVALID, self.refused(bind, "127.0.0.1", rule("*"))
            )


class PortCase(SynchronousTestCase):
    """
    A client made by hand that asks for tunnels.
    """

    def serve(self, policy: Policy, instance: str = "raw") -> tuple[Pair, RawClient]:
        pair = Pair(server=server_config(policy=policy)).start_server()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        client = raw_client(pair.reactor)
        client.log_in(instance)
        return pair, client

    def opened(self, client: RawClient) -> tuple[str, int]:
        answer = client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        return answer.host, answer.port

    def refused(self, client: RawClient) -> tuple[Code, str]:
        answer = client.take(FrameKind.TUNNEL_REFUSED, TunnelEnded)
        return known_code(answer.code), answer.reason


def ports(*texts: str) -> tuple[PortRange, ...]:
    return tuple(PortRange.parse(text) for text in texts)


class PolicyTests(PortCase):
    """
    C{[policy]}.
    """

    def test_edges(self) -> None:
        _, client = self.serve(Policy(ports=ports("6000-6002", "8000")))
        for port in (6000, 6002, 8000):
            client.ask(port, port)
            self.assertEqual(("127.0.0.1", port), self.opened(client))
        for port in (5999, 6003, 7999, 8001):
            client.ask(port, port)
            self.assertEqual(
                (Code.POLICY, f"port {port} is not allowed"), self.refused(client)
            )

    def test_default(self) -> None:
        """
        Ports below 1024 are not for clients.
        """
        _, client = self.serve(Policy())
        client.ask(1, 1023)
        self.assertEqual(Code.POLICY, self.refused(client)[0])
        client.ask(2, 1024)
        self.assertEqual(("127.0.0.1", 1024), self.opened(client))

    def test_system_refuses(self) -> None:
        """
        The policy allows what the system does not.
        """
        _, client = self.serve(Policy(ports=ports("80")))
        client.ask(1, 80)
        self.assertEqual(
            (Code.POLICY, "127.0.0.1:80: Permission denied"), self.refused(client)
        )

    def test_system_refuses_every_choice(self) -> None:
        """
        Then to try others does not help, and the reason is the system's.
        """
        _, client = self.serve(Policy(ports=ports("80-90")))
        client.ask()
        code, reason = self.refused(client)
        self.assertEqual(Code.POLICY, code)
        self.assertIn("Permission denied", reason)

    def test_choice(self) -> None:
        """
        For port 0 the server takes one that is allowed.
        """
        _, client = self.serve(Policy(ports=ports("1024-65535")))
        client.ask()
        host, port = self.opened(client)
        self.assertEqual("127.0.0.1", host)
        self.assertTrue(1024 <= port <= 65535)

    def test_narrow_choice(self) -> None:
        """
        Each of few is found, in whatever order; then there is none left.
        """
        pair, client = self.serve(Policy(ports=ports("6000-6001", "6005")))
        got = set()
        for number in (1, 2, 3):
            client.ask(number)
            got.add(self.opened(client)[1])
        self.assertEqual({6000, 6001, 6005}, got)
        client.ask(4)
        self.assertEqual(
            (Code.ADDRESS_IN_USE, "no allowed port is free"), self.refused(client)
        )
        self.assertEqual({6000, 6001, 6005}, set(pair.public_ports))

    def test_wide_choice(self) -> None:
        """
        Of many only some are tried.
        """
        pair, client = self.serve(Policy(ports=ports("20000-20063")))
        for port in range(20000, 20063):
            pair.reactor.listenTCP(port, pair.targets, interface="127.0.0.1")
        client.ask()
        self.assertEqual(("127.0.0.1", 20063), self.opened(client))

    def test_no_port(self) -> None:
        _, client = self.serve(Policy(ports=()))
        client.ask()
        self.assertEqual((Code.POLICY, "no port is allowed"), self.refused(client))
        client.ask(2, 6000)
        self.assertEqual(Code.POLICY, self.refused(client)[0])

    def test_one_client(self) -> None:
        """
        The first pattern that fits replaces what it says, and only that.
        """
        policy = Policy(
            ports=ports("6000"),
            bind=("192.0.2.1",),
            clients={
                "token:*": ClientPolicy(ports=()),
                "anonymous": ClientPolicy(ports=ports("7001")),
                "*": ClientPolicy(bind=("*",)),
            },
        )
        pair, client = self.serve(policy)
        pair.reactor.local.add("192.0.2.1")
        client.ask(1, 6000)
        self.assertEqual(Code.POLICY, self.refused(client)[0])
        client.ask(2, 7001, bind="192.0.2.1")
        self.assertEqual(("192.0.2.1", 7001), self.opened(client))
        client.ask(3, 7001, bind="0.0.0.0")
        self.assertEqual(Code.POLICY, self.refused(client)[0])

    def test_address(self) -> None:
        _, client = self.serve(Policy(bind=("*",)))
        client.ask(1, 6000, bind="::1")
        self.assertEqual(("::1", 6000), self.opened(client))
        client.ask(2, 6001, bind="*")
        self.assertEqual(("0.0.0.0", 6001), self.opened(client))
        client.ask(3, 6002, bind="example.com")
        self.assertEqual(Code.ADDRESS_INVALID, self.refused(client)[0])

    def test_type(self) -> None:
        _, client = self.serve(Policy())
        client.ask(1, 6000, type="udp")
        self.assertEqual((Code.UNSUPPORTED, "no 'udp' tunnels"), self.refused(client))


class DefaultBindTests(SynchronousTestCase):
    """
    Public ports are where the server listens for links, unless the client asks for
    more.
    """

    def opened_at(self, listen: str) -> tuple[str, int]:
        pair = Pair(
            server=server_config(listen=(listen,), insecure_plaintext=True)
        ).start_server()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        client = raw_client(pair.reactor)
        client.log_in()
        client.ask(1, 6000)
        answer = client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        return answer.host, answer.port

    def test_loopback(self) -> None:
        self.assertEqual(("127.0.0.1", 6000), self.opened_at("tcp://127.0.0.1:7000"))

    def test_name(self) -> None:
        self.assertEqual(("127.0.0.1", 6000), self.opened_at("tcp://localhost:7000"))

    def test_every_address(self) -> None:
        self.assertEqual(("0.0.0.0", 6000), self.opened_at("tcp://0.0.0.0:7000"))

    def test_description(self) -> None:
        """
        A description says where it listens only when it does.
        """
        self.assertEqual(("0.0.0.0", 6000), self.opened_at("tcp:7000"))
        self.assertEqual(
            ("127.0.0.1", 6000), self.opened_at("tcp:7000:interface=127.0.0.1")
        )


class TakenTests(PortCase):
    """
    Ports that somebody has.
    """

    def test_taken(self) -> None:
        pair, client = self.serve(Policy())
        pair.reactor.listenTCP(6000, pair.targets, interface="0.0.0.0")
        client.ask(1, 6000)
        self.assertEqual(
            (Code.ADDRESS_IN_USE, "127.0.0.1:6000: Address already in use"),
            self.refused(client),
        )
        client.ask(2, 6001)
        self.assertEqual(("127.0.0.1", 6001), self.opened(client))

    def test_of_another_client(self) -> None:
        pair, client = self.serve(Policy())
        client.ask(1, 6000)
        self.opened(client)
        other = raw_client(pair.reactor)
        other.log_in("other")
        other.ask(1, 6000)
        self.assertEqual(Code.ADDRESS_IN_USE, self.refused(other)[0])

    def test_closed_and_opened(self) -> None:
        """
        A client that closes a tunnel can have its port again at once, though the
        reactor needs a turn to close it.
        """
        pair, client = self.serve(Policy())
        client.ask(1, 6000)
        self.opened(client)
        client.transport.pauseProducing()
        client.send(FrameKind.TUNNEL_CLOSE, TunnelEnded(1, Code.CLOSED))
        client.ask(2, 6000)
        client.transport.resumeProducing()
        pair.reactor.settle()
        client.take(FrameKind.TUNNEL_CLOSE, TunnelEnded)
        self.assertEqual(("127.0.0.1", 6000), self.opened(client))

    def test_number_again(self) -> None:
        """
        The number of a closed tunnel may be used again: who still holds the closed
        one cannot close the new one with it.
        """
        pair, client = self.serve(Policy())
        client.ask(1, 6000)
        self.opened(client)
        [closed] = pair.server.tunnels
        client.send(FrameKind.TUNNEL_CLOSE, TunnelEnded(1, Code.CLOSED))
        client.take(FrameKind.TUNNEL_CLOSE, TunnelEnded)
        client.ask(1, 6001)
        self.assertEqual(("127.0.0.1", 6001), self.opened(client))
        closed.close()
        pair.reactor.settle()
        self.assertEqual([6001], pair.public_ports)
        [tunnel] = pair.server.tunnels
        self.assertIsNot(closed, tunnel)
        tunnel.close(Code.POLICY, "enough")
        pair.reactor.settle()
        self.assertEqual([], pair.public_ports)

    def test_in_one_breath(self) -> None:
        """
        A tunnel that is closed in the same breath in which it is asked for never
        opens.
        """
        pair, client = self.serve(Policy())
        said = b""
        for number in (1, 1, 2):
            request = TunnelOpen(tunnel=number, type="tcp", port=6000)
            said += encode_message(FrameKind.TUNNEL_OPEN, request)
            ended = TunnelEnded(number, Code.CLOSED)
            said += encode_message(FrameKind.TUNNEL_CLOSE, ended)
        request = TunnelOpen(tunnel=1, type="tcp", port=6001)
        client.write(said + encode_message(FrameKind.TUNNEL_OPEN, request))
        self.assertEqual([6001], pair.public_ports)
        self.assertEqual(1, len(list(pair.server.tunnels)))
