"""`python -m benchmarks.soak --minutes 20`: use it hard, kill it, and say whether it leaks, dies or loses anything.

The first part is full of crashes; in the last part one life of the app is measured for growth. Exit code 0: nothing
was lost, no page died, memory is flat. Needs chromium and playwright (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from random import Random

from benchmarks.soak import project as projects
from benchmarks.soak.integrity import losses
from benchmarks.soak.server import Sample, Studio
from benchmarks.soak.users import Met, User
from ghibli_studio.workspace.files import write_json
from ghibli_studio.workspace.project import Workspace
from study.simulation.participant import Simulated, simulate
from study.simulation.preferences import Preferences

CRASHES_UNTIL = 0.4
"""Share of the time in which the app is killed again and again; after it one life is measured."""
CRASH_SECONDS = 90
WARM = 0.6
"""Share of the time after which memory counts: everything has been used once by then."""
MOST_GROWTH = 0.10
"""Share by which memory may be larger in the last third of what counts than in its first."""
SAMPLE_SECONDS = 10
AT_ONCE = 2
QUESTIONS = 27
"""Of a study with five landmarks."""


def main(arguments: list[str] | None = None) -> int:
    """Soak; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Hours of use in minutes.")
    parser.add_argument("--minutes", type=float, default=20, help="(%(default)s)")
    parser.add_argument("--users", type=int, default=3, help="browsers (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides who does what (%(default)s)")
    parser.add_argument("--folder", type=Path, help="new or empty, and kept; default: a temporary one")
    parser.add_argument("--json", type=Path, default=Path("soak.json"), metavar="FILE", help="(%(default)s)")
    chosen = parser.parse_args(arguments)
    with nullcontext(chosen.folder) if chosen.folder else tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return soak(Path(folder), chosen.minutes * 60, chosen.users, chosen.seed, chosen.json)


def soak(folder: Path, seconds: float, users: int, seed: int, file: Path) -> int:
    """Make the project, let everybody in, and tell what came of it."""
    studio, said = Studio(folder), lambda text: print(text, flush=True)
    workspace = Workspace(studio.workspace)
    project = workspace.project("sample", new=True)
    making = projects.make(project)
    try:
        while True:
            said(next(making))
    except StopIteration as made:
        origins = made.value
    people = max(AT_ONCE, round(seconds / 60))
    pause = 0.7 * seconds * AT_ONCE / (people * QUESTIONS)
    walked: list[Simulated] = []
    with studio:
        participants = threading.Thread(
            target=lambda: walked.append(
                simulate(f"{studio.address}study", people, Preferences(), origins, seed, AT_ONCE, pause)
            )
        )
        participants.start()
        met, samples = _use(studio, folder, seconds, users, seed)
        participants.join()
    lost = [*losses(workspace, project, walked[0])]
    growth = _growth(samples, seconds)
    write_json(
        file,
        {
            "seconds": seconds,
            "users": users,
            "seed": seed,
            "lives": studio.lives,
            "actions": dict(met.actions),
            "failures": met.failures,
            "refusals": dict(met.refusals),
            "participants": len(walked[0].codes),
            "answers": len(walked[0].answers),
            "latency_ms": walked[0].latency(),
            "participants_lost": walked[0].errors,
            "lost": lost,
            "growth": growth,
            "samples": [asdict(sample) for sample in samples],
        },
    )
    said(f"{sum(met.actions.values())} actions {dict(met.actions)}, {studio.lives - 1} crashes")
    said(
        f"{len(walked[0].codes)} of {people} participants finished, {len(walked[0].answers)} answers acknowledged, "
        f"{walked[0].retries} requests sent again, latency {walked[0].latency()} ms"
    )
    said(f"growth of the last life, last third against first: {growth}")
    for sentence, count in met.refusals.most_common():
        said(f"the page said {count} times: {sentence}")
    faults = [*met.failures, *walked[0].errors, *lost]
    for fault in faults:
        said(f"FAULT {fault}")
    flat = all(share <= MOST_GROWTH for share in growth.values())
    said(f"{len(faults)} faults; memory, files and threads are {'flat' if flat else 'NOT FLAT'}; all of it in {file}")
    return 0 if flat and not faults else 1


def _use(studio: Studio, folder: Path, seconds: float, users: int, seed: int) -> tuple[Met, list[Sample]]:
    from playwright.sync_api import sync_playwright

    met, samples, lot = Met(), [], Random(seed)
    bad_file = folder / "no-photograph.png"
    bad_file.write_text("this is text, and no picture")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        everybody = [User(browser, studio.address, number, seed, met, bad_file) for number in range(users)]
        began = time.monotonic()
        crash, sampled = CRASH_SECONDS, 0.0
        while (now := time.monotonic() - began) < seconds:
            if now > crash and now < CRASHES_UNTIL * seconds:
                studio.kill(trainings=lot.random() < 0.5)
                time.sleep(lot.uniform(0, 5))
                studio.start()
                crash = time.monotonic() - began + CRASH_SECONDS
                for user in everybody:  # what a person does before a page that has lost its server
                    user.leave()
            lot.choice(everybody).act()
            if now > sampled + SAMPLE_SECONDS and (sample := studio.sample(now)):
                samples.append(sample)
                sampled = now
                print(
                    f"{now:6.0f} s  life {sample.life}  {sample.memory:5.0f} MiB  {sample.files} files  "
                    f"{sample.threads} threads  workspace {sample.workspace:.0f} MiB  beside it "
                    f"{sample.temporary:.0f} MiB  {len(met.failures)} failures",
                    flush=True,
                )
        for user in everybody:
            user.leave()
        browser.close()
    return met, samples


def _growth(samples: Sequence[Sample], seconds: float) -> dict[str, float]:
    """Share by which the median of the last third is above that of the first, of the last life's warm part."""
    warm = [one for one in samples if one.life == samples[-1].life and one.seconds > WARM * seconds]
    third = len(warm) // 3
    if not third:
        return {}
    parts = warm[:third], warm[-third:]
    return {
        name: round(
            statistics.median(getattr(one, name) for one in parts[1])
            / max(1, statistics.median(getattr(one, name) for one in parts[0]))
            - 1,
            4,
        )
        for name in ("memory", "files", "threads")
    }


if __name__ == "__main__":
    sys.exit(main())
