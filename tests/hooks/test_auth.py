"""
Tests for the C{auth} hook.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, Refused
from reitunnel.hooks import HookManager
from reitunnel.hooks.auth import AuthHook, AuthHookFactory, AuthOptions
from reitunnel.hooks.client_rules import ClientRule
from reitunnel.interfaces import IClientHook, IHookFactory, ISession
from tests.hooks.fakes import FakeCertificate, FakeFacts, FakeSession

FINGERPRINT = "0123456789abcdef" * 4

CERTIFICATE = FakeCertificate(
    common_name="web-1",
    subject="CN=web-1,O=Example Ltd",
    organization="Example Ltd",
    names=("web-1.example.com", "Ops@Example.com"),
    fingerprint=FINGERPRINT,
)


def client(
    identity: str = "token:ci-1",
    instance: str = "laptop",
    certificate: FakeCertificate | None = None,
) -> FakeSession:
    """
    A client that has authenticated.
    """
    return FakeSession(
        identity=identity, instance=instance, facts=FakeFacts(certificate=certificate)
    )


WITH_CERTIFICATE = client("certificate:CN=web-1,O=Example Ltd", certificate=CERTIFICATE)


def allows(rule: ClientRule, session: FakeSession) -> bool:
    """
    Whether a hook with this one rule under C{allow} allows a client, and one
    with it under C{deny} refuses the same.
    """
    answers = []
    for options in (AuthOptions(allow=(rule,)), AuthOptions(deny=(rule,))):
        try:
            AuthHook(options).on_client_connect(session)
        except Refused:
            answers.append(False)
        else:
            answers.append(True)
    if answers[0] == answers[1]:
        raise AssertionError("allow and deny see different clients")
    return answers[0]


def only_laptops(client: ISession) -> None:
    """
    A validator.
    """
    if client.instance != "laptop":
        raise Refused("only for laptops")


async def later(client: ISession) -> None:
    """
    A validator that is a coroutine function.
    """
    only_laptops(client)


class RuleTests(SynchronousTestCase):
    def test_identities(self) -> None:
        rule = ClientRule(identities=("token:ci-*", "anonymous"))
        self.assertTrue(allows(rule, client("token:ci-1")))
        self.assertTrue(allows(rule, client("anonymous")))
        self.assertFalse(allows(rule, client("token:web")))
        self.assertFalse(allows(rule, client("certificate:token:ci-1")))

    def test_tokens(self) -> None:
        rule = ClientRule(tokens=("ci-*", "web"))
        self.assertTrue(allows(rule, client("token:ci-")))
        self.assertTrue(allows(rule, client("token:ci-7")))
        self.assertTrue(allows(rule, client("token:web")))
        self.assertFalse(allows(rule, client("token:webs")))
        self.assertFalse(allows(rule, client("token:my-ci-7")))
        self.assertFalse(allows(rule, client("token:CI-7")))

    def test_tokens_are_of_tokens_only(self) -> None:
        rule = ClientRule(tokens=("*",))
        self.assertFalse(allows(rule, client("anonymous")))
        self.assertFalse(allows(rule, WITH_CERTIFICATE))

    def test_question_mark_and_set(self) -> None:
        rule = ClientRule(tokens=("ci-?", "db[12]"))
        self.assertTrue(allows(rule, client("token:ci-1")))
        self.assertFalse(allows(rule, client("token:ci-12")))
        self.assertTrue(allows(rule, client("token:db2")))
        self.assertFalse(allows(rule, client("token:db3")))

    def test_instances(self) -> None:
        rule = ClientRule(instances=("build-*",))
        self.assertTrue(allows(rule, client(instance="build-7")))
        self.assertFalse(allows(rule, client(instance="laptop")))

    def test_subjects(self) -> None:
        rule = ClientRule(subjects=("CN=web-*,O=Example Ltd",))
        self.assertTrue(allows(rule, WITH_CERTIFICATE))
        self.assertFalse(allows(rule, client()))

    def test_common_names(self) -> None:
        self.assertTrue(allows(ClientRule(common_names=("web-?",)), WITH_CERTIFICATE))
        self.assertFalse(allows(ClientRule(common_names=("web",)), WITH_CERTIFICATE))

    def test_organizations(self) -> None:
        self.assertTrue(
            allows(ClientRule(organizations=("Example Ltd",)), WITH_CERTIFICATE)
        )
        self.assertFalse(
            allows(ClientRule(organizations=("Example",)), WITH_CERTIFICATE)
        )

    def test_names(self) -> None:
        for pattern in ("*.example.com", "*.EXAMPLE.com", "ops@*"):
            self.assertTrue(allows(ClientRule(names=(pattern,)), WITH_CERTIFICATE))
        self.assertFalse(allows(ClientRule(names=("example.com",)), WITH_CERTIFICATE))

    def test_no_names(self) -> None:
        nameless = client(certificate=FakeCertificate(common_name="x"))
        self.assertFalse(allows(ClientRule(names=("*",)), nameless))

    def test_fingerprints(self) -> None:
        colons = ":".join(
            FINGERPRINT[place : place + 2] for place in range(0, 64, 2)
        ).upper()
        for text in (FINGERPRINT, FINGERPRINT.upper(), colons):
            self.assertTrue(allows(ClientRule(fingerprints=(text,)), WITH_CERTIFICATE))
        self.assertFalse(allows(ClientRule(fingerprints=("0" * 64,)), WITH_CERTIFICATE))
        self.assertFalse(allows(ClientRule(fingerprints=("0" * 64,)), client()))

    def test_certificate_beside_a_token(self) -> None:
        both = client("token:ci-1", certificate=CERTIFICATE)
        self.assertTrue(allows(ClientRule(fingerprints=(FINGERPRINT,)), both))

    def test_every_list_must_match(self) -> None:
        rule = ClientRule(tokens=("ci-*",), instances=("build-*",))
        self.assertTrue(allows(rule, client("token:ci-1", "build-1")))
        self.assertFalse(allows(rule, client("token:ci-1", "laptop")))
        self.assertFalse(allows(rule, client("token:web", "build-1")))


class DecisionTests(SynchronousTestCase):
    def test_one_of_many_rules(self) -> None:
        hook = AuthHook(
            AuthOptions(
                allow=(
                    ClientRule(tokens=("ci-*",)),
                    ClientRule(organizations=("Example Ltd",)),
                )
            )
        )
        hook.on_client_connect(client("token:ci-1"))
        hook.on_client_connect(WITH_CERTIFICATE)
        error = self.assertRaises(
            Refused, hook.on_client_connect, client("token:web", "laptop")
        )
        self.assertEqual(
            "client token:web (laptop) is not among the allowed clients", str(error)
        )

    def test_deny_wins(self) -> None:
        hook = AuthHook(
            AuthOptions(
                allow=(ClientRule(tokens=("ci-*",)),),
                deny=(ClientRule(tokens=("web",)), ClientRule(instances=("laptop",))),
            )
        )
        hook.on_client_connect(client("token:ci-1", "build-1"))
        error = self.assertRaises(
            Refused, hook.on_client_connect, client("token:ci-1", "laptop")
        )
        self.assertEqual("client token:ci-1 (laptop) is denied", str(error))

    def test_deny_alone_allows_the_others(self) -> None:
        hook = AuthHook(AuthOptions(deny=(ClientRule(tokens=("web",)),)))
        hook.on_client_connect(client("token:ci-1"))
        hook.on_client_connect(client("anonymous"))
        self.assertRaises(Refused, hook.on_client_connect, client("token:web"))

    def test_with_the_manager(self) -> None:
        hooks = HookManager(Clock())
        hooks.register(AuthHook(AuthOptions(allow=(ClientRule(tokens=("ci-*",)),))))
        good, bad = client("token:ci-1"), client("token:web", "laptop")
        opened = self.successResultOf(
            Deferred.fromCoroutine(hooks.decide_client_connect(good))
        )
        hooks.notify_client_disconnect(opened, good, Code.NONE, "")
        failure = self.failureResultOf(
            Deferred.fromCoroutine(hooks.decide_client_connect(bad)), Refused
        )
        self.assertIn("token:web", str(failure.value))


class ValidatorTests(SynchronousTestCase):
    """
    A function of somebody else decides.
    """

    def ask(self, hook: AuthHook, session: FakeSession) -> str:
        """
        What the manager says of a client, with this hook.

        @return: why it is refused; empty if it is not.
        """
        hooks = HookManager(Clock())
        hooks.register(hook)
        answers: list[str] = []
        deferred = Deferred.fromCoroutine(hooks.decide_client_connect(session))
        deferred.addCallbacks(
            lambda _: answers.append(""),
            lambda failure: answers.append(str(failure.value)),
        )
        [answer] = answers
        return answer

    def check(self, hook: AuthHook) -> None:
        """
        The hook lets only laptops in.
        """
        self.assertEqual("", self.ask(hook, client(instance="laptop")))
        self.assertEqual("only for laptops", self.ask(hook, client(instance="desk")))

    def test_in_code(self) -> None:
        for validator in (only_laptops, later):
            self.check(AuthHook(validator=validator))

    def test_by_name(self) -> None:
        for validator in (only_laptops, later):
            name = f"{__name__}.{validator.__name__}"
            self.check(AuthHook(AuthOptions(validator=name)))

    def test_code_before_the_options(self) -> None:
        self.check(AuthHook(AuthOptions(validator="no.such"), validator=only_laptops))

    def test_after_the_rules(self) -> None:
        """
        The validator is not asked about clients that the rules refuse.
        """
        asked: list[ISession] = []
        validator: Callable[[ISession], None] = asked.append
        hook = AuthHook(
            AuthOptions(allow=(ClientRule(tokens=("ci-*",)),)), validator=validator
        )
        good, bad = client("token:ci-1"), client("token:web")
        self.assertEqual("", self.ask(hook, good))
        self.assertIn("not among", self.ask(hook, bad))
        self.assertEqual([good], asked)

    def test_failure(self) -> None:
        """
        A validator that breaks refuses, and what broke it is not told to the client.
        """

        def broken(client: ISession) -> None:
            raise KeyError("secret")

        answer = self.ask(AuthHook(validator=broken), client())
        self.assertEqual("refused by a hook", answer)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_answer_that_is_none(self) -> None:
        """
        C{False} refuses, and so does C{True}, because neither is an answer.
        """
        for value in (False, True):

            def validator(client: ISession, value: bool = value) -> bool:
                return value

            hook = AuthHook(validator=validator)  # type: ignore[arg-type]  # on purpose
            self.assertEqual("refused by a hook", self.ask(hook, client()))
            self.assertEqual(1, len(self.flushLoggedErrors()))

    def test_names_that_lead_nowhere(self) -> None:
        for name, words in (
            ("function", 'expected a dotted name such as "package.module.function"'),
            ("no_such_package.function", "cannot load"),
            (f"{__name__}.no_such_function", "cannot load"),
            ("reitunnel.errors.__doc__", "is not a function"),
        ):
            error = self.assertRaises(ValueError, AuthHook, AuthOptions(validator=name))
            self.assertTrue(str(error).startswith("validator: "), str(error))
            self.assertIn(words, str(error))
            self.assertIn(f'"{name}"', str(error))

    def test_neither(self) -> None:
        self.assertRaises(ValueError, AuthHook)


class OptionTests(SynchronousTestCase):
    def test_rule_without_a_list(self) -> None:
        self.assertRaises(ValueError, ClientRule)

    def test_empty_list(self) -> None:
        self.assertRaises(ValueError, ClientRule, tokens=("a",), names=())

    def test_neither_allow_nor_deny(self) -> None:
        self.assertRaises(ValueError, AuthOptions)
        self.assertRaises(ValueError, AuthOptions, allow=())

    def test_fingerprint(self) -> None:
        for text in ("", "0" * 63, "g" * 64, "*", "0" * 65):
            error = self.assertRaises(ValueError, ClientRule, fingerprints=(text,))
            self.assertIn("not a SHA-256 fingerprint", str(error))

    def test_interfaces(self) -> None:
        factory = AuthHookFactory()
        verifyObject(IHookFactory, factory)
        options = AuthOptions(deny=(ClientRule(tokens=("a",)),))
        hook = factory.build(options, MemoryReactorClock())
        verifyObject(IClientHook, hook)
