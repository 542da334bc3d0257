"""A visit to a served study as one participant, over HTTP: every question, all its images, and invalid requests.

The visit is recorded as a `visit.Visit`; pages are parsed by `study.web.html_form`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from random import Random
from urllib.parse import urljoin, urlsplit

import httpx

from study import StudyError
from study.blindness.visit import ImageView, Reply, Screen, Visit, infer_kinds, label
from study.design.spec import StimulusImage
from study.web.html_form import Form, Page, parse_page

TIMEOUT = 30.0
"""Seconds to wait for one reply."""
MAX_SCREENS = 200
TIMING_ROUNDS = 2
"""How often an image is requested again to measure the loading time."""
TIMING_SAMPLE = 8
"""Images of each label that are measured."""


def visit(address: str, images: Mapping[str, StimulusImage], random: Random) -> Visit:
    """Take part from the consent to the debriefing and record everything.

    `images` has the image behind the sha256 of served bytes. StudyError if nobody can take part there.
    """
    with Browser(address) as browser:
        visitor = Visitor(browser, images, random)
        visitor.walk()
        return visitor.visit


def leave(address: str, visit: Visit) -> None:
    """Withdraw, and record the replies."""
    with Browser(address) as browser:
        path = f"{browser.root}/study/withdraw"
        visit.after += [browser.send("GET", path), browser.send("POST", path, {"code": visit.withdrawal_code})]


class Browser:
    """Sends requests without cookies and cache, and follows no redirects."""

    def __init__(self, address: str):
        self.address = address
        path = urlsplit(address).path
        if not path.endswith("/study"):
            raise StudyError(f"the address is {address}; give the address of the consent, which ends in /study")
        self.root = path.removesuffix("/study")
        """The part of every path before /study."""

    def __enter__(self) -> Browser:
        self._client = httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, method: str, path: str, data: Mapping[str, str] | None = None) -> Reply:
        """Send one request; `path` may be a full address. StudyError if there is no reply."""
        began = time.perf_counter()
        try:
            reply = self._client.request(method, urljoin(self.address, path), data=data)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StudyError(
                f"{self.address} does not answer ({error}); check that the study is served there"
            ) from error
        taken = time.perf_counter() - began
        self._client.cookies.clear()
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in reply.headers.raw)
        target = reply.request.url.raw_path.decode()
        return Reply(method, target, reply.status_code, headers, reply.content, reply.num_bytes_downloaded, taken)


class Visitor:
    """Takes part once."""

    def __init__(self, browser: Browser, images: Mapping[str, StimulusImage], random: Random):
        self.browser, self.images, self.random = browser, images, random
        self.visit = Visit()
        self._loaded: set[str] = set()

    def walk(self) -> None:
        """Go from the consent to the debriefing."""
        reply, page = self._open(self.browser.address)
        self.visit.before.append(reply)
        if page.form is None or not page.form.checkboxes:
            raise StudyError(f"nobody can take part at {self.browser.address}: {' '.join(page.paragraphs)}")
        link = self._follow(self._other("POST", page.form.action, page.form.fields | page.form.checkboxes))
        self.visit.secrets.add(link.rpartition("/")[2])
        reply, page = self._open(link)
        while page.form is not None and "trial" in page.form.fields:
            if len(self.visit.screens) == MAX_SCREENS:
                raise StudyError(
                    f"{self.browser.address} does not end after {MAX_SCREENS} questions; "
                    "check that the study is served there"
                )
            screen = self._record(reply, page.form, page.beside)
            reply, page = self._open(self._follow(self._answer(screen)))
        if len(page.codes) != 2:
            raise StudyError(f"{self.browser.address} led to a page without codes: {' '.join(page.paragraphs)}")
        self.visit.after.append(reply)
        infer_kinds(self.visit.screens)
        self._forge()
        self._measure()
        self.visit.withdrawal_code = page.codes[1]
        self.visit.secrets |= set(page.codes)

    def _open(self, path: str) -> tuple[Reply, Page]:
        """Return a page, and load its style sheets and scripts, each once."""
        reply = self.browser.send("GET", path)
        page = parse_page(reply.text)
        options = page.form.options if page.form else []
        images = {*page.beside, *(option.image for option in options)}
        for file in page.files:
            if file not in images and file not in self._loaded:
                self._loaded.add(file)
                self._other("GET", file)
        return reply, page

    def _other(self, method: str, path: str, data: Mapping[str, str] | None = None) -> Reply:
        reply = self.browser.send(method, path, data)
        self.visit.before.append(reply)
        return reply

    def _follow(self, reply: Reply) -> str:
        if reply.status != 303:
            text = " ".join(parse_page(reply.text).paragraphs)
            raise StudyError(f"{self.browser.address} did not redirect ({reply.status}): {text}")
        return reply.header("location")

    def _record(self, page: Reply, form: Form, beside: Iterable[str]) -> Screen:
        """Load the images of a question in random order, and send an invalid answer."""
        images = [option.image for option in form.options if option.image is not None]
        requests: list[tuple[str, int | None]] = [(image, position) for position, image in enumerate(images, 1)]
        requests += [(image, None) for image in beside]
        views: dict[tuple[str, int | None], ImageView] = {}
        for image, position in self.random.sample(requests, len(requests)):
            reply = self.browser.send("GET", image)
            views[image, position] = ImageView(self._label(reply), position, reply)
        screen = Screen(
            len(self.visit.screens) + 1,
            page,
            form,
            [views[request] for request in requests if request[1] is not None],
            [views[request] for request in requests if request[1] is None],
        )
        self.visit.screens.append(screen)
        self.visit.secrets |= {
            form.fields["trial"],
            form.fields["response"],
            *(view.token for view in screen.views),
            *(view.reply.path for view in screen.views),
        }
        self._other("POST", form.data["shown"], {"trial": form.fields["trial"]})
        position = self.random.randint(1, len(screen.options))
        invalid = form.fields | {"response": "-", "choice": str(position)}
        screen.refused = position, self.browser.send("POST", form.action, invalid)
        return screen

    def _label(self, reply: Reply) -> str:
        return label(self.images.get(hashlib.sha256(reply.body).hexdigest()))

    def _answer(self, screen: Screen) -> Reply:
        """Send a random choice."""
        form = screen.form
        values = [option.value for option in form.options if option.name == "choice"]
        fields = form.fields | {"choice": self.random.choice(values), "milliseconds": "1000", "input": "mouse"}
        return self._other("POST", form.action, fields)

    def _forge(self) -> None:
        """Request addresses close to real ones: a changed token, a longer one, and the sha256 of the image."""
        by_label = {view.label: view for view in self.visit.views}
        for name, view in by_label.items():
            folder, token = urlsplit(view.reply.path).path.rsplit("/", 1)
            forged = {
                "changed": token[:-1] + ("0" if token[-1] != "0" else "1"),
                "longer": f"{token}0",
                "sha256": hashlib.sha256(view.reply.body).hexdigest(),
            }
            self.visit.forged += [
                (how, name, self.browser.send("GET", f"{folder}/{token}")) for how, token in forged.items()
            ]

    def _measure(self) -> None:
        """Request some options of every label again, in random order, so that a busy moment affects all labels."""
        options = [view for screen in self.visit.screens for view in screen.options]
        chosen: list[ImageView] = []
        for name in sorted({view.label for view in options}):
            own = [view for view in options if view.label == name]
            chosen += self.random.sample(own, min(TIMING_SAMPLE, len(own)))
        times: dict[int, list[Reply]] = {index: [] for index, _ in enumerate(chosen)}
        for _ in range(TIMING_ROUNDS):
            for index in self.random.sample(range(len(chosen)), len(chosen)):
                times[index].append(self.browser.send("GET", chosen[index].reply.path))
        self.visit.repeated = [(chosen[index], replies) for index, replies in times.items()]
