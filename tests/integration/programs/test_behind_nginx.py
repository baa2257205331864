"""
Tests of a server behind an nginx that ends TLS: C{wss://} to nginx, C{ws://} behind.
"""

from __future__ import annotations

from twisted.web.server import Site
from twisted.web.static import File

from tests.integration.processes import reactor
from tests.integration.programs.amounts import TRANSFER
from tests.integration.programs.cases import TunnelTestCase
from tests.integration.programs.deployment import WS, Remote
from tests.integration.programs.pages import PageSet
from tests.integration.programs.ports import free_port
from tests.integration.programs.targets import (
    checksum,
    start_nginx,
    write_random_file,
)

# As nginx's own manual has it; the second line is in Debian's nginx.conf.
_SERVER = """
server {{
  listen 127.0.0.1:{port} ssl;
  ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
  ssl_certificate {pem};
  ssl_certificate_key {pem};
  location /tunnel {{
    proxy_pass http://127.0.0.1:{behind};
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
  }}
}}
"""


class BehindNginxTests(TunnelTestCase):
    """
    Of clients that know nothing of the proxy.
    """

    way = WS

    async def start_proxy(self) -> dict[str, str]:
        """
        Start the server, and nginx before it.

        @return: what a client needs in its configuration.
        """
        await self.start_server()
        port = free_port()
        await start_nginx(
            self,
            _SERVER.format(
                port=port, pem=self.deployment.pem, behind=self.deployment.port
            ),
        )
        return {
            "server": f"wss://localhost:{port}/tunnel",
            "ca": str(self.deployment.ca),
        }

    async def test_pages_and_a_large_file(self) -> None:
        """
        All that curl does works, with a token that cannot be bound to the channel.
        """
        keys = await self.start_proxy()
        page_set = PageSet(self)
        large = page_set.root / "large"
        await write_random_file(self, large, TRANSFER)
        site = Site(File(str(page_set.root)))
        listening = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        target = f"127.0.0.1:{listening.getHost().port}"
        _, [port] = await self.start_client(target, keys=keys)
        await page_set.fetch(port)
        summed = await self.run_shell(
            'curl --silent --show-error --fail "$1" | sha256sum',
            f"http://127.0.0.1:{port}/large",
            patience=self.timeout,
        )
        self.assertEqual(summed.split()[0], await checksum(self, large))

    async def test_required_binding(self) -> None:
        """
        A client that wants its token bound to the channel does not come in: there
        is somebody between.
        """
        keys = await self.start_proxy()
        client = self.launch_client(
            [Remote("127.0.0.1:9")], keys={**keys, "channel_binding": "require"}
        )
        finished = await client.finished()
        self.assertEqual(finished.code, 1, client.output)
        self.assertEqual(client.output.count("channel"), 1, client.output)
        self.assertNotIn("Traceback", client.output)
