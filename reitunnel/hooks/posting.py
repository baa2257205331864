"""
Posting JSON to an HTTP service: with a time-out, a bound for the answer, and servers
that are verified.
"""

from __future__ import annotations

import os
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet import error as errors
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from reitunnel.hooks.answer_bounds import (
    MAX_ANSWER,
    AnswerTooLong,
    BoundedEndpoints,
)

_TOO_LONG: Final = f"the answer has more than {MAX_ANSWER} bytes"
IDLE: Final = 30
"""Seconds for which a connection that is not used is kept."""


class PostFailed(Exception):
    """
    There was no answer that is of use. The text is for people, and without secrets.
    """


class Poster:
    """
    Posts to one URL, over connections that are kept.

    @ivar where: the service for people: a URL may have secrets behind its host.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        timeout: float,
        token_file: Path | None = None,
        ca: Path | None = None,
        connections: int = 2,
        agent: IAgent | None = None,
    ) -> None:
        """
        @param timeout: for all of one post, in seconds.
        @param token_file: has a token to show to the service.
        @param ca: has the certificates of those who vouch for the service; those that
            the system trusts if L{None}.
        @param connections: how many that are not used are kept.
        @param agent: what posts; an agent of its own if L{None}.
        @raise ValueError: when the URL or one of the files cannot be used; the message
            is for people.
        """
        self.where = _where(url)
        self._url = url.encode()
        self._reactor = reactor
        self._timeout = timeout
        self._headers = {
            b"Content-Type": [b"application/json"],
            b"Accept": [b"application/json"],
            b"User-Agent": [b"reitunnel"],
        }
        if token_file is not None:
            token = _read_token(Path(token_file))
            self._headers[b"Authorization"] = [b"Bearer " + token]
        self._pool: HTTPConnectionPool | None = None
        if agent is None:
            policy = BrowserLikePolicyForHTTPS(None if ca is None else _trust(Path(ca)))
            self._pool = HTTPConnectionPool(reactor)
            self._pool.maxPersistentPerHost = connections
            self._pool.cachedConnectionTimeout = IDLE
            endpoints = BoundedEndpoints(reactor, policy, timeout)
            agent = Agent.usingEndpointFactory(reactor, endpoints, self._pool)
        self._agent = agent

    def post(self, body: bytes) -> Deferred[bytes]:
        """
        Post JSON.

        @return: fires with the body of the answer. Fails with L{PostFailed}. It can be
            cancelled.
        """
        posting = Deferred.fromCoroutine(self._post(body))
        posting.addTimeout(self._timeout, self._reactor, self._timed_out)
        cancelled = False

        def cancel(answer: Deferred[bytes]) -> None:
            nonlocal cancelled
            cancelled = True
            posting.cancel()

        def over(result: Any) -> None:
            # What a connection that is being made says when it is cancelled is of no
            # use to anybody.
            if not cancelled:
                answer.callback(result)

        answer: Deferred[bytes] = Deferred(cancel)
        posting.addBoth(over)
        return answer

    async def close(self) -> None:
        """
        Close the connections that are kept.
        """
        if self._pool is not None:
            await self._pool.closeCachedConnections()

    # The parts.

    async def _post(self, body: bytes) -> bytes:
        try:
            try:
                return await self._try(body)
            except (ResponseNeverReceived, RequestTransmissionFailed) as error:
                # The service may have closed a connection that was kept.
                if not any(
                    each.check(errors.ConnectionClosed) for each in error.reasons
                ):
                    raise
            return await self._try(body)
        except (PostFailed, CancelledError):
            raise
        except Exception as error:
            # Each layer has its own ways to fail.
            raise PostFailed(_reason(error)) from error

    async def _try(self, body: bytes) -> bytes:
        response: IResponse = await self._agent.request(
            b"POST", self._url, Headers(self._headers), _Body(body)
        )
        if response.code // 100 != 2:
            response.deliverBody(_Unread())
            raise PostFailed(f"the answer was {response.code}")
        return await _read(response)

    def _timed_out(self, result: Any, timeout: float) -> Any:
        if isinstance(result, Failure):
            raise PostFailed(f"no answer within {timeout:g} s")
        return result


@implementer(IBodyProducer)
class _Body:
    """
    The body of a request, which is there already.
    """

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """
        Write it.
        """
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """
        It is written already.
        """

    def resumeProducing(self) -> None:
        """
        It is written already.
        """

    def stopProducing(self) -> None:
        """
        It is written already.
        """


class _Answer(Protocol):
    """
    Takes the body of an answer, up to a bound.

    @ivar complete: fires with it. Cancelled, it closes the connection.
    """

    def __init__(self) -> None:
        self.complete: Deferred[bytes] = Deferred(lambda _: self._close())
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """
        Keep a piece.
        """
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MAX_ANSWER:
            self._pieces.clear()
            self._close()
            self._fail(PostFailed(_TOO_LONG))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is complete, or there is no more of it.
        """
        if reason.check(ResponseDone):
            if not self.complete.called:
                self.complete.callback(b"".join(self._pieces))
        elif reason.check(AnswerTooLong):
            self._fail(PostFailed(_TOO_LONG))
        else:
            self._fail(PostFailed("the answer is not complete"))

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _fail(self, error: PostFailed) -> None:
        if not self.complete.called:
            self.complete.errback(error)


