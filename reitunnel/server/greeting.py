"""
The server's side of a handshake, over a link.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.auth import Accepted, ServerExchange
from reitunnel.errors import (
    AuthenticationFailed,
    Code,
    CodedError,
    Refused,
    RemoteProtocolError,
    SessionRefused,
)
from reitunnel.hooks import Asking, watch
from reitunnel.interfaces import ILinkFacts
from reitunnel.relay import Link, shown
from reitunnel.server.attaching import Attaching
from reitunnel.server.resuming import Resuming
from reitunnel.transports import link_facts
from reitunnel.wire.frames import Frame
from reitunnel.wire.handshake import ServerHandshake, common_version
from reitunnel.wire.messages import Attach, Challenge, Hello, Response, Resume

if TYPE_CHECKING:
    from reitunnel.server.server import Server
    from reitunnel.server.session import ServerSession

SOFTWARE = f"reitunnel/{version('reitunnel')}"


class Greeting:
    """
    Authenticates a client and hands its link to a session: a new one, or, for a data
    link and for the next control link, the one that it belongs to. The peer has
    C{timeouts.handshake} seconds for it; its bytes are bounded by the handshake.
    """

    _log = Logger()
    _link: Link
    _facts: ILinkFacts

    def __init__(self, server: Server, default_bind: Callable[[], str]) -> None:
        """
        @param default_bind: tells where the client's tunnels are bound by default.
        """
        self._server = server
        self._default_bind = default_bind
        self._handshake = ServerHandshake()
        self._hello: Hello | None = None
        self._exchange: ServerExchange | None = None
        self._attaching: Attaching | None = None
        self._resuming: Resuming | None = None
        self._deadline: IDelayedCall | None = None
        self._entering: Asking[None] | None = None

    # What the link tells.

    def link_ready(self, link: Link) -> None:
        """
        Wait for the client's first word.
        """
        self._link = link
        self._facts = link_facts(link.transport)
        self._deadline = self._server.reactor.callLater(
            self._server.config.timeouts.handshake, self._expire
        )
        if not self._server.link_arrived(self, link):
            link.abort()

    def frame_received(self, frame: Frame) -> None:
        """
        Answer the client's greeting, or its answer.
        """
        message = self._handshake.receive(frame)
        try:
            if isinstance(message, Hello):
                self._greeted(message)
            elif isinstance(message, Attach):
                self._attach(message)
            elif isinstance(message, Resume):
                self._resume(message)
            elif self._attaching is not None:
                self._attached(self._attaching, message)
            elif self._resuming is not None:
                self._resumed(self._resuming, message)
            else:
                self._answered(message)
        except SessionRefused as refused:
            self._fail(refused)

    def batch_received(self) -> None:
        """
        Each frame was answered as it came.
        """

    def link_full(self) -> None:
        """
        C{link.writable} tells.
        """

    def link_writable(self) -> None:
        """
        Little is sent before the session begins: nothing waited.
        """

    def link_broken(self, error: RemoteProtocolError) -> None:
        """
        The peer broke the protocol, or speaks another.
        """
        self._fail(error)

    def link_lost(self, reason: Failure) -> None:
        """
        The peer left before the session began.
        """
        self._done()

    # What the server tells.

    def refuse(self, code: Code, reason: str) -> None:
        """
        Turn the client away, unless that was done. Until its link is closed, it
        counts as a handshake in progress.
        """
        if not self._handshake.over:
            self._link.write([self._handshake.refuse(code, reason)])
        self._stop()
        self._link.close()

    # The parts.

    def _greeted(self, hello: Hello) -> None:
        if common_version(hello) is None:
            raise SessionRefused(Code.VERSION, "no protocol version in common")
        self._hello = hello
        offered = self._server.authenticator.offered(self._facts)
        if not offered:
            raise SessionRefused(
                Code.POLICY, "this server takes no clients on such a link"
            )
        self._send(Challenge(mechanisms=list(offered)))

    def _attach(self, attach: Attach) -> None:
        if common_version(attach) is None:
            raise SessionRefused(Code.VERSION, "no protocol version in common")
        self._attaching = Attaching(self._server, self._facts, attach)
        self._send(self._attaching.challenge())

    def _attached(self, attaching: Attaching, response: Response) -> None:
        """
        Give the link to its session.
        """
        session, attached = attaching.judge(response)
        self._link.write([self._handshake.attached(attached)])
        self._done()
        session.links.add(attaching.number, self._link)

    def _resume(self, resume: Resume) -> None:
        if common_version(resume) is None:
            raise SessionRefused(Code.VERSION, "no protocol version in common")
        self._resuming = Resuming(self._server, self._facts, resume)
        self._send(self._resuming.challenge())

    def _resumed(self, resuming: Resuming, response: Response) -> None:
        """
        Let a session go on here.
        """
        session, binding = resuming.judge(response)
        if not self._server.hooks.decides_client_return:
            self._go_on(resuming, session, binding)
            return
        # Hooks take their own time.
        self._stop_clock()
        returning = watch(
            Asking(self._server.reactor, self._return(resuming, session, binding)),
            self._not_entered,
        )
        if not returning.over:
            self._entering = returning

    def _go_on(
        self, resuming: Resuming, session: ServerSession, binding: bytes
    ) -> None:
        self._done()
        resuming.go_on(session, self._link, self._handshake, binding)

    async def _return(
        self, resuming: Resuming, session: ServerSession, binding: bytes
    ) -> None:
        """
        Ask the hooks, and let the session go on here.
        """
        try:
            await resuming.ask(session, self.refuse)
            self._entering = None
            self._go_on(resuming, session, binding)
        except Refused as refused:
            self._entering = None
            self._log.info(
                "client {client} may not come back from {peer}: {reason}",
                client=session.name,
                peer=shown(self._facts.peer),
                code=refused.code.name,
                reason=str(refused),
            )
            self.refuse(refused.code, str(refused))
        except CodedError as error:
            self._entering = None
            self._fail(error)

    def _answered(self, response: Response) -> None:
        if self._exchange is None:
            self._exchange = self._server.authenticator.begin(
                response.mechanism, self._facts
            )
        outcome = self._exchange.respond(response.data)
        if not isinstance(outcome, Accepted):
            self._send(Challenge(data=outcome.data))
            return
        assert self._hello is not None
        # Hooks take their own time.
        self._stop_clock()
        session = self._server.new_session(
            outcome, self._hello, self._facts, self._default_bind()
        )
        entering = watch(
            Asking(self._server.reactor, self._enter(session, outcome)),
            self._not_entered,
        )
        if not entering.over:
            self._entering = entering
            session.on_refused = entering.cancel
            if session.end is not None:
                entering.cancel()

    def _send(self, challenge: Challenge) -> None:
        self._link.write([self._handshake.challenge(challenge)])

    async def _enter(self, session: ServerSession, accepted: Accepted) -> None:
        """
        Ask the hooks, take over from an older session of the same client, and
        begin.
        """
        server = self._server
        try:
            opened = await server.clients.let_in(session)
        except SessionRefused as refused:
            self._entering = None
            self._log.info(
                "client {client} from {peer} refused: {reason}",
                client=session.name,
                peer=shown(self._facts.peer),
                code=refused.code.name,
                reason=str(refused),
            )
            self.refuse(refused.code, refused.reason)
            return
        self._entering = None
        welcome = server.welcome(session, accepted, SOFTWARE)
        self._link.write([self._handshake.welcome(welcome)])
        self._done()
        session.start(self._link, opened, self._handshake.heard)

    def _not_entered(self, failure: Failure) -> None:
        self._log.failure("the handshake failed", failure=failure)
        self.refuse(Code.INTERNAL, "the server failed")

    def _expire(self) -> None:
        self._fail(SessionRefused(Code.TIMEOUT, "the handshake took too long"))

    def _fail(self, error: CodedError) -> None:
        """
        Turn away a client that has not authenticated.
        """
        peer = shown(self._facts.peer)
        detail = error.detail if isinstance(error, AuthenticationFailed) else ""
        self._log.info(
            "handshake with {peer} failed: {reason}",
            peer=peer,
            code=error.code.name,
            reason=f"{error}: {detail}" if detail else str(error),
        )
        if self._attaching is None:
            # A data link may well be late for its session: that tells nothing of its
            # client.
            error.peer = self._facts.peer
        if self._resuming is None or not self._resuming.too_late:
            # A client that cannot go on, because the server was started again in
            # between, is no failure: it begins anew.
            self._server.hooks.notify_error(error, f"the handshake with {peer}")
        self.refuse(error.code, error.reason)

    def _done(self) -> None:
        """
        The handshake is over, one way or the other.
        """
        self._stop()
        self._server.link_settled(self)

    def _stop(self) -> None:
        self._stop_clock()
        entering, self._entering = self._entering, None
        if entering is not None:
            entering.cancel()

    def _stop_clock(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
