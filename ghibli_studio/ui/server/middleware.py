"""Request limits for every connection: body size, call rate, cross-site requests; and security headers."""

from __future__ import annotations

import math
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from study.web.rate_limit import CALLS, Limiter, client_address

MAX_BODY_BYTES = 64 * 2**20
"""The largest body of a request that is not an upload; an image inside an API call has a few megabytes."""
MAX_UPLOAD_BYTES = 2 * 2**30
"""The largest upload, such as a ZIP of photos. Gradio has the same limit for each file."""
UPLOAD = "/gradio_api/upload"
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    # a Space is shown inside a page of the Hub
    b"content-security-policy": b"frame-ancestors 'self' https://huggingface.co",
}
SAFE = ("GET", "HEAD", "OPTIONS")


class TooLarge(Exception):
    """The body is larger than allowed."""


class RequestLimits:
    """Middleware around the whole server."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self._calls = Limiter(CALLS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests within the limits; refuse all others with 403, 413 or 429."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        limit = MAX_UPLOAD_BYTES if scope["path"].rstrip("/") == UPLOAD else MAX_BODY_BYTES
        refusal = self._refusal(scope, headers, limit)
        if refusal:
            await _respond(send, *refusal)
            return
        response_started, received = False, 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:  # a body without a content-length
                raise TooLarge
            return message

        async def with_headers(message: Message) -> None:
            nonlocal response_started
            if message["type"] == "http.response.start":
                response_started = True
                present = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in HEADERS.items() if name not in present]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            await self.app(scope, counted, with_headers)
        except TooLarge:
            if response_started:
                raise
            await _respond(send, 413, f"At most {limit // 2**20} MB.")

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], limit: int) -> tuple[Any, ...] | None:
        """Return (status, message, seconds to wait) of a refused request; None if it is passed on."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            return 413, f"At most {limit // 2**20} MB.", 0
        if scope["method"] in SAFE:
            return None
        # the browser sends the password by itself, so another site's page must not be able to act here
        if headers.get(b"sec-fetch-site") == b"cross-site":
            return 403, "Requests from another site are not allowed; open the studio itself.", 0
        client = client_address(scope)
        if client is not None and (wait := self._calls.take(client)):
            return 429, f"Too many calls from {client}; wait {math.ceil(wait)} seconds.", wait
        return None


async def _respond(send: Send, status: int, text: str, wait: float = 0) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *HEADERS.items()]
    if wait:
        headers.append((b"retry-after", str(math.ceil(wait)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
