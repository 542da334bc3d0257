"""Helpers of the tests that drive the page in headless Chromium."""

from contextlib import contextmanager

import pytest

from tests.conftest import CHROMIUM

MINUTE = 60_000
BROWSER_MARKS = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]


@contextmanager
def opened(browser, address, **options):
    """Open the page; fail the test on any error in the browser's console."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#tabs", timeout=MINUTE)
    yield page
    page.close()
    assert errors == []


def open_tab(page, name):
    """Click the tab, or its entry in the overflow menu where Gradio has put it."""
    tab = page.get_by_role("tab", name=name, exact=True)
    entry = page.locator(".overflow-dropdown button").get_by_text(name, exact=True)
    tab.or_(entry).first.wait_for(state="attached", timeout=MINUTE)
    if tab.count() == 0:
        page.locator(".overflow-menu").filter(has=entry).locator("> button").click()
        tab = entry
    tab.click()


def settled(page):
    """Wait until nothing has been added to the page or changed for a third of a second."""
    page.evaluate("""() => new Promise((done) => {
      let quiet = setTimeout(done, 350);
      const watch = new MutationObserver(() => { clearTimeout(quiet); quiet = setTimeout(done, 350); });
      watch.observe(document.body, {subtree: true, childList: true});
      setTimeout(done, 6000);
    })""")


def fill(page, widget, text):
    """Fill in a field until it keeps the text: an accordion that is still opening resets its fields."""
    field = page.locator(f"{widget} input, {widget} textarea").first
    for _ in range(20):
        settled(page)
        field.fill(text)
        page.keyboard.press("Tab")
        settled(page)
        if field.input_value() == text:
            return
    raise AssertionError(f"{widget} does not keep {text[:40]!r}")


def screenshot(page, folder, name):
    """Save the whole page as an image."""
    page.screenshot(path=folder / f"{name}.png", full_page=True)
