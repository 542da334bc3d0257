"""What every connection passes: sizes, speeds, where a form may come from, headers; and no secret in any log."""

import base64
import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.middleware import Middleware

from ghibli_studio.ui.server import middleware
from ghibli_studio.ui.server.middleware import RequestLimits
from study.web import rate_limit
from study.web.rate_limit import ANSWERS, CALLS, JOINS, WITHDRAWALS, Limiter, Rate, client_address
from study.web.server import application
from tests.support.ports import free_port
from tests.support.study_project import study_project
from tests.support.study_sample import live

ROOT = Path(__file__).parents[3]
ELSEWHERE = ("192.0.2.7", 4711)


def test_a_bucket_fills_again_and_is_one_persons_own():
    now = [0.0]
    limiter = Limiter(Rate(2, 60), lambda: now[0])
    assert [limiter.take("a") for _ in range(3)] == [0.0, 0.0, 1.0]
    assert limiter.wait("a") == 1.0
    assert limiter.take("b") == 0.0
    now[0] = 0.5
    assert limiter.take("a") == 0.5
    now[0] = 1.0
    assert (limiter.wait("a"), limiter.take("a"), limiter.take("a")) == (0.0, 0.0, 1.0)
    now[0] = 1000.0
    assert [limiter.take("a") for _ in range(3)] == [0.0, 0.0, 1.0], "never more than at once"


def test_few_addresses_are_remembered(monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_KEYS", 3)
    limiter = Limiter(Rate(1, 1), lambda: 0.0)
    for key in "abca":
        limiter.take(key)
    limiter.take("d")
    assert list(limiter._buckets) == ["c", "a", "d"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "space", "who"),
    [
        ("127.0.0.1", "", False, None),
        ("::1", "", False, None),
        ("192.0.2.7", "", False, "192.0.2.7"),
        ("192.0.2.7", "127.0.0.1", False, "192.0.2.7"),
        ("192.168.0.9", "8.8.8.8", False, "192.168.0.9"),
        ("127.0.0.1", "8.8.8.8", False, "8.8.8.8"),
        ("127.0.0.1", "1.1.1.1, 8.8.8.8", False, "8.8.8.8"),
        ("127.0.0.1", "10.0.0.3", False, "10.0.0.3"),
        ("10.0.0.1", "8.8.8.8, 10.0.0.3", True, "8.8.8.8"),
        ("", "", False, None),
        ("", "8.8.8.8", False, "8.8.8.8"),
        ("10.0.0.1", "nonsense", True, "nonsense"),
        ("10.0.0.1", "", True, "10.0.0.1"),
    ],
)
def test_who_asks_cannot_be_made_up(monkeypatch, peer, forwarded, space, who):
    monkeypatch.delenv("SPACE_ID", raising=False)
    if space:
        monkeypatch.setenv("SPACE_ID", "a/b")
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    assert client_address({"client": (peer, 1), "headers": headers}) == who


@pytest.fixture
def guarded():
    app = FastAPI(middleware=[Middleware(RequestLimits)])

    async def size(request: Request):
        return len(await request.body())

    for path in ("/x", middleware.UPLOAD):
        app.add_api_route(path, size, methods=["GET", "POST"])
    return TestClient(app, client=ELSEWHERE)


def test_replies_carry_the_headers(guarded):
    refused = guarded.post("/x", headers={"Sec-Fetch-Site": "cross-site"})
    for reply in (guarded.get("/x"), guarded.get("/none"), refused):
        for name, value in middleware.HEADERS.items():
            assert reply.headers[name.decode()] == value.decode()


