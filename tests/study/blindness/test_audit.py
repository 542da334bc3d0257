"""The audit finds nothing in the study as it is served, and finds each planted leak as its kind."""

import socket
import subprocess
from itertools import permutations
from statistics import NormalDist

import httpx
import pytest
from scipy.stats import mannwhitneyu

from study import StudyError
from study.blindness.audit import audit, audit_draft, audit_repository
from study.blindness.leak import KINDS, Leak
from study.blindness.rank_test import rank_sum, rank_tests, significant
from study.blindness.visit import ImageView, Reply, Screen, Visit
from study.database import transactions
from study.web.server import application
from tests.support.study_blindness_site import ADAPTER, Directly, Site, opened
from tests.support.study_copies import saved
from tests.support.study_plants_in_copies import PLANTS
from tests.support.study_sample import draft, png, query, study_error

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def no_disk_sync():
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
    """A study without leaks; its participants withdraw, so every audit leaves it as it was."""
    store, key = opened(tmp_path_factory.mktemp("blind") / "study")
    with store.pooled_connections():
        yield store, key


@pytest.fixture
def site(server, plain):
    server.show(*plain)
    return server


def kinds(leaks):
    return {leak.kind for leak in leaks}


# --- the study as it is served ----------------------------------------------------------------------------------------


def test_the_served_study_is_blind_and_stores_nothing_of_the_auditor(site):
    assert site.audit(participants=2) == []
    assert query(site.store, "SELECT count(*) FROM participant") == [(0,)]


def test_the_paper_instrument_is_blind(server, tmp_path):
    server.show(*opened(tmp_path, instrument="paper"))
    assert server.audit() == []


def test_a_draft_is_audited_on_a_copy_and_its_log_records_the_opened_key(tmp_path):
    store = draft(tmp_path)
    store.join("pilot", "1")
    assert audit_draft(store, participants=1) == []
    assert store.status().state == "pilot"
    assert store.status().counts == {"pilot": {"active": 1}}
    assert [(one["action"], one["detail"]) for one in store.audit()][1:] == [
        ("key opened", {"purpose": "blindness audit"})
    ]


def test_the_folder_of_a_draft_can_be_the_key(server, tmp_path):
    store = draft(tmp_path)
    server.show(store, {})
    server.app = application(lambda: store, "live", "pilot-key")
    try:
        assert audit(f"{server.address}?pilot=pilot-key", tmp_path, participants=1) == []
    finally:
        server.app = application(lambda: server.store, "simulated")
    assert store.audit()[1]["detail"] == {"purpose": "blindness audit"}


@pytest.mark.parametrize(("found", "plant"), PLANTS)
def test_every_planted_leak_is_found_as_its_kind(nearby, tmp_path, found, plant):
    plant(nearby, tmp_path / "study")
    leaks = nearby.audit(participants=2 if "load time" in found else 1)
    assert kinds(leaks) == found, leaks


def test_a_leak_names_place_and_origins_but_nothing_random(nearby):
    def plant(answer):
        if answer.label:
            answer.headers["etag"] = str(len(answer.label))
        if answer.is_question or answer.path.startswith("/study-img/"):
            answer.headers["set-cookie"] = "session=1"

    nearby.plant = plant
    assert nearby.audit() == [
        Leak("ETag", "the header etag of images", "2 (ti); 4 (lora); 5 (photo); 2 more"),
        Leak("cookie", "GET /study-img/...", "sets session"),
        Leak("cookie", "GET /study/p/...", "sets session"),
        Leak("cookie", "GET of a forged address", "sets session"),
    ]


# --- other pages ------------------------------------------------------------------------------------------------------


def test_a_studio_may_have_other_pages_that_name_nothing(nearby):
    def plant(answer):
        if answer.path in ("/", "/config"):
            answer.status, answer.body = status, page

    nearby.plant = plant
    status, page = 200, b'{"title": "Studio"}'
    assert nearby.audit(study_only=False) == []
    page = b'{"label": "LoRA or Textual Inversion"}'
    detail = "answers 200 and names an origin or an image"
    assert nearby.audit(study_only=False) == [
        Leak("hidden page", "/config", detail),
        Leak("experimenter's page", "/", detail),
    ]
    status = 401
    assert nearby.audit(study_only=False) == []


def test_addresses_facts_and_words_in_a_log_are_found(nearby, tmp_path):
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
            Leak("log", "the server's log", "has personal links, ids of trials or addresses of images"),
        ]


def git(folder, *arguments):
    subprocess.run(
        ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, capture_output=True
    )


def test_study_files_in_a_public_repository_are_found(plain, tmp_path):
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
        Leak("repository", "data/big ben.webp", "is an image of the study"),
        Leak("repository", "key.db", table),
    ]
    assert audit_repository(tmp_path, key) == every
    git(tmp_path, "init")
    assert audit_repository(tmp_path, key) == []
    git(tmp_path, "add", ".")
    assert audit_repository(tmp_path, key) == every
    assert audit_repository(tmp_path) == [every[0], every[2]]
    git(tmp_path, "commit", "-m", "a")
    git(tmp_path, "rm", "-r", "key.db", "data")
    git(tmp_path, "commit", "-m", "b")
    assert audit_repository(tmp_path, key) == [Leak("repository", "key.db", "is in the history")]


