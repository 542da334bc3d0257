"""People who press buttons by lot, each in a browser of their own; what they met is counted.

A person acts as people do: looks for a while, starts something, does not wait for it, stops it, reloads, goes away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from playwright.sync_api import Browser, Error, Page

PATIENCE_MS = 60_000
TABS = ("Data set", "Train", "Generate", "Evaluate", "Study", "Library")
SIZES = ({"width": 1280, "height": 900}, {"width": 390, "height": 800})
EXPECTED = (
    "net::ERR_",
    "Failed to load resource",
    "Connection errored",
    "WebSocket",
    "fetch",
    "network error",
    "AbortError",
    "(reading 'offsetWidth')",
)
"""What a browser writes into its console when the server is killed under it or a page is left in the middle of an
answer; the last is Gradio's line plot, which measures itself after it was hidden, and is none the worse for it."""


@dataclass
class Met:
    """What all people together did and met."""

    actions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Actions that could not be done though the app was there, and errors of the page, one line each."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Sentences of the page, said to wrong input and to what was not possible just then."""


class User:
    """One person."""

    def __init__(self, browser: Browser, address: str, number: int, seed: int, met: Met, bad_file: Path):
        self.browser, self.address, self.number, self.met = browser, address, number, met
        self.bad_file = bad_file
        self.random = Random(f"user {number} of {seed}")
        self.page: Page | None = None
        self.choices: tuple[tuple[int, Callable[[Page], None]], ...] = (
            (5, self.look),
            (4, self.draw),
            (2, self.stop),
            (2, self.train),
            (2, self.cancel),
            (1, self.resume),
            (2, self.evaluate),
            (1, self.style_photograph),
            (3, self.wrong),
            (2, self.reload),
            (1, self.another),
            (2, self.compare),
            (1, self.count),
            (3, self.search),
            (2, self.use_again),
            (1, self.grid),
            (1, self.compare_adapters),
        )

    def act(self) -> None:
        """Do one thing; a failure is noted, and the page opened anew."""
        weights, actions = zip(*self.choices)
        action = self.random.choices(actions, weights)[0]
        self.met.actions[action.__name__] += 1
        try:
            action(self.opened())
            self._read_toasts()
        except Error as error:
            first = str(error).strip().splitlines()[0]
            self.met.failures.append(f"user {self.number}, {action.__name__}: {first}")
            self.leave()

    def opened(self) -> Page:
        """The person's page, opened if it is not."""
        if self.page is None:
            self.page = self.browser.new_page(viewport=self.random.choice(SIZES))
            self.page.set_default_timeout(PATIENCE_MS)
            self.page.on("pageerror", lambda error: self._complain(str(error)))
            self.page.on("console", lambda told: self._complain(told.text) if told.type == "error" else None)
            self.page.goto(self.address)
            self.page.wait_for_selector("#tabs")
        return self.page

    def leave(self) -> None:
        """Close the page, whatever it is at."""
        if self.page is not None:
            self.page.close()
            self.page = None

    def look(self, page: Page) -> None:
        """Go to some tab and look."""
        self._tab(page, self.random.choice(TABS))

    def draw(self, page: Page) -> None:
        """Draw a prompt in few steps, and stay or not."""
        self._tab(page, "Generate")
        prompt = f"a tower by the sea {self.random.randrange(1000)}, ghibli style \N{SNOWMAN}"
        page.fill("#prompts textarea", prompt)
        page.fill("#draw-num_inference_steps input", str(self.random.randrange(2, 6)))
        page.click("#draw")
        page.wait_for_timeout(self.random.randrange(500, 6000))

    def stop(self, page: Page) -> None:
        """Stop what is drawn, if anything is."""
        self._tab(page, "Generate")
        page.click("#stop")

    def train(self, page: Page) -> None:
        """Queue a short run, unless several wait already."""
        self._tab(page, "Train")
        if page.locator("#runs .chip.running, #runs .chip.waiting").count() < 3:
            page.get_by_role("radio", name="quick").first.check()
            page.click("#train")
            page.wait_for_timeout(1500)

    def cancel(self, page: Page) -> None:
        """Cancel the run that is chosen."""
        self._tab(page, "Train")
        if page.locator("#cancel").is_visible():
            page.click("#cancel")

    def resume(self, page: Page) -> None:
        """Go on with the run that is chosen."""
        self._tab(page, "Train")
        if page.locator("#resume").is_visible():
            page.click("#resume")

    def evaluate(self, page: Page) -> None:
        """Begin an evaluation of two landmarks, or stop one."""
        self._tab(page, "Evaluate")
        if not page.locator("#evaluate").is_visible():
            return
        if self.random.random() < 0.5:
            page.fill("#evaluate-landmarks input", "2")
            page.click("#evaluate")
            page.wait_for_timeout(self.random.randrange(500, 5000))
        else:
            page.click("#evaluate-stop")

    def style_photograph(self, page: Page) -> None:
        """Style a photograph that is none."""
        self._tab(page, "Data set")
        self._tab(page, "One photograph")
        field = page.locator("#one-file input[type=file]")
        if field.count():  # else the file of the last time is still there
            field.set_input_files(self.bad_file)
            page.wait_for_timeout(1000)
        page.click("#one-go")

    def wrong(self, page: Page) -> None:
        """Ask for what is out of bounds."""
        self._tab(page, "Generate")
        page.fill("#draw-guidance_scale input", "-3")
        page.click("#draw")
        page.wait_for_timeout(1000)
        page.fill("#draw-guidance_scale input", "7.5")

    def reload(self, page: Page) -> None:
        """Reload the page in the middle of whatever goes on."""
        page.reload()
        page.wait_for_selector("#tabs")

    def another(self, page: Page) -> None:
        """Go away and come back with another device."""
        self.leave()
        self.opened()

    def compare(self, page: Page) -> None:
        """Look at an older set of pictures, closely."""
        self._tab(page, "Generate")
        if page.locator("#pictures .thumbnail-item").count():
            page.locator("#pictures .thumbnail-item").first.click()
            page.keyboard.press("Escape")

    def count(self, page: Page) -> None:
        """Look at the data set's statistics."""
        self._tab(page, "Data set")
        self._tab(page, "The set")
        if not page.locator("#set-count").is_visible():
            page.get_by_role("button", name="The set in numbers").click()
        page.click("#set-count")

    def search(self, page: Page) -> None:
        """Look for pictures in the library, and turn the page."""
        self._tab(page, "Library")
        page.fill("#find-words :is(input, textarea)", self.random.choice(("tower", "Petra", "", "nothing like it")))
        page.click("#find")
        page.wait_for_timeout(1500)

    def use_again(self, page: Page) -> None:
        """Take the settings of a picture from the library."""
        self._tab(page, "Library")
        if page.locator("#library-pictures .thumbnail-item").count():
            page.locator("#library-pictures .thumbnail-item").first.click()
            page.wait_for_timeout(1500)
            if page.locator("#use-picture").is_visible():
                page.click("#use-picture")

    def grid(self, page: Page) -> None:
        """Begin a small grid, and stop it or not."""
        self._tab(page, "Generate")
        if not page.locator("#grid-go").is_visible():
            page.get_by_role("button", name="Grid: two settings").click()
        page.fill("#draw-num_inference_steps input", "2")
        page.fill("#grid-xs :is(input, textarea)", "0, 1")
        page.fill("#grid-ys :is(input, textarea)", str(self.random.randrange(1000)))
        page.click("#grid-go")
        page.wait_for_timeout(self.random.randrange(500, 6000))
        if self.random.random() < 0.5:
            page.click("#grid-stop")

    def compare_adapters(self, page: Page) -> None:
        """Put two adapters of the library beside each other."""
        self._tab(page, "Library")
        self._tab(page, "Adapters")
        if not page.locator("#adapters-compare-go").is_visible():
            page.get_by_role("button", name="Compare two").click()
        page.click("#adapters-compare-go")
        page.wait_for_timeout(1500)
        self._tab(page, "Pictures")

    def _tab(self, page: Page, name: str) -> None:
        found = page.get_by_role("tab", name=name, exact=True)
        if not found.count() or not found.first.is_visible():  # on a phone some hide behind the menu of tabs
            return
        found.first.click()
        page.wait_for_timeout(self.random.randrange(300, 1500))

    def _read_toasts(self) -> None:
        assert self.page is not None
        with suppress(Error):  # it may go by itself in this moment
            for toast in self.page.locator(".toast-body").all()[:5]:
                self.met.refusals[" ".join(toast.inner_text(timeout=2000).split())[:120]] += 1
            for close in self.page.locator(".toast-close").all()[:5]:
                close.click(timeout=2000, force=True)

    def _complain(self, text: str) -> None:
        if not any(word in text for word in EXPECTED):
            self.met.failures.append(f"user {self.number}, console: {text[:200]}")
