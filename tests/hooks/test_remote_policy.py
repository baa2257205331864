"""
Tests of the C{remote-policy} hook.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.address import HostnameAddress, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.config import Policy, PortRange
from reitunnel.errors import ConfigError, InvalidHook, Refused, Undecided
from reitunnel.hooks import AsyncHook, BaseHook, HookManager
from reitunnel.hooks.posting import PostFailed
from reitunnel.hooks.remote_messages import (
    Asked,
    BadAnswer,
    decode_answer,
    encode_stream,
    encode_tunnel,
)
from reitunnel.hooks.remote_policy import (
    RemotePolicyHook,
    RemotePolicyHookFactory,
    RemotePolicyOptions,
)
from reitunnel.interfaces import (
    IBackgroundHook,
    IClientHook,
    IHookFactory,
    IReactorHook,
    IReturnHook,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)
from tests.hooks.building import built
from tests.hooks.fakes import (
    ErrorRecorder,
    FakeCertificate,
    FakeFacts,
    FakeSession,
    FakeStream,
    FakeTunnel,
)
from tests.hooks.posters import ManualPoster
from tests.pair import Pair, server_config
from tests.quality.fences import fenced_blocks

ALL: tuple[Asked, ...] = ("client", "tunnel", "stream")
OPTIONS = RemotePolicyOptions(url="https://localhost/", ask=ALL)


class PolicyCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.poster = ManualPoster()
        self.hook = self.make()

    def make(self, **changes: Any) -> RemotePolicyHook:
        hook = RemotePolicyHook(
            msgspec.structs.replace(OPTIONS, **changes), self.poster
        )
        HookManager(self.clock).register(hook)
        return hook

    def ask(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.hook.on_client_connect(FakeSession()))

    def refusal(self, asking: Deferred[None]) -> str:
        return str(self.failureResultOf(asking, Refused).value)


class InterfaceTests(PolicyCase):
    def test_all(self) -> None:
        for interface in (
            IClientHook,
            IReturnHook,
            ITunnelHook,
            IStreamHook,
            IBackgroundHook,
            IReactorHook,
        ):
            verifyObject(interface, self.hook)

    def test_only_what_is_asked(self) -> None:
        hook = self.make(ask=("tunnel",))
        self.assertTrue(ITunnelHook.providedBy(hook))
        self.assertFalse(IClientHook.providedBy(hook))
        self.assertFalse(IReturnHook.providedBy(hook))
        self.assertFalse(IStreamHook.providedBy(hook))

    def test_not_in_threads(self) -> None:
        self.assertRaises(InvalidHook, AsyncHook, self.hook)

    def test_factory(self) -> None:
        verifyObject(IHookFactory, RemotePolicyHookFactory())

    def test_build(self) -> None:
        def build(**options: Any) -> Any:
            return built(RemotePolicyHookFactory(), **options)

        self.assertIsInstance(build(url="https://localhost/"), RemotePolicyHook)
        for wrong in (
            {"url": "http://example.com/"},
            {"url": "https://localhost/", "ask": []},
            {"url": "https://localhost/", "ask": ["visitor"]},
            {"url": "https://localhost/", "timeout": 0},
            {"url": "https://localhost/", "token_file": "/none"},
        ):
            self.assertRaises(ConfigError, build, **wrong)


class DecisionTests(PolicyCase):
    def test_allowed(self) -> None:
        asking = self.ask()
        self.assertNoResult(asking)
        self.poster.answer({"decision": "allow"})
        self.assertIsNone(self.successResultOf(asking))

    def test_refused(self) -> None:
        unexplained = "refused by the policy service"
        for reason, text in (("not today", "not today"), ("", unexplained)):
            asking = self.ask()
            self.poster.answer({"decision": "refuse", "reason": reason})
            self.assertEqual(text, self.refusal(asking))

    def test_refused_if_it_fails_open(self) -> None:
        """
        An answer counts all the same.
        """
        self.hook = self.make(fail_open=True)
        asking = self.ask()
        self.poster.answer({"decision": "refuse"})
        self.refusal(asking)

    def test_no_answer(self) -> None:
        """
        It is refused, the peer is told no more than that, and it is logged once.
        """
        with capturedLogs() as events:
            for _ in range(3):
                asking = self.ask()
                self.poster.fail()
                self.assertEqual(
                    "the policy service gives no answer", self.refusal(asking)
                )
            asking = self.ask()
            self.poster.answer({"decision": "allow"})
            self.successResultOf(asking)
        failed, well = [formatEvent(event) for event in events]
        self.assertEqual(
            "policy service http://localhost:1 gives no answer: no answer within 1 s; "
            "what it is asked about is refused",
            failed,
        )
        self.assertEqual("policy service http://localhost:1 answers", well)

    def test_client_that_comes_back(self) -> None:
        """
        The service is asked the same.
        """
        for answer, passing in (
            ({"decision": "refuse"}, False),
            ({"decision": "what"}, True),
            (None, True),
        ):
            asking = Deferred.fromCoroutine(self.hook.on_client_return(FakeSession()))
            self.assertNoResult(asking)
            if answer is None:
                self.poster.fail()
            else:
                self.poster.answer(answer)
            refused: Any = self.failureResultOf(asking, Refused).value
            self.assertEqual(passing, refused.passing)

    def test_no_answer_is_a_failure(self) -> None:
        """
        It is counted and told, whether it is allowed or refused. It is refused for now.
        """
        for fail_open in (False, True):
            manager = HookManager(self.clock)
            hook = RemotePolicyHook(
                msgspec.structs.replace(OPTIONS, fail_open=fail_open), self.poster
            )
            told = ErrorRecorder()
            manager.register(told)
            manager.register(hook)
            deciding = Deferred.fromCoroutine(manager.decide_tunnel_open(FakeTunnel()))
            self.poster.fail()
            if fail_open:
                self.successResultOf(deciding)
            else:
                refused = self.failureResultOf(deciding, Refused).value
                self.assertTrue(refused.passing)
            [(error, context)] = told.errors
            self.assertIsInstance(error, Undecided)
            self.assertIsInstance(error.__cause__, PostFailed)
            self.assertEqual("hook RemotePolicyHook failed in on_tunnel_open", context)
            [counted] = [
                each
                for each in manager.statistics()
                if (each.hook, each.event) == ("RemotePolicyHook", "on_tunnel_open")
            ]
            self.assertEqual((1, 0), (counted.failures, counted.refusals))

    def test_reason(self) -> None:
        """
        What the log says of nonsense is for people.
        """
        for nonsense in ("two\nlines", "x" * 201):
            body = msgspec.json.encode({"decision": "refuse", "reason": nonsense})
            error = self.assertRaises(BadAnswer, decode_answer, "client", body)
            self.assertNotIn("regex", str(error))
            self.assertIn("`$.reason`", str(error))

    def test_no_answer_if_it_fails_open(self) -> None:
        self.hook = self.make(fail_open=True)
        with capturedLogs() as events:
            asking = self.ask()
            self.poster.fail()
            self.successResultOf(asking)
        self.assertEqual("allowed", events[0]["outcome"])

    def test_nonsense(self) -> None:
        """
        What is no answer does not allow.
        """
        answers: list[object] = [
            True,
            {},
            [],
            "allow",
            {"decision": True},
            {"decision": "Allow"},
            {"decision": "allow", "reson": "a slip"},
            {"decision": "allow", "tunnel": {"port": 80}},
            {"decision": "refuse", "reason": "two\nlines"},
            {"decision": "refuse", "reason": "x" * 201},
        ]
        for nonsense in answers:
            asking = self.ask()
            self.poster.answer(nonsense)
            self.assertEqual("the policy service gives no answer", self.refusal(asking))

    def test_no_json(self) -> None:
        for body in (b"", b"\xff", b"<html>", b'{"decision":"allow"} {}'):
            self.assertRaises(BadAnswer, decode_answer, "client", body)

    def test_too_many(self) -> None:
        self.hook = self.make(max_pending=1)
        first, second = self.ask(), self.ask()
        self.refusal(second)
        self.poster.answer({"decision": "allow"})
        self.successResultOf(first)
        third = self.ask()
        self.poster.answer({"decision": "allow"})
        self.successResultOf(third)

    def test_given_up(self) -> None:
        """
        A question that is given up counts no more.
        """
        self.hook = self.make(max_pending=1)
        asking = self.ask()
        asking.cancel()
        self.failureResultOf(asking)
        again = self.ask()
        self.poster.answers.pop(0)
        self.poster.answer({"decision": "allow"})
        self.successResultOf(again)

    def test_finish(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.hook.finish()))
        self.assertEqual(1, self.poster.closed)


class QuestionTests(PolicyCase):
    def test_stream(self) -> None:
        """
        It has all of its tunnel and client too.
        """
        certificate = FakeCertificate(
            "web", "CN=web", "Example", ("web.example.com",), "ab" * 32
        )
        session = FakeSession(facts=FakeFacts(certificate=certificate))
        tunnel = FakeTunnel(session=session, metadata={"team": "web"})
        asking = Deferred.fromCoroutine(
            self.hook.on_stream_open(FakeStream(tunnel=tunnel))
        )
        self.assertEqual(
            {
                "version": 1,
                "ask": "stream",
                "client": {
                    "identity": "token:web",
                    "instance": "laptop",
                    "session": "5e55",
                    "peer": {"host": "192.0.2.7", "port": 40000},
                    "scheme": "tls",
                    "certificate": {
                        "subject": "CN=web",
                        "common_name": "web",
                        "organization": "Example",
                        "names": ["web.example.com"],
                        "fingerprint": "ab" * 32,
                    },
                },
                "tunnel": {
                    "id": 3,
                    "type": "tcp",
                    "bind": "",
                    "port": 6000,
                    "public": None,
                    "target": "localhost:8080",
                    "metadata": {"team": "web"},
                },
                "stream": {
                    "id": 9,
                    "visitor": {"host": "203.0.113.9", "port": 50000},
                },
            },
            self.poster.bodies[0],
        )
        self.poster.answer({"decision": "allow"})
        self.successResultOf(asking)

    def test_addresses(self) -> None:
        for address, host in (
            (UNIXAddress(b"/run/x"), "unix:/run/x"),
            (HostnameAddress(b"example.com", 1), "HostnameAddress"),
        ):
            body = msgspec.json.decode(encode_stream(FakeStream(visitor=address)))
            self.assertIn(host, body["stream"]["visitor"]["host"])


class RewriteTests(PolicyCase):
    def open(self, answer: object, tunnel: ITunnel) -> None:
        asking = Deferred.fromCoroutine(self.hook.on_tunnel_open(tunnel))
        self.poster.answer(answer)
        self.successResultOf(asking)

    def test_both(self) -> None:
        tunnel = FakeTunnel()
        rewrite = {"port": 6001, "metadata": {"a": "b"}}
        self.open({"decision": "allow", "tunnel": rewrite}, tunnel)
        self.assertEqual((6001, {"a": "b"}), (tunnel.port, tunnel.metadata))

    def test_one(self) -> None:
        tunnel = FakeTunnel(metadata={"a": "b"})
        self.open({"decision": "allow", "tunnel": {"port": 0}}, tunnel)
        self.assertEqual((0, {"a": "b"}), (tunnel.port, tunnel.metadata))

    def test_nothing_else(self) -> None:
        """
        What cannot be rewritten is no answer.
        """
        for rewrite in (
            {"bind": "0.0.0.0"},
            {"target": "localhost:22"},
            {"port": 65536},
            {"port": -1},
            {"port": "80"},
            {"metadata": {"a\n": "x"}},
            {"metadata": {"a": 1}},
            {"metadata": {"a": "x\n"}},
            {"metadata": {str(n): "" for n in range(33)}},
        ):
            asking = Deferred.fromCoroutine(self.hook.on_tunnel_open(FakeTunnel()))
            self.poster.answer({"decision": "allow", "tunnel": rewrite})
            self.refusal(asking)


class RewritingHook(BaseHook):
    """
    Rewrites the port of each tunnel.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: list[ITunnel] = []

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        tunnel.rewrite(port=self.port, metadata={"by": "hook"})
        self.seen.append(tunnel)


