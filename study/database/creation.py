"""A new study from pictures: checks them, makes blind copies under random names, parts them from their origins.

The two files appear together and whole, `study.db` last: a folder without it holds no study. Plans are `design`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sqlite_utils import Database

from study import ORIGINS, StudyError
from study.database import audit_log, key
from study.database.schema import migrate
from study.database.slots import pilot_numbers
from study.database.transactions import writing
from study.design.blind_image import BlindImage, blind, common_side
from study.design.definition import Definition
from study.design.plan import Catalogue, plan, to_json
from study.design.spec import Picture

ROLES = ("candidate", "photo", "reference", "practice")


def build(study_file: Path, key_file: Path, definition: Definition, pictures: Sequence[Picture], now: int) -> None:
    """Write both files; StudyError for pictures that do not make a study, and where there is one already."""
    for file in (study_file, key_file):
        if file.exists():
            raise StudyError(f"there is a study already, {file.name}; choose another folder or move it away")
    check(definition, pictures)
    data = [picture.data for picture in pictures]
    copies = blind(data, common_side(data))
    _check_copies(pictures, copies)
    ids = _ids(len(pictures))
    stimuli = list(zip(ids, pictures, copies))
    new_study, new_key = (file.with_name(f".new-{secrets.token_hex(8)}-{file.name}") for file in (study_file, key_file))
    try:
        study_file.parent.mkdir(parents=True, exist_ok=True)
        key.write(new_key, [_origin(stimulus, picture) for stimulus, picture, _ in stimuli])
        new_study.touch(exist_ok=False)
        migrate(new_study)
        with writing(new_study) as db:
            _fill(db, definition, stimuli, now)
        new_key.rename(key_file)
        new_study.rename(study_file)
    except OSError as error:
        raise StudyError(
            f"the study cannot be written to {study_file.parent} ({error.strerror}); choose another folder"
        ) from error
    finally:
        for file in (new_study, new_key):
            with suppress(OSError):
                file.unlink(missing_ok=True)


def check(definition: Definition, pictures: Sequence[Picture]) -> None:
    """StudyError unless there is exactly one picture for every part and enough of other landmarks."""
    asked = definition.landmarks
    for picture in pictures:
        wanted = {"candidate": ORIGINS, "photo": (None,)}.get(picture.role, ("original",))
        if picture.role not in ROLES:
            raise StudyError(f"the role of a picture is {picture.role!r}; choose one of {', '.join(ROLES)}")
        if picture.origin not in wanted:
            raise StudyError(
                f"the origin of a {picture.role} picture is {picture.origin!r}; it must be "
                f"{' or '.join(map(repr, wanted))}"
            )
        if not picture.landmark:
            raise StudyError(f"a {picture.role} picture has no landmark; name what it shows")
        if (picture.landmark in asked) != (picture.role in ("candidate", "photo")):
            way_out = "which the study asks about; choose another"
            if picture.landmark not in asked:
                way_out = f"which the study does not ask about; choose one of {', '.join(asked)}"
            raise StudyError(f"the landmark of a {picture.role} picture is {picture.landmark}, {way_out}")
    given = [(picture.role, picture.landmark, picture.origin) for picture in pictures]
    needed = [("photo", landmark, None) for landmark in asked]
    needed += [("candidate", landmark, origin) for landmark in asked for origin in ORIGINS]
    for role, landmark, origin in needed:
        if (found := given.count((role, landmark, origin))) != 1:
            raise StudyError(f"there are {found} {origin or 'photograph'} pictures of {landmark}; give exactly one")


def catalogue(stimuli: Iterable[tuple[str, str, str]], origins: Mapping[str, str | None]) -> Catalogue:
    """Which stimulus is what, from (id, role, landmark) and the key's origins by id."""
    stimuli = list(stimuli)

    def of(wanted: str) -> list[tuple[str, str]]:
        return [(landmark, stimulus) for stimulus, role, landmark in stimuli if role == wanted]

    return Catalogue(
        candidates={(landmark, origins[stimulus]): stimulus for landmark, stimulus in of("candidate")},
        photos=dict(of("photo")),
        references=tuple(sorted(stimulus for _, stimulus in of("reference"))),
        practice=tuple(sorted(of("practice"))),
    )


def insert_plans(db: Database, definition: Definition, mode: str, numbers: Iterable[int], which: Catalogue) -> None:
    """Make and keep the plans of some slots; nobody makes them again."""
    db["slot"].insert_all(
        {
            "number": number,
            "mode": mode,
            "plan": to_json(plan(definition, number, which)),
            "state": "free",
            "participant": None,
            "leased_at": None,
        }
        for number in numbers
    )


def _check_copies(pictures: Sequence[Picture], copies: Sequence[BlindImage]) -> None:
    """StudyError if two pictures to be compared are the same: an adapter that does nothing, a file given twice."""
    seen: dict[str, Picture] = {}
    for picture, copy in zip(pictures, copies):
        if picture.role in ("candidate", "photo"):
            other = seen.setdefault(copy.sha256, picture)
            if other is not picture:
                told = " and ".join(f"{one.landmark} ({one.origin or one.role})" for one in (other, picture))
                raise StudyError(f"the pictures of {told} are the same to the last pixel; give two different ones")


def _ids(count: int) -> list[str]:
    """Different random ids of 64 bits."""
    ids: set[str] = set()
    while len(ids) < count:
        ids.add(secrets.token_hex(8))
    shuffled = list(ids)
    secrets.SystemRandom().shuffle(shuffled)  # how a set is ordered depends on what is in it
    return shuffled


def _origin(stimulus: str, picture: Picture) -> key.Origin:
    data, source = picture.data, ""
    if isinstance(data, Path):
        data, source = data.read_bytes(), data.name
    return key.Origin(stimulus, picture.origin, source, hashlib.sha256(data).hexdigest(), picture.facts)


def _fill(db: Database, definition: Definition, stimuli: Sequence[tuple[str, Picture, BlindImage]], now: int) -> None:
    """Everything that a draft has; pictures in the order of their random ids, so that rows and pages tell nothing."""
    db["study_version"].insert(
        {
            "id": 1,
            "definition": definition.text(),
            "definition_sha256": definition.digest(),
            "seed": definition.seed,
            "target": definition.participants,
            "state": "draft",
            "created_at": now,
        }
    )
    db["stimulus"].insert_all(
        {
            "id": stimulus,
            "role": picture.role,
            "landmark": picture.landmark,
            "sha256": copy.sha256,
            "width": copy.width,
            "height": copy.height,
            "bytes": len(copy.data),
            "image": copy.data,
        }
        for stimulus, picture, copy in sorted(stimuli, key=lambda one: one[0])
    )
    which = catalogue(
        [(stimulus, picture.role, picture.landmark) for stimulus, picture, _ in stimuli],
        {stimulus: picture.origin for stimulus, picture, _ in stimuli},
    )
    insert_plans(db, definition, "pilot", pilot_numbers(definition), which)
    audit_log.append(db, now, "created", definition_sha256=definition.digest())
