"""The password: the participants' page is public, everything else needs it when other machines can connect."""

import base64
import http.client

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.middleware import Middleware
from starlette.websockets import WebSocketDisconnect

from ghibli_studio.evaluation import blind_study
from ghibli_studio.ui.server import auth
from ghibli_studio.ui.server.auth import PasswordGate, is_local, is_loopback, password_for, server_options
from study.database import connection_pool
from study.web.rate_limit import LOGINS
from study.web.server import MAX_BODY_BYTES
from tests.support.servers import ROOT, lines_until, started
from tests.support.study_project import study_project
from tests.support.study_sample import LANDMARKS, live

PASSWORD = "Gößerschlößl: 7"
NO_SPACE = "a study needs its own server here; start one with: python app.py --study-only"
OPEN = ("/study", "/study/", "/study/p/x", "/study/withdraw", "/study/static/study.css", "/study-img/x", "/study?x=1")
SHUT = (
    "/",
    "/config",
    "/config/",
    "/gradio_api/info",
    "/gradio_api/upload",
    "/gradio_api/startup-events",
    "/gradio_api/file=app.py",
    "/gradio_api/queue/join",
    "/monitoring/summary",
    "/deep_link",
    "/openapi.json",
    "/docs",
    "//study",
    "/studyX",
    "/study-imgX",
    "/stud",
    "/Study",
    "/studio/study",
    "/%2fstudy",
    "/study%00",
    "/;/study",
    "/?/study",
    "/config?/study",
)


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    for name in ("GHIBLI_PASSWORD", "SPACE_ID", "GRADIO_SHARE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def behind():
    """An app behind the password that answers every request with the path that reached it."""
    app = FastAPI(middleware=[Middleware(PasswordGate, password=PASSWORD)], openapi_url=None, redirect_slashes=False)

    @app.websocket("/{path:path}")
    async def talk(socket: WebSocket):
        await socket.accept()
        await socket.send_text(socket.scope["path"])

    app.add_api_route("/{path:path}", lambda path: f"/{path}", methods=["GET", "POST", "PUT", "DELETE", "HEAD"])
    return TestClient(app, base_url="http://studio", client=("192.0.2.7", 4711))


def basic(password, user="", kind="Basic"):
    return {"Authorization": f"{kind} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("path", OPEN)
def test_the_participants_page_is_open(behind, path):
    assert behind.get(path).status_code == 200


@pytest.mark.parametrize("path", SHUT)
def test_everything_else_needs_the_password(behind, path):
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
        reply = behind.request(method, path)
        assert reply.status_code == 401, method
    reply = behind.get(path)
    assert reply.text == "The studio needs a password; participants go to /study."
    assert reply.headers["www-authenticate"] == 'Basic realm="Ghibli Studio", charset="UTF-8"'
    assert reply.headers["cache-control"] == "no-store"
    for user in ("", "anybody"):
        assert behind.get(path, headers=basic(PASSWORD, user)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        basic("wrong"),
        basic(""),
        basic(PASSWORD[:-1]),
        basic(PASSWORD + " "),
        basic(PASSWORD, kind="Bearer"),
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic ?"},
        {"Authorization": f"Basic {PASSWORD.encode().hex()}"},
        {"Authorization": "Basic " + base64.b64encode(PASSWORD.encode()).decode()},
        {"Authorization": b"Basic \xff\xfe"},
        {"Cookie": f"password={PASSWORD.encode().hex()}"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Original-URL": "/study"},
    ],
    ids=str,
)
def test_nothing_but_the_password_opens(behind, headers):
    assert behind.get("/config", headers=headers).status_code == 401


@pytest.mark.parametrize("kind", ["Basic", "basic", "BASIC"])
def test_the_password_opens_whatever_the_browser_calls_it(behind, kind):
    assert behind.get("/config", headers=basic(PASSWORD, kind=kind)).json() == "/config"


def test_an_address_that_guesses_has_to_wait_and_others_do_not(behind, monkeypatch):
    for number in range(LOGINS.burst):
        assert behind.get("/config", headers=basic(f"guess {number}")).status_code == 401
    assert behind.get("/config").status_code == 401, "who gives no password guesses nothing"
    for password in ("one more", PASSWORD):
        reply = behind.get("/config", headers=basic(password))
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "6")
        assert reply.text == "Too many wrong passwords; wait 6 seconds."
    assert behind.get("/study").status_code == 200
    with pytest.raises(WebSocketDisconnect), behind.websocket_connect("/gradio_api/queue", headers=basic(PASSWORD)):
        pass
    other = TestClient(behind.app, base_url="http://studio", client=("192.0.2.8", 4711))
    assert other.get("/config", headers=basic(PASSWORD)).status_code == 200
    forged = {**basic(PASSWORD), "X-Forwarded-For": "198.51.100.1"}
    assert behind.get("/config", headers=forged).status_code == 429


def test_a_websocket_is_shut_as_well(behind):
    with pytest.raises(WebSocketDisconnect) as error, behind.websocket_connect("/gradio_api/queue"):
        pass
    assert error.value.code == 1008
    with behind.websocket_connect("/gradio_api/queue", headers=basic(PASSWORD)) as socket:
        assert socket.receive_text() == "/gradio_api/queue"


def test_a_participant_cannot_send_more_than_a_form_holds_and_the_owner_can(behind):
    much = b"x" * (MAX_BODY_BYTES + 1)
    assert behind.post("/study/p/x/answer", content=much[:-1]).status_code == 200
    assert behind.post("/study/p/x/answer", content=much).status_code == 413
    assert behind.post("/gradio_api/upload", content=much, headers=basic(PASSWORD)).status_code == 200


@pytest.mark.parametrize(
    ("client", "server", "status"),
    [
        ("192.0.2.1", "192.0.2.1", 200),
        ("127.0.0.1", "127.0.0.1", 200),
        ("192.0.2.7", "192.0.2.1", 401),
        ("127.0.0.1", "192.0.2.1", 401),
    ],
)
def test_gradios_question_to_itself_passes_and_nothing_else_from_there(client, server, status):
    app = FastAPI(middleware=[Middleware(PasswordGate, password=PASSWORD)])
    app.add_api_route("/{path:path}", lambda path: path)
    here = TestClient(app, base_url=f"http://{server}", client=(client, 4711))
    assert here.get("/gradio_api/startup-events").status_code == status
    assert here.get("/gradio_api/startup-events/").status_code == 401
    assert here.get("/config").status_code == 401


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.4", False),
        ("studio.example", False),
        ("", False),
        ("localhost.example", False),
    ],
)
def test_only_a_loopback_address_needs_no_password(host, loopback):
    assert is_loopback(host) == loopback
    assert (password_for(host) is None) == loopback


