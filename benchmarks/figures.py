"""
The arithmetic of measurements: medians, percentiles, ratios pair by pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

TIMES = "\N{MULTIPLICATION SIGN}"
"""The unit of ratios."""


class Spread(NamedTuple):
    """
    Several measurements of one thing.
    """

    median: float
    least: float
    most: float


def spread(values: Sequence[float | None]) -> Spread | None:
    """
    Sum up measurements.

    @param values: L{None} stands for one that failed.
    @return: L{None} if there are none.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(median(known), min(known), max(known))


def ratios(
    values: Sequence[float | None], references: Sequence[float | None]
) -> list[float]:
    """
    Divide pair by pair: what was measured in the same round, and so under the same
    circumstances. Rounds that lack either are left out.
    """
    return [
        value / reference
        for value, reference in zip(values, references, strict=False)
        if value is not None and reference
    ]


def differences(
    values: Sequence[float | None], references: Sequence[float | None]
) -> list[float]:
    """
    Subtract pair by pair, as L{ratios} divides.
    """
    return [
        value - reference
        for value, reference in zip(values, references, strict=False)
        if value is not None and reference is not None
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """
    Give the value that C{share} of all values do not exceed (the nearest rank).

    @param values: at least one, in any order.
    @param share: 0 to 1.
    """
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[min(len(ordered), int(rank)) - 1]


def fairness(shares: Sequence[float]) -> float:
    """
    Give Jain's index: 1 when all got the same, 1/n when one got everything.

    @param shares: what each got; at least one, not all of them 0.
    """
    total = sum(shares)
    return total * total / (len(shares) * sum(share * share for share in shares))


def growth(samples: Sequence[float]) -> float:
    """
    Give by how much something grew: its most in the last four fifths of the time,
    less its most in the first fifth, which is there to warm up.

    @param samples: taken at regular intervals; at least one.
    """
    warm = max(1, len(samples) // 5)
    return max(0.0, max(samples[warm:], default=0.0) - max(samples[:warm]))


def number(value: float) -> str:
    """
    Write a number for people: three digits that matter.
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
