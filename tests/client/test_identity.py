"""
The default client id.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.client import identity
from reitunnel.client.identity import default_client_id
from reitunnel.config import ClientConfig
from reitunnel.config.settings import TunnelSettings
from tests.pair import client_config


class IdentityTests(SynchronousTestCase):
    def setUp(self) -> None:
        machine_id = Path(self.mktemp())
        machine_id.write_text("0123456789abcdef\n")
        self.machine_id = machine_id
        self.patch(identity, "MACHINE_IDS", (machine_id,))
        self.patch(socket, "gethostname", lambda: "router.example")
        self.patch(os, "getuid", lambda: 1000)

    def of(self, **changes: object) -> str:
        config: ClientConfig = client_config(client_id=None, **changes)
        return default_client_id(config)

    def tunnels(self, *ports: int) -> tuple[TunnelSettings, ...]:
        return tuple(TunnelSettings(port=port, target="[::1]:80") for port in ports)

    def test_stable(self) -> None:
        """
        The same after a restart, and in whatever order the tunnels stand.
        """
        self.assertEqual(self.of(), self.of())
        self.assertEqual(
            self.of(tunnels=self.tunnels(1, 2)), self.of(tunnels=self.tunnels(2, 1))
        )
        self.assertTrue(self.of().startswith("router.example-"))

    def test_differs(self) -> None:
        """
        Between tunnels, servers, users and machines.
        """
        known = {
            self.of(),
            self.of(tunnels=self.tunnels(1)),
            self.of(server="tcp://127.0.0.1:7001"),
        }
        self.patch(os, "getuid", lambda: 1001)
        known.add(self.of())
        self.machine_id.write_text("fedcba9876543210\n")
        known.add(self.of())
        self.patch(socket, "gethostname", lambda: "other")
        known.add(self.of())
        self.assertEqual(6, len(known))

    def test_no_tunnels(self) -> None:
        """
        Nothing tells such clients apart, so each is another.
        """
        self.assertNotEqual(self.of(tunnels=()), self.of(tunnels=()))

    def test_no_machine_id(self) -> None:
        """
        Where there is none, or an empty one as in an image that was never started,
        the next file counts, and in the end the network interface.
        """
        other = Path(self.mktemp())
        other.write_text("fedcba9876543210\n")
        missing = Path(self.mktemp())
        self.patch(identity, "MACHINE_IDS", (other,))
        expected = self.of()
        self.machine_id.write_text("\n")
        self.patch(identity, "MACHINE_IDS", (missing, self.machine_id, other))
        self.assertEqual(expected, self.of())
        self.patch(identity, "MACHINE_IDS", ())
        self.assertNotEqual(expected, self.of())
        self.assertEqual(self.of(), self.of())

    def test_odd_host_name(self) -> None:
        """
        It can always be sent and shown.
        """
        self.patch(socket, "gethostname", lambda: "a b\n\x1b/" + "x" * 300)
        name = self.of()
        self.assertTrue(name.isprintable())
        self.assertNotIn(" ", name)
        self.assertLessEqual(len(name), 128)
