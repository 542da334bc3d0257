"""Artificial participants: they choose as they were told, find their way as people do, and survive crashes."""

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import httpx
import pytest

from study.analysis.result import INVENTED
from study.database.tokens import new_id
from study.design.spec import Picture
from study.simulation import participant
from study.simulation.dry_run import Server, copy, rehearse
from study.simulation.participant import Simulated, understand
from study.simulation.preferences import Preferences, Taste, right
from study.store import Store
from study.web.html_form import Form, Option, Page, read
from tests.support.study_sample import LANDMARKS, draft, live, query, told
from tests.support.study_site import site

FOR_LORA = Preferences(buy=1, landmark=1, style=1, guess=1, either=1, steady=1, correlation=0)


def pair(landmark, *origins):
    return [Picture("candidate", landmark, origin, b"") for origin in origins]


# --- preferences ------------------------------------------------------------------------------------------------------


def test_preferences_are_told_by_name():
    assert Preferences.told([]) == Preferences()
    assert Preferences.told(["lora=0.75", "style=0.5", "either=1"]) == Preferences(
        buy=0.75, landmark=0.75, style=0.5, either=1.0
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "taste=1",
            "there is no preference 'taste'; known are lora, buy, landmark, style, guess, either, steady, correlation",
        ),
        ("lora", "the preference lora is ''; write a share as lora=0.75"),
        ("lora=most", "the preference lora is 'most'; write a share as lora=0.75"),
        ("lora=1.5", "the preference buy is 1.5; it is a share, from 0 to 1"),
        ("guess=nan", "the preference guess is nan; it is a share, from 0 to 1"),
        ("correlation=1", "the preference correlation is 1; it must be below, since nobody answers always the same"),
    ],
)
def test_a_wrong_preference_gets_one_sentence(text, sentence):
    with told(sentence):
        Preferences.told([text])


def votes(preferences, people, question="buy", menu=("none",)):
    """What artificial people choose about each landmark: (person, landmark) -> origin or word."""
    found = {}
    for person in range(people):
        taste = Taste(preferences, 7, person)
        for landmark in LANDMARKS:
            pictures = Random(f"{person}{landmark}").sample(pair(landmark, "original", "lora", "ti"), 3)
            chosen = taste.choose(question, landmark, pictures, menu)
            found[person, landmark] = chosen if isinstance(chosen, str) else pictures[chosen - 1].origin
    return found


@pytest.mark.parametrize("correlation", [0, 0.3])
def test_of_many_votes_the_shares_are_those_that_were_asked_for(correlation):
    found = Counter(votes(Preferences(buy=0.75, either=0.8, correlation=correlation), 2000).values())
    shares = {name: count / 10_000 for name, count in found.items()}
    assert shares == pytest.approx({"lora": 0.6, "ti": 0.2, "original": 0.1, "none": 0.1}, abs=0.02)


@pytest.mark.parametrize("correlation", [0, 0.3, 0.6])
def test_two_votes_of_one_person_are_correlated_as_asked_for(correlation):
    found = votes(Preferences(buy=0.5, either=1, correlation=correlation), 3000)
    signs = {key: 1 if origin == "lora" else -1 for key, origin in found.items()}
    pairs = [signs[person, LANDMARKS[0]] * signs[person, LANDMARKS[1]] for person in range(3000)]
    assert sum(pairs) / 3000 == pytest.approx(correlation, abs=0.04)


@pytest.mark.parametrize("steady", [0, 0.9, 1])
def test_a_question_that_comes_again_is_answered_as_before_with_the_given_chance(steady):
    same = 0
    for person in range(1000):
        taste = Taste(Preferences(style=1, steady=steady), 0, person)
        pictures = pair("Petra", "lora", "ti")
        first = taste.choose("style", None, pictures, ())
        again = taste.choose("style", None, pictures[::-1], ())
        same += pictures[first - 1] is pictures[::-1][again - 1]
    assert same / 1000 == pytest.approx(steady, abs=0.02)


