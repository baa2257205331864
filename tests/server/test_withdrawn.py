"""
What changes while a session goes on, or is about to begin. Credentials that are
withdrawn: it stays on the links that it has, and gets no others.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code, ServerConfig
from reitunnel.auth import new_token
from reitunnel.config.settings import (
    AuthSettings,
    ClientTimeouts,
    Limits,
    ServerTimeouts,
)
from reitunnel.config.values import Secret
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import Challenge, Resume
from tests.auth.support import write_token_file
from tests.ledger import Decider
from tests.pair import LINK_PORT, Pair, client_config, outcome, server_config
from tests.server.raw import raw_client

AWAY = "127.0.0.2"
OVER = "AUTHENTICATION: the client is not let in any more"


class Case(SynchronousTestCase):
    """
    A client with a token, and an open stream.
    """

    carrier = "mux"

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        token, self.entry = new_token("office")
        write_token_file(self.file, self.entry)
        client = client_config(
            server=f"tcp://{AWAY}:{LINK_PORT}",
            token=Secret(token),
            timeouts=ClientTimeouts(),
            carrier=self.carrier,
            insecure_plaintext=True,
        )
        self.pair = Pair(server=self.config(self.file), client=client).start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.visitor, self.target = self.pair.open_stream()
        self.pair.told_server.take()

    def config(self, tokens: Path) -> ServerConfig:
        return server_config(
            listen=(f"tcp://0.0.0.0:{LINK_PORT}",),
            insecure_plaintext=True,
            insecure_no_auth=False,
            auth=AuthSettings(tokens=tokens),
        )

    def withdraw(self) -> None:
        write_token_file(self.file, self.entry + "disabled = true\n")

    def check_goes_on(self) -> None:
        self.visitor.say(b"hello")
        self.pair.reactor.settle()
        self.assertTrue(self.target.received.endswith(b"hello"))


class ResumeTests(Case):
    def check_over(self) -> None:
        """
        The session is over on both sides, and nobody waits for the time of grace.
        """
        self.assertEqual((), self.pair.server.sessions)
        self.assertIsNone(self.pair.client.session)
        self.assertTrue(self.visitor.reset)
        self.assertTrue(self.target.reset)
        self.assertEqual(f"client- {OVER}", self.pair.told_server.take()[-1])
        self.assertEqual([], self.pair.public_ports)

    def test_accepted_still(self) -> None:
        self.pair.link.cut()
        self.pair.reactor.settle()
        self.check_goes_on()
        self.assertEqual([], self.pair.told_server.take())

    def test_token_disabled(self) -> None:
        self.withdraw()
        self.check_goes_on()
        self.pair.link.cut()
        self.pair.reactor.settle()
        self.check_over()

    def test_token_disabled_while_the_session_waits(self) -> None:
        self.pair.reactor.unreachable.add(AWAY)
        self.pair.link.cut()
        self.pair.reactor.advance(1)
        self.withdraw()
        self.pair.reactor.unreachable.clear()
        self.pair.reactor.advance(30)
        self.check_over()

    def test_reloaded(self) -> None:
        """
        What the server asks for now counts, not what it did when the session began.
        """
        other = write_token_file(Path(self.mktemp()), new_token("other")[1])
        reloading = self.pair.server.reload(self.config(other))
        self.assertEqual((), outcome(reloading, self.pair.reactor))
        self.check_goes_on()
        self.pair.link.cut()
        self.pair.reactor.settle()
        self.check_over()

    def test_stranger_ends_nothing(self) -> None:
        """
        Only who proves to be the client learns of it, and ends the session.
        """
        self.withdraw()
        session = self.pair.session
        self.pair.reactor.unreachable.add(AWAY)
        self.pair.link.cut()
        self.pair.reactor.advance(1)
        link = raw_client(self.pair.reactor)
        number = bytes.fromhex(session.id)
        link.send(FrameKind.RESUME, Resume([1], number, 0, bytes(32)))
        link.take(FrameKind.CHALLENGE, Challenge)
        link.respond("HMAC-SHA-256", bytes(32))
        self.assertEqual((Code.AUTHENTICATION, "no such session"), link.refused())
        self.assertEqual([session], list(self.pair.server.sessions))


class AttachTests(Case):
    carrier = "direct"

    def test_token_disabled(self) -> None:
        """
        Streams stay on the data links that they have; there are no further ones.
        """
        used = self.pair.used_data_links
        self.assertEqual(1, len(used))
        self.withdraw()
        idle = [each for each in self.pair.data_links if each not in used]
        self.assertTrue(idle)
        with capturedLogs() as logs:
            for data_link in idle:
                data_link.cut()
            self.pair.reactor.advance(3600)
        said = [formatEvent(event) for event in logs]
        self.assertEqual(
            [
                f"no data link: {reason}; streams stay on the control link"
                for reason in (
                    "it was lost soon after it was made",
                    "the client is not let in any more",
                )
            ],
            [line for line in said if "no data link" in line],
        )
        # One for each that was dialled at once, then less and less often.
        self.assertLess(len(self.pair.told_server.errors), 4 + 10 + 6)
        self.assertEqual(used, self.pair.data_links)
        self.check_goes_on()
        reasons = {
            str(getattr(error, "detail", "")).partition(": ")[2]
            for error, _ in self.pair.told_server.errors
        }
        self.assertEqual({"the token 'office' is disabled"}, reasons)

    def test_token_is_back(self) -> None:
        """
        The client need not wait for long after it has resumed its session.
        """
        self.withdraw()
        used = self.pair.used_data_links
        for data_link in self.pair.data_links:
            if data_link not in used:
                data_link.cut()
        self.pair.reactor.advance(3600)
        self.assertEqual(used, self.pair.data_links)
        write_token_file(self.file, self.entry)
        self.pair.link.cut()
        self.pair.reactor.advance(2)
        self.assertLess(len(used), len(self.pair.data_links))

    def test_reloaded(self) -> None:
        used = self.pair.used_data_links
        other = write_token_file(Path(self.mktemp()), new_token("other")[1])
        result = outcome(self.pair.server.reload(self.config(other)), self.pair.reactor)
        self.assertNotIsInstance(result, Failure)
        for data_link in self.pair.data_links:
            if data_link not in used:
                data_link.cut()
        self.pair.reactor.advance(20)
        self.assertEqual(used, self.pair.data_links)
        self.assertEqual(
            {Code.AUTHENTICATION},
            {getattr(each, "code", None) for each, _ in self.pair.told_server.errors},
        )


class UndecidedTests(SynchronousTestCase):
    def test_reloaded_meanwhile(self) -> None:
        """
        What the client is told of resumption and data links is what the session does,
        though the configuration changes while hooks decide.
        """
        decision: Deferred[None] = Deferred()
        pair = Pair(
            server_hooks=[Decider(client=lambda _: decision)],
            client=client_config(timeouts=ClientTimeouts()),
        ).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        changed = server_config(
            timeouts=ServerTimeouts(resume=0.0), limits=Limits(max_links_per_client=0)
        )
        self.assertEqual((), outcome(pair.server.reload(changed), pair.reactor))
        decision.callback(None)
        pair.reactor.settle()
        self.assertTrue(pair.data_links)
        visitor, target = pair.open_stream()
        # Many acknowledgements go to and fro.
        pair.reactor.advance(100)
        pair.link.cut()
        pair.reactor.settle()
        visitor.say(b"hello")
        pair.reactor.settle()
        self.assertEqual(b"hello", target.received)
        # The next session is as the new configuration says.
        visitor.hang_up()
        target.hang_up()
        assert pair.client.session is not None
        pair.client.session.close()
        pair.reactor.advance(5)
        self.assertTrue(pair.session.link_up)
        self.assertEqual([], pair.data_links)
