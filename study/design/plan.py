"""Who sees which pictures in which order: a pure function of the definition, the place and the catalogue.

No file, no database and no clock: `store` keeps the plans and never makes one twice. What is balanced across the
places is `balance`; what the answers mean is `analysis`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from random import Random

from study import ORIGINS, QUESTIONS, StudyError
from study.design.counterbalancing import Place, between, elsewhere, shuffled, williams
from study.design.definition import Definition

__all__ = ["Catalogue", "Trial", "balanced_sizes", "from_json", "plan", "slots", "to_json", "williams"]

MENUS = {"buy": ("none",), "landmark": ("both", "neither"), "style": (), "guess": ("unsure",), "view": ("seen",)}
BOARD_MENU = ("none",)
SHEET = 4
PRACTICE = 3


@dataclass(frozen=True)
class Trial:
    """One screen: some pictures to choose from, and one question."""

    seq: int
    """Place in the plan, from 1."""
    kind: str
    """main | practice | catch | repeat | guess | view; not for the participant's eyes."""
    block: str
    """practice | buy | landmark | style | guess; with `paper`: view | board | guess."""
    question: str
    """buy | landmark | style | guess | view."""
    landmark: str | None
    """None where the pictures are of several: on a board and in the first practice trial."""
    options: tuple[str, ...]
    """Stimulus ids in the order of their positions 1..n."""
    menu: tuple[str, ...]
    """Choices that are no picture."""
    shown: tuple[str, ...]
    """Stimuli shown beside the options: the photograph, or the style sheet."""
    answer: int | None
    """The right position of a catch trial and of the second practice trial; else None."""
    repeats: int | None
    """A repeat: `seq` of the trial that it repeats; else None."""


@dataclass(frozen=True)
class Catalogue:
    """Which stimulus is what; needed while plans are made, and by nobody else before the study is closed."""

    candidates: Mapping[tuple[str, str], str]
    """(landmark, origin) -> stimulus id, fifteen of them."""
    photos: Mapping[str, str]
    """Landmark -> stimulus id of its photograph."""
    references: tuple[str, ...]
    """Originals of other landmarks for the style sheet, four or more."""
    practice: tuple[tuple[str, str], ...]
    """(landmark, stimulus id) of originals of other landmarks, three or more."""


