"""Participation: a slot, one answer per trial, coming back, withdrawing."""

import json
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from study import StudyError
from study.database.trials import CurrentTrial
from study.store import Store
from tests.support.study_sample import (
    ANALYSIS,
    MINUTE,
    START,
    Clock,
    answer_all,
    answer_one,
    bytes_of,
    draft,
    live,
    query,
    study_error,
    traces,
)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    """A live study for 48."""
    return live(tmp_path / "study", clock)


@pytest.fixture
def person(store):
    """The token of a new participant."""
    return store.join("live", "1").token


# --- joining ----------------------------------------------------------------------------------------------------------


def join_or_message(store):
    try:
        return store.join("live", "1")
    except StudyError as error:
        return str(error)


@pytest.mark.parametrize("target", [48, 50])
def test_fifty_at_once_get_different_slots_up_to_the_target(tmp_path, target):
    store = live(tmp_path, participants=target)
    assert store.status().slots == {"free": 60}
    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(join_or_message, [store] * 50))
    joined = [one for one in results if not isinstance(one, str)]
    assert len(joined) == target
    full = (
        "all 48 places in this study are taken: 0 finished, 48 in progress; an abandoned place becomes free after "
        "120 minutes, so try again later"
    )
    assert [one for one in results if isinstance(one, str)] == [full] * (50 - target)
    holders = query(store, "SELECT number, participant FROM slot WHERE state = 'leased' ORDER BY number")
    assert [number for number, _ in holders] == list(range(target))
    assert sorted(participant for _, participant in holders) == sorted(one.participant for one in joined)
    assert store.status().slots == {"leased": target, "free": 60 - target}
    assert query(store, "SELECT count(*) FROM participant") == [(target,)]
    assert len({one.token for one in joined}) == target


def test_a_participant_sees_the_plan_of_the_slot(store):
    store.join("live", "1")
    joined = store.join("live", "1")
    ((text,),) = query(store, "SELECT plan FROM slot WHERE number = 1")
    for trial in json.loads(text):
        current = store.current(joined.token)
        seen = {
            name: [
                query(store, "SELECT stimulus FROM trial_option WHERE view_token = ?", view)[0][0]
                for view in getattr(current, name)
            ]
            for name in ("options", "shown")
        }
        assert seen == {"options": trial["options"], "shown": trial["shown"]}
        assert (
            current.number,
            current.total,
            current.kind,
            current.block,
            current.question,
            current.landmark,
            list(current.menu),
            current.done,
            current.completion_code,
        ) == (
            trial["seq"],
            27,
            trial["kind"],
            trial["block"],
            trial["question"],
            trial["landmark"],
            trial["menu"],
            False,
            None,
        )
        answer_one(store, joined.token)
    assert store.current(joined.token).done


def test_the_database_has_only_the_hash_of_a_token(store):
    joined = store.join("live", "version 3")
    assert re.fullmatch("[0-9a-f]{32}", joined.token)
    assert joined.token.encode() not in bytes_of(store)
    ((found,),) = query(store, "SELECT token_sha256 FROM participant WHERE id = ?", joined.participant)
    assert found == sha256(joined.token.encode()).hexdigest()
    assert query(store, "SELECT consent_version, consent_at FROM participant") == [("version 3", START)]


def test_joining_twice_with_one_link_gives_one_participant(store):
    link = "a-link_created-by-the-page"
    with ThreadPoolExecutor(8) as pool:
        joined = set(pool.map(lambda _: store.join("live", "1", link), range(8)))
    assert {one.token for one in joined} == {link}
    assert [(one.participant,) for one in joined] == query(store, "SELECT id FROM participant")
    after = answer_one(store, link)
    store.close()
    assert {store.join("live", "1", link)} == joined  # even when nobody else may join
    assert after.number == 2


@pytest.mark.parametrize("link", ["", "a" * 21, "a" * 65, "a" * 30 + "/", "ä" * 30])
def test_a_link_without_a_proper_secret_is_refused(store, link):
    with study_error(f"the secret of a personal link is {link[:80]!r}; use 22 to 64 letters, digits, - or _"):
        store.join("live", "1", link)
    assert store.status().counts == {}


