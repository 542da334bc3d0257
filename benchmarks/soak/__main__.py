"""`python -m benchmarks.soak --minutes 20`: use the app hard, kill it, and report leaks, failures and lost data.

The first part has many crashes; in the last part, one process of the app is measured for growth. Exit code 0: nothing
was lost, no page failed, and memory is flat. Needs chromium and playwright (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from random import Random

from adapters.settings import StudioError
from benchmarks.soak.integrity import find_damage
from benchmarks.soak.server import Sample, Studio
from benchmarks.soak.users import Observations, User
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data.sample_dataset import create_sample
from ghibli_studio.evaluation import blind_study
from ghibli_studio.generation import image_set, model_choice
from ghibli_studio.jobs import queue
from ghibli_studio.jobs import status as job_status
from ghibli_studio.workspace.files import write_json
from ghibli_studio.workspace.project import Project, Workspace
from study.design.definition import Definition
from study.design.spec import StimulusImage
from study.simulation.participant import SimulationLog, percentiles, simulate
from study.simulation.preferences import Preferences

LANDMARKS = 40
METHODS = ("lora", "ti")
CRASHES_UNTIL = 0.4
"""Share of the time in which the app is killed again and again; after it, one process is measured."""
CRASH_SECONDS = 90
WARM = 0.6
"""Share of the time after which memory counts: everything has been used once by then."""
MAX_GROWTH = 0.10
"""Share by which memory may be larger in the last third of the measured time than in its first."""
SAMPLE_SECONDS = 10
CONCURRENT_PARTICIPANTS = 2
QUESTIONS = 27
"""Of a study with five landmarks."""


def main(arguments: list[str] | None = None) -> int:
    """Run the soak test; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Hours of use in minutes.")
    parser.add_argument("--minutes", type=float, default=20, help="(%(default)s)")
    parser.add_argument("--users", type=int, default=3, help="browsers (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices (%(default)s)")
    parser.add_argument("--folder", type=Path, help="new or empty, and kept; default: a temporary folder")
    parser.add_argument("--json", type=Path, default=Path("soak.json"), metavar="FILE", help="(%(default)s)")
    chosen = parser.parse_args(arguments)
    with nullcontext(chosen.folder) if chosen.folder else tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return soak(Path(folder), chosen.minutes * 60, chosen.users, chosen.seed, chosen.json)


def soak(folder: Path, seconds: float, users: int, seed: int, file: Path) -> int:
    """Create the project, let users and participants in, and report the result; return the exit code."""
    studio = Studio(folder)
    workspace = Workspace(studio.workspace)
    project = workspace.project("sample", new=True)
    images = print_messages(create_project(project))
    count = max(CONCURRENT_PARTICIPANTS, round(seconds / 60))
    pause = 0.7 * seconds * CONCURRENT_PARTICIPANTS / (count * QUESTIONS)
    logs: list[SimulationLog] = []

    def take_part() -> None:
        address = f"{studio.address}study"
        logs.append(simulate(address, count, Preferences(), images, seed, CONCURRENT_PARTICIPANTS, pause))

    with studio:
        participants = threading.Thread(target=take_part)
        participants.start()
        observations, samples = _use(studio, folder, seconds, users, seed)
        participants.join()
    log = logs[0]
    lost = [*find_damage(workspace, project, log)]
    growth = _growth(samples, seconds)
    write_json(
        file,
        {
            "seconds": seconds,
            "users": users,
            "seed": seed,
            "starts": studio.starts,
            "actions": dict(observations.actions),
            "failures": observations.failures,
            "refusals": dict(observations.refusals),
            "participants": len(log.codes),
            "answers": len(log.answers),
            "latency_ms": percentiles(log.answer_ms),
            "participants_lost": log.errors,
            "lost": lost,
            "growth": growth,
            "samples": [asdict(sample) for sample in samples],
        },
    )
    actions = observations.actions
    _print(f"{sum(actions.values())} actions {dict(actions)}, {studio.starts - 1} crashes")
    _print(
        f"{len(log.codes)} of {count} participants finished, {len(log.answers)} answers acknowledged, "
        f"{log.retries} requests repeated, latency {percentiles(log.answer_ms)} ms"
    )
    _print(f"growth after the last start, last third relative to the first: {growth}")
    for sentence, times in observations.refusals.most_common():
        _print(f"shown {times} times on the page: {sentence}")
    faults = [*observations.failures, *log.errors, *lost]
    for fault in faults:
        _print(f"FAULT {fault}")
    flat = all(share <= MAX_GROWTH for share in growth.values())
    _print(f"{len(faults)} faults; memory, files and threads are {'flat' if flat else 'NOT FLAT'}; details in {file}")
    return 0 if flat and not faults else 1


