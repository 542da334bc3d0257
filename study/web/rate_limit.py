"""Rate limits: a token bucket for each address or personal link; no server.

Many participants may share one address, so limits by address allow hundreds at once; what one participant does is
limited by the personal link.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Lock
from typing import Any

MAX_KEYS = 20_000
"""Number of keys with a bucket; the least recently used one is removed first."""


@dataclass(frozen=True)
class Rate:
    """A burst, and a rate per minute that is allowed indefinitely."""

    burst: int
    per_minute: float


JOINS = Rate(400, 120)
"""New participants by address: a lecture hall may press Begin at the same time."""
ANSWERS = Rate(120, 240)
"""Requests of a question page by personal link: two per question, with thirty questions in a study."""
WITHDRAWALS = Rate(20, 10)
"""Withdrawal codes by address: a code of 60 bits must not be guessed by trial."""
LOGINS = Rate(20, 10)
"""Wrong passwords by address."""
CALLS = Rate(400, 1800)
"""Requests to the studio by address: a page that shows a run sends one every second or two."""


class Limiter:
    """Token buckets of one rate."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic):
        self.rate, self._clock = rate, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Key -> (tokens, time of the count)."""
        self._lock = Lock()

    def take(self, key: str) -> float:
        """Use one token; return 0 if there was one, else the seconds until there is."""
        with self._lock:
            tokens = self._tokens(key)
            if tokens < 1:
                return (1 - tokens) * 60 / self.rate.per_minute
            self._buckets[key] = tokens - 1, self._clock()
            while len(self._buckets) > MAX_KEYS:
                self._buckets.popitem(last=False)
            return 0.0

    def wait(self, key: str) -> float:
        """Return the same seconds without using a token."""
        with self._lock:
            return max(1 - self._tokens(key), 0.0) * 60 / self.rate.per_minute

    def _tokens(self, key: str) -> float:
        if key not in self._buckets:
            return float(self.rate.burst)
        tokens, at = self._buckets[key]
        self._buckets.move_to_end(key)
        return min(tokens + (self._clock() - at) * self.rate.per_minute / 60, float(self.rate.burst))


def client_address(scope: Mapping[str, Any]) -> str | None:
    """Return the client's address of an ASGI connection; None for this machine itself, which has no limit.

    `X-Forwarded-For` is used only if a proxy must have written it: from this machine, and on a Space. Its last public
    address counts, because the client may have invented everything before it.
    """
    peer = (scope.get("client") or ("",))[0]
    headers = dict(scope.get("headers") or ())
    forwarded_header = headers.get(b"x-forwarded-for", b"").decode("latin-1")
    forwarded = [part.strip() for part in forwarded_header.split(",") if part.strip()]
    if forwarded and (_loopback(peer) or "SPACE_ID" in os.environ):
        public = [text for text in forwarded if _public(text)]
        return (public or forwarded)[-1][:64]
    return None if _loopback(peer) else peer


def _loopback(text: str) -> bool:
    if not text:  # a socket in the file system has no address
        return True
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False


def _public(text: str) -> bool:
    try:
        return ip_address(text).is_global
    except ValueError:
        return False
