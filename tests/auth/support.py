"""
What the tests of authentication share: facts of links, token files, and a run of
the two sides against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from twisted.internet.address import IPv4Address
from zope.interface import implementer

from reitunnel.auth import (
    Accepted,
    Challenge,
    ClientAuthenticator,
    ServerAuthenticator,
    TokenStore,
    new_token,
)
from reitunnel.interfaces import ICertificate, ILinkFacts

CLIENT = IPv4Address("TCP", "192.0.2.1", 40000)
SERVER = IPv4Address("TCP", "192.0.2.2", 7000)

CHANNEL = bytes(range(32))
"""What C{tls-exporter} gives at both ends of a TLS link."""


@implementer(ICertificate)
@dataclass(frozen=True)
class Certificate:
    """
    A verified certificate.
    """

    common_name: str = "router-7"
    subject: str = "CN=router-7,O=Example"
    organization: str = "Example"
    names: tuple[str, ...] = ("router-7.example.com",)
    fingerprint: str = "00" * 32


@implementer(ILinkFacts)
@dataclass(frozen=True)
class Facts:
    """
    The facts of a link.
    """

    scheme: str = "tls"
    peer: IPv4Address = CLIENT
    host: IPv4Address = SERVER
    secure: bool = True
    tls_version: str | None = "1.3"
    channel_binding: bytes | None = field(default=CHANNEL, repr=False)
    certificate: Certificate | None = None


TLS = Facts()
PLAIN = Facts(scheme="tcp", secure=False, tls_version=None, channel_binding=None)
MUTUAL = Facts(certificate=Certificate())


def write_token_file(path: Path, text: str, mode: int = 0o600) -> Path:
    """
    Put a token file in place, as an editor does: whole, under a new inode.
    """
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.chmod(mode)
    draft.replace(path)
    return path


def store_with(path: Path, *lines: str, name: str = "office") -> tuple[str, TokenStore]:
    """
    Make a token and a store that knows it.

    @param lines: more lines for the token's table.
    """
    token, entry = new_token(name)
    text = entry + "".join(f"{line}\n" for line in lines)
    return token, TokenStore(write_token_file(path, text))


@dataclass
class Run:
    """
    What an exchange came to.

    @ivar identity: whom the server let in, once the client was content too.
    @ivar messages: all that was sent, in order.
    """

    identity: str
    mechanism: str
    messages: list[bytes]


def run(
    client: ClientAuthenticator,
    server: ServerAuthenticator,
    client_facts: Facts,
    server_facts: Facts,
    offered: tuple[str, ...] | None = None,
) -> Run:
    """
    Let the two sides authenticate.

    @param offered: what the client is told, if not what the server offers.
    """
    if offered is None:
        offered = server.offered(server_facts)
    client_side = client.choose(offered, client_facts)
    server_side = server.begin(client_side.mechanism, server_facts)
    answer = client_side.first()
    messages = [answer]
    while True:
        outcome = server_side.respond(answer)
        messages.append(outcome.data)
        if isinstance(outcome, Accepted):
            client_side.finish(outcome.data)
            return Run(outcome.identity, client_side.mechanism, messages)
        assert isinstance(outcome, Challenge)
        answer = client_side.respond(outcome.data)
        messages.append(answer)
