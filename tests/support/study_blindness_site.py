"""A served study with a proxy in front of it that can change every response to the auditor."""

import asyncio
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256

import httpx
import uvicorn

from study.blindness.audit import audit, images_by_sha256
from study.blindness.visit import label
from study.design.definition import Definition
from study.store import create
from study.web.server import application
from tests.support.study_sample import ANALYSIS, LANDMARKS, images

ADAPTER = "3f9ac0de77"


class Answer:
    """One response, which a plant can change."""

    def __init__(self, method, path, sent, status, headers, body, site):
        self.method, self.path, self.sent, self.status = method, path, sent, status
        self.headers, self.body, self.site = dict(headers), body, site
        self.delay = 0.0

    @property
    def label(self):
        """The label of the image that is sent; empty for everything else."""
        return self.site.labels.get(sha256(self.body).hexdigest(), "")

    @property
    def is_question(self):
        return b'name="trial"' in self.body

    def options(self, change):
        """Replace the markup of each option by change(markup, origin, position)."""
        position = 0

        def one(found):
            nonlocal position
            position += 1
            token = re.search(r"/study-img/(\w+)", found[0])[1]
            return change(found[0], self.site.label(token), position)

        self.body = re.sub(r'<label class="option">.*?</label>', one, self.body.decode(), flags=re.DOTALL).encode()

    def replace(self, old, new):
        self.body = self.body.replace(old.encode(), new.encode())


class Site:
    """A study for simulated participants on a server in a thread; `plant` changes every response to the auditor."""

    def show(self, store, key):
        self.store, self.key = store, key
        self.labels = {digest: label(picture) for digest, picture in key.items()}
        self.plant, self.asked = (lambda answer: None), (lambda path: path)

    def audit(self, participants=1, **values):
        return audit(self.address, self.key, participants, **values)

    def label(self, token):
        """Return the label of the image of a token."""
        return self.labels[sha256(self.store.image(token)).hexdigest()]

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        message, parts = await receive(), []

        async def again():
            return message

        async def keep(part):
            parts.append(part)

        scope["path"] = self.asked(scope["path"])
        await self.app(scope, again, keep)
        body = b"".join(part.get("body", b"") for part in parts[1:])
        headers = [(name.decode(), value.decode()) for name, value in parts[0]["headers"]]
        answer = Answer(
            scope["method"], scope["path"], message.get("body", b"").decode(), parts[0]["status"], headers, body, self
        )
        self.plant(answer)
        await asyncio.sleep(answer.delay)
        if answer.body != body:
            answer.headers["content-length"] = str(len(answer.body))
        encoded = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": answer.body})

    @contextmanager
    def running(self):
        self.app = application(lambda: self.store, "simulated")
        started = threading.Event()

        class Server(uvicorn.Server):
            async def startup(self, sockets=None):
                await super().startup(sockets)
                started.set()

        server = Server(uvicorn.Config(self, access_log=False, server_header=False, log_level="warning"))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{listener.getsockname()[1]}/study"
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            assert started.wait(30)
            try:
                yield self
            finally:
                server.should_exit = True
                thread.join()


def opened(folder, **values):
    """A study that people can join, and its key."""
    store = create(folder, Definition(landmarks=LANDMARKS, **values), with_adapter())
    key = images_by_sha256(store)
    store.lock(ANALYSIS)
    return store, key


def with_adapter():
    """The sample's pictures, with the hash of an adapter in the key."""
    return [
        replace(one, metadata={**one.metadata, "adapter": {"sha256": ADAPTER}}) if one.origin == "lora" else one
        for one in images()
    ]


class Directly(httpx.BaseTransport):
    """Requests without a network, for the many audits of planted leaks."""

    def __init__(self, app):
        self.app, self.runner = app, asyncio.Runner()

    def handle_request(self, request):
        return self.runner.run(self.answer(request))

    def close(self):
        self.runner.close()

    async def answer(self, request):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "root_path": "",
            "query_string": request.url.query,
            "headers": [(k.lower(), v) for k, v in request.headers.raw],
        }
        parts = []

        async def receive():
            return {"type": "http.request", "body": request.read(), "more_body": False}

        async def send(part):
            parts.append(part)

        await self.app(scope, receive, send)
        body = b"".join(part.get("body", b"") for part in parts[1:])
        return httpx.Response(parts[0]["status"], headers=parts[0]["headers"], stream=httpx.ByteStream(body))
