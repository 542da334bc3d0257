"""A participant in headless Chromium: by keyboard, on a phone, without a script, through everything that goes wrong.

And an experimenter in the Study tab, from an image set to the export. The page forbids `eval`, so waiting is for
selectors.
"""

import re
import subprocess
import sys
from contextlib import contextmanager

import pytest

from study.database.tokens import sha256
from study.store import Store
from tests.support.browsing import BROWSER_MARKS, MINUTE, open_tab
from tests.support.ports import free_port
from tests.support.servers import ROOT, lines_until, started
from tests.support.study_project import study_project
from tests.support.study_sample import answer_all, answer_one, live, query

pytestmark = [*BROWSER_MARKS, pytest.mark.integration]
QUESTIONS = {"practice": 1, "buy": 3, "landmark": 9, "style": 16, "blinding_check": 23}
"""A screen of each kind in the triad: block -> its number."""
BOARDS = {"view": 1, "buy": 16, "landmark": 17, "style": 18, "blinding_check": 19}
LOADED = "#trial:not(.waiting)"


class Server:
    """`python -m study serve` on one port, to be killed and started again."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "study", "serve", str(self.folder), "--port", str(self.port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        lines_until(self.process, "to try it out: ")

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/study"


@pytest.fixture(scope="module")
def triad(tmp_path_factory):
    """A server with a study for many, and its store."""
    folder = tmp_path_factory.mktemp("triad") / "study"
    live(folder, participants=60)
    with Server(folder) as server:
        yield server, Store(folder)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper") / "study"
    live(folder, instrument="paper", participants=60)
    with Server(folder) as server:
        yield server, Store(folder)


@contextmanager
def visiting(browser, errors=None, **options):
    """A page in a browser of its own; any error in its console fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    found = [] if errors is None else errors

    def listen(page):
        page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: found.append(str(error)))

    context.on("page", listen)
    yield context.new_page()
    context.close()
    assert errors is not None or found == []


def at(store, number):
    """The link of a new participant who has come to this question."""
    token = store.join("live", "1").token
    while store.current(token).number < number:
        answer_one(store, token)
    return token


def number_of(page):
    return int(re.match(r"Question (\d+) of", page.inner_text("#progress-text"))[1])


def arrived(page, number):
    """Wait until the page shows this question with its images."""
    page.wait_for_selector(f'progress[value="{number - 1}"]')
    page.wait_for_load_state()  # the script has run
    page.wait_for_selector(LOADED)


def answers(store, token):
    """(seq, choice, position, input) of this participant's answers."""
    return query(
        store,
        "SELECT t.seq, r.choice, r.position, r.input FROM response r JOIN trial t ON t.id = r.trial "
        "JOIN participant p ON p.id = t.participant WHERE p.token_sha256 = ? ORDER BY t.seq",
        sha256(token),
    )


def begin(page, address):
    """Consent with the mouse; returns the personal token."""
    page.goto(address)
    page.check("#agree")
    page.click("button")
    arrived(page, 1)
    return page.url.rsplit("/", 1)[1]


def test_a_whole_triad_by_keyboard_alone(browser, triad):
    server, store = triad
    with visiting(browser) as page:
        page.goto(server.address)
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expected = []
        for number in range(1, 28):
            arrived(page, number)
            offered = page.locator("input[name=choice]").evaluate_all("all => all.map(one => one.value)")
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.name") == "choice"
            shown = "label:has(input:focus-visible)"
            assert page.locator(shown).evaluate("one => getComputedStyle(one).outlineStyle") == "solid", number
            way = number % 3
            if way == 0:  # a number
                chosen = offered[number % len(offered)]
                page.keyboard.press(str(offered.index(chosen) + 1))
            elif way == 1:  # arrows: the first press goes from the first choice to the second
                chosen = offered[1]
                page.keyboard.press("ArrowDown")
            else:
                chosen = offered[-1]
                page.keyboard.press("ArrowUp")
            if number % 2:
                page.keyboard.press("Enter")
            else:  # by way of the button
                page.keyboard.press("Tab")
                assert page.evaluate("document.activeElement.type") == "submit"
                page.keyboard.press("Enter")
            expected.append((number, *((chosen, None) if chosen.isalpha() else ("image", int(chosen))), "keyboard"))
        page.wait_for_selector("h1:text-is('Thank you')")
        token = page.url.rsplit("/", 1)[1]
        assert answers(store, token) == expected
        assert {choice for _, choice, _, _ in expected} >= {"image", "none", "neither", "unsure"}
        assert page.locator("code").all_inner_texts() == [
            store.current(token).completion_code,
            store.current(token).withdrawal_code,
        ]


