"""Finding a landmark by the name a person typed."""

from __future__ import annotations

import difflib
import unicodedata

from ghibli_studio.miniature.landmarks.catalogue import LANDMARKS, Landmark


def landmark_by_name(name: str) -> Landmark:
    """The landmark of that name, whatever its case, accents, spaces and punctuation.

    Raises ValueError with the nearest known names when there is none.
    """
    known = {plain(landmark.name): landmark for landmark in LANDMARKS}
    if plain(name) not in known:
        nearest = difflib.get_close_matches(plain(name), known, n=3, cutoff=0)
        names = ", ".join(known[key].name for key in nearest)
        raise ValueError(f"unknown landmark {name!r}: choose one of the {len(LANDMARKS)} known; "
                         f"the nearest are {names}")
    return known[plain(name)]


def plain(name: str) -> str:
    """The bare letters and digits of a name: "Saint-Étienne" becomes "saintetienne"."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in decomposed if letter.isalnum())
