"""
Tests with wrk and iperf3.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.integration.programs.amounts import IPERF_SECONDS, WRK_SECONDS
from tests.integration.programs.cases import TunnelTestCase, over_each_transport
from tests.integration.programs.ports import free_port
from tests.integration.programs.targets import start_web_site


@over_each_transport
class LoadTests(TunnelTestCase):
    """
    Of tunnels that are kept busy.
    """

    async def test_wrk(self) -> None:
        """
        64 visitors at once, with no error.
        """
        root = self.directory / "site"
        root.mkdir()
        (root / "page").write_bytes(b"x" * 2000)
        target = f"127.0.0.1:{await start_web_site(self, root)}"
        [port] = await self.open_tunnels(target)
        finished = await self.run_program(
            "wrk",
            *("-c", "64", "-t", "2", "-d", f"{WRK_SECONDS}s"),
            f"http://127.0.0.1:{port}/page",
            patience=WRK_SECONDS + 30,
        )
        # It says these two only if there were any.
        self.assertNotIn("Socket errors", finished.out)
        self.assertNotIn("Non-2xx", finished.out)
        count = re.search(r"(\d+) requests in", finished.out)
        assert count is not None, finished.out
        self.assertGreater(int(count[1]), 100 * WRK_SECONDS, finished.out)

    async def test_iperf3(self) -> None:
        """
        Bulk data towards the target, from it, and on eight connections.
        """
        listening_on = str(free_port())
        server = self.start(
            *("iperf3", "--server", "--bind", "127.0.0.1", "--port", listening_on),
            "--forceflush",
            name="iperf3-server",
        )
        await server.wait_for("Server listening")
        [port] = await self.open_tunnels(f"127.0.0.1:{listening_on}")
        for count, flags in enumerate([(), ("-R",), ("-P", "8")], start=1):
            finished = await self.run_program(
                "iperf3",
                *("--client", "127.0.0.1", "--port", str(port), "--json"),
                *("--time", str(IPERF_SECONDS), *flags),
                patience=IPERF_SECONDS + 30,
            )
            report: dict[str, Any] = json.loads(finished.out)
            self.assertNotIn("error", report, finished.out)
            received = report["end"]["sum_received"]["bytes"]
            self.assertGreater(received, 1_000_000, flags)
            # It takes the next one when it says so again.
            await server.wait_for("Server listening", count=count + 1)
