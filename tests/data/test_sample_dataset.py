"""The sample project: its landmarks, and that only the seed changes it."""

import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.data.dataset import load, split_by_landmark
from ghibli_studio.data.sample_dataset import _chosen, create_sample, render_pair
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.miniature.landmarks.catalog import LANDMARKS
from tests.support.dataset_files import tree


@pytest.fixture
def inline(monkeypatch):
    """Paint in this process, since starting two others takes seconds; the fixture `project` starts them."""
    from concurrent.futures import Future

    class InlineExecutor:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def shutdown(self, **_):
            pass

        def submit(self, call, *arguments):
            future = Future()
            future.set_result(call(*arguments))
            return future

    monkeypatch.setattr("ghibli_studio.data.sample_dataset.ProcessPoolExecutor", InlineExecutor)


def test_the_papers_five_come_first_and_all_115_in_the_end():
    assert len(LANDMARKS) == 115
    assert {LANDMARKS[index].name for index in _chosen(5)} == set(PAPER_LANDMARKS)
    assert {LANDMARKS[index].name for index in _chosen(9)} > set(PAPER_LANDMARKS)
    for count in (2, 9, 50):
        assert len(set(_chosen(count))) == count
    assert _chosen(115) == list(range(115))


def test_of_all_115_the_papers_five_validate_with_18_others():
    names = [LANDMARKS[index].name for index in _chosen(115)]
    split = dict(zip(names, split_by_landmark(names, 0, held_out=PAPER_LANDMARKS)))
    assert list(split.values()).count("validation") == 23
    assert {split[name] for name in PAPER_LANDMARKS} == {"validation"}


def test_the_sample_project(project, tiny_folder):
    """Painted by other processes, eight landmarks at 64 px."""
    dataset = load(project)
    assert (dataset.base_model, dataset.resolution, len(dataset.items)) == (str(tiny_folder), 64, 8)
    assert {item.landmark for item in dataset.items} > set(PAPER_LANDMARKS)
    assert {item.landmark for item in dataset.part("validation")} < set(PAPER_LANDMARKS)
    assert [LANDMARKS[index].name for index in _chosen(8)] == [item.landmark for item in dataset.items]
    assert [(item.source, item.original) for item in dataset.items] == [
        (f"{item.id}.png", f"{item.landmark}, painted") for item in dataset.items
    ]
    for number, item in zip(_chosen(8), dataset.items):
        name, caption, photo, stylized = render_pair(number, 0, 64)
        assert (name, caption) == (item.landmark, item.caption)
        assert (project.sources / item.source).read_bytes() == photo
        image = Image.open(project.dataset / f"{item.id}.png")
        assert image.size == (64, 64)
        assert image.tobytes() == open_image(stylized, name).tobytes()
        assert image.tobytes() != open_image(photo, name).tobytes()


def test_the_seed_decides(workspace, tiny_folder, inline):
    made = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        project = workspace.project(name, new=True)
        list(create_sample(project, str(tiny_folder), seed=seed, count=3))
        made[name] = tree(project.dataset) | tree(project.sources)
        assert load(project).seed == seed
    assert made["a"] == made["b"]
    assert not set(made["a"].values()) & set(made["c"].values())


def test_progress_tells_every_landmark(workspace, tiny_folder, inline):
    steps = list(create_sample(workspace.project("p", new=True), str(tiny_folder), count=2))
    names = [LANDMARKS[index].name for index in _chosen(2)]
    assert [(step.done, step.total, step.what) for step in steps] == [
        (1, 2, f"painting {names[0]}"),
        (2, 2, f"painting {names[1]}"),
    ]
    assert sorted(item.split for item in load(workspace.project("p")).items) == ["train", "validation"]


@pytest.mark.parametrize("count", [-1, 0, 1, 116])
def test_a_count_out_of_bounds(workspace, tiny_folder, count):
    with pytest.raises(StudioError) as caught:
        next(create_sample(workspace.project("p", new=True), str(tiny_folder), count=count))
    assert str(caught.value) == f"count is {count}; it must be 2 to 115, the number of painted landmarks"


def test_a_seed_out_of_bounds(workspace, tiny_folder):
    with pytest.raises(StudioError, match=r"^seed is -1; it must be 0 or more$"):
        next(create_sample(workspace.project("p", new=True), str(tiny_folder), seed=-1, count=2))


def test_a_dataset_is_not_overwritten_by_default(project, tiny_folder, inline):
    before = tree(project.folder)
    with pytest.raises(StudioError) as caught:
        next(create_sample(project, str(tiny_folder), count=2))
    assert str(caught.value) == (
        "project 'sample' has a dataset already; choose another project, or overwrite it (--replace)"
    )
    assert tree(project.folder) == before
    list(create_sample(project, str(tiny_folder), count=2, replace=True))
    assert len(load(project).items) == 2


def test_a_stopped_sample_leaves_the_old_dataset(project, tiny_folder, inline):
    before = tree(project.folder)
    painting = create_sample(project, str(tiny_folder), count=3, replace=True)
    next(painting)
    painting.close()
    assert tree(project.folder) == before


def test_a_dataset_created_during_painting_is_not_overwritten_by_default(workspace, tiny_folder, inline):
    project = workspace.project("p", new=True)
    painting = create_sample(project, str(tiny_folder), count=2)
    next(painting)
    list(create_sample(project, str(tiny_folder), count=3))
    before = tree(workspace.root)
    with pytest.raises(StudioError) as caught:
        list(painting)
    assert str(caught.value) == "project 'p' has a dataset already; choose another project, or overwrite it (--replace)"
    assert tree(workspace.root) == before


def test_a_stopped_sample_leaves_no_new_project(workspace, tiny_folder, inline):
    painting = create_sample(workspace.project("p", new=True), str(tiny_folder), count=3)
    next(painting)
    painting.close()
    assert (workspace.projects(), tree(workspace.root)) == ([], {})


def test_a_missing_base_model_is_reported_before_painting(workspace):
    with pytest.raises(StudioError, match=r"^base_model 'nonsense' is neither "):
        next(create_sample(workspace.project("p", new=True), "nonsense", count=2))
