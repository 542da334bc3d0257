"""Artificial participants: they walk the study's own pages over HTTP, as a browser does, and answer by given tastes.

They show that the study runs under load and through crashes, and what its analysis would find. Pages are read by
`browsing`, choices made by `preferences`; on which copy of a study all this happens is `rehearsal`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urljoin

import httpx

from study import StudyError
from study.design.spec import Picture
from study.simulation.preferences import Preferences, Taste
from study.web.html_form import Form, Page, read
from study.web.page import BOARD_WORDS, WORDS

PATIENCE = 60.0
"""Seconds for which a person tries again where the connection fails."""
LONGEST_WAIT = 1.0
"""Seconds between two tries; the first comes after 50 ms, each later one after twice as long."""
CONNECTIONS = httpx.Limits(max_connections=6, keepalive_expiry=3)
"""Of one browser: six at once, as in all of them; idle ones are given up before the server does (5 s)."""


@dataclass(frozen=True)
class Acknowledged:
    """An answer of which the server said that it is kept."""

    person: int
    """Of the simulation, from 0."""
    trial: str
    response: str
    choice: str
    """As the form sent it: a position from 1, or a word."""


@dataclass
class Simulated:
    """What artificial participants met."""

    people: int
    seconds: float = 0.0
    """The whole walk of all."""
    codes: list[tuple[str, str]] = field(default_factory=list)
    """(completion code, withdrawal code) of everybody who finished."""
    answers: list[Acknowledged] = field(default_factory=list)
    """In the order in which they were acknowledged, each once."""
    latencies: list[float] = field(default_factory=list)
    """From sending an answer to its acknowledgement, ms, without tries that failed."""
    pages: list[float] = field(default_factory=list)
    """From asking for a page to having it, ms, without its pictures."""
    retries: int = 0
    """Requests that were sent again since the connection failed."""
    errors: list[str] = field(default_factory=list)
    """What ended somebody's walk, one sentence each."""

    def latency(self, of: str = "latencies") -> dict[str, float]:
        """p50, p95 and max in ms, of `latencies` or `pages`; empty without any."""
        told = sorted(getattr(self, of))
        if not told:
            return {}
        # the nearest rank: a time that was really measured
        return {f"p{share}": round(told[-(-share * len(told) // 100) - 1], 1) for share in (50, 95)} | {
            "max": round(told[-1], 1)
        }


class Lost(Exception):
    """A walk cannot go on; the sentence says why."""


def simulate(
    address: str,
    people: int,
    preferences: Preferences,
    origins: Mapping[str, Picture],
    seed: int = 0,
    concurrency: int = 50,
    pause: float = 0.0,
) -> Simulated:
    """Walk artificial people from the consent to the debrief, at most `concurrency` at once.

    `address` is the consent's; `origins` tells the picture behind the sha256 of served bytes; `pause` is the mean
    time in seconds that people think over a question. Equal seeds choose alike, whatever places they get.
    Raises StudyError for numbers out of bounds; what happens to single people is in `errors`.
    """
    check(people, concurrency, pause)
    simulated = Simulated(people)

    async def all_of_them() -> None:
        places, secure = asyncio.Semaphore(concurrency), ssl.create_default_context()

        async def one(number: int) -> None:
            async with (
                places,
                httpx.AsyncClient(verify=secure, trust_env=False, timeout=PATIENCE, limits=CONNECTIONS) as client,
            ):
                walker = Walker(client, number, Taste(preferences, seed, number), origins, simulated)
                walker.pause = pause
                try:
                    await walker.walk(address)
                except Lost as error:
                    simulated.errors.append(f"person {number + 1}: {error}")

        await asyncio.gather(*(one(number) for number in range(people)))

    began = time.perf_counter()
    asyncio.run(all_of_them())
    simulated.seconds = time.perf_counter() - began
    return simulated


def check(people: int, concurrency: int, pause: float) -> None:
    """StudyError for numbers out of bounds."""
    for name, value in (("people", people), ("at once", concurrency)):
        if not 1 <= value <= 10_000:
            raise StudyError(f"the number of people ({name}) is {value}; it must be 1 to 10000")
    if not 0 <= pause <= 3600:
        raise StudyError(f"the pause is {pause:g} s; it must be 0 to 3600")


class Walker:
    """One artificial person with a browser of its own."""

    def __init__(
        self, client: httpx.AsyncClient, number: int, taste: Taste, origins: Mapping[str, Picture], simulated: Simulated
    ):
        self.client, self.number, self.taste, self.origins, self.simulated = client, number, taste, origins, simulated
        self.pause = 0.0
        self._answered = 0
        self._random = Random(f"walk {number}")

    async def walk(self, address: str) -> None:
        """From the consent to the debrief."""
        page, address = await self.open(address)
        if page.form is None or not page.form.boxes:
            raise Lost(f"there is no consent, but: {' '.join(page.paragraphs)}")
        begun = await self.send("POST", urljoin(address, page.form.action), 303, page.form.fields | page.form.boxes)
        # from here on the personal link is all that the person has
        link = urljoin(address, begun.headers["location"])
        page, _ = await self.open(link)
        while page.form is not None:
            page = await self.answer(link, page)
        if len(page.codes) != 2:
            raise Lost(f"the debrief has {len(page.codes)} codes and not two")
        self.simulated.codes.append((page.codes[0], page.codes[1]))

    async def answer(self, link: str, page: Page) -> Page:
        """Look at a question with all its pictures, answer it, and go where the server leads."""
        form = page.form
        assert form is not None
        loaded = await asyncio.gather(*(self.send("GET", urljoin(link, file), 200) for file in page.files))
        seen = {file: hashlib.sha256(reply.content).hexdigest() for file, reply in zip(page.files, loaded)}
        await self.send("POST", urljoin(link, form.data["shown"]), 204, {"trial": form.fields["trial"]})
        chosen = self.choose(page.heading, form, seen)
        if self.pause:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * self.pause)
        thought = self.taste.milliseconds(self._answered)
        self._answered += 1
        sent = form.fields | {"choice": chosen, "milliseconds": str(thought), "input": "mouse"}
        return await self.post_answer(link, urljoin(link, form.action), sent)

    def choose(self, asked: str, form: Form, seen: Mapping[str, str]) -> str:
        """What the form is to send as the choice."""
        question, landmark = understand(asked)
        pictured = [option for option in form.options if option.image is not None]
        menu = [option.value for option in form.options if option.image is None]
        try:
            pictures = [self.origins[seen[option.image]] for option in pictured if option.image]
        except KeyError:
            raise Lost("a picture is not one of the study's") from None
        chosen = self.taste.choose(question, landmark, pictures, menu)
        return chosen if isinstance(chosen, str) else pictured[chosen - 1].value

    async def post_answer(self, link: str, action: str, sent: dict[str, str]) -> Page:
        """Send an answer until it is acknowledged: half of the people reload, the others open their link again."""
        reloads = self._random.random() < 0.5
        began, wait = time.monotonic(), 0.05
        while True:
            try:
                start = time.perf_counter()
                reply = await self.client.post(action, data=sent)
                taken = 1000 * (time.perf_counter() - start)
            except httpx.TransportError as error:
                wait = await self._wait(began, wait, error)
                page = None if reloads else (await self.open(link))[0]
                if page is None or (page.form is not None and page.form.fields["trial"] == sent["trial"]):
                    continue
                self._keep(sent)  # it had arrived, and only the acknowledgement was lost
                return page
            self._expect(reply, 303)
            self.simulated.latencies.append(taken)
            self._keep(sent)
            return (await self.open(urljoin(link, reply.headers["location"])))[0]

    async def open(self, address: str) -> tuple[Page, str]:
        """A page, and where it was found."""
        start = time.perf_counter()
        reply = await self.send("GET", address, 200)
        self.simulated.pages.append(1000 * (time.perf_counter() - start))
        return read(reply.text), str(reply.url)

    async def send(self, method: str, address: str, status: int, data: Any = None) -> httpx.Response:
        """A request that is sent again while the connection fails; Lost for another status than the expected."""
        began, wait = time.monotonic(), 0.05
        while True:
            try:
                reply = await self.client.request(method, address, data=data)
            except httpx.TransportError as error:
                wait = await self._wait(began, wait, error)
                continue
            self._expect(reply, status)
            return reply

    async def _wait(self, began: float, wait: float, error: Exception) -> float:
        """Wait before the next try; returns how long to wait before the one after it."""
        if time.monotonic() - began > PATIENCE:
            raise Lost(f"no connection for {PATIENCE:g} s ({type(error).__name__}: {error})") from error
        self.simulated.retries += 1
        await asyncio.sleep(wait * self._random.uniform(0.5, 1.5))
        return min(2 * wait, LONGEST_WAIT)

    def _expect(self, reply: httpx.Response, status: int) -> None:
        if reply.status_code != status:
            told = " ".join(read(reply.text).paragraphs) if "html" in reply.headers.get("content-type", "") else ""
            raise Lost(f"{reply.request.method} was answered with {reply.status_code} and not {status}: {told}")

    def _keep(self, sent: Mapping[str, str]) -> None:
        self.simulated.answers.append(Acknowledged(self.number, sent["trial"], sent["response"], sent["choice"]))


def understand(asked: str) -> tuple[str, str | None]:
    """(question, landmark or None) that a page's heading asks; Lost if it asks nothing that is known."""
    for words in (WORDS, BOARD_WORDS):
        for question, text in words.items():
            found = re.fullmatch(re.escape(text).replace(r"\{landmark\}", "(.+)"), asked)
            if found:
                return question, found[1] if found.groups() else None
    raise Lost(f"the question {asked[:80]!r} is not understood")
