"""What one picture shows (`Scene`), and how to choose it at random. Words for it live in `captions`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ghibli_studio.miniature.landmarks.catalog import LANDMARKS, Landmark

SETTINGS = {
    "meadow": "on a green meadow",
    "river": "beside a river",
    "plaza": "on a city plaza",
    "desert": "in a sandy desert",
    "seashore": "by the sea shore",
    "forest": "among pine trees",
    "snow": "in a snowy field",
    "terraces": "with rice terraces and hills",
    "garden": "in a flower garden",
    "autumn": "in an autumn park",
}
SKIES = {
    "clear": "under a clear blue sky",
    "cloudy": "under a blue sky with white clouds",
    "sunset": "at sunset",
    "night": "at night with moon and stars",
    "overcast": "under a gray overcast sky",
    "golden": "on a golden morning",
}
COMPOSITIONS = {
    "wide": "wide shot",
    "close": "close-up",
    "low": "low angle view",
    "distant": "distant view",
    "left": "off-centre to the left",
    "right": "off-centre to the right",
}

# how often `sample_scene` draws each, in the order above
SKY_ODDS = (0.14, 0.36, 0.16, 0.12, 0.08, 0.14)
COMPOSITION_ODDS = (0.34, 0.14, 0.14, 0.12, 0.13, 0.13)


@dataclass(frozen=True)
class Scene:
    """One picture's content, the same in every style."""

    landmark: Landmark
    setting: str
    """A key of SETTINGS; `allowed_settings` says which suit the landmark."""
    sky: str
    """A key of SKIES."""
    composition: str
    """A key of COMPOSITIONS."""
    seed: int
    """0 or more; decides every remaining random detail."""

    def __post_init__(self):
        for field, known in (("setting", SETTINGS), ("sky", SKIES), ("composition", COMPOSITIONS)):
            value = getattr(self, field)
            if value not in known:
                raise ValueError(f"unknown {field} {value!r}: choose one of {', '.join(known)}")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is below 0: choose 0 or more")


def allowed_settings(landmark: Landmark) -> tuple[str, ...]:
    """Bridges stand in water, rock facades in dry land; the rest may stand anywhere."""
    if landmark.is_bridge:
        return ("river", "seashore")
    if landmark.archetype == "rock_facade":
        return ("desert", "meadow", "snow")
    return tuple(SETTINGS)


def sample_scene(rng: np.random.Generator, landmark: Landmark | None = None) -> Scene:
    """Draw a random scene, of the given landmark or of any."""
    if landmark is None:
        landmark = LANDMARKS[int(rng.integers(len(LANDMARKS)))]
    settings = allowed_settings(landmark)
    return Scene(
        landmark,
        setting=settings[int(rng.integers(len(settings)))],
        sky=str(rng.choice(list(SKIES), p=SKY_ODDS)),
        composition=str(rng.choice(list(COMPOSITIONS), p=COMPOSITION_ODDS)),
        seed=int(rng.integers(2**31)),
    )
