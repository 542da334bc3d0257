"""The password: the participants' page is public, everything else needs it when other machines can connect."""

from __future__ import annotations

import base64
import binascii
import math
import os
import secrets
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ghibli_studio.runtime.environment import PASSWORD_VARIABLE
from ghibli_studio.ui.server.middleware import RequestLimits
from ghibli_studio.workspace.project import Workspace
from study import StudyError
from study.web.rate_limit import LOGINS, Limiter, client_address
from study.web.server import BodySizeMiddleware, RateLimitMiddleware

if TYPE_CHECKING:
    from study.store import Store


PUBLIC_PATHS = ("/study", "/study-img")
"""The participants' page: these paths and everything below them need no password."""
STARTUP_PATH = "/gradio_api/startup-events"
"""Gradio requests this from itself when it starts, and fails if it is refused."""
STUDY_LOOKUP_SECONDS = 1.0


def is_local(host: str) -> bool:
    """Return whether only this machine can connect: a loopback address without a Gradio share link."""
    return is_loopback(host) and os.environ.get("GRADIO_SHARE", "").lower() != "true"


def is_loopback(host: str) -> bool:
    """Return whether `host` is a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def password_for(host: str) -> str | None:
    """Return the password of the environment variable, else a new one; None on a Space or for local use only."""
    if chosen := os.environ.get(PASSWORD_VARIABLE):
        return chosen
    return None if is_local(host) or "SPACE_ID" in os.environ else secrets.token_urlsafe(9)


class PasswordGate:
    """Middleware: HTTP Basic authentication with any user name for everything but the participants' page.

    After too many wrong passwords an address is refused for a while, even with the right password, so that passwords
    cannot be guessed by trying.
    """

    def __init__(self, app: ASGIApp, password: str):
        self.app, self.password = app, password
        self.participants = BodySizeMiddleware(RateLimitMiddleware(app))
        self._wrong = Limiter(LOGINS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests that are public or have the password; answer all others with 401 or 429."""
        if scope["type"] == "lifespan" or _startup_check(scope):
            await self.app(scope, receive, send)
            return
        client = client_address(scope) or "this machine"
        tried = b"authorization" in dict(scope["headers"])
        wait = self._wrong.wait(client) if tried else 0.0
        if not wait and self._has_password(scope):
            await self.app(scope, receive, send)
        elif _open(scope["path"]):
            await self.participants(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif wait:
            text = f"Too many wrong passwords; wait {math.ceil(wait)} seconds."
            await _respond(send, 429, text, (b"retry-after", str(math.ceil(wait)).encode()))
        else:
            if tried:
                self._wrong.take(client)
            await _respond(
                send,
                401,
                "The studio needs a password; participants go to /study.",
                (b"www-authenticate", b'Basic realm="Ghibli Studio", charset="UTF-8"'),
            )

    def _has_password(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, code = given.partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            _, _, password = base64.b64decode(code, validate=True).partition(b":")
        except binascii.Error:
            return False
        return secrets.compare_digest(password, self.password.encode())


async def _respond(send: Send, status: int, text: str, header: tuple[bytes, bytes]) -> None:
    headers = [header, (b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _open(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in PUBLIC_PATHS)


def _startup_check(scope: Scope) -> bool:
    """Return whether this is Gradio's request to itself: the client's address is the server's address."""
    client, server = scope.get("client"), scope.get("server")
    return scope["path"] == STARTUP_PATH and client is not None and server is not None and client[0] == server[0]


def server_options(workspace: Workspace, host: str, pilot_key: str) -> dict[str, Any]:
    """Return the server's extra routes and middleware: the participants' page, limits, password; print a new password.

    A Space is public and has no password, so it does not serve a study next to the studio.
    """
    from starlette.middleware import Middleware

    from ghibli_studio.evaluation.blind_study import served_study
    from study.web.page import routes

    last: tuple[float, Store] | None = None

    def find() -> Store:
        """Return the served study, looked up at most once a second because that opens the study of every project."""
        nonlocal last
        if password is None and not is_local(host):
            raise StudyError("a study needs its own server here; start one with: python app.py --study-only")
        if last is None or time.monotonic() - last[0] > STUDY_LOOKUP_SECONDS or not last[1].file.exists():
            last = time.monotonic(), served_study(workspace)
            if last[1].status().state == "live":  # a study that is not live may be archived at any moment
                last[1].open_connection_pool()
        return last[1]

    password = password_for(host)
    if password and PASSWORD_VARIABLE not in os.environ:
        print(
            f"* Password of the studio: {password} (any user name; set {PASSWORD_VARIABLE} to choose your own)",
            flush=True,
        )
    return {
        "routes": routes(find, pilot_key=pilot_key).routes,
        "middleware": [Middleware(RequestLimits), *([Middleware(PasswordGate, password=password)] if password else [])],
    }
