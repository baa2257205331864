"""
Says in one line why a link could not be made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

from OpenSSL.SSL import Error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
    UnknownHostError,
)
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from reitunnel.errors import TransportError

_T = TypeVar("_T")

# What OpenSSL says (a part of it, as versions differ), what it means, and whether
# it will be the same the next time.
_TLS: Final = (
    ("no application protocol", "the peers have no protocol in common (ALPN)", True),
    ("wrong version number", "the peer does not speak TLS", True),
    ("http request", "the peer does not speak TLS", True),
    ("packet length too long", "the peer does not speak TLS", True),
    ("alert protocol version", "the peer does not speak this version of TLS", True),
    ("unsupported protocol", "the peer does not speak this version of TLS", True),
    ("did not return a certificate", "the peer has no certificate", True),
    ("alert certificate required", "the peer wants a certificate", True),
    ("alert unknown ca", "the peer does not trust the certificate", True),
    ("alert bad certificate", "the peer does not accept the certificate", True),
    ("alert certificate unknown", "the peer does not accept the certificate", True),
    ("alert certificate expired", "the peer says the certificate has expired", True),
    ("certificate verify failed", "the peer's certificate is not trusted", True),
)


def tls_problem(error: Error) -> TransportError:
    """
    What an error of OpenSSL means.
    """
    queue = error.args[0] if error.args else None
    if not isinstance(queue, list) or not queue:
        return TransportError("the TLS connection broke off")
    said = str(queue[-1][-1])
    for part, meaning, permanent in _TLS:
        if part in said:
            return TransportError(meaning, permanent=permanent)
    permanent = "alert" in said and "internal error" not in said
    return TransportError(f"TLS failed: {said}", permanent=permanent)


def handshake_problem(reason: Failure) -> TransportError:
    """
    Why a connection was lost before the link was ready.
    """
    error = reason.value
    if isinstance(error, TransportError):
        return error
    if isinstance(error, Error):
        return tls_problem(error)
    if error is not None and isinstance(error.__cause__, TransportError):
        return error.__cause__
    return TransportError("the connection was closed before the link was ready")


def without_openssl(reason: Failure) -> Failure:
    """
    Why a connection was lost, for protocols that know nothing of OpenSSL.

    @return: has the L{TransportError} that says what OpenSSL meant as its cause.
    """
    if isinstance(reason.value, ConnectionClosed):
        return reason
    if isinstance(reason.value, Error):
        problem = tls_problem(reason.value)
        lost = ConnectionLost(str(problem))
        lost.__cause__ = problem
        return Failure(lost)
    return Failure(ConnectionLost(str(reason.value)))


def connect_problem(error: Exception, host: str) -> TransportError:
    """
    Why a connection could not be made.

    @param host: what was dialled, for people.
    """
    if isinstance(error, (DNSLookupError, UnknownHostError)):
        return TransportError(f"the name {host!r} cannot be resolved", permanent=True)
    if isinstance(error, ConnectionRefusedError):
        return TransportError("the connection was refused")
    if isinstance(error, TimeoutError):
        return TransportError("no answer in time")
    return TransportError(f"cannot connect: {system_reason(error)}")


def system_reason(error: BaseException) -> str:
    """
    What the system said, without the words that Twisted puts around it.
    """
    cause = error.osError if isinstance(error, ConnectError) else error
    if isinstance(cause, int):
        return os.strerror(cause)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(error).rstrip(".") or type(error).__name__


def within(
    clock: IReactorTime,
    seconds: float,
    waiting: Deferred[_T],
    late: Callable[[], Exception],
) -> Deferred[_T]:
    """
    Wait no longer than this.

    @param waiting: it is cancelled when the time is over, and when the result is
        cancelled; what comes of it then does not matter.
    @param late: makes the error when the time is over.
    @return: fires as C{waiting} does; fails with L{CancelledError} when it is
        cancelled, whatever C{waiting} makes of that.
    """

    def give_up(error: Exception) -> None:
        if timer.active():
            timer.cancel()
        result.errback(error)
        waiting.cancel()

    result: Deferred[_T] = Deferred(lambda _: give_up(CancelledError()))
    timer: IDelayedCall = clock.callLater(seconds, lambda: give_up(late()))

    def ended(outcome: _T | Failure) -> None:
        if timer.active():
            timer.cancel()
        if not result.called:
            result.callback(outcome)

    waiting.addBoth(ended)
    return result