def test_the_page_can_ask_whether_joining_is_possible(tmp_path):
    store = draft(tmp_path, participants=2)
    assert (store.refusal("pilot"), store.refusal()) == (
        None,
        "this study has not started; lock its definition and its analysis first",
    )
    store.lock(ANALYSIS)
    assert (store.refusal("pilot"), store.refusal()) == (
        "the pilot ended when the study was locked; join the study itself",
        None,
    )
    for _ in range(2):
        answer_all(store, store.join("live", "1").token)
    assert store.refusal() == "all 2 places in this study are filled; thank you, no more answers are needed"
    assert query(store, "SELECT count(*) FROM participant") == [(2,)]


def test_without_consent_nobody_joins(store):
    for version in ("", " "):
        with study_error("the version of the consent is empty; show the consent and give its version"):
            store.join("live", version)
    assert store.status().counts == {}


@pytest.mark.parametrize(
    ("state", "mode", "message"),
    [
        ("draft", "live", "this study has not started; lock its definition and its analysis first"),
        ("draft", "simulated", "this study has not started; lock its definition and its analysis first"),
        ("live", "pilot", "the pilot ended when the study was locked; join the study itself"),
        ("closed", "live", "this study is closed; thank you, no more answers are needed"),
        ("closed", "pilot", "this study is closed; thank you, no more answers are needed"),
        ("live", "demo", "the mode is 'demo'; use live, pilot, simulated"),
    ],
)
def test_modes_that_can_join_in_each_state(tmp_path, state, mode, message):
    store = draft(tmp_path)
    if state != "draft":
        store.lock(ANALYSIS)
    if state == "closed":
        store.close()
    with study_error(message):
        store.join(mode, "1")


def test_simulated_answers_never_mix_with_live_ones(tmp_path):
    real, simulated = live(tmp_path / "a"), live(tmp_path / "b")
    real.join("live", "1")
    simulated.join("simulated", "1")
    with study_error("this study has live answers, which never mix with simulated ones; create a new study"):
        real.join("simulated", "1")
    with study_error("this study has simulated answers, which never mix with live ones; create a new study"):
        simulated.join("live", "1")


def test_a_full_study_admits_nobody_and_active_participants_can_finish(tmp_path, clock):
    store = live(tmp_path, clock, participants=2)
    tokens = [store.join("live", "1").token for _ in range(2)]
    answer_all(store, tokens[0])
    with study_error(
        "all 2 places in this study are taken: 1 finished, 1 in progress; an abandoned place becomes free after "
        "120 minutes, so try again later"
    ):
        store.join("live", "1")
    assert answer_all(store, tokens[1]).done
    with study_error("all 2 places in this study are filled; thank you, no more answers are needed"):
        store.join("live", "1")
    assert store.status().counts == {"live": {"complete": 2}}


# --- answering --------------------------------------------------------------------------------------------------------


def test_from_the_first_question_to_the_debrief(store, person):
    seen = [store.current(person)]
    while not seen[-1].done:
        seen.append(answer_one(store, person))
        assert store.current(person) == seen[-1]
    assert [one.number for one in seen] == [*range(1, 28), 27]
    last = seen[-1]
    assert last == CurrentTrial(
        number=27,
        total=27,
        side=32,
        withdrawal_code=seen[0].withdrawal_code,
        pilot=False,
        done=True,
        completion_code=last.completion_code,
    )
    assert query(store, "SELECT kind FROM event ORDER BY id") == [("joined",), ("completed",)]
    assert store.completion_codes() == [last.completion_code]


def test_the_paper_instrument_has_views_boards_and_a_blinding_check(tmp_path):
    store = live(tmp_path, instrument="paper")
    token = store.join("live", "1").token
    seen = []
    while not (current := store.current(token)).done:
        seen.append((current.block, len(current.options), len(current.shown), current.menu))
        answer_one(store, token)
    assert seen == [
        *[("view", 1, 0, ("seen",))] * 15,
        *[("board", 15, beside, ("none",)) for beside in (0, 5, 4)],
        *[("blinding_check", 2, 0, ("unsure",))] * 5,
    ]


def test_a_double_click_is_one_answer(store, person):
    first = store.current(person)
    after = store.answer(person, first.trial_id, "answer-1", "image", 1)
    assert store.answer(person, first.trial_id, "answer-1", "image", 1) == after
    assert after.number == 2
    assert query(store, "SELECT id, position FROM response") == [("answer-1", 1)]


