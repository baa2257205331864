"""
How hypothesis searches in these tests: the same way on every machine.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def examples(count: int, steps: int = 50) -> settings:
    """
    Try C{count} examples, chosen by the test's name alone, so that a run does
    not depend on luck or on the speed of the machine.

    @param steps: how many moves an example of a state machine has.
    """
    return settings(
        max_examples=count,
        stateful_step_count=steps,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
