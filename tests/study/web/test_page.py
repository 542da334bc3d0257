"""What people and programs do to the pages: every way converges, writes nothing twice, and ends in one sentence."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from study.database.tokens import withdrawal_code
from tests.support.study_sample import draft, live, query
from tests.support.study_site import Browser, site

PLACE = {}
FAILED, NOTHING = "That did not work", "There is nothing here"
WRONG_ADDRESS = ["The address is wrong, or was shortened.", "To the study"]
UNKNOWN_LINK = "This personal link is not known; it was shortened, or its answers were withdrawn."


@pytest.fixture(scope="module")
def address():
    """Of the server, which serves whatever study the test has."""
    with site(lambda: PLACE["study"]) as address:
        yield address


@pytest.fixture
def store(tmp_path):
    """A live study for 48."""
    PLACE["study"] = live(tmp_path / "study")
    return PLACE["study"]


@pytest.fixture
def browser(address, store):
    return Browser(address)


def answers(store):
    """(seq, choice, position) of everything that was answered."""
    return query(
        store,
        "SELECT t.seq, r.choice, r.position FROM response r JOIN trial t ON t.id = r.trial "
        "ORDER BY t.participant, t.seq",
    )


def progress(page):
    return page.paragraphs[0]


def refusal(page):
    """(status, heading, text) of a page that tells in one sentence what did not work."""
    assert page.form is None
    text, *way_back = page.paragraphs
    assert way_back in ([], ["Back to your question"], ["Try another code"])
    return page.status, page.heading, text


# --- the straight way -------------------------------------------------------------------------------------------------


def test_from_the_consent_to_the_codes(browser, store):
    page = browser.begin()
    number = 0
    while page.form:
        number += 1
        assert (page.status, progress(page).removesuffix(" (practice)")) == (200, f"Question {number} of 27")
        page = browser.answer(page, milliseconds="2500", input="keyboard")
    token = browser.link.rpartition("/")[2]
    assert (page.heading, page.codes[1]) == ("Thank you", withdrawal_code(token))
    assert browser.now().codes == page.codes
    assert answers(store) == [(seq, "image", 1) for seq in range(1, 28)]
    assert query(store, "SELECT DISTINCT client_ms, server_ms, input FROM response") == [(2500, None, "keyboard")]
    assert query(store, "SELECT state, completion_code FROM participant") == [("complete", page.codes[0])]


def test_the_clock_of_the_server_starts_when_the_page_says_so(browser, store):
    page = browser.begin()
    for _ in range(2):
        assert browser.post(page.form.data["shown"], trial=page.form.fields["trial"]).status == 204
    browser.answer(page)
    assert query(store, "SELECT server_ms FROM response") == [(0,)]  # the clock of the sample stands still


# --- twice, late, from elsewhere --------------------------------------------------------------------------------------


def test_a_double_click_is_one_answer(browser, store):
    page = browser.begin()
    first, second = browser.answer(page), browser.answer(page)
    assert (progress(first), progress(second)) == ("Question 2 of 27 (practice)",) * 2
    assert first.form.fields["trial"] == second.form.fields["trial"]
    assert answers(store) == [(1, "image", 1)]


@pytest.mark.parametrize("tabs", [1, 8])
def test_at_the_same_moment_too(browser, store, tabs):
    browser.begin()
    pages = [browser.now() for _ in range(tabs)]
    with ThreadPoolExecutor(8) as pool:
        later = list(pool.map(lambda number: browser.answer(pages[number % tabs], str(1 + number % 3)), range(8)))
    assert {(page.status, progress(page)) for page in later} == {(200, "Question 2 of 27 (practice)")}
    ((seq, choice, position),) = answers(store)
    assert (seq, choice, position in (1, 2, 3)) == (1, "image", True)


def test_of_two_tabs_the_first_answer_counts(browser, store):
    browser.begin()
    one, other = browser.now(), browser.now()
    assert one.form.fields["response"] != other.form.fields["response"]
    browser.answer(one, "2")
    page = browser.answer(other, "none")
    assert progress(page) == "Question 2 of 27 (practice)"
    assert answers(store) == [(1, "image", 2)]


@pytest.mark.parametrize("same", [True, False], ids=["back button", "stale tab"])
def test_an_old_question_leads_to_the_current_one(browser, store, same):
    old = browser.begin()
    stale = browser.now()
    page = old
    for _ in range(3):
        page = browser.answer(page)
    again = browser.answer(old if same else stale, "3")
    assert (again.status, progress(again)) == (200, "Question 4 of 27")
    assert again.form.fields["trial"] == page.form.fields["trial"]
    assert answers(store) == [(1, "image", 1), (2, "image", 1), (3, "image", 1)]


def test_replayed_after_the_end_it_shows_the_debrief(browser, store):
    first = page = browser.begin()
    while page.form:
        last, page = page, browser.answer(page)
    for old in (first, last):
        assert browser.answer(old, "2").codes == page.codes
    assert answers(store) == [(seq, "image", 1) for seq in range(1, 28)]


def test_an_answer_id_of_one_question_does_not_answer_another(browser, store):
    first = browser.begin()
    second = browser.answer(first)
    page = browser.answer(second, response=first.form.fields["response"])
    assert progress(page) == "Question 2 of 27 (practice)"
    assert answers(store) == [(1, "image", 1)]


def test_an_answer_before_the_pictures_were_shown_is_kept_without_a_time(browser, store):
    browser.answer(browser.begin(), milliseconds="soon", input="foot")
    assert query(store, "SELECT client_ms, server_ms, input FROM response") == [(None, None, "")]


# --- who does not belong here -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["f" * 32, "f", "%00", "%C3%A4", "%FF", "a" * 5000])
def test_a_forged_link(browser, store, token):
    page = browser.begin()
    told = [
        browser.get(f"/study/p/{token}"),
        browser.post(f"/study/p/{token}/shown", **page.form.fields),
        browser.post(f"/study/p/{token}/answer", **page.form.fields, choice="1"),
    ]
    assert [refusal(one) for one in told] == [(409, FAILED, UNKNOWN_LINK)] * 3
    assert answers(store) == []
    assert progress(browser.now()) == "Question 1 of 27 (practice)"


def test_a_question_of_somebody_else(browser, address, store):
    mine, other = browser.begin(), Browser(address)
    theirs = other.begin()
    told = [
        browser.answer(mine, trial=theirs.form.fields["trial"]),
        browser.post(mine.form.data["shown"], trial=theirs.form.fields["trial"]),
    ]
    assert [refusal(one) for one in told] == [(409, FAILED, "This question is not one of yours; reload the page.")] * 2
    assert answers(store) == []
    assert query(store, "SELECT count(*) FROM trial WHERE shown_at IS NOT NULL") == [(0,)]


def test_an_answer_id_of_somebody_else(browser, address, store):
    mine, other = browser.begin(), Browser(address)
    theirs = other.begin()
    other.answer(theirs)
    stolen = theirs.form.fields["response"]
    assert refusal(browser.answer(mine, response=stolen)) == (
        409,
        FAILED,
        f"The answer id '{stolen}' is somebody else's; reload the page.",
    )
    assert len(answers(store)) == 1


def test_a_link_after_the_withdrawal(browser, store):
    page = browser.answer(browser.begin())
    token = browser.link.rpartition("/")[2]
    picture = page.files[-1]
    left = browser.post("/study/withdraw", code=f" {withdrawal_code(token).lower()} ")
    assert (left.status, left.paragraphs[0]) == (200, "Done. Deleted: 1 answers and everything that belonged to them.")
    for told in (browser.now(), browser.answer(page), browser.post(page.form.data["shown"])):
        assert refusal(told) == (409, FAILED, UNKNOWN_LINK)
    assert browser.client.get(browser.url(picture)).status_code == 404
    assert refusal(browser.post("/study/withdraw", code=withdrawal_code(token))) == (
        409,
        FAILED,
        "This withdrawal code is not known; it has 12 letters and digits, and works once.",
    )
    assert query(store, "SELECT (SELECT count(*) FROM participant), (SELECT count(*) FROM trial)") == [(0, 0)]


# --- joining ----------------------------------------------------------------------------------------------------------


def test_begin_twice_is_one_person_who_goes_on(browser, store):
    consent = browser.get()
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda _: browser.post(consent.form.action, agree="yes"), range(4)))
    assert len({page.form.fields["trial"] for page in pages}) == 1
    browser.answer(pages[0])
    page = browser.post(consent.form.action, agree="yes")
    assert progress(page) == "Question 2 of 27 (practice)"
    assert query(store, "SELECT count(*) FROM participant") == [(1,)]


@pytest.mark.parametrize("data", [{}, {"agree": ""}, {"agree": "no"}])
def test_nobody_takes_part_without_consent(browser, store, data):
    consent = browser.get()
    assert refusal(browser.post(consent.form.action, **data)) == (
        409,
        FAILED,
        "Nobody takes part without having agreed; go back and tick the box.",
    )
    assert query(store, "SELECT count(*) FROM participant") == [(0,)]


def test_a_link_that_somebody_thought_up_is_refused(browser, store):
    assert refusal(browser.post("/study/p/mine/begin", agree="yes")) == (
        409,
        FAILED,
        "A personal link's secret is 'mine'; it needs 22 to 64 letters, digits, - or _.",
    )
    assert query(store, "SELECT count(*) FROM participant") == [(0,)]


def test_a_draft_has_no_participants(browser, tmp_path):
    PLACE["study"] = store = draft(tmp_path / "draft")
    told = "This study has not begun; lock its definition and its analysis first."
    assert refusal(browser.get()) == (200, "Pictures of landmarks", told)
    assert refusal(browser.post(f"/study/p/{'a' * 32}/begin?pilot=", agree="yes")) == (409, FAILED, told)
    assert store.status().counts == {}


def test_a_closed_study_thanks(browser, address, store):
    done = page = browser.begin()
    while page.form:
        page = browser.answer(page)
    late = Browser(address)
    half = late.answer(late.begin())
    consent = late.get()
    store.close()
    before = answers(store)
    closed = "This study is closed; thank you, no more answers are needed."
    assert refusal(late.get()) == (200, "Pictures of landmarks", closed)
    for told in (
        late.now(),
        late.answer(half),
        late.post(half.form.data["shown"], trial=half.form.fields["trial"]),
        late.post(consent.form.action, agree="yes"),
    ):
        assert refusal(told) == (409, FAILED, closed)
    assert browser.now().codes == browser.answer(done).codes == page.codes  # who has finished keeps the codes
    assert answers(store) == before


# --- nonsense ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"choice": ""}, "The choice is ''; this question offers image, none."),
        ({"choice": "both"}, "The choice is 'both'; this question offers image, none."),
        ({"choice": "<b>lora"}, "The choice is '<b>lora'; this question offers image, none."),
        ({"choice": "0"}, "The position is 0; this question has the positions 1 to 3."),
        ({"choice": "4"}, "The position is 4; this question has the positions 1 to 3."),
        ({"choice": "9" * 40}, f"The choice is '{'9' * 40}'; this question offers image, none."),
        ({"response": "short"}, "An answer's id is 'short'; it needs 8 to 64 letters, digits, - or _."),
        ({"response": ""}, "An answer's id is ''; it needs 8 to 64 letters, digits, - or _."),
        ({"trial": ""}, "This question is not one of yours; reload the page."),
        ({"trial": "' OR 1 --"}, "This question is not one of yours; reload the page."),
    ],
)
def test_what_is_not_offered_is_not_an_answer(browser, store, changes, sentence):
    assert refusal(browser.answer(browser.begin(), **changes)) == (409, FAILED, sentence)
    assert answers(store) == []
    assert browser.answer(browser.now()).status == 200


def test_a_file_instead_of_a_word(browser, store):
    page = browser.begin()
    reply = browser.client.post(browser.url(page.form.action), files={"trial": ("a.txt", b"secret")})
    assert refusal(browser.told(reply)) == (
        422,
        FAILED,
        "The form was not filled in as this page's; go back and try again.",
    )
    assert "secret" not in reply.text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"trial": "x"}'),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("multipart/form-data", b"no boundary"),
        ("application/x-www-form-urlencoded", b"\xff\xfe=%ff&&&="),
    ],
)
def test_a_body_that_is_no_form(browser, store, kind, body):
    page = browser.begin()
    reply = browser.client.post(browser.url(page.form.action), content=body, headers={"content-type": kind})
    told = browser.told(reply)
    assert (told.status, told.heading) in {(409, FAILED), (400, NOTHING)}
    assert answers(store) == []


def test_more_than_any_form_has(browser, store):
    page = browser.begin()
    url = browser.url(page.form.action)
    exact = "trial=" + "x" * (65_536 - 6)
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for body in (exact + "x", iter([b"trial=x"])):  # too long; of a length that is not told
        reply = httpx.post(url, content=body, headers=kind, trust_env=False)
        assert (reply.status_code, reply.text) == (413, "At most 65536 bytes")
    assert httpx.post(url, content=exact, headers=kind, trust_env=False).status_code == 409
    assert answers(store) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_wrong_method(browser, store, method):
    page = browser.begin()
    told = browser.told(browser.client.request(method, browser.url(page.form.action)))
    assert (told.status, told.heading, told.paragraphs) == (405, NOTHING, WRONG_ADDRESS)
    assert answers(store) == []


@pytest.mark.parametrize(
    "path",
    [
        "/study/results",
        "/study/p",
        "/study/p/",
        "/admin",
        "/docs",
        "/openapi.json",
        "/study/p/x/y/z",
        "/%00",
        "/study.db",
        "/study/static",
    ],
)
def test_an_unknown_address(browser, store, path):
    told = browser.get(path)
    assert (told.status, told.heading, told.paragraphs) == (404, NOTHING, WRONG_ADDRESS)


@pytest.mark.parametrize("path", ["/study-img/nothing", "/study-img/%2e%2e%2fkey.db", "/study/static/..%2fpage.py"])
def test_what_is_not_served_is_not_there(browser, store, path):
    assert browser.client.get(browser.url(path)).status_code == 404
