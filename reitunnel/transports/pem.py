"""
Reads certificates and private keys from PEM files, and says what is wrong with
them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtensionNotFound,
    SubjectAlternativeName,
    load_pem_x509_certificate,
)
from twisted.logger import Logger

from reitunnel.errors import CertificateError

_log = Logger()

_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>[A-Z0-9 ]+)-----.*?-----END (?P=label)-----", re.DOTALL
)

Stamp = tuple[tuple[str, int, int, int], ...]
"""Which files there are, and what they looked like: see L{stamp}."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    A certificate with its private key.

    @ivar path: the file that they come from.
    @ivar chain: the other certificates of the file, in its order.
    """

    path: Path
    key: PrivateKeyTypes
    certificate: Certificate
    chain: tuple[Certificate, ...]


def load_credentials(path: Path) -> Credentials:
    """
    Read a file with a private key, its certificate and the rest of the chain,
    in any order. A certificate that is not valid today is used all the same,
    with a warning.

    @raise CertificateError: if the file cannot be used.
    """
    data = _read(path)
    keys = [_key(path, block) for block in _blocks(data, b"PRIVATE KEY")]
    certificates = _certificates(path, data)
    if len(keys) != 1:
        amount = "no private key" if not keys else "more than one private key"
        raise CertificateError(f"{path}: there is {amount} in the file")
    public = (
        keys[0]
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    own = next((each for each in certificates if _spki(each) == public), None)
    if own is None:
        raise CertificateError(f"{path}: the key does not match the certificate")
    _warn_of_dates(path, own)
    chain = tuple(each for each in certificates if each is not own)
    return Credentials(path=path, key=keys[0], certificate=own, chain=chain)


def load_authorities(path: Path) -> tuple[Certificate, ...]:
    """
    Read a file with the certificates of one or more authorities.

    @raise CertificateError: if the file cannot be used.
    """
    return _certificates(path, _read(path))


def dns_names(certificate: Certificate) -> tuple[str, ...]:
    """
    The DNS names of a certificate, wildcards included, in lower case.
    """
    try:
        extension = certificate.extensions.get_extension_for_class(
            SubjectAlternativeName
        )
    except (ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in extension.value.get_values_for_type(DNSName))


def pem_files(directory: Path) -> list[Path]:
    """
    The C{*.pem} files of a directory, by name.

    @raise CertificateError: if there is none, or the directory is not readable.
    """
    try:
        found = sorted(
            path
            for path in directory.iterdir()
            if path.suffix == ".pem" and not path.name.startswith(".")
        )
    except OSError as error:
        raise _unreadable(directory, error) from None
    if not found:
        raise CertificateError(f"{directory}: there is no *.pem file in the directory")
    return found


def stamp(paths: Iterator[Path] | list[Path]) -> Stamp:
    """
    What some files look like from outside: if it is the same twice, the files
    did not change. A file that cannot be looked at is left out.
    """
    seen = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        seen.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(seen)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read()
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None
    if b"PRIVATE KEY-----" in data and mode & 0o077 and os.name == "posix":
        raise CertificateError(
            f"{path}: others can read the private key (mode {mode:04o}); "
            "make it readable by its owner only (chmod 600)"
        )
    return data


def _unreadable(path: Path, error: OSError) -> CertificateError:
    reason = error.strerror or str(error)
    return CertificateError(f"{path}: cannot be read: {reason}")


def _blocks(data: bytes, label: bytes) -> Iterator[bytes]:
    for block in _BLOCK.finditer(data):
        if block["label"].endswith(label):
            yield block[0]


def _certificates(path: Path, data: bytes) -> tuple[Certificate, ...]:
    try:
        found = tuple(
            load_pem_x509_certificate(block) for block in _blocks(data, b"CERTIFICATE")
        )
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(
            f"{path}: a certificate in the file is damaged"
        ) from None
    if not found:
        raise CertificateError(f"{path}: there is no certificate in the file")
    return found


def _key(path: Path, block: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(block, None)
    except TypeError:
        # This is how cryptography says that there is a passphrase.
        raise CertificateError(
            f"{path}: the private key is encrypted; store it without a passphrase"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{path}: the private key is damaged") from None


def _spki(certificate: Certificate) -> bytes | None:
    try:
        return certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, UnsupportedAlgorithm):
        # An algorithm that is not supported is not that of the key.
        return None


def _warn_of_dates(path: Path, certificate: Certificate) -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        _log.warn(
            "{path}: the certificate expired on {date}",
            path=str(path),
            date=certificate.not_valid_after_utc.date().isoformat(),
        )
    elif certificate.not_valid_before_utc > now:
        _log.warn(
            "{path}: the certificate is not valid before {date}",
            path=str(path),
            date=certificate.not_valid_before_utc.date().isoformat(),
        )
