"""A visit to a served study as one participant, over HTTP: every question, all its pictures, and some wrong doors.

What is kept of it is `blindness_visit`; how a page is read as a form is `browsing`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from random import Random
from urllib.parse import urljoin, urlsplit

import httpx

from study import StudyError
from study.blindness.visit import Reply, Screen, View, Visit, label, name_kinds
from study.design.spec import Picture
from study.web.html_form import Form, Page, read

PATIENCE = 30.0
"""Seconds for one answer."""
MOST_SCREENS = 200
ROUNDS = 2
"""How often a picture is asked for again, to measure how long it takes."""
SAMPLE = 8
"""Pictures of each label that are measured so."""


def visit(address: str, key: Mapping[str, Picture], random: Random) -> Visit:
    """Take part from the consent to the debrief and look at everything closely.

    `key` tells the picture behind the sha256 of served bytes. StudyError if nobody can take part there.
    """
    with Browser(address) as browser:
        visitor = Visitor(browser, key, random)
        visitor.walk()
        return visitor.visit


def leave(address: str, visit: Visit) -> None:
    """Withdraw, and keep what that shows."""
    with Browser(address) as browser:
        where = f"{browser.root}/study/withdraw"
        visit.after += [browser.send("GET", where), browser.send("POST", where, {"code": visit.withdrawal_code})]


class Browser:
    """Sends requests, with neither cookies nor a cache, and follows no redirect."""

    def __init__(self, address: str):
        self.address = address
        path = urlsplit(address).path
        if not path.endswith("/study"):
            raise StudyError(f"the address is {address}; give the consent's, which ends in /study")
        self.root = path.removesuffix("/study")
        """What stands before /study in every path."""

    def __enter__(self) -> Browser:
        self._client = httpx.Client(timeout=PATIENCE, trust_env=False, follow_redirects=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, method: str, path: str, data: Mapping[str, str] | None = None) -> Reply:
        """One request; `path` may be a whole address. StudyError where no answer comes."""
        began = time.perf_counter()
        try:
            reply = self._client.request(method, urljoin(self.address, path), data=data)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StudyError(f"{self.address} does not answer ({error}); is the study served there?") from error
        taken = time.perf_counter() - began
        self._client.cookies.clear()
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in reply.headers.raw)
        target = reply.request.url.raw_path.decode()
        return Reply(method, target, reply.status_code, headers, reply.content, reply.num_bytes_downloaded, taken)


class Visitor:
    """Walks once."""

    def __init__(self, browser: Browser, key: Mapping[str, Picture], random: Random):
        self.browser, self.key, self.random = browser, key, random
        self.visit = Visit()
        self._loaded: set[str] = set()

    def walk(self) -> None:
        """From the consent to the debrief."""
        reply, page = self._open(self.browser.address)
        self.visit.before.append(reply)
        if page.form is None or not page.form.boxes:
            raise StudyError(f"nobody can take part at {self.browser.address}: {' '.join(page.paragraphs)}")
        link = self._follow(self._other("POST", page.form.action, page.form.fields | page.form.boxes))
        self.visit.secrets.add(link.rpartition("/")[2])
        reply, page = self._open(link)
        while page.form is not None and "trial" in page.form.fields:
            if len(self.visit.screens) == MOST_SCREENS:
                raise StudyError(f"{self.browser.address} has no end after {MOST_SCREENS} questions; is it this study?")
            screen = self._look(reply, page.form, page.beside)
            reply, page = self._open(self._follow(self._answer(screen)))
        if len(page.codes) != 2:
            raise StudyError(f"{self.browser.address} led to a page without codes: {' '.join(page.paragraphs)}")
        self.visit.after.append(reply)
        name_kinds(self.visit.screens)
        self._forge()
        self._measure()
        self.visit.withdrawal_code = page.codes[1]
        self.visit.secrets |= set(page.codes)

    def _open(self, path: str) -> tuple[Reply, Page]:
        """A page with the style sheets and scripts that it loads, each once."""
        reply = self.browser.send("GET", path)
        page = read(reply.text)
        options = page.form.options if page.form else []
        pictures = {*page.beside, *(option.image for option in options)}
        for file in page.files:
            if file not in pictures and file not in self._loaded:
                self._loaded.add(file)
                self._other("GET", file)
        return reply, page

    def _other(self, method: str, path: str, data: Mapping[str, str] | None = None) -> Reply:
        reply = self.browser.send(method, path, data)
        self.visit.before.append(reply)
        return reply

    def _follow(self, reply: Reply) -> str:
        if reply.status != 303:
            raise StudyError(
                f"{self.browser.address} does not go on ({reply.status}): {' '.join(read(reply.text).paragraphs)}"
            )
        return reply.header("location")

    def _look(self, page: Reply, form: Form, beside: Iterable[str]) -> Screen:
        """Load the pictures of a question in any order, and try an answer that cannot be taken."""
        wanted = [
            (option.image, position)
            for position, option in enumerate((one for one in form.options if one.image is not None), 1)
        ]
        wanted += [(image, None) for image in beside]
        views = {}
        for image, position in self.random.sample(wanted, len(wanted)):
            reply = self.browser.send("GET", image)
            views[image, position] = View(self._label(reply), position, reply)
        screen = Screen(
            len(self.visit.screens) + 1,
            page,
            form,
            [views[one] for one in wanted if one[1] is not None],
            [views[one] for one in wanted if one[1] is None],
        )
        self.visit.screens.append(screen)
        self.visit.secrets |= {
            form.fields["trial"],
            form.fields["response"],
            *(view.token for view in screen.views),
            *(view.reply.path for view in screen.views),
        }
        self._other("POST", form.data["shown"], {"trial": form.fields["trial"]})
        at = self.random.randint(1, len(screen.options))
        screen.refused = at, self.browser.send("POST", form.action, form.fields | {"response": "-", "choice": str(at)})
        return screen

    def _label(self, reply: Reply) -> str:
        return label(self.key.get(hashlib.sha256(reply.body).hexdigest()))

    def _answer(self, screen: Screen) -> Reply:
        """Any of the choices."""
        form = screen.form
        values = [option.value for option in form.options if option.name == "choice"]
        sent = form.fields | {"choice": self.random.choice(values), "milliseconds": "1000", "input": "mouse"}
        return self._other("POST", form.action, sent)

    def _forge(self) -> None:
        """Addresses near those of pictures: a changed token, a longer one, and the sha256 of the picture."""
        some = {view.label: view for view in self.visit.views}
        for name, view in some.items():
            folder, token = urlsplit(view.reply.path).path.rsplit("/", 1)
            forged = {
                "changed": token[:-1] + ("0" if token[-1] != "0" else "1"),
                "longer": f"{token}0",
                "sha256": hashlib.sha256(view.reply.body).hexdigest(),
            }
            self.visit.forged += [
                (how, name, self.browser.send("GET", f"{folder}/{one}")) for how, one in forged.items()
            ]

    def _measure(self) -> None:
        """Ask for some options of every label again and again, in turns, so that a busy moment meets all."""
        options = [view for screen in self.visit.screens for view in screen.options]
        chosen: list[View] = []
        for name in sorted({view.label for view in options}):
            of_it = [view for view in options if view.label == name]
            chosen += self.random.sample(of_it, min(SAMPLE, len(of_it)))
        times: dict[int, list[Reply]] = {index: [] for index, _ in enumerate(chosen)}
        for _ in range(ROUNDS):
            for index in self.random.sample(range(len(chosen)), len(chosen)):
                times[index].append(self.browser.send("GET", chosen[index].reply.path))
        self.visit.again = [(chosen[index], replies) for index, replies in times.items()]