def test_what_a_person_chooses_does_not_hang_on_when_and_where_it_is_shown():
    def choices(landmarks):
        taste = Taste(Preferences(), 3, 5)
        found = {}
        for landmark in landmarks:
            pictures = Random(new_id()).sample(pair(landmark, "original", "lora", "ti"), 3)
            chosen = taste.choose("buy", None, pictures, ("none",))
            found[landmark] = chosen if isinstance(chosen, str) else pictures[chosen - 1].origin
        return found

    assert choices(LANDMARKS) == choices(LANDMARKS[::-1])


def test_on_a_board_all_pictures_of_a_method_are_as_likely():
    board = [picture for landmark in LANDMARKS for picture in pair(landmark, "original", "lora", "ti")]
    chosen = [Taste(FOR_LORA, 0, person).choose("buy", None, board, ("none",)) for person in range(1000)]
    found = Counter((board[number - 1].landmark, board[number - 1].origin) for number in chosen)
    assert found == pytest.approx({(landmark, "lora"): 200 for landmark in LANDMARKS}, abs=40)


def test_a_catch_is_seen_by_looking():
    original, photo = Picture("candidate", "Petra", "original", b""), Picture("photo", "Petra", None, b"")
    bridge, tower = (Picture("practice", name, "original", b"") for name in ("Bridge", "Tower"))
    assert right("Petra", [bridge, original]) == 2
    assert right(None, [original, photo]) == 1
    assert right("Tower", [bridge, tower]) == 2
    assert right(None, [bridge, tower, bridge]) is None
    assert right("Petra", pair("Petra", "lora", "ti")) is None


# --- pages ------------------------------------------------------------------------------------------------------------


def test_a_page_is_read_as_a_browser_does():
    page = read(
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/a.css"><script src="/a.js"></script>'
        '<p>Question 1\n of &lt;2&gt;</p><form method="post" action="/go" data-shown="/seen"><h1>Which <b>one</b>?</h1>'
        '<input type="hidden" name="trial" value="t"><img src="/beside"><input name="code">'
        '<label><img src="/1"><span><input type="radio" name="choice" value="1"> Image 1</span></label>'
        '<label><input type="radio" name="choice" value="none" checked> None of them</label>'
        '<input type="checkbox" name="agree" value="yes"></form><code>AB-C</code>'
    )
    assert page == Page(
        heading="Which one?",
        paragraphs=["Question 1 of <2>"],
        codes=["AB-C"],
        beside=["/beside"],
        files=["/a.css", "/a.js", "/beside", "/1"],
        form=Form(
            "post",
            "/go",
            {"shown": "/seen"},
            {"trial": "t", "code": "", "choice": "none"},
            {"agree": "yes"},
            [Option("Image 1", "/1", "choice", "1"), Option("None of them", None, "choice", "none")],
        ),
    )


@pytest.mark.parametrize(
    ("asked", "question", "landmark"),
    [
        ("Which of these pictures would you buy as artwork?", "buy", None),
        ("In which picture is Bab-e-Khyber (Peshawar) well preserved?", "landmark", "Bab-e-Khyber (Peshawar)"),
        ("In which one of these pictures is the landmark preserved best?", "landmark", None),
        ("Which picture is closer in style to the four pictures above?", "style", None),
        ("One of these was made by a method called LoRA. Which one, would you say?", "guess", None),
    ],
)
def test_a_question_is_understood(asked, question, landmark):
    assert understand(asked) == (question, landmark)


def test_a_question_that_is_not_understood_ends_the_walk():
    with pytest.raises(participant.Lost) as lost:
        understand("Which would you eat?")
    assert str(lost.value) == "the question 'Which would you eat?' is not understood"


def test_latencies_are_told_by_the_nearest_rank():
    assert Simulated(1, latencies=[float(ms) for ms in range(100, 0, -1)]).latency() == {
        "p50": 50.0,
        "p95": 95.0,
        "max": 100.0,
    }
    few = [float(ms) for ms in range(1, 31)]
    assert Simulated(1, latencies=few).latency() == {"p50": 15.0, "p95": 29.0, "max": 30.0}
    assert Simulated(1, latencies=[3.14]).latency() == {"p50": 3.1, "p95": 3.1, "max": 3.1}
    assert Simulated(1).latency() == {}