def test_many_answers_to_one_question_at_once_are_one_answer(store, person):
    trial = store.current(person).trial_id

    def send(number):
        return store.answer(person, trial, f"answer-{number:02}", "image", 1 + number % 3)

    with ThreadPoolExecutor(20) as pool:
        results = set(pool.map(send, range(20)))
    assert results == {store.current(person)}
    assert query(store, "SELECT count(*) FROM response") == [(1,)]


def test_a_second_answer_to_a_question_changes_nothing(store, person, clock):
    first = store.current(person)
    after = store.answer(person, first.trial_id, "answer-1", "image", 1)
    before = bytes_of(store)
    clock.pass_(MINUTE)
    assert store.answer(person, first.trial_id, "answer-2", "none") == after
    assert store.answer(person, first.trial_id, "?", "nonsense", -1) == after
    store.shown(person, first.trial_id)
    assert bytes_of(store) == before


def test_a_used_answer_id_changes_nothing(store, person):
    first = store.current(person)
    after = store.answer(person, first.trial_id, "answer-1", "image", 1)
    before = bytes_of(store)
    assert store.answer(person, after.trial_id, "answer-1", "image", 2) == after
    assert bytes_of(store) == before
    other = store.join("live", "1").token
    with study_error("the answer id 'answer-1' belongs to another participant; reload the page"):
        store.answer(other, store.current(other).trial_id, "answer-1", "image", 1)
    assert query(store, "SELECT id, position FROM response") == [("answer-1", 1)]


def test_a_participant_cannot_answer_for_another(store, person):
    other = store.join("live", "1").token
    trial = store.current(other).trial_id
    for forged in (trial, "0" * 32, ""):
        with study_error("this question is not one of yours; reload the page"):
            store.answer(person, forged, "answer-1", "image", 1)
        with study_error("this question is not one of yours; reload the page"):
            store.shown(person, forged)
    assert query(store, "SELECT count(*) FROM response") == [(0,)]
    assert query(store, "SELECT count(*) FROM trial WHERE shown_at IS NOT NULL") == [(0,)]


def test_a_later_question_cannot_be_answered_early(store, person):
    ((later,),) = query(store, "SELECT id FROM trial WHERE seq = 3")
    with study_error("question 3 is not the current one; reload the page"):
        store.answer(person, later, "answer-1", "image", 1)
    assert store.current(person).number == 1


def test_a_forged_token_is_refused(store, person):
    trial = store.current(person).trial_id
    for forged in ("", "0" * 32, person[:-1], person.upper() + " ", sha256(person.encode()).hexdigest()):
        for call in (
            lambda: store.current(forged),  # noqa: B023
            lambda: store.shown(forged, trial),  # noqa: B023
            lambda: store.answer(forged, trial, "answer-1", "image", 1),  # noqa: B023
        ):
            with study_error("this personal link is unknown; it was shortened, or its answers were withdrawn"):
                call()
    assert store.current(person).number == 1


TIMES = "it must be from 0 to 604800000"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"choice": "lora"}, "the choice is 'lora'; this question offers image, none"),
        ({"choice": "both"}, "the choice is 'both'; this question offers image, none"),
        ({"choice": "image"}, "the position is None; this question has the positions 1 to 3"),
        ({"choice": "image", "position": 0}, "the position is 0; this question has the positions 1 to 3"),
        ({"choice": "image", "position": 4}, "the position is 4; this question has the positions 1 to 3"),
        ({"choice": "image", "position": "1"}, "the position is 1; this question has the positions 1 to 3"),
        ({"choice": "image", "position": True}, "the position is True; this question has the positions 1 to 3"),
        ({"choice": "none", "position": 1}, "the position is 1; 'none' is not an image and has no position"),
        ({"client_ms": -1}, f"the response time is -1 ms; {TIMES}"),
        ({"client_ms": 1.5}, f"the response time is 1.5 ms; {TIMES}"),
        ({"client_ms": 10**9}, f"the response time is 1000000000 ms; {TIMES}"),
        ({"input": "mind"}, "the input is 'mind'; use mouse, touch, pen, keyboard or nothing"),
        ({"response_id": "short"}, "the id of an answer is 'short'; use 8 to 64 letters, digits, - or _"),
        ({"response_id": "answer 1; --"}, "the id of an answer is 'answer 1; --'; use 8 to 64 letters, digits, - or _"),
    ],
)
def test_an_answer_that_is_not_offered_is_refused(store, person, values, message):
    trial = store.current(person).trial_id
    given = {"response_id": "answer-1", "choice": "none", **values}
    with study_error(message):
        store.answer(person, trial, **given)
    assert query(store, "SELECT count(*) FROM response") == [(0,)]
    assert store.current(person).number == 1


