"""`python -m benchmarks`: prints every result at once, a table at the end, and writes everything to a JSON file.

The process has the environment of a training run, because memory settings affect a step by a tenth on a CPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from benchmarks.suite import ARMS, CPU, FULL_SIZE, OURS_FLOAT32, QUICK, TASKS, Scale, Suite
from benchmarks.timing import Row, line, table
from ghibli_studio.config.training import parse_setting
from ghibli_studio.jobs.queue import CHILD_ENVIRONMENT
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.runtime.device import choose_device, describe_machine
from ghibli_studio.runtime.environment import versions
from ghibli_studio.workspace.files import write_json


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            _report(_suite(chosen), Path(folder), chosen.json)
    except StudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the results so far are in the JSON file", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare our speed with that of other programs."
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(%(default)s)")
    parser.add_argument(
        "--model",
        default="auto",
        help=f"auto: `{FULL_SIZE}` (full size, random weights) on a GPU, `miniature` on a CPU; or any base model",
    )
    parser.add_argument(
        "--precision", choices=("auto", "no", "fp16", "bf16"), default="auto", help="of all arms except reference"
    )
    parser.add_argument("--tasks", type=_listed(TASKS), default=TASKS, metavar=",".join(TASKS), help="(all)")
    parser.add_argument(
        "--arms",
        type=_listed(ARMS),
        metavar=",".join(ARMS),
        help=f"(on a GPU all except {OURS_FLOAT32}; on a CPU all except tuned, which compiles for minutes)",
    )
    parser.add_argument("--batches", type=_numbers, metavar="1,4,8", help="images per step (1,4,8)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of our arms, as JSON"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=3000,
        metavar="SECONDS",
        help="start no further measurement after it (%(default)s)",
    )
    parser.add_argument("--json", type=Path, default=Path("benchmark.json"), metavar="FILE", help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="only check that it runs: the results mean nothing")
    return parser


def _listed(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is unknown; choose from {', '.join(known)}")
        return tuple(name for name in known if name in chosen)  # baselines copy the base before ours attaches to it

    return read


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} must be whole numbers from 1 up, like 1,4,8")
    return tuple(map(int, parts))


def _suite(chosen: argparse.Namespace) -> Suite:
    device = choose_device(chosen.device).type
    model = chosen.model if chosen.model != "auto" else FULL_SIZE if device == "cuda" else MINIATURE
    arms = chosen.arms or tuple(arm for arm in ARMS if arm != (OURS_FLOAT32 if device == "cuda" else "tuned"))
    scale = QUICK if chosen.quick else Scale() if device == "cuda" else CPU
    if chosen.batches:
        scale = replace(scale, batches=chosen.batches)
    changes = dict(parse_setting(text) for text in chosen.set)
    return Suite(model, device, chosen.precision, chosen.tasks, arms, scale, changes, chosen.limit)


def _report(suite: Suite, folder: Path, file: Path) -> None:
    """Print every result, and write all results so far to the JSON file."""
    rows: list[Row] = []
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "versions": versions(),
        "machine": describe_machine(choose_device(suite.device)),
    }
    report |= {"model": suite.model, "arms": suite.arms, "scale": asdict(suite.scale), "changes": suite.changes}
    report |= {"facts": suite.facts, "rows": [], "growth": []}
    started = time.monotonic()
    for event in suite.run(folder):
        text = str(event)
        if isinstance(event, Row):
            rows.append(event)
            text = line(rows, event)
            report["rows"].append({**asdict(event), "share_of_roofline": event.share_of_roofline})
        elif not isinstance(event, str):
            report["growth"].append(asdict(event))
        print(f"[{time.monotonic() - started:7.1f} s] {text}", flush=True)
        write_json(file, report)
    print(f"\n{report['date']}, {report['machine']['name']}, {report['machine']['threads']} threads, {versions()}\n")
    print(table(rows))


if __name__ == "__main__":
    if missing := {name: value for name, value in CHILD_ENVIRONMENT.items() if name not in os.environ}:
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], {**os.environ, **missing})
    sys.exit(main())
