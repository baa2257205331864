"""
The C{remote-policy} hook: asks an HTTP service what to allow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import UNSET, Meta, Struct
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import Interface, directlyProvides, implementer

from reitunnel.errors import Code, Refused, Undecided
from reitunnel.hooks.posting import Poster, PostFailed, check_url
from reitunnel.hooks.remote_messages import (
    Answer,
    Asked,
    BadAnswer,
    Rewrite,
    decode_answer,
    encode_client,
    encode_stream,
    encode_tunnel,
)
from reitunnel.interfaces import (
    IBackgroundHook,
    IClientHook,
    IHookFactory,
    IHookHost,
    IReactorHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)

_INTERFACES: dict[Asked, type[Interface]] = {
    "client": IClientHook,
    "tunnel": ITunnelHook,
    "stream": IStreamHook,
}
_EVENTS: dict[Asked, str] = {
    "client": "on_client_connect",
    "tunnel": "on_tunnel_open",
    "stream": "on_stream_open",
}


class RemotePolicyOptions(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """
    The options of the C{remote-policy} hook.

    @ivar url: of the service.
    @ivar ask: what to ask it about.
    @ivar timeout: how long an answer may take, in seconds.
    @ivar fail_open: whether to allow what there is no answer about.
    @ivar connections: how many connections are kept for the next questions.
    @ivar max_pending: how many answers may be awaited at a time; what is above that
        counts as not answered.
    @ivar token_file: has a token to show to the service, as a bearer.
    @ivar ca: has the certificates of those who vouch for the service; those that the
        system trusts if it is not said.
    @ivar insecure_plaintext: whether C{http} may leave this machine.
    """

    url: str
    ask: Annotated[tuple[Asked, ...], Meta(min_length=1)] = ("client", "tunnel")
    timeout: Annotated[float, Meta(ge=0.1, le=60.0)] = 3.0
    fail_open: bool = False
    connections: Annotated[int, Meta(ge=1, le=1000)] = 10
    max_pending: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    token_file: Path | None = None
    ca: Path | None = None
    insecure_plaintext: bool = False

    def __post_init__(self) -> None:
        check_url(self.url, plaintext=self.insecure_plaintext)


class RemotePolicyHook:
    """
    Asks a service about clients, tunnels and visitors. Without an answer that is one,
    it refuses, unless C{fail_open} says otherwise.

    It provides only the interfaces of what it asks about.
    """

    _log = Logger()

    def __init__(self, options: RemotePolicyOptions, poster: Poster) -> None:
        """
        @param poster: posts to the service.
        """
        self._options = options
        self._poster = poster
        self._pending = 0
        self._failing = False
        self._host: IHookHost | None = None
        directlyProvides(
            self,
            IBackgroundHook,
            IReactorHook,
            *(_INTERFACES[asked] for asked in dict.fromkeys(options.ask)),
        )

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.
        """
        self._host = host

    async def finish(self) -> None:
        """
        Close the connections that are kept.
        """
        await self._poster.close()

    async def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.
        """
        await self._ask("client", encode_client(client))

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """

    async def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        See L{ITunnelHook.on_tunnel_open}.
        """
        answer = await self._ask("tunnel", encode_tunnel(tunnel))
        if answer is not None and answer.tunnel is not UNSET:
            _rewrite(tunnel, answer.tunnel)

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """

    async def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.
        """
        await self._ask("stream", encode_stream(stream))

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """

    # The parts.

    async def _ask(self, asked: Asked, body: bytes) -> Answer | None:
        """
        Ask the service.

        @return: what it answered, if it allows; L{None} if there is no answer, and
            that is to be allowed.
        @raise Refused: when it is refused.
        @raise Undecided: when there is no answer, and that is to be refused.
        """
        try:
            answer = await self._answer(asked, body)
        except (PostFailed, BadAnswer) as error:
            self._say_failing(str(error))
            undecided = Undecided("the policy service gives no answer")
            if not self._options.fail_open:
                raise undecided from error
            if self._host is not None:
                undecided.__cause__ = error
                self._host.failed(_EVENTS[asked], undecided)
            return None
        if self._failing:
            self._failing = False
            self._log.info("policy service {where} answers", where=self._poster.where)
        if answer.decision == "refuse":
            raise Refused(answer.reason or "refused by the policy service")
        return answer

    async def _answer(self, asked: Asked, body: bytes) -> Answer:
        if self._pending >= self._options.max_pending:
            raise PostFailed("too many answers are awaited")
        self._pending += 1
        try:
            return decode_answer(asked, await self._poster.post(body))
        finally:
            self._pending -= 1

    def _say_failing(self, reason: str) -> None:
        if not self._failing:
            self._failing = True
            self._log.error(
                "policy service {where} gives no answer: {reason}; what it is asked "
                "about is {outcome}",
                where=self._poster.where,
                reason=reason,
                outcome="allowed" if self._options.fail_open else "refused",
            )


def _rewrite(tunnel: ITunnel, rewrite: Rewrite) -> None:
    port = None if rewrite.port is UNSET else rewrite.port
    metadata = None if rewrite.metadata is UNSET else rewrite.metadata
    tunnel.rewrite(port=port, metadata=metadata)


@implementer(IPlugin, IHookFactory)
class RemotePolicyHookFactory:
    """
    Builds the C{remote-policy} hook from a configuration file.
    """

    name = "remote-policy"
    description = "Asks an HTTP service which clients, tunnels and visitors to allow."
    options = RemotePolicyOptions

    def build(
        self, options: RemotePolicyOptions, reactor: IReactorCore
    ) -> RemotePolicyHook:
        """
        See L{IHookFactory.build}.
        """
        poster = Poster(
            reactor,
            options.url,
            timeout=options.timeout,
            token_file=options.token_file,
            ca=options.ca,
            connections=options.connections,
        )
        return RemotePolicyHook(options, poster)
