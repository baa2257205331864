"""
C{ssh -R}, with an sshd of its own on loopback and keys that are thrown away.
"""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders.base import Opened, Site, Via, straight
from benchmarks.errors import ProgramFailed, Unavailable
from benchmarks.running.ports import LOOPBACK, free_port, wait_until_open
from benchmarks.running.programs import find_program

_PROGRAMS = ("ssh", "sshd", "ssh-keygen")
_SEPARATION = Path("/run/sshd")
_FORWARDED = r"Allocated port (\d+) for remote forward to \S+:(\d+)"
_CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {directory}/host
AuthorizedKeysFile {directory}/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding yes
MaxStartups 100
"""


@dataclass(frozen=True)
class OpenSSH:
    """
    One ssh connection with a remote forward for each target.

    @ivar cipher: the cipher, if not the usual one.
    """

    cipher: str = ""
    encrypted: bool = True

    @property
    def name(self) -> str:
        """
        As it is called; of a cipher, the part that tells it from others.
        """
        return f"ssh -R, {self.cipher.partition('@')[0]}" if self.cipher else "ssh -R"

    def check(self) -> None:
        """
        @raise Unavailable: if it is not installed, or cannot run here.
        """
        for program in _PROGRAMS:
            find_program(program)
        if os.geteuid() == 0 and not _SEPARATION.is_dir():
            try:
                _SEPARATION.mkdir(mode=0o755)
            except OSError as error:
                raise Unavailable(f"sshd needs {_SEPARATION}: {error}") from None

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start sshd and ssh.
        """
        directory, port = site.new_directory(), free_port()
        for key in ("host", "user"):
            _make_key(directory / key)
        text = _CONFIG.format(port=port, address=LOOPBACK, directory=directory)
        config = site.write(directory, "sshd_config", text)
        sshd = site.programs.start(
            "sshd", find_program("sshd"), "-D", "-e", "-f", config
        )
        wait_until_open(port, sshd.check)
        host = (directory / "host.pub").read_text()
        dialled = via(port)
        known = site.write(directory, "known", f"[{LOOPBACK}]:{dialled} {host}")
        options = {
            "IdentityFile": directory / "user",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": known,
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ExitOnForwardFailure": "yes",
            **({"Ciphers": self.cipher} if self.cipher else {}),
        }
        ssh = site.programs.start(
            "ssh",
            find_program("ssh"),
            *("-F", "none", "-N", "-p", str(dialled)),
            *(f"-o{name}={value}" for name, value in options.items()),
            *(f"-R{LOOPBACK}:0:{LOOPBACK}:{target}" for target in targets),
            f"{getpass.getuser()}@{LOOPBACK}",
        )
        try:
            found = ssh.lines_like(_FORWARDED, len(targets))
        except ProgramFailed as error:
            # It is sshd that knows why.
            raise ProgramFailed(f"{error}; sshd printed: {sshd.output()!r}") from None
        public = {int(match[2]): int(match[1]) for _, match in found}
        return Opened([public[target] for target in targets], (sshd, ssh))


def _make_key(path: Path) -> None:
    """
    Make a pair of keys without a passphrase.
    """
    subprocess.run(
        [find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", path],
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=30,
    )
