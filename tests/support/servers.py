"""Real servers for tests: the app as a user starts it, and what it prints."""

import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]


@contextmanager
def started(workspace, *options, environment=()):
    """Start `python app.py` as a user does; yield (port, process)."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), "--workspace", str(workspace.root), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **dict(environment)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield SimpleNamespace(port=port, process=process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def lines_until(process, beginning):
    """Return the lines that the process prints, up to the first one with this beginning."""
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith(beginning):
            return printed
    raise AssertionError("".join(printed))


@contextmanager
def studio(root, log):
    """Start the app on a free port and wait for its first page; yield its address."""
    port = free_port()
    # as many threads as in a user's own start
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), "--workspace", str(root)],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
        )
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(20)
