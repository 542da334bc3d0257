"""Runs as processes: queue, watch, cancel within two seconds, kill -9 and resume; real processes, a tiny model."""

import errno
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.jobs import lock, queue, worker
from ghibli_studio.jobs import status as job_status
from ghibli_studio.jobs.lock import gpu_lock
from ghibli_studio.jobs.status import Status, status
from ghibli_studio.workspace.files import explain_os_error, read_json, write_json
from ghibli_studio.workspace.run import Run

pytestmark = pytest.mark.integration


def config(project, method="lora", **changes):
    small = {"rank": 2} if method == "lora" else {"num_vectors": 2}
    base = datasets.load(project).base_model
    quick = {"num_train_epochs": 1, "sample_every": 0, **small}
    return preset("quick", method, base_model=base, **{**quick, **changes})


def wait_until(run, condition, seconds=90):
    """Poll until `condition(status)`; fail the test after a generous time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = status(run)
        if condition(now):
            return now
        assert now.active, (now.state, now.message, run.log_file.read_text()[-2000:])
        time.sleep(0.05)
    raise AssertionError((status(run).state, run.log_file.read_text()[-2000:]))


def epochs_done(now):
    return sum(1 for event in now.events if event["event"] == "epoch" and event["epoch"])


def ended(now):
    return not now.active


def test_queued_runs_train_one_after_the_other(project):
    first = queue.submit(project, config(project, "lora"))
    second = queue.submit(project, config(project, "ti"))
    assert wait_until(second, lambda now: now.state == "queued").ahead == 1
    assert wait_until(first, ended).state == "done"
    assert wait_until(second, ended).state == "done"
    assert read_json(second.job_file)["started"] > read_json(first.job_file)["started"]
    assert second.progress_file.stat().st_ctime > first.done_file.stat().st_mtime
    assert epochs_done(status(first)) == epochs_done(status(second)) == 1
    assert status(first).fraction == pytest.approx(1.0)


def test_a_run_is_cancelled_within_two_seconds_and_its_best_epoch_stays(project):
    run = queue.submit(project, config(project, num_train_epochs=5000))
    behind = queue.submit(project, config(project, num_train_epochs=5000))
    wait_until(run, lambda now: epochs_done(now) >= 1)
    for cancelled in (behind, run):  # the queued run, then the running one
        started = time.monotonic()
        assert queue.cancel(cancelled).state == "cancelled"
        assert time.monotonic() - started < 2
        assert not psutil.pid_exists(read_json(cancelled.job_file)["pid"]) or job_status.living_job(cancelled) is None
    assert run.adapter_file.exists()
    assert run.metrics()["best_epoch"] >= 1
    assert not behind.adapter_file.exists()
    assert queue.cancel(run).state == "cancelled"  # a second time does no harm


def test_a_killed_run_is_reported_and_resumes_after_its_last_epoch(project):
    run = queue.submit(project, config(project, num_train_epochs=30))
    wait_until(run, lambda now: epochs_done(now) >= 2)
    os.kill(read_json(run.job_file)["pid"], signal.SIGKILL)
    now = wait_until(run, ended)
    assert now.state == "interrupted"
    assert "resume it" in now.message
    kept = epochs_done(now)
    queue.start(run)
    with pytest.raises(StudioError, match="is queued or running already; cancel it before you start it again"):
        queue.start(run)
    done = wait_until(run, ended)
    assert done.state == "done", run.log_file.read_text()[-2000:]
    steps = [event["step"] for event in done.events if event["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert epochs_done(done) == 30 > kept


def test_a_run_survives_the_end_of_the_process_that_started_it(project):
    script = (
        "import sys; from pathlib import Path; from ghibli_studio.jobs import queue;"
        "from ghibli_studio.workspace.run import Run; queue.start(Run(Path(sys.argv[1])))"
    )
    run = project.new_run(config(project))
    subprocess.run([sys.executable, "-c", script, str(run.folder)], check=True)
    assert wait_until(run, ended).state == "done"


def test_a_mistake_in_the_dataset_is_reported_before_a_process_starts(project):
    item = datasets.load(project).items[0]
    datasets.set_captions(project, {item.id: "Big Ben, " + "tower " * 80})
    with pytest.raises(StudioError, match="1 of 8 captions are over the token limit"):
        queue.submit(project, config(project))
    (run,) = project.runs()
    assert (status(run).state, status(run).message[:18]) == ("failed", "1 of 8 captions ar")


def test_an_error_in_the_process_is_reported_in_one_sentence(project):
    item = datasets.load(project).items[0]
    (project.dataset / f"{item.id}.png").write_bytes(b"not an image")
    run = queue.submit(project, config(project))
    now = wait_until(run, ended)
    assert now.state == "failed"
    assert now.message.endswith("was changed after the import; import the images again")


def test_a_damaged_configuration_is_reported_in_one_sentence(project):
    run = project.new_run(config(project))
    write_json(run.config_file, {"method": "lora", "adapter": {"rank": 0}})
    with pytest.raises(StudioError, match="rank is 0; it must be greater than or equal to 1"):
        run.config()


def test_only_one_process_computes_at_a_time(project):
    """The page generates images in its own process: it waits for a run, and a run waits for it."""
    workspace = project.workspace
    generating = gpu_lock(workspace, iter(["first", "second"]))
    assert next(generating) == "first"
    other = gpu_lock(workspace, iter(["other"]))
    assert next(other) == lock.Queued(None)
    assert next(generating) == "second"
    assert list(generating) == []
    assert next(other) == "other"
    other.close()
    assert list(gpu_lock(workspace, iter([]))) == []


def test_a_later_process_with_the_same_pid_is_not_the_run(project):
    run = project.new_run(config(project))
    write_json(run.job_file, {"pid": os.getpid(), "created": 1.0, "submitted": 1.0, "started": 1.0})
    assert status(run).state == "interrupted"


def test_a_run_that_never_started_can_be_started(tmp_path, project):
    run = project.new_run(config(project))
    assert status(run) == Status("interrupted")
    assert isinstance(run, Run)


def test_a_waiting_process_is_light(project):
    """Heavy libraries are imported only when it is the run's turn."""
    code = "import sys, ghibli_studio.jobs.{}; assert not {{'torch', 'diffusers', 'gradio'}} & set(sys.modules)"
    for module in ("worker", "queue"):
        subprocess.run([sys.executable, "-c", code.format(module)], check=True)