def test_keys_that_choose_nothing_do_nothing(browser, triad):
    server, store = triad
    token = at(store, QUESTIONS["buy"])
    with visiting(browser) as page:
        page.goto(f"{server.address}/p/{token}")
        arrived(page, QUESTIONS["buy"])
        page.keyboard.press("2")  # nothing has the focus yet, so this is no answer
        assert page.locator("input:checked").count() == 0
        page.keyboard.press("Tab")
        for key in ('"', "\\", "]", "0", "9", "Control+1", "Alt+2", "Escape", "Home"):
            page.keyboard.press(key)
        assert page.locator("input:checked").count() == 0
        page.keyboard.press("Enter")  # nothing is chosen: the browser says so and stays
        assert number_of(page) == QUESTIONS["buy"]
        page.focus("button[type=submit]")
        page.keyboard.press("2")
        assert page.locator("input:checked").count() == 0
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("4")
        assert page.locator("input:checked").get_attribute("value") == "none"
    assert len(answers(store, token)) == QUESTIONS["buy"] - 1


def test_refresh_back_and_a_second_tab_end_at_the_same_question(browser, triad):
    server, store = triad
    with visiting(browser) as page:
        token = begin(page, server.address)
        for number in (1, 2, 3):
            arrived(page, number)
            page.locator("input[name=choice]").first.check()
            page.click("button[type=submit]")
        arrived(page, 4)
        page.locator("input[name=choice]").nth(1).check()
        page.reload()
        arrived(page, 4)
        assert page.locator("input:checked").count() == 0  # an unsent choice is not kept

        second = page.context.new_page()
        second.goto(page.url)
        arrived(second, 4)
        second.locator("input[name=choice]").nth(0).check()
        second.click("button[type=submit]")
        arrived(second, 5)
        # the first tab still shows question 4: its answer comes too late and changes nothing
        page.locator("input[name=choice]").nth(2).check()
        page.click("button[type=submit]")
        arrived(page, 5)
        assert answers(store, token)[3][:3] == (4, "image", 1)

        page.locator("input[name=choice]").first.check()
        page.click("button[type=submit]")
        arrived(page, 6)
        page.go_back()  # wherever the browser takes the page from, it is the question that is to be answered
        arrived(page, 6)
        page.go_forward()
        arrived(page, 6)
        assert [seq for seq, *_ in answers(store, token)] == [1, 2, 3, 4, 5]


def test_a_page_of_the_past_cannot_change_an_answer(browser, triad):
    server, store = triad
    token = at(store, 3)
    with visiting(browser) as page:
        page.goto(f"{server.address}/p/{token}")
        arrived(page, 3)
        answer_one(store, token)  # elsewhere, while this page stands open
        answer_one(store, token)
        page.locator("input[name=choice]").nth(2).check()
        page.click("button[type=submit]")
        arrived(page, 5)
    assert [one[:3] for one in answers(store, token)[2:]] == [(3, "image", 1), (4, "image", 1)]


def test_a_double_click_on_next_answers_once(browser, triad):
    server, store = triad
    with visiting(browser) as page:
        token = begin(page, server.address)
        for number in (1, 2, 3):
            arrived(page, number)
            page.locator("input[name=choice]").first.check()
            page.locator("button[type=submit]").dblclick(no_wait_after=True)
        arrived(page, 4)
    assert [seq for seq, *_ in answers(store, token)] == [1, 2, 3]
    assert {means for *_, means in answers(store, token)} == {"mouse"}


def test_a_double_click_on_begin_is_one_participant(browser, triad):
    server, store = triad
    before = query(store, "SELECT count(*) FROM participant")[0][0]
    with visiting(browser) as page:
        page.goto(server.address)
        page.check("#agree")
        page.locator("button").dblclick(no_wait_after=True)
        arrived(page, 1)
    assert query(store, "SELECT count(*) FROM participant")[0][0] == before + 1


