"""Simulated participants: they use the study's own pages over HTTP, as a browser does, and answer by preference.

They show that the study runs under load and through crashes, and what its analysis would find. Pages are parsed by
`study.web.html_form`, choices made by `preferences`; the copy of the study for them is made by `dry_run`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urljoin

import httpx

from study import StudyError
from study.design.spec import StimulusImage
from study.simulation.preferences import Preferences, SimulatedParticipant
from study.web.html_form import Form, Page, parse_page
from study.web.page import BOARD_QUESTION_TEXTS, QUESTION_TEXTS

RETRY_SECONDS = 60.0
"""Seconds for which a participant retries a failed connection."""
MAX_RETRY_WAIT = 1.0
"""Most seconds between two tries; the first retry comes after 50 ms, each later one after twice as long."""
CONNECTION_LIMITS = httpx.Limits(max_connections=6, keepalive_expiry=3)
"""Limits of one browser: six connections, as in all of them; idle ones close before the server closes them (5 s)."""


@dataclass(frozen=True)
class AcknowledgedAnswer:
    """An answer that the server acknowledged."""

    participant: int
    """Number in the simulation, from 0."""
    trial: str
    response: str
    choice: str
    """As the form sent it: a position from 1, or a word of the menu."""


@dataclass
class SimulationLog:
    """What happened in a simulation."""

    participants: int
    seconds: float = 0.0
    """Duration of the whole simulation."""
    codes: list[tuple[str, str]] = field(default_factory=list)
    """(completion code, withdrawal code) of every participant who finished."""
    answers: list[AcknowledgedAnswer] = field(default_factory=list)
    """In the order of their acknowledgements, each once."""
    answer_ms: list[float] = field(default_factory=list)
    """Milliseconds from sending an answer to its acknowledgement, without failed tries."""
    page_ms: list[float] = field(default_factory=list)
    """Milliseconds from requesting a page to having it, without its images."""
    retries: int = 0
    """Requests that were sent again after a failed connection."""
    errors: list[str] = field(default_factory=list)
    """Why participants could not finish, one sentence each."""


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and max; empty without any values."""
    values = sorted(milliseconds)
    if not values:
        return {}
    # by nearest rank, so that each is a measured time
    return {f"p{share}": round(values[-(-share * len(values) // 100) - 1], 1) for share in (50, 95)} | {
        "max": round(values[-1], 1)
    }


class SimulationError(Exception):
    """A simulated participant cannot go on; the sentence says why."""


def simulate(
    address: str,
    participants: int,
    preferences: Preferences,
    images: Mapping[str, StimulusImage],
    seed: int = 0,
    concurrency: int = 50,
    pause: float = 0.0,
) -> SimulationLog:
    """Run simulated participants from the consent to the debriefing, at most `concurrency` at once.

    `address` is that of the consent page; `images` maps the sha256 of served bytes to the image; `pause` is the mean
    time in seconds before an answer. Equal seeds give equal choices, whatever slots the participants get.
    Raises StudyError for numbers out of bounds; problems of single participants are in `errors`.
    """
    check_bounds(participants, concurrency, pause)
    log = SimulationLog(participants)

    async def run_all() -> None:
        running, secure = asyncio.Semaphore(concurrency), ssl.create_default_context()

        async def run_one(number: int) -> None:
            async with (
                running,
                httpx.AsyncClient(
                    verify=secure, trust_env=False, timeout=RETRY_SECONDS, limits=CONNECTION_LIMITS
                ) as http,
            ):
                participant = SimulatedParticipant(preferences, seed, number)
                client = ParticipantClient(http, number, participant, images, log, pause)
                try:
                    await client.take_part(address)
                except SimulationError as error:
                    log.errors.append(f"participant {number + 1}: {error}")

        await asyncio.gather(*(run_one(number) for number in range(participants)))

    start = time.perf_counter()
    asyncio.run(run_all())
    log.seconds = time.perf_counter() - start
    return log


def check_bounds(participants: int, concurrency: int, pause: float) -> None:
    """Raise StudyError for numbers out of bounds."""
    for name, value in (("participants", participants), ("participants at once", concurrency)):
        if not 1 <= value <= 10_000:
            raise StudyError(f"the number of {name} is {value}; it must be 1 to 10000")
    if not 0 <= pause <= 3600:
        raise StudyError(f"the pause is {pause:g} s; it must be 0 to 3600")


class ParticipantClient:
    """The browser of one simulated participant."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        number: int,
        participant: SimulatedParticipant,
        images: Mapping[str, StimulusImage],
        log: SimulationLog,
        pause: float = 0.0,
    ):
        self.http, self.number, self.participant = http, number, participant
        self.images, self.log, self.pause = images, log, pause
        self._answered = 0
        self._random = Random(f"walk {number}")

    async def take_part(self, address: str) -> None:
        """Go from the consent to the debriefing."""
        page, address = await self.open(address)
        if page.form is None or not page.form.checkboxes:
            raise SimulationError(f"the page is not the consent: {' '.join(page.paragraphs)}")
        fields = page.form.fields | page.form.checkboxes
        joined = await self.send("POST", urljoin(address, page.form.action), 303, fields)
        # from here on the participant has nothing but the personal link
        link = urljoin(address, joined.headers["location"])
        page, _ = await self.open(link)
        while page.form is not None:
            page = await self.answer(link, page, page.form)
        if len(page.codes) != 2:
            raise SimulationError(f"the debriefing has {len(page.codes)} codes instead of two")
        self.log.codes.append((page.codes[0], page.codes[1]))

    async def answer(self, link: str, page: Page, form: Form) -> Page:
        """Load a question with all its images, answer it, and return the page that the server leads to."""
        replies = await asyncio.gather(*(self.send("GET", urljoin(link, file), 200) for file in page.files))
        digests = {file: hashlib.sha256(reply.content).hexdigest() for file, reply in zip(page.files, replies)}
        await self.send("POST", urljoin(link, form.data["shown"]), 204, {"trial": form.fields["trial"]})
        choice = self.choose(page.heading, form, digests)
        if self.pause:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * self.pause)
        milliseconds = self.participant.milliseconds(self._answered)
        self._answered += 1
        fields = form.fields | {"choice": choice, "milliseconds": str(milliseconds), "input": "mouse"}
        return await self.post_answer(link, urljoin(link, form.action), fields)

    def choose(self, heading: str, form: Form, digests: Mapping[str, str]) -> str:
        """Return the choice for the form to send; `digests` maps addresses to the sha256 of their bytes."""
        question, landmark = parse_question(heading)
        image_options = [option for option in form.options if option.image is not None]
        menu = [option.value for option in form.options if option.image is None]
        try:
            images = [self.images[digests[option.image]] for option in image_options if option.image]
        except KeyError:
            raise SimulationError("an image is not one of the study's") from None
        choice = self.participant.choose(question, landmark, images, menu)
        return choice if isinstance(choice, str) else image_options[choice - 1].value

    async def post_answer(self, link: str, action: str, fields: dict[str, str]) -> Page:
        """Send an answer until it is acknowledged: half of the participants reload, the others reopen their link."""
        reloads = self._random.random() < 0.5
        began, wait = time.monotonic(), 0.05
        while True:
            try:
                start = time.perf_counter()
                reply = await self.http.post(action, data=fields)
                milliseconds = 1000 * (time.perf_counter() - start)
            except httpx.TransportError as error:
                wait = await self._wait(began, wait, error)
                page = None if reloads else (await self.open(link))[0]
                if page is None or (page.form is not None and page.form.fields["trial"] == fields["trial"]):
                    continue
                self._acknowledge(fields)  # it had arrived, and only the acknowledgement was lost
                return page
            self._expect(reply, 303)
            self.log.answer_ms.append(milliseconds)
            self._acknowledge(fields)
            return (await self.open(urljoin(link, reply.headers["location"])))[0]

    async def open(self, address: str) -> tuple[Page, str]:
        """Return a page and its address."""
        start = time.perf_counter()
        reply = await self.send("GET", address, 200)
        self.log.page_ms.append(1000 * (time.perf_counter() - start))
        return parse_page(reply.text), str(reply.url)

    async def send(self, method: str, address: str, status: int, data: Any = None) -> httpx.Response:
        """Send a request, again while the connection fails; SimulationError for another status than expected."""
        began, wait = time.monotonic(), 0.05
        while True:
            try:
                reply = await self.http.request(method, address, data=data)
            except httpx.TransportError as error:
                wait = await self._wait(began, wait, error)
                continue
            self._expect(reply, status)
            return reply

    async def _wait(self, began: float, wait: float, error: Exception) -> float:
        """Wait before the next try; return how long to wait before the one after it."""
        if time.monotonic() - began > RETRY_SECONDS:
            raise SimulationError(f"no connection for {RETRY_SECONDS:g} s ({type(error).__name__}: {error})") from error
        self.log.retries += 1
        await asyncio.sleep(wait * self._random.uniform(0.5, 1.5))
        return min(2 * wait, MAX_RETRY_WAIT)

    def _expect(self, reply: httpx.Response, status: int) -> None:
        if reply.status_code != status:
            is_html = "html" in reply.headers.get("content-type", "")
            text = " ".join(parse_page(reply.text).paragraphs) if is_html else ""
            raise SimulationError(
                f"{reply.request.method} was answered with {reply.status_code} instead of {status}: {text}"
            )

    def _acknowledge(self, fields: Mapping[str, str]) -> None:
        self.log.answers.append(AcknowledgedAnswer(self.number, fields["trial"], fields["response"], fields["choice"]))


def parse_question(heading: str) -> tuple[str, str | None]:
    """Return (question, landmark or None) of a page's heading; SimulationError if it is not one of the questions."""
    for texts in (QUESTION_TEXTS, BOARD_QUESTION_TEXTS):
        for question, text in texts.items():
            match = re.fullmatch(re.escape(text).replace(r"\{landmark\}", "(.+)"), heading)
            if match:
                return question, match[1] if match.groups() else None
    raise SimulationError(f"the question {heading[:80]!r} is unknown")
