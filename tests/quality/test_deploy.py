"""
What docs/deploy shows is what the programs take, and what systemd and nginx take.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import CertificateAuthority
from tests.programs import require_program, run_program
from tests.quality.test_documents import known_flags, unknown_words

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"
SERVICES = ("reitunnel-server.service", "reitunnel-client.service")
INSTALLED = "/opt/reitunnel/bin/reitunnel"
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
}


def settings(name: str) -> Iterator[tuple[str, str, str]]:
    """
    The section, key and value of each line of a unit.
    """
    section = ""
    for line in (DEPLOY / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            yield section, key, value


class UnitTests(SynchronousTestCase):
    def service(self, name: str) -> dict[str, str]:
        """
        The keys of a service.
        """
        return {
            key: value for place, key, value in settings(name) if place == "Service"
        }

    def test_services(self) -> None:
        """
        They are told how the program is doing, let it end its streams, do not run
        as root, and can do little else.
        """
        for name in SERVICES:
            keys = self.service(name)
            self.assertEqual("notify", keys["Type"])
            self.assertEqual("/bin/kill -HUP $MAINPID", keys["ExecReload"])
            self.assertEqual("30s", keys["WatchdogSec"])
            self.assertTrue(int(keys["TimeoutStopSec"].rstrip("s")) > 10)
            self.assertTrue(int(keys["LimitNOFILE"]) > 20000)
            self.assertTrue(keys.keys() & {"User", "DynamicUser"}, name)
            self.assertEqual(HARDENING, {key: keys[key] for key in HARDENING})
            # Mistakes of the configuration do not go away by themselves.
            self.assertEqual("2", keys["RestartPreventExitStatus"])

    def test_commands(self) -> None:
        """
        Their flags exist.
        """
        known = known_flags()
        for name in SERVICES:
            program, *words = self.service(name)["ExecStart"].split()
            self.assertEqual(INSTALLED, program)
            self.assertEqual([], unknown_words(words, known))

    def test_socket(self) -> None:
        """
        Its name is the one that the README listens on, and it is local.
        """
        keys = {key: value for _, key, value in settings("reitunnel-server.socket")}
        readme = (DEPLOY / "README.md").read_text()
        name = keys["FileDescriptorName"]
        self.assertIn(f"systemd:domain=INET:name={name}", readme)
        self.assertTrue(keys["ListenStream"].startswith("127.0.0.1:"))

    def test_verify(self) -> None:
        """
        systemd has nothing to say against them.
        """
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            raise SkipTest("systemd-analyze is not installed")
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        units = [*SERVICES, "reitunnel-server.socket"]
        for name in units:
            text = (DEPLOY / name).read_text()
            (directory / name).write_text(text.replace(INSTALLED, sys.executable))
        done = run_program(
            [analyze, "verify", *(directory / name for name in units)], timeout=60
        )
        said = [line for line in done.stdout.splitlines() if "reitunnel" in line]
        self.assertEqual([], said)


class NginxTests(SynchronousTestCase):
    def test_configuration(self) -> None:
        """
        nginx takes the site.
        """
        nginx = require_program("nginx")
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        pem = CertificateAuthority().issue("server").write(directory / "site.pem")
        site = (DEPLOY / "nginx.conf").read_text()
        site = re.sub(r"/etc/ssl/\S+(?=;)", str(pem), site)
        paths = "".join(
            f"{name}_temp_path {directory}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (directory / "nginx.conf").write_text(
            f"pid {directory}/pid;\nerror_log stderr;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{paths}{site}}}\n"
        )
        done = run_program(
            [nginx, "-t", "-p", directory, "-c", directory / "nginx.conf"], timeout=60
        )
        self.assertEqual(0, done.returncode, done.stdout)


class DockerfileTests(SynchronousTestCase):
    def test_command(self) -> None:
        """
        It runs the command, and not as root.
        """
        text = (DEPLOY / "Dockerfile").read_text()
        self.assertIn('\nENTRYPOINT ["reitunnel"]\n', text)
        self.assertRegex(text, r"(?m)^USER (?!root)")
