"""A project that a study can be made of, without a model: a data set and a set of pictures that noise has painted."""

import io

from PIL import Image

from ghibli_studio.data.dataset import Dataset, Item, to_json
from ghibli_studio.generation.image_set import SET_FILE
from ghibli_studio.generation.metadata import to_png
from ghibli_studio.workspace.files import write_json
from tests.support.study_sample import LANDMARKS, png

OTHERS = tuple(f"Tower {n}" for n in range(4)) + tuple(f"Bridge {n}" for n in range(3))
METHODS = ("base", "lora", "ti")


def recipe(landmark, method):
    return {"prompt": f"{landmark}, drawn", "settings": {"seed": 7}, "adapter": method}


def picture(landmark, method):
    """A generated picture with its recipe inside."""
    with Image.open(io.BytesIO(png(f"{landmark} {method}"))) as image:
        return to_png(image, recipe(landmark, method))


def add_set(project, titles=LANDMARKS, methods=METHODS):
    """A finished set of pictures; returns its name."""
    folder = project.new_image_set()
    requests = [{"title": title, "prompt": f"{title}, drawn"} for title in titles]
    write_json(folder / SET_FILE, {"settings": {"seed": 7}, "requests": requests, "methods": list(methods)})
    for index, title in enumerate(titles, 1):
        for method in methods:
            (folder / f"{index:03d}-{method}.png").write_bytes(picture(title, method))
    return folder.name


def with_dataset(project, landmarks=LANDMARKS, others=OTHERS, trained=(), without_photograph=()):
    """Give the project a data set: `landmarks` are held out but for `trained`; all others are learned from."""
    for folder in (project.sources, project.dataset):
        folder.mkdir(parents=True)
    items = []
    for number, landmark in enumerate((*landmarks, *others), 1):
        held_out = landmark in landmarks and landmark not in trained
        source = f"{number:04d}.png"
        item = Item(
            f"{number:04d}",
            landmark,
            f"{landmark}, drawn",
            5,
            "validation" if held_out else "train",
            source,
            f"{landmark}.png",
            "0" * 64,
        )
        items.append(item)
        (project.dataset / f"{item.id}.png").write_bytes(png(f"{landmark} styled", 64))
        styled = landmark in without_photograph  # then the styled picture itself is what came in
        (project.sources / source).write_bytes(png(f"{landmark} {'styled' if styled else 'photograph'}", 64))
    write_json(project.manifest_file, to_json(Dataset("tiny", 32, 77, 0, tuple(items))))
    project.register()
    return project


def studied(workspace, name="sample", **values):
    """A project with a data set and one set of pictures."""
    project = with_dataset(workspace.project(name, new=True), **values)
    add_set(project, values.get("landmarks", LANDMARKS))
    return project
