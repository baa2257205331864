"""
The server's judgement of data links: whether one belongs to a session.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING

from reitunnel.errors import AuthenticationFailed
from reitunnel.interfaces import ILinkFacts
from reitunnel.wire.messages import Attach, Attached, Challenge, Response
from reitunnel.wire.proofs import client_proof, same_proof, server_proof

if TYPE_CHECKING:
    from reitunnel.server.server import Server
    from reitunnel.server.session import ServerSession


class Attaching:
    """
    One data link that wants to belong to a session.
    """

    def __init__(self, server: Server, facts: ILinkFacts, attach: Attach) -> None:
        self._server = server
        self._binding = facts.channel_binding or b""
        self._attach = attach
        self._nonce = token_bytes(32)

    @property
    def number(self) -> int:
        """
        The number that the client gave the link.
        """
        return self._attach.link

    def challenge(self) -> Challenge:
        """
        Ask for the proof. Whether there is such a session is not told.
        """
        return Challenge(data=self._nonce)

    def judge(self, response: Response) -> tuple[ServerSession, Attached]:
        """
        Judge the proof.

        @return: the session, and this side's proof.
        @raise AuthenticationFailed: when there is no such session, the proof is
            wrong, or the session takes no such link.
        """
        attach = self._attach
        session = self._server.session_by_id(attach.session)
        secret = token_bytes(32) if session is None else session.secret
        expected = client_proof(secret, attach, self._nonce, self._binding)
        if not same_proof(response.data, expected) or session is None:
            raise AuthenticationFailed(
                "no such session", f"data link of session {attach.session.hex()}"
            )
        if not session.links.takes(attach.link):
            raise AuthenticationFailed(
                "no such session", f"{session.name}: data link {attach.link}"
            )
        proof = server_proof(secret, attach, self._nonce, self._binding)
        return session, Attached(proof)
