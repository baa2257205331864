"""
The server's judgement of links on which a session wants to go on.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING

from reitunnel.errors import (
    AuthenticationFailed,
    Code,
    RemoteProtocolError,
    SessionRefused,
)
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.wire.handshake import ServerHandshake
from reitunnel.wire.messages import (
    NONCE_SIZE,
    Challenge,
    Response,
    Resume,
    Resumed,
)
from reitunnel.wire.proofs import client_resumes, same_proof, server_resumes

if TYPE_CHECKING:
    from reitunnel.server.server import Server
    from reitunnel.server.session import ServerSession


class Resuming:
    """
    One link on which a session wants to go on. What a stranger is told is the same
    whether there is such a session or not.

    @ivar too_late: whether there is no such session: it is over, or was never there.
    """

    def __init__(self, server: Server, facts: ILinkFacts, resume: Resume) -> None:
        self._server = server
        self._facts = facts
        self._resume = resume
        self._nonce = token_bytes(NONCE_SIZE)
        self.too_late = False

    def challenge(self) -> Challenge:
        """
        Ask for the proof.

        @raise SessionRefused: when no session can go on on such a link.
        """
        offered = self._server.authenticator.offered_for_data_link(self._facts)
        if not offered:
            raise SessionRefused(
                Code.POLICY, "this server resumes no sessions on such a link"
            )
        return Challenge(list(offered), self._nonce)

    def judge(self, response: Response) -> tuple[ServerSession, bytes]:
        """
        Judge the proof.

        @return: the session, and what the proofs are bound to.
        @raise AuthenticationFailed: when there is no such session, the proof is
            wrong, or the client would not be let in now, on such a link; then the
            session is over.
        @raise SessionRefused: when the session, whose client this is, cannot go on
            from where the client says.
        """
        resume, nonce = self._resume, self._nonce
        authenticator = self._server.authenticator
        bindings = authenticator.bindings(response.mechanism, self._facts)
        session = self._server.clients.by_id(resume.session)
        secret = token_bytes(32) if session is None else session.secret
        proved = [
            binding
            for binding in bindings
            if same_proof(response.data, client_resumes(secret, resume, nonce, binding))
        ]
        self.too_late = session is None
        if session is None or not proved:
            raise AuthenticationFailed(
                "no such session",
                f"session {resume.session.hex()}, to be resumed, "
                + ("is not there" if session is None else "is proved wrongly"),
            )
        objection = authenticator.objection(session.grounds, self._facts)
        if objection:
            # Its client has no other link, and gets none: nobody waits for it.
            session.close(Code.AUTHENTICATION, "the client is not let in any more")
            raise AuthenticationFailed(
                "no such session",
                f"session {resume.session.hex()} cannot be resumed: {objection}",
            )
        if not session.can_resume(resume.received):
            raise SessionRefused(
                Code.PROTOCOL, f"the session cannot go on from {resume.received}"
            )
        return session, proved[0]

    def go_on(
        self,
        session: ServerSession,
        link: Link,
        handshake: ServerHandshake,
        binding: bytes,
    ) -> None:
        """
        Give a session its next link, after L{judge}. The old one, if it is still
        there, is cut off.

        @raise RemoteProtocolError: when the client has not waited for the answer.
        @raise SessionRefused: when the session has ended over that.
        """
        if link.received != handshake.heard:
            raise RemoteProtocolError("bytes of the session before RESUMED")
        received = session.give_up_link()
        proof = server_resumes(
            session.secret, self._resume, received, self._nonce, binding
        )
        link.write([handshake.resumed(Resumed(received, proof))])
        session.resume(link, self._facts, self._resume.received, handshake.heard)
