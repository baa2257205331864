"""
Tests with curl: a page and what it shows.
"""

from __future__ import annotations

from twisted.web.server import Site
from twisted.web.static import File

from tests.integration.processes import reactor
from tests.integration.programs.cases import TunnelTestCase, over_each_transport
from tests.integration.programs.pages import PageSet
from tests.integration.programs.targets import start_web_site


@over_each_transport
class PageTests(TunnelTestCase):
    """
    Of web sites as targets.
    """

    async def test_twisted_web(self) -> None:
        page_set = PageSet(self)
        site = Site(File(str(page_set.root)))
        listening = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        [port] = await self.open_tunnels(f"127.0.0.1:{listening.getHost().port}")
        await page_set.fetch(port)

    async def test_nginx(self) -> None:
        page_set = PageSet(self)
        target = f"127.0.0.1:{await start_web_site(self, page_set.root)}"
        [port] = await self.open_tunnels(target)
        await page_set.fetch(port)