def test_a_full_disk_is_reported_from_the_reserved_space(project, monkeypatch):
    run = project.new_run(config(project))
    write_json(run.job_file, {"pid": os.getpid(), "created": 0.0, "submitted": time.time(), "started": None})
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run.progress_file))

    def work(run):
        yield {"event": "stage"}
        raise full

    def write(path, value):
        if run.reserve_file.exists() and path == run.done_file:
            raise explain_os_error(full, path)
        write_json(path, value)

    monkeypatch.setattr(worker, "_work", work)
    monkeypatch.setattr(worker, "write_json", write)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert worker.main(str(run.folder)) == 1
    assert status(run).state == "failed"
    assert status(run).message.startswith("the disk is full (")
    assert status(run).message.endswith("choose another --workspace. Finished work is kept")
    assert not run.reserve_file.exists()


@pytest.mark.parametrize("method", ["lora", "ti"])
def test_two_processes_learn_the_same_as_one_with_twice_the_batch(project, method):
    """Through torchrun and accelerate; within rounding errors, since sums are added in another order."""
    shared = {"mixed_precision": "no", **({"lora_dropout": 0} if method == "lora" else {})}
    alone = queue.submit(project, config(project, method, train_batch_size=4, num_train_epochs=2, **shared))
    assert wait_until(alone, ended).state == "done"
    halves = {"train_batch_size": 2, "num_processes": 2, "num_train_epochs": 2}
    both = queue.submit(project, config(project, method, **halves, **shared))
    assert wait_until(both, ended, 180).state == "done"

    def values(run, kind, name):
        return [event[name] for event in run.progress() if event["event"] == kind]

    assert values(both, "step", "loss") == pytest.approx(values(alone, "step", "loss"), rel=1e-4)
    assert values(both, "step", "grad_norm") == pytest.approx(values(alone, "step", "grad_norm"), rel=1e-3)
    assert values(both, "epoch", "validation_loss") == pytest.approx(
        values(alone, "epoch", "validation_loss"), rel=1e-4
    )
    assert [len(losses) for losses in values(both, "epoch", "per_image")] == [
        len(losses) for losses in values(alone, "epoch", "per_image")
    ]


def test_two_processes_are_cancelled_and_resumed_like_one(project):
    run = queue.submit(project, config(project, num_processes=2, num_train_epochs=5000))
    wait_until(run, lambda now: epochs_done(now) >= 1, 180)
    pid = read_json(run.job_file)["pid"]
    assert queue.cancel(run).state == "cancelled"
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and time.monotonic() < deadline:  # until torchrun has ended
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)
    before = epochs_done(status(run))
    queue.start(run)
    wait_until(run, lambda now: epochs_done(now) > before, 180)
    queue.cancel(run)
    assert status(run).state == "cancelled"


def test_a_run_can_be_started_by_hand_with_torchrun(project):
    """As on several machines: created without a process, then started."""
    run = queue.submit(project, config(project), begin=False)
    assert status(run) == Status("interrupted", "", 0, ())
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    process = subprocess.run(
        [*launcher, "-m", "ghibli_studio.jobs.worker", str(run.folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert status(run).state == "done"
    assert epochs_done(status(run)) == 1