# --- walking ----------------------------------------------------------------------------------------------------------


def known(folder):
    """A draft, and a way to have it locked with what is behind its pictures."""
    return copy(draft(folder / "draft"), folder / "copy", 3)


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_a_rehearsal_finds_what_the_people_like(tmp_path, instrument):
    store = draft(tmp_path, instrument=instrument)
    seen = rehearse(store, 2, FOR_LORA, concurrency=2)
    walked, found = seen.simulated, seen.result.values
    trials = {"triad": 27, "paper": 23}[instrument]
    assert (walked.errors, walked.retries, len(walked.codes), len(walked.answers)) == ([], 0, 2, 2 * trials)
    assert (len(walked.latencies), len(walked.pages)) == (2 * trials, 2 * (trials + 2))
    shares = {
        name: told.get("lora", told.get("shares", {}).get("lora")) for name, told in found["all"]["questions"].items()
    }
    assert [share["share" if instrument == "paper" else "mean"] for share in shares.values()] == [1, 1, 1]
    assert found["all"]["guess"]["right"]["mean"] == 1
    assert found["excluded"] == []  # catch trials right, neither too fast nor always at one position
    assert (found["simulated"], found["analysis_as_locked"], seen.result.notes) == (True, True, (INVENTED,))
    assert seen.result.text().startswith(f"> {INVENTED}\n\n# What may be said")


