"""
C{python -m tests.fuzz TARGET --seconds N}: searches for inputs that break a target.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NoReturn


def main() -> None:
    """
    Do what the command line says.
    """
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="leave it out to see them all")
    parser.add_argument("--seconds", type=int, default=60, help="how long to search")
    parser.add_argument(
        "--keep", type=Path, help="a directory for new inputs; a temporary one else"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of chance; another one each time if 0"
    )
    parser.add_argument(
        "--seeds", action="store_true", help="write the seeds into the corpus"
    )
    options = parser.parse_args()
    if options.seeds:
        _write_seeds()
    elif options.target is None:
        _say("\n".join(_names()))
    else:
        keep = options.keep or Path(tempfile.mkdtemp(prefix="reitunnel-fuzz-"))
        _search(options.target, options.seconds, options.seed, keep)


def _search(name: str, seconds: int, seed: int, keep: Path) -> NoReturn:
    """
    Search, and exit as libFuzzer does: with 0 if nothing was found.
    """
    # Nothing of what is searched may be imported before atheris.
    try:
        import atheris  # noqa: PLC0415
    except ImportError:
        raise SystemExit("atheris is not installed: pip install '.[fuzz]'") from None
    with atheris.instrument_imports(include=["reitunnel", "autobahn.websocket"]):
        from tests.fuzz.targets import CORPUS, TARGETS  # noqa: PLC0415
    if name not in TARGETS:
        raise SystemExit(f"there is no target {name}; there are {', '.join(TARGETS)}")
    keep.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            f"-artifact_prefix={keep}/",
            str(keep),
            str(CORPUS / name),
        ],
        TARGETS[name],
    )
    atheris.Fuzz()
    raise SystemExit(0)


def _write_seeds() -> None:
    from tests.fuzz.seeds import seeds  # noqa: PLC0415
    from tests.fuzz.targets import CORPUS  # noqa: PLC0415

    for target, inputs in seeds().items():
        directory = CORPUS / target
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (directory / f"seed-{name}").write_bytes(data)


def _names() -> list[str]:
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415

    return list(TARGETS)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
