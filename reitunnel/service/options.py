"""
The command line of a server and of a client, for C{twistd} and for C{reitunnel}.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from getopt import GetoptError, gnu_getopt
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

from twisted.python.usage import (
    CompleteFiles,
    CompleteList,
    Completer,
    Completions,
    Options,
    UsageError,
)

from reitunnel.config import (
    ClientConfig,
    ServerConfig,
    load_client_config,
    load_server_config,
)
from reitunnel.service.mistakes import client_mistakes, server_mistakes


@dataclass(frozen=True, slots=True)
class Flag:
    """
    A flag that stands for a key of the configuration.

    @ivar name: without its dashes.
    @ivar key: the key's path.
    @ivar meaning: what it does, for people.
    @ivar takes_value: whether it has an argument.
    """

    name: str
    key: str
    meaning: str
    takes_value: bool = True


COMMON: Final = (
    Flag("timeout", "timeouts.base", "Seconds for a handshake, and until a silent "
         "peer is lost"),
    Flag("timeout-preset", "timeouts.preset", "lan, wan or unreliable: 10, 30 or 120 "
         "seconds before something is given up"),
    Flag("drain-timeout", "timeouts.drain", "Seconds that open streams have to end "
         "when the program is told to stop [default: 10]"),
    Flag("preset", "tuning.preset", "throughput, balanced or latency "
         "[default: balanced]"),
    Flag("buffer-size", "tuning.buffer_size", "Bytes read at a time "
         "[default: 65536]"),
    Flag("monitor", "monitoring.listen", "Where to show what the process does: "
         "127.0.0.1:9100 or unix:/path; see reitunnel status"),
    Flag("log-format", "log_format", "text or json [default: text]"),
    Flag("log-level", "log_level", "debug, info, warn, error or critical "
         "[default: info]"),
    Flag("insecure-plaintext", "insecure_plaintext", "Allow links without TLS beyond "
         "this machine", takes_value=False),
)  # fmt: skip
"""What a server and a client have both."""

SERVER: Final = (
    Flag("pem", "pem", "Certificate chain and private key, in one file; or a "
         "directory of such files, by server name"),
    Flag("tokens", "auth.tokens", "The file with the clients' tokens; see reitunnel "
         "token"),
    Flag("client-ca", "auth.client_ca", "Authorities whose client certificates are "
         "accepted"),
    Flag("require", "auth.require", "all or any of token and certificate, where both "
         "are set up [default: all]"),
    Flag("channel-binding", "auth.channel_binding", "require, prefer or never "
         "[default: prefer]"),
    Flag("max-conns", "limits.max_conns", "Visitors at once, in all "
         "[default: 20000]"),
    Flag("insecure-no-auth", "insecure_no_auth", "Let everybody open tunnels",
         takes_value=False),
    *COMMON,
)  # fmt: skip
"""What a server has, besides what repeats."""

CLIENT: Final = (
    Flag("ca", "ca", "Authorities that the server's certificate must come from; "
         "without it, those of the system"),
    Flag("server-name", "server_name", "The name that the server's certificate must "
         "have, if it is not the host that is dialled"),
    Flag("pem", "pem", "The client's own certificate chain and private key, in one "
         "file"),
    Flag("token-file", "token_file", "The file with the token; without it, the "
         "environment variable REITUNNEL_TOKEN"),
    Flag("channel-binding", "channel_binding", "require, prefer or never "
         "[default: prefer]"),
    Flag("client-id", "client_id", "What tells this client from others with the same "
         "token; another one with the same id is replaced"),
    Flag("carrier", "carrier", "How bytes travel: auto, mux or direct "
         "[default: auto]"),
    Flag("pool-size", "pool_size", "Data links that are kept ready [default: 10]"),
    *COMMON,
)  # fmt: skip
"""What a client has, besides what repeats."""

_CHOICES: Final = {
    "preset": ("throughput", "balanced", "latency"),
    "timeout-preset": ("lan", "wan", "unreliable"),
    "log-format": ("text", "json"),
    "log-level": ("debug", "info", "warn", "error", "critical"),
    "require": ("all", "any"),
    "channel-binding": ("require", "prefer", "never"),
    "carrier": ("auto", "mux", "direct"),
}
_COMPLETION: Final = "--_shell-completion"
"""By this a shell asks what could come next."""
_FILES: Final = ("config", "pem", "tokens", "client-ca", "ca", "token-file")


def _parameters(flags: Sequence[Flag]) -> list[list[str | None]]:
    return [
        ["config", "c", None, "The configuration, a TOML file; flags win over it"],
        *([flag.name, None, None, flag.meaning] for flag in flags if flag.takes_value),
    ]


def _switches(flags: Sequence[Flag]) -> list[list[str | None]]:
    return [[flag.name, None, flag.meaning] for flag in flags if not flag.takes_value]


def _completions(flags: Sequence[Flag]) -> Completions:
    """
    What zsh may offer after each flag.
    """
    names = {"config", *(flag.name for flag in flags)}
    actions: dict[str, Completer] = {
        name: CompleteFiles() for name in _FILES if name in names
    }
    for name, choices in _CHOICES.items():
        if name in names:
            actions[name] = CompleteList(choices)
    return Completions(optActions=actions)


class CommandOptions(Options):
    """
    The base of every command's options.

    @cvar synopsis: how the command is called.
    @cvar longdesc: what it does.
    """

    synopsis: str
    longdesc: str = ""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Of options with a method, the help is its docstring.
        self.docs = {
            name: " ".join((doc or "").split()) for name, doc in self.docs.items()
        }

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse. Options may stand after arguments too, except before a command.

        @raise UsageError: if there is a mistake.
        """
        given = list(sys.argv[1:] if options is None else options)
        if not hasattr(self, "subCommands") and _COMPLETION not in given:
            given = self._options_first(given)
        super().parseOptions(given)  # type: ignore[no-untyped-call]

    def _options_first(self, given: list[str]) -> list[str]:
        try:
            pairs, arguments = gnu_getopt(given, self.shortOpt, self.longOpt)
        except GetoptError as error:
            raise UsageError(str(error)) from None
        first = []
        for name, value in pairs:
            if name.startswith("--") and f"{name[2:]}=" in self.longOpt:
                first.append(f"{name}={value}")
            else:
                first += [name, value] if value else [name]
        return [*first, "--", *arguments]

    def opt_version(self) -> NoReturn:
        """
        Print the version and exit.
        """
        sys.stdout.write(f"reitunnel {version('reitunnel')}\n")
        sys.exit(0)

    def opt_help(self) -> NoReturn:
        """
        Print this and exit.
        """
        sys.stdout.write(f"{str(self).rstrip()}\n")
        sys.exit(0)

    def getSynopsis(self) -> str:
        """
        Say how the command is called: the same whatever program parses it.
        """
        return f"Usage: {self.synopsis}"


