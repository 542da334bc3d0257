"""Creation of a study: checks the images, makes blind copies under random names, separates them from their origins.

The two files appear together and complete, `study.db` last: a folder without it contains no study. Plans are in
`design.plan`.
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
from study.design.blind_image import BlindImage, blind_copies, common_side
from study.design.definition import Definition
from study.design.plan import Catalogue, plan, to_json
from study.design.spec import StimulusImage

ROLES = ("candidate", "photo", "reference", "practice")
ORIGINS_OF_ROLE: dict[str, tuple[str | None, ...]] = {"candidate": ORIGINS, "photo": (None,)}
"""Role -> allowed origins; the images of every other role are originals."""


def create_files(
    study_file: Path, key_file: Path, definition: Definition, images: Sequence[StimulusImage], now: int
) -> None:
    """Write both files; raise StudyError for unsuitable images, and if there is a study already."""
    for file in (study_file, key_file):
        if file.exists():
            raise StudyError(f"there is already a study in this folder, {file.name}; choose another folder or move it")
    check_images(definition, images)
    data = [image.data for image in images]
    copies = blind_copies(data, common_side(data))
    _check_copies(images, copies)
    ids = _random_ids(len(images))
    stimuli = list(zip(ids, images, copies))
    new_study, new_key = (file.with_name(f".new-{secrets.token_hex(8)}-{file.name}") for file in (study_file, key_file))
    try:
        study_file.parent.mkdir(parents=True, exist_ok=True)
        key.write(new_key, [_origin(stimulus, image) for stimulus, image, _ in stimuli])
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


def check_images(definition: Definition, images: Sequence[StimulusImage]) -> None:
    """Raise StudyError unless there is exactly one image for every part, and enough of other landmarks."""
    asked = definition.landmarks
    for image in images:
        if image.role not in ROLES:
            raise StudyError(f"the role of an image is {image.role!r}; use {', '.join(ROLES)}")
        allowed = ORIGINS_OF_ROLE.get(image.role, ("original",))
        if image.origin not in allowed:
            raise StudyError(
                f"the origin of a {image.role} image is {image.origin!r}; it must be {' or '.join(map(repr, allowed))}"
            )
        if not image.landmark:
            raise StudyError(f"a {image.role} image has no landmark; name the landmark that it shows")
        if (image.landmark in asked) != (image.role in ("candidate", "photo")):
            way_out = "which the study asks about; choose another"
            if image.landmark not in asked:
                way_out = f"which the study does not ask about; choose one of {', '.join(asked)}"
            raise StudyError(f"the landmark of a {image.role} image is {image.landmark}, {way_out}")
    given = [(image.role, image.landmark, image.origin) for image in images]
    needed: list[tuple[str, str, str | None]] = [("photo", landmark, None) for landmark in asked]
    needed += [("candidate", landmark, origin) for landmark in asked for origin in ORIGINS]
    for role, landmark, origin in needed:
        if (count := given.count((role, landmark, origin))) != 1:
            what = f"{origin} images" if origin else "photos"
            raise StudyError(f"there are {count} {what} of {landmark}; give exactly one")


def catalogue(stimuli: Iterable[tuple[str, str, str]], origins: Mapping[str, str | None]) -> Catalogue:
    """Return what each stimulus is, from (id, role, landmark) and the key's origins by id."""
    stimuli = list(stimuli)

    def with_role(wanted: str) -> list[tuple[str, str]]:
        return [(landmark, stimulus) for stimulus, role, landmark in stimuli if role == wanted]

    candidates = [(landmark, origins[stimulus], stimulus) for landmark, stimulus in with_role("candidate")]
    return Catalogue(
        candidates={(landmark, origin): stimulus for landmark, origin, stimulus in candidates if origin is not None},
        photos=dict(with_role("photo")),
        references=tuple(sorted(stimulus for _, stimulus in with_role("reference"))),
        practice=tuple(sorted(with_role("practice"))),
    )


def insert_plans(db: Database, definition: Definition, mode: str, numbers: Iterable[int], stimuli: Catalogue) -> None:
    """Compute and store the plans of some slots; they are never computed again."""
    db.table("slot").insert_all(
        {
            "number": number,
            "mode": mode,
            "plan": to_json(plan(definition, number, stimuli)),
            "state": "free",
            "participant": None,
            "leased_at": None,
        }
        for number in numbers
    )


def _check_copies(images: Sequence[StimulusImage], copies: Sequence[BlindImage]) -> None:
    """Raise StudyError if two images to be compared are equal: an adapter without effect, or a file given twice."""
    first_with: dict[str, StimulusImage] = {}
    for image, copy in zip(images, copies):
        if image.role in ("candidate", "photo"):
            other = first_with.setdefault(copy.sha256, image)
            if other is not image:
                names = " and ".join(f"{one.landmark} ({one.origin or one.role})" for one in (other, image))
                raise StudyError(f"the images of {names} are identical to the last pixel; give two different ones")


def _random_ids(count: int) -> list[str]:
    """Return different random ids of 64 bits."""
    ids: set[str] = set()
    while len(ids) < count:
        ids.add(secrets.token_hex(8))
    shuffled = list(ids)
    secrets.SystemRandom().shuffle(shuffled)  # the order of a set depends on its contents
    return shuffled


def _origin(stimulus: str, image: StimulusImage) -> key.Origin:
    if isinstance(image.data, Path):
        data, source = image.data.read_bytes(), image.data.name
    else:
        data, source = image.data, ""
    return key.Origin(stimulus, image.origin, source, hashlib.sha256(data).hexdigest(), image.metadata)


def _fill(
    db: Database, definition: Definition, stimuli: Sequence[tuple[str, StimulusImage, BlindImage]], now: int
) -> None:
    """Insert the rows of a draft; images in the order of their random ids, so that rows and pages reveal nothing."""
    db.table("study_version").insert(
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
    db.table("stimulus").insert_all(
        {
            "id": stimulus,
            "role": image.role,
            "landmark": image.landmark,
            "sha256": copy.sha256,
            "width": copy.width,
            "height": copy.height,
            "bytes": len(copy.data),
            "image": copy.data,
        }
        for stimulus, image, copy in sorted(stimuli, key=lambda row: row[0])
    )
    contents = catalogue(
        [(stimulus, image.role, image.landmark) for stimulus, image, _ in stimuli],
        {stimulus: image.origin for stimulus, image, _ in stimuli},
    )
    insert_plans(db, definition, "pilot", pilot_numbers(definition), contents)
    audit_log.append(db, now, "created", definition_sha256=definition.digest())
