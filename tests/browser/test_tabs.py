"""The whole page in headless Chromium: every tab, wide and on a phone, light and dark; by keyboard; the Library."""

import pytest

from ghibli_studio.generation import gallery
from ghibli_studio.ui.components.shortcuts import TABS
from tests.browser.test_first_steps import MINUTE, opened, studio, tab
from tests.conftest import CHROMIUM

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
NAMES = tuple(TABS.values())
RULES = {"light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "dark": ["color-contrast"]}
# what a person can press or fill in, and what lies over its middle though it is neither part of it nor around it
COVERED = """() => [...document.querySelectorAll("button, input, textarea, select, a[href], summary")].flatMap(one => {
  const box = one.getBoundingClientRect(), seen = one.checkVisibility({checkOpacity: true, checkVisibilityCSS: true});
  if (!seen || box.width < 3 || box.height < 3) return [];
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  if (!top || one.contains(top) || top.contains(one) || one.closest("label")?.contains(top)) return [];
  return [`${one.tagName} ${one.id || one.className} under ${top.tagName} ${top.id || top.className}`];
})"""


def settled(page):
    """Nothing has been added or changed for a third of a second."""
    page.evaluate("""() => new Promise((done) => {
      let quiet = setTimeout(done, 350);
      const watch = new MutationObserver(() => { clearTimeout(quiet); quiet = setTimeout(done, 350); });
      watch.observe(document.body, {subtree: true, childList: true});
      setTimeout(done, 6000);
    })""")


@pytest.fixture(scope="module")
def address(generated_project, tmp_path_factory):
    """A studio with a trained adapter and a set of pictures."""
    with studio(generated_project.workspace.root, tmp_path_factory.mktemp("walk") / "log.txt") as place:
        yield place


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_wide_and_on_a_phone(browser, address, scheme):
    """No error, nothing to scroll to the side, nothing covered, and axe finds nothing serious."""
    from axe_playwright_python.sync_playwright import Axe

    axe, found = Axe(), []
    with opened(browser, address, color_scheme=scheme) as page:
        page.wait_for_selector("#shortcuts", state="attached", timeout=MINUTE)
        for name in NAMES:
            tab(page, name)
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 4000})
                settled(page)
                if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                    found.append(f"{name} at {width} px: {wide} px wide")
                found += [f"{name} at {width} px: {one}" for one in page.evaluate(COVERED)]
                if (scheme, width) == ("dark", 390):
                    continue  # in the dark only the colors are others, and they are the same at every width
                violations = axe.run(page, options={"runOnly": RULES[scheme]}).response["violations"]
                found += [
                    f"{name} at {width} px: {one['id']} {node['html'][:200]}"
                    for one in violations
                    if one["impact"] in ("serious", "critical")
                    for node in one["nodes"]
                ]
        assert page.locator("#tabs .overflow-menu:visible").count() == 0  # all tabs fit on the phone
    assert not found, "\n".join(found)


def test_keys_reach_every_tab_and_the_search(browser, address, generated_project):
    with opened(browser, address) as page:
        page.wait_for_selector("#shortcuts", state="attached", timeout=MINUTE)
        settled(page)
        for letter, name in TABS.items():
            page.keyboard.press("g")
            page.keyboard.press(letter)
            page.wait_for_selector(f"#tabs > .tab-wrapper [role=tab][aria-selected=true]:has-text('{name}')")
        page.keyboard.press("?")
        page.wait_for_selector("#shortcuts[open]")
        assert page.evaluate("document.activeElement.closest('#shortcuts') !== null")
        page.keyboard.press("Escape")
        page.wait_for_selector("#shortcuts:not([open])", state="attached")
        page.keyboard.press("/")
        page.wait_for_selector("#search-words :is(input, textarea):focus")
        page.keyboard.type("petra g t ?")  # typed, not obeyed
        assert page.locator("#shortcuts[open]").count() == 0
        page.wait_for_selector("#tab-library-button[aria-selected=true]")
        page.keyboard.press("Control+a")
        page.keyboard.type("petra")
        page.keyboard.press("Control+Enter")
        count = len(gallery.search(generated_project, gallery.Search(words="petra")))
        page.locator("#search-summary").filter(has_text=f"{count} picture").wait_for(timeout=MINUTE)


def test_a_image_from_the_library_fills_the_form_and_is_generated_again(browser, address, generated_project):
    (entry,) = gallery.search(generated_project, gallery.Search(words="petra", method="base", kind="generated"))
    with opened(browser, address) as page:
        page.wait_for_selector("#shortcuts", state="attached", timeout=MINUTE)
        tab(page, "Library")
        page.wait_for_selector("#library-images button >> nth=3", timeout=MINUTE)
        page.locator("#library-images button").filter(has_text="Base · Petra").click()
        page.locator("#image-facts").filter(has_text="seed 7").wait_for(timeout=MINUTE)
        page.click("#reuse-image")
        page.wait_for_function("document.querySelector('#generate-seed input')?.value === '7'", timeout=MINUTE)
        assert page.locator("#prompts textarea").input_value() == "Petra, Jordan, a temple"
        assert page.locator("#generate-models input:checked").count() == 1
        before = len(generated_project.image_sets())
        page.click("#generate")
        page.wait_for_function("!document.querySelector('#generate-progress .bar')", timeout=MINUTE)
        page.wait_for_selector("#images img", timeout=MINUTE)
        for _ in range(100):
            if len(generated_project.image_sets()) > before and list(generated_project.image_sets()[0].glob("*.png")):
                break
            page.wait_for_timeout(100)
    (file,) = generated_project.image_sets()[0].glob("*.png")
    again = gallery.load_entry(generated_project, file, "generated")
    assert {**again.metadata, "machine": None} == {**entry.metadata, "machine": None}  # the server has more threads
