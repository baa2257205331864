"""
The C{addresses} hook: from which networks clients and visitors may come.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from zope.interface import Interface, directlyProvides, implementer

from reitunnel.errors import Code, Refused
from reitunnel.hooks.networks import Network, NetworkSet, host_of, parse_network
from reitunnel.interfaces import (
    IClientHook,
    IRestrictedHookFactory,
    ISession,
    IStream,
    IStreamHook,
)

Networks = Annotated[tuple[str, ...], Meta(min_length=1)]
"""Networks in CIDR notation, and single addresses."""


class AddressLists(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Networks to allow and to deny. One or more of the keys are needed.

    @ivar allow: an address in none of these networks is refused; without it, every
        address is allowed that is not denied.
    @ivar deny: an address in one of these networks is refused, whatever C{allow} says.
    @ivar allow_file: a file with more networks to allow, one a line.
    @ivar deny_file: a file with more networks to deny, one a line.
    """

    allow: Networks | None = None
    deny: Networks | None = None
    allow_file: Path | None = None
    deny_file: Path | None = None

    def __post_init__(self) -> None:
        values = [getattr(self, name) for name in self.__struct_fields__]
        if all(value is None for value in values):
            raise ValueError(
                f"needs one or more of {', '.join(self.__struct_fields__)}"
            )
        for name in ("allow", "deny"):
            for index, text in enumerate(getattr(self, name) or ()):
                _checked(text, f"{name}[{index}]")


class AddressOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{addresses} hook. One of them is needed.

    @ivar clients: where clients may come from.
    @ivar visitors: where visitors may come from.
    """

    clients: AddressLists | None = None
    visitors: AddressLists | None = None

    def __post_init__(self) -> None:
        if self.clients is None and self.visitors is None:
            raise ValueError("needs clients or visitors, or both")


class AddressHook:
    """
    Refuses clients and visitors by their address.

    What has no Internet address, such as the far end of a Unix socket, is in no
    network. Each instance provides only the interfaces that its lists need.
    """

    def __init__(self, options: AddressOptions) -> None:
        """
        @param options: the networks. Files are read now.
        @raise ValueError: if a file cannot be read, or has something in it that is no
            network; the message names file and line.
        """
        faces: list[type[Interface]] = []
        if options.clients is not None:
            self._clients = _Judge(options.clients, "clients")
            faces.append(IClientHook)
        if options.visitors is not None:
            self._visitors = _Judge(options.visitors, "visitors")
            faces.append(IStreamHook)
        directlyProvides(self, *faces)

    def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.

        @raise Refused: if clients may not come from there.
        """
        self._clients.judge(client.facts.peer)

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """

    def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.

        @raise Refused: if visitors may not come from there.
        """
        self._visitors.judge(stream.visitor)

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """


@implementer(IPlugin, IRestrictedHookFactory)
class AddressHookFactory:
    """
    Builds the C{addresses} hook from a configuration file.
    """

    name = "addresses"
    description = "Allows or denies clients and visitors by their address."
    options = AddressOptions
    side = "server"
    written = ()

    def build(self, options: AddressOptions, reactor: IReactorCore) -> AddressHook:
        """
        See L{IHookFactory.build}.
        """
        return AddressHook(options)


class _Judge:
    """
    Lists that are ready to be asked.
    """

    def __init__(self, lists: AddressLists, path: str) -> None:
        self._allow: NetworkSet | None = None
        if lists.allow is not None or lists.allow_file is not None:
            self._allow = _join(lists.allow, lists.allow_file, f"{path}.allow_file")
        self._deny = _join(lists.deny, lists.deny_file, f"{path}.deny_file")

    def judge(self, address: object) -> None:
        """
        @raise Refused: if the address is denied, or not among the allowed.
        """
        host = host_of(address)
        if host is not None and host in self._deny:
            raise Refused("the address is denied")
        if self._allow is not None and (host is None or host not in self._allow):
            raise Refused("the address is not among the allowed")


def _join(networks: Networks | None, file: Path | None, path: str) -> NetworkSet:
    listed = () if file is None else _read_lines(file, path)
    return NetworkSet((*(networks or ()), *listed))


def _read_lines(file: Path, path: str) -> Iterator[Network]:
    """
    Give the networks in a file: one a line, empty lines and what follows a C{#} aside.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ValueError(f"{path}: {file}: {reason}") from error
    for number, line in enumerate(text.splitlines(), 1):
        network = line.partition("#")[0].strip()
        if network:
            yield _checked(network, f"{path}: {file}, line {number}")


def _checked(text: str, place: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