def test_a_form_of_another_site_is_refused(guarded):
    for site, status in (("cross-site", 403), ("same-origin", 200), ("same-site", 200), ("none", 200)):
        assert guarded.post("/x", headers={"Sec-Fetch-Site": site}).status_code == status
    assert guarded.get("/x", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200, "a link from elsewhere"


def test_large_bodies_are_refused_with_and_without_a_length(guarded, monkeypatch):
    monkeypatch.setattr(middleware, "MAX_BODY_BYTES", 1000)
    assert guarded.post("/x", content=b"x" * 1000).json() == 1000
    assert guarded.post("/x", content=b"x" * 1001).status_code == 413

    def chunks():
        yield from [b"x" * 600] * 2

    assert guarded.post("/x", content=chunks()).status_code == 413
    assert guarded.post(middleware.UPLOAD, content=b"x" * 1001).json() == 1001
    assert guarded.post("/x", headers={"Content-Length": "many"}).status_code == 413


def test_a_program_that_calls_without_pause_is_slowed_down(guarded, monkeypatch):
    assert CALLS.burst >= 300
    monkeypatch.setattr(middleware, "CALLS", Rate(30, 6))
    assert {guarded.post("/x").status_code for _ in range(30)} == {200}
    slow = [guarded.post("/x") for _ in range(3)][-1]
    assert slow.status_code == 429
    assert 1 <= int(slow.headers["retry-after"]) <= 10
    assert guarded.get("/x").status_code == 200
    here = TestClient(guarded.app, client=("127.0.0.1", 1))
    assert {here.post("/x").status_code for _ in range(20)} == {200}


@pytest.fixture
def page(tmp_path):
    store = live(tmp_path / "study", participants=200)
    return TestClient(application(lambda: store), client=ELSEWHERE, follow_redirects=False)


def test_a_class_behind_one_address_joins_and_a_flood_does_not(page, monkeypatch):
    from study.web import server

    monkeypatch.setattr(server, "JOINS", Rate(30, 6))
    link = "/study/p/{:032d}/begin"
    assert JOINS.burst >= 300
    assert {page.post(link.format(n), data={"agree": "yes"}).status_code for n in range(30)} == {303}
    refused = page.post(link.format(31), data={"agree": "yes"})
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert f"Wait {refused.headers['retry-after']} seconds, go back, and try again." in refused.text
    assert page.get("/study").status_code == 200


def test_one_link_that_floods_slows_nobody_else_down(page, monkeypatch):
    from study.web import server

    assert ANSWERS.burst >= 2 * 40, "nobody who answers at once is slowed down"
    monkeypatch.setattr(server, "ANSWERS", Rate(30, 6))
    codes = [page.post("/study/p/me/answer", data={"trial": "x"}).status_code for _ in range(33)]
    assert codes[:30] == [409] * 30
    assert codes[-1] == 429
    assert page.post("/study/p/other/answer", data={"trial": "x"}).status_code == 409
    codes = [page.post("/study/withdraw", data={"code": str(n)}).status_code for n in range(WITHDRAWALS.burst + 5)]
    assert codes[-1] == 429
    assert page.get("/study/withdraw").status_code == 200


@pytest.mark.integration
def test_no_secret_is_printed_or_written(workspace):
    """The password, the Hub's token and personal links, in what a real server prints and in all that it leaves."""
    project, port = study_project(workspace), free_port()
    live(project.study)
    secrets = {"GHIBLI_PASSWORD": "pass-4711-word", "HF_TOKEN": "hf_4711secret"}
    away = workspace.root.parent / "away"
    away.mkdir()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--host", "0.0.0.0", "--port", str(port), "--workspace", str(workspace.root)],
        cwd=ROOT,
        env={**os.environ, **secrets, "PYTHONUNBUFFERED": "1", "STUDY_REPLICA_FOLDER": str(away)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith("* Running on"):
            break
    link = "personal-link-of-nobody-else-4711"

    def ask(method, path, password=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"x:{password}".encode()).decode()
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        reply.read()
        return reply

    assert ask("GET", "/config", "wrong-4711").status == 401
    assert ask("GET", "/config", secrets["GHIBLI_PASSWORD"]).headers["X-Content-Type-Options"] == "nosniff"
    assert ask("POST", f"/study/p/{link}/begin", body="agree=yes").status == 303
    assert ask("GET", f"/study/p/{link}").status == 200
    assert ask("POST", f"/study/p/{link}/answer", body="trial=nonsense").status == 409
    assert ask("POST", "/gradio_api/run/nothing", secrets["GHIBLI_PASSWORD"], "{}").status >= 400
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    printed = "".join(printed) + process.communicate(timeout=30)[0]
    left = b"".join(path.read_bytes() for path in workspace.root.parent.rglob("*") if path.is_file())
    for secret in (*secrets.values(), "wrong-4711", link):
        assert secret not in printed
        assert secret.encode() not in left
    assert [*away.rglob("participants/*.jsonl")], "and the answer's way to the second store was walked"
