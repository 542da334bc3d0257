"""The landmark painter: every landmark in every style against reference thumbnails, determinism, words, errors.

The references in data/landmark_thumbnails.npz hold the painter's pictures. Those that the embedded weights were trained
on differ from them in arenas, close-ups, pastel, pixel art and moons that something hid (tests/test_painter.py tells
how); colors, compositions and words are the same. Only when the pictures change on purpose, write them again with

    python -m tests.test_landmarks
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ghibli_studio.miniature.landmarks import noise
from ghibli_studio.miniature.landmarks.architecture import ARCHETYPES, build
from ghibli_studio.miniature.landmarks.captions import caption, prompt
from ghibli_studio.miniature.landmarks.catalog import LANDMARKS, landmark_by_name, plain
from ghibli_studio.miniature.landmarks.painting import STYLES, render, strokes, textures
from ghibli_studio.miniature.landmarks.raster import rasterise
from ghibli_studio.miniature.landmarks.scene import COMPOSITIONS, SETTINGS, SKIES, Scene, allowed_settings, sample_scene
from ghibli_studio.miniature.landmarks.shapes import MATERIALS

REFERENCE = Path(__file__).parents[2] / "data" / "landmark_thumbnails.npz"
SIZE = 64
CACHED = (
    build,
    rasterise,
    noise.fractal_noise,
    textures.bricks,
    textures.grain,
    textures.leaves,
    strokes.strokes,
    strokes.hatching,
)


def scene_of(index: int) -> Scene:
    return sample_scene(np.random.default_rng([11, index]), LANDMARKS[index])


def thumbnail(picture: Image.Image) -> np.ndarray:
    """Means of 4 x 4 fields, rounded: 4 x 4 x 3 uint8."""
    field = picture.width // 4
    return np.asarray(picture).reshape(4, field, 4, field, 3).mean((1, 3)).round().astype(np.uint8)


def shape_digest(index: int) -> int:
    """Checksum over every corner, color and property of a landmark's shapes, in millionths."""
    shapes = [
        (
            [[(round(x * 1e6), round(y * 1e6)) for x, y in poly] for poly in shape.polys],
            [round(channel * 1e6) for channel in shape.color],
            shape.material,
            shape.form,
            shape.line,
            shape.mass,
        )
        for shape in build(LANDMARKS[index]).shapes
    ]
    return zlib.crc32(repr(shapes).encode())


def digest(scene: Scene) -> str:
    """Checksum of the pixels in all styles."""
    return hashlib.sha256(b"".join(render(scene, style, SIZE).tobytes() for style in STYLES)).hexdigest()


