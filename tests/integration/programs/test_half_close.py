"""
Tests of connections whose directions end at different times, with nc.
"""

from __future__ import annotations

from hashlib import sha256

from tests.integration.programs.cases import TunnelTestCase, over_each_transport
from tests.integration.programs.ports import free_port
from tests.integration.programs.targets import (
    start_socat,
    write_random_file,
)

# Takes the head of a request, then everything until the visitor has ended.
_UPLOAD_TARGET = r"""
while read -r line && [ "$line" != "$(printf '\r')" ]; do :; done
sum=$(sha256sum)
printf 'HTTP/1.0 200 OK\r\n\r\n%s\n' "$sum"
"""


@over_each_transport
class HalfCloseTests(TunnelTestCase):
    """
    Of the end of one direction as the start of the answer.
    """

    async def test_answer_after_the_end(self) -> None:
        """
        C{printf x | nc -N}: the target answers when the visitor has ended.
        """
        target = f"127.0.0.1:{await start_socat(self, 'wc -c')}"
        [port] = await self.open_tunnels(target)
        answer = await self.run_shell('printf x | nc -N 127.0.0.1 "$1"', str(port))
        self.assertEqual(answer.strip(), "1")

    async def test_http_upload_without_a_length(self) -> None:
        """
        An HTTP/1.0 request whose body ends with the visitor's direction.
        """
        body = self.directory / "body"
        await write_random_file(self, body, 5_000_000)
        script = self.directory / "upload.sh"
        script.write_text(_UPLOAD_TARGET)
        target = f"127.0.0.1:{await start_socat(self, f'sh {script}')}"
        [port] = await self.open_tunnels(target)
        answer = await self.run_shell(
            r"""{ printf 'POST /upload HTTP/1.0\r\n\r\n'; cat "$1"; } |
            nc -N 127.0.0.1 "$2" """,
            body,
            str(port),
        )
        self.assertTrue(answer.startswith("HTTP/1.0 200 OK"), answer)
        self.assertIn(sha256(body.read_bytes()).hexdigest(), answer)

    async def test_target_ends_first(self) -> None:
        """
        The target sends a greeting and ends; the visitor still has much to say.
        """
        listening_on = str(free_port())
        received = self.directory / "received"
        target = self.start(
            "sh",
            "-euc",
            'printf "hello\n" | nc -v -N -l 127.0.0.1 "$1" >"$2"',
            "sh",
            listening_on,
            received,
            name="target",
        )
        await target.wait_for("Listening on")
        [port] = await self.open_tunnels(f"127.0.0.1:{listening_on}")
        visitor = self.start("nc", "-N", "127.0.0.1", str(port), name="visitor")
        await visitor.wait_for("hello")
        said = "0123456789abcdef" * 100_000
        visitor.write(said)
        visitor.transport.closeStdin()
        self.assertEqual((await visitor.finished()).code, 0)
        self.assertEqual((await target.finished()).code, 0)
        self.assertEqual(received.read_text(), said)
