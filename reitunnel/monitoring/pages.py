"""
What the pages have in common: who may ask, arguments, answers, and mistakes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from reitunnel.config import is_loopback

TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
_OTHER_SITES: Final = (b"cross-site", b"same-site")


@dataclass(frozen=True)
class Answer:
    """
    A page.

    @ivar kind: its media type.
    @ivar file_name: what a browser that stores it calls it; it shows it if empty.
    """

    body: bytes
    kind: str = TEXT
    code: int = 200
    file_name: str = ""


class PageError(Exception):
    """
    There is no such page, or not now; the text is one line for people.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def as_json(value: Any, code: int = 200) -> Answer:
    """
    Make a page of a value.
    """
    # Not by json, which is slow when it indents.
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    return Answer(text + b"\n", JSON, code)


class Arguments:
    """
    What stands behind the question mark.
    """

    def __init__(self, request: Request) -> None:
        self._given: dict[bytes, list[bytes]] = request.args or {}

    def check(self, known: Sequence[str]) -> None:
        """
        See that there is nothing else, so that what is misspelt is noticed.

        @raise PageError: if there is.
        """
        for name in self._given:
            text = name.decode("ascii", "replace")
            if text not in known:
                raise PageError(400, f"{text}: unknown; there are {', '.join(known)}")

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """
        Give a number.

        @raise PageError: if what was given is none, or out of bounds.
        """
        [text] = self._given.get(name.encode(), [b""])[:1]
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise PageError(400, f"{name}: expected a number from {least} to {most}")
        return value

    def choice(self, name: str, *choices: str) -> str:
        """
        Give one of some words, the first if none is given.

        @raise PageError: if another one was given.
        """
        [text] = self._given.get(name.encode(), [choices[0].encode()])[:1]
        word = text.decode("ascii", "replace")
        if word not in choices:
            raise PageError(400, f"{name}: expected one of {', '.join(choices)}")
        return word


PageMaker = Callable[[Arguments], Awaitable[Answer]]


class Page(Resource):
    """
    A page that may take its time. When nobody waits for it any more, its making is
    cancelled.
    """

    _log = Logger()
    isLeaf = False

    def __init__(
        self, make: PageMaker, method: str = "GET", arguments: Sequence[str] = ()
    ) -> None:
        """
        @param method: C{GET}, or C{POST} for what changes something.
        @param arguments: those that it knows. Without any, none matters.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._make = make
        self._method = method.encode()
        self._arguments = arguments

    def getChild(self, path: bytes, request: Request) -> Resource:
        """
        With a slash at its end it is the same page. There are no others below.
        """
        return Page(missing) if path else self

    def render(self, request: Request) -> int:
        """
        Make the page.
        """
        allowed = (b"GET", b"HEAD") if self._method == b"GET" else (b"POST",)
        if request.method not in allowed:
            request.setHeader("allow", b", ".join(allowed))
            _send(request, Answer(b"not allowed\n", code=405))
            return NOT_DONE_YET

        async def make() -> Answer:
            arguments = Arguments(request)
            if self._arguments:
                arguments.check(self._arguments)
            return await self._make(arguments)

        making = Deferred.fromCoroutine(make())
        gone: list[Failure] = []

        def left(failure: Failure) -> None:
            gone.append(failure)
            making.cancel()

        def send(answer: Answer) -> None:
            if not gone:
                _send(request, answer)

        request.notifyFinish().addErrback(left)
        making.addErrback(self._explain).addCallback(send)
        making.addErrback(lambda failure: self._log.failure("a page", failure))
        return NOT_DONE_YET

    def _explain(self, failure: Failure) -> Answer:
        error = failure.value
        if isinstance(error, PageError):
            return Answer(f"{error}\n".encode(), code=error.code)
        if not isinstance(error, CancelledError):
            self._log.failure("cannot make a page", failure=failure)
        return Answer(b"a defect: the log says more\n", code=500)


class Guarded(Resource):
    """
    Lets through what programs and people ask for, and not what pages of other sites
    make a browser ask for.
    """

    def __init__(self, root: IResource, local: bool) -> None:
        """
        @param root: what is behind.
        @param local: whether only this machine can ask over TCP. The name that it
            asks for must be this machine's then: another name is one that somebody
            has made to lead here, so that a browser takes the pages for theirs.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._root = root
        self._local = local

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """
        Find a page.
        """
        if self._refuses(request):
            return Page(_refuse)
        found: IResource = self._root.getChildWithDefault(path, request)
        return found

    def _refuses(self, request: Request) -> bool:
        if request.getHeader(b"sec-fetch-site") in _OTHER_SITES:
            return True
        origin = request.getHeader(b"origin")
        host = request.getHeader(b"host") or b""
        if origin is not None and origin != b"http://" + host:
            return True
        return self._local and not _is_local(host.decode("latin-1"))


async def missing(arguments: Arguments) -> Answer:
    """
    Say that there is no such page.
    """
    raise PageError(404, "no such page: / lists them")


async def _refuse(arguments: Arguments) -> Answer:
    raise PageError(403, "not for pages of other sites")


def _is_local(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _send(request: Request, answer: Answer) -> None:
    request.setResponseCode(answer.code)
    headers = {
        "content-type": answer.kind,
        "content-length": str(len(answer.body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'; frame-ancestors 'none'",
    }
    if answer.file_name:
        headers["content-disposition"] = f'attachment; filename="{answer.file_name}"'
    for name, value in headers.items():
        request.setHeader(name, value)
    if request.method != b"HEAD":
        request.write(answer.body)
    request.finish()
