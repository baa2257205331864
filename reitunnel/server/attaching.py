"""
The server's judgement of data links: whether one belongs to a session.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING

from reitunnel.errors import AuthenticationFailed, Code, SessionRefused
from reitunnel.interfaces import ILinkFacts
from reitunnel.wire.messages import NONCE_SIZE, Attach, Attached, Challenge, Response
from reitunnel.wire.proofs import client_proof, same_proof, server_proof

if TYPE_CHECKING:
    from reitunnel.server.server import Server
    from reitunnel.server.session import ServerSession


class Attaching:
    """
    One data link that wants to belong to a session. What a stranger is told is the
    same whether there is such a session or not.
    """

    def __init__(self, server: Server, facts: ILinkFacts, attach: Attach) -> None:
        self._server = server
        self._facts = facts
        self._attach = attach
        self._nonce = token_bytes(NONCE_SIZE)

    @property
    def number(self) -> int:
        """
        The number that the client gave the link.
        """
        return self._attach.link

    def challenge(self) -> Challenge:
        """
        Ask for the proof.

        @raise SessionRefused: when no session can have a data link on such a link.
        """
        offered = self._server.authenticator.offered_for_data_link(self._facts)
        if not offered:
            raise SessionRefused(
                Code.POLICY, "this server takes no data links on such a link"
            )
        return Challenge(list(offered), self._nonce)

    def judge(self, response: Response) -> tuple[ServerSession, Attached]:
        """
        Judge the proof.

        @return: the session, and this side's proof.
        @raise AuthenticationFailed: when there is no such session, the proof is
            wrong, or the client would not be let in now, on such a link.
        @raise SessionRefused: when the session, whose client this is, takes no such
            data link.
        """
        attach, nonce = self._attach, self._nonce
        bindings = self._server.authenticator.bindings(response.mechanism, self._facts)
        session = self._server.session_by_id(attach.session)
        secret = token_bytes(32) if session is None else session.secret
        proved = [
            binding
            for binding in bindings
            if same_proof(response.data, client_proof(secret, attach, nonce, binding))
        ]
        if session is None or not proved:
            raise AuthenticationFailed(
                "no such session",
                f"data link {attach.link} of session {attach.session.hex()}: "
                + ("no such session" if session is None else "the proof is wrong"),
            )
        objection = self._server.authenticator.objection(session.grounds, self._facts)
        if objection:
            # Who has proved to be the client may know it.
            raise AuthenticationFailed(
                "the client is not let in any more",
                f"data link {attach.link} of session {attach.session.hex()}: "
                + objection,
            )
        if not session.links.takes(attach.link):
            raise SessionRefused(
                Code.LIMIT, f"data link {attach.link} is not taken: too many, or known"
            )
        return session, Attached(server_proof(secret, attach, nonce, proved[0]))
