"""
Tests of the settings and the values that they are made of.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import (
    ClientConfig,
    ClientPolicy,
    HookSettings,
    Policy,
    PortRange,
    Secret,
    ServerConfig,
)


class SecretTests(SynchronousTestCase):
    def test_reveal(self) -> None:
        self.assertEqual("hunter2", Secret("hunter2").reveal())

    def test_does_not_show(self) -> None:
        config = ClientConfig(server="tls://h:1", token=Secret("hunter2"))
        for text in (repr(config), str(config), f"{config.token}", f"{config.token!r}"):
            self.assertNotIn("hunter2", text)

    def test_equality(self) -> None:
        self.assertEqual(Secret("a"), Secret("a"))
        self.assertEqual(hash(Secret("a")), hash(Secret("a")))
        self.assertNotEqual(Secret("a"), Secret("b"))
        self.assertNotEqual(Secret("a"), "a")


class PortRangeTests(SynchronousTestCase):
    def test_range(self) -> None:
        ports = PortRange.parse("1024-65535")
        self.assertEqual(
            [False, True, True, False],
            [port in ports for port in (1023, 1024, 65535, 65536)],
        )

    def test_single(self) -> None:
        self.assertEqual(PortRange(8080, 8080), PortRange.parse("8080"))

    def test_text(self) -> None:
        for text in ("1-2", "8080"):
            self.assertEqual(text, str(PortRange.parse(text)))

    def test_refused(self) -> None:
        for text in (
            "",
            "-",
            "0",
            "0-5",
            "1-65536",
            "1-2-3",
            "a",
            "1-",
            "-5",
            " 1",
            "²",
        ):
            error = self.assertRaises(ValueError, PortRange.parse, text)
            self.assertEqual(
                "expected a port from 1 to 65535 or a range such as "
                f'"1024-65535", got "{text}"',
                str(error),
            )

    def test_reversed(self) -> None:
        error = self.assertRaises(ValueError, PortRange.parse, "9-8")
        self.assertEqual('the range "9-8" ends before it begins', str(error))


class PolicyTests(SynchronousTestCase):
    def test_default(self) -> None:
        """
        Any port from 1024 on, on the server's own address.
        """
        rule = Policy().rule("token:web")
        self.assertEqual(
            [False, True, True],
            [rule.allows_port(port) for port in (1023, 1024, 65535)],
        )
        self.assertTrue(rule.allows_bind(""))
        self.assertFalse(rule.allows_bind("127.0.0.1"))
        self.assertFalse(rule.allows_bind("*"))

    def test_bind(self) -> None:
        rule = Policy(bind=("127.0.0.1",)).rule("anonymous")
        self.assertTrue(rule.allows_bind("127.0.0.1"))
        self.assertFalse(rule.allows_bind("0.0.0.0"))

    def test_any_bind(self) -> None:
        rule = Policy(bind=("*",)).rule("anonymous")
        self.assertTrue(rule.allows_bind("10.0.0.1"))
        self.assertTrue(rule.allows_bind("*"))

    def test_first_pattern_that_matches(self) -> None:
        policy = Policy(
            bind=("127.0.0.1",),
            clients={
                "token:web": ClientPolicy(ports=(PortRange(80, 80),)),
                "token:*": ClientPolicy(ports=(), bind=()),
            },
        )
        web, other = policy.rule("token:web"), policy.rule("token:other")
        self.assertTrue(web.allows_port(80))
        self.assertFalse(web.allows_port(8080))
        self.assertTrue(web.allows_bind("127.0.0.1"))
        self.assertFalse(other.allows_port(80))
        self.assertFalse(other.allows_bind("127.0.0.1"))
        self.assertTrue(policy.rule("certificate:CN=x").allows_port(8080))

    def test_patterns_heed_case(self) -> None:
        policy = Policy(clients={"token:WEB": ClientPolicy(ports=())})
        self.assertTrue(policy.rule("token:web").allows_port(8080))


class StructTests(SynchronousTestCase):
    def test_frozen(self) -> None:
        config = ServerConfig(listen=("tls://0.0.0.0:7000",))
        self.assertRaises(AttributeError, setattr, config, "listen", ())
        self.assertRaises(AttributeError, setattr, config.limits, "max_conns", 1)

    def test_hook_table(self) -> None:
        hook = HookSettings(name="logging", options={"sample": 10})
        self.assertEqual({"name": "logging", "sample": 10}, hook.table())
