"""
Tests with ssh and scp against a real sshd.
"""

from __future__ import annotations

from tests.integration.programs.cases import TunnelTestCase, over_each_transport
from tests.integration.programs.targets import (
    SecureShell,
    checksum,
    require_terminals,
    start_sshd,
    write_random_file,
)


@over_each_transport
class SecureShellTests(TunnelTestCase):
    """
    Of shells, commands and copies of files.
    """

    async def open_sshd(self) -> tuple[SecureShell, list[str]]:
        """
        Start an sshd and open the tunnel.

        @return: what C{ssh} needs as arguments, too.
        """
        sshd = await start_sshd(self)
        [port] = await self.open_tunnels(f"127.0.0.1:{sshd.port}")
        return sshd, [*sshd.options, "-o", f"Port={port}"]

    async def test_interactive_shell(self) -> None:
        """
        Commands typed at a terminal, one that is interrupted, and the exit code.
        """
        require_terminals()
        sshd, options = await self.open_sshd()
        shell = self.start(
            *("ssh", *options, "-tt", f"{sshd.login}@127.0.0.1"),
            "exec env PS1='ready> ' sh -i",
            name="shell",
            terminal=True,
        )
        await shell.wait_for("ready> ")
        shell.write("echo $((6 * 7)) && test -t 0 && tty\n")
        await shell.wait_for(r"^42\s+^/dev/pts/\d+\s+^ready> ")
        shell.write("echo sleeping; sleep 1000\n")
        await shell.wait_for("^sleeping")
        shell.write("\x03")
        await shell.wait_for("ready> ", count=3)
        shell.write("exit 7\n")
        self.assertEqual((await shell.finished()).code, 7)

    async def test_command_with_closed_input(self) -> None:
        """
        C{ssh host cat </dev/null} ends, with nothing; so it does when there is no
        input at all.
        """
        sshd, options = await self.open_sshd()
        for redirection in ("</dev/null", "<&-"):
            said = await self.run_shell(
                f'"$@" {redirection}',
                *("ssh", *options, f"{sshd.login}@127.0.0.1", "cat && echo done"),
            )
            self.assertEqual(said, "done\n", redirection)

    async def test_command_as_a_filter(self) -> None:
        """
        A command gets all of its input, and its answer comes after the end.
        """
        sshd, options = await self.open_sshd()
        file = self.directory / "file"
        await write_random_file(self, file, 10_000_000)
        summed = await self.run_shell(
            'file=$1; shift; "$@" <"$file"',
            file,
            *("ssh", *options, f"{sshd.login}@127.0.0.1", "sha256sum"),
        )
        self.assertEqual(summed.split()[0], await checksum(self, file))

    async def test_copies(self) -> None:
        """
        C{scp} both ways.
        """
        sshd, options = await self.open_sshd()
        names = [self.directory / name for name in ("file", "there", "back")]
        file, there, back = names
        await write_random_file(self, file, 20_000_000)
        remote = f"{sshd.login}@127.0.0.1:{there}"
        await self.run_program("scp", *options, file, remote)
        await self.run_program("scp", *options, remote, back)
        sums = {await checksum(self, each) for each in names}
        self.assertEqual(len(sums), 1)