def output_of(program: str) -> str:
    """What a fresh Python process prints."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    ).stdout.strip()


def message(action, *arguments) -> str:
    """The message of the ValueError that the action raises."""
    with pytest.raises(ValueError, match=r".") as caught:
        action(*arguments)
    return str(caught.value)


@pytest.fixture(scope="module")
def pictures() -> list[list[Image.Image]]:
    """Every landmark in every style."""
    return [[render(scene_of(index), style, SIZE) for style in STYLES] for index in range(len(LANDMARKS))]


# -- the catalogue -------------------------------------------------------------
def test_there_are_115_landmarks_with_unique_names():
    assert len(LANDMARKS) == 115
    assert len({plain(landmark.name) for landmark in LANDMARKS}) == 115


def test_each_of_39_archetypes_is_drawn_by_some_landmark():
    assert len(ARCHETYPES) == 39
    assert {landmark.archetype for landmark in LANDMARKS} == set(ARCHETYPES)


def test_each_landmark_has_known_material_and_colors():
    for landmark in LANDMARKS:
        assert landmark.material in MATERIALS
        for color in (landmark.wall, landmark.roof, landmark.trim):
            assert len(bytes.fromhex(color)) == 3


# -- pictures ------------------------------------------------------------------
def test_every_landmark_renders_in_every_style(pictures):
    assert len(STYLES) == 10
    for row in pictures:
        for picture in row:
            assert (picture.mode, picture.size) == ("RGB", (SIZE, SIZE))
            assert np.asarray(picture).std() > 9, "flat"


def test_shapes_are_those_that_were_looked_at():
    assert [shape_digest(index) for index in range(len(LANDMARKS))] == np.load(REFERENCE)["shapes"].tolist()


def test_pictures_are_those_that_were_looked_at(pictures):
    drawn = np.array([[thumbnail(picture) for picture in row] for row in pictures], int)
    difference = np.abs(drawn - np.load(REFERENCE)["thumbnails"]).max((2, 3, 4))
    wrong = [f"{LANDMARKS[row].name} as {STYLES[column]}" for row, column in np.argwhere(difference > 2)]
    assert not wrong


@pytest.mark.parametrize("size", [16, 47, 130])
def test_any_size_in_bounds_renders(size):
    assert {render(scene_of(3), style, size).size for style in STYLES} == {(size, size)}


def test_largest_size_renders():
    picture = render(scene_of(0), "pixel art", 1024)
    assert picture.size == (1024, 1024)
    pixels = np.asarray(picture).reshape(64, 16, 64, 16, 3)
    assert (pixels == pixels[:, :1, :, :1]).all(), "not 64 x 64 blocks"


def test_same_scene_gives_the_same_bytes_whatever_was_drawn_before():
    scene = scene_of(17)
    first = digest(scene)
    assert digest(scene) == first
    render(scene_of(18), "ghiblivis", SIZE)
    for function in CACHED:
        function.cache_clear()
    backwards = [render(scene, style, SIZE).tobytes() for style in reversed(STYLES)]
    assert hashlib.sha256(b"".join(reversed(backwards))).hexdigest() == first


def test_same_scene_gives_the_same_bytes_in_another_process():
    program = "from tests.miniature.landmarks.test_render import digest, scene_of; print(digest(scene_of(17)))"
    assert output_of(program) == digest(scene_of(17))


def test_seeds_styles_and_settings_make_different_pictures():
    landmark = landmark_by_name("Taj Mahal")
    scenes = [Scene(landmark, "meadow", "cloudy", "wide", seed) for seed in range(5)]
    scenes += [Scene(landmark, setting, "cloudy", "wide", 0) for setting in SETTINGS if setting != "meadow"]
    scenes += [Scene(landmark, "meadow", sky, "wide", 0) for sky in SKIES if sky != "cloudy"]
    scenes += [Scene(landmark, "meadow", "cloudy", view, 0) for view in COMPOSITIONS if view != "wide"]
    photographs = {render(scene, "photo", SIZE).tobytes() for scene in scenes}
    assert len(photographs) == len(scenes)
    assert len({render(scenes[0], style, SIZE).tobytes() for style in STYLES}) == 10


def test_styles_of_a_scene_share_one_raster():
    rasterise.cache_clear()
    digest(scene_of(20))
    assert rasterise.cache_info().misses == 1
    assert rasterise.cache_info().hits == len(STYLES) - 1


@pytest.mark.parametrize("style", STYLES)
def test_styles_are_pixel_aligned(style):
    """The outline of the landmark against the sky lies in the same place in every style."""
    size = 128
    strength = {0: [], 2: [], -2: []}
    for name in ("Taj Mahal", "Big Ben", "Eiffel Tower", "Arc de Triomphe"):
        scene = Scene(landmark_by_name(name), "meadow", "clear", "wide", 4)
        building = rasterise(scene, size).building
        silhouette = np.abs(np.diff(building, axis=1)) > 0
        gray = np.asarray(render(scene, style, size).convert("L"), float)
        steps = np.abs(np.diff(gray, axis=1))
        for shift, found in strength.items():
            found.append(steps[np.roll(silhouette, shift, axis=1)].mean())
    at_outline, right, left = (np.mean(found) for found in strength.values())
    assert at_outline > 1.3 * max(right, left)


# -- words ---------------------------------------------------------------------
BIG_BEN = Scene(landmark_by_name("Big Ben"), "river", "night", "close", 7)
GOLDEN_GATE = Scene(landmark_by_name("Golden Gate Bridge"), "seashore", "cloudy", "distant", 7)
COLOSSEUM = Scene(landmark_by_name("Colosseum"), "garden", "night", "wide", 7)


def test_prompts():
    assert prompt(BIG_BEN) == (
        "Big Ben, London, England, a tall stone clock tower with four faces and a pointed roof "
        "beside a river at night, close-up"
    )
    assert prompt(GOLDEN_GATE) == (
        "Golden Gate Bridge, San Francisco, USA, a long orange red suspension bridge with "
        "two towers over the sea under a blue sky with white clouds, distant view"
    )
    assert prompt(COLOSSEUM) == (
        "Colosseum, Rome, Italy, an ancient stone amphitheatre with rows of arches and a "
        "broken rim in a flower garden at night with moon and stars, wide shot"
    )


def test_caption_is_the_prompt_and_the_style():
    assert caption(COLOSSEUM, "oil painting") == (
        "Colosseum, Rome, Italy, an ancient stone amphitheatre with rows of arches and a broken rim in a flower garden "
        "at night with moon and stars, wide shot, oil painting"
    )


def test_varied_captions():
    rng = np.random.default_rng(5)
    bridge, words = "Golden Gate Bridge", "a long orange red suspension bridge with two towers"
    sky = "under a blue sky with white clouds"
    assert [caption(GOLDEN_GATE, "pastel", rng) for _ in range(5)] == [
        f"{bridge}, {words} over the sea {sky}, distant view, pastel",
        f"{bridge}, {words} over the sea {sky}",
        f"{bridge}, San Francisco, USA, {words} over the sea {sky}, distant view",
        f"{bridge}, {words} {sky}, distant view, pastel",
        f"pastel of {bridge}, San Francisco, USA, {words} over the sea {sky}, distant view",
    ]


# -- scenes and names ----------------------------------------------------------
def test_sample_scene_respects_allowed_settings():
    rng = np.random.default_rng(1)
    scenes = [sample_scene(rng) for _ in range(2000)]
    assert all(scene.setting in allowed_settings(scene.landmark) for scene in scenes)
    assert {scene.setting for scene in scenes} == set(SETTINGS)
    assert {scene.sky for scene in scenes} == set(SKIES)
    assert {scene.composition for scene in scenes} == set(COMPOSITIONS)
    assert {scene.landmark for scene in scenes} == set(LANDMARKS)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("Pont du Gard", {"river", "seashore"}), ("Petra", {"desert", "meadow", "snow"}), ("Big Ben", set(SETTINGS))],
)
def test_allowed_settings_of_one_landmark_are_all_drawn(name, settings):
    rng = np.random.default_rng(2)
    scenes = [sample_scene(rng, landmark_by_name(name)) for _ in range(150)]
    assert {scene.landmark.name for scene in scenes} == {name}
    assert {scene.setting for scene in scenes} == settings


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("eiffel TOWER", "Eiffel Tower"),
        ("  notre dame ", "Notre-Dame"),
        ("Sagrada Família", "Sagrada Familia"),
        ("st basils cathedral", "St. Basil's Cathedral"),
        ("Peggy’s Cove Lighthouse", "Peggy's Cove Lighthouse"),
    ],
)
def test_landmark_by_name_forgives_spelling_of_letters_and_marks(typed, name):
    assert landmark_by_name(typed).name == name


def test_landmark_by_name_finds_each_by_its_own_name():
    assert [landmark_by_name(landmark.name) for landmark in LANDMARKS] == list(LANDMARKS)


# -- errors --------------------------------------------------------------------
def test_unknown_landmark():
    assert message(landmark_by_name, "Eifel Towr") == (
        "unknown landmark 'Eifel Towr': choose one of the 115 known; the nearest are Eiffel Tower, Peace Tower, "
        "Oriental Pearl Tower"
    )


def test_unknown_style():
    assert message(render, BIG_BEN, "cubism", SIZE) == (
        "unknown style 'cubism': choose one of photo, oil painting, watercolor, pencil sketch, ink drawing, pastel, "
        "sepia photo, pixel art, flat poster, ghiblivis"
    )


@pytest.mark.parametrize("size", [15, 1025, -3])
def test_size_out_of_bounds(size):
    assert message(render, BIG_BEN, "photo", size) == (
        f"size {size} is out of 16..1024 pixels: choose one in that range, 256 is usual"
    )


@pytest.mark.parametrize(("field", "known"), [("setting", SETTINGS), ("sky", SKIES), ("composition", COMPOSITIONS)])
def test_unknown_part_of_a_scene(field, known):
    parts = {"setting": "river", "sky": "night", "composition": "wide"} | {field: "moon base"}
    with pytest.raises(ValueError, match=f"unknown {field} 'moon base': choose one of {', '.join(known)}$"):
        Scene(BIG_BEN.landmark, **parts, seed=1)


def test_negative_seed():
    assert message(Scene, BIG_BEN.landmark, "river", "night", "wide", -1) == "seed -1 is below 0: choose 0 or more"


# -- weight --------------------------------------------------------------------
def test_importing_the_painter_loads_nothing_heavy():
    program = (
        "import sys, ghibli_studio.miniature.landmarks; "
        "print(sorted({'torch', 'gradio', 'matplotlib', 'diffusers'} & set(sys.modules)))"
    )
    assert output_of(program) == "[]"


if __name__ == "__main__":
    np.savez_compressed(
        REFERENCE,
        thumbnails=np.array(
            [[thumbnail(render(scene_of(index), style, SIZE)) for style in STYLES] for index in range(len(LANDMARKS))]
        ),
        shapes=np.array([shape_digest(index) for index in range(len(LANDMARKS))], np.uint32),
    )
