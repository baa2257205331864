"""
Tests with psql and redis-cli against real servers.
"""

from __future__ import annotations

from hashlib import sha256

from tests.integration.programs.cases import TunnelTestCase, over_each_transport
from tests.integration.programs.targets import (
    PASSWORD,
    postgresql_programs,
    start_postgresql,
    start_redis,
)

ROWS = 50_000


@over_each_transport
class DatabaseTests(TunnelTestCase):
    """
    Of sessions with a database.
    """

    async def query(self, port: int, sql: str) -> str:
        """
        Run SQL as one session.

        @return: the rows, without decoration.
        """
        finished = await self.run_program(
            str(postgresql_programs() / "psql"),
            *("--no-psqlrc", "--quiet", "--tuples-only", "--no-align"),
            *("--set", "ON_ERROR_STOP=1"),
            f"host=127.0.0.1 port={port} user=postgres dbname=postgres",
            stdin=sql,
            environ={"PGPASSWORD": PASSWORD},
        )
        return finished.out

    async def test_psql(self) -> None:
        """
        Many rows in and out, through a target that is a Unix socket.
        """
        [port] = await self.open_tunnels(await start_postgresql(self))
        rows = "".join(f"{number}\tname {number}\n" for number in range(ROWS))
        await self.query(
            port,
            "create table things (number integer primary key, name text);\n"
            f"copy things from stdin;\n{rows}\\.\n",
        )
        total = await self.query(port, "select count(*), sum(number) from things;")
        self.assertEqual(total, f"{ROWS}|{sum(range(ROWS))}\n")
        back = await self.query(
            port, "copy (select * from things order by number) to stdout;"
        )
        # To show where two such texts differ would take pages.
        self.assertEqual(*(sha256(each.encode()).digest() for each in (back, rows)))

    async def test_redis_cli(self) -> None:
        """
        Single commands, a pipeline, and news to one who only listens.
        """
        [port] = await self.open_tunnels(f"127.0.0.1:{await start_redis(self)}")
        redis_cli = ("redis-cli", "-h", "127.0.0.1", "-p", str(port))
        await self.run_program(*redis_cli, "set", "greeting", "hello")
        said = await self.run_program(*redis_cli, "get", "greeting")
        self.assertEqual(said.out, "hello\n")
        commands = "".join(f"incrby total {number}\n" for number in range(ROWS))
        piped = await self.run_program(*redis_cli, "--pipe", stdin=commands)
        self.assertIn(f"errors: 0, replies: {ROWS}", piped.out)
        said = await self.run_program(*redis_cli, "get", "total")
        self.assertEqual(said.out, f"{sum(range(ROWS))}\n")
        listener = self.start(*redis_cli, "subscribe", "news", name="listener")
        await listener.wait_for("^subscribe")
        await self.run_program(*redis_cli, "publish", "news", "it works")
        await listener.wait_for("^it works$")