def test_in_a_view_trial_no_image_can_be_chosen(tmp_path):
    store = live(tmp_path, instrument="paper")
    token = store.join("live", "1").token
    with study_error("the choice is 'image'; this question offers seen"):
        store.answer(token, store.current(token).trial_id, "answer-1", "image", 1)


def test_an_answer_is_stored_with_its_times(store, person, clock):
    trials = []
    for shown in (True, False):
        trials.append(store.current(person).trial_id)
        if shown:
            store.shown(person, trials[-1])
            clock.pass_(400)
            store.shown(person, trials[-1])  # only the first call counts
        clock.pass_(1100)
        store.answer(person, trials[-1], f"answer-{shown}", "image", 2, client_ms=1450, input="touch")
    assert query(store, "SELECT * FROM response ORDER BY answered_at") == [
        ("answer-True", trials[0], "image", 2, 1450, 1500, "touch", START + 1500),
        ("answer-False", trials[1], "image", 2, 1450, None, "touch", START + 2600),
    ]


def test_a_clock_that_is_set_back_gives_no_negative_time(store, person, clock):
    trial = store.current(person).trial_id
    store.shown(person, trial)
    clock.pass_(-MINUTE)
    store.answer(person, trial, "answer-1", "image", 1)
    assert query(store, "SELECT server_ms FROM response") == [(0,)]


# --- leaving and coming back ------------------------------------------------------------------------------------------


def test_an_abandoned_slot_is_given_away_only_when_no_slot_is_free(tmp_path, clock):
    store = live(tmp_path, clock, participants=5, lease_minutes=30)  # six slots
    gone = store.join("live", "1")
    first = answer_one(store, gone.token)
    clock.pass_(30 * MINUTE)
    others = [store.join("live", "1") for _ in range(4)]
    with study_error(
        "all 5 places in this study are taken: 0 finished, 5 in progress; an abandoned place becomes free after "
        "30 minutes, so try again later"
    ):
        store.join("live", "1")
    clock.pass_(1)  # now the first participant has left
    assert store.expire() == 0  # one slot is free
    assert store.status().counts == {"live": {"active": 4, "left": 1}}
    sixth = store.join("live", "1")
    assert query(store, "SELECT number FROM slot WHERE participant = ?", sixth.participant) == [(5,)]
    answer_all(store, others[0].token)
    clock.pass_(30 * MINUTE + 1)
    for one in others[1:]:
        store.current(one.token)
    # one finished, three active, two left; the next participant finds all six slots in use and gets the first one
    newcomer = store.join("live", "1")
    holds = "SELECT number FROM slot WHERE participant = ?"
    assert query(store, holds, newcomer.participant) == [(0,)]
    assert query(store, holds, gone.participant) == query(store, holds, sixth.participant) == []
    story = "SELECT kind FROM event WHERE participant = ? ORDER BY id"
    assert query(store, story, gone.participant) == [("joined",), ("displaced",)]
    # the other slot that became free is enough for one of the two who come back
    assert store.current(gone.token) == first
    with study_error(
        "your place was given to another participant after 30 minutes without an answer, and all places are in use; "
        "your answers are saved, so try again later"
    ):
        store.current(sixth.token)
    assert query(store, story, gone.participant) == [("joined",), ("displaced",), ("resumed",)]
    assert answer_all(store, gone.token).done
    clock.pass_(30 * MINUTE + 1)
    assert store.current(sixth.token).number == 1


def test_answering_and_looking_count_as_activity(tmp_path, clock):
    store = live(tmp_path, clock, lease_minutes=30)
    token = store.join("live", "1").token
    for act in (
        lambda: answer_one(store, token),
        lambda: store.current(token),
        lambda: store.shown(token, query(store, "SELECT id FROM trial WHERE seq = 2")[0][0]),
    ):
        clock.pass_(30 * MINUTE)
        act()
        clock.pass_(MINUTE)
        assert store.status().counts == {"live": {"active": 1}}
        clock.pass_(-MINUTE)
    clock.pass_(30 * MINUTE + 1)
    assert store.status().counts == {"live": {"left": 1}}


