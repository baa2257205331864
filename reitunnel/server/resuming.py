"""
The server's judgement of links on which a session wants to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reitunnel.errors import (
    AuthenticationFailed,
    Code,
    Refused,
    RemoteProtocolError,
    SessionRefused,
)
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link
from reitunnel.server.proving import Examiner
from reitunnel.wire.handshake import ServerHandshake
from reitunnel.wire.messages import Challenge, Response, Resume, Resumed
from reitunnel.wire.proofs import client_resumes, server_resumes

if TYPE_CHECKING:
    from reitunnel.server.server import Server
    from reitunnel.server.session import ServerSession


class Resuming:
    """
    One link on which a session wants to go on.

    @ivar too_late: whether there is no such session: it is over, or was never there.
    """

    def __init__(self, server: Server, facts: ILinkFacts, resume: Resume) -> None:
        self.too_late = False
        self._server = server
        self._facts = facts
        self._resume = resume
        self._examiner = Examiner(server, facts)

    def challenge(self) -> Challenge:
        """
        Ask for the proof.

        @raise SessionRefused: when no session can go on on such a link.
        """
        return self._examiner.challenge(
            "this server resumes no sessions on such a link"
        )

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
        resume = self._resume
        session, binding = self._examiner.judge(
            response,
            resume.session,
            lambda secret, nonce, binding: client_resumes(
                secret, resume, nonce, binding
            ),
        )
        if session is None:
            self.too_late = True
            raise self._failed(", to be resumed, is not there")
        if binding is None:
            raise self._failed(", to be resumed, is proved wrongly")
        objection = self._examiner.objection(session)
        if objection:
            # Its client has no other link, and gets none: nobody waits for it.
            session.close(Code.AUTHENTICATION, "the client is not let in any more")
            raise self._failed(f" cannot be resumed: {objection}")
        self._check_received(session)
        return session, binding

    async def ask(
        self, session: ServerSession, outdated: Callable[[Code, str], None]
    ) -> None:
        """
        Ask the hooks, after L{judge}. What they see of the session is the new link.

        @param outdated: told when nobody needs the answer any more: the session is
            over, or its client has come back on yet another link.
        @raise Refused: when one refuses. Unless that is passing, the session is over.
        @raise SessionRefused: when the session is over, or cannot go on any more from
            where the client says.
        """
        with session.returning(self._facts, outdated) as returning:
            try:
                await self._server.hooks.decide_client_return(session)
            except Refused as refused:
                returning.refused(refused)
                raise
            if session.end is not None:
                self.too_late = True
                raise self._failed(", to be resumed, has ended")
            self._check_received(session)
            returning.allowed()

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
            session.secret, self._resume, received, self._examiner.nonce, binding
        )
        link.write([handshake.resumed(Resumed(received, proof))])
        session.resume(link, self._facts, self._resume.received, handshake.heard)

    def _check_received(self, session: ServerSession) -> None:
        received = self._resume.received
        if not session.can_resume(received):
            raise SessionRefused(
                Code.PROTOCOL, f"the session cannot go on from {received}"
            )

    def _failed(self, detail: str) -> AuthenticationFailed:
        session = self._resume.session.hex()
        return AuthenticationFailed("no such session", f"session {session}{detail}")
