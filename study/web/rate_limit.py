"""How often somebody may do something: a bucket of tokens for each address or personal link. No server in here.

A class sits behind one address, so what is counted by address leaves room for hundreds at once; what one person does is
counted by the personal link.
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

MOST_KEYS = 20_000
"""Addresses that are remembered at a time; the one that was idle longest is forgotten first."""


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a minute for as long as one likes."""

    at_once: int
    a_minute: float


JOINS = Rate(400, 120)
"""New participants by address: a lecture hall may press Begin together."""
ANSWERS = Rate(120, 240)
"""What a page of questions sends, by personal link: twice a question, and a whole study has thirty."""
WITHDRAWALS = Rate(20, 10)
"""Withdrawal codes by address: 60 bits are not guessed, and need not be tried."""
LOGINS = Rate(20, 10)
"""Wrong passwords by address."""
CALLS = Rate(400, 1800)
"""What is sent to the studio, by address: a page that watches a run asks every second or two."""


class Limiter:
    """Buckets of one rate."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic):
        self.rate, self._clock = rate, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Key -> (tokens, when they were counted)."""
        self._lock = Lock()

    def take(self, key: str) -> float:
        """Use one token; 0 where there was one, else the seconds until there is."""
        with self._lock:
            tokens = self._tokens(key)
            if tokens < 1:
                return (1 - tokens) * 60 / self.rate.a_minute
            self._buckets[key] = tokens - 1, self._clock()
            while len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
            return 0.0

    def wait(self, key: str) -> float:
        """The same without using a token."""
        with self._lock:
            return max(1 - self._tokens(key), 0.0) * 60 / self.rate.a_minute

    def _tokens(self, key: str) -> float:
        if key not in self._buckets:
            return float(self.rate.at_once)
        tokens, at = self._buckets[key]
        self._buckets.move_to_end(key)
        return min(tokens + (self._clock() - at) * self.rate.a_minute / 60, float(self.rate.at_once))


def address(scope: Mapping[str, Any]) -> str | None:
    """Who asks, of an ASGI connection; None for this machine itself, which no limit holds for.

    `X-Forwarded-For` is believed where a proxy must have written it: from this machine, and on a Space. Of it the last
    public address counts, since everything before that may have been made up by who asks.
    """
    peer = (scope.get("client") or ("",))[0]
    headers = dict(scope.get("headers") or ())
    written = headers.get(b"x-forwarded-for", b"").decode("latin-1")
    forwarded = [one.strip() for one in written.split(",") if one.strip()]
    if forwarded and (_loopback(peer) or "SPACE_ID" in os.environ):
        public = [one for one in forwarded if _public(one)]
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
