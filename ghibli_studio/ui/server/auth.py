"""Who may come in: the participant's page is open, everything else needs the password where others can reach it."""

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
from ghibli_studio.ui.server.middleware import Guard
from ghibli_studio.workspace.project import Workspace
from study import StudyError
from study.web.rate_limit import LOGINS, Limiter, address
from study.web.server import Patience, SmallBodies

if TYPE_CHECKING:
    from study.store import Store


OPEN = ("/study", "/study-img")
"""The participant's page; a path is open if it is one of these or lies below one."""
OWN_PING = "/gradio_api/startup-events"
"""Gradio asks itself this when it starts, and gives up where it is refused."""
LOOK_UP_SECONDS = 1.0


def only_here(host: str) -> bool:
    """True if only this machine can reach the server: a loopback address, and no tunnel of Gradio's to it."""
    return is_loopback(host) and os.environ.get("GRADIO_SHARE", "").lower() != "true"


def is_loopback(host: str) -> bool:
    """True if only this machine can reach what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def password_for(host: str) -> str | None:
    """The variable's password, else a new one; None where only this machine reaches the server, and on a Space."""
    if chosen := os.environ.get(PASSWORD_VARIABLE):
        return chosen
    return None if only_here(host) or "SPACE_ID" in os.environ else secrets.token_urlsafe(9)


class Gate:
    """Middleware: HTTP Basic with any user name before everything but the participant's page.

    An address that has given too many wrong passwords is not asked again for a while: a right one opens nothing then
    either, since else a thousand tries could be made and the answer be seen.
    """

    def __init__(self, app: ASGIApp, password: str):
        self.app, self.password = app, password
        self.participants = SmallBodies(Patience(app))
        self._wrong = Limiter(LOGINS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is open or has the password; ask for it otherwise."""
        if scope["type"] == "lifespan" or _own_ping(scope):
            await self.app(scope, receive, send)
            return
        who = address(scope) or "this machine"
        tried = b"authorization" in dict(scope["headers"])
        wait = self._wrong.wait(who) if tried else 0.0
        if not wait and self._known(scope):
            await self.app(scope, receive, send)
        elif _open(scope["path"]):
            await self.participants(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif wait:
            text = f"Too many wrong passwords; wait {math.ceil(wait)} seconds."
            await _say(send, 429, text, (b"retry-after", str(math.ceil(wait)).encode()))
        else:
            if tried:
                self._wrong.take(who)
            await _say(
                send,
                401,
                "The studio needs its password; participants go to /study.",
                (b"www-authenticate", b'Basic realm="Ghibli Studio", charset="UTF-8"'),
            )

    def _known(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, code = given.partition(b" ")
        if kind.lower() != b"basic":
            return False
        try:
            _, _, password = base64.b64decode(code, validate=True).partition(b":")
        except binascii.Error:
            return False
        return secrets.compare_digest(password, self.password.encode())


async def _say(send: Send, status: int, text: str, header: tuple[bytes, bytes]) -> None:
    headers = [header, (b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _open(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in OPEN)


def _own_ping(scope: Scope) -> bool:
    """True for Gradio's question to itself, which comes from the very address that it goes to."""
    client, server = scope.get("client"), scope.get("server")
    return scope["path"] == OWN_PING and bool(client and server) and client[0] == server[0]


def in_front(workspace: Workspace, host: str, pilot_key: str) -> dict[str, Any]:
    """What the server has besides the studio's page: the participant's page, and the gate; prints a new password.

    A Space is open to the world without a password, so a study is not served beside the studio there.
    """
    from starlette.middleware import Middleware

    from ghibli_studio.evaluation.blind_study import served_study
    from study.web.page import routes

    last: tuple[float, Store] | None = None

    def find() -> Store:
        """Looked up once a second: that opens every project's study, and an answer should not have to wait for it."""
        nonlocal last
        if password is None and not only_here(host):
            raise StudyError("a study needs a server of its own here; start one with: python app.py --study-only")
        if last is None or time.monotonic() - last[0] > LOOK_UP_SECONDS or not last[1].file.exists():
            last = time.monotonic(), served_study(workspace)
            if last[1].status().state == "live":  # one that is not may be set aside at any moment
                last[1].hold()
        return last[1]

    password = password_for(host)
    if password and PASSWORD_VARIABLE not in os.environ:
        print(f"* The studio's password: {password} (any user name; set {PASSWORD_VARIABLE} to choose one)", flush=True)
    return {
        "routes": routes(find, pilot_key=pilot_key).routes,
        "middleware": [Middleware(Guard), *([Middleware(Gate, password=password)] if password else [])],
    }
