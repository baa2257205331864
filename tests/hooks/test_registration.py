"""
Tests for what can be registered as a hook, and for what that costs.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, InvalidHook
from reitunnel.hooks import BaseHook, HookManager
from reitunnel.interfaces import (
    ICertificate,
    IClientHook,
    IDataHook,
    IErrorHook,
    ILinkFacts,
    IReturnHook,
    IServer,
    IServerHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)
from tests.hooks.fakes import (
    ErrorRecorder,
    FakeCertificate,
    FakeFacts,
    FakeServer,
    FakeSession,
    FakeStream,
    FakeTunnel,
    RecordingHook,
)

HOOK_INTERFACES = [
    IServerHook,
    IClientHook,
    IReturnHook,
    ITunnelHook,
    IStreamHook,
    IDataHook,
    IErrorHook,
]


class InterfaceTests(SynchronousTestCase):
    def test_base_hook(self) -> None:
        for interface in HOOK_INTERFACES:
            verifyObject(interface, BaseHook())

    def test_fakes(self) -> None:
        verifyObject(ICertificate, FakeCertificate())
        verifyObject(ILinkFacts, FakeFacts())
        verifyObject(IServer, FakeServer())
        verifyObject(ISession, FakeSession())
        verifyObject(ITunnel, FakeTunnel())
        verifyObject(IStream, FakeStream())
        verifyObject(IErrorHook, ErrorRecorder())
        for interface in HOOK_INTERFACES:
            verifyObject(interface, RecordingHook())


class RegistrationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hooks = HookManager(Clock())

    def test_order(self) -> None:
        first, second, third = BaseHook(), RecordingHook(), ErrorRecorder()
        for hook in (first, second, third):
            self.hooks.register(hook)
        self.assertEqual((first, second, third), self.hooks.hooks)
        self.hooks.unregister(second)
        self.assertEqual((first, third), self.hooks.hooks)

    def test_no_interface(self) -> None:
        error = self.assertRaises(InvalidHook, self.hooks.register, object())
        self.assertIn("object provides no hook interface", str(error))
        self.assertIn("IStreamHook", str(error))
        self.assertEqual((), self.hooks.hooks)

    def test_class(self) -> None:
        error = self.assertRaises(InvalidHook, self.hooks.register, RecordingHook)
        self.assertEqual(
            "RecordingHook is a class: register an instance of it", str(error)
        )

    def test_twice(self) -> None:
        hook = BaseHook()
        self.hooks.register(hook)
        error = self.assertRaises(InvalidHook, self.hooks.register, hook)
        self.assertEqual("BaseHook is registered already", str(error))
        self.assertEqual((hook,), self.hooks.hooks)

    def test_again(self) -> None:
        hook = BaseHook()
        self.hooks.register(hook)
        self.hooks.unregister(hook)
        self.hooks.register(hook)
        self.assertEqual((hook,), self.hooks.hooks)

    def test_equal_is_not_the_same(self) -> None:
        first, second = AllEqual(), AllEqual()
        self.hooks.register(first)
        self.hooks.register(second)
        self.hooks.unregister(second)
        self.assertIs(first, self.hooks.hooks[0])

    def test_unregister_unknown(self) -> None:
        error = self.assertRaises(InvalidHook, self.hooks.unregister, BaseHook())
        self.assertEqual("BaseHook is not registered", str(error))

    def test_wrong_signature(self) -> None:
        error = self.assertRaises(InvalidHook, self.hooks.register, WrongSignature())
        self.assertIn("WrongSignature", str(error))
        self.assertIn("on_stream_close", str(error))
        self.assertNotIn("\n", str(error))

    def test_missing_method(self) -> None:
        error = self.assertRaises(InvalidHook, self.hooks.register, MissingMethod())
        self.assertIn("on_tunnel_close", str(error))

    def test_coroutine_where_nobody_waits(self) -> None:
        for hook, event in [
            (CoroutineData(), "CoroutineData.on_data_sent"),
            (CoroutineClose(), "CoroutineClose.on_stream_close"),
            (CoroutineError(), "CoroutineError.on_error"),
        ]:
            error = self.assertRaises(InvalidHook, self.hooks.register, hook)
            self.assertEqual(
                f"{event} is a coroutine, and nobody waits for it", str(error)
            )

    def test_generator_for_a_decision(self) -> None:
        error = self.assertRaises(InvalidHook, self.hooks.register, Generator())
        self.assertEqual(
            "Generator.on_stream_open is an asynchronous generator", str(error)
        )

    def test_bad_timeout(self) -> None:
        for timeout in (0.0, -1.0, float("nan")):
            with self.assertRaises(ValueError):
                HookManager(Clock(), timeout=timeout)


class InterestTests(SynchronousTestCase):
    """
    Nobody pays for an event that no hook wants.
    """

    def setUp(self) -> None:
        self.hooks = HookManager(Clock())

    def interests(self) -> tuple[bool, ...]:
        return (
            self.hooks.decides_server_start,
            self.hooks.decides_client_connect,
            self.hooks.decides_tunnel_open,
            self.hooks.decides_stream_open,
            self.hooks.data_received is not None,
            self.hooks.data_sent is not None,
        )

    def test_none(self) -> None:
        self.assertEqual((False,) * 6, self.interests())

    def test_all(self) -> None:
        hook = RecordingHook()
        self.hooks.register(hook)
        self.assertEqual((True,) * 6, self.interests())
        self.hooks.unregister(hook)
        self.assertEqual((False,) * 6, self.interests())

    def test_other_interface(self) -> None:
        self.hooks.register(ErrorRecorder())
        self.assertEqual((False,) * 6, self.interests())

    def test_untouched_base_hook(self) -> None:
        self.hooks.register(BaseHook())
        self.assertEqual((False,) * 6, self.interests())

    def test_base_hook_with_one_half(self) -> None:
        self.hooks.register(OnlyClose())
        self.assertEqual((False, False, False, True, False, False), self.interests())

    def test_base_hook_with_one_direction(self) -> None:
        self.hooks.register(OnlySent())
        self.assertEqual((False, False, False, False, False, True), self.interests())

    def test_method_on_the_instance(self) -> None:
        hook = BaseHook()
        calls: list[int] = []
        hook.on_data_received = (  # type: ignore[method-assign]  # that is tested
            lambda tunnel, count: calls.append(count)
        )
        self.hooks.register(hook)
        assert self.hooks.data_received is not None
        self.hooks.data_received(FakeTunnel(), 7)
        self.assertEqual([7], calls)


class OnlyClose(BaseHook):
    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        pass


class OnlySent(BaseHook):
    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        pass


class AllEqual(BaseHook):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


@implementer(IStreamHook)
class WrongSignature:
    def on_stream_open(self, stream: IStream) -> None:
        pass

    def on_stream_close(self, stream: IStream) -> None:  # type: ignore[override]  # on purpose
        pass


@implementer(ITunnelHook)
class MissingMethod:  # type: ignore[misc]  # on purpose
    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        pass


class CoroutineData(BaseHook):
    async def on_data_sent(  # type: ignore[override]  # on purpose
        self, tunnel: ITunnel, count: int
    ) -> None:
        pass


class CoroutineClose(BaseHook):
    async def on_stream_close(  # type: ignore[override]  # on purpose
        self, stream: IStream, code: Code, reason: str
    ) -> None:
        pass


class CoroutineError(BaseHook):
    async def on_error(  # type: ignore[override]  # on purpose
        self, error: BaseException, context: str
    ) -> None:
        pass


class Generator(BaseHook):
    async def on_stream_open(  # type: ignore[no-untyped-def]  # on purpose
        self, stream: IStream
    ):
        yield None


class ReplaceTests(SynchronousTestCase):
    """
    L{HookManager.replace}: hooks in the place of others.
    """

    def setUp(self) -> None:
        self.manager = HookManager(Clock())
        self.first, self.second, self.third = BaseHook(), BaseHook(), BaseHook()
        for hook in (self.first, self.second, self.third):
            self.manager.register(hook)

    def test_order(self) -> None:
        """
        They come first; those that were not named follow.
        """
        new = BaseHook()
        self.manager.replace([self.first, self.second], [new, self.second])
        self.assertEqual((new, self.second, self.third), self.manager.hooks)

    def test_none(self) -> None:
        self.manager.replace([self.first], [])
        self.assertEqual((self.second, self.third), self.manager.hooks)

    def test_no_hook(self) -> None:
        """
        Nothing has changed if one of them is none.
        """
        with self.assertRaises(InvalidHook):
            self.manager.replace([self.first], [BaseHook(), object()])
        self.assertEqual((self.first, self.second, self.third), self.manager.hooks)
