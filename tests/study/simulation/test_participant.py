"""Simulated participants: they choose by preference, use the pages as a browser does, and survive crashes."""

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import httpx
import pytest

from study.analysis.result import SIMULATED_NOTE
from study.database.tokens import new_id
from study.design.spec import StimulusImage
from study.simulation import participant
from study.simulation.dry_run import Server, copy_study, simulate_on_copy
from study.simulation.participant import parse_question, percentiles
from study.simulation.preferences import Preferences, SimulatedParticipant, correct_position
from study.store import Store
from study.web.html_form import Form, Option, Page, parse_page
from tests.support.study_sample import LANDMARKS, draft, live, query, study_error
from tests.support.study_site import site

pytestmark = pytest.mark.integration
FOR_LORA = Preferences(buy=1, landmark=1, style=1, blinding_check=1, either=1, consistency=1, correlation=0)


def pair(landmark, *images):
    return [StimulusImage("candidate", landmark, origin, b"") for origin in images]


# --- preferences ------------------------------------------------------------------------------------------------------


def test_preferences_are_parsed_by_name():
    assert Preferences.parse([]) == Preferences()
    assert Preferences.parse(["lora=0.75", "style=0.5", "either=1"]) == Preferences(
        buy=0.75, landmark=0.75, style=0.5, either=1.0
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "taste=1",
            "there is no preference 'taste'; choose one of lora, buy, landmark, style, blinding_check, either, "
            "consistency, correlation",
        ),
        ("lora", "the preference lora is ''; write a share such as lora=0.75"),
        ("lora=most", "the preference lora is 'most'; write a share such as lora=0.75"),
        ("lora=1.5", "the preference buy is 1.5; it must be a share from 0 to 1"),
        ("blinding_check=nan", "the preference blinding_check is nan; it must be a share from 0 to 1"),
        ("correlation=1", "the preference correlation is 1; it must be below 1"),
    ],
)
def test_a_wrong_preference_gets_one_sentence(text, sentence):
    with study_error(sentence):
        Preferences.parse([text])


def simulated_choices(preferences, count, question="buy", menu=("none",)):
    """What simulated participants choose for each landmark: (participant, landmark) -> origin or menu word."""
    found = {}
    for number in range(count):
        simulated = SimulatedParticipant(preferences, 7, number)
        for landmark in LANDMARKS:
            images = Random(f"{number}{landmark}").sample(pair(landmark, "original", "lora", "ti"), 3)
            chosen = simulated.choose(question, landmark, images, menu)
            found[number, landmark] = chosen if isinstance(chosen, str) else images[chosen - 1].origin
    return found


@pytest.mark.parametrize("correlation", [0, 0.3])
def test_many_choices_have_the_given_shares(correlation):
    found = Counter(simulated_choices(Preferences(buy=0.75, either=0.8, correlation=correlation), 2000).values())
    shares = {name: count / 10_000 for name, count in found.items()}
    assert shares == pytest.approx({"lora": 0.6, "ti": 0.2, "original": 0.1, "none": 0.1}, abs=0.02)


@pytest.mark.parametrize("correlation", [0, 0.3, 0.6])
def test_two_choices_of_a_participant_have_the_given_correlation(correlation):
    found = simulated_choices(Preferences(buy=0.5, either=1, correlation=correlation), 3000)
    signs = {key: 1 if origin == "lora" else -1 for key, origin in found.items()}
    pairs = [signs[number, LANDMARKS[0]] * signs[number, LANDMARKS[1]] for number in range(3000)]
    assert sum(pairs) / 3000 == pytest.approx(correlation, abs=0.04)


