"""
The server's judgement of data links: whether one belongs to a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reitunnel.errors import AuthenticationFailed, Code, SessionRefused
from reitunnel.interfaces import ILinkFacts
from reitunnel.server.proving import Examiner
from reitunnel.wire.messages import Attach, Attached, Challenge, Response
from reitunnel.wire.proofs import client_proof, server_proof

if TYPE_CHECKING:
    from reitunnel.server.server import Server
    from reitunnel.server.session import ServerSession


class Attaching:
    """
    One data link that wants to belong to a session.
    """

    def __init__(self, server: Server, facts: ILinkFacts, attach: Attach) -> None:
        self._attach = attach
        self._examiner = Examiner(server, facts)

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
        return self._examiner.challenge(
            "this server takes no data links on such a link"
        )

    def judge(self, response: Response) -> tuple[ServerSession, Attached]:
        """
        Judge the proof.

        @return: the session, and this side's proof.
        @raise AuthenticationFailed: when there is no such session, the proof is
            wrong, or the client would not be let in now, on such a link.
        @raise SessionRefused: when the session, whose client this is, takes no such
            data link.
        """
        attach, examiner = self._attach, self._examiner
        session, binding = examiner.judge(
            response,
            attach.session,
            lambda secret, nonce, binding: client_proof(secret, attach, nonce, binding),
        )
        if session is None:
            raise self._failed("no such session")
        if binding is None:
            raise self._failed("the proof is wrong")
        objection = examiner.objection(session)
        if objection:
            # Who has proved to be the client may know it.
            raise self._failed(objection, "the client is not let in any more")
        if session.barred:
            raise SessionRefused(Code.LIMIT, "the client is not let in now")
        if not session.links.takes(attach.link):
            raise SessionRefused(
                Code.LIMIT, f"data link {attach.link} is not taken: too many, or known"
            )
        proof = server_proof(session.secret, attach, examiner.nonce, binding)
        return session, Attached(proof)

    def _failed(
        self, detail: str, reason: str = "no such session"
    ) -> AuthenticationFailed:
        attach = self._attach
        return AuthenticationFailed(
            reason,
            f"data link {attach.link} of session {attach.session.hex()}: {detail}",
        )
