"""
Tests of L{reitunnel.service.program}.
"""

from __future__ import annotations

import os
import signal
from typing import cast

from twisted.application.service import Application, IService, IServiceCollection
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python.components import Componentized
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.errors import Refused, TransportError
from reitunnel.service.exits import ExitCode, NotStarted
from reitunnel.service.notices import Notices
from reitunnel.service.program import PATIENCE, Program, SignalHandler, Terminal
from reitunnel.service.reloading import Reloader
from tests.service.fakes import FakeReactor, FakeService


@implementer(ILogObserver)
class Observer:
    def __call__(self, event: LogEvent) -> None:
        """
        Do nothing.
        """


class ProgramTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.exit_code = ExitCode(lambda handler: None, lambda code: None)
        self.handlers: dict[int, SignalHandler] = {}
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def program(
        self, service: FakeService, terminal: Terminal | None = None
    ) -> Program:
        return Program(
            self.reactor,
            service,
            service.when_trouble,
            self.exit_code,
            terminal=terminal,
            set_handler=self.handlers.__setitem__,
        )

    def started(self, service: FakeService) -> Program:
        """
        A program under way.
        """
        program = self.program(service)
        program.privilegedStartService()
        program.startService()
        self.reactor.begin()
        return program

    def said(self, level: object) -> list[str]:
        return [
            event["reason"] for event in self.events if event.get("log_level") is level
        ]

    def test_service(self) -> None:
        """
        It starts and stops its service.
        """
        service = FakeService()
        program = self.started(service)
        verifyObject(IServiceCollection, program)
        self.assertTrue(service.running)
        self.successResultOf(program.stopService())
        self.assertFalse(service.running)
        self.assertEqual(0, self.exit_code.value)

    def test_fails_at_once(self) -> None:
        """
        A start that fails at once raises, has said why, and sets the exit code.
        """
        program = self.program(FakeService(TransportError("port taken")))
        error = self.assertRaises(NotStarted, program.privilegedStartService)
        self.assertEqual("port taken", str(error))
        self.assertEqual(["port taken"], self.said(LogLevel.critical))
        self.assertEqual(1, self.exit_code.value)
        self.assertEqual(0, self.reactor.stops)

    def test_refused_by_a_hook(self) -> None:
        program = self.program(FakeService(Refused("not today")))
        self.assertRaises(NotStarted, program.privilegedStartService)
        expected = "a hook does not let it start: not today"
        self.assertEqual([expected], self.said(LogLevel.critical))

    def test_fails_before_the_reactor_runs(self) -> None:
        service = FakeService()
        program = self.program(service)
        program.privilegedStartService()
        program.startService()
        service.trouble.errback(TransportError("refused"))
        self.assertEqual(0, self.reactor.stops)
        self.reactor.begin()
        self.assertEqual(1, self.reactor.stops)
        self.assertEqual(1, self.exit_code.value)

    def test_fails_later(self) -> None:
        """
        A service that gives up stops the reactor.
        """
        service = FakeService()
        self.started(service)
        service.trouble.errback(TransportError("refused"))
        self.assertEqual(1, self.reactor.stops)
        self.assertEqual(1, self.exit_code.value)
        self.assertEqual(["refused"], self.said(LogLevel.critical))

    def test_defect(self) -> None:
        """
        What nobody has foreseen is logged with its traceback.
        """
        service = FakeService()
        self.started(service)
        service.trouble.errback(ZeroDivisionError("defect"))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(1, self.exit_code.value)
        self.assertEqual(1, self.reactor.stops)

    def test_fails_while_stopping(self) -> None:
        """
        Being stopped is no failure, whatever the service makes of it.
        """
        service = FakeService()
        self.started(service).stopService()
        service.trouble.errback(TransportError("stopped"))
        self.assertEqual(0, self.exit_code.value)
        self.assertEqual([], self.said(LogLevel.critical))
        self.assertEqual(0, self.reactor.stops)

    def test_no_trouble(self) -> None:
        """
        The news that all is well is no failure.
        """
        service = FakeService()
        self.started(service)
        service.trouble.callback(None)
        self.assertEqual((0, 0), (self.exit_code.value, self.reactor.stops))

    def test_signals(self) -> None:
        """
        SIGTERM and SIGINT are taken before anything starts, and stop the reactor.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self.reactor = FakeReactor()
            self.program(FakeService()).privilegedStartService()
            self.assertEqual({signal.SIGTERM, signal.SIGINT}, set(self.handlers))
            self.handlers.clear()
            self.started(FakeService())
            self.handlers[number](number, None)
            self.assertEqual(1, self.reactor.stops)

    def test_signals_after_the_reactor(self) -> None:
        """
        The reactor sets its own handlers when it begins to run; they are replaced.
        """
        program = self.program(FakeService())
        program.privilegedStartService()
        program.startService()
        self.handlers.clear()
        self.reactor.begin()
        self.assertEqual({signal.SIGTERM, signal.SIGINT}, set(self.handlers))

    def stopping(self) -> tuple[FakeService, Program, Deferred[None], list[str]]:
        """
        A program that was told to stop, whose service waits.
        """
        service = FakeService()
        service.stopping = Deferred()
        hurried: list[str] = []
        program = Program(
            self.reactor,
            service,
            service.when_trouble,
            self.exit_code,
            set_handler=self.handlers.__setitem__,
            stop_now=lambda: hurried.append("now"),
        )
        program.startService()
        self.reactor.begin()
        program.asked_to_stop("SIGTERM")
        return service, program, program.stopService(), hurried

    def test_second_signal(self) -> None:
        """
        While the service stops, another signal tells it to wait no longer; what it
        does then is waited for.
        """
        service, program, stopped, hurried = self.stopping()
        self.assertNoResult(stopped)
        self.assertEqual([], hurried)
        program.asked_to_stop("SIGTERM")
        self.assertEqual(["now"], hurried)
        self.assertNoResult(stopped)
        service.stopping.callback(None)
        self.successResultOf(stopped)
        program.asked_to_stop("SIGTERM")
        self.reactor.advance(PATIENCE)
        self.assertEqual((1, ["now"]), (self.reactor.stops, hurried))

    def test_service_that_does_not_hurry(self) -> None:
        """
        It is left alone after a while.
        """
        service, program, stopped, _ = self.stopping()
        program.asked_to_stop("SIGTERM")
        self.reactor.advance(PATIENCE - 0.1)
        self.assertNoResult(stopped)
        self.reactor.advance(0.1)
        self.successResultOf(stopped)
        service.stopping.callback(None)

    def test_third_signal(self) -> None:
        """
        It is left alone at once.
        """
        service, program, stopped, hurried = self.stopping()
        program.asked_to_stop("SIGTERM")
        program.asked_to_stop("SIGTERM")
        self.successResultOf(stopped)
        self.assertEqual(["now"], hurried)
        self.reactor.advance(PATIENCE)
        service.stopping.callback(None)

    def hung_up(self, *terminal: bool) -> tuple[Program, list[str]]:
        """
        A program that got SIGHUP.

        @param terminal: whether it had a terminal when it began, and has it now.
        """
        service = FakeService()
        asked: list[str] = []
        notices = Notices(self.reactor, lambda: "", {})

        async def reload() -> dict[str, list[str]]:
            asked.append("reload")
            return {}

        there = list(terminal)
        program = Program(
            self.reactor,
            service,
            service.when_trouble,
            self.exit_code,
            set_handler=self.handlers.__setitem__,
            notices=notices,
            reloader=Reloader(reload, notices),
            has_terminal=lambda: there.pop(0) if there else False,
        )
        program.privilegedStartService()
        program.startService()
        self.reactor.begin()
        self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        return program, asked

    def test_reload(self) -> None:
        """
        SIGHUP reloads: in a daemon, and in a terminal that is there.
        """
        for terminal in ((False, False), (True, True)):
            self.reactor = FakeReactor()
            program, asked = self.hung_up(*terminal)
            self.assertEqual((["reload"], 0), (asked, self.reactor.stops))
            # When it stops, it does not.
            program.stopService()
            self.handlers[signal.SIGHUP](signal.SIGHUP, None)
            self.assertEqual(["reload"], asked)

    def test_terminal_goes_away(self) -> None:
        """
        Then the program stops, as others do.
        """
        _, asked = self.hung_up(True, False)
        self.assertEqual(([], 1), (asked, self.reactor.stops))

    def test_log_of_the_application(self) -> None:
        """
        C{twistd} finds the observer at the application.
        """
        service, observer = FakeService(), Observer()
        program = Program(
            self.reactor,
            service,
            service.when_trouble,
            self.exit_code,
            observer=observer,
        )
        application = cast(Componentized, Application("reitunnel"))
        program.setServiceParent(application)
        self.assertIs(observer, application.getComponent(ILogObserver))
        self.assertIn(program, list(IServiceCollection(application)))

    def test_other_parents(self) -> None:
        """
        Other parents have their own log.
        """
        service = FakeService()
        parent = self.program(FakeService())
        program = Program(
            self.reactor,
            service,
            service.when_trouble,
            self.exit_code,
            observer=Observer(),
        )
        program.setServiceParent(parent)
        self.assertIs(parent, program.parent)
        verifyObject(IService, program)


class TerminalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader, writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.terminal = Terminal(writer)
        os.close(writer)

    def test_say(self) -> None:
        """
        It writes to the descriptor though others have closed it.
        """
        self.terminal.say("b\N{LATIN SMALL LETTER U WITH DIAERESIS}sy")
        self.terminal.close()
        self.assertEqual(b"b\xc3\xbcsy\n", os.read(self.reader, 100))

    def test_closed(self) -> None:
        self.terminal.close()
        self.terminal.close()
        self.terminal.say("nothing")
        self.assertEqual(b"", os.read(self.reader, 100))

    def test_without(self) -> None:
        """
        Without a standard error nothing is said.
        """
        reader, writer = os.pipe()
        os.close(reader)
        os.close(writer)
        Terminal(writer).say("nothing")

    def test_nobody_reads(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)
        terminal = Terminal(writer)
        terminal.say("nothing")
        terminal.close()

    def test_failed_start(self) -> None:
        """
        A failed start is said there; a start that works leaves it alone.
        """
        reactor = FakeReactor()
        service = FakeService(TransportError("port taken"))
        exit_code = ExitCode(lambda handler: None, lambda code: None)
        program = Program(
            reactor,
            service,
            service.when_trouble,
            exit_code,
            terminal=self.terminal,
            set_handler=lambda number, handler: None,
        )
        self.assertRaises(NotStarted, program.privilegedStartService)
        self.terminal.close()
        self.assertEqual(b"port taken\n", os.read(self.reader, 100))

    def test_started(self) -> None:
        service = FakeService()
        exit_code = ExitCode(lambda handler: None, lambda code: None)
        program = Program(
            FakeReactor(),
            service,
            service.when_trouble,
            exit_code,
            terminal=self.terminal,
            set_handler=lambda number, handler: None,
        )
        program.privilegedStartService()
        program.startService()
        self.assertEqual(b"", os.read(self.reader, 100))
