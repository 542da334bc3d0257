"""The study by itself: a server with the participant's page and nothing else. The page is `page`."""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Callable
from secrets import token_urlsafe

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from study import StudyError
from study.replica.replication import NotKept
from study.store import Store
from study.web.page import HEADERS, routes, screen
from study.web.rate_limit import ANSWERS, JOINS, WITHDRAWALS, Limiter, address

MOST_BYTES = 65_536
"""Of a request's body: an answer has a few hundred."""


class SmallBodies:
    """Refuses requests whose body is larger than any form of the study."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is small enough."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            length = headers.get(b"content-length", b"0")
            if not length.isdigit() or int(length) > MOST_BYTES or b"transfer-encoding" in headers:
                await Response(f"At most {MOST_BYTES} bytes", 413, HEADERS)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Patience:
    """Slows down who joins, answers or withdraws far more often than people do; never a class behind one address."""

    POSTS = re.compile(r".*/study/(?:p/(?P<link>[^/]+)/(?P<act>begin|answer|shown)|(?P<leave>withdraw))/?")

    def __init__(self, app: ASGIApp):
        self.app = app
        self._joins, self._answers, self._leaves = Limiter(JOINS), Limiter(ANSWERS), Limiter(WITHDRAWALS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or say how long to wait."""
        wait = self._wait(scope) if scope["type"] == "http" and scope["method"] == "POST" else 0.0
        if wait:
            reply = screen(
                "message.html",
                429,
                title="Study",
                root=scope.get("root_path", ""),
                link=None,
                heading="One moment",
                text="That was more often than the study can take. Wait "
                f"{math.ceil(wait)} seconds, go back, and try again. Nothing that was kept is lost.",
            )
            reply.headers["Retry-After"] = str(math.ceil(wait))
            await reply(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _wait(self, scope: Scope) -> float:
        """Seconds; 0 for what may go on."""
        found, who = self.POSTS.fullmatch(scope["path"]), address(scope)
        if found is None or who is None:
            return 0.0
        if found["leave"]:
            return self._leaves.take(who)
        return self._joins.take(who) if found["act"] == "begin" else self._answers.take(found["link"])


def application(find: Callable[[], Store], mode: str = "live", pilot_key: str | None = None) -> FastAPI:
    """The app that serves one study: no documentation, no schema, no other route."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(SmallBodies)
    app.add_middleware(Patience)
    app.include_router(routes(find, mode, pilot_key))

    @app.get("/", include_in_schema=False)
    @app.get("/study/", include_in_schema=False)
    def home(request: Request) -> Response:
        """The consent is the front door."""
        return RedirectResponse(f"{request.scope.get('root_path', '')}/study", 303, HEADERS)

    @app.exception_handler(HTTPException)
    def nothing_here(request: Request, error: HTTPException) -> Response:
        """Every address that is none says the same."""
        root = request.scope.get("root_path", "")
        return screen(
            "message.html",
            error.status_code,
            title="Study",
            root=root,
            heading="There is nothing here",
            text="The address is wrong, or was shortened.",
            link=f"{root}/study",
            link_text="To the study",
        )

    @app.exception_handler(RequestValidationError)
    def no_form_of_ours(request: Request, error: RequestValidationError) -> Response:
        """A program's mistake: no page sends a file where a word belongs."""
        return screen(
            "message.html",
            422,
            title="Study",
            root=request.scope.get("root_path", ""),
            heading="That did not work",
            link=None,
            text="The form was not filled in as this page's; go back and try again.",
        )

    return app


def serve(store: Store, host: str, port: int, mode: str = "live") -> None:
    """Serve until interrupted; prints the links. StudyError if the port cannot be had."""
    key = token_urlsafe(16)
    try:
        store.meet_second()
    except NotKept as error:  # it may be back before anybody has answered; until then nothing is acknowledged
        print(f"note: {error}", flush=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once only where the protocol is named; else the end of each page waits for 40 ms
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1024)  # who comes between the address being told and the first answer waits
        except OSError as error:
            raise StudyError(f"port {port} cannot be had ({error.strerror}); choose another with --port") from error
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/study"
        print(f"for participants: {address}", f"to try it out: {address}?pilot={key}", sep="\n", flush=True)
        app = application(lambda: store, mode, key)
        # no access log: an address has the person's secret in it
        config = uvicorn.Config(app, access_log=False, server_header=False, log_level="warning")
        with store.held():
            uvicorn.Server(config).run([listener])
