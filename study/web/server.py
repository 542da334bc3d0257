"""A server for one study alone, with the participant's page from `page` and nothing else."""

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
from study.replica.replication import ReplicaError
from study.store import Store
from study.web.page import HEADERS, render, routes
from study.web.rate_limit import ANSWERS, JOINS, WITHDRAWALS, Limiter, client_address

MAX_BODY_BYTES = 65_536
"""Limit of a request's body; an answer has a few hundred bytes."""


class BodySizeMiddleware:
    """Rejects requests with a body larger than any form of the study."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request with a small body."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            length = headers.get(b"content-length", b"0")
            if not length.isdigit() or int(length) > MAX_BODY_BYTES or b"transfer-encoding" in headers:
                await Response(f"At most {MAX_BODY_BYTES} bytes", 413, HEADERS)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class RateLimitMiddleware:
    """Limits joining, answering and withdrawing to rates that many participants behind one address do not reach."""

    POSTS = re.compile(r".*/study/(?:p/(?P<link>[^/]+)/(?P<action>begin|answer|shown)|(?P<withdraw>withdraw))/?")

    def __init__(self, app: ASGIApp):
        self.app = app
        self._joins, self._answers, self._withdrawals = Limiter(JOINS), Limiter(ANSWERS), Limiter(WITHDRAWALS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or tell the client how long to wait."""
        wait = self._wait(scope) if scope["type"] == "http" and scope["method"] == "POST" else 0.0
        if wait:
            reply = render(
                "message.html",
                429,
                title="Study",
                root=scope.get("root_path", ""),
                link=None,
                heading="One moment",
                text=f"Too many requests. Wait {math.ceil(wait)} seconds, go back, and try again. Everything that "
                "you sent before is saved.",
            )
            reply.headers["Retry-After"] = str(math.ceil(wait))
            await reply(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _wait(self, scope: Scope) -> float:
        """Return how many seconds to wait; 0 for none."""
        found, client = self.POSTS.fullmatch(scope["path"]), client_address(scope)
        if found is None or client is None:
            return 0.0
        if found["withdraw"]:
            return self._withdrawals.take(client)
        return self._joins.take(client) if found["action"] == "begin" else self._answers.take(found["link"])


def application(find: Callable[[], Store], mode: str = "live", pilot_key: str | None = None) -> FastAPI:
    """Return the app that serves one study, without documentation, schema or other routes."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(BodySizeMiddleware)
    app.add_middleware(RateLimitMiddleware)
    app.include_router(routes(find, mode, pilot_key))

    @app.get("/", include_in_schema=False)
    @app.get("/study/", include_in_schema=False)
    def home(request: Request) -> Response:
        """Redirect to the consent."""
        return RedirectResponse(f"{request.scope.get('root_path', '')}/study", 303, HEADERS)

    @app.exception_handler(HTTPException)
    def not_found(request: Request, error: HTTPException) -> Response:
        """Show the same page for every unknown address."""
        root = request.scope.get("root_path", "")
        return render(
            "message.html",
            error.status_code,
            title="Study",
            root=root,
            heading="Page not found",
            text="The address is wrong or incomplete.",
            link=f"{root}/study",
            link_text="To the study",
        )

    @app.exception_handler(RequestValidationError)
    def invalid_form(request: Request, error: RequestValidationError) -> Response:
        """Show an error for a form that no page of the study sends."""
        return render(
            "message.html",
            422,
            title="Study",
            root=request.scope.get("root_path", ""),
            heading="That did not work",
            link=None,
            text="The form is not one of this study; go back and try again.",
        )

    return app


def serve(store: Store, host: str, port: int, mode: str = "live") -> None:
    """Serve until interrupted and print the links; raise StudyError if the port is not available."""
    key = token_urlsafe(16)
    try:
        store.sync_replica()
    except ReplicaError as error:  # until it is reachable again, no answer is acknowledged
        print(f"note: {error}", flush=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is named; else the end of each page waits for 40 ms
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1024)  # connections that arrive before the server is ready wait
        except OSError as error:
            raise StudyError(
                f"port {port} is not available ({error.strerror}); choose another one with --port"
            ) from error
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/study"
        print(f"for participants: {address}", f"to try it out: {address}?pilot={key}", sep="\n", flush=True)
        app = application(lambda: store, mode, key)
        # no access log: an address contains the secret of a participant
        config = uvicorn.Config(app, access_log=False, server_header=False, log_level="warning")
        with store.pooled_connections():
            uvicorn.Server(config).run([listener])
