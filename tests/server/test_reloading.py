"""
A server that changes to another configuration while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, cast

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.logger import (
    ILogObserver,
    LogEvent,
    capturedLogs,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel import (
    BaseHook,
    ConfigError,
    Refused,
    ReitunnelError,
    Server,
    TransportError,
)
from reitunnel.auth import new_token
from reitunnel.config import (
    AuthSettings,
    HookSettings,
    Limits,
    Policy,
    PortRange,
    Secret,
    ServerTimeouts,
    ServerTuning,
)
from reitunnel.hooks import building
from reitunnel.interfaces import IHookFactory, IServer, IStream
from tests.auth.support import write_token_file
from tests.certificates import CertificateAuthority
from tests.pair import (
    LINK_PORT,
    PUBLIC_PORT,
    Pair,
    client_config,
    outcome,
    server_config,
)
from tests.server.raw import raw_client

OTHER = f"tcp://127.0.0.1:{LINK_PORT + 1}"
FIRST = f"tcp://127.0.0.1:{LINK_PORT}"


class Witness(BaseHook):
    """
    Writes down the start and the stop.
    """

    def __init__(self, refuses: bool = False) -> None:
        self.told: list[str] = []
        self._refuses = refuses

    def on_server_start(self, server: IServer) -> None:
        self.told.append("start")
        if self._refuses:
            raise Refused("not today")

    def on_server_stop(self, server: IServer) -> None:
        self.told.append("stop")


class NoOptions(Struct):
    """
    No options.
    """


@implementer(IHookFactory)
class WitnessFactory:
    """
    Builds witnesses; one that is C{strict} refuses the start.
    """

    built: ClassVar[dict[str, Witness]] = {}
    description = "tells what it was told"
    options = NoOptions

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, options: object, reactor: object) -> Witness:
        witness = Witness(refuses=self.name == "strict")
        self.built[self.name] = witness
        return witness


class ReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.pair.start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))

    def reload(self, **changes: Any) -> object:
        """
        Reload, and give what comes of it.
        """
        reloading = self.pair.server.reload(server_config(**changes))
        result = outcome(reloading, self.pair.reactor)
        return result.value if isinstance(result, Failure) else result

    def listening(self) -> list[int]:
        ports = (getattr(each, "port", 0) for each in self.pair.server.addresses)
        return list(ports)

    def test_unchanged(self) -> None:
        """
        Streams go on, whatever changes.
        """
        visitor, target = self.pair.open_stream()
        self.assertEqual((), self.reload())
        self.assertEqual((), self.reload(listen=(OTHER,)))
        visitor.say(b"hello")
        self.pair.reactor.settle()
        self.assertEqual(b"hello", target.received)

    def test_listeners(self) -> None:
        """
        They are opened and closed, in the order of the configuration.
        """
        self.assertEqual((), self.reload(listen=(OTHER, FIRST)))
        self.assertEqual([LINK_PORT + 1, LINK_PORT], self.listening())
        self.reload(listen=(OTHER,))
        self.assertEqual([LINK_PORT + 1], self.listening())
        ports = [getattr(port.address, "port", 0) for port in self.pair.reactor.ports]
        self.assertNotIn(LINK_PORT, ports)
        self.reload()
        self.assertEqual([LINK_PORT], self.listening())

    def test_taken_port(self) -> None:
        """
        A listener that cannot be had is a refusal of all.
        """
        error = self.reload(
            listen=(FIRST, OTHER, f"tcp://127.0.0.1:{PUBLIC_PORT}"),
            limits=Limits(max_conns=1),
        )
        self.assertIsInstance(error, TransportError)
        self.assertEqual([LINK_PORT], self.listening())
        self.assertEqual(20000, self.pair.server.config.limits.max_conns)
        ports = [getattr(port.address, "port", 0) for port in self.pair.reactor.ports]
        self.assertNotIn(LINK_PORT + 1, ports)

    def test_mistake(self) -> None:
        """
        So is what the constructor refuses.
        """
        error = self.reload(listen=("tcp://0.0.0.0:1",), limits=Limits(max_conns=1))
        self.assertIsInstance(error, ConfigError)
        self.assertIn("may listen in plaintext beyond this machine", str(error))
        self.assertIsInstance(
            self.reload(auth=AuthSettings(tokens=Path("nosuch"))), ConfigError
        )
        hooks = (HookSettings(name="nosuch"),)
        self.assertIn("hooks[0].name", str(self.reload(hooks=hooks)))
        self.assertEqual([LINK_PORT], self.listening())
        self.assertEqual(20000, self.pair.server.config.limits.max_conns)

    def test_all_mistakes(self) -> None:
        """
        They are named at once, as a start names them.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "junk").write_text("junk")
        wrong: dict[str, Any] = {
            "listen": (FIRST, "nosuch://a:1", f"tls://127.0.0.1:{LINK_PORT}"),
            "hooks": (HookSettings(name="logging"), HookSettings(name="nosuch")),
            "auth": AuthSettings(tokens=directory / "junk"),
            "pem": directory / "junk",
            "insecure_no_auth": False,
        }
        error = self.reload(**wrong)
        assert isinstance(error, ConfigError)
        self.assertEqual(
            {"listen[1]", "hooks[1].name", "auth.tokens", "pem"},
            {mistake.path for mistake in error.mistakes},
        )
        started = self.assertRaises(
            ConfigError, Server, self.pair.reactor, server_config(**wrong)
        )
        self.assertEqual(set(started.mistakes), set(error.mistakes))

    def test_limits(self) -> None:
        """
        They hold for what begins from now on.
        """
        self.pair.open_stream()
        self.reload(limits=Limits(max_conns=1))
        self.assertIsNotNone(self.pair.visit().lost)
        self.reload(limits=Limits(max_conns=2))
        self.assertIsNone(self.pair.visit().lost)
        self.assertEqual(2, self.pair.server.visitors.used)

    def test_handshakes(self) -> None:
        """
        So do those of links that are shaken hands over, in all and of one address.
        """
        hosts = ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3")
        for limits, admitted in (
            (Limits(max_handshakes=2), [True, True, False, False]),
            (Limits(max_handshakes_per_address=1), [True, False, True, True]),
            (Limits(), [True, True, True, True]),
        ):
            self.reload(limits=limits)
            links = [raw_client(self.pair.reactor, host) for host in hosts]
            self.assertEqual(admitted, [each.lost is None for each in links])
            for each in links:
                each.transport.abortConnection()
            self.pair.reactor.settle()

    def test_hooks_have_less_time(self) -> None:
        """
        What a hook is asked from now on it decides within the new time.
        """

        class Never(BaseHook):
            def on_stream_open(self, stream: IStream) -> Deferred[None]:
                return Deferred()

        self.pair.server.hooks.register(Never())
        for hook, long in ((2.0, 1.9), (20.0, 19.9)):
            self.reload(timeouts=ServerTimeouts(hook=hook))
            visitor = self.pair.visit()
            self.pair.reactor.advance(long)
            self.assertIsNone(visitor.lost)
            self.pair.reactor.advance(0.1)
            self.assertTrue(visitor.reset)

    def test_policy(self) -> None:
        """
        Tunnels that are open stay; the next one is judged by the new policy.
        """
        self.reload(policy=Policy(ports=(PortRange(9000, 9000),)))
        refused = outcome(
            self.pair.client.open_tunnel("127.0.0.1:1", 9001), self.pair.reactor
        )
        self.assertIsInstance(refused, Failure)
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)
        self.pair.open_tunnel("127.0.0.1:1", 9000)

    def test_tokens(self) -> None:
        """
        Who is in stays; who comes needs a token from now on.
        """
        tokens = Path(self.mktemp())
        tokens.write_text("")
        tokens.chmod(0o600)
        self.reload(insecure_no_auth=False, auth=AuthSettings(tokens=tokens))
        self.assertEqual(1, len(self.pair.server.sessions))
        self.pair.session.close()
        self.pair.reactor.advance(60)
        self.assertEqual((), self.pair.server.sessions)

    def test_wrong_tokens(self) -> None:
        """
        What is wrong with a token file is said by the reload alone; the old tokens
        stay, and a file that is right again is read when a client comes.
        """
        tokens = Path(self.mktemp())
        token, verifier = new_token("office")
        write_token_file(tokens, verifier)
        auth = AuthSettings(tokens=tokens)
        self.reload(insecure_no_auth=False, auth=auth)

        def connects(name: str, token: str) -> bool:
            client = self.pair.start_another(
                client_config(client_id=name, tunnels=(), token=Secret(token))
            )
            return client.session is not None

        tokens.write_text("junk")
        with capturedLogs() as logs:
            error = self.reload(insecure_no_auth=False, auth=auth)
            self.assertTrue(connects("first", token))
        self.assertIsInstance(error, ConfigError)
        self.assertEqual([], _said_of(tokens, logs))
        tokens.write_text("more junk")
        with capturedLogs() as logs:
            self.assertTrue(connects("second", token))
        self.assertEqual(1, len(_said_of(tokens, logs)))
        other, verifier = new_token("other")
        tokens.write_text("junk")
        self.reload(insecure_no_auth=False, auth=auth)
        tokens.write_text(verifier)
        with capturedLogs() as logs:
            self.assertFalse(connects("third", token))
            self.assertTrue(connects("fourth", other))
        self.assertEqual(1, len(_said_of(tokens, logs)))

    def test_what_stays(self) -> None:
        """
        What listeners have taken over for good is named, and stays.
        """
        kept = self.reload(
            tuning=ServerTuning(backlog=7, stream_window=131072),
            timeouts=ServerTimeouts(handshake=3.0, drain=1.0),
        )
        self.assertEqual(("tuning.backlog", "timeouts.handshake"), kept)
        config = self.pair.server.config
        self.assertEqual((1024, 131072), _tuning(config.tuning))
        self.assertEqual(10.0, config.timeouts.handshake)
        self.assertEqual(1.0, config.timeouts.drain)

    def test_certificates(self) -> None:
        """
        Another file is read at once, and listeners that stay use it.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        authority = CertificateAuthority()
        for name in ("a", "b"):
            authority.issue(name).write(directory / f"{name}.pem")
        tls = (FIRST, f"tls://127.0.0.1:{LINK_PORT + 2}")
        self.assertEqual((), self.reload(listen=tls, pem=directory / "a.pem"))
        ports = self.listening()
        self.assertEqual((), self.reload(listen=tls, pem=directory / "b.pem"))
        (directory / "b.pem").write_text("junk")
        self.assertIsInstance(
            self.reload(listen=(FIRST,), pem=directory / "b.pem"), ReitunnelError
        )
        self.assertEqual(ports, self.listening())

    def test_hooks(self) -> None:
        """
        A hook whose table has not changed stays; the others go, before those that
        were given in code.
        """
        quiet = HookSettings(name="logging", options={})
        self.reload(hooks=(quiet,))
        [first, ledger] = self.pair.server.hooks.hooks
        self.assertIs(self.pair.told_server, ledger)
        self.reload(
            hooks=(quiet, HookSettings(name="logging", options={"level": "warn"}))
        )
        self.assertIs(first, self.pair.server.hooks.hooks[0])
        self.assertEqual(3, len(self.pair.server.hooks.hooks))
        self.reload(hooks=())
        self.assertEqual((ledger,), self.pair.server.hooks.hooks)

    def events_of(self, settings: HookSettings) -> list[str]:
        """
        What a hook logs of a reload that brings it, and of one that takes it away.
        """
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.reload(hooks=(settings,))
        self.reload(hooks=(settings,), limits=Limits(max_conns=5))
        self.reload()
        return [
            event.get("event", "")
            for event in events
            if "hooks.logging" in str(event.get("log_namespace"))
        ]

    def test_hooks_are_asked_and_told(self) -> None:
        """
        One that comes is asked for the start, one that goes is told of the stop.
        """
        settings = HookSettings(
            name="logging", options={"events": ["server_start", "server_stop"]}
        )
        self.assertEqual(2, len(self.events_of(settings)))
        self.assertEqual(["server+"], self.pair.told_server.lines[:1])
        self.assertNotIn("server-", self.pair.told_server.lines)

    def test_wrapped_hooks_are_told(self) -> None:
        """
        So is one in a wrapper, whose methods are its own.
        """
        settings = HookSettings(
            name="logging",
            options={
                "events": ["server_start", "server_stop", "data_sent"],
                "wrap": {"sample": 2},
            },
        )
        self.assertEqual(2, len(self.events_of(settings)))

    def test_hook_with_a_timer(self) -> None:
        """
        A hook that goes finishes at once: it writes its last line, and no more.
        """
        exported: list[LogEvent] = []

        def observe(event: LogEvent) -> None:
            if "metrics_export" in str(event.get("log_namespace")):
                exported.append(event)

        observer = cast(ILogObserver, observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        settings = HookSettings(name="metrics", options={"log": True, "interval": 5.0})
        self.reload(hooks=(settings,))
        self.pair.open_tunnel("127.0.0.1:1", 9000)
        self.pair.reactor.advance(5)
        self.assertEqual(1, len(exported))
        self.reload()
        self.assertEqual(2, len(exported))
        self.pair.reactor.advance(20)
        self.assertEqual(2, len(exported))

    def test_refused_by_a_hook(self) -> None:
        """
        A new hook that does not let the server start is a refusal of all; those that
        had allowed it are told.
        """
        self.patch(
            building,
            "load_hook_factories",
            lambda: {name: WitnessFactory(name) for name in ("calm", "strict")},
        )
        calm, strict = HookSettings(name="calm"), HookSettings(name="strict")
        error = self.reload(listen=(FIRST, OTHER), hooks=(calm, strict))
        self.assertIsInstance(error, Refused)
        self.assertEqual((self.pair.told_server,), self.pair.server.hooks.hooks)
        self.assertEqual([LINK_PORT], self.listening())
        self.assertEqual(["start", "stop"], WitnessFactory.built["calm"].told)
        self.assertEqual(["start"], WitnessFactory.built["strict"].told)
        # Alone, the first one is welcome.
        self.reload(hooks=(calm,))
        self.assertEqual(["start"], WitnessFactory.built["calm"].told)

    def test_two_at_once(self) -> None:
        """
        They wait for each other.
        """
        server = self.pair.server
        first = server.reload(server_config(listen=(OTHER,)))
        second = server.reload(server_config(listen=(FIRST, OTHER)))
        self.pair.reactor.settle()
        self.assertEqual((), self.successResultOf(first))
        self.assertEqual((), self.successResultOf(second))
        self.assertEqual([LINK_PORT, LINK_PORT + 1], self.listening())

    def test_stopping(self) -> None:
        """
        A server that stops is not reloaded.
        """
        self.pair.open_stream()
        stopping = self.pair.server.stopService()
        self.pair.reactor.settle()
        self.assertNoResult(stopping)
        error = self.reload(listen=(OTHER,))
        self.assertEqual("the server is stopping", str(error))
        self.assertEqual([], self.listening())


class NotStartedTests(SynchronousTestCase):
    def test_before_the_start(self) -> None:
        """
        It starts with the new configuration.
        """
        pair = Pair()
        reloading = pair.server.reload(server_config(listen=(OTHER,)))
        self.assertEqual((), self.successResultOf(reloading))
        pair.start_server()
        [address] = pair.server.addresses
        self.assertEqual(LINK_PORT + 1, getattr(address, "port", 0))
        self.assertEqual([], pair.stop())

    def test_while_it_starts(self) -> None:
        """
        It waits for the start.
        """

        class Slow(BaseHook):
            decision: Deferred[None] = Deferred()

            def on_server_start(self, server: IServer) -> Deferred[None]:
                return self.decision

        pair = Pair(server_hooks=[Slow()])
        pair.start_server()
        reloading = pair.server.reload(server_config(listen=(OTHER,)))
        self.assertNoResult(reloading)
        Slow.decision.callback(None)
        pair.reactor.settle()
        self.assertEqual((), self.successResultOf(reloading))
        [address] = pair.server.addresses
        self.assertEqual(LINK_PORT + 1, getattr(address, "port", 0))
        self.assertEqual([], pair.stop())


def _said_of(path: Path, logs: Iterable[LogEvent]) -> list[LogEvent]:
    """
    Give what was logged of a file.
    """
    return [event for event in logs if event.get("path") == path]


def _tuning(tuning: ServerTuning) -> tuple[int, int]:
    return tuning.backlog, tuning.stream_window
