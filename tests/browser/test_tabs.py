"""The tabs in headless Chromium: every tab, wide and on a phone, light and dark; shortcuts; the Library."""

import shutil

import pytest

from ghibli_studio.generation import gallery
from ghibli_studio.ui.components.shortcuts import TABS
from ghibli_studio.workspace.project import Workspace
from tests.support.browsing import BROWSER_MARKS, MINUTE, open_tab, opened, screenshot, settled
from tests.support.servers import studio

pytestmark = [*BROWSER_MARKS, pytest.mark.integration]
NAMES = tuple(TABS.values())
RULES = {"light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "dark": ["color-contrast"]}
# every control whose center is covered by an element that is neither inside nor around it
COVERED = """() => [...document.querySelectorAll("button, input, textarea, select, a[href], summary")].flatMap(one => {
  const box = one.getBoundingClientRect(), seen = one.checkVisibility({checkOpacity: true, checkVisibilityCSS: true});
  if (!seen || box.width < 3 || box.height < 3) return [];
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  if (!top || one.contains(top) || top.contains(one) || one.closest("label")?.contains(top)) return [];
  return [`${one.tagName} ${one.id || one.className} under ${top.tagName} ${top.id || top.className}`];
})"""


@pytest.fixture(scope="module")
def tabs_project(generated_project, tmp_path_factory):
    """This module's own copy of a project with a trained adapter and an image set."""
    root = tmp_path_factory.mktemp("tabs") / "workspace"
    shutil.copytree(generated_project.workspace.root, root)
    return Workspace(root).project(generated_project.name)


@pytest.fixture(scope="module")
def address(tabs_project):
    """The address of a studio with that project."""
    with studio(tabs_project.workspace.root, tabs_project.workspace.root.parent / "log.txt") as address:
        yield address


@pytest.fixture(scope="module")
def plain_address(sample_workspace, tmp_path_factory):
    """The address of a studio with a dataset and nothing else."""
    folder = tmp_path_factory.mktemp("plain")
    shutil.copytree(sample_workspace.root, folder / "workspace")
    with studio(folder / "workspace", folder / "log.txt") as address:
        yield address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_wide_and_on_a_phone(browser, address, scheme):
    """No error, no horizontal scrolling, nothing covered, every tab in its row, and axe finds nothing serious."""
    from axe_playwright_python.sync_playwright import Axe

    axe, found = Axe(), []
    with opened(browser, address, color_scheme=scheme) as page:
        page.wait_for_selector("#shortcuts", state="attached", timeout=MINUTE)
        for name in NAMES:
            open_tab(page, name)
            for width in (1280, 390, 360):
                page.set_viewport_size({"width": width, "height": 4000})
                settled(page)
                if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                    found.append(f"{name} at {width} px: {wide} px wide")
                found += [f"{name} at {width} px: {one}" for one in page.evaluate(COVERED)]
                if page.locator("#tabs .overflow-menu:visible").count():
                    found.append(f"{name} at {width} px: a tab is in the overflow menu")
                if (scheme, width) == ("dark", 390) or width == 360:
                    continue  # the dark scheme differs only in colors, which are the same at every width
                violations = axe.run(page, options={"runOnly": RULES[scheme]}).response["violations"]
                found += [
                    f"{name} at {width} px: {one['id']} {node['html'][:200]}"
                    for one in violations
                    if one["impact"] in ("serious", "critical")
                    for node in one["nodes"]
                ]
    assert not found, "\n".join(found)


def test_shortcuts_open_every_tab_and_the_search(browser, address, tabs_project):
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
        page.keyboard.type("petra g t ?")  # typed into the field, not a shortcut
        assert page.locator("#shortcuts[open]").count() == 0
        page.wait_for_selector("#tab-library-button[aria-selected=true]")
        page.keyboard.press("Control+a")
        page.keyboard.type("petra")
        page.keyboard.press("Control+Enter")
        count = len(gallery.search(tabs_project, gallery.Search(words="petra")))
        page.locator("#search-summary").filter(has_text=f"{count} image").wait_for(timeout=MINUTE)


def test_an_image_from_the_library_fills_the_form_and_is_generated_again(browser, address, tabs_project):
    (entry,) = gallery.search(tabs_project, gallery.Search(words="petra", method="base", kind="generated"))
    with opened(browser, address) as page:
        page.wait_for_selector("#shortcuts", state="attached", timeout=MINUTE)
        open_tab(page, "Generate")
        page.wait_for_selector("#generate-models input:checked >> nth=1", timeout=MINUTE)  # by the first refresh
        open_tab(page, "Library")
        page.wait_for_selector("#library-images button >> nth=3", timeout=MINUTE)
        page.locator("#library-images button").filter(has_text="Base · Petra").click()
        page.locator("#image-facts").filter(has_text="seed 7").wait_for(timeout=MINUTE)
        page.click("#reuse-image")
        page.wait_for_function("document.querySelector('#generate-seed input')?.value === '7'", timeout=MINUTE)
        assert page.locator("#prompts textarea").input_value() == "Petra, Jordan, a temple"
        assert page.locator("#generate-models input:checked").count() == 1
        before = len(tabs_project.image_sets())
        page.click("#generate")
        page.wait_for_function("!document.querySelector('#generate-progress .bar')", timeout=MINUTE)
        page.wait_for_selector("#images img", timeout=MINUTE)
        for _ in range(100):
            if len(tabs_project.image_sets()) > before and list(tabs_project.image_sets()[0].glob("*.png")):
                break
            page.wait_for_timeout(100)
    (file,) = tabs_project.image_sets()[0].glob("*.png")
    again = gallery.load_entry(tabs_project, file, "generated")
    assert {**again.metadata, "machine": None} == {**entry.metadata, "machine": None}  # the server has more threads


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_fits_a_phone_before_any_training(browser, plain_address, tmp_path, scheme):
    options = {"viewport": {"width": 390, "height": 800}, "color_scheme": scheme}
    with opened(browser, plain_address, **options) as page:
        for name in NAMES:
            open_tab(page, name)
            settled(page)
            screenshot(page, tmp_path, f"{name}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
