"""Words for a scene: the prompt of the paper's template, and captions that name the style. No drawing."""

from __future__ import annotations

import numpy as np

from ghibli_studio.miniature.landmarks.scene import COMPOSITIONS, SETTINGS, SKIES, Scene


def prompt(scene: Scene) -> str:
    """'<name>, <location>, <description> <setting> <sky>, <composition>': the scene in words, without a style."""
    landmark = scene.landmark
    return (
        f"{landmark.name}, {landmark.location}, {what_phrase(scene)} {place_phrase(scene)} {sky_phrase(scene)}, "
        f"{COMPOSITIONS[scene.composition]}"
    )


def caption(scene: Scene, style: str, rng: np.random.Generator | None = None) -> str:
    """The prompt with the style at its end; with rng, parts are left out and reordered as in pre-training."""
    if rng is None:
        return f"{prompt(scene)}, {style}"
    return varied_caption(scene, style, rng)


def varied_caption(scene: Scene, style: str, rng: np.random.Generator) -> str:
    """A caption in which every part may be missing, and the style may stand first ('<style> of <name>')."""

    def sometimes(words: str, chance: float) -> str:
        return words if rng.random() < chance else ""

    landmark = scene.landmark
    name = sometimes(landmark.name, 0.85)
    location = sometimes(landmark.location, 0.75) if name else ""
    what = sometimes(what_phrase(scene), 0.8) if name else what_phrase(scene)
    view = join(" ", what, sometimes(place_phrase(scene), 0.88), sometimes(sky_phrase(scene), 0.88))
    composition = sometimes(COMPOSITIONS[scene.composition], 0.8)
    head = join(", ", name, location)
    style_words = sometimes(style, 0.85)
    order = rng.random()
    if order < 0.6:
        text = join(", ", head, view, composition, style_words)
    elif order < 0.8:
        opening = f"{style_words} of {head or 'a landmark'}" if style_words else head
        text = join(", ", opening, view, composition)
    else:
        text = join(", ", composition, head, view, style_words)
    return text or f"{landmark.name}, {style}"


def what_phrase(scene: Scene) -> str:
    """The landmark's description with its article."""
    description = scene.landmark.description
    article = "an" if description[0].lower() in "aeiou" else "a"
    return f"{article} {description}"


def place_phrase(scene: Scene) -> str:
    """Where the landmark stands; bridges span water instead of standing beside it."""
    if scene.landmark.is_bridge:
        return "over a river" if scene.setting == "river" else "over the sea"
    return SETTINGS[scene.setting]


def sky_phrase(scene: Scene) -> str:
    """The sky in words; a close-up may hide the moon, so it is not promised there."""
    if scene.sky == "night" and scene.composition == "close":
        return "at night"
    return SKIES[scene.sky]


def join(separator: str, *parts: str) -> str:
    """The parts that are not empty, joined."""
    return separator.join(part for part in parts if part)