class ThroughAServerTests(SynchronousTestCase):
    def test_rewritten(self) -> None:
        """
        The port is bound, and the client is told.
        """
        hook = RewritingHook(6100)
        pair = Pair(server_hooks=[hook]).start()
        self.assertEqual([6100], pair.public_ports)
        [tunnel] = pair.client.tunnels
        self.assertEqual(6100, getattr(tunnel.address, "port", None))
        self.assertEqual({"by": "hook"}, hook.seen[0].metadata)
        self.assertRaises(RuntimeError, hook.seen[0].rewrite, port=1)
        self.assertEqual([], pair.stop())

    def test_policy_stands(self) -> None:
        """
        What the server's policy does not allow, no hook can.
        """
        config = server_config(policy=Policy(ports=(PortRange(6000, 6099),)))
        for port, said in ((6100, "port 6100 is not allowed"), (6099, "")):
            hook = RewritingHook(port)
            pair = Pair(server=config, server_hooks=[hook]).start()
            self.assertEqual([] if said else [port], pair.public_ports)
            told = [str(error) for error, _ in pair.told_server.errors]
            self.assertEqual([said] if said else [], told)
            self.assertRaises(RuntimeError, hook.seen[0].rewrite, port=6000)
            self.assertEqual([], pair.stop())

    def test_client(self) -> None:
        """
        There it fails, and the tunnel is refused.
        """
        pair = Pair(client_hooks=[RewritingHook(6100)]).start()
        self.assertEqual([], pair.public_ports)
        self.assertEqual([], pair.stop())
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_refused(self) -> None:
        poster = ManualPoster()
        hook = RemotePolicyHook(OPTIONS, poster)
        pair = Pair(server_hooks=[hook]).start()
        poster.answer({"decision": "allow"})
        pair.reactor.settle()
        self.assertEqual("tunnel", poster.bodies[-1]["ask"])
        poster.answer({"decision": "allow", "tunnel": {"port": 6200}})
        pair.reactor.settle()
        self.assertEqual([6200], pair.public_ports)
        visitor = pair.visit(6200)
        self.assertEqual("stream", poster.bodies[-1]["ask"])
        self.assertEqual(6200, poster.bodies[-1]["tunnel"]["public"]["port"])
        poster.answer({"decision": "refuse", "reason": "not you"})
        pair.reactor.settle()
        self.assertTrue(visitor.reset)
        self.assertEqual([], pair.stop())


class DocumentTests(SynchronousTestCase):
    """
    The examples of docs/remote-policy.md.
    """

    def examples(self) -> list[dict[str, Any]]:
        document = Path(__file__).resolve().parents[2] / "docs" / "remote-policy.md"
        return [
            msgspec.json.decode(block.source)
            for block in fenced_blocks(document.read_text(encoding="utf-8"))
            if block.language == "json"
        ]

    def test_questions(self) -> None:
        """
        They have the keys that questions have.
        """
        tunnel = FakeTunnel()
        made = msgspec.json.decode(encode_tunnel(tunnel))
        [shown] = [each for each in self.examples() if "ask" in each]
        self.assertEqual(list(made), list(shown))
        for part in ("client", "tunnel"):
            self.assertEqual(list(made[part]), list(shown[part]))

    def test_answers(self) -> None:
        shown = [each for each in self.examples() if "decision" in each]
        self.assertEqual(3, len(shown))
        for each in shown:
            decode_answer("tunnel", msgspec.json.encode(each))