def create_project(project: Project) -> Generator[str, None, Mapping[str, StimulusImage]]:
    """Create a dataset, two trained methods, images and an open study; yield messages.

    Returns the image for each sha256 that the study serves.
    """
    yield f"painting {LANDMARKS} landmarks"
    for _ in create_sample(project, count=LANDMARKS):
        pass
    for method in METHODS:
        yield f"training {method}"
        run = queue.submit(project, preset("quick", method, num_train_epochs=1))
        *_, status = job_status.watch(run)
        if status.state != "done":
            raise StudioError(f"run {run.id} is {status.state}: {status.message}")
    yield "generating five landmarks"
    files = model_choice.adapter_files(project, ("base", *METHODS))
    requests = image_set.requests_for_landmarks(project, PAPER_LANDMARKS)
    for _ in image_set.generate_set(project, requests, files, GenerationSettings(num_inference_steps=4)):
        pass
    yield "opening a study"
    blind_study.create_study(
        project, project.image_sets()[0].name, Definition.checked({"landmarks": PAPER_LANDMARKS, "participants": 1000})
    )
    images = blind_study.require_study(project).stimulus_images("rehearsal")
    blind_study.lock_study(project)
    content = ((image.data if isinstance(image.data, bytes) else image.data.read_bytes(), image) for image in images)
    return {hashlib.sha256(data).hexdigest(): image for data, image in content}


def _use(studio: Studio, folder: Path, seconds: float, users: int, seed: int) -> tuple[Observations, list[Sample]]:
    from playwright.sync_api import sync_playwright

    observations, samples, random = Observations(), [], Random(seed)
    bad_file = folder / "no-photo.png"
    bad_file.write_text("this is text, not an image")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        everyone = [User(browser, studio.address, number, seed, observations, bad_file) for number in range(users)]
        began = time.monotonic()
        next_crash, sampled = float(CRASH_SECONDS), 0.0
        while (now := time.monotonic() - began) < seconds:
            if now > next_crash and now < CRASHES_UNTIL * seconds:
                studio.kill(trainings=random.random() < 0.5)
                time.sleep(random.uniform(0, 5))
                studio.start()
                next_crash = time.monotonic() - began + CRASH_SECONDS
                for user in everyone:  # like users whose page has lost its server
                    user.leave()
            random.choice(everyone).act()
            if now > sampled + SAMPLE_SECONDS and (sample := studio.sample(now)):
                samples.append(sample)
                sampled = now
                _print(
                    f"{now:6.0f} s  start {sample.start_number}  {sample.memory:5.0f} MiB  {sample.files} files  "
                    f"{sample.threads} threads  workspace {sample.workspace:.0f} MiB  temporary "
                    f"{sample.temporary:.0f} MiB  {len(observations.failures)} failures"
                )
        for user in everyone:
            user.leave()
        browser.close()
    return observations, samples


def _growth(samples: Sequence[Sample], seconds: float) -> dict[str, float]:
    """Return the growth of the medians from the first to the last third, after the last start and the warm-up."""
    last = samples[-1].start_number
    warm = [sample for sample in samples if sample.start_number == last and sample.seconds > WARM * seconds]
    third = len(warm) // 3
    if not third:
        return {}

    def median(part: Sequence[Sample], name: str) -> float:
        return statistics.median(getattr(sample, name) for sample in part)

    return {
        name: round(median(warm[-third:], name) / max(1, median(warm[:third], name)) - 1, 4)
        for name in ("memory", "files", "threads")
    }


def _print(text: str) -> None:
    print(text, flush=True)


def print_messages(messages: Generator[str, None, Mapping[str, StimulusImage]]) -> Mapping[str, StimulusImage]:
    """Print the messages of a generator; return its result."""
    while True:
        try:
            _print(next(messages))
        except StopIteration as end:
            return end.value


if __name__ == "__main__":
    sys.exit(main())
