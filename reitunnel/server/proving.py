"""
The server's judgement of links whose clients say that they know a session.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes
from typing import TYPE_CHECKING

from reitunnel.errors import Code, SessionRefused
from reitunnel.interfaces import ILinkFacts
from reitunnel.wire.messages import NONCE_SIZE, Challenge, Response
from reitunnel.wire.proofs import same_proof

if TYPE_CHECKING:
    from reitunnel.server.server import Server
    from reitunnel.server.session import ServerSession


class Examiner:
    """
    Asks on one link for a proof, and judges it. What a stranger is told, and how long
    that takes, is the same whether there is such a session or not.

    @ivar nonce: what the client has to prove it for.
    """

    def __init__(self, server: Server, facts: ILinkFacts) -> None:
        self.nonce = token_bytes(NONCE_SIZE)
        self._server = server
        self._facts = facts

    def challenge(self, objection: str) -> Challenge:
        """
        Ask for the proof.

        @param objection: what to say when none can be given on such a link.
        @raise SessionRefused: with C{objection}.
        """
        offered = self._server.authenticator.offered_for_data_link(self._facts)
        if not offered:
            raise SessionRefused(Code.POLICY, objection)
        return Challenge(list(offered), self.nonce)

    def judge(
        self,
        response: Response,
        number: bytes,
        prove: Callable[[bytes, bytes, bytes], bytes],
    ) -> tuple[ServerSession | None, bytes | None]:
        """
        Judge the proof.

        @param number: of the session.
        @param prove: makes the proof that it should be, of the session's secret, the
            nonce, and what it may be bound to.
        @return: the session, L{None} if there is none; and what the proof is bound to,
            L{None} if it is wrong.
        @raise AuthenticationFailed: when the mechanism was not offered.
        """
        bindings = self._server.authenticator.bindings(response.mechanism, self._facts)
        session = self._server.clients.by_id(number)
        secret = token_bytes(32) if session is None else session.secret
        proved = [
            binding
            for binding in bindings
            if same_proof(response.data, prove(secret, self.nonce, binding))
        ]
        return session, proved[0] if proved else None

    def objection(self, session: ServerSession) -> str:
        """
        Say why the client of a session would not be let in now, on this link; empty if
        it would.
        """
        return self._server.authenticator.objection(session.grounds, self._facts)
