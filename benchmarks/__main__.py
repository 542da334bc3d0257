"""`python -m benchmarks`: every figure as it comes, a table at the end, and all of it as JSON.

The work is done in a process with a run's own environment, since how memory is kept decides a tenth of a step on a CPU.
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

from adapters.settings import StudioError
from benchmarks.suite import ARMS, CPU, FULL_SIZE, OURS_FLOAT32, QUICK, TASKS, Scale, Suite
from benchmarks.timing import Row, line, table
from ghibli_studio.config.training import setting_of
from ghibli_studio.jobs.queue import CHILD_ENVIRONMENT
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.runtime.device import choose_device, machine
from ghibli_studio.runtime.environment import versions
from ghibli_studio.workspace.files import write_json


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            _tell(_suite(chosen), Path(folder), chosen.json)
    except StudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was measured is in the JSON", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Our speed beside that of others.")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(%(default)s)")
    parser.add_argument(
        "--model",
        default="auto",
        help=f"auto: `{FULL_SIZE}`, the full size with random weights, on a GPU and `miniature` on a CPU; or any base "
        "model",
    )
    parser.add_argument(
        "--precision", choices=("auto", "no", "fp16", "bf16"), default="auto", help="of all arms but the reference"
    )
    parser.add_argument("--tasks", type=_listed(TASKS), default=TASKS, metavar=",".join(TASKS), help="(all)")
    parser.add_argument(
        "--arms",
        type=_listed(ARMS),
        metavar=",".join(ARMS),
        help=f"(on a GPU all but {OURS_FLOAT32}; on a CPU all but tuned, which compiles for minutes)",
    )
    parser.add_argument("--batches", type=_numbers, metavar="1,4,8", help="pictures in a step (1,4,8)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of ours, as JSON")
    parser.add_argument(
        "--limit", type=float, default=3000, metavar="SECONDS", help="start nothing new after it (%(default)s)"
    )
    parser.add_argument("--json", type=Path, default=Path("benchmark.json"), metavar="FILE", help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the figures mean nothing")
    return parser


def _listed(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is unknown; known are {', '.join(known)}")
        return tuple(name for name in known if name in chosen)  # anchors copy the base before ours grafts onto it

    return read


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} must be whole numbers from 1, such as 1,4,8")
    return tuple(map(int, parts))


def _suite(chosen: argparse.Namespace) -> Suite:
    device = choose_device(chosen.device).type
    model = chosen.model if chosen.model != "auto" else FULL_SIZE if device == "cuda" else MINIATURE
    arms = chosen.arms or tuple(arm for arm in ARMS if arm != (OURS_FLOAT32 if device == "cuda" else "tuned"))
    scale = QUICK if chosen.quick else Scale() if device == "cuda" else CPU
    if chosen.batches:
        scale = replace(scale, batches=chosen.batches)
    changes = dict(setting_of(text) for text in chosen.set)
    return Suite(model, device, chosen.precision, chosen.tasks, arms, scale, changes, chosen.limit)


def _tell(suite: Suite, folder: Path, file: Path) -> None:
    """Print what is measured and keep it, after every figure."""
    rows: list[Row] = []
    kept = {"date": date.today().isoformat(), "versions": versions(), "machine": machine(choose_device(suite.device))}
    kept |= {"model": suite.model, "arms": suite.arms, "scale": asdict(suite.scale), "changes": suite.changes}
    kept |= {"facts": suite.facts, "rows": [], "growth": []}
    started = time.monotonic()
    for event in suite.run(folder):
        told = str(event)
        if isinstance(event, Row):
            rows.append(event)
            told = line(rows, event)
            kept["rows"].append({**asdict(event), "share_of_floor": event.share})
        elif not isinstance(event, str):
            kept["growth"].append(asdict(event))
        print(f"[{time.monotonic() - started:7.1f} s] {told}", flush=True)
        write_json(file, kept)
    print(f"\n{kept['date']}, {kept['machine']['name']}, {kept['machine']['threads']} threads, {versions()}\n")
    print(table(rows))


if __name__ == "__main__":
    if missing := {name: value for name, value in CHILD_ENVIRONMENT.items() if name not in os.environ}:
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], {**os.environ, **missing})
    sys.exit(main())
