"""
Waiting for a hook's decision, for so long and no longer, and what a refusal
says to the peer.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from inspect import iscoroutine
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from reitunnel.errors import Code, HookTimeout, Refused, Undecided

_UNTIMED: Final = nullcontext()

UNEXPLAINED = "refused by a hook"
"""What the peer is told of a refusal that was not meant for it."""


class Strategy(Enum):
    """
    What to do when a hook refuses and others have not been asked yet.
    """

    STOP_ON_ERROR = "stop_on_error"
    """The first refusal decides; the hooks after it are not asked."""
    COLLECT_AND_CONTINUE = "collect_and_continue"
    """Every hook is asked; the refusals are collected."""


class NoDecision(TypeError):
    """
    A hook gave something that neither allows nor refuses.
    """


class DecisionWait:
    """
    One wait for a decision that did not come at once.

    Whatever the hook's Deferred does when it is cancelled, even nothing, the
    wait is over when the time is, or when the one who waits gives up.

    @ivar over: fires with L{None} when there is an answer. It fails only if it
        is cancelled.
    @ivar failure: once it is over: what the hook failed with, or L{None} if it
        allows.
    """

    def __init__(
        self,
        pending: Deferred[Any],
        *,
        running: Callable[[], bool],
        clock: IReactorTime,
        timeout: float,
        hook: str,
        event: str,
        late: Callable[[Failure], None],
        verb: str = "decide ",
    ) -> None:
        """
        @param pending: what the hook returned.
        @param running: whether the hook itself is what runs now: it may have closed
            what it is being asked about.
        @param clock: measures the time.
        @param timeout: how long to wait, in seconds.
        @param hook: the hook's name, for people.
        @param event: the method's name.
        @param late: told of a failure that comes after the wait is over.
        @param verb: what stands before the event in the message of a time-out.
        """
        self.over: Deferred[None] = Deferred(self._given_up)
        self.failure: Failure | None = None
        self._pending = pending
        self._running = running
        self._clock = clock
        self._timeout = timeout
        self._hook = hook
        self._event = event
        self._late = late
        self._verb = verb
        self._ended = False
        self._timer: IDelayedCall | None = None
        pending.addCallbacks(self._returned, self._raised)
        if not self._ended:
            self._timer = clock.callLater(timeout, self._timed_out)

    def _returned(self, value: object) -> None:
        if not self._ended:
            self._end()
            self._answer(not_none(self._event, value))

    def _raised(self, failure: Failure) -> None:
        if not self._ended:
            self._end()
            self._answer(failure)
        elif failure.check(CancelledError, Refused) is None:
            # To end at once, or to refuse after all, is no failure.
            self._late(failure)

    def _timed_out(self) -> None:
        self._timer = None
        self._stop()
        message = (
            f"hook {self._hook} did not {self._verb}{self._event} "
            f"within {self._timeout:g} seconds"
        )
        self._answer(Failure(HookTimeout(message)))

    def _given_up(self, over: Deferred[None]) -> None:
        self._stop()

    def _answer(self, failure: Failure | None) -> None:
        self.failure = failure
        self.over.callback(None)

    def _stop(self) -> None:
        self._end()
        self._cancel()

    def _cancel(self) -> None:
        if self._running():
            # A Deferred cannot be cancelled from inside its coroutine.
            self._clock.callLater(0, self._cancel)
            return
        try:
            self._pending.cancel()
        except Exception:
            self._late(Failure())

    def _end(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def not_none(event: str, value: object) -> Failure | None:
    """
    Check what a decision came to. Only L{None} allows: a hook that returns
    C{False} means to refuse, and one that returns C{True} may say C{False}
    tomorrow.

    @param event: the method's name.
    @return: the mistake, or L{None}.
    """
    if value is None:
        return None
    message = (
        f"{event} gave a {type(value).__name__}: return None to allow, "
        "raise Refused to refuse"
    )
    return Failure(NoDecision(message))


def deferred_from(
    returned: object, timed: AbstractContextManager[object] = _UNTIMED
) -> Deferred[Any] | None:
    """
    Make a Deferred of anything that can be waited for.

    @param timed: entered for each step of a coroutine but the first, which is made
        here.
    @return: the Deferred, or L{None} if there is nothing to wait for.
    """
    if isinstance(returned, Deferred):
        return returned
    if isinstance(returned, Future):
        return Deferred.fromFuture(returned)
    if iscoroutine(returned):
        return Deferred.fromCoroutine(_steps(returned, timed))
    if isinstance(returned, Awaitable):
        return Deferred.fromCoroutine(_wait_for(returned))
    return None


def refusal(event: str, errors: Sequence[BaseException], strategy: Strategy) -> Refused:
    """
    Make the one exception that a refused decision raises.

    @param event: the method's name.
    @param errors: what the hooks raised, at least one.
    @return: a L{Refused} whose text is fit for the peer: one line, with nothing
        in it that a hook did not mean for the peer. It is passing unless one of
        C{errors} is final, and L{Undecided} if one is the lack of an answer then. What
        the hooks raised is its C{__cause__}: the exception, or with
        L{Strategy.COLLECT_AND_CONTINUE} an L{ExceptionGroup} of them.
    """
    text = "; ".join(dict.fromkeys(_peer_text(error) for error in errors))
    if any(_is_final(error) for error in errors):
        refused = Refused(text)
    elif all(_is_answer(error) for error in errors):
        refused = Refused(text, passing=True)
    else:
        refused = Undecided(text)
    refused.__cause__ = (
        BaseExceptionGroup(f"{event} was refused", errors)
        if strategy is Strategy.COLLECT_AND_CONTINUE
        else errors[0]
    )
    return refused


def code_of_end(refused: Refused) -> Code:
    """
    What hooks that had allowed an open are told when it was refused. What nobody has
    decided is no fault of who asked.
    """
    return Code.INTERNAL if isinstance(refused, Undecided) else Code.REFUSED


def _is_final(error: BaseException) -> bool:
    # A hook that returns False means to refuse.
    return (isinstance(error, Refused) and not error.passing) or isinstance(
        error, NoDecision
    )


def _is_answer(error: BaseException) -> bool:
    return isinstance(error, Refused) and not isinstance(error, Undecided)


def _peer_text(error: BaseException) -> str:
    if not isinstance(error, Refused):
        return UNEXPLAINED
    return " ".join(str(error).split()) or UNEXPLAINED


def raised_by(failure: Failure) -> BaseException:
    """
    What a hook failed with, as an exception whatever it was.
    """
    # Deferred.errback takes any object.
    error: object = failure.value
    if isinstance(error, BaseException):
        return error
    return TypeError(f"failed with a {type(error).__name__}, not an exception")


async def _wait_for(awaitable: Awaitable[object]) -> object:
    return await awaitable


def _steps(
    coroutine: Coroutine[Any, Any, object], timed: AbstractContextManager[object]
) -> Generator[Any, Any, object]:
    """
    Do what a coroutine does, step by step.
    """
    try:
        waiting = coroutine.send(None)
        while True:
            try:
                value = yield waiting
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                with timed:
                    waiting = coroutine.throw(error)
            else:
                with timed:
                    waiting = coroutine.send(value)
    except StopIteration as returned:
        return returned.value
