"""
What the C{remote-policy} hook asks a service, and what the service may answer:
docs/remote-policy.md is the schema.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from reitunnel.interfaces import ICertificate, ISession, IStream, ITunnel
from reitunnel.wire.messages import Metadata

VERSION: Final = 1
"""Of the schema."""

Asked = Literal["client", "tunnel", "stream"]

_Text = Annotated[str, Meta(max_length=200, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]

_PATTERN: Final = re.compile(r"matching regex '.*'(?= - at|$)")
"""How a L{_Text} that is none is called, which is for people to read."""


class BadAnswer(Exception):
    """
    An answer that is none; the text is for people.
    """


class Rewrite(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is to become of a tunnel that is asked for.

    @ivar port: the public port; 0 lets the server choose.
    @ivar metadata: what hooks and programs on the server see.
    """

    port: Annotated[int, Meta(ge=0, le=65535)] | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a service answers.

    @ivar decision: whether it is allowed.
    @ivar reason: of a refusal, for people on both sides.
    @ivar tunnel: what to change of a tunnel that is allowed.
    """

    decision: Literal["allow", "refuse"]
    reason: _Text = ""
    tunnel: Rewrite | UnsetType = UNSET


def decode_answer(asked: Asked, body: bytes) -> Answer:
    """
    Read an answer.

    @raise BadAnswer: when it is none.
    """
    try:
        answer = msgspec.json.decode(body, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = _PATTERN.sub("without control characters", " ".join(str(error).split()))
        raise BadAnswer(f"the answer is not valid: {said[:200]}") from None
    if answer.tunnel is not UNSET and (asked, answer.decision) != ("tunnel", "allow"):
        raise BadAnswer(
            "the answer is not valid: only a tunnel that is allowed is changed"
        )
    return answer


def encode_client(client: ISession) -> bytes:
    """
    Ask for a client.
    """
    return _encode("client", client=_client(client))


def encode_tunnel(tunnel: ITunnel) -> bytes:
    """
    Ask for a tunnel.
    """
    return _encode("tunnel", client=_client(tunnel.session), tunnel=_tunnel(tunnel))


def encode_stream(stream: IStream) -> bytes:
    """
    Ask for a visitor.
    """
    tunnel = stream.tunnel
    return _encode(
        "stream",
        client=_client(tunnel.session),
        tunnel=_tunnel(tunnel),
        stream={"id": stream.id, "visitor": _address(stream.visitor)},
    )


def _encode(asked: Asked, **facts: Any) -> bytes:
    return msgspec.json.encode({"version": VERSION, "ask": asked, **facts})


def _client(client: ISession) -> dict[str, Any]:
    facts = client.facts
    return {
        "identity": client.identity,
        "instance": client.instance,
        "session": client.id,
        "peer": _address(facts.peer),
        "scheme": facts.scheme,
        "certificate": _certificate(facts.certificate),
    }


def _certificate(certificate: ICertificate | None) -> dict[str, Any] | None:
    if certificate is None:
        return None
    return {
        "subject": certificate.subject,
        "common_name": certificate.common_name,
        "organization": certificate.organization,
        "names": list(certificate.names),
        "fingerprint": certificate.fingerprint,
    }


def _tunnel(tunnel: ITunnel) -> dict[str, Any]:
    return {
        "id": tunnel.id,
        "type": tunnel.type,
        "bind": tunnel.bind,
        "port": tunnel.port,
        "public": None if tunnel.address is None else _address(tunnel.address),
        "target": tunnel.target,
        "metadata": dict(tunnel.metadata),
    }


def _address(address: IAddress) -> dict[str, Any]:
    if isinstance(address, IPv4Address | IPv6Address):
        return {"host": address.host, "port": address.port}
    if isinstance(address, UNIXAddress):
        name = (address.name or b"").decode(errors="replace")
        return {"host": f"unix:{name}", "port": 0}
    return {"host": str(address), "port": 0}