class ConfigOptions(CommandOptions):
    """
    Options that stand for keys of a configuration.

    @cvar flags: those that are given once.
    """

    flags: Sequence[Flag] = ()

    def __init__(self) -> None:
        super().__init__()
        self._lists: dict[str, list[str]] = {}
        # A daemon goes elsewhere, and reads its configuration again there.
        self._directory = Path.cwd()

    def overrides(self) -> dict[str, Any]:
        """
        What the flags say, by the path of the key.
        """
        given: dict[str, Any] = dict(self._lists)
        for flag in self.flags:
            value = self[flag.name]
            if flag.takes_value and value is not None:
                given[flag.key] = value
            elif not flag.takes_value and value:
                given[flag.key] = True
        return given

    def _add(self, key: str, value: str) -> None:
        """
        A flag that repeats was given.
        """
        self._lists.setdefault(key, []).append(value)


class ServerOptions(ConfigOptions):
    """
    C{reitunnel server}.
    """

    synopsis = "[twistd -n] reitunnel server [options]"
    longdesc = (
        "Takes clients, and opens the public ports of their tunnels. "
        "docs/configuration.md says what each key of the configuration does; what has "
        "no flag is set there."
    )
    flags = SERVER
    optParameters = _parameters(SERVER)
    optFlags = _switches(SERVER)
    compData = _completions(SERVER)

    def opt_listen(self, address: str) -> None:
        """
        Where clients connect: tls://0.0.0.0:7000, wss://0.0.0.0:443/tunnel, tcp://,
        ws://, or a Twisted endpoint description. Repeats
        """
        self._add("listen", address)

    def opt_ports(self, ports: str) -> None:
        """
        Public ports that clients may have: 8080 or 20000-29999. Repeats
        [default: 1024-65535]
        """
        self._add("policy.ports", ports)

    def configuration(self) -> ServerConfig:
        """
        Load what the file and the flags say.

        @raise ConfigError: with every mistake in them.
        """
        return load_server_config(
            self["config"],
            self.overrides(),
            directory=self._directory,
            others=server_mistakes,
        )


class ClientOptions(ConfigOptions):
    """
    C{reitunnel client}.
    """

    synopsis = "[twistd -n] reitunnel client [options] [URL]"
    longdesc = (
        "Connects to the server at URL (tls://tunnel.example.com:7000, or wss://, "
        "tcp://, ws://, or a Twisted endpoint description), and has it open tunnels "
        "to services on this side. docs/configuration.md says what each key of the "
        "configuration does; what has no flag is set there."
    )
    flags = CLIENT
    optParameters = _parameters(CLIENT)
    optFlags = _switches(CLIENT)
    compData = _completions(CLIENT)

    def opt_remote(self, remote: str) -> None:
        """
        A tunnel, [bind:]port:host:hostport or [bind:]port:unix:/path. Port 0 lets
        the server choose. Repeats
        """
        self._add("tunnels", remote)

    opt_R = opt_remote

    def parseArgs(self, *urls: str) -> None:
        """
        Take the server's address.
        """
        if len(urls) > 1:
            raise UsageError(f"more than one server: {' '.join(urls)}")
        self["url"] = urls[0] if urls else None

    def configuration(self) -> ClientConfig:
        """
        Load what the file, the environment and the flags say.

        @raise ConfigError: with every mistake in them.
        """
        return load_client_config(
            self["config"],
            self.overrides(),
            directory=self._directory,
            others=client_mistakes,
        )

    def overrides(self) -> dict[str, Any]:
        """
        What the flags say, by the path of the key.
        """
        return {"server": self["url"], **super().overrides()}


class ServiceOptions(CommandOptions):
    """
    The options of the C{twistd} plugin.
    """

    synopsis = "[twistd -n] reitunnel server|client [options]"
    longdesc = "Each command has a --help of its own."
    subCommands: ClassVar = [
        ["server", None, ServerOptions, "Take clients and open their tunnels"],
        ["client", None, ClientOptions, "Connect services here to a server"],
    ]
    subOptions: ServerOptions | ClientOptions

    def postOptions(self) -> None:
        """
        See that there is a command.
        """
        if self.subCommand is None:
            raise UsageError("a command is missing: server or client")