def test_a_server_that_dies_in_the_middle_costs_no_answer(browser, tmp_path):
    live(tmp_path / "study", participants=6)
    store, errors = Store(tmp_path / "study"), []
    with Server(tmp_path / "study") as server, visiting(browser, errors) as page:
        token = begin(page, server.address)
        for number in range(1, 8):
            arrived(page, number)
            page.locator("input[name=choice]").last.check()
            page.click("button[type=submit]")
        arrived(page, 8)
        page.locator("input[name=choice]").first.check()
        server.kill()
        with page.expect_event("requestfailed", lambda request: request.method == "POST"):
            page.click("button[type=submit]", no_wait_after=True)
        server.start()
        page.goto(f"{server.address}/p/{token}")
        arrived(page, 8)
        assert page.locator("input:checked").count() == 0
        page.locator("input[name=choice]").first.check()
        page.click("button[type=submit]")
        arrived(page, 9)
        answer_all(store, token)
        page.reload()
        page.wait_for_selector("h1:text-is('Thank you')")
    assert [seq for seq, *_ in answers(store, token)] == list(range(1, 28))
    assert store.status().counts == {"live": {"complete": 1}}
    assert [error for error in errors if "ERR_CONNECTION_REFUSED" not in error] == []


def test_a_question_waits_for_an_image_that_fails(browser, triad):
    server, store = triad
    token, errors, failed = at(store, QUESTIONS["landmark"]), [], []
    with visiting(browser, errors) as page:

        def fail_once(route):
            if failed:
                route.continue_()
            else:
                failed.append(route.request.url)
                route.abort()

        page.route("**/study-img/*", fail_once)
        page.goto(f"{server.address}/p/{token}", wait_until="commit")
        page.wait_for_selector("#loading:visible")
        assert page.inner_text("#loading") == "The pictures are loading."
        assert page.is_disabled("button[type=submit]")
        assert page.locator("input[name=choice]:visible").count() == 0
        page.wait_for_selector(LOADED)
        assert page.locator("#loading:visible").count() == 0
        assert all(page.locator("img").evaluate_all("all => all.map(one => one.naturalWidth > 0)"))
    assert len(failed) == 1
    assert len(errors) == 1


def test_times_are_taken_from_the_images_on_the_screen(browser, triad):
    server, store = triad
    token = at(store, QUESTIONS["style"])
    with visiting(browser) as page:
        with page.expect_response("**/shown") as shown:
            page.goto(f"{server.address}/p/{token}")
        assert shown.value.status == 204
        page.locator("input[name=choice]").first.check()
        page.click("button[type=submit]")
        arrived(page, QUESTIONS["style"] + 1)
    ((client, on_server),) = query(
        store,
        "SELECT r.client_ms, r.server_ms FROM response r JOIN trial t ON t.id = r.trial "
        "JOIN participant p ON p.id = t.participant WHERE p.token_sha256 = ? AND t.seq = ?",
        sha256(token),
        QUESTIONS["style"],
    )
    assert 0 < client < 60_000
    assert 0 < on_server < 60_000


def test_without_a_script_the_form_still_works(browser, triad):
    server, store = triad
    with visiting(browser, java_script_enabled=False) as page:
        page.goto(server.address)
        page.click("button")  # without the tick the browser stays
        assert page.locator("#agree").count() == 1
        page.check("#agree")
        page.click("button")
        for number in range(1, 28):
            page.wait_for_selector(f'progress[value="{number - 1}"]')
            page.locator("input[name=choice]").last.check()
            page.click("button[type=submit]")
        page.wait_for_selector("h1:text-is('Thank you')")
        token = page.url.rsplit("/", 1)[1]
    assert len(answers(store, token)) == 27
    assert {means for *_, means in answers(store, token)} == {""}


