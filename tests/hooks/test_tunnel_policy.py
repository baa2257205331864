"""
Tests for the C{policy} hook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, ConfigError, Refused
from reitunnel.hooks import HookManager
from reitunnel.hooks.client_rules import ClientRule
from reitunnel.hooks.tunnel_policy import (
    PolicyHook,
    PolicyHookFactory,
    PolicyOptions,
    TargetRule,
    TunnelRule,
)
from reitunnel.interfaces import ITunnelHook
from tests.hooks.building import built
from tests.hooks.fakes import FakeCertificate, FakeFacts, FakeSession, FakeTunnel


def hook_with(*rules: TunnelRule) -> PolicyHook:
    """
    A hook with these rules.
    """
    return PolicyHook(PolicyOptions(rules=rules))


def refused(rule: TunnelRule | PolicyHook, tunnel: FakeTunnel) -> str:
    """
    Why a tunnel is refused; empty if it is not.
    """
    hook = rule if isinstance(rule, PolicyHook) else hook_with(rule)
    try:
        hook.on_tunnel_open(tunnel)
    except Refused as error:
        return str(error)
    hook.on_tunnel_close(tunnel, Code.NONE, "")
    return ""


class PortTests(SynchronousTestCase):
    def test_ports(self) -> None:
        rule = TunnelRule(ports=("443", "8000-8999"))
        for port in (443, 8000, 8500, 8999):
            self.assertEqual("", refused(rule, FakeTunnel(port=port)))
        for port in (442, 444, 7999, 9000):
            self.assertEqual(
                f"port {port} is not allowed", refused(rule, FakeTunnel(port=port))
            )

    def test_port_left_to_the_server(self) -> None:
        """
        The server may choose one that is not in the rule, so that is refused unless
        the rule says otherwise.
        """
        chosen = FakeTunnel(port=0)
        words = "the port must be chosen, not left to the server"
        ports = ("8000-8999",)
        self.assertEqual("", refused(TunnelRule(), chosen))
        self.assertEqual(words, refused(TunnelRule(server_chooses=False), chosen))
        self.assertEqual(words, refused(TunnelRule(ports=ports), chosen))
        self.assertEqual(
            "", refused(TunnelRule(ports=ports, server_chooses=True), chosen)
        )

    def test_no_port(self) -> None:
        rule = TunnelRule(ports=(), server_chooses=True)
        self.assertIn("not allowed", refused(rule, FakeTunnel(port=8000)))
        self.assertEqual("", refused(rule, FakeTunnel(port=0)))


class BindTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        rule = TunnelRule(bind=("127.0.0.1", "192.0.2.0/24", "2001:db8::/32"))
        for bind in (
            "",
            "127.0.0.1",
            "localhost",
            "192.0.2.5",
            "::ffff:192.0.2.5",
            "2001:DB8:0::5",
        ):
            self.assertEqual("", refused(rule, FakeTunnel(bind=bind)))
        for bind in ("127.0.0.2", "192.0.3.1", "::1", "*", "0.0.0.0", "::", "example"):
            self.assertEqual(
                f"the address {bind!r} is not allowed",
                refused(rule, FakeTunnel(bind=bind)),
            )

    def test_none_but_the_default(self) -> None:
        rule = TunnelRule(bind=())
        self.assertEqual("", refused(rule, FakeTunnel(bind="")))
        self.assertIn("not allowed", refused(rule, FakeTunnel(bind="127.0.0.1")))

    def test_any(self) -> None:
        for rule in (TunnelRule(bind=("*",)), TunnelRule()):
            for bind in ("", "*", "::", "192.0.2.5"):
                self.assertEqual("", refused(rule, FakeTunnel(bind=bind)))

    def test_networks_of_everything(self) -> None:
        """
        Every address there is, but not every address of the machine at once.
        """
        rule = TunnelRule(bind=("0.0.0.0/0", "::/0"))
        self.assertEqual("", refused(rule, FakeTunnel(bind="192.0.2.5")))
        for bind in ("*", "0.0.0.0", "::", "::ffff:0.0.0.0"):
            self.assertIn("not allowed", refused(rule, FakeTunnel(bind=bind)))


class TargetTests(SynchronousTestCase):
    def allowed(self, rule: TargetRule, target: str) -> bool:
        answer = refused(TunnelRule(targets=(rule,)), FakeTunnel(target=target))
        self.assertIn(answer, ("", f"the target {target!r} is not allowed"))
        return not answer

    def test_hosts(self) -> None:
        rule = TargetRule(hosts=("localhost", "*.Example.com"))
        for target in ("localhost:1", "LOCALHOST:2", "a.example.com:80"):
            self.assertTrue(self.allowed(rule, target))
        for target in ("example.com:80", "local:1", "unix:/localhost", ""):
            self.assertFalse(self.allowed(rule, target))

    def test_networks(self) -> None:
        rule = TargetRule(networks=("10.0.0.0/8", "2001:db8::/32"))
        for target in ("10.9.8.7:80", "[2001:db8::1]:80", "[::ffff:10.1.2.3]:80"):
            self.assertTrue(self.allowed(rule, target))
        for target in ("11.0.0.0:80", "[2001:db9::1]:80", "10.example.com:80"):
            self.assertFalse(self.allowed(rule, target))

    def test_hosts_or_networks(self) -> None:
        rule = TargetRule(hosts=("localhost",), networks=("127.0.0.0/8",))
        self.assertTrue(self.allowed(rule, "localhost:80"))
        self.assertTrue(self.allowed(rule, "127.0.0.1:80"))

    def test_ports(self) -> None:
        rule = TargetRule(ports=("80", "8000-8099"))
        self.assertTrue(self.allowed(rule, "any:80"))
        self.assertTrue(self.allowed(rule, "[::1]:8099"))
        self.assertFalse(self.allowed(rule, "any:81"))
        both = TargetRule(hosts=("localhost",), ports=("80",))
        self.assertTrue(self.allowed(both, "localhost:80"))
        self.assertFalse(self.allowed(both, "localhost:81"))
        self.assertFalse(self.allowed(both, "other:80"))

    def test_texts(self) -> None:
        rule = TargetRule(texts=("unix:/run/app/*", "in process: Site"))
        self.assertTrue(self.allowed(rule, "unix:/run/app/x"))
        self.assertTrue(self.allowed(rule, "in process: Site"))
        self.assertFalse(self.allowed(rule, "unix:/run/other"))
        self.assertFalse(self.allowed(rule, "localhost:80"))

    def test_one_of_many(self) -> None:
        rule = TunnelRule(
            targets=(TargetRule(ports=("22",)), TargetRule(hosts=("db",)))
        )
        for target in ("x:22", "db:5432"):
            self.assertEqual("", refused(rule, FakeTunnel(target=target)))
        self.assertIn("not allowed", refused(rule, FakeTunnel(target="x:23")))

    def test_none(self) -> None:
        self.assertIn("not allowed", refused(TunnelRule(targets=()), FakeTunnel()))


class ClientTests(SynchronousTestCase):
    def tunnel(self, identity: str, port: int, organization: str = "") -> FakeTunnel:
        facts = FakeFacts(certificate=FakeCertificate(organization=organization))
        return FakeTunnel(
            port=port, session=FakeSession(identity=identity, facts=facts)
        )

    def test_first_rule_decides(self) -> None:
        hook = hook_with(
            TunnelRule(
                clients=(
                    ClientRule(identities=("token:ci-*",)),
                    ClientRule(organizations=("Example Ltd",)),
                ),
                ports=("8000",),
            ),
            TunnelRule(ports=("9000",)),
        )
        for client in (("token:ci-1", ""), ("certificate:x", "Example Ltd")):
            identity, organization = client
            self.assertEqual(
                "", refused(hook, self.tunnel(identity, 8000, organization))
            )
            self.assertIn(
                "port 9000", refused(hook, self.tunnel(identity, 9000, organization))
            )
        self.assertEqual("", refused(hook, self.tunnel("token:web", 9000)))
        self.assertIn("port 8000", refused(hook, self.tunnel("token:web", 8000)))

    def test_no_rule(self) -> None:
        hook = hook_with(TunnelRule(clients=(ClientRule(tokens=("ci-*",)),)))
        self.assertEqual("", refused(hook, self.tunnel("token:ci-1", 1)))
        self.assertEqual(
            "no tunnel is allowed for token:web",
            refused(hook, self.tunnel("token:web", 1)),
        )

    def test_with_the_manager(self) -> None:
        hooks = HookManager(Clock())
        hook = hook_with(TunnelRule(ports=("8000",)))
        verifyObject(ITunnelHook, hook)
        hooks.register(hook)
        failure = self.failureResultOf(
            Deferred.fromCoroutine(hooks.decide_tunnel_open(FakeTunnel(port=1))),
            Refused,
        )
        self.assertEqual("port 1 is not allowed", str(failure.value))


class OptionTests(SynchronousTestCase):
    def built(self, table: Mapping[str, Any]) -> object:
        return built(PolicyHookFactory(), **table)

    def test_mistakes(self) -> None:
        place = "hooks[0].rules[0]"
        for rule, words in (
            (
                {"ports": ["0"]},
                ".ports[0]: expected a port from 1 to 65535 or a range",
            ),
            ({"ports": ["80", "9-8"]}, '.ports[1]: the range "9-8" ends before it'),
            ({"bind": ["*", "x"]}, ".bind[1]: expected a network such as"),
            ({"clients": []}, ".clients: expected at least one"),
            ({"clients": [{}]}, ".clients[0]: a rule needs one or more of identities"),
            ({"targets": [{}]}, ".targets[0]: needs hosts, networks or ports, or else"),
            (
                {"targets": [{"texts": ["x"], "ports": ["80"]}]},
                ".targets[0]: needs hosts, networks or ports, or else texts",
            ),
            ({"targets": [{"ports": ["x"]}]}, ".targets[0].ports[0]: expected a port"),
            (
                {"targets": [{"networks": ["x"]}]},
                ".targets[0].networks[0]: expected a network",
            ),
        ):
            error = self.assertRaises(ConfigError, self.built, {"rules": [rule]})
            self.assertIn(f"{place}{words}", str(error))

    def test_no_rules(self) -> None:
        error = self.assertRaises(ConfigError, self.built, {"rules": []})
        self.assertEqual("hooks[0].rules: expected at least one", str(error))

    def test_build(self) -> None:
        hook = self.built(
            {"rules": [{"ports": ["8000"], "targets": [{"ports": ["1"]}]}]}
        )
        assert isinstance(hook, PolicyHook)
        self.assertEqual("", refused(hook, FakeTunnel(port=8000, target="x:1")))
        self.assertIn("target", refused(hook, FakeTunnel(port=8000, target="x:2")))
