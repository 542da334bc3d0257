"""The page is up before anything heavy is imported."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
# runs the app in this process's stead and answers, after the first page was served, what has been imported
PROBE = """
import sys, threading, time, urllib.request
port, workspace = sys.argv[1:]
sys.argv = ["app.py", "--port", port, "--workspace", workspace]
def ask():
    while True:
        try:
            code = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status
            break
        except OSError:
            time.sleep(0.05)
    names = ("torch", "diffusers", "transformers", "peft", "scipy", "matplotlib")
    heavy = [name for name in names if name in sys.modules]
    print("first page", code, heavy, flush=True)
    import os; os._exit(0)
threading.Thread(target=ask, daemon=True).start()
import app
app.main()
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nothing_heavy_is_imported_before_the_first_page(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(free_port()), str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "first page 200 []" in done.stdout, done.stdout + done.stderr


def test_the_page_fetches_nothing_from_elsewhere(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), "--workspace", str(tmp_path)], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
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