def slots(definition: Definition) -> int:
    """Places to plan: a fifth more than the participants wanted, rounded up to a multiple of six."""
    return -(-definition.participants // 5) * 6  # 1.2 n / 6 is n / 5


def balanced_sizes(target: int) -> tuple[int, int]:
    """The multiples of six next to `target`, from below and from above; only these use every arrangement equally."""
    return max(6, target // 6 * 6), max(6, -(-target // 6) * 6)


def plan(definition: Definition, slot: int, catalogue: Catalogue) -> tuple[Trial, ...]:
    """All trials of one place in their order.

    `slot` counts from 0: places 6k..6k+5 are balanced among themselves in the positions of the buy question, 2k and
    2k+1 in the sides of all pairs, 10k..10k+9 in the orders of the landmarks. Every number from 0 has a plan.
    StudyError if the catalogue lacks a picture.
    """
    if slot < 0:
        raise StudyError(f"the place in the study is {slot}; places count from 0")
    _check(definition, catalogue)
    place = Place(definition, slot)
    blocks = _triad(place, catalogue) if definition.instrument == "triad" else _paper(place, catalogue)
    return tuple(_numbered([*blocks, *_guesses(place, catalogue)]))


def to_json(trials: Sequence[Trial]) -> str:
    """Canonical JSON: equal plans give equal texts."""
    return json.dumps([asdict(trial) for trial in trials], ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> tuple[Trial, ...]:
    """The plan that `to_json` wrote; StudyError if the text is damaged."""
    try:
        return tuple(
            Trial(**{name: tuple(value) if isinstance(value, list) else value for name, value in trial.items()})
            for trial in json.loads(text)
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise StudyError(f"a plan of the study is damaged ({error}); restore the study from a backup") from None


def _check(definition: Definition, catalogue: Catalogue) -> None:
    """StudyError unless there is a picture for everything that the instrument shows."""
    others = f"add originals of landmarks other than {', '.join(definition.landmarks)}"
    for landmark in definition.landmarks:
        for origin in ORIGINS:
            if (landmark, origin) not in catalogue.candidates:
                raise StudyError(f"there is no picture of {landmark} with the origin {origin!r}; add one")
        if landmark not in catalogue.photos:
            raise StudyError(f"there is no photograph of {landmark}; add one")
    if (found := len(catalogue.references)) < SHEET:
        raise StudyError(f"the references are {found} and the style sheet needs {SHEET}; {others}")
    if definition.instrument == "paper":
        return  # has neither practice nor catch trials
    if (found := len(catalogue.practice)) < PRACTICE:
        raise StudyError(f"the practice pictures are {found} and the first trial needs {PRACTICE}; {others}")
    landmarks = {landmark for landmark, _ in catalogue.practice}
    if asked := landmarks & set(definition.landmarks):
        raise StudyError(f"a practice picture is of {min(asked)}, which the study asks about; {others}")
    if len(landmarks) == 1:
        raise StudyError(f"all practice pictures are of {min(landmarks)}; add one of another landmark")


def _triad(place: Place, catalogue: Catalogue) -> Iterator[Trial]:
    """Practice, then a block for each question."""
    random = place.own()
    practice = sorted(catalogue.practice, key=itemgetter(1))  # the catalogue's order must not matter
    sheet = _sheet(catalogue, random)
    yield from _practice(practice, random)
    for question in QUESTIONS:
        yield from _block(question, place, catalogue, practice, sheet, random)


def _practice(practice: Sequence[tuple[str, str]], random: Random) -> Iterator[Trial]:
    """Three pictures and `none`, which has no right answer; then two for a named landmark, one of them of it."""
    pictures = shuffled(practice, random)
    yield _trial("practice", "practice", "buy", None, [stimulus for _, stimulus in pictures[:PRACTICE]])
    landmark, right = pictures[0]
    wrong = next(stimulus for other, stimulus in pictures if other != landmark)
    options = shuffled([right, wrong], random)
    yield replace(_trial("practice", "practice", "landmark", landmark, options), answer=options.index(right) + 1)


def _block(
    question: str,
    place: Place,
    catalogue: Catalogue,
    practice: Sequence[tuple[str, str]],
    sheet: tuple[str, ...],
    random: Random,
) -> list[Trial]:
    """Five landmarks, one of them once more, and a trial with a known answer unless the question is a taste."""

    def trial(kind: str, landmark: str, options: Iterable[str]) -> Trial:
        shown = {"buy": (), "landmark": (catalogue.photos[landmark],), "style": sheet}[question]
        return _trial(kind, question, question, landmark, options, shown)

    order, arrangements = place.order(question), place.arrangements(question)
    # main trials stand at whole numbers; whatever is added comes between two of them
    timed = [
        (float(at), trial("main", landmark, _stimuli(catalogue, landmark, arrangements[landmark])))
        for at, landmark in enumerate(order, 1)
    ]
    after = between(3, 5, random)
    again = order[between(0, after - 3, random)]  # two other landmarks at least lie between
    moved = elsewhere(arrangements[again], random)
    timed.append((after + random.random(), trial("repeat", again, _stimuli(catalogue, again, moved))))
    if question != "buy":
        known = shuffled([landmark for landmark in order[:4] if landmark != again], random)[0]
        after = between(order.index(known) + 2, 5, random)  # its original comes when its pair has been judged
        wrong = shuffled(practice, random)[0][1] if question == "landmark" else catalogue.photos[known]
        answer = place.catch_side(question)
        options = (catalogue.candidates[known, "original"], wrong)
        catch = trial("catch", known, options if answer == 1 else options[::-1])
        # with the same menu as its neighbors, so that nothing tells it from them
        timed.append((after + random.random(), replace(catch, answer=answer)))
    return [one for _, one in sorted(timed, key=itemgetter(0))]


def _paper(place: Place, catalogue: Catalogue) -> Iterator[Trial]:
    """Fifteen pictures one at a time, then all of them on a board, once for each question."""
    random = place.own()
    every = [(landmark, origin) for landmark in place.definition.landmarks for origin in ORIGINS]
    photos = tuple(catalogue.photos[landmark] for landmark in place.definition.landmarks)
    beside = {"buy": (), "landmark": photos, "style": _sheet(catalogue, random)}
    for landmark, origin in shuffled(every, random):
        yield _trial("view", "view", "view", landmark, _stimuli(catalogue, landmark, [origin]))
    for question in QUESTIONS:
        options = [catalogue.candidates[one] for one in shuffled(every, random)]
        yield replace(_trial("main", "board", question, None, options, beside[question]), menu=BOARD_MENU)


def _guesses(place: Place, catalogue: Catalogue) -> Iterator[Trial]:
    """At the very end, how blind it was: which of the two pictures is the LoRA's?"""
    arrangements = place.arrangements("guess")
    for landmark in place.order("guess"):
        yield _trial("guess", "guess", "guess", landmark, _stimuli(catalogue, landmark, arrangements[landmark]))


def _sheet(catalogue: Catalogue, random: Random) -> tuple[str, ...]:
    """The references that one person sees in every style trial."""
    return tuple(shuffled(sorted(catalogue.references), random)[:SHEET])


def _stimuli(catalogue: Catalogue, landmark: str, origins: Iterable[str]) -> tuple[str, ...]:
    """The ids of one landmark's pictures."""
    return tuple(catalogue.candidates[landmark, origin] for origin in origins)


def _trial(
    kind: str, block: str, question: str, landmark: str | None, options: Iterable[str], shown: tuple[str, ...] = ()
) -> Trial:
    """A trial with its question's usual menu, not yet numbered."""
    return Trial(0, kind, block, question, landmark, tuple(options), MENUS[question], shown, None, None)


def _numbered(trials: Iterable[Trial]) -> Iterator[Trial]:
    """The trials numbered from 1, each repeat with the number of the one it repeats."""
    main = {}
    for seq, trial in enumerate(trials, 1):
        if trial.kind == "main":
            main[trial.question, trial.landmark] = seq
        repeats = main[trial.question, trial.landmark] if trial.kind == "repeat" else None
        yield replace(trial, seq=seq, repeats=repeats)