def test_every_kind_is_planted():
    planted = set().union(*(param.values[0] for param in PLANTS))
    assert set(KINDS) - planted == {"log", "repository"}  # above


# --- rank tests -------------------------------------------------------------------------------------------------------


def test_the_rank_test_is_mann_whitney_in_one_stratum():
    values = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3]
    labels = "aababbabababbbbaaa"
    own, others = ([value for value, of in zip(values, labels) if of == one] for one in "ab")
    expected = mannwhitneyu(own, others, method="asymptotic", use_continuity=False).pvalue
    assert rank_sum([list(zip(values, labels))], "a") == pytest.approx(expected, rel=1e-12)


def test_strata_are_ranked_separately():
    """The test uses the mean and variance over all arrangements of labels within the strata."""
    strata = [[(5, "a"), (1, "b")], [(9, "b"), (9, "a"), (2, "b")]] * 5

    def rank(value, stratum):
        return (sum(other < value for other, _ in stratum) + sum(other <= value for other, _ in stratum) + 1) / 2

    deviation = variance = 0.0
    for stratum in strata:
        own = [rank(value, stratum) for value, of in stratum if of == "a"]
        sums = [
            sum(rank(value, stratum) for (value, _), of in zip(stratum, order) if of == "a")
            for order in permutations([of for _, of in stratum])
        ]
        mean = sum(sums) / len(sums)
        deviation, variance = deviation + sum(own) - mean, variance + sum((one - mean) ** 2 for one in sums) / len(sums)
    expected = 2 * NormalDist().cdf(-abs(deviation) / variance**0.5)
    assert rank_sum(strata, "a") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("repeated", "found"), [(False, {"order of ids"}), (True, set())])
def test_a_repeated_id_counts_once(repeated, found):
    """LoRA ids that sort first are no chance on forty screens with new ids; with two ids in all they may be."""

    def screen(number):
        ids = {"lora": "0", "ti": "f"} if repeated else {"lora": f"0{number}", "ti": f"f{number}"}
        order = sorted(ids, reverse=number % 2 == 1)
        replies = [Reply("GET", f"/study-img/{ids[origin]}", 200, (), b"", 0, 0.0) for origin in order]
        return Screen(number, None, None, [ImageView(*one) for one in zip(order, (1, 2), replies)], [])

    visit = Visit([screen(number) for number in range(40)])
    assert {test.kind for test in significant(rank_tests([visit]))} == found


def test_too_few_or_equal_values_are_not_tested():
    assert rank_sum([[(1, "a"), (2, "b")]] * 7, "a") is None
    assert rank_sum([[(1, "a"), (2, "b")]] * 8, "a") is not None
    assert rank_sum([[(1, "a"), (1, "b")]] * 8, "a") is None
    assert rank_sum([[(1, "a")] * 9], "a") is None


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_live_study_is_not_audited(plain):
    store, _ = plain
    with study_error(
        "the study is live, and blindness is audited before the lock; audit a draft that was created from "
        "the same images"
    ):
        audit_draft(store)


def test_an_audit_needs_a_participant(site):
    with study_error("the number of participants is 0; use at least one, and two find more"):
        site.audit(participants=0)


def test_if_not_all_can_join_the_others_leave_nothing(nearby, tmp_path):
    nearby.show(*opened(tmp_path, participants=2))
    nearby.store.join("simulated", "1")
    with study_error(
        f"nobody can take part at {nearby.address}: All 2 places in this study are taken: 1 finished, 1 in "
        "progress; an abandoned place becomes free after 120 minutes, so try again later."
    ):
        nearby.audit(participants=2)
    assert query(nearby.store, "SELECT count(*) FROM participant") == [(1,)]


def test_an_address_other_than_the_consent_is_refused(site):
    with study_error(f"the address is {site.address}/p; give the address of the consent, which ends in /study"):
        audit(f"{site.address}/p", site.key)


def test_a_study_that_nobody_can_join_is_refused(server, tmp_path):
    server.show(draft(tmp_path), {})
    with study_error(
        f"nobody can take part at {server.address}: This study has not started; lock its definition and its "
        "analysis first."
    ):
        server.audit()


def test_the_key_of_another_study_is_refused(nearby):
    nearby.key = {"0" * 64: next(iter(nearby.key.values()))}
    with study_error(
        f"no image served at {nearby.address} is one of the study's; give the key of the study that is served "
        "there, and make sure that no proxy changes images"
    ):
        nearby.audit()


def test_an_unreachable_server_is_reported(site):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/study"
        with pytest.raises(
            StudyError, match=rf"^{address} does not answer \(.*\); check that the study is served there$"
        ):
            audit(address, site.key)


def test_a_missing_log_is_reported(nearby, tmp_path):
    with study_error(f"{tmp_path / 'log'} cannot be read (No such file or directory); name the server's log"):
        nearby.audit(log=tmp_path / "log")
