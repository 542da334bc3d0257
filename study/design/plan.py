"""Which participant sees which images in which order: a pure function of definition, slot and catalogue.

No file, no database, no clock: `database.creation` stores the plans, and no plan is computed twice. What is balanced
across the slots is in `counterbalancing`; what the answers mean is in `analysis`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from random import Random
from typing import Any

from study import ORIGINS, QUESTIONS, StudyError
from study.design.counterbalancing import Slot, derange, random_integer, shuffled, williams
from study.design.definition import Definition

__all__ = ["Catalogue", "Trial", "balanced_sizes", "from_json", "plan", "slot_count", "to_json", "williams"]

BLINDING_CHECK = "blinding_check"
MENUS = {"buy": ("none",), "landmark": ("both", "neither"), "style": (), BLINDING_CHECK: ("unsure",), "view": ("seen",)}
BOARD_MENU = ("none",)
STYLE_SHEET_SIZE = 4
PRACTICE_OPTIONS = 3


@dataclass(frozen=True)
class Trial:
    """One screen: some images to choose from, and one question."""

    seq: int
    """Number in the plan, from 1."""
    kind: str
    """main | practice | attention_check | retest | blinding_check | view; participants must not see it."""
    block: str
    """practice | buy | landmark | style | blinding_check; with `paper`: view | board | blinding_check."""
    question: str
    """buy | landmark | style | blinding_check | view."""
    landmark: str | None
    """None where the images show several landmarks: on a board and in the first practice trial."""
    options: tuple[str, ...]
    """Stimulus ids in the order of their positions 1..n."""
    menu: tuple[str, ...]
    """Choices that are not an image."""
    shown: tuple[str, ...]
    """Stimuli shown beside the options: the photo, or the style sheet."""
    answer: int | None
    """The right position of an attention check and of the second practice trial; else None."""
    retest_of: int | None
    """`seq` of the trial that a test-retest trial repeats; else None."""


@dataclass(frozen=True)
class Catalogue:
    """What each stimulus is; needed only while plans are computed, and secret until the study is closed."""

    candidates: Mapping[tuple[str, str], str]
    """(landmark, origin) -> stimulus id, fifteen of them."""
    photos: Mapping[str, str]
    """Landmark -> stimulus id of its photo."""
    references: tuple[str, ...]
    """Originals of other landmarks for the style sheet, four or more."""
    practice: tuple[tuple[str, str], ...]
    """(landmark, stimulus id) of originals of other landmarks, three or more."""


def slot_count(definition: Definition) -> int:
    """Return how many slots to plan: 20 % more than the target of participants, rounded up to a multiple of six."""
    return -(-definition.participants // 5) * 6  # 1.2 n / 6 is n / 5


def balanced_sizes(target: int) -> tuple[int, int]:
    """Return the multiples of six just below and above `target`; only these use every arrangement equally often."""
    return max(6, target // 6 * 6), max(6, -(-target // 6) * 6)


def plan(definition: Definition, slot: int, catalogue: Catalogue) -> tuple[Trial, ...]:
    """Return all trials of one slot in their order.

    `slot` counts from 0: slots 6k..6k+5 are balanced among themselves in the positions of the buy question, 2k and
    2k+1 in the sides of all pairs, 10k..10k+9 in the orders of the landmarks. Every number from 0 has a plan.
    Raises StudyError if the catalogue lacks an image.
    """
    if slot < 0:
        raise StudyError(f"the slot is {slot}; use 0 or more")
    _check(definition, catalogue)
    own = Slot(definition, slot)
    blocks = _triad(own, catalogue) if definition.instrument == "triad" else _paper(own, catalogue)
    return tuple(_numbered([*blocks, *_blinding_check(own, catalogue)]))


def to_json(trials: Sequence[Trial]) -> str:
    """Return canonical JSON: equal plans give equal texts."""
    return json.dumps([asdict(trial) for trial in trials], ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> tuple[Trial, ...]:
    """Return the plan that `to_json` wrote; raise StudyError if the text is damaged."""
    try:
        return tuple(_trial_from_json(fields) for fields in json.loads(text))
    except (ValueError, TypeError, AttributeError) as error:
        raise StudyError(f"a plan of the study is damaged ({error}); restore the study from a backup") from None


def _trial_from_json(fields: dict[str, Any]) -> Trial:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Trial(**values)


def _check(definition: Definition, catalogue: Catalogue) -> None:
    """Raise StudyError unless there is an image for everything that the instrument shows."""
    way_out = f"add originals of landmarks other than {', '.join(definition.landmarks)}"
    for landmark in definition.landmarks:
        for origin in ORIGINS:
            if (landmark, origin) not in catalogue.candidates:
                raise StudyError(f"there is no image of {landmark} with the origin {origin!r}; add one")
        if landmark not in catalogue.photos:
            raise StudyError(f"there is no photo of {landmark}; add one")
    if (count := len(catalogue.references)) < STYLE_SHEET_SIZE:
        raise StudyError(f"there are {count} reference images and the style sheet needs {STYLE_SHEET_SIZE}; {way_out}")
    if definition.instrument == "paper":
        return  # has neither practice trials nor attention checks
    if (count := len(catalogue.practice)) < PRACTICE_OPTIONS:
        raise StudyError(f"there are {count} practice images and the first trial needs {PRACTICE_OPTIONS}; {way_out}")
    landmarks = {landmark for landmark, _ in catalogue.practice}
    if asked := landmarks & set(definition.landmarks):
        raise StudyError(f"a practice image shows {min(asked)}, which the study asks about; {way_out}")
    if len(landmarks) == 1:
        raise StudyError(f"all practice images show {min(landmarks)}; add one of another landmark")


def _triad(slot: Slot, catalogue: Catalogue) -> Iterator[Trial]:
    """Yield the practice trials, then one block a question."""
    random = slot.own_random()
    practice = sorted(catalogue.practice, key=itemgetter(1))  # the catalogue's order must not matter
    sheet = _style_sheet(catalogue, random)
    yield from _practice(practice, random)
    for question in QUESTIONS:
        yield from _block(question, slot, catalogue, practice, sheet, random)


def _practice(practice: Sequence[tuple[str, str]], random: Random) -> Iterator[Trial]:
    """Yield three images and `none`, without a right answer; then two for a named landmark, one of them showing it."""
    images = shuffled(practice, random)
    yield _trial("practice", "practice", "buy", None, [stimulus for _, stimulus in images[:PRACTICE_OPTIONS]])
    landmark, right = images[0]
    wrong = next(stimulus for other, stimulus in images if other != landmark)
    options = shuffled([right, wrong], random)
    yield replace(_trial("practice", "practice", "landmark", landmark, options), answer=options.index(right) + 1)


def _block(
    question: str,
    slot: Slot,
    catalogue: Catalogue,
    practice: Sequence[tuple[str, str]],
    sheet: tuple[str, ...],
    random: Random,
) -> list[Trial]:
    """Return five landmarks, a retest of one of them, and an attention check unless the question is a matter of taste.

    All trials of a block have the same menu, so that nothing distinguishes a retest or an attention check.
    """
    shown: dict[str, tuple[str, ...]] = {"buy": (), "style": sheet}

    def trial(kind: str, landmark: str, options: Iterable[str]) -> Trial:
        return _trial(kind, question, question, landmark, options, shown.get(question, (catalogue.photos[landmark],)))

    order, arrangements = slot.order(question), slot.arrangements(question)
    # main trials have whole numbers as times; everything else is inserted between two of them
    timed = [
        (float(at), trial("main", landmark, _stimuli(catalogue, landmark, arrangements[landmark])))
        for at, landmark in enumerate(order, 1)
    ]
    after = random_integer(3, 5, random)
    retested = order[random_integer(0, after - 3, random)]  # at least two other landmarks lie between
    rearranged = derange(arrangements[retested], random)
    timed.append((after + random.random(), trial("retest", retested, _stimuli(catalogue, retested, rearranged))))
    if question != "buy":
        checked = shuffled([landmark for landmark in order[:4] if landmark != retested], random)[0]
        after = random_integer(order.index(checked) + 2, 5, random)  # its original appears after its pair was judged
        wrong = shuffled(practice, random)[0][1] if question == "landmark" else catalogue.photos[checked]
        answer = slot.attention_check_side(question)
        options = (catalogue.candidates[checked, "original"], wrong)
        check = trial("attention_check", checked, options if answer == 1 else options[::-1])
        timed.append((after + random.random(), replace(check, answer=answer)))
    return [entry for _, entry in sorted(timed, key=itemgetter(0))]


def _paper(slot: Slot, catalogue: Catalogue) -> Iterator[Trial]:
    """Yield fifteen images one at a time, then all of them on a board, once a question."""
    random = slot.own_random()
    pairs = [(landmark, origin) for landmark in slot.definition.landmarks for origin in ORIGINS]
    photos = tuple(catalogue.photos[landmark] for landmark in slot.definition.landmarks)
    shown = {"buy": (), "landmark": photos, "style": _style_sheet(catalogue, random)}
    for landmark, origin in shuffled(pairs, random):
        yield _trial("view", "view", "view", landmark, _stimuli(catalogue, landmark, [origin]))
    for question in QUESTIONS:
        options = [catalogue.candidates[pair] for pair in shuffled(pairs, random)]
        yield replace(_trial("main", "board", question, None, options, shown[question]), menu=BOARD_MENU)


def _blinding_check(slot: Slot, catalogue: Catalogue) -> Iterator[Trial]:
    """Yield the last block, which measures how blind the study was: which of the two images is LoRA's?"""
    arrangements = slot.arrangements("guess")  # this word is part of the seed: another one would change every plan
    for landmark in slot.order("guess"):
        options = _stimuli(catalogue, landmark, arrangements[landmark])
        yield _trial(BLINDING_CHECK, BLINDING_CHECK, BLINDING_CHECK, landmark, options)


def _style_sheet(catalogue: Catalogue, random: Random) -> tuple[str, ...]:
    """Return the references that one participant sees in every style trial."""
    return tuple(shuffled(sorted(catalogue.references), random)[:STYLE_SHEET_SIZE])


def _stimuli(catalogue: Catalogue, landmark: str, origins: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of one landmark's images."""
    return tuple(catalogue.candidates[landmark, origin] for origin in origins)


def _trial(
    kind: str, block: str, question: str, landmark: str | None, options: Iterable[str], shown: tuple[str, ...] = ()
) -> Trial:
    """Return a trial with its question's usual menu, not yet numbered."""
    return Trial(0, kind, block, question, landmark, tuple(options), MENUS[question], shown, None, None)


def _numbered(trials: Iterable[Trial]) -> Iterator[Trial]:
    """Yield the trials numbered from 1, each retest with the number of the trial that it repeats."""
    main: dict[tuple[str, str | None], int] = {}
    for seq, trial in enumerate(trials, 1):
        if trial.kind == "main":
            main[trial.question, trial.landmark] = seq
        retest_of = main[trial.question, trial.landmark] if trial.kind == "retest" else None
        yield replace(trial, seq=seq, retest_of=retest_of)