def test_a_rehearsal_leaves_the_study_as_it_was(tmp_path):
    store = draft(tmp_path, participants=50)
    rehearse(store, 2, Preferences())
    assert (store.status().state, store.status().counts, store.definition().participants) == ("draft", {}, 50)
    assert [(entry["action"], entry["detail"].get("purpose")) for entry in store.audit()] == [
        ("created", None),
        ("key opened", "rehearsal"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.db", "study.db"]


def test_a_live_study_is_not_rehearsed(tmp_path):
    store = live(tmp_path)
    before = store.audit()
    with told(
        "the study is live, and nothing opens its key before the closing; simulate on a draft that was created "
        "from the same pictures"
    ):
        rehearse(store, 2, Preferences())
    assert store.audit() == before


def test_a_copy_shows_the_same_bytes(tmp_path):
    store = draft(tmp_path / "draft")
    stage, origins = copy(store, tmp_path / "copy", 6)
    blobs = "SELECT sha256, role, landmark FROM stimulus ORDER BY sha256"
    assert query(stage, blobs) == query(store, blobs)
    assert sorted((key, one.role, one.landmark) for key, one in origins.items()) == query(store, blobs)
    assert (stage.status().state, stage.definition().participants) == ("live", 6)


@pytest.mark.parametrize("number", [0, 10_001])
def test_numbers_have_bounds(number):
    with told(f"the number of people (people) is {number}; it must be 1 to 10000"):
        participant.simulate("", number, Preferences(), {})
    with told(f"the number of people (at once) is {number}; it must be 1 to 10000"):
        participant.simulate("", 1, Preferences(), {}, concurrency=number)


def test_every_acknowledged_answer_is_in_the_database_and_says_who_chose_what(tmp_path):
    stage, origins = known(tmp_path)
    with site(lambda: stage, "simulated") as address:
        walked = participant.simulate(address, 3, Preferences(), origins, seed=1)
        late = participant.simulate(address, 1, Preferences(), origins)
    assert kept(stage) == sorted((one.trial, one.response, one.choice) for one in walked.answers)
    assert Counter(one.person for one in walked.answers) == {0: 27, 1: 27, 2: 27}
    assert stage.status().counts == {"simulated": {"complete": 3}}
    assert late.errors == [
        "person 1: there is no consent, but: All 3 places of this study are filled; thank you, no "
        "more answers are needed."
    ]


def test_people_and_artificial_ones_never_mix(tmp_path):
    stage, origins = known(tmp_path)
    stage.join("live", "1")
    with site(lambda: stage, "simulated") as address:
        walked = participant.simulate(address, 1, Preferences(), origins)
    assert walked.errors == [
        "person 1: there is no consent, but: This study has live answers, which never mix with "
        "simulated ones; create another study."
    ]


def test_a_picture_that_is_not_the_studys_ends_the_walk(tmp_path):
    stage, origins = known(tmp_path)
    del origins[next(key for key, one in origins.items() if one.role == "candidate" and one.origin == "lora")]
    with site(lambda: stage, "simulated") as address:
        walked = participant.simulate(address, 1, Preferences(), origins)
    assert walked.errors == ["person 1: a picture is not one of the study's"]


def test_a_server_that_is_not_there_is_given_up(monkeypatch):
    monkeypatch.setattr(participant, "PATIENCE", 0.1)
    walked = participant.simulate("http://127.0.0.1:9/study", 2, Preferences(), {})
    assert sorted(error.split(" (")[0] for error in walked.errors) == [
        "person 1: no connection for 0.1 s",
        "person 2: no connection for 0.1 s",
    ]
    assert walked.retries >= 2


def kept(store):
    """(trial, response, choice as the form sent it) of everything in the database."""
    found = query(store, "SELECT trial, id, choice, position FROM response")
    return sorted(
        (trial, response, choice if position is None else str(position)) for trial, response, choice, position in found
    )


class Lossy(httpx.AsyncHTTPTransport):
    """Loses a third of all requests, and the answers to another third."""

    random = Random(0)

    async def handle_async_request(self, request):
        turn = self.random.random()
        if turn < 1 / 3:
            raise httpx.ConnectError("lost on the way there", request=request)
        reply = await super().handle_async_request(request)
        if turn < 2 / 3:
            await reply.aclose()
            raise httpx.ReadError("lost on the way back", request=request)
        return reply


def test_what_the_network_loses_is_sent_again_and_kept_once(tmp_path, monkeypatch):
    plain = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **named: plain(transport=Lossy(), **named))
    monkeypatch.setattr(participant, "LONGEST_WAIT", 0.001)
    stage, origins = known(tmp_path)
    with site(lambda: stage, "simulated") as address:
        walked = participant.simulate(address, 1, Preferences(), origins)
    assert (walked.errors, len(walked.codes)) == ([], 1)
    assert walked.retries > 27
    assert kept(stage) == sorted((one.trial, one.response, one.choice) for one in walked.answers)
    assert len(walked.answers) == 27


# --- many, and crashes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fifty_people_at_once(tmp_path):
    stage, origins = copy(draft(tmp_path / "draft"), tmp_path / "copy", 50)
    with Server(stage.folder) as server:
        walked = participant.simulate(server.address, 50, Preferences(), origins, concurrency=50)
    print(f"50 at once without a pause, {walked.seconds:.1f} s: {walked.latency()}")
    assert (walked.errors, len(walked.codes)) == ([], 50)
    assert kept(stage) == sorted((one.trial, one.response, one.choice) for one in walked.answers)
    assert len(walked.answers) == 50 * 27
    assert stage.status().counts == {"simulated": {"complete": 50}}


@pytest.mark.slow
def test_a_server_that_is_killed_loses_no_answer(tmp_path):
    kills, people = int(os.environ.get("STUDY_KILLS", "5")), int(os.environ.get("STUDY_PEOPLE", "12"))
    stage, origins = copy(draft(tmp_path / "draft"), tmp_path / "copy", people)
    wait, random = threading.Event().wait, Random(0)
    with Server(stage.folder) as server, ThreadPoolExecutor(1) as pool:
        walking = pool.submit(participant.simulate, server.address, people, Preferences(), origins, concurrency=people)
        for number in range(kills):
            while len(kept(stage)) < (number + 0.5) / kills * people * 27:
                wait(0.01)
            wait(random.uniform(0, 0.03))  # somewhere within a request, elsewhere each time
            server.kill()
            server.start()
        walked = walking.result()
    assert (walked.errors, len(walked.codes)) == ([], people)
    assert walked.retries > 0
    assert kept(stage) == sorted((one.trial, one.response, one.choice) for one in walked.answers)
    assert len(walked.answers) == people * 27
    assert query(Store(stage.folder), "PRAGMA integrity_check") == [("ok",)]
    assert stage.audit_chain_ok()
