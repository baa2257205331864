"""
Draws what was measured, one panel a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.figures import number, spread
from benchmarks.results import Key, Run
from benchmarks.rows.memory import SAMPLES

_OURS = ("tcp", "tls", "ws", "wss")
_OUR_COLOUR = "#1b6ca8"
_OTHER_COLOUR = "#a9a9a9"
_LINES = {"server": "-", "client": ":"}


@dataclass(frozen=True)
class Panel:
    """
    Bars, one a contender.
    """

    title: str
    row: str
    case: str
    quantity: str
    more_is_better: bool


PANELS = (
    Panel("Bulk, target to visitor, Gbit/s", "bulk", "down", "rate", True),
    Panel("Bulk, visitor to target, Gbit/s", "bulk", "up", "rate", True),
    Panel("Processor time, s/GB", "bulk", "down", "cpu", False),
    Panel("New visitors a second", "visits", "", "rate", True),
    Panel("Round trip of 64 B, p50, µs", "latency", "64 B", "p50", False),
    Panel("The same under load, p50, µs", "loaded", "down", "p50", False),
)


def plot(run: Run, path: Path) -> bool:
    """
    Draw a run as SVG.

    @return: whether it was drawn: matplotlib may not be installed.
    """
    if find_spec("matplotlib") is None:
        print("no plot: matplotlib is not installed: pip install -e '.[bench]'")
        return False
    # It takes a while, and is needed for nothing else.
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: Any = {
        "font.size": 8,
        # Letters as letters, and the same drawing for the same run.
        "svg.fonttype": "none",
        "svg.hashsalt": "reitunnel",
    }
    with rc_context(style):
        figure: Any = Figure(figsize=(11, 17), layout="constrained")
        axes = figure.subplots(4, 2).flat
        for panel, axis in zip(PANELS, axes, strict=False):
            _bars(run, panel, axis)
        _memory(run, axes[len(PANELS)])
        _long_path(run, axes[len(PANELS) + 1])
        figure.suptitle(f"{run.machine.get('processor', '')}, {run.started}")
        figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def _bars(run: Run, panel: Panel, axis: Any) -> None:
    found = []
    for series in run.series:
        key = Key(panel.row, panel.case, series.contender, panel.quantity)
        values = spread(series.values)
        if series.key == key and values is not None:
            found.append((series.contender, values))
    direction = "more is better" if panel.more_is_better else "less is better"
    axis.set_title(f"{panel.title} ({direction})", loc="left")
    names = [name for name, _ in found]
    medians = [values.median for _, values in found]
    below = [values.median - values.least for _, values in found]
    above = [values.most - values.median for _, values in found]
    colours = [_colour(name) for name in names]
    bars = axis.barh(names, medians, xerr=(below, above), color=colours, capsize=2)
    axis.bar_label(bars, [f" {number(median)}" for median in medians])
    axis.invert_yaxis()
    _tidy(axis)


def _memory(run: Run, axis: Any) -> None:
    axis.set_title("Memory while one stream is read slowly, MiB", loc="left")
    for series in run.series:
        side, _, kind = series.quantity.partition(" ")
        if series.row == "memory" and kind == SAMPLES:
            label = f"{series.contender}, {side}"
            places = _places(series.values)
            axis.plot(places, series.values, _LINES.get(side, "-"), label=label)
    if axis.lines:
        axis.legend(fontsize=6, loc="lower right")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("% of the stream")
    _tidy(axis)


def _places(values: Sequence[object]) -> list[float]:
    return [100 * place / max(1, len(values) - 1) for place in range(len(values))]


def _long_path(run: Run, axis: Any) -> None:
    panel = Panel(
        "One stream over 100 ms, Mbit/s", "long path", "100 ms, down", "rate", True
    )
    _bars(run, panel, axis)


def _colour(name: str) -> str:
    return _OUR_COLOUR if name.partition(" ")[0] in _OURS else _OTHER_COLOUR


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