@pytest.mark.parametrize("consistency", [0, 0.9, 1])
def test_a_retest_is_answered_as_before_with_the_given_chance(consistency):
    same = 0
    for number in range(1000):
        simulated = SimulatedParticipant(Preferences(style=1, consistency=consistency), 0, number)
        images = pair("Petra", "lora", "ti")
        first = simulated.choose("style", None, images, ())
        again = simulated.choose("style", None, images[::-1], ())
        same += images[first - 1] is images[::-1][again - 1]
    assert same / 1000 == pytest.approx(consistency, abs=0.02)


def test_choices_do_not_depend_on_order_and_position():
    def choices(landmarks):
        simulated = SimulatedParticipant(Preferences(), 3, 5)
        found = {}
        for landmark in landmarks:
            images = Random(new_id()).sample(pair(landmark, "original", "lora", "ti"), 3)
            chosen = simulated.choose("buy", None, images, ("none",))
            found[landmark] = chosen if isinstance(chosen, str) else images[chosen - 1].origin
        return found

    assert choices(LANDMARKS) == choices(LANDMARKS[::-1])


def test_on_a_board_all_images_of_a_method_are_equally_likely():
    board = [image for landmark in LANDMARKS for image in pair(landmark, "original", "lora", "ti")]
    chosen = [SimulatedParticipant(FOR_LORA, 0, number).choose("buy", None, board, ("none",)) for number in range(1000)]
    found = Counter((board[position - 1].landmark, board[position - 1].origin) for position in chosen)
    assert found == pytest.approx({(landmark, "lora"): 200 for landmark in LANDMARKS}, abs=40)


def test_attention_checks_have_a_correct_position():
    original, photo = StimulusImage("candidate", "Petra", "original", b""), StimulusImage("photo", "Petra", None, b"")
    bridge, tower = (StimulusImage("practice", name, "original", b"") for name in ("Bridge", "Tower"))
    assert correct_position("Petra", [bridge, original]) == 2
    assert correct_position(None, [original, photo]) == 1
    assert correct_position("Tower", [bridge, tower]) == 2
    assert correct_position(None, [bridge, tower, bridge]) is None
    assert correct_position("Petra", pair("Petra", "lora", "ti")) is None


# --- pages ------------------------------------------------------------------------------------------------------------


def test_a_page_is_parsed_as_in_a_browser():
    page = parse_page(
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
    ("heading", "question", "landmark"),
    [
        ("Which of these pictures would you buy as artwork?", "buy", None),
        ("In which picture is Bab-e-Khyber (Peshawar) well preserved?", "landmark", "Bab-e-Khyber (Peshawar)"),
        ("In which one of these pictures is the landmark preserved best?", "landmark", None),
        ("Which picture is closer in style to the four pictures above?", "style", None),
        ("One of these was made by a method called LoRA. Which one, would you say?", "blinding_check", None),
    ],
)
def test_a_question_is_parsed(heading, question, landmark):
    assert parse_question(heading) == (question, landmark)


def test_an_unknown_question_is_an_error():
    with pytest.raises(participant.SimulationError) as caught:
        parse_question("Which would you eat?")
    assert str(caught.value) == "the question 'Which would you eat?' is unknown"


def test_percentiles_are_by_nearest_rank():
    assert percentiles([float(ms) for ms in range(100, 0, -1)]) == {"p50": 50.0, "p95": 95.0, "max": 100.0}
    few = [float(ms) for ms in range(1, 31)]
    assert percentiles(few) == {"p50": 15.0, "p95": 29.0, "max": 30.0}
    assert percentiles([3.14]) == {"p50": 3.1, "p95": 3.1, "max": 3.1}
    assert percentiles([]) == {}


# --- taking part ------------------------------------------------------------------------------------------------------


