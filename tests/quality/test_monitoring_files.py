"""
What docs/monitoring shows is what Prometheus and Grafana take, and is about metrics
that there are.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest, skipIf

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.metrics import MetricsHook
from tests.monitoring.asking import AskingTestCase
from tests.pair import Pair
from tests.quality.alert_rules import NotUnderstood, Rule, read_rules

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None  # type: ignore[assignment]
from tests.programs import run_program

HERE = Path(__file__).resolve().parent
FILES = HERE.parents[1] / "docs" / "monitoring"
ALERTS = FILES / "alerts.yml"
DASHBOARD = FILES / "grafana-dashboard.json"
CASES = HERE / "alerts.test.yml"
WORDS = {"and", "or", "unless", "by", "on", "without", "ignoring"}
"""Words of PromQL that are no names of metrics."""
OF_PROMETHEUS = {"job", "instance", "le", "alertstate"}
"""Labels that any metric may have."""
COLUMNS = 24
"""How wide a dashboard of Grafana is."""


def rules() -> list[Rule]:
    """
    The alerts.
    """
    return read_rules(ALERTS.read_text())


def dashboard() -> Any:
    """
    The dashboard.
    """
    return json.loads(DASHBOARD.read_text())


def expressions() -> Iterator[tuple[str, str]]:
    """
    What both files ask Prometheus, by the name of the alert or panel.
    """
    for rule in rules():
        yield rule.alert, rule.expression
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def metrics_in(expression: str) -> set[str]:
    """
    The names of metrics in an expression.
    """
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|on|without|ignoring) *\([^)]*\)", " ", text)
    names = re.findall(r"(?<![\w.])[a-zA-Z_]\w*\b(?! *\()", text)
    return set(names) - WORDS


def labels_in(expression: str) -> set[str]:
    """
    The names of labels in an expression.
    """
    text = re.sub(r'"[^"]*"', "", expression)
    lists = re.findall(r"\b(?:by|on|without|ignoring) *\(([^)]*)\)", text)
    selectors = re.findall(r"\{([^}]*)\}", text)
    return set(re.findall(r"\w+", " ".join(lists + selectors)))


def promtool(*arguments: str, directory: Path | None = None) -> tuple[int, str]:
    """
    Run promtool.

    @return: its exit code, and what it said.
    """
    program = shutil.which("promtool")
    if program is None:
        raise SkipTest("promtool is not installed")
    done = run_program([program, *arguments], timeout=60, directory=directory)
    return done.returncode, done.stdout


class AlertTests(SynchronousTestCase):
    def directory(self) -> Path:
        """
        A new directory.
        """
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        return directory

    def test_shape(self) -> None:
        """
        Each alert has what somebody who is woken up needs.
        """
        found = rules()
        self.assertEqual(len(found), len({rule.alert for rule in found}))
        self.assertEqual({"reitunnel", "reitunnel-hooks"}, {r.group for r in found})
        for rule in found:
            self.assertRegex(rule.alert, r"^Reitunnel[A-Z]\w+$")
            self.assertNotEqual("", rule.expression, rule.alert)
            keys = dict(rule.keys)
            self.assertIn(keys.pop("labels.severity"), {"critical", "warning"})
            self.assertNotEqual("", keys.pop("annotations.summary"))
            self.assertNotEqual("", keys.pop("annotations.description"))
            self.assertRegex(keys.pop("for", "1m"), r"^[1-9]\d*[smh]$")
            self.assertEqual({}, keys, rule.alert)

    def test_promtool_takes_them(self) -> None:
        code, said = promtool("check", "rules", str(ALERTS))
        self.assertEqual(0, code, said)
        self.assertIn(f"{len(rules())} rules found", said)

    def test_when_they_fire(self) -> None:
        """
        None of them while all is well, and each when it has a reason.
        """
        for rule in rules():
            self.assertIn(f'alertname="{rule.alert}"', CASES.read_text())
        directory = self.directory()
        shutil.copy(ALERTS, directory)
        shutil.copy(CASES, directory)
        code, said = promtool("test", "rules", CASES.name, directory=directory)
        self.assertEqual(0, code, said)

    def test_promtool_takes_the_dashboard(self) -> None:
        """
        What its panels ask is PromQL.
        """
        asked = [
            target["expr"].replace("$__rate_interval", "5m")
            for panel in dashboard()["panels"]
            for target in panel.get("targets", ())
        ]
        recorded = [
            {"record": f"panel_{number}", "expr": expression}
            for number, expression in enumerate(asked)
        ]
        file = self.directory() / "panels.yml"
        # JSON is YAML.
        file.write_text(json.dumps({"groups": [{"name": "all", "rules": recorded}]}))
        code, said = promtool("check", "rules", str(file))
        self.assertEqual(0, code, said)
        self.assertIn(f"{len(asked)} rules found", said)


class DashboardTests(SynchronousTestCase):
    def test_shape(self) -> None:
        """
        It can be imported: it has no number of its own in somebody's Grafana, and
        asks which source of data to use.
        """
        board = dashboard()
        self.assertIsNone(board["id"])
        self.assertEqual("Reitunnel", board["title"])
        self.assertGreaterEqual(board["schemaVersion"], 36)
        variables = {each["name"]: each for each in board["templating"]["list"]}
        self.assertEqual({"datasource", "job", "instance"}, variables.keys())
        self.assertEqual("datasource", variables["datasource"]["type"])
        panels = board["panels"]
        self.assertEqual(len(panels), len({panel["id"] for panel in panels}))
        for panel in panels:
            if panel["type"] == "row":
                continue
            self.assertIn(panel["type"], {"stat", "timeseries"})
            targets = panel["targets"]
            self.assertNotEqual([], targets, panel["title"])
            self.assertEqual(len(targets), len({each["refId"] for each in targets}))
            for each in (panel, *targets):
                self.assertEqual("${datasource}", each["datasource"]["uid"])
            for each in targets:
                selectors = re.findall(r"\{[^}]*\}", each["expr"])
                for selector in selectors:
                    self.assertIn('job=~"$job", instance=~"$instance"', selector)

    def test_places(self) -> None:
        """
        No panel lies on another one.
        """
        taken: dict[tuple[int, int], str] = {}
        for panel in dashboard()["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], COLUMNS)
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, panel["title"])
                    taken[x, y] = panel["title"]


@skipIf(text_string_to_metric_families is None, "needs prometheus-client")
class MetricNameTests(AskingTestCase):
    """
    A process gives each metric that the files use, with each of its labels.
    """

    def make_pair(self) -> Pair:
        """
        One whose server has the metrics hook.
        """
        self.hook = MetricsHook()
        return Pair(server_hooks=[self.hook])

    def given(self) -> dict[str, set[str]]:
        """
        The labels of each metric of a server that has done something of everything.
        """
        self.pair.start()
        visitor, _ = self.pair.open_stream()
        visitor.say(b"hello")
        self.pair.settle()
        visitor.hang_up()
        self.hook.on_error(ValueError("of a test"), "a test")
        self.pair.advance(20)
        labels: dict[str, set[str]] = defaultdict(set)
        for family in text_string_to_metric_families(self.ask("/metrics").text):
            for sample in family.samples:
                labels[sample.name] |= sample.labels.keys()
        return labels

    def test_names(self) -> None:
        if not Path("/proc/self/stat").exists():
            raise SkipTest("metrics of the process need /proc")
        given = self.given()
        given["up"] = set()
        wrong = []
        for where, expression in expressions():
            names = metrics_in(expression)
            self.assertNotEqual(set(), names, where)
            wrong += [f"{where}: {name}" for name in sorted(names - given.keys())]
            known = OF_PROMETHEUS.union(*(given[each] for each in names))
            labels = labels_in(expression)
            wrong += [f"{where}: {name}" for name in sorted(labels - known)]
        for variable in dashboard()["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.match(r"label_values\((\w+)", variable["definition"])
                assert asked is not None
                self.assertIn(asked[1], given)
        self.assertEqual([], wrong)


class PlantedDefectTests(SynchronousTestCase):
    """
    The checks find what they are for.
    """

    def test_names_in_expressions(self) -> None:
        for expression, metrics, labels in (
            ('sum by (a, b) (rate(m_total{c=~"d"}[5m])) > 0.5', {"m_total"}, "abc"),
            ("x == 0 and on (a) 0 * y_1", {"x", "y_1"}, "a"),
            ("max_over_time(sum by (a) (x)[30m:1m]) < 1e3", {"x"}, "a"),
            ("sum(x) or vector(0)", {"x"}, ""),
        ):
            self.assertEqual(metrics, metrics_in(expression), expression)
            self.assertEqual(set(labels), labels_in(expression), expression)

    def test_rules(self) -> None:
        head = "groups:\n  - name: g\n    rules:\n      - alert: A\n"
        self.assertEqual(
            [Rule("g", "A", 'x{a="b"} > 0', {"labels.severity": "big"})],
            read_rules(
                f"# Why.\n\n{head}"
                '        expr: >-\n          x{a="b"}\n          > 0\n'
                "        labels:\n          severity: big\n"
            ),
        )
        for wrong in (
            "        expr x > 0\n",
            "        expr: {a: b}\n",
            '        expr: "x\n',
            "        expr: a: b\n",
            "        expr: >-\n        for: 1m\n",
            "        expr: x\n        expr: y\n",
            "      - name: B\n",
            "other: x\n",
            "        - x\n",
        ):
            self.assertRaises(NotUnderstood, read_rules, head + wrong)
