"""
Tests with large files, both ways.
"""

from __future__ import annotations

from tests.integration.programs.amounts import TRANSFER, TRANSFER_ONE
from tests.integration.programs.cases import TunnelTestCase, over_each_transport
from tests.integration.programs.deployment import TLS
from tests.integration.programs.targets import (
    checksum,
    start_web_site,
    write_random_file,
)


@over_each_transport
class TransferTests(TunnelTestCase):
    """
    Of one large file from and to nginx.
    """

    async def open_web_site(self) -> str:
        """
        Make the file and open the tunnel.

        @return: the URL of the public port.
        """
        self.root = self.directory / "site"
        self.root.mkdir()
        self.file = self.directory / "site" / "large"
        size = TRANSFER_ONE if self.way == TLS else TRANSFER
        await write_random_file(self, self.file, size)
        target = f"127.0.0.1:{await start_web_site(self, self.root)}"
        [port] = await self.open_tunnels(target)
        return f"http://127.0.0.1:{port}"

    async def test_download(self) -> None:
        url = await self.open_web_site()
        summed = await self.run_shell(
            'curl --silent --show-error --fail "$1" | sha256sum',
            f"{url}/large",
            patience=self.timeout,
        )
        self.assertEqual(summed.split()[0], await checksum(self, self.file))

    async def test_upload(self) -> None:
        url = await self.open_web_site()
        await self.run_program(
            "curl",
            *("--silent", "--show-error", "--fail", "--upload-file", self.file),
            f"{url}/uploaded",
            patience=self.timeout,
        )
        self.assertEqual(
            await checksum(self, self.root / "uploaded"),
            await checksum(self, self.file),
        )