def test_without_a_script_a_board_still_works(browser, paper):
    server, store = paper
    token = at(store, 15)
    with visiting(browser, java_script_enabled=False) as page:
        page.goto(f"{server.address}/p/{token}")
        for number in (15, 16, 17):
            page.wait_for_selector(f'progress[value="{number - 1}"]')
            page.locator("input[name=choice]").last.check()
            page.click("button[type=submit]")
        page.wait_for_selector('progress[value="17"]')
    assert [choice for _, choice, _, _ in answers(store, token)[14:]] == ["seen", "none", "none"]


def every_page(page, server, store, screens):
    """Visit every kind of page in turn; yields what it is."""
    page.goto(server.address)
    yield "consent"
    for block, number in screens.items():
        page.goto(f"{server.address}/p/{at(store, number)}")
        arrived(page, number)
        yield block
        page.locator("input[name=choice]").last.check()
        yield f"{block}, chosen"
    token = at(store, max(screens.values()))
    while not store.current(token).done:
        answer_one(store, token)
    page.goto(f"{server.address}/p/{token}")
    yield "debrief"
    page.goto(f"{server.address}/withdraw")
    yield "withdraw"
    page.fill("#code", "nonsense")
    page.click("button")
    page.wait_for_selector("h1:text-is('That did not work')")
    yield "message"
    page.click("a")
    page.fill("#code", store.current(token).withdrawal_code)
    page.click("button")
    page.wait_for_selector("[role=status]")
    yield "withdrawn"


