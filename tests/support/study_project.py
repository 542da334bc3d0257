"""A project for a study without a model: a dataset and an image set of noise images."""

import io

from PIL import Image

from ghibli_studio.data.dataset import Dataset, Item, to_json
from ghibli_studio.generation.image_set import SET_FILE
from ghibli_studio.generation.metadata import to_png
from ghibli_studio.workspace.files import write_json
from tests.support.study_sample import LANDMARKS, png

OTHERS = tuple(f"Tower {n}" for n in range(4)) + tuple(f"Bridge {n}" for n in range(3))
METHODS = ("base", "lora", "ti")


def generation_metadata(landmark, method):
    return {"prompt": f"{landmark}, drawn", "settings": {"seed": 7}, "adapter": method}


def generated_image(landmark, method):
    """Return a generated image with its metadata inside."""
    with Image.open(io.BytesIO(png(f"{landmark} {method}"))) as image:
        return to_png(image, generation_metadata(landmark, method))


def add_set(project, titles=LANDMARKS, methods=METHODS):
    """Add a complete image set; return its name."""
    folder = project.new_image_set()
    requests = [{"title": title, "prompt": f"{title}, drawn"} for title in titles]
    write_json(folder / SET_FILE, {"settings": {"seed": 7}, "requests": requests, "methods": list(methods)})
    for index, title in enumerate(titles, 1):
        for method in methods:
            (folder / f"{index:03d}-{method}.png").write_bytes(generated_image(title, method))
    return folder.name


def with_dataset(project, landmarks=LANDMARKS, others=OTHERS, trained=(), without_photo=()):
    """Add a dataset: `landmarks` are held out except for `trained`; all others are training images."""
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
        (project.dataset / f"{item.id}.png").write_bytes(png(f"{landmark} stylized", 64))
        stylized = landmark in without_photo  # then the source is the stylized image itself
        (project.sources / source).write_bytes(png(f"{landmark} {'stylized' if stylized else 'photo'}", 64))
    write_json(project.manifest_file, to_json(Dataset("tiny", 32, 77, 0, tuple(items))))
    project.register()
    return project


def study_project(workspace, name="sample", **values):
    """Return a project with a dataset and one image set."""
    project = with_dataset(workspace.project(name, new=True), **values)
    add_set(project, values.get("landmarks", LANDMARKS))
    return project
