"""The audit finds nothing in the study as it is served, and each leak that is planted in it, by its own kind."""

import socket
import subprocess
from itertools import permutations
from statistics import NormalDist

import httpx
import pytest
from scipy.stats import mannwhitneyu

from study import StudyError
from study.blindness.audit import audit, audit_draft, repository
from study.blindness.leak import KINDS, Leak
from study.blindness.rank_test import proven, rank_sum
from study.blindness.rank_test import tests as chances
from study.blindness.visit import Reply, Screen, View, Visit
from study.database import transactions
from study.web.server import application
from tests.support.study_blindness_site import ADAPTER, Directly, Site, opened
from tests.support.study_copies import saved
from tests.support.study_plants import PLANTS
from tests.support.study_sample import draft, png, query, told


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transactions, "PRAGMAS", (*transactions.PRAGMAS, "synchronous = OFF"))
        yield


@pytest.fixture(scope="module")
def server():
    with Site().running() as site:
        yield site


@pytest.fixture
def nearby(site, monkeypatch):
    """The site without a network."""
    client = httpx.Client

    async def here(function, *arguments, **_):
        return function(*arguments)

    monkeypatch.setattr(httpx, "Client", lambda **values: client(transport=Directly(site), **values))
    monkeypatch.setattr("anyio.to_thread.run_sync", here)
    return site


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A study without a flaw; its people withdraw, so that it is as before after every audit."""
    store, key = opened(tmp_path_factory.mktemp("blind") / "study")
    with store.held():
        yield store, key


@pytest.fixture
def site(server, plain):
    server.show(*plain)
    return server


def kinds(leaks):
    return {leak.kind for leak in leaks}


# --- the study as it is served ----------------------------------------------------------------------------------------


def test_the_study_as_it_is_served_is_blind_and_keeps_nothing_of_the_auditor(site):
    assert site.audit(people=2) == []
    assert query(site.store, "SELECT count(*) FROM participant") == [(0,)]


def test_the_instrument_of_the_paper_is_blind_too(server, tmp_path):
    server.show(*opened(tmp_path, instrument="paper"))
    assert server.audit() == []


def test_a_draft_is_audited_on_a_copy_and_that_its_key_was_opened_stays_known(tmp_path):
    store = draft(tmp_path)
    store.join("pilot", "1")
    assert audit_draft(store, people=1) == []
    assert store.status().state == "pilot"
    assert store.status().counts == {"pilot": {"active": 1}}
    assert [(one["action"], one["detail"]) for one in store.audit()][1:] == [
        ("key opened", {"purpose": "blindness audit"})
    ]


def test_the_folder_of_a_draft_is_a_key(server, tmp_path):
    store = draft(tmp_path)
    server.show(store, {})
    server.app = application(lambda: store, "live", "pilot-key")
    try:
        assert audit(f"{server.address}?pilot=pilot-key", tmp_path, people=1) == []
    finally:
        server.app = application(lambda: server.store, "simulated")
    assert store.audit()[1]["detail"] == {"purpose": "blindness audit"}


@pytest.mark.parametrize(("found", "plant"), PLANTS)
def test_a_leak_is_found_as_what_it_is(nearby, tmp_path, found, plant):
    plant(nearby, tmp_path / "study")
    leaks = nearby.audit(people=2 if "load time" in found else 1)
    assert kinds(leaks) == found, leaks


def test_a_leak_tells_where_it_is_and_of_which_origins_but_nothing_that_is_random(nearby):
    def plant(answer):
        if answer.label:
            answer.headers["etag"] = str(len(answer.label))
        if answer.is_question or answer.path.startswith("/study-img/"):
            answer.headers["set-cookie"] = "session=1"

    nearby.plant = plant
    assert nearby.audit() == [
        Leak("ETag", "the header etag of pictures", "2 (ti); 4 (lora); 5 (photo); 2 more"),
        Leak("cookie", "GET /study-img/...", "sets session"),
        Leak("cookie", "GET /study/p/...", "sets session"),
        Leak("cookie", "GET of a forged address", "sets session"),
    ]


# --- what is no page --------------------------------------------------------------------------------------------------


def test_beside_the_studio_a_page_may_be_there_if_it_names_nothing(nearby):
    def plant(answer):
        if answer.path in ("/", "/config"):
            answer.status, answer.body = status, page

    nearby.plant = plant
    status, page = 200, b'{"title": "Studio"}'
    assert nearby.audit(alone=False) == []
    page = b'{"label": "LoRA or Textual Inversion"}'
    told = "answers 200 and names an origin or a picture"
    assert nearby.audit(alone=False) == [Leak("hidden page", "/config", told), Leak("experimenter's page", "/", told)]
    status = 401
    assert nearby.audit(alone=False) == []


def test_a_log_with_addresses_facts_or_words_is_found(nearby, tmp_path):
    log = tmp_path / "log"
    lines = ["INFO: started", "a file of the lora", f"loaded {ADAPTER}"]
    log.write_text(lines[0])
    assert nearby.audit(log=log) == []
    log.write_text("\n".join(lines))
    with log.open("a") as file:
        nearby.plant = lambda answer: print(answer.method, answer.path, file=file, flush=True)
        assert nearby.audit(log=log) == [
            Leak("log", "the server's log", "has a hash or another fact of the key"),
            Leak("log", "the server's log", "has lora"),
            Leak("log", "the server's log", "has personal links, ids of trials or addresses of pictures"),
        ]


def git(folder, *arguments):
    subprocess.run(
        ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, capture_output=True
    )


def test_what_a_public_repository_would_show_is_found(plain, tmp_path):
    _, key = plain
    (tmp_path / "app.py").write_text("print()")
    (tmp_path / "key.db").write_bytes(b"")
    (tmp_path / "some.png").write_bytes(png("another", 40))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.bin").write_bytes(b"SQLite format 3\0")
    (tmp_path / "data" / "big ben.webp").write_bytes(saved(png("Big Ben lora"), "WEBP", lossless=True))
    table = "is a database or a table of a study"
    every = [
        Leak("repository", "data/a.bin", table),
        Leak("repository", "data/big ben.webp", "is a picture of the study"),
        Leak("repository", "key.db", table),
    ]
    assert repository(tmp_path, key) == every
    git(tmp_path, "init")
    assert repository(tmp_path, key) == []
    git(tmp_path, "add", ".")
    assert repository(tmp_path, key) == every
    assert repository(tmp_path) == [every[0], every[2]]
    git(tmp_path, "commit", "-m", "a")
    git(tmp_path, "rm", "-r", "key.db", "data")
    git(tmp_path, "commit", "-m", "b")
    assert repository(tmp_path, key) == [Leak("repository", "key.db", "is in the history")]


def test_every_kind_is_planted_somewhere():
    planted = set().union(*(param.values[0] for param in PLANTS))
    assert set(KINDS) - planted == {"log", "repository"}  # above


# --- chance -----------------------------------------------------------------------------------------------------------


def test_the_rank_test_is_that_of_mann_and_whitney():
    values = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3]
    labels = "aababbabababbbbaaa"
    own, others = ([value for value, of in zip(values, labels) if of == one] for one in "ab")
    expected = mannwhitneyu(own, others, method="asymptotic", use_continuity=False).pvalue
    assert rank_sum([list(zip(values, labels))], "a") == pytest.approx(expected, rel=1e-12)


def test_strata_are_ranked_each_by_itself():
    """Mean and variance over all arrangements of labels within the strata are those that the test uses."""
    strata = [[(5, "a"), (1, "b")], [(9, "b"), (9, "a"), (2, "b")]] * 5

    def rank(value, stratum):
        return (sum(other < value for other, _ in stratum) + sum(other <= value for other, _ in stratum) + 1) / 2

    away = variance = 0.0
    for stratum in strata:
        own = [rank(value, stratum) for value, of in stratum if of == "a"]
        sums = [
            sum(rank(value, stratum) for (value, _), of in zip(stratum, order) if of == "a")
            for order in permutations([of for _, of in stratum])
        ]
        mean = sum(sums) / len(sums)
        away, variance = away + sum(own) - mean, variance + sum((one - mean) ** 2 for one in sums) / len(sums)
    expected = 2 * NormalDist().cdf(-abs(away) / variance**0.5)
    assert rank_sum(strata, "a") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("comes_back", "found"), [(False, {"order of ids"}), (True, set())])
def test_an_id_that_comes_back_counts_once(comes_back, found):
    """That LoRA's come first is no chance with new ids on each of forty screens; with two ids in all it may be."""

    def screen(number):
        ids = {"lora": "0", "ti": "f"} if comes_back else {"lora": f"0{number}", "ti": f"f{number}"}
        order = sorted(ids, reverse=number % 2 == 1)
        replies = [Reply("GET", f"/study-img/{ids[origin]}", 200, (), b"", 0, 0.0) for origin in order]
        return Screen(number, None, None, [View(*one) for one in zip(order, (1, 2), replies)], [])

    visit = Visit([screen(number) for number in range(40)])
    assert {test.kind for test in proven(chances([visit]))} == found


