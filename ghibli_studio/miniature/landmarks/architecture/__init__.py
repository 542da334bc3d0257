"""How each landmark is drawn: one drawing function per archetype, in rooms by family.

Every drawing function takes the `Builder` (called b throughout) and the `Landmark`, and adds shapes back to front. Of
the landmark it reads colors and material through the builder, and `ratio`, `count` and `variant` as it needs them.
Placing the building in a picture is `layout`'s work.
"""

from __future__ import annotations

from functools import lru_cache

from ghibli_studio.miniature.landmarks.architecture.ancient import (
    amphitheatre,
    pyramid,
    rock_facade,
    standing_stones,
    ziggurat,
)
from ghibli_studio.miniature.landmarks.architecture.bridges import stone_bridge, suspension_bridge, tower_bridge
from ghibli_studio.miniature.landmarks.architecture.castles import castle
from ghibli_studio.miniature.landmarks.architecture.churches import gothic_cathedral, onion_church
from ghibli_studio.miniature.landmarks.architecture.east_asia import chinese_hall, japanese_castle, pagoda
from ghibli_studio.miniature.landmarks.architecture.gates import gate, great_wall, torii, triumphal_arch
from ghibli_studio.miniature.landmarks.architecture.modern import lattice_tower, needle_tower, skyscraper, wheel
from ghibli_studio.miniature.landmarks.architecture.mosques import mosque, mud_mosque, tent_mosque
from ghibli_studio.miniature.landmarks.architecture.palaces import dome_building, palace, potala, shell_opera
from ghibli_studio.miniature.landmarks.architecture.statues import statue
from ghibli_studio.miniature.landmarks.architecture.temples import khmer, stupa, temple
from ghibli_studio.miniature.landmarks.architecture.towers import (
    clock_tower,
    leaning_tower,
    lighthouse,
    minaret,
    obelisk,
    windmill,
)
from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark

ARCHETYPES = {
    "amphitheatre": amphitheatre, "castle": castle, "chinese_hall": chinese_hall, "clock_tower": clock_tower,
    "dome_building": dome_building, "gate": gate, "gothic_cathedral": gothic_cathedral, "great_wall": great_wall,
    "japanese_castle": japanese_castle, "khmer": khmer, "lattice_tower": lattice_tower,
    "leaning_tower": leaning_tower, "lighthouse": lighthouse, "minaret": minaret, "mosque": mosque,
    "mud_mosque": mud_mosque, "needle_tower": needle_tower, "obelisk": obelisk, "onion_church": onion_church,
    "pagoda": pagoda, "palace": palace, "potala": potala, "pyramid": pyramid, "rock_facade": rock_facade,
    "shell_opera": shell_opera, "skyscraper": skyscraper, "standing_stones": standing_stones, "statue": statue,
    "stone_bridge": stone_bridge, "stupa": stupa, "suspension_bridge": suspension_bridge, "temple": temple,
    "tent_mosque": tent_mosque, "torii": torii, "tower_bridge": tower_bridge, "triumphal_arch": triumphal_arch,
    "wheel": wheel, "windmill": windmill, "ziggurat": ziggurat}


@lru_cache(maxsize=128)  # holds the polygons of every landmark, 8 MB for all 115
def build(landmark: Landmark) -> Builder:
    """The landmark's shapes in local units (always the same for the same landmark)."""
    builder = Builder(landmark)
    ARCHETYPES[landmark.archetype](builder, landmark)
    return builder
