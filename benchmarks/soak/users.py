"""Users who press random buttons, each in a browser page of their own, and counts of what happened.

A user behaves like people do: looks for a while, starts something, does not wait for it, stops it, reloads, leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from playwright.sync_api import Browser, Error, Page, ViewportSize

TIMEOUT_MS = 60_000
TABS = ("Dataset", "Train", "Generate", "Evaluate", "Study", "Library")
SIZES: tuple[ViewportSize, ...] = ({"width": 1280, "height": 900}, {"width": 390, "height": 800})
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
"""Console messages of a browser whose server was killed, or whose page was left during a response. The last one is from
Gradio's line plot, which measures itself after it was hidden, and does no harm."""


@dataclass
class Observations:
    """What all users did, and what happened."""

    actions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Actions that failed although the app was running, and errors of the page, one line each."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Messages of the page about wrong input and about what was not possible at the moment."""


class User:
    """One user with one browser page."""

    def __init__(
        self, browser: Browser, address: str, number: int, seed: int, observations: Observations, bad_file: Path
    ):
        self.browser, self.address, self.number, self.observations = browser, address, number, observations
        self.bad_file = bad_file
        self.random = Random(f"user {number} of {seed}")
        self.page: Page | None = None
        self.choices: tuple[tuple[int, Callable[[Page], None]], ...] = (
            (5, self.view_tab),
            (4, self.generate),
            (2, self.stop),
            (2, self.train),
            (2, self.cancel),
            (1, self.resume),
            (2, self.evaluate),
            (1, self.stylize_photo),
            (3, self.invalid_input),
            (2, self.reload),
            (1, self.switch_device),
            (2, self.enlarge_image),
            (1, self.compute_statistics),
            (3, self.search),
            (2, self.reuse_settings),
            (1, self.grid),
            (1, self.compare_adapters),
        )

    def act(self) -> None:
        """Do one random action; after a failure, note it and close the page."""
        weights, actions = zip(*self.choices)
        action = self.random.choices(actions, weights)[0]
        self.observations.actions[action.__name__] += 1
        try:
            action(self.open_page())
            self._read_toasts()
        except Error as error:
            first = str(error).strip().splitlines()[0]
            self.observations.failures.append(f"user {self.number}, {action.__name__}: {first}")
            self.leave()

    def open_page(self) -> Page:
        """Return the user's page; open it if it is closed."""
        if self.page is None:
            self.page = self.browser.new_page(viewport=self.random.choice(SIZES))
            self.page.set_default_timeout(TIMEOUT_MS)
            self.page.on("pageerror", lambda error: self._complain(str(error)))
            self.page.on("console", lambda message: self._complain(message.text) if message.type == "error" else None)
            self.page.goto(self.address)
            self.page.wait_for_selector("#tabs")
        return self.page

    def leave(self) -> None:
        """Close the page, whatever it is doing."""
        if self.page is not None:
            self.page.close()
            self.page = None

    def view_tab(self, page: Page) -> None:
        """Open a random tab."""
        self._tab(page, self.random.choice(TABS))

    def generate(self, page: Page) -> None:
        """Generate a prompt with few steps."""
        self._tab(page, "Generate")
        prompt = f"a tower by the sea {self.random.randrange(1000)}, ghibli style \N{SNOWMAN}"
        page.fill("#prompts textarea", prompt)
        page.fill("#generate-num_inference_steps input", str(self.random.randrange(2, 6)))
        page.click("#generate")
        page.wait_for_timeout(self.random.randrange(500, 6000))

    def stop(self, page: Page) -> None:
        """Stop the generation, if there is one."""
        self._tab(page, "Generate")
        page.click("#stop")

    def train(self, page: Page) -> None:
        """Queue a short run, unless several are queued already."""
        self._tab(page, "Train")
        if page.locator("#runs .chip.running, #runs .chip.queued").count() < 3:
            page.get_by_role("radio", name="quick").first.check()
            page.click("#train")
            page.wait_for_timeout(1500)

    def cancel(self, page: Page) -> None:
        """Cancel the selected run."""
        self._tab(page, "Train")
        if page.locator("#cancel").is_visible():
            page.click("#cancel")

    def resume(self, page: Page) -> None:
        """Resume the selected run."""
        self._tab(page, "Train")
        if page.locator("#resume").is_visible():
            page.click("#resume")

    def evaluate(self, page: Page) -> None:
        """Start an evaluation of two landmarks, or stop one."""
        self._tab(page, "Evaluate")
        if not page.locator("#evaluate").is_visible():
            return
        if self.random.random() < 0.5:
            page.fill("#evaluate-landmarks input", "2")
            page.click("#evaluate")
            page.wait_for_timeout(self.random.randrange(500, 5000))
        else:
            page.click("#evaluate-stop")

    def stylize_photo(self, page: Page) -> None:
        """Stylize a file that is not a photo."""
        self._tab(page, "Dataset")
        self._tab(page, "Stylize one photo")
        field = page.locator("#single-file input[type=file]")
        if field.count():  # else the previous file is still there
            field.set_input_files(self.bad_file)
            page.wait_for_timeout(1000)
        page.click("#single-go")

    def invalid_input(self, page: Page) -> None:
        """Enter a value that is out of bounds."""
        self._tab(page, "Generate")
        page.fill("#generate-guidance_scale input", "-3")
        page.click("#generate")
        page.wait_for_timeout(1000)
        page.fill("#generate-guidance_scale input", "7.5")

    def reload(self, page: Page) -> None:
        """Reload the page, whatever it is doing."""
        page.reload()
        page.wait_for_selector("#tabs")

    def switch_device(self, page: Page) -> None:
        """Leave and return with another device."""
        self.leave()
        self.open_page()

    def enlarge_image(self, page: Page) -> None:
        """Enlarge an image of the current set."""
        self._tab(page, "Generate")
        if page.locator("#images .thumbnail-item").count():
            page.locator("#images .thumbnail-item").first.click()
            page.keyboard.press("Escape")

    def compute_statistics(self, page: Page) -> None:
        """Compute the dataset's statistics."""
        self._tab(page, "Dataset")
        self._tab(page, "Images")
        if not page.locator("#statistics-compute").is_visible():
            page.get_by_role("button", name="Dataset statistics").click()
        page.click("#statistics-compute")

    def search(self, page: Page) -> None:
        """Search for images in the library."""
        self._tab(page, "Library")
        page.fill("#search-words :is(input, textarea)", self.random.choice(("tower", "Petra", "", "nothing like it")))
        page.click("#search")
        page.wait_for_timeout(1500)

    def reuse_settings(self, page: Page) -> None:
        """Reuse the settings of an image in the library."""
        self._tab(page, "Library")
        if page.locator("#library-images .thumbnail-item").count():
            page.locator("#library-images .thumbnail-item").first.click()
            page.wait_for_timeout(1500)
            if page.locator("#reuse-image").is_visible():
                page.click("#reuse-image")

    def grid(self, page: Page) -> None:
        """Start a small X/Y plot, and stop it or not."""
        self._tab(page, "Generate")
        if not page.locator("#grid-go").is_visible():
            page.get_by_role("button", name="X/Y plot").click()
        page.fill("#generate-num_inference_steps input", "2")
        page.fill("#grid-xs :is(input, textarea)", "0, 1")
        page.fill("#grid-ys :is(input, textarea)", str(self.random.randrange(1000)))
        page.click("#grid-go")
        page.wait_for_timeout(self.random.randrange(500, 6000))
        if self.random.random() < 0.5:
            page.click("#grid-stop")

    def compare_adapters(self, page: Page) -> None:
        """Compare two adapters of the library."""
        self._tab(page, "Library")
        self._tab(page, "Adapters")
        if not page.locator("#adapters-compare-go").is_visible():
            page.get_by_role("button", name="Compare two adapters").click()
        page.click("#adapters-compare-go")
        page.wait_for_timeout(1500)
        self._tab(page, "Images")

    def _tab(self, page: Page, name: str) -> None:
        tabs = page.get_by_role("tab", name=name, exact=True)
        visible = [tab for tab in tabs.all() if tab.is_visible()]  # "Images" is in Dataset and in Library
        if not visible:  # on a phone, some tabs are in the overflow menu
            return
        visible[0].click()
        page.wait_for_timeout(self.random.randrange(300, 1500))

    def _read_toasts(self) -> None:
        if self.page is None:
            return
        with suppress(Error):  # a message may disappear by itself
            for toast in self.page.locator(".toast-body").all()[:5]:
                self.observations.refusals[" ".join(toast.inner_text(timeout=2000).split())[:120]] += 1
            for close in self.page.locator(".toast-close").all()[:5]:
                close.click(timeout=2000, force=True)

    def _complain(self, text: str) -> None:
        if not any(word in text for word in EXPECTED):
            self.observations.failures.append(f"user {self.number}, console: {text[:200]}")