def test_too_few_or_equal_values_are_not_tested():
    assert rank_sum([[(1, "a"), (2, "b")]] * 7, "a") is None
    assert rank_sum([[(1, "a"), (2, "b")]] * 8, "a") is not None
    assert rank_sum([[(1, "a"), (1, "b")]] * 8, "a") is None
    assert rank_sum([[(1, "a")] * 9], "a") is None


# --- where nobody can be audited --------------------------------------------------------------------------------------


def test_a_live_study_is_not_audited(plain):
    store, _ = plain
    with told(
        "the study is live, and its blindness is audited before it is locked; audit a draft that was created "
        "from the same pictures"
    ):
        audit_draft(store)


def test_it_takes_somebody_to_audit(site):
    with told("the number of people is 0; it takes at least one, and two find more"):
        site.audit(people=0)


def test_when_not_all_can_join_those_who_did_leave_nothing_behind(nearby, tmp_path):
    nearby.show(*opened(tmp_path, participants=2))
    nearby.store.join("simulated", "1")
    with told(
        f"nobody can take part at {nearby.address}: All 2 places of this study are taken, 1 finished and 1 at "
        "work; a place that is left becomes free after 120 minutes, so try again later."
    ):
        nearby.audit(people=2)
    assert query(nearby.store, "SELECT count(*) FROM participant") == [(1,)]


def test_an_address_that_is_no_consent_is_told(site):
    with told(f"the address is {site.address}/p; give the consent's, which ends in /study"):
        audit(f"{site.address}/p", site.key)


def test_a_study_that_nobody_can_join_is_told(server, tmp_path):
    server.show(draft(tmp_path), {})
    with told(
        f"nobody can take part at {server.address}: This study has not begun; lock its definition and its "
        "analysis first."
    ):
        server.audit()


def test_the_key_of_another_study_is_told(nearby):
    nearby.key = {"0" * 64: next(iter(nearby.key.values()))}
    with told(
        f"no picture served at {nearby.address} is one of the study's; give the key of the study that is served "
        "there, and let nothing on the way change pictures"
    ):
        nearby.audit()


def test_a_server_that_is_not_there_is_told(site):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/study"
        with pytest.raises(StudyError, match=rf"^{address} does not answer \(.*\); is the study served there\?$"):
            audit(address, site.key)


def test_a_log_that_is_not_there_is_told(nearby, tmp_path):
    with told(f"{tmp_path / 'log'} cannot be read (No such file or directory); name the server's log"):
        nearby.audit(log=tmp_path / "log")