def locked_copy(folder):
    """A locked copy of a draft, and the image behind every sha256."""
    return copy_study(draft(folder / "draft"), folder / "copy", 3)


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_a_dry_run_finds_the_preferences(tmp_path, instrument):
    store = draft(tmp_path, instrument=instrument)
    run = simulate_on_copy(store, 2, FOR_LORA, concurrency=2)
    log, found = run.log, run.result.values
    trials = {"triad": 27, "paper": 23}[instrument]
    assert (log.errors, log.retries, len(log.codes), len(log.answers)) == ([], 0, 2, 2 * trials)
    assert (len(log.answer_ms), len(log.page_ms)) == (2 * trials, 2 * (trials + 2))
    shares = {
        name: question.get("lora", question.get("shares", {}).get("lora"))
        for name, question in found["all"]["questions"].items()
    }
    assert [share["share" if instrument == "paper" else "mean"] for share in shares.values()] == [1, 1, 1]
    assert found["all"]["blinding_check"]["correct"]["mean"] == 1
    assert found["excluded"] == []  # attention checks right, neither too fast nor always at one position
    assert (found["simulated"], found["analysis_as_locked"], run.result.notes) == (True, True, (SIMULATED_NOTE,))
    assert run.result.text().startswith(f"> {SIMULATED_NOTE}\n\n# What may be claimed")