def test_expire_uses_the_given_time(tmp_path, clock):
    store = draft(tmp_path, clock)
    for _ in range(6):
        store.join("pilot", "1")
    assert store.expire() == 0
    assert store.expire(clock.now + 120 * MINUTE) == 0
    assert store.expire(clock.now + 120 * MINUTE + 1) == 6
    assert query(store, "SELECT state, count(*) FROM slot GROUP BY state") == [("free", 6)]


def test_a_participant_who_comes_back_continues_after_the_last_answer(store, person, clock):
    after = answer_one(store, person)
    clock.pass_(1000 * MINUTE)
    assert Store(store.folder, clock).current(person) == after


def test_after_the_close_only_the_debrief_is_shown(store, person):
    done = answer_all(store, store.join("live", "1").token)
    other = store.join("live", "1").token
    finished = answer_all(store, other)
    trial = store.current(person).trial_id
    store.close()
    assert store.current(other) == finished
    assert finished.withdrawal_code != done.withdrawal_code
    closed = "this study is closed; thank you, no more answers are needed"
    for call in (
        lambda: store.current(person),
        lambda: store.shown(person, trial),
        lambda: store.answer(person, trial, "answer-1", "image", 1),
    ):
        with study_error(closed):
            call()
    assert store.status().slots == {"complete": 2, "void": 58}
    with study_error("the study is closed; this needs a study that is live, so create a new study"):
        store.close()


def test_a_draft_cannot_be_closed(tmp_path):
    with study_error("the study is draft; this needs a study that is live, so lock it first"):
        draft(tmp_path).close()


# --- codes and withdrawal ---------------------------------------------------------------------------------------------


def test_codes_are_readable_and_different(tmp_path):
    store = live(tmp_path, participants=6)
    done = [answer_all(store, store.join("live", "1").token) for _ in range(6)]
    letters = "[2-9A-HJ-NP-Z]{4}"
    assert all(re.fullmatch(f"{letters}-{letters}", one.completion_code) for one in done)
    assert all(re.fullmatch(f"{letters}-{letters}-{letters}", one.withdrawal_code) for one in done)
    assert len({one.completion_code for one in done} | {one.withdrawal_code[:9] for one in done}) == 12
    assert store.completion_codes() == sorted(one.completion_code for one in done)
    for one in done:
        assert one.completion_code.encode() in bytes_of(store)
        assert one.withdrawal_code.encode() not in bytes_of(store)
        assert one.withdrawal_code.replace("-", "").encode() not in bytes_of(store)


def test_the_debrief_shows_the_same_codes_again(store, person):
    begun = store.current(person)
    done = answer_all(store, person)
    assert begun.completion_code is None
    assert begun.withdrawal_code == done.withdrawal_code
    assert Store(store.folder).current(person) == done


def test_withdrawal_leaves_no_byte_of_the_participant(tmp_path):
    """Answers alternate, so that rows move between pages, and an open reader keeps the journal."""
    store = live(tmp_path)
    reader = sqlite3.connect(store.file)
    reader.execute("SELECT count(*) FROM slot").fetchall()
    participants = [store.join("live", "1") for _ in range(20)]
    for _ in range(4):
        for one in participants:
            answer_one(store, one.token)
    stays, goes = participants[0], participants[1:9]
    kept = query(store, "SELECT * FROM trial WHERE participant = ? ORDER BY seq", stays.participant)
    for one in goes:
        found = traces(store, one.participant)
        assert len(found) == 3 + 27 + 4 + 96  # the participant, trials, answers, images
        assert all(trace.encode() in bytes_of(store) for trace in found)
        assert store.withdraw(store.current(one.token).withdrawal_code) == 4
        assert [trace for trace in found if trace.encode() in bytes_of(store)] == []
    assert query(store, "SELECT * FROM trial WHERE participant = ? ORDER BY seq", stays.participant) == kept
    counts = [
        query(store, f"SELECT count(*) FROM {table}")[0][0]
        for table in ("participant", "trial", "trial_option", "response", "event")
    ]
    assert counts == [12, 12 * 27, 12 * 96, 12 * 4, 12]
    assert query(store, "PRAGMA foreign_key_check") == []
    assert store.audit_chain_ok()
    reader.close()


