"""
Tests of rows that measure Reitunnel next to itself: what they put into its
configuration, and whom they measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.bench import Bench, Measured
from benchmarks.cli import rows_of
from benchmarks.contenders import Contender, Opened, every_contender
from benchmarks.contenders.reitunnel import Reitunnel, toml
from benchmarks.plan import FULL, PLANS, QUICK, Plan
from benchmarks.rows import (
    EVERY,
    GROUPS,
    bandwidth,
    data_hooks,
    monitoring,
    resumption,
)
from benchmarks.rows.tuning import COMPARISONS
from benchmarks.rows.variants import Keys, chosen, on_both, variants
from benchmarks.running.programs import Programs
from reitunnel import (
    ClientConfig,
    ServerConfig,
    load_client_config,
    load_server_config,
)
from reitunnel.config import TUNING_PRESETS
from tests.benchmarks.test_results import new_run

SERVER = {"listen": ["tcp://127.0.0.1:0"], "insecure_no_auth": True}
CLIENT = {
    "server": "tcp://127.0.0.1:1",
    "tunnels": [{"port": 0, "target": "127.0.0.1:1"}],
}


def bench_with(plan: Plan, contenders: Sequence[Contender]) -> Bench:
    """
    A bench on which nothing runs.
    """
    run = new_run()
    return Bench(plan, run, Programs(Path("/nowhere")), contenders, lambda line: None)


class ChosenTests(SynchronousTestCase):
    every = every_contender({}, {}, {"old": Path("/old")})

    def names(
        self, *kinds: str, plan: Plan = FULL, among: Sequence[str] | None = None
    ) -> list[str]:
        """
        Whose variants are measured.
        """
        contenders = [
            each for each in self.every if among is None or each.name in among
        ]
        return [each.name for each in chosen(bench_with(plan, contenders), *kinds)]

    def test_the_usual_ones(self) -> None:
        self.assertEqual(["tcp mux", "tls mux"], self.names("tls mux", "tcp mux"))

    def test_fewer_in_a_plan_with_few(self) -> None:
        self.assertIn("tcp mux", QUICK.few)
        self.assertNotIn("tls mux", QUICK.few)
        self.assertEqual(["tcp mux"], self.names("tcp mux", "tls mux", plan=QUICK))

    def test_others_if_none_of_the_usual_ones_is_there(self) -> None:
        found = self.names("tcp mux", among=["none", "wss auto", "socat"])
        self.assertEqual(["wss auto"], found)

    def test_no_variants_of_variants(self) -> None:
        found = self.names("tcp mux", among=["tcp mux", "tcp mux (old)"])
        self.assertEqual(["tcp mux"], found)


class VariantTests(SynchronousTestCase):
    def test_keys_come_on_top(self) -> None:
        own = Reitunnel("tcp", "mux", {"a": 1, "b": 1}, {"c": 1})
        choices = {"x": Keys(), "y": Keys({"b": 2}, {"d": 2}), "z": on_both({"b": 3})}
        found = variants([own], choices)
        self.assertEqual(
            [
                ("tcp mux (x)", {"a": 1, "b": 1}, {"c": 1}),
                ("tcp mux (y)", {"a": 1, "b": 2}, {"c": 1, "d": 2}),
                ("tcp mux (z)", {"a": 1, "b": 3}, {"c": 1, "b": 3}),
            ],
            [(each.name, each.server_keys, each.client_keys) for each in found],
        )

    def test_neighbours_are_of_one_kind(self) -> None:
        """
        What is compared comes one after the other.
        """
        kinds = [Reitunnel("tcp", "mux"), Reitunnel("tls", "mux")]
        found = variants(kinds, {"x": Keys(), "y": Keys()})
        self.assertEqual(
            ["tcp mux (x)", "tcp mux (y)", "tls mux (x)", "tls mux (y)"],
            [each.name for each in found],
        )


class RowTests(SynchronousTestCase):
    def test_names(self) -> None:
        """
        No two benchmarks share a name, whatever page they are on.
        """
        self.assertEqual(sum(map(len, GROUPS.values())), len(EVERY))

    def test_of_plans(self) -> None:
        """
        All of a page, or all but some of it.
        """
        self.assertEqual(list(GROUPS["results"]), rows_of(FULL))
        self.assertEqual(list(GROUPS["tuning"]), rows_of(PLANS["tuning"]))
        for plan in PLANS.values():
            rows = rows_of(plan)
            self.assertNotEqual([], rows)
            self.assertEqual(len(GROUPS[plan.group]) - len(plan.skip), len(rows))

    def test_their_contenders_exist(self) -> None:
        names = {each.name for each in every_contender({}, {}, {})}
        kinds = [
            resumption.KINDS,
            data_hooks.KINDS,
            bandwidth.KINDS,
            monitoring.KINDS,
            *(each.kinds for each in COMPARISONS),
        ]
        for each in kinds:
            self.assertEqual(set(), set(each) - names)

    def test_plans_have_the_contenders_of_their_rows(self) -> None:
        for each in COMPARISONS:
            contenders = set(PLANS["tuning"].contenders)
            self.assertEqual(set(), set(each.kinds) - contenders, each.row)


class ConfigurationTests(SynchronousTestCase):
    def read(self, keys: Keys) -> tuple[ServerConfig, ClientConfig]:
        """
        What Reitunnel makes of files that have these keys.
        """
        server, client = (Path(self.mktemp()) for _ in range(2))
        server.write_text(toml({**SERVER, **keys.server}))
        client.write_text(toml({**CLIENT, **keys.client}))
        return load_server_config(server), load_client_config(client, environ={})

    def test_comparisons(self) -> None:
        """
        Each value is one, and the base is what there is without the key.
        """
        usual = self.read(Keys())
        for each in COMPARISONS:
            self.assertIn(each.base, each.choices)
            for name, keys in each.choices.items():
                same = self.read(keys) == usual
                self.assertEqual(name == each.base, same, (each.row, name))

    def test_every_preset(self) -> None:
        (presets,) = [each for each in COMPARISONS if each.row == "preset"]
        self.assertEqual(set(TUNING_PRESETS), set(presets.choices))

    def test_hooks(self) -> None:
        """
        They are written as tables.
        """
        server, client = self.read(on_both({"hooks": [data_hooks.HOOK] * 2}))
        for config in (server, client):
            names = [each.name for each in config.hooks]
            self.assertEqual(["logging", "logging"], names)

    def test_monitoring(self) -> None:
        """
        Both sides show their pages.
        """
        server, client = self.read(monitoring.Look(ports=(1001, 1002)).keys)
        self.assertEqual(
            ("127.0.0.1:1001", "127.0.0.1:1002"),
            (server.monitoring.listen, client.monitoring.listen),
        )


class LookTests(SynchronousTestCase):
    def test_pages_have_ports_of_their_own(self) -> None:
        ports = [port for look in monitoring.looks().values() for port in look.ports]
        self.assertEqual(len(ports), len(set(ports)))

    def test_who_is_looked_at(self) -> None:
        """
        Not the one that all are compared with.
        """
        measured: list[str] = []

        def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
            measured.append(contender.name)
            return {}

        # Nobody listens there.
        looks = {"profile": monitoring.Look(begin="/", ports=(1, 1))}
        looking = monitoring.looked_at(looks, measure)
        tunnel = Reitunnel("tcp", "mux")
        looking(replace(tunnel, variant=monitoring.NONE), Opened([1]))
        self.assertRaises(
            ConnectionError, looking, replace(tunnel, variant="profile"), Opened([1])
        )
        self.assertEqual([f"tcp mux ({monitoring.NONE})"], measured)
