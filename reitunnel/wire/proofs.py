"""
Proofs that a link belongs to a session, as a data link or as its next control link:
each side shows that it knows the session's secret, and none can be used twice.

docs/protocol.md, "Data links" and "Resumption", is the specification.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from reitunnel.errors import RemoteProtocolError
from reitunnel.wire.messages import NONCE_SIZE, Attach, Resume

_CLIENT: Final = b"reitunnel/1 attach client"
_SERVER: Final = b"reitunnel/1 attach server"
_CLIENT_RESUMES: Final = b"reitunnel/1 resume client"
_SERVER_RESUMES: Final = b"reitunnel/1 resume server"


def client_proof(
    secret: bytes, attach: Attach, challenge: bytes, binding: bytes
) -> bytes:
    """
    Make the client's proof.

    @param secret: the session's secret, from C{WELCOME}.
    @param challenge: the server's nonce, of L{NONCE_SIZE}.
    @param binding: what the client says of channel binding, and the data that it
        binds to: the C{cbind-input} of RFC 5802, section 7.
    @return: 32 bytes.
    @raise RemoteProtocolError: when the nonce has another size.
    """
    return _proof(_CLIENT, secret, _attached(attach), challenge, binding)


def server_proof(
    secret: bytes, attach: Attach, challenge: bytes, binding: bytes
) -> bytes:
    """
    Make the server's proof; the parameters are those of L{client_proof}.
    """
    return _proof(_SERVER, secret, _attached(attach), challenge, binding)


def client_resumes(
    secret: bytes, resume: Resume, challenge: bytes, binding: bytes
) -> bytes:
    """
    Make the client's proof for the next link of a session; the parameters are those
    of L{client_proof}.
    """
    return _proof(_CLIENT_RESUMES, secret, _resumed(resume), challenge, binding)


def server_resumes(
    secret: bytes, resume: Resume, received: int, challenge: bytes, binding: bytes
) -> bytes:
    """
    Make the server's proof for it.

    @param received: how many bytes of the session the server has received.
    """
    subject = _resumed(resume) + received.to_bytes(8, "big")
    return _proof(_SERVER_RESUMES, secret, subject, challenge, binding)


def same_proof(given: bytes, expected: bytes) -> bool:
    """
    Compare two proofs in constant time.
    """
    return hmac.compare_digest(given, expected)


def _attached(attach: Attach) -> bytes:
    return attach.session + attach.link.to_bytes(4, "big") + attach.nonce


def _resumed(resume: Resume) -> bytes:
    return resume.session + resume.received.to_bytes(8, "big") + resume.nonce


def _proof(
    label: bytes, secret: bytes, subject: bytes, challenge: bytes, binding: bytes
) -> bytes:
    # Each part but the last has a fixed size, so that no two inputs run together.
    if len(challenge) != NONCE_SIZE:
        raise RemoteProtocolError(f"CHALLENGE: a nonce of {len(challenge)} bytes")
    told = b"".join((label, subject, challenge, binding))
    return hmac.digest(secret, told, sha256)
