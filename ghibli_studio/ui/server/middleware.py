"""What every connection to the studio passes: sizes, speeds, where a form may come from, and headers of replies."""

from __future__ import annotations

import math
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from study.web.rate_limit import CALLS, Limiter, address

MOST_BYTES = 64 * 2**20
"""Of a request that is no upload: a picture inside a call of the API has a few megabytes."""
MOST_UPLOADED = 2 * 2**30
"""Of an upload: a ZIP of photographs. Gradio holds each file to the same bound."""
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
    """More came than may."""


class Guard:
    """Middleware around the whole server."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self._calls = Limiter(CALLS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is small, slow and of this page enough; say why not otherwise."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        most = MOST_UPLOADED if scope["path"].rstrip("/") == UPLOAD else MOST_BYTES
        refusal = self._refusal(scope, headers, most)
        if refusal:
            await _say(send, *refusal)
            return
        begun, seen = False, 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:  # a body that does not tell its length
                raise TooLarge
            return message

        async def dressed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                there = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in HEADERS.items() if name not in there]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            await self.app(scope, counted, dressed)
        except TooLarge:
            if begun:
                raise
            await _say(send, 413, f"At most {most // 2**20} MB.")

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], most: int) -> tuple[Any, ...] | None:
        """(status, why, seconds to wait) of what is not passed on."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            return 413, f"At most {most // 2**20} MB.", 0
        if scope["method"] in SAFE:
            return None
        # the browser adds the password by itself, so a page elsewhere must not be able to press buttons here
        if headers.get(b"sec-fetch-site") == b"cross-site":
            return 403, "A page of another site may not do this; open the studio itself.", 0
        who = address(scope)
        if who is not None and (wait := self._calls.take(who)):
            return 429, f"Too many calls from {who}; wait {math.ceil(wait)} seconds.", wait
        return None


async def _say(send: Send, status: int, text: str, wait: float = 0) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *HEADERS.items()]
    if wait:
        headers.append((b"retry-after", str(math.ceil(wait)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