class _Unread(Protocol):
    """
    Wants nothing of an answer.
    """

    def connectionMade(self) -> None:
        """
        Close the connection: the rest of the answer may be long.
        """
        assert self.transport is not None
        self.transport.loseConnection()


def _read(response: IResponse) -> Deferred[bytes]:
    answer = _Answer()
    response.deliverBody(answer)
    return answer.complete


def check_url(url: str, *, plaintext: bool) -> None:
    """
    See that a URL can be posted to.

    @param plaintext: whether C{http} may leave this machine.
    @raise ValueError: when it cannot; the message is for people.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"url: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("url: expected https://host/path")
    if not url.isascii() or any(c <= " " for c in url):
        raise ValueError("url: expected printable ASCII characters")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: has a password in it: use token_file")
    if parts.scheme == "http" and not (plaintext or _is_loopback(parts.hostname)):
        raise ValueError(
            "url: http is not safe beyond this machine: use https, or say "
            "insecure_plaintext = true"
        )


def _where(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{shown}{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_token(path: Path) -> bytes:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f"token_file: others can read {path}: chmod 600 it")
        token = path.read_bytes().strip()
    except OSError as error:
        raise ValueError(f"token_file: {path}: {error.strerror}") from error
    if not token or not all(0x21 <= byte <= 0x7E for byte in token):
        raise ValueError(f"token_file: {path} has no token in it")
    return token


def _trust(path: Path) -> Any:
    try:
        pems = path.read_bytes()
    except OSError as error:
        raise ValueError(f"ca: {path}: {error.strerror}") from error
    end = b"-----END CERTIFICATE-----"
    found = [each + end for each in pems.split(end)[:-1]]
    try:
        certificates = [Certificate.loadPEM(each) for each in found]
    except crypto.Error as error:
        raise ValueError(f"ca: {path} has no PEM certificates in it") from error
    if not certificates:
        raise ValueError(f"ca: {path} has no PEM certificates in it")
    return trustRootFromCertificates(certificates)


def _reason(error: Exception) -> str:
    """
    Say in one line what went wrong.
    """
    answered = False
    while isinstance(error, ResponseFailed | RequestTransmissionFailed):
        answered = answered or not isinstance(
            error, ResponseNeverReceived | RequestTransmissionFailed
        )
        [*_, last] = error.reasons
        if not isinstance(last.value, Exception):
            break
        error = last.value
    match error:
        case AnswerTooLong():
            return _TOO_LONG
        case SSL.Error():
            said = [str(each[-1]) for each in next(iter(error.args), ()) if each]
            return f"TLS failed: {', '.join(said) or 'the connection was closed'}"
        case VerificationError():
            return "TLS failed: the certificate is for another name"
        case errors.ConnectionRefusedError():
            return "the connection was refused"
        case errors.DNSLookupError():
            return "the name of its host cannot be found"
        case errors.TimeoutError() | errors.ConnectingCancelledError():
            return "the connection could not be made in time"
        case errors.ConnectError(osError=int(number)):
            return f"it cannot be reached: {os.strerror(number).lower()}"
        case errors.ConnectionClosed():
            return "the connection was closed before the answer was there"
    if answered:
        return "the answer is not HTTP"
    return f"it cannot be asked ({type(error).__name__})"
