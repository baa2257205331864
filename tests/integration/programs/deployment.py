"""
Configures a Reitunnel server and its clients for one transport: tokens everywhere,
and on TLS links channel binding too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reitunnel.auth import new_token
from tests.certificates import CertificateAuthority, write_private
from tests.integration.programs.ports import free_port

_PROGRAMS = Path(sys.executable).parent
SERVER = (str(_PROGRAMS / "reitunnel"), "server")
"""The command that runs a server."""
CLIENT = (str(_PROGRAMS / "twistd"), "-n", "reitunnel", "client")
"""The command that runs a client, as C{twistd} does it."""


@dataclass(frozen=True)
class Way:
    """
    A transport.

    @ivar scheme: of its URLs.
    @ivar path: what its URLs end with.
    """

    scheme: str
    path: str = ""

    @property
    def secure(self) -> bool:
        """
        Whether it has TLS.
        """
        return self.scheme in ("tls", "wss")

    def url(self, host: str, port: int) -> str:
        """
        A URL to listen on or to dial.
        """
        return f"{self.scheme}://{host}:{port}{self.path}"


TCP = Way("tcp")
TLS = Way("tls")
WS = Way("ws", "/tunnel")
WSS = Way("wss", "/tunnel")
WAYS = (TCP, TLS, WS, WSS)
"""Every transport that Reitunnel has."""


@dataclass(frozen=True)
class Remote:
    """
    A tunnel as a client asks for it.

    @ivar target: C{host:port} or C{unix:/path}.
    @ivar port: the public port.
    """

    target: str
    port: int = 0


class Deployment:
    """
    The files of one server and its clients.

    @ivar way: the transport.
    @ivar port: where the server listens for links.
    @ivar authority: who issues the certificates.
    @ivar ca: its own certificate.
    @ivar pem: the server's certificate and key.
    @ivar hooks: the names of the hooks that the server and the clients have.
    """

    def __init__(self, directory: Path, way: Way) -> None:
        self.way = way
        self.hooks: tuple[str, ...] = ()
        self.port = free_port()
        self.authority = CertificateAuthority()
        self._directory = directory
        token, verifier = new_token("laptop")
        write_private(directory / "tokens.toml", verifier.encode())
        write_private(directory / "token", token.encode())
        self.ca = self.authority.write(directory / "ca.pem")
        self.pem = directory / "server.pem"
        self.renew_certificate()

    def renew_certificate(self) -> None:
        """
        Give the server another certificate.
        """
        self.authority.issue("server", "localhost", "127.0.0.1").write(self.pem)

    def server_config(self, keys: Mapping[str, Any] | None = None) -> Path:
        """
        Write the server's file.

        @param keys: what it has besides the usual, or in place of it, by the
            key's path; L{None} leaves a key out.
        """
        usual: dict[str, Any] = {
            "listen": [self.way.url("127.0.0.1", self.port)],
            "auth.tokens": str(self._directory / "tokens.toml"),
        }
        if self.way.secure:
            usual["pem"] = str(self.pem)
            usual["auth.channel_binding"] = "require"
        return self._write("server.toml", {**usual, **(keys or {})}, ())

    def client_config(
        self,
        remotes: Iterable[Remote],
        client_id: str = "client",
        keys: Mapping[str, Any] | None = None,
    ) -> Path:
        """
        Write a client's file.

        @param keys: as for L{server_config}.
        """
        usual: dict[str, Any] = {
            "server": self.way.url("localhost", self.port),
            "client_id": client_id,
            "token_file": str(self._directory / "token"),
        }
        if self.way.secure:
            usual["ca"] = str(self.ca)
            usual["channel_binding"] = "require"
        return self._write(f"{client_id}.toml", {**usual, **(keys or {})}, remotes)

    def _write(
        self, name: str, keys: Mapping[str, Any], remotes: Iterable[Remote]
    ) -> Path:
        # TOML writes texts, numbers and lists of them as JSON does.
        lines = [
            f"{key} = {json.dumps(value)}"
            for key, value in keys.items()
            if value is not None
        ]
        for hook in self.hooks:
            lines += ["[[hooks]]", f"name = {json.dumps(hook)}"]
        for remote in remotes:
            lines += [
                "[[tunnels]]",
                f"port = {remote.port}",
                f"target = {json.dumps(remote.target)}",
            ]
        path = self._directory / name
        path.write_text("\n".join([*lines, ""]))
        return path