def test_a_tunnel_of_gradios_needs_a_password(monkeypatch):
    assert is_local("127.0.0.1")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    assert not is_local("127.0.0.1")
    assert password_for("127.0.0.1")


def test_a_new_password_is_long_and_a_chosen_one_is_kept_everywhere(monkeypatch):
    assert len({password_for("0.0.0.0") for _ in range(50)}) == 50
    assert len(password_for("0.0.0.0")) == 12
    monkeypatch.setenv("GHIBLI_PASSWORD", "chosen")
    assert [password_for(host) for host in ("127.0.0.1", "0.0.0.0")] == ["chosen", "chosen"]
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert password_for("0.0.0.0") == "chosen"


def served(workspace, host):
    """A client of the participants' routes, as the studio has them in front."""
    front = server_options(workspace, host, "pilot-key")
    app = FastAPI(routes=front["routes"], middleware=front["middleware"])
    return TestClient(app, client=("192.0.2.7", 4711)), [
        one.kwargs for one in front["middleware"] if one.cls is PasswordGate
    ]


def test_a_new_password_is_reported_and_a_chosen_one_is_not(workspace, capsys, monkeypatch):
    _, (gate_options,) = served(workspace, "0.0.0.0")
    printed = "* Password of the studio: {} (any user name; set GHIBLI_PASSWORD to choose your own)\n"
    assert capsys.readouterr().out == printed.format(gate_options["password"])
    monkeypatch.setenv("GHIBLI_PASSWORD", "chosen")
    assert served(workspace, "0.0.0.0")[1] == [{"password": "chosen"}]
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("nothing_held")
def test_this_machine_alone_has_the_study_without_a_password(workspace):
    client, gates = served(workspace, "127.0.0.1")
    assert gates == []
    assert "There is no study yet; create one in the Study tab." in client.get("/study").text
    live(study_project(workspace).study)
    assert "I have read this" in client.get("/study").text


@pytest.fixture
def nothing_held():
    """What a server holds until its process ends is let go of."""
    yield
    for file in list(connection_pool.POOLS):
        connection_pool.close_pool(file)


@pytest.mark.usefixtures("nothing_held")
def test_a_live_study_is_looked_up_once_a_second_and_held_until_it_is_archived(workspace, monkeypatch):
    now, looked_up = [100.0], []
    monkeypatch.setattr(auth.time, "monotonic", lambda: now[0])
    find = blind_study.served_study
    monkeypatch.setattr(blind_study, "served_study", lambda of: looked_up.append(now[0]) or find(of))
    client, _ = served(workspace, "127.0.0.1")
    project = study_project(workspace)
    store = live(project.study)
    for _ in range(3):
        assert "I have read this" in client.get("/study").text
    assert (looked_up, list(connection_pool.POOLS)) == ([100.0], [store.file])
    store.close()
    blind_study.archive_study(project)
    assert connection_pool.POOLS == {}
    assert "There is no study yet" in client.get("/study").text
    now[0] += 1.1
    live(project.study)
    assert "I have read this" in client.get("/study").text
    assert looked_up == [100.0, 100.0, 101.1]


