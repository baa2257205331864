"""
Turns the output of trial into the one line that says how many tests passed::

    python tests/quality/closing_line.py FILE

It exits with 1 if a test failed, if none passed, or if trial ran none.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

_SUMMARY = re.compile(
    r"^Ran (?P<ran>\d+) tests in [\d.]+s\n\n"
    r"(?P<verdict>PASSED|FAILED)(?: \((?P<counts>[^()\n]*)\))?$",
    re.MULTILINE,
)
_FAILED = ("failures", "errors", "unexpectedSuccesses")


@dataclass(frozen=True)
class Result:
    """
    What trial's summary says.
    """

    verdict: str
    passed: int
    failed: int
    skipped: int

    @property
    def good(self) -> bool:
        """
        Whether tests ran and all of them passed.
        """
        return self.verdict == "PASSED" and self.passed > 0 and self.failed == 0

    def __str__(self) -> str:
        line = f"{self.passed} passed, {self.failed} failed"
        return f"{line}, {self.skipped} skipped" if self.skipped else line


def read_result(output: str) -> Result | None:
    """
    The results of all runs of trial in some output together, or L{None} if no test ran:
    trial then leaves out the line with the number.
    """
    results = [_read(summary) for summary in _SUMMARY.finditer(output)]
    if not results:
        return None
    return Result(
        verdict="PASSED" if all(result.good for result in results) else "FAILED",
        passed=sum(result.passed for result in results),
        failed=sum(result.failed for result in results),
        skipped=sum(result.skipped for result in results),
    )


def _read(summary: re.Match[str]) -> Result:
    counts = {
        name: int(number)
        for name, _, number in (
            item.partition("=") for item in (summary["counts"] or "").split(", ")
        )
        if number
    }
    failed = sum(counts.get(name, 0) for name in _FAILED)
    if summary["verdict"] == "FAILED":
        # Whatever trial calls it, a failed run has a failure.
        failed = max(failed, 1)
    return Result(
        verdict=summary["verdict"],
        passed=counts.get("successes", 0) + counts.get("expectedFailures", 0),
        failed=failed,
        skipped=counts.get("skips", 0),
    )


def main(arguments: list[str]) -> int:
    """
    Print the closing line for the file named.

    @return: the exit code.
    """
    result = read_result(Path(arguments[0]).read_text(errors="replace"))
    if result is None:
        sys.stderr.write("trial ran no test\n")
        return 1
    sys.stdout.write(f"{result}\n")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