def test_a_dry_run_does_not_change_the_study(tmp_path):
    store = draft(tmp_path, participants=50)
    simulate_on_copy(store, 2, Preferences())
    assert (store.status().state, store.status().counts, store.definition().participants) == ("draft", {}, 50)
    assert [(entry["action"], entry["detail"].get("purpose")) for entry in store.audit()] == [
        ("created", None),
        ("key opened", "dry run"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.db", "study.db"]


def test_a_live_study_has_no_dry_run(tmp_path):
    store = live(tmp_path)
    before = store.audit()
    with study_error(
        "the study is live, and its key stays closed until the study is closed; simulate on a draft that was "
        "created from the same images"
    ):
        simulate_on_copy(store, 2, Preferences())
    assert store.audit() == before


def test_a_copy_has_the_same_bytes(tmp_path):
    store = draft(tmp_path / "draft")
    copy, images = copy_study(store, tmp_path / "copy", 6)
    blobs = "SELECT sha256, role, landmark FROM stimulus ORDER BY sha256"
    assert query(copy, blobs) == query(store, blobs)
    assert sorted((key, image.role, image.landmark) for key, image in images.items()) == query(store, blobs)
    assert (copy.status().state, copy.definition().participants) == ("live", 6)


@pytest.mark.parametrize("number", [0, 10_001])
def test_numbers_have_bounds(number):
    with study_error(f"the number of participants is {number}; it must be 1 to 10000"):
        participant.simulate("", number, Preferences(), {})
    with study_error(f"the number of participants at once is {number}; it must be 1 to 10000"):
        participant.simulate("", 1, Preferences(), {}, concurrency=number)


def test_every_acknowledged_answer_is_in_the_database(tmp_path):
    copy, images = locked_copy(tmp_path)
    with site(lambda: copy, "simulated") as address:
        log = participant.simulate(address, 3, Preferences(), images, seed=1)
        late = participant.simulate(address, 1, Preferences(), images)
    assert stored_answers(copy) == sorted((one.trial, one.response, one.choice) for one in log.answers)
    assert Counter(one.participant for one in log.answers) == {0: 27, 1: 27, 2: 27}
    assert copy.status().counts == {"simulated": {"complete": 3}}
    assert late.errors == [
        "participant 1: the page is not the consent: All 3 places in this study are filled; thank you, no "
        "more answers are needed."
    ]


def test_live_and_simulated_participants_never_mix(tmp_path):
    copy, images = locked_copy(tmp_path)
    copy.join("live", "1")
    with site(lambda: copy, "simulated") as address:
        log = participant.simulate(address, 1, Preferences(), images)
    assert log.errors == [
        "participant 1: the page is not the consent: This study has live answers, which never mix with "
        "simulated ones; create a new study."
    ]


def test_an_image_of_another_study_is_an_error(tmp_path):
    copy, images = locked_copy(tmp_path)
    del images[next(key for key, one in images.items() if one.role == "candidate" and one.origin == "lora")]
    with site(lambda: copy, "simulated") as address:
        log = participant.simulate(address, 1, Preferences(), images)
    assert log.errors == ["participant 1: an image is not one of the study's"]


def test_an_unreachable_server_is_an_error(monkeypatch):
    monkeypatch.setattr(participant, "RETRY_SECONDS", 0.1)
    log = participant.simulate("http://127.0.0.1:9/study", 2, Preferences(), {})
    assert sorted(error.split(" (")[0] for error in log.errors) == [
        "participant 1: no connection for 0.1 s",
        "participant 2: no connection for 0.1 s",
    ]
    assert log.retries >= 2


def stored_answers(store):
    """(trial, response, choice as the form sent it) of every answer in the database."""
    found = query(store, "SELECT trial, id, choice, position FROM response")
    return sorted(
        (trial, response, choice if position is None else str(position)) for trial, response, choice, position in found
    )


class Lossy(httpx.AsyncHTTPTransport):
    """Loses a third of all requests, and the replies to another third."""

    random = Random(0)

    async def handle_async_request(self, request):
        turn = self.random.random()
        if turn < 1 / 3:
            raise httpx.ConnectError("request lost", request=request)
        reply = await super().handle_async_request(request)
        if turn < 2 / 3:
            await reply.aclose()
            raise httpx.ReadError("reply lost", request=request)
        return reply


def test_lost_answers_are_sent_again_and_stored_once(tmp_path, monkeypatch):
    plain = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **named: plain(transport=Lossy(), **named))
    monkeypatch.setattr(participant, "MAX_RETRY_WAIT", 0.001)
    copy, images = locked_copy(tmp_path)
    with site(lambda: copy, "simulated") as address:
        log = participant.simulate(address, 1, Preferences(), images)
    assert (log.errors, len(log.codes)) == ([], 1)
    assert log.retries > 27
    assert stored_answers(copy) == sorted((one.trial, one.response, one.choice) for one in log.answers)
    assert len(log.answers) == 27


# --- load and crashes ------------------------------------------------------------------------------------------------


def test_fifty_participants_at_once(tmp_path):
    copy, images = copy_study(draft(tmp_path / "draft"), tmp_path / "copy", 50)
    with Server(copy.folder) as server:
        log = participant.simulate(server.address, 50, Preferences(), images, concurrency=50)
    print(f"50 at once without a pause, {log.seconds:.1f} s: {percentiles(log.answer_ms)}")
    assert (log.errors, len(log.codes)) == ([], 50)
    assert stored_answers(copy) == sorted((one.trial, one.response, one.choice) for one in log.answers)
    assert len(log.answers) == 50 * 27
    assert copy.status().counts == {"simulated": {"complete": 50}}


def test_a_server_that_is_killed_loses_no_answer(tmp_path):
    kills, count = int(os.environ.get("STUDY_KILLS", "5")), int(os.environ.get("STUDY_PEOPLE", "12"))
    copy, images = copy_study(draft(tmp_path / "draft"), tmp_path / "copy", count)
    wait, random = threading.Event().wait, Random(0)
    with Server(copy.folder) as server, ThreadPoolExecutor(1) as pool:
        simulation = pool.submit(participant.simulate, server.address, count, Preferences(), images, concurrency=count)
        for number in range(kills):
            while len(stored_answers(copy)) < (number + 0.5) / kills * count * 27:
                wait(0.01)
            wait(random.uniform(0, 0.03))  # at another moment of a request each time
            server.kill()
            server.start()
        log = simulation.result()
    assert (log.errors, len(log.codes)) == ([], count)
    assert log.retries > 0
    assert stored_answers(copy) == sorted((one.trial, one.response, one.choice) for one in log.answers)
    assert len(log.answers) == count * 27
    assert query(Store(copy.folder), "PRAGMA integrity_check") == [("ok",)]
    assert copy.audit_chain_ok()
