"""
The C{audit} hook: a trail of what happened that shows when it was changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from twisted.python.reflect import safe_str
from zope.interface import Interface, directlyProvides, implementer

from reitunnel.errors import AuditTrailError, Code, Undecided
from reitunnel.hooks.audit_chain import BrokenRecord
from reitunnel.hooks.audit_file import AuditFile, Fsync
from reitunnel.hooks.audit_writer import AuditPen, AuditTerms, AuditWriter
from reitunnel.hooks.facts import session_facts, shown, stream_facts, tunnel_facts
from reitunnel.hooks.threads import Threads
from reitunnel.interfaces import (
    Decision,
    IBackgroundHook,
    IClientHook,
    IErrorHook,
    IHeirHook,
    IHookHost,
    IReactorHook,
    IRestrictedHookFactory,
    IServer,
    IServerHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)

Audited = Literal["server", "client", "tunnel", "stream", "error"]

_INTERFACES: dict[Audited, type[Interface]] = {
    "server": IServerHook,
    "client": IClientHook,
    "tunnel": ITunnelHook,
    "stream": IStreamHook,
    "error": IErrorHook,
}

_LONGEST = 2000
"""Characters of a text in a record, at most."""


class AuditOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{audit} hook.

    @ivar file: where the records go.
    @ivar events: of what there are records.
    @ivar max_size: bytes after which the file is rotated.
    @ivar keep: how many rotated files are kept; 0 keeps all.
    @ivar fsync: when records must be on the disk: after each batch, when a file is
        closed, or when the system likes.
    @ivar fail_closed: whether to refuse clients, tunnels and visitors while records
        cannot be written.
    @ivar capacity: how many records may wait; what is above that is lost, which is
        recorded.
    """

    file: Path
    events: Annotated[tuple[Audited, ...], Meta(min_length=1)] = get_args(Audited)
    max_size: Annotated[int, Meta(ge=4096, le=1 << 40)] = 100 << 20
    keep: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    fsync: Fsync = "batch"
    fail_closed: bool = False
    capacity: Annotated[int, Meta(ge=100, le=1_000_000)] = 10_000


class AuditHook:
    """
    Records events. It provides only the interfaces that its events need.

    By a reload it goes on with the trail of another one that has the same file: that
    is no stop and no start of the server.
    """

    def __init__(
        self, options: AuditOptions, threads: Callable[[], Threads] | None = None
    ) -> None:
        """
        @param threads: makes what writes; a thread of its own if L{None}.
        @raise ValueError: when the file cannot be used; the message is for people.
        """
        self._options = options
        self._threads = threads
        self._writer: AuditWriter | None = None
        self._pen: AuditPen | None = None
        self._path = Path(options.file).absolute()
        self._file = AuditFile(
            self._path, options.max_size, options.keep, options.fsync
        )
        try:
            self._file.probe()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ValueError(f"cannot write {options.file}: {reason}") from error
        except BrokenRecord as error:
            raise ValueError(
                f"{options.file} cannot be gone on with: {error}"
            ) from error
        except ValueError as error:
            name = str(options.file)
            raise ValueError(f"no file has such a name: {name!r}") from error
        directlyProvides(
            self,
            IBackgroundHook,
            IHeirHook,
            IReactorHook,
            *(_INTERFACES[event] for event in dict.fromkeys(options.events)),
        )

    # The background.

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.
        """
        options = self._options
        if self._writer is None:
            self._writer = AuditWriter(
                host.reactor, str(self._path), self._file, self._threads
            )
        terms = AuditTerms(
            options.max_size, options.keep, options.fsync, options.capacity
        )
        self._pen = self._writer.join(host, terms)

    def inherit(self, former: object) -> bool:
        """
        See L{IHeirHook.inherit}. Two could not write one file.
        """
        if not isinstance(former, AuditHook) or former._writer is None:
            return False
        mine, its = (os.path.realpath(each._path) for each in (self, former))
        if mine != its:
            return False
        self._writer = former._writer
        return True

    def finish(self) -> Decision:
        """
        Write all that waits, and close the file, unless another hook goes on with it.
        """
        return None if self._pen is None else self._pen.finish()

    # Events.

    def on_server_start(self, server: IServer) -> None:
        """
        See L{IServerHook.on_server_start}.
        """
        if self._pen is None or self._pen.alone:
            self._record("server_start")

    def on_server_stop(self, server: IServer) -> None:
        """
        See L{IServerHook.on_server_stop}.
        """
        if self._pen is None or self._pen.alone:
            self._record("server_stop")

    def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.
        """
        self._refuse_if_failing()
        self._record(
            "client_connect",
            **session_facts(client),
            peer=shown(client.facts.peer),
            scheme=client.facts.scheme,
        )

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """
        self._record("client_disconnect", **session_facts(client), **_end(code, reason))

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        See L{ITunnelHook.on_tunnel_open}.
        """
        self._refuse_if_failing()
        self._record(
            "tunnel_open",
            **tunnel_facts(tunnel),
            bind=tunnel.bind,
            port=tunnel.port,
            target=tunnel.target,
        )

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """
        self._record(
            "tunnel_close",
            **tunnel_facts(tunnel),
            public=None if tunnel.address is None else shown(tunnel.address),
            received=tunnel.bytes_received,
            sent=tunnel.bytes_sent,
            **_end(code, reason),
        )

    def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.
        """
        self._refuse_if_failing()
        self._record("stream_open", **stream_facts(stream))

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """
        self._record(
            "stream_close",
            **stream_facts(stream),
            received=stream.bytes_received,
            sent=stream.bytes_sent,
            **_end(code, reason),
        )

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """
        writer = self._writer
        if isinstance(error, AuditTrailError) and writer and error.file == writer.name:
            # It does not record that it cannot be written; what others did to the
            # file it has recorded.
            return
        self._record(
            "error", context=context, kind=type(error).__name__, error=safe_str(error)
        )

    # The parts.

    def _record(self, event: str, **fields: Any) -> None:
        if self._pen is not None:
            plain = {name: _plain(value) for name, value in fields.items()}
            self._pen.add(event, plain)

    def _refuse_if_failing(self) -> None:
        pen = self._pen
        if self._options.fail_closed and (pen is None or pen.failing):
            raise Undecided("the audit trail cannot be written")


@implementer(IPlugin, IRestrictedHookFactory)
class AuditHookFactory:
    """
    Builds the C{audit} hook from a configuration file.
    """

    name = "audit"
    description = "Records what happens in a file that shows when it was changed."
    options = AuditOptions
    side = None
    written = ("file",)

    def build(self, options: AuditOptions, reactor: IReactorCore) -> AuditHook:
        """
        See L{IHookFactory.build}.
        """
        return AuditHook(options)


def _plain(value: object) -> object:
    """
    Make of a value what a record can hold, whatever a program has put there.
    """
    if value is None or isinstance(value, int):
        return value
    return safe_str(value)[:_LONGEST]


def _end(code: Code, reason: str) -> dict[str, object]:
    return {"code": code.name.lower(), "reason": reason}