def test_withdrawal_is_complete_while_others_answer(store):
    goes = store.join("live", "1")
    others = [store.join("live", "1").token for _ in range(3)]
    answer_all(store, goes.token)
    found = traces(store, goes.participant)
    with ThreadPoolExecutor(4) as pool:
        answered = [pool.submit(answer_all, store, token) for token in others]
        withdrawn = pool.submit(store.withdraw, store.current(goes.token).withdrawal_code)
    assert withdrawn.result() == 27
    assert all(one.result().done for one in answered)
    assert [trace for trace in found if trace.encode() in bytes_of(store)] == []
    assert query(store, "SELECT count(*) FROM response") == [(3 * 27,)]


def test_withdrawal_frees_the_slot_for_the_next_participant(store, person):
    other = store.join("live", "1")
    done = answer_all(store, person)
    assert query(store, "SELECT state FROM slot WHERE number = 0") == [("complete",)]
    assert store.withdraw(f"  {done.withdrawal_code.lower().replace('-', ' ')}\n") == 27
    assert query(store, "SELECT state, participant, leased_at FROM slot WHERE number = 0") == [("free", None, None)]
    assert store.status().counts == {"live": {"active": 1}}
    next_one = store.join("live", "1")
    assert query(store, "SELECT number, participant FROM slot WHERE state = 'leased'") == [
        (0, next_one.participant),
        (1, other.participant),
    ]
    with study_error("this personal link is unknown; it was shortened, or its answers were withdrawn"):
        store.current(person)
    assert [(one["action"], one["detail"]) for one in store.audit()][-1] == ("withdrawn", {"mode": "live"})


def test_a_code_works_once_and_a_wrong_one_never(store, person):
    done = answer_all(store, person)
    unknown = "this withdrawal code is unknown; a code has 12 letters and digits, and works once"
    for wrong in ("", "AAAA-AAAA-AAAA", done.completion_code, person, done.withdrawal_code[:-1], "%"):
        with study_error(unknown):
            store.withdraw(wrong)
    assert store.withdraw(done.withdrawal_code) == 27
    with study_error(unknown):
        store.withdraw(done.withdrawal_code)


def test_withdrawal_works_after_the_close(store, person):
    done = answer_all(store, person)
    store.close()
    assert store.withdraw(done.withdrawal_code) == 27
    assert store.status().slots == {"void": 60}
    assert store.export_rows() == []


# --- pilot ------------------------------------------------------------------------------------------------------------


def test_a_pilot_has_six_slots_of_its_own_and_can_be_cleared(tmp_path):
    store = draft(tmp_path)
    joined = [store.join("pilot", "1") for _ in range(6)]
    assert store.status().state == "pilot"
    assert store.current(joined[0].token).pilot
    done = answer_all(store, joined[0].token)
    assert done.done
    slots = query(store, "SELECT number, mode FROM slot ORDER BY number")
    assert slots == [(number, "pilot") for number in range(60, 66)]
    with study_error(
        "all 6 places in this study are taken: 1 finished, 5 in progress; an abandoned place becomes free after "
        "120 minutes, so try again later"
    ):
        store.join("pilot", "1")
    found = traces(store, joined[0].participant)
    assert store.clear_pilot() == 6
    assert [trace for trace in found if trace.encode() in bytes_of(store)] == []
    assert (store.status().state, store.status().counts) == ("draft", {})
    store.join("pilot", "1")


def test_pilot_answers_are_separate(tmp_path):
    store = draft(tmp_path, participants=2)
    pilot = store.join("pilot", "1").token
    answer_one(store, pilot)
    store.lock(ANALYSIS)
    with study_error("the pilot ended when the study was locked; join the study itself"):
        store.current(pilot)
    for _ in range(2):
        answer_all(store, store.join("live", "1").token)
    assert store.status().counts == {"live": {"complete": 2}, "pilot": {"active": 1}}
    assert len(store.completion_codes()) == 2
    store.close()
    assert len({one["participant"] for one in store.export_rows()}) == 2
    assert store.clear_pilot() == 1
    assert store.status().state == "closed"
