"""
Tests of L{reitunnel.transports.pem}.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate
from twisted.logger import capturedLogs, formatEvent

from reitunnel.errors import CertificateError
from reitunnel.transports.pem import (
    dns_names,
    load_authorities,
    load_credentials,
    pem_files,
    stamp,
)
from tests.certificates import write_private
from tests.transports.support import CertificateTestCase


class CredentialsTests(CertificateTestCase):
    def write(self, data: bytes, name: str = "a.pem") -> Path:
        return write_private(self.directory / name, data)

    def assert_refused(self, path: Path, reason: str) -> None:
        error = self.assertRaises(CertificateError, load_credentials, path)
        self.assertTrue(str(error).startswith(f"{path}: "), str(error))
        self.assertIn(reason, str(error))
        self.assertNotIn("\n", str(error))

    def test_any_order(self) -> None:
        issued = self.authority.issue("a", "a.example")
        own = load_pem_x509_certificate(issued.cert_pem)
        chain = load_pem_x509_certificate(self.authority.cert_pem)
        for pieces in (
            (issued.key_pem, issued.cert_pem, self.authority.cert_pem),
            (self.authority.cert_pem, issued.cert_pem, issued.key_pem),
        ):
            found = load_credentials(self.write(b"\n".join(pieces)))
            self.assertEqual(own, found.certificate)
            self.assertEqual((chain,), found.chain)

    def test_text_in_between(self) -> None:
        issued = self.authority.issue("a")
        data = b"subject: a\n" + issued.cert_pem + b"# the key\n" + issued.key_pem
        self.assertEqual((), load_credentials(self.write(data)).chain)

    def test_missing_file(self) -> None:
        self.assert_refused(self.directory / "no.pem", "No such file or directory")

    def test_directory(self) -> None:
        self.assert_refused(self.directory, "Is a directory")

    def test_no_key(self) -> None:
        path = self.write(self.authority.issue("a").cert_pem)
        self.assert_refused(path, "there is no private key in the file")

    def test_no_certificate(self) -> None:
        path = self.write(self.authority.issue("a").key_pem)
        self.assert_refused(path, "there is no certificate in the file")

    def test_two_keys(self) -> None:
        one, two = self.authority.issue("a"), self.authority.issue("b")
        path = self.write(one.pem + two.key_pem)
        self.assert_refused(path, "more than one private key")

    def test_key_of_another(self) -> None:
        one, two = self.authority.issue("a"), self.authority.issue("b")
        path = self.write(one.cert_pem + two.key_pem)
        self.assert_refused(path, "the key does not match the certificate")

    def test_encrypted_key(self) -> None:
        issued = self.authority.issue("a")
        key = load_pem_private_key(issued.key_pem, None)
        encrypted = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        path = self.write(issued.cert_pem + encrypted)
        self.assert_refused(path, "the private key is encrypted")

    def test_damaged(self) -> None:
        issued = self.authority.issue("a")
        body = issued.key_pem.split(b"\n")[1]
        path = self.write(issued.pem.replace(body, b"AAAA"))
        self.assert_refused(path, "the private key is damaged")
        body = issued.cert_pem.split(b"\n")[1]
        path = self.write(issued.pem.replace(body, b"AAAA"))
        self.assert_refused(path, "a certificate in the file is damaged")

    def test_key_that_others_can_read(self) -> None:
        path = self.server_pem()
        for mode in (0o640, 0o604, 0o660, 0o644):
            path.chmod(mode)
            self.assert_refused(path, f"(mode {mode:04o})")
            self.assert_refused(path, "chmod 600")
        path.chmod(0o400)
        load_credentials(path)

    def test_older_kinds_of_key(self) -> None:
        issued = self.authority.issue("a")
        key = load_pem_private_key(issued.key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        old = key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        self.assertIn(b"EC PRIVATE KEY", old)
        load_credentials(self.write(old + issued.cert_pem))

    def warnings(self, valid_from: int, valid_to: int) -> list[str]:
        issued = self.authority.issue("a", valid_from=valid_from, valid_to=valid_to)
        path = self.write(issued.pem)
        with capturedLogs() as events:
            load_credentials(path)
        messages = [str(formatEvent(event)) for event in events]
        self.assertTrue(all(each.startswith(f"{path}: ") for each in messages))
        return messages

    def test_expired(self) -> None:
        [message] = self.warnings(-3, -1)
        self.assertIn("the certificate expired on 2", message)

    def test_not_valid_yet(self) -> None:
        [message] = self.warnings(1, 3)
        self.assertIn("the certificate is not valid before 2", message)

    def test_valid(self) -> None:
        self.assertEqual([], self.warnings(-1, 1))


class AuthoritiesTests(CertificateTestCase):
    def test_several(self) -> None:
        other = type(self.authority)("another")
        path = self.directory / "cas.pem"
        path.write_bytes(self.authority.cert_pem + other.cert_pem)
        self.assertEqual(2, len(load_authorities(path)))

    def test_none(self) -> None:
        path = self.directory / "cas.pem"
        path.write_bytes(b"")
        error = self.assertRaises(CertificateError, load_authorities, path)
        self.assertIn("there is no certificate in the file", str(error))


class NamesTests(CertificateTestCase):
    def test_names(self) -> None:
        issued = self.authority.issue("a", "A.example", "*.b.example", "10.0.0.1")
        certificate = load_pem_x509_certificate(issued.cert_pem)
        self.assertEqual(("a.example", "*.b.example"), dns_names(certificate))

    def test_none(self) -> None:
        issued = self.authority.issue("a.example")
        self.assertEqual((), dns_names(load_pem_x509_certificate(issued.cert_pem)))


class FilesTests(CertificateTestCase):
    def test_sorted(self) -> None:
        for name in ("b.pem", "a.pem", ".c.pem", "d.txt"):
            (self.directory / name).touch()
        self.assertEqual(
            ["a.pem", "b.pem"], [path.name for path in pem_files(self.directory)]
        )

    def test_empty(self) -> None:
        error = self.assertRaises(CertificateError, pem_files, self.directory)
        self.assertIn("there is no *.pem file", str(error))

    def test_missing(self) -> None:
        missing = self.directory / "no"
        error = self.assertRaises(CertificateError, pem_files, missing)
        self.assertEqual(
            f"{missing}: cannot be read: No such file or directory", str(error)
        )


class StampTests(CertificateTestCase):
    def test_same(self) -> None:
        path = self.server_pem()
        self.assertEqual(stamp([path]), stamp([path]))

    def test_new_content(self) -> None:
        path = self.server_pem()
        before = stamp([path])
        os.utime(path, (1, 1))
        self.assertNotEqual(before, stamp([path]))

    def test_new_file_with_the_same_dates(self) -> None:
        path = self.server_pem()
        os.utime(path, (1, 1))
        before = stamp([path])
        replacement = write_private(self.directory / "new", path.read_bytes())
        os.utime(replacement, (1, 1))
        replacement.replace(path)
        self.assertNotEqual(before, stamp([path]))

    def test_missing(self) -> None:
        self.assertEqual((), stamp([self.directory / "no"]))
