"""
Tests of L{benchmarks.cli}, and of what it chooses from.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.cli import chosen_contenders, chosen_plan, parse, read_keys
from benchmarks.contenders import every_contender
from benchmarks.contenders.choice import TWISTED_RECORDS
from benchmarks.contenders.reitunnel import TRANSPORTS, Reitunnel, toml, variant_of
from benchmarks.errors import BenchmarkError, ProgramFailed
from benchmarks.plan import FULL, PLANS, QUICK
from benchmarks.rows.micro import read_pyperf


class KeyTests(SynchronousTestCase):
    def test_values(self) -> None:
        self.assertEqual(
            {"a.b": 5, "c": "word", "d": [1, 2], "e": "x=y", "f": True},
            read_keys(["a.b=5", "c=word", "d=[1, 2]", "e=x=y", "f = true"]),
        )

    def test_no_value(self) -> None:
        self.assertRaises(BenchmarkError, read_keys, ["a"])

    def test_written_as_toml(self) -> None:
        keys = {"listen": ["tcp://127.0.0.1:0"], "auth.tokens": 'a"b\\c', "limit": 5}
        self.assertEqual(
            {
                "listen": ["tcp://127.0.0.1:0"],
                "auth": {"tokens": 'a"b\\c'},
                "limit": 5,
            },
            tomllib.loads(toml(keys)),
        )

    def test_tables(self) -> None:
        """
        A flag has them as a file has, and they are written so that a file has the same.
        """
        text = 'hooks=[{name = "a", wrap = {sample = 5}, "b c" = [true, {}]}, {}]'
        keys = read_keys([text])
        hook = {"name": "a", "wrap": {"sample": 5}, "b c": [True, {}]}
        self.assertEqual({"hooks": [hook, {}]}, keys)
        self.assertEqual(keys, tomllib.loads(toml(keys)))


class PlanTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        plan = chosen_plan(
            parse(["--plan", "full", "--set", "bulk=2", "--set", "crowd=1e3"])
        )
        self.assertEqual((2.0, 1000), (plan.bulk, plan.crowd))
        self.assertIsInstance(plan.crowd, int)
        self.assertEqual(FULL.rounds, plan.rounds)

    def test_those_who_are_named_are_in_every_row(self) -> None:
        self.assertNotEqual((), chosen_plan(parse([])).few)
        plan = chosen_plan(parse(["--contender=wss mux"]))
        self.assertEqual(((), TRANSPORTS), (plan.few, plan.transports))

    def test_no_size(self) -> None:
        for text in ("nothing=1", "name=1", "bulk=long", "few=1"):
            asked = parse(["--set", text])
            self.assertRaises(BenchmarkError, chosen_plan, asked)

    def test_contenders_of_plans_exist(self) -> None:
        names = {each.name for each in every_contender({}, {}, {})}
        for plan in PLANS.values():
            self.assertEqual(set(), {*plan.contenders, *plan.few} - names)


class ContenderTests(SynchronousTestCase):
    def names(self, *arguments: str, plan: str = "full") -> list[str]:
        """
        Those that a command line chooses.
        """
        return [each.name for each in chosen_contenders(parse(arguments), PLANS[plan])]

    def test_names_differ(self) -> None:
        names = [each.name for each in every_contender({}, {}, {"old": Path("/old")})]
        self.assertEqual(len(names), len(set(names)))

    def test_all_or_those_of_the_plan(self) -> None:
        self.assertEqual(len(every_contender({}, {}, {})), len(self.names()))
        self.assertEqual(set(QUICK.contenders), set(self.names(plan="quick")))

    def test_chosen(self) -> None:
        self.assertEqual(
            ["none", "socat"], self.names("--contender=socat", "--contender=none")
        )

    def test_no_such(self) -> None:
        self.assertRaises(BenchmarkError, self.names, "--contender=frp")

    def test_another_checkout(self) -> None:
        """
        Its Reitunnel is measured next to this one's.
        """
        other = Path(self.mktemp())
        (other / "reitunnel").mkdir(parents=True)
        (other / "reitunnel" / "__init__.py").touch()
        against = f"--against=old={other}"
        self.assertEqual(
            ["tcp mux", "tcp mux (old)"], self.names("--contender=tcp mux", against)
        )
        self.assertEqual(
            ["tcp mux (old)"], self.names("--contender=tcp mux (old)", against)
        )
        self.assertEqual("old", variant_of("tcp mux (old)"))
        self.assertEqual({"", TWISTED_RECORDS}, set(map(variant_of, self.names())))

    def test_twisted_records_are_chosen_by_name_alone(self) -> None:
        name = f"tls mux ({TWISTED_RECORDS})"
        self.assertIn(name, self.names())
        self.assertEqual([name], self.names(f"--contender={name}"))
        self.assertEqual(["tls mux"], self.names("--contender=tls mux"))

    def test_no_checkout(self) -> None:
        self.assertRaises(BenchmarkError, self.names, f"--against=old={self.mktemp()}")

    def test_keys_reach_both_sides(self) -> None:
        asked = parse(
            [
                "--contender=tcp mux",
                "--server-key=tuning.backlog=5",
                "--client-key=tuning.buffer_size=8192",
            ]
        )
        (chosen,) = chosen_contenders(asked, FULL)
        assert isinstance(chosen, Reitunnel)
        self.assertEqual({"tuning.backlog": 5}, chosen.server_keys)
        self.assertEqual({"tuning.buffer_size": 8192}, chosen.client_keys)


class PyperfTests(SynchronousTestCase):
    def test_values(self) -> None:
        """
        Runs that only calibrate or warm up have none.
        """
        path = Path(self.mktemp())
        runs = [{"warmups": [[1, 0.5]]}, {"values": [1.0, 2.0]}, {"values": [3.0]}]
        benchmark = {"metadata": {"name": "hooks: one"}, "runs": runs}
        path.write_text(json.dumps({"benchmarks": [benchmark]}))
        self.assertEqual({"hooks: one": [1.0, 2.0, 3.0]}, read_pyperf(path))

    def test_anything_else(self) -> None:
        for text in ("", "[]", "{}", '{"benchmarks": [{}]}'):
            path = Path(self.mktemp())
            path.write_text(text)
            self.assertRaises(ProgramFailed, read_pyperf, path)

    def test_no_file(self) -> None:
        self.assertRaises(ProgramFailed, read_pyperf, Path(self.mktemp()))