@pytest.mark.usefixtures("nothing_held")
def test_a_space_serves_no_study_beside_a_studio_that_is_open_to_all(workspace, monkeypatch):
    live(study_project(workspace).study)
    monkeypatch.setenv("SPACE_ID", "somebody/studio")
    client, gates = served(workspace, "0.0.0.0")
    assert gates == []
    for path in ("/study", "/study/p/" + "x" * 32):
        reply = client.get(path)
        assert (reply.status_code, NO_SPACE[1:] in reply.text) == (409, True)
    assert client.get("/study-img/x").status_code == 404
    monkeypatch.setenv("GHIBLI_PASSWORD", "chosen")
    client, gates = served(workspace, "0.0.0.0")
    assert gates == [{"password": "chosen"}]
    assert "I have read this" in client.get("/study").text


def test_the_pilots_key_opens_a_draft_and_no_other_does(workspace):
    from study.design.definition import Definition
    from study.store import create
    from tests.support.study_sample import images

    create(study_project(workspace).study, Definition(landmarks=LANDMARKS), images())
    client, _ = served(workspace, "127.0.0.1")
    for key in ("", "?pilot=", "?pilot=pilot-ke", "?pilot=pilot-keyy", "?pilot=%C3%9F"):
        assert "This study has not started" in client.get(f"/study{key}").text
    page = client.get("/study?pilot=pilot-key").text
    assert "This is a preview" in page
    assert "I have read this" in page


def status(port, path, headers=None, method="GET", body=None):
    """The status of exactly this path: nothing on the way makes it tidy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(method, path, skip_host=False)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body or b"")))
    connection.endheaders(body)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.integration
def test_the_studio_really_starts_behind_its_password(workspace):
    live(study_project(workspace).study)
    with started(workspace, "--host", "0.0.0.0") as server:
        printed = lines_until(server.process, "* Running on")
        password = printed[-2].split("Password of the studio: ")[1].split(" ")[0]
        port = server.port
        assert status(port, "/", basic(password)) == 200
        for path in (
            "/",
            "/config",
            "/gradio_api/info",
            "/gradio_api/startup-events2",
            "/monitoring/summary",
            f"/gradio_api/file={ROOT}/app.py",
            "//study",
            "/studyX",
            "/./study",
            "/x/../study",
            "/%2e/study",
            "/svelte/x.js",
            "/theme.css",
            "/study;/../config",
        ):
            assert status(port, path) == 401, path
        for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/run/x", "/login"):
            assert status(port, path, method="POST", body=b"{}") == 401, path
        # below /study nothing of the studio can be reached, however it is written
        for path in (
            "/study/../config",
            "/study/%2e%2e/config",
            "/study%2f..%2fconfig",
            "/study/config",
            "/study//config",
            "/study/gradio_api/info",
            "/study-img/../config",
            "/study/..%5cconfig",
            f"/study/../gradio_api/file={ROOT}/app.py",
        ):
            assert status(port, path) == 404, path
        assert status(port, "/study") == 200
        assert status(port, "/study/static/study.css") == 200
        assert status(port, "/config", basic(password)) == 200
        assert status(port, "/config", basic(password + "x")) == 401
        assert server.process.poll() is None, server.process.stdout.read()


@pytest.mark.integration
def test_study_only_serves_nothing_else(workspace):
    live(study_project(workspace).study)
    with started(workspace, "--study-only", "--host", "0.0.0.0") as server:
        printed = lines_until(server.process, "to try it out: ")
        assert printed[0] == f"for participants: http://0.0.0.0:{server.port}/study\n"
        # it was bound before it printed its address, so the first request waits and is not refused
        assert status(server.port, "/study") == 200
        assert status(server.port, "/") == 303
        for path in (
            "/config",
            "/gradio_api/info",
            "/gradio_api/upload",
            "/monitoring/summary",
            "/docs",
            "/openapi.json",
            "/study/../config",
            "/login",
            "/gradio_api/file=app.py",
            "//study",
            "/studyX",
        ):
            assert status(server.port, path) == 404, path


@pytest.mark.integration
def test_study_only_without_a_study_says_what_to_do(workspace):
    with started(workspace, "--study-only") as server:
        assert server.process.stdout.read() == "error: there is no study yet; create one in the Study tab\n"
        assert server.process.wait(20) == 1
