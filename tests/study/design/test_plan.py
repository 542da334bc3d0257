"""Plans of a study: they must not reveal an origin, and they must never change."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise, permutations
from pathlib import Path

import pytest

from study import ORIGINS, QUESTIONS, StudyError
from study.design.counterbalancing import Slot, derange, random_integer, shuffled, williams
from study.design.definition import Definition
from study.design.plan import MENUS, Catalogue, Trial, balanced_sizes, from_json, plan, slot_count, to_json

ROOT = Path(__file__).parents[3]
LANDMARKS = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")
OTHERS = "add originals of landmarks other than Big Ben, Colosseum, Petra, Bab-e-Khyber, Sydney Opera House"
SEEDS = [0, 1, 2**31 - 1]
PRACTICE = {"p1": "Taj Mahal", "p2": "Louvre", "p3": "Taj Mahal", "p4": "Machu Picchu"}
CATALOGUE = Catalogue(
    candidates={(landmark, origin): f"{landmark}/{origin}" for landmark in LANDMARKS for origin in ORIGINS},
    photos={landmark: f"{landmark}/photo" for landmark in LANDMARKS},
    references=("r1", "r2", "r3", "r4", "r5", "r6"),
    practice=tuple((landmark, stimulus) for stimulus, landmark in PRACTICE.items()),
)
SIXTY = range(60)


def study(instrument="triad", seed=0, participants=50):
    return Definition(landmarks=LANDMARKS, instrument=instrument, seed=seed, participants=participants)


@pytest.fixture(scope="module")
def plans():
    """(instrument, seed) -> the plans of all sixty slots."""
    return {
        (instrument, seed): [plan(study(instrument, seed), slot, CATALOGUE) for slot in SIXTY]
        for instrument in ("triad", "paper")
        for seed in SEEDS
    }


@pytest.fixture(params=SEEDS)
def triads(request, plans):
    return plans["triad", request.param]


@pytest.fixture(params=SEEDS)
def papers(request, plans):
    return plans["paper", request.param]


def of(trials, kind, question=None):
    return [trial for trial in trials if trial.kind == kind and question in (None, trial.question)]


def origins(trial):
    """Return what each option is, by position: an origin, `photo`, or the id of a practice image."""
    return tuple(stimulus.split("/")[-1] for stimulus in trial.options)


# --- the Williams square ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
def test_in_a_williams_square_every_number_has_every_position_and_predecessor_equally_often(n):
    rows = williams(n)
    times = 1 if n % 2 == 0 else 2
    assert len(rows) == n * times
    assert all(sorted(row) == list(range(n)) for row in rows)
    for position in range(n):
        assert Counter(row[position] for row in rows) == dict.fromkeys(range(n), times)
    carried = Counter(pair for row in rows for pair in pairwise(row))
    assert carried == dict.fromkeys(permutations(range(n), 2), times)


def test_the_square_of_four_is_the_published_one():
    assert williams(4) == [[0, 3, 1, 2], [1, 0, 2, 3], [2, 1, 3, 0], [3, 2, 0, 1]]


def test_the_ten_rows_for_five_landmarks_are_all_different():
    assert len({tuple(row) for row in williams(5)}) == 10


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("participants", "slots"), [(2, 6), (5, 6), (6, 12), (10, 12), (48, 60), (50, 60), (51, 66), (54, 66), (1000, 1200)]
)
def test_there_are_20_percent_more_slots_than_participants_rounded_up_to_sixes(participants, slots):
    assert slot_count(study(participants=participants)) == slots


def test_there_are_always_enough_slots_and_never_six_too_many():
    for participants in range(2, 1001):
        slots = slot_count(study(participants=participants))
        assert slots % 6 == 0
        assert 0 <= slots - 1.2 * participants < 6


@pytest.mark.parametrize(
    ("target", "sizes"),
    [
        (50, (48, 54)),
        (48, (48, 48)),
        (54, (54, 54)),
        (53, (48, 54)),
        (49, (48, 54)),
        (6, (6, 6)),
        (7, (6, 12)),
        (2, (6, 6)),
        (1000, (996, 1002)),
    ],
)
def test_the_balanced_sizes_are_around_the_target(target, sizes):
    assert balanced_sizes(target) == sizes


# --- the same in every version and every process ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instrument", "digest"),
    [
        ("triad", "8d843dd06d1c11fd17c174de80d0be98a39432897a4dda47a9e2f603d053d6cb"),
        ("paper", "7670dfb2f8760a41e9c8f572bae7e430a2611155bde527e92d59a1f826e62bee"),
    ],
)
def test_sixty_plans_never_change(plans, instrument, digest):
    text = "\n".join(to_json(trials) for trials in plans[instrument, 0])
    assert hashlib.sha256(text.encode()).hexdigest() == digest


@pytest.mark.integration
def test_a_plan_is_the_same_in_a_process_with_another_hash_seed():
    code = (
        "from tests.study.design.test_plan import CATALOGUE, plan, study, to_json\n"
        "print(to_json(plan(study(seed=5), 17, CATALOGUE)))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            text=True,
            capture_output=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {to_json(plan(study(seed=5), 17, CATALOGUE))}


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_a_plan_neither_uses_nor_changes_the_global_random_state(instrument):
    random.seed(1)
    state = random.getstate()
    one = plan(study(instrument), 3, CATALOGUE)
    assert random.getstate() == state
    random.seed(2)
    plan(study(instrument), 4, CATALOGUE)
    assert plan(study(instrument), 3, CATALOGUE) == one


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_the_order_of_the_catalogue_does_not_matter(instrument):
    backwards = Catalogue(
        dict(reversed(CATALOGUE.candidates.items())),
        dict(reversed(CATALOGUE.photos.items())),
        CATALOGUE.references[::-1],
        CATALOGUE.practice[::-1],
    )
    assert plan(study(instrument), 8, backwards) == plan(study(instrument), 8, CATALOGUE)


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_a_plan_depends_on_seed_landmarks_and_instrument_only(instrument):
    one = study(instrument)
    same = one.model_copy(update={"title": "Other", "participants": 300, "alpha": 0.01, "contact": "x"})
    assert [plan(same, slot, CATALOGUE) for slot in range(6)] == [plan(one, slot, CATALOGUE) for slot in range(6)]


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_no_two_slots_and_no_two_seeds_have_the_same_plan(plans, instrument):
    every = [trials for seed in SEEDS for trials in plans[instrument, seed]]
    assert len(set(every)) == len(every) == 180


def test_every_number_from_0_has_a_plan():
    assert len(plan(study(participants=2), 1234, CATALOGUE)) == 27
    with pytest.raises(StudyError) as raised:
        plan(study(), -1, CATALOGUE)
    assert str(raised.value) == "the slot is -1; use 0 or more"


# --- triad: what a participant is asked -------------------------------------------------------------------------------


def test_trials_are_numbered_from_1_without_gaps(plans):
    for trials in (trials for every in plans.values() for trials in every):
        assert [trial.seq for trial in trials] == list(range(1, len(trials) + 1))


def test_a_triad_has_all_blocks_in_order_and_all_kinds(triads):
    for trials in triads:
        assert [trial.block for trial in trials] == (
            ["practice"] * 2 + ["buy"] * 6 + ["landmark"] * 7 + ["style"] * 7 + ["blinding_check"] * 5
        )
        assert Counter((trial.block, trial.kind) for trial in trials) == {
            ("practice", "practice"): 2,
            ("buy", "main"): 5,
            ("buy", "retest"): 1,
            ("landmark", "main"): 5,
            ("landmark", "retest"): 1,
            ("landmark", "attention_check"): 1,
            ("style", "main"): 5,
            ("style", "retest"): 1,
            ("style", "attention_check"): 1,
            ("blinding_check", "blinding_check"): 5,
        }
        assert all(trial.question == trial.block for trial in trials if trial.block != "practice")


def test_a_main_trial_shows_only_the_images_of_its_landmark(triads):
    for trials in triads:
        sheet = of(trials, "main", "style")[0].shown
        for question in QUESTIONS:
            asked = of(trials, "main", question)
            assert {trial.landmark for trial in asked} == set(LANDMARKS)
            for trial in asked:
                kinds = ORIGINS if question == "buy" else ("lora", "ti")
                assert sorted(trial.options) == sorted(CATALOGUE.candidates[trial.landmark, kind] for kind in kinds)
                assert trial.menu == {"buy": ("none",), "landmark": ("both", "neither"), "style": ()}[question]
                assert trial.shown == {"buy": (), "landmark": (f"{trial.landmark}/photo",), "style": sheet}[question]
                assert (trial.answer, trial.retest_of) == (None, None)


def test_no_style_reference_is_shown_before_the_style_block(triads):
    for trials in triads:
        for trial in trials:
            if trial.block in ("practice", "buy", "landmark", "blinding_check"):
                assert not set(trial.shown) & set(CATALOGUE.references)
            assert not set(trial.options) & set(CATALOGUE.references)


def test_the_style_sheet_has_four_references_and_is_the_same_in_all_trials_of_a_participant(triads):
    sheets = []
    for trials in triads:
        (sheet,) = {trial.shown for trial in trials if trial.block == "style"}
        assert len(set(sheet)) == 4
        sheets.append(sheet)
    seen = Counter(reference for sheet in sheets for reference in sheet)
    assert set(seen) == set(CATALOGUE.references)
    assert len(set(sheets)) > 30


def test_practice_is_a_buy_trial_of_three_images_and_a_landmark_trial_with_a_known_answer(triads):
    answers = set()
    for trials in triads:
        buy, landmark = trials[:2]
        assert (buy.kind, buy.question, buy.landmark, buy.menu, buy.shown, buy.answer) == (
            "practice",
            "buy",
            None,
            ("none",),
            (),
            None,
        )
        assert len(set(buy.options)) == 3
        assert set(buy.options) <= set(PRACTICE)
        assert (landmark.kind, landmark.question, landmark.menu, landmark.shown) == (
            "practice",
            "landmark",
            ("both", "neither"),
            (),
        )
        right = [PRACTICE[stimulus] == landmark.landmark for stimulus in landmark.options]
        assert sorted(right) == [False, True]
        assert landmark.answer == right.index(True) + 1
        answers.add(landmark.answer)
    assert answers == {1, 2}


# --- triad: balance ---------------------------------------------------------------------------------------------------


def test_in_a_block_of_six_slots_the_images_of_each_landmark_have_each_order_once(triads):
    for first in range(0, 60, 6):
        for landmark in LANDMARKS:
            orders = [
                origins(trial)
                for trials in triads[first : first + 6]
                for trial in of(trials, "main", "buy")
                if trial.landmark == landmark
            ]
            assert sorted(orders) == sorted(permutations(ORIGINS))


def test_the_landmarks_of_a_participant_have_different_arrangements(triads):
    alike = sum(len({origins(trial) for trial in of(trials, "main", "buy")}) == 1 for trials in triads)
    assert alike <= 1, "the five landmarks of one slot must get independent orders"


@pytest.mark.parametrize("question", ["landmark", "style", "blinding_check"])
def test_the_sides_of_a_pair_of_slots_mirror_each_other(triads, question):
    kind = "blinding_check" if question == "blinding_check" else "main"
    for one, two in zip(triads[::2], triads[1::2]):
        first = {trial.landmark: origins(trial) for trial in of(one, kind, question)}
        second = {trial.landmark: origins(trial) for trial in of(two, kind, question)}
        assert first == {landmark: order[::-1] for landmark, order in second.items()}


@pytest.mark.parametrize("question", ["landmark", "style", "blinding_check"])
def test_for_one_participant_each_method_is_on_the_left_two_or_three_times(triads, question):
    kind = "blinding_check" if question == "blinding_check" else "main"
    counts = Counter(sum(origins(trial) == ("lora", "ti") for trial in of(trials, kind, question)) for trials in triads)
    assert counts == {2: 30, 3: 30}


def test_the_sides_of_one_question_do_not_predict_those_of_another(triads):
    def sides(trials, question):
        return {
            trial.landmark: origins(trial)
            for trial in trials
            if trial.kind in ("main", "blinding_check") and trial.question == question
        }

    for one, other in (("landmark", "style"), ("landmark", "blinding_check"), ("style", "blinding_check")):
        same = sum(
            sides(trials, one)[landmark] == sides(trials, other)[landmark]
            for trials in triads
            for landmark in LANDMARKS
        )
        assert 110 <= same <= 190  # of 300


@pytest.mark.parametrize("question", [*QUESTIONS, "blinding_check"])
def test_the_orders_of_ten_slots_are_the_rows_of_the_square(triads, question):
    kind = "blinding_check" if question == "blinding_check" else "main"
    rows = sorted([LANDMARKS[entry] for entry in row] for row in williams(5))
    for first in range(0, 60, 10):
        orders = [[trial.landmark for trial in of(trials, kind, question)] for trials in triads[first : first + 10]]
        assert sorted(orders) == rows


def test_the_orders_of_a_participant_differ_between_questions(triads):
    same = sum(
        [trial.landmark for trial in of(trials, "main", "buy")]
        == [trial.landmark for trial in of(trials, "main", "style")]
        for trials in triads
    )
    assert same <= 20  # by chance it is a tenth of sixty


@pytest.mark.parametrize(
    ("kind", "question"),
    [("main", "buy"), ("main", "landmark"), ("main", "style"), ("blinding_check", "blinding_check")],
)
def test_positions_do_not_reveal_origins(triads, kind, question):
    """Over sixty slots, each origin of each landmark is at each position equally often."""
    width = 3 if question == "buy" else 2
    seen = Counter(
        (trial.landmark, origin, position)
        for trials in triads
        for trial in of(trials, kind, question)
        for position, origin in enumerate(origins(trial))
    )
    kinds = ORIGINS if question == "buy" else ("lora", "ti")
    assert seen == {
        (landmark, origin, position): 60 // width
        for landmark in LANDMARKS
        for origin in kinds
        for position in range(width)
    }


@pytest.mark.parametrize("question", [*QUESTIONS, "blinding_check"])
def test_every_landmark_has_every_turn_equally_often(triads, question):
    kind = "blinding_check" if question == "blinding_check" else "main"
    seen = Counter((trial.landmark, turn) for trials in triads for turn, trial in enumerate(of(trials, kind, question)))
    assert seen == {(landmark, turn): 12 for landmark in LANDMARKS for turn in range(5)}


def test_the_side_of_a_method_does_not_depend_on_the_turn(triads):
    """At each turn, each side has about half."""
    for question in ("landmark", "style"):
        left = Counter(
            turn
            for trials in triads
            for turn, trial in enumerate(of(trials, "main", question))
            if origins(trial) == ("lora", "ti")
        )
        assert all(15 <= left[turn] <= 45 for turn in range(5))


# --- triad: retests and attention checks ------------------------------------------------------------------------------


def test_a_retest_has_every_image_at_another_position(triads):
    for trials in triads:
        for trial in of(trials, "retest"):
            first = trials[trial.retest_of - 1]
            assert (first.kind, first.block, first.landmark) == ("main", trial.block, trial.landmark)
            assert (first.menu, first.shown, first.question) == (trial.menu, trial.shown, trial.question)
            assert sorted(first.options) == sorted(trial.options)
            assert all(one != two for one, two in zip(first.options, trial.options))
            assert trial.answer is None


def test_at_least_two_trials_lie_between_a_trial_and_its_retest(triads):
    gaps = Counter(trial.seq - trial.retest_of for trials in triads for trial in of(trials, "retest"))
    assert min(gaps) == 3
    assert max(gaps) >= 5


def test_retests_cover_every_landmark_and_several_turns(triads):
    for question in QUESTIONS:
        retests = [trial for trials in triads for trial in of(trials, "retest", question)]
        assert len(retests) == 60
        assert {trial.landmark for trial in retests} == set(LANDMARKS)
        assert len({trial.seq for trial in retests}) >= 3


def test_a_block_starts_with_main_trials_and_never_repeats_a_landmark_in_a_row(triads):
    for trials in triads:
        for question in QUESTIONS:
            block = [trial for trial in trials if trial.block == question]
            assert [trial.kind for trial in block[:2]] == ["main", "main"]
            assert all(one.landmark != two.landmark for one, two in pairwise(block))


def test_the_attention_check_of_the_landmark_block_is_the_original_against_another_landmark(triads):
    wrongs, landmarks = set(), set()
    for trials in triads:
        (trial,) = of(trials, "attention_check", "landmark")
        (wrong,) = set(trial.options) - {f"{trial.landmark}/original"}
        assert wrong in PRACTICE
        assert trial.options[trial.answer - 1] == f"{trial.landmark}/original"
        assert (len(trial.options), trial.menu, trial.shown, trial.retest_of) == (
            2,
            MENUS["landmark"],
            (f"{trial.landmark}/photo",),
            None,
        )
        wrongs.add(wrong)
        landmarks.add(trial.landmark)
    assert wrongs == set(PRACTICE)
    assert landmarks == set(LANDMARKS)


def test_the_attention_check_of_the_style_block_is_the_original_against_a_photo(triads):
    landmarks = set()
    for trials in triads:
        (trial,) = of(trials, "attention_check", "style")
        right = (f"{trial.landmark}/original", f"{trial.landmark}/photo")
        assert trial.options == (right if trial.answer == 1 else right[::-1])
        assert (trial.menu, trial.shown, trial.retest_of) == ((), of(trials, "main", "style")[0].shown, None)
        landmarks.add(trial.landmark)
    assert landmarks == set(LANDMARKS)


def test_after_the_buy_block_an_original_is_shown_only_after_its_pair(triads):
    for trials in triads:
        for trial in of(trials, "attention_check"):
            before = [one for one in trials[: trial.seq - 2] if one.block == trial.block and one.kind == "main"]
            assert trial.landmark in {one.landmark for one in before}
            (again,) = of(trials, "retest", trial.question)
            assert again.landmark != trial.landmark


def test_attention_checks_are_on_different_sides_and_mirrored_for_the_next_participant(triads):
    answers = [tuple(trial.answer for trial in of(trials, "attention_check")) for trials in triads]
    assert set(answers) == {(1, 2), (2, 1)}
    assert all(one == two[::-1] for one, two in zip(answers[::2], answers[1::2]))
    assert {answers[slot] for slot in range(0, 60, 2)} == {(1, 2), (2, 1)}


def test_the_blinding_check_shows_both_methods_of_each_landmark(plans):
    for trials in (trials for every in plans.values() for trials in every):
        checks = trials[-5:]
        assert {trial.landmark for trial in checks} == set(LANDMARKS)
        for trial in checks:
            assert (
                trial.kind,
                trial.block,
                trial.question,
                trial.menu,
                trial.shown,
                trial.answer,
                trial.retest_of,
            ) == ("blinding_check", "blinding_check", "blinding_check", ("unsure",), (), None, None)
            assert sorted(trial.options) == [f"{trial.landmark}/lora", f"{trial.landmark}/ti"]


def test_only_practice_trials_and_attention_checks_have_a_right_answer(plans):
    for trials in (trials for every in plans.values() for trials in every):
        for trial in trials:
            known = trial.kind == "attention_check" or (trial.kind == "practice" and trial.question == "landmark")
            assert (trial.answer is not None) == known
            assert (trial.retest_of is not None) == (trial.kind == "retest")


# --- paper ------------------------------------------------------------------------------------------------------------


def test_the_paper_instrument_is_fifteen_views_three_boards_and_the_blinding_check(papers):
    for trials in papers:
        assert [(trial.kind, trial.block) for trial in trials] == (
            [("view", "view")] * 15 + [("main", "board")] * 3 + [("blinding_check", "blinding_check")] * 5
        )


def test_each_of_the_fifteen_images_is_viewed_once(papers):
    for trials in papers:
        views = trials[:15]
        assert {trial.options for trial in views} == {(stimulus,) for stimulus in CATALOGUE.candidates.values()}
        for trial in views:
            assert (trial.question, trial.menu, trial.shown) == ("view", ("seen",), ())
            assert trial.options[0].startswith(f"{trial.landmark}/")


def test_a_board_has_all_fifteen_images_in_an_order_of_its_own(papers):
    for trials in papers:
        boards = trials[15:18]
        assert [trial.question for trial in boards] == ["buy", "landmark", "style"]
        for trial in boards:
            assert (trial.landmark, trial.menu) == (None, ("none",))
            assert sorted(trial.options) == sorted(CATALOGUE.candidates.values())
        assert boards[0].shown == ()
        assert boards[1].shown == tuple(f"{landmark}/photo" for landmark in LANDMARKS)
        assert len(set(boards[2].shown)) == 4
        assert set(boards[2].shown) <= set(CATALOGUE.references)
        views = tuple(trial.options[0] for trial in trials[:15])
        assert len({views, *(trial.options for trial in boards)}) == 4


def test_positions_on_boards_and_the_order_of_views_are_uniform():
    """Chi-square of image against position over 900 plans: 196 degrees of freedom, mean 196, sd 20."""
    plans = [plan(study("paper"), slot, CATALOGUE) for slot in range(900)]
    for order in (
        lambda trials: [trial.options[0] for trial in trials[:15]],
        *(lambda trials, at=at: trials[at].options for at in (15, 16, 17)),
    ):
        seen = Counter(entry for trials in plans for entry in enumerate(order(trials)))
        assert len(seen) == 15 * 15
        chi_square = sum((count - 60) ** 2 / 60 for count in seen.values())
        assert 110 < chi_square < 270


def test_the_paper_instrument_needs_no_practice_images():
    trials = plan(study("paper"), 0, replace(CATALOGUE, practice=()))
    assert trials == plan(study("paper"), 0, CATALOGUE)


# --- errors -----------------------------------------------------------------------------------------------------------


def refused(catalogue, instrument="triad"):
    with pytest.raises(StudyError) as raised:
        plan(study(instrument), 0, catalogue)
    return str(raised.value)


@pytest.mark.parametrize("instrument", ["triad", "paper"])
@pytest.mark.parametrize("count", [0, 3])
def test_too_few_references_are_an_error(instrument, count):
    few = replace(CATALOGUE, references=CATALOGUE.references[:count])
    assert refused(few, instrument) == f"there are {count} reference images and the style sheet needs 4; {OTHERS}"


@pytest.mark.parametrize("count", [0, 2])
def test_too_few_practice_images_are_an_error(count):
    few = replace(CATALOGUE, practice=CATALOGUE.practice[:count])
    assert refused(few) == f"there are {count} practice images and the first trial needs 3; {OTHERS}"


def test_practice_images_of_one_landmark_are_an_error():
    same = replace(CATALOGUE, practice=tuple(("Louvre", f"p{number}") for number in range(3)))
    assert refused(same) == "all practice images show Louvre; add one of another landmark"


def test_a_practice_image_of_a_landmark_of_the_study_is_an_error():
    asked = replace(CATALOGUE, practice=(*CATALOGUE.practice, ("Petra", "p9")))
    assert refused(asked) == f"a practice image shows Petra, which the study asks about; {OTHERS}"


@pytest.mark.parametrize("instrument", ["triad", "paper"])
@pytest.mark.parametrize("origin", ORIGINS)
def test_a_missing_candidate_is_an_error(instrument, origin):
    lacking = {key: stimulus for key, stimulus in CATALOGUE.candidates.items() if key != ("Petra", origin)}
    message = refused(replace(CATALOGUE, candidates=lacking), instrument)
    assert message == f"there is no image of Petra with the origin '{origin}'; add one"


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_a_missing_photo_is_an_error(instrument):
    lacking = {landmark: photo for landmark, photo in CATALOGUE.photos.items() if landmark != "Colosseum"}
    assert refused(replace(CATALOGUE, photos=lacking), instrument) == ("there is no photo of Colosseum; add one")


def test_the_minimum_number_of_images_is_enough():
    fewest = replace(CATALOGUE, references=CATALOGUE.references[:4], practice=CATALOGUE.practice[:3])
    for slot in SIXTY:
        trials = plan(study(), slot, fewest)
        assert len(trials) == 27
        assert set(trials[-6].shown) <= set(fewest.references)
        assert len({PRACTICE[stimulus] for stimulus in trials[1].options}) == 2


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_a_plan_survives_a_round_trip_through_json(plans):
    for trials in (trials for every in plans.values() for trials in every):
        assert from_json(to_json(trials)) == trials


def test_the_json_is_canonical_and_has_every_field():
    trial = Trial(1, "main", "buy", "buy", "Đà Nẵng", ("b", "a"), ("none",), (), None, None)
    assert to_json([trial]) == (
        '[{"answer":null,"block":"buy","kind":"main","landmark":"Đà Nẵng","menu":["none"],"options":["b","a"],'
        '"question":"buy","retest_of":null,"seq":1,"shown":[]}]'
    )
    assert {field.name for field in fields(Trial)} == set(json.loads(to_json([trial]))[0])
    assert from_json(to_json([trial])) == (trial,)
    assert from_json("[]") == ()


@pytest.mark.parametrize(
    "text",
    ["", "[", "7", "[7]", '["text"]', '[{"seq":1}]', '[{"seq":1,"color":"red"}]'],
    ids=["empty", "cut", "a number", "numbers", "texts", "lacking", "unknown"],
)
def test_a_damaged_plan_is_an_error(text):
    with pytest.raises(StudyError, match=r"^a plan of the study is damaged \(.+\); restore the study from a backup$"):
        from_json(text)


# --- random numbers ---------------------------------------------------------------------------------------------------


def test_shuffled_keeps_the_items_and_gives_every_order_equally_often():
    source = random.Random(0)
    seen = Counter(tuple(shuffled("abc", source)) for _ in range(6000))
    assert set(seen) == set(permutations("abc"))
    assert all(900 < count < 1100 for count in seen.values())


def test_random_integer_gives_every_number_equally_often():
    source = random.Random(0)
    seen = Counter(random_integer(3, 5, source) for _ in range(3000))
    assert set(seen) == {3, 4, 5}
    assert all(900 < count < 1100 for count in seen.values())


def test_derange_gives_every_arrangement_that_moves_every_image():
    source = random.Random(0)
    assert {derange(("a", "b", "c"), source) for _ in range(50)} == {("b", "c", "a"), ("c", "a", "b")}
    assert derange(("a", "b"), source) == ("b", "a")


def test_random_numbers_of_a_slot_differ_from_its_neighbors_and_from_shared_ones():
    definition = study()
    draws = [Slot(definition, slot).own_random().random() for slot in range(100)]
    draws += [
        Slot(definition, 0).shared_random(what, 10)[0].random() for what in ("order buy", "order style", "sides buy")
    ]
    draws += [Slot(definition, slot).shared_random("order buy", 10)[0].random() for slot in (10, 20)]
    assert len(set(draws)) == 105
    assert Slot(definition, 0).own_random().random() == Slot(definition, 0).own_random().random()
    assert [Slot(definition, slot).shared_random("order buy", 10)[1] for slot in (0, 9, 10, 25)] == [0, 9, 0, 5]
