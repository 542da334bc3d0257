"""The page is up before anything heavy is imported."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.study_project import study_project
from tests.support.study_sample import live

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[1]
# runs app.py, and prints which heavy modules are imported when the first page has been served
PROBE = """
import runpy, sys, threading, time, urllib.request
port, workspace, *options = sys.argv[1:]
sys.argv = ["app.py", "--port", port, "--workspace", workspace, *options]
def ask():
    while True:
        try:
            code = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status
            break
        except OSError:
            time.sleep(0.05)
    names = ("torch", "diffusers", "transformers", "peft", "scipy", "matplotlib", "segno", "study.analysis")
    names += ("gradio",) if options else ()
    heavy = [name for name in names if name in sys.modules]
    sys.stdout.write(f"\\nfirst page {code} {heavy}\\n")  # in one write, so that the app prints nothing in between
    sys.stdout.flush()
    import os; os._exit(0)
threading.Thread(target=ask, daemon=True).start()
runpy.run_path("app.py", run_name="__main__")
"""


def first_page(folder, *options):
    """Return what the app prints until its first page is served."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(free_port()), str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.stdout + done.stderr


def test_nothing_heavy_is_imported_before_the_first_page(tmp_path):
    assert "first page 200 []" in first_page(tmp_path)


def test_nothing_heavy_is_imported_where_there_is_a_study(workspace):
    live(study_project(workspace).study)
    assert "first page 200 []" in first_page(workspace.root)


def test_the_study_alone_needs_no_gradio(workspace):
    live(study_project(workspace).study)
    assert "first page 200 []" in first_page(workspace.root, "--study-only")


def test_the_page_fetches_nothing_from_elsewhere(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), "--workspace", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode()
                break
            except OSError:
                time.sleep(0.1)
        assert "fonts.googleapis.com" not in page
        assert "Ghibli Studio" in page
    finally:
        process.terminate()
        process.wait(10)
