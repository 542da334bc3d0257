"""Requests of participants and programs: every path converges, stores nothing twice, and ends in one sentence."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from study.database.tokens import withdrawal_code
from tests.support.study_sample import draft, live, query
from tests.support.study_site import Browser, site

pytestmark = pytest.mark.integration

SERVED = {}
FAILED, NOT_FOUND = "That did not work", "Page not found"
WRONG_ADDRESS = ["The address is wrong or incomplete.", "To the study"]
UNKNOWN_LINK = "This personal link is unknown; it was shortened, or its answers were withdrawn."


@pytest.fixture(scope="module")
def address():
    """The address of a server for the study of the test."""
    with site(lambda: SERVED["study"]) as address:
        yield address


@pytest.fixture
def store(tmp_path):
    """A live study for 48."""
    SERVED["study"] = live(tmp_path / "study")
    return SERVED["study"]


@pytest.fixture
def browser(address, store):
    return Browser(address)


def answers(store):
    """Return (seq, choice, position) of all answers."""
    return query(
        store,
        "SELECT t.seq, r.choice, r.position FROM response r JOIN trial t ON t.id = r.trial "
        "ORDER BY t.participant, t.seq",
    )


def progress(page):
    return page.paragraphs[0]


def refusal(page):
    """Return (status, heading, text) of a page with one error message."""
    assert page.form is None
    text, *way_back = page.paragraphs
    assert way_back in ([], ["Back to your question"], ["Try another code"])
    return page.status, page.heading, text


# --- from consent to debrief ------------------------------------------------------------------------------------------


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


def test_the_clock_of_the_server_starts_when_the_page_reports_it(browser, store):
    page = browser.begin()
    for _ in range(2):
        assert browser.post(page.form.data["shown"], trial=page.form.fields["trial"]).status == 204
    browser.answer(page)
    assert query(store, "SELECT server_ms FROM response") == [(0,)]  # the clock of the sample stands still


# --- twice, late, from another tab ------------------------------------------------------------------------------------


def test_a_double_click_is_one_answer(browser, store):
    page = browser.begin()
    first, second = browser.answer(page), browser.answer(page)
    assert (progress(first), progress(second)) == ("Question 2 of 27 (practice)",) * 2
    assert first.form.fields["trial"] == second.form.fields["trial"]
    assert answers(store) == [(1, "image", 1)]


@pytest.mark.parametrize("tabs", [1, 8])
def test_concurrent_answers_are_one_answer(browser, store, tabs):
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


def test_an_answer_replayed_after_the_end_shows_the_debrief(browser, store):
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


def test_an_answer_before_the_images_were_shown_is_stored_without_a_time(browser, store):
    browser.answer(browser.begin(), milliseconds="soon", input="foot")
    assert query(store, "SELECT client_ms, server_ms, input FROM response") == [(None, None, "")]


# --- forged and foreign requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["f" * 32, "f", "%00", "%C3%A4", "%FF", "a" * 5000])
def test_a_forged_link(browser, store, token):
    page = browser.begin()
    pages = [
        browser.get(f"/study/p/{token}"),
        browser.post(f"/study/p/{token}/shown", **page.form.fields),
        browser.post(f"/study/p/{token}/answer", **page.form.fields, choice="1"),
    ]
    assert [refusal(page) for page in pages] == [(409, FAILED, UNKNOWN_LINK)] * 3
    assert answers(store) == []
    assert progress(browser.now()) == "Question 1 of 27 (practice)"


def test_a_question_of_another_participant(browser, address, store):
    own, other = browser.begin(), Browser(address)
    theirs = other.begin()
    pages = [
        browser.answer(own, trial=theirs.form.fields["trial"]),
        browser.post(own.form.data["shown"], trial=theirs.form.fields["trial"]),
    ]
    assert [refusal(page) for page in pages] == [
        (409, FAILED, "This question is not one of yours; reload the page.")
    ] * 2
    assert answers(store) == []
    assert query(store, "SELECT count(*) FROM trial WHERE shown_at IS NOT NULL") == [(0,)]


def test_an_answer_id_of_another_participant(browser, address, store):
    own, other = browser.begin(), Browser(address)
    theirs = other.begin()
    other.answer(theirs)
    stolen = theirs.form.fields["response"]
    assert refusal(browser.answer(own, response=stolen)) == (
        409,
        FAILED,
        f"The answer id '{stolen}' belongs to another participant; reload the page.",
    )
    assert len(answers(store)) == 1


def test_a_link_after_the_withdrawal(browser, store):
    page = browser.answer(browser.begin())
    token = browser.link.rpartition("/")[2]
    image = page.files[-1]
    left = browser.post("/study/withdraw", code=f" {withdrawal_code(token).lower()} ")
    assert (left.status, left.paragraphs[0]) == (200, "Done. Deleted 1 answer and all related data.")
    for reply in (browser.now(), browser.answer(page), browser.post(page.form.data["shown"])):
        assert refusal(reply) == (409, FAILED, UNKNOWN_LINK)
    assert browser.client.get(browser.url(image)).status_code == 404
    assert refusal(browser.post("/study/withdraw", code=withdrawal_code(token))) == (
        409,
        FAILED,
        "This withdrawal code is unknown; a code has 12 letters and digits, and works once.",
    )
    assert query(store, "SELECT (SELECT count(*) FROM participant), (SELECT count(*) FROM trial)") == [(0, 0)]


# --- joining ----------------------------------------------------------------------------------------------------------


def test_beginning_twice_gives_one_participant_who_continues(browser, store):
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
        "You have not agreed to take part; go back and check the box.",
    )
    assert query(store, "SELECT count(*) FROM participant") == [(0,)]


def test_an_invented_link_is_refused(browser, store):
    assert refusal(browser.post("/study/p/mine/begin", agree="yes")) == (
        409,
        FAILED,
        "The secret of a personal link is 'mine'; use 22 to 64 letters, digits, - or _.",
    )
    assert query(store, "SELECT count(*) FROM participant") == [(0,)]


def test_a_draft_has_no_participants(browser, tmp_path):
    SERVED["study"] = store = draft(tmp_path / "draft")
    message = "This study has not started; lock its definition and its analysis first."
    assert refusal(browser.get()) == (200, "Pictures of landmarks", message)
    assert refusal(browser.post(f"/study/p/{'a' * 32}/begin?pilot=", agree="yes")) == (409, FAILED, message)
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
    for reply in (
        late.now(),
        late.answer(half),
        late.post(half.form.data["shown"], trial=half.form.fields["trial"]),
        late.post(consent.form.action, agree="yes"),
    ):
        assert refusal(reply) == (409, FAILED, closed)
    assert browser.now().codes == browser.answer(done).codes == page.codes  # a finished participant keeps the codes
    assert answers(store) == before


# --- invalid requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choice": ""}, "The choice is ''; this question offers image, none."),
        ({"choice": "both"}, "The choice is 'both'; this question offers image, none."),
        ({"choice": "<b>lora"}, "The choice is '<b>lora'; this question offers image, none."),
        ({"choice": "0"}, "The position is 0; this question has the positions 1 to 3."),
        ({"choice": "4"}, "The position is 4; this question has the positions 1 to 3."),
        ({"choice": "9" * 40}, f"The choice is '{'9' * 40}'; this question offers image, none."),
        ({"response": "short"}, "The id of an answer is 'short'; use 8 to 64 letters, digits, - or _."),
        ({"response": ""}, "The id of an answer is ''; use 8 to 64 letters, digits, - or _."),
        ({"trial": ""}, "This question is not one of yours; reload the page."),
        ({"trial": "' OR 1 --"}, "This question is not one of yours; reload the page."),
    ],
)
def test_an_answer_that_is_not_offered_is_refused(browser, store, changes, message):
    assert refusal(browser.answer(browser.begin(), **changes)) == (409, FAILED, message)
    assert answers(store) == []
    assert browser.answer(browser.now()).status == 200


def test_a_file_instead_of_a_text_is_refused(browser, store):
    page = browser.begin()
    reply = browser.client.post(browser.url(page.form.action), files={"trial": ("a.txt", b"secret")})
    assert refusal(browser.page_of(reply)) == (422, FAILED, "The form is not one of this study; go back and try again.")
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
def test_a_body_that_is_no_form_is_refused(browser, store, kind, body):
    page = browser.begin()
    reply = browser.client.post(browser.url(page.form.action), content=body, headers={"content-type": kind})
    page = browser.page_of(reply)
    assert (page.status, page.heading) in {(409, FAILED), (400, NOT_FOUND)}
    assert answers(store) == []


def test_a_large_body_is_refused(browser, store):
    page = browser.begin()
    url = browser.url(page.form.action)
    exact = "trial=" + "x" * (65_536 - 6)
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for body in (exact + "x", iter([b"trial=x"])):  # too long; of unknown length
        reply = httpx.post(url, content=body, headers=kind, trust_env=False)
        assert (reply.status_code, reply.text) == (413, "At most 65536 bytes")
    assert httpx.post(url, content=exact, headers=kind, trust_env=False).status_code == 409
    assert answers(store) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_wrong_method_is_refused(browser, store, method):
    page = browser.begin()
    answer = browser.page_of(browser.client.request(method, browser.url(page.form.action)))
    assert (answer.status, answer.heading, answer.paragraphs) == (405, NOT_FOUND, WRONG_ADDRESS)
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
def test_an_unknown_address_is_not_found(browser, store, path):
    answer = browser.get(path)
    assert (answer.status, answer.heading, answer.paragraphs) == (404, NOT_FOUND, WRONG_ADDRESS)


@pytest.mark.parametrize("path", ["/study-img/nothing", "/study-img/%2e%2e%2fkey.db", "/study/static/..%2fpage.py"])
def test_files_outside_the_allow_list_are_not_found(browser, store, path):
    assert browser.client.get(browser.url(path)).status_code == 404