@pytest.mark.parametrize("instrument", ["triad", "paper"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, triad, paper, instrument, scheme):
    from axe_playwright_python.sync_playwright import Axe

    (server, store), screens = (triad, QUESTIONS) if instrument == "triad" else (paper, BOARDS)
    axe, errors, seen = Axe(), [], []
    # in the dark only the colors are others
    rules = {
        "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        "dark": ["color-contrast"],
    }
    with visiting(browser, errors, color_scheme=scheme) as page:
        for what in every_page(page, server, store, screens):
            found = axe.run(page, options={"runOnly": rules[scheme]})
            seen.append((what, found.generate_report() if found.violations_count else ""))
    assert seen == [(what, "") for what, _ in seen]
    assert len(seen) == 15
    assert [error for error in errors if "409" not in error] == []  # the wrong code's own answer


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_every_page_fits_a_small_phone(browser, triad, paper, instrument):
    (server, store), screens = (triad, QUESTIONS) if instrument == "triad" else (paper, BOARDS)
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    with visiting(browser, [], **phone) as page:
        for what in every_page(page, server, store, screens):
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, what
            targets = page.locator("a, button, input:not([type=hidden])").evaluate_all(
                "all => all.map(one => [one.outerHTML, one.getBoundingClientRect().width, "
                "one.getBoundingClientRect().height])"
            )
            assert targets, what
            assert [one for one in targets if min(one[1:]) < 24] == [], what
            sizes = page.locator(".option img").evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
            assert len({round(size, 1) for size in sizes}) <= 1, what  # all images have the same size


def test_touch_and_mouse_are_distinguished(browser, triad):
    server, store = triad
    token = at(store, 3)
    with visiting(browser, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as page:
        page.goto(f"{server.address}/p/{token}")
        arrived(page, 3)
        page.locator(".option img").nth(1).tap()  # the image itself is the target
        page.locator("button[type=submit]").tap()
        arrived(page, 4)
    assert answers(store, token)[-1] == (3, "image", 2, "touch")


def test_the_board_of_fifteen(browser, paper):
    server, store = paper
    with visiting(browser) as page:
        token = begin(page, server.address)
        for number in range(1, 16):  # one at a time, each with Enter
            arrived(page, number)
            assert page.locator(".option img").count() == 1
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
        arrived(page, 16)
        assert page.inner_text("h1") == "Which one of these pictures would you buy as artwork?"
        assert page.locator(".option img").count() == 15
        alternatives = page.locator(".option img").evaluate_all("all => all.map(one => one.alt)")
        assert alternatives == [f"Image {number} of 15" for number in range(1, 16)]
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowUp")  # round the corner: "none" is the last
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        arrived(page, 17)
        assert page.locator(".beside img").count() == 5
        page.keyboard.press("Tab")
        page.keyboard.press("9")
        page.keyboard.press("Enter")
        arrived(page, 18)
        assert page.locator(".beside img").count() == 4
        page.locator(".option img").nth(11).click()
        page.click("button[type=submit]")
        arrived(page, 19)
        assert page.locator(".option img").count() == 2
    assert answers(store, token)[:15] == [(number, "seen", None, "keyboard") for number in range(1, 16)]
    assert answers(store, token)[15:] == [
        (16, "image", 15, "keyboard"),
        (17, "image", 9, "keyboard"),
        (18, "image", 12, "mouse"),
    ]


def test_a_participant_withdraws_with_the_code_of_the_debrief(browser, triad):
    server, store = triad
    token = at(store, 27)
    with visiting(browser) as page:
        page.goto(f"{server.address}/p/{token}")
        arrived(page, 27)
        page.locator("input[name=choice]").first.check()
        assert page.inner_text("button[type=submit]") == "Finish"
        page.click("button[type=submit]")
        page.wait_for_selector("h1:text-is('Thank you')")
        code = page.locator("code").nth(1).inner_text()
        page.click("a")
        page.fill("#code", code.lower().replace("-", " "))
        page.click("button")
        page.wait_for_selector("[role=status]")
        assert page.inner_text("[role=status]") == "Done. Deleted 27 answers and all related data."
    assert answers(store, token) == []


def test_an_experimenters_way_from_images_to_the_export(browser, workspace, tmp_path):
    """Behind the password, to check that the whole page works there."""
    project = study_project(workspace)
    login = {"http_credentials": {"username": "", "password": "a password"}, "accept_downloads": True}
    with (
        started(workspace, "--host", "127.0.0.1", environment={"GHIBLI_PASSWORD": "a password"}) as server,
        visiting(browser, **login) as page,
    ):
        lines_until(server.process, "* Running on")

        def fits(what):
            page.set_viewport_size({"width": 390, "height": 800})
            page.wait_for_timeout(300)  # Gradio updates the layout
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, what
            page.set_viewport_size({"width": 1280, "height": 900})

        page.goto(f"http://127.0.0.1:{server.port}/")
        page.wait_for_selector("#tabs", timeout=MINUTE)
        open_tab(page, "Study")
        page.wait_for_selector("#study-create", state="visible", timeout=MINUTE)
        page.wait_for_selector("#study-landmarks .token >> nth=4")
        fits("form")
        page.fill("#study-participants input", "2")
        page.click("#study-create")
        link = page.wait_for_selector("#study-preview a", state="visible", timeout=MINUTE).get_attribute("href")
        fits("draft")
        with visiting(browser) as visitor:  # without the password
            visitor.goto(link)
            assert visitor.inner_text(".notice") == "This is a preview. Nothing that you answer here counts."
            visitor.check("#agree")
            visitor.click("button")
            arrived(visitor, 1)
        page.wait_for_selector("#study-card:has-text('Previewed 1 time.')", timeout=MINUTE)

        toast = page.locator(".toast-body.error")
        page.click("#study-lock")
        toast.filter(has_text="a locked study cannot be changed").wait_for(timeout=MINUTE)
        page.locator(".toast-close").first.click()
        page.check("#study-sure input")
        page.click("#study-lock")
        page.wait_for_selector("#study-link svg", timeout=MINUTE)
        fits("live")
        address = page.get_attribute("#study-link a", "href")
        with visiting(browser) as visitor:
            visitor.goto(address)
            assert visitor.locator("#agree").count() == 1
        store = Store(project.study)
        for _ in range(2):
            answer_all(store, store.join("live", "1").token, client_ms=3000)
        page.wait_for_selector("#study-card:has-text('2 of 2 have finished')", timeout=MINUTE)
        page.check("#study-end input")
        page.click("#study-close")
        page.wait_for_selector("#study-findings:has-text('2 participants answered')", timeout=MINUTE)
        page.wait_for_selector("#study-plots figure")
        fits("closed")
        page.click("#study-export")
        with page.expect_download() as download:
            page.locator("#study-file a").first.click(timeout=MINUTE)
        download.value.save_as(tmp_path / "study.zip")
        assert (tmp_path / "study.zip").stat().st_size > 10_000
        page.click("#study-archive")
        page.wait_for_selector("#study-create", state="visible", timeout=MINUTE)
