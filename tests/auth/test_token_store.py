"""
Tests of L{reitunnel.auth.TokenStore}.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import Token, TokenStore, new_token
from reitunnel.auth.scram import MIN_ITERATIONS
from reitunnel.errors import ConfigError
from tests.auth.support import store_with, write_token_file

OFFICE = new_token("office")[1]
LAB = new_token("lab")[1]


class TokenStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def store(self, text: str) -> TokenStore:
        return TokenStore(write_token_file(self.path, text))

    def objection(self, store: TokenStore, name: str, *certificate: str) -> str:
        return store.objection(name, store.verifier(name), frozenset(certificate))

    def test_bad_file(self) -> None:
        self.assertRaises(ConfigError, TokenStore, self.path)

    def test_names(self) -> None:
        self.assertEqual(("office", "lab"), self.store(OFFICE + LAB).names)

    def test_path_as_text(self) -> None:
        write_token_file(self.path, OFFICE)
        self.assertEqual(("office",), TokenStore(str(self.path)).names)

    def test_good(self) -> None:
        store = self.store(OFFICE)
        self.assertEqual("", self.objection(store, "office"))
        self.assertEqual("", self.objection(store, "office", "router-7"))

    def test_unknown(self) -> None:
        store = self.store(OFFICE)
        self.assertEqual("there is no token 'lab'", self.objection(store, "lab"))

    def test_unknown_is_not_shown(self) -> None:
        """
        A client may send a token where the name belongs.
        """
        store = self.store(OFFICE)
        for name in (Token.generate("a").reveal(), "", "x" * 9000, "a\nb"):
            self.assertEqual(
                "there is no token of that name", self.objection(store, name)
            )

    def test_disabled(self) -> None:
        store = self.store(OFFICE + "disabled = true\n")
        self.assertEqual(
            "the token 'office' is disabled", self.objection(store, "office")
        )
        self.assertEqual(
            "", self.objection(self.store(OFFICE + "disabled = false\n"), "office")
        )

    def test_expired(self) -> None:
        clock = Clock()
        clock.advance(1798761600.0 - 1)
        write_token_file(self.path, OFFICE + "expires = 2027-01-01\n")
        store = TokenStore(self.path, clock.seconds)
        self.assertEqual("", self.objection(store, "office"))
        clock.advance(1)
        self.assertEqual(
            "the token 'office' has expired", self.objection(store, "office")
        )

    def test_real_time(self) -> None:
        store = self.store(f"{OFFICE}expires = 2000-01-01\n{LAB}expires = 9999-01-01\n")
        self.assertIn("expired", self.objection(store, "office"))
        self.assertEqual("", self.objection(store, "lab"))

    def test_certificate(self) -> None:
        store = self.store(OFFICE + 'certificate = "router-7"\n')
        for names in ((), ("router-8",), ("ROUTER-7",)):
            self.assertEqual(
                "the token 'office' goes with the certificate 'router-7', which the "
                "link does not have",
                self.objection(store, "office", *names),
            )
        self.assertEqual("", self.objection(store, "office", "a", "router-7"))


class InventedTests(SynchronousTestCase):
    """
    A name that is not known looks like one that is.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_same_each_time(self) -> None:
        _, store = store_with(self.path)
        self.assertEqual(store.verifier("lab"), store.verifier("lab"))
        self.assertNotEqual(store.verifier("lab").salt, store.verifier("shop").salt)

    def test_same_after_restart(self) -> None:
        _, store = store_with(self.path)
        again = TokenStore(self.path)
        self.assertEqual(store.verifier("lab"), again.verifier("lab"))

    def test_same_after_reload(self) -> None:
        _, store = store_with(self.path)
        before = store.verifier("shop")
        write_token_file(self.path, self.path.read_text() + LAB)
        self.assertEqual(before, store.verifier("shop"))
        self.assertIn("lab", store.names)

    def test_secret(self) -> None:
        """
        With C{secret} it is the same whatever else the file says.
        """
        line = f'secret = "{b64encode(bytes(32)).decode()}"\n'
        write_token_file(self.path, line + OFFICE)
        one = TokenStore(self.path).verifier("shop")
        write_token_file(self.path, line + LAB)
        two = TokenStore(self.path).verifier("shop")
        self.assertEqual(one, two)
        write_token_file(self.path, LAB)
        self.assertNotEqual(one, TokenStore(self.path).verifier("shop"))

    def test_no_tokens(self) -> None:
        """
        Without verifiers to derive from, nothing can be computed in advance.
        """
        write_token_file(self.path, "")
        one, two = TokenStore(self.path), TokenStore(self.path)
        self.assertEqual(one.verifier("lab"), one.verifier("lab"))
        self.assertNotEqual(one.verifier("lab").salt, two.verifier("lab").salt)

    def test_differs_between_stores(self) -> None:
        _, one = store_with(self.path)
        _, two = store_with(Path(self.mktemp()))
        self.assertNotEqual(one.verifier("lab").salt, two.verifier("lab").salt)

    def test_form(self) -> None:
        _, store = store_with(self.path)
        real, invented = store.verifier("office"), store.verifier("lab")
        self.assertEqual(MIN_ITERATIONS, invented.iterations)
        for attribute in ("salt", "stored_key", "server_key"):
            self.assertEqual(
                len(getattr(real, attribute)), len(getattr(invented, attribute))
            )

    def test_usual_iterations(self) -> None:
        write_token_file(self.path, OFFICE.replace("4096", "8192"))
        self.assertEqual(8192, TokenStore(self.path).verifier("lab").iterations)


class ReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        write_token_file(self.path, OFFICE)
        self.store = TokenStore(self.path)

    def objection(self, name: str) -> str:
        return self.store.objection(name, self.store.verifier(name), frozenset())

    def test_reload(self) -> None:
        write_token_file(self.path, LAB)
        self.store.reload()
        self.assertEqual(("lab",), self.store.names)

    def test_reload_bad_file(self) -> None:
        write_token_file(self.path, OFFICE + LAB.replace("4096", "1"))
        error = self.assertRaises(ConfigError, self.store.reload)
        self.assertEqual("tokens.lab.iterations", error.mistakes[0].path)
        self.assertEqual(("office",), self.store.names)
        self.assertEqual("", self.objection("office"))

    def test_changed(self) -> None:
        write_token_file(self.path, LAB)
        with capturedLogs() as events:
            self.assertEqual("", self.objection("lab"))
            self.assertNotEqual("", self.objection("office"))
        (event,) = events
        self.assertEqual(LogLevel.info, event["log_level"])
        self.assertEqual(
            f"token file loaded again: {self.path}, 1 tokens", formatEvent(event)
        )

    def test_changed_in_place(self) -> None:
        with self.path.open("a") as file:
            file.write(LAB)
        self.assertEqual("", self.objection("lab"))

    def test_unchanged_is_not_read(self) -> None:
        with capturedLogs() as events:
            self.objection("office")
        self.assertEqual([], events)

    def test_changed_and_bad(self) -> None:
        """
        The mistake is logged once for each change, and the old tokens stay.
        """
        write_token_file(self.path, OFFICE + "disabled = true\n" + "x = 1\n")
        with capturedLogs() as events:
            for _ in range(3):
                self.assertEqual("", self.objection("office"))
        (event,) = events
        self.assertEqual(LogLevel.error, event["log_level"])
        self.assertEqual(
            "token file not loaded, the old tokens stay in force: "
            f"tokens.office.x: unknown key (in {self.path})",
            formatEvent(event),
        )
        write_token_file(self.path, OFFICE + "disabled = true\n")
        self.assertIn("disabled", self.objection("office"))

    def test_passed_over(self) -> None:
        """
        What is wrong with this file, and not with another one, has been said.
        """
        for path, said in ((self.path, 0), (self.path.with_suffix(".other"), 1)):
            write_token_file(self.path, OFFICE + f"x = {said}\n")
            self.store.pass_over(str(path))
            with capturedLogs() as events:
                self.assertEqual("", self.objection("office"))
            self.assertEqual(said, len(events))

    def test_gone_and_back(self) -> None:
        self.path.unlink()
        with capturedLogs() as events:
            self.assertEqual("", self.objection("office"))
            self.assertEqual("", self.objection("office"))
        self.assertEqual(1, len(events))
        write_token_file(self.path, LAB)
        self.assertEqual("", self.objection("lab"))

    def test_opened_to_others(self) -> None:
        self.path.chmod(0o644)
        with capturedLogs() as events:
            self.assertEqual("", self.objection("office"))
        self.assertIn("is open to others", formatEvent(events[0]))

    def test_replaced_meanwhile(self) -> None:
        """
        Between the two halves of an exchange a token may be made anew.
        """
        before = self.store.verifier("office")
        write_token_file(self.path, new_token("office")[1])
        self.store.reload()
        self.assertEqual(
            "the token 'office' was replaced meanwhile",
            self.store.objection("office", before, frozenset()),
        )

    def test_disabled_meanwhile(self) -> None:
        before = self.store.verifier("office")
        write_token_file(self.path, OFFICE + "disabled = true\n")
        self.store.reload()
        self.assertEqual(
            "the token 'office' is disabled",
            self.store.objection("office", before, frozenset()),
        )
