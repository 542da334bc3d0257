"""Every finding is found where it is, and not where it is not."""

import pytest

from ghibli_studio.curation import photos as curation_photos
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.review import check, findings
from tests.support.collection_project import photo, put

ALIKE = "0" * 16


def good(count=20):
    return [photo(f"{n:04d}", f"Landmark {n}", description="a tower") for n in range(1, count + 1)]


def found(photos, **fields):
    """Kind -> (severity, ids) of the findings of a collection of these and twenty good ones."""
    base = {"base_model": "miniature", "resolution": 256, "token_limit": 77}
    everything = (*good(), *photos)
    listed = findings(Collection(**{**base, "photos": everything, **fields}))
    return {one.kind: (one.severity, one.ids) for one in listed}


def test_where_all_is_well_nothing_is_found():
    assert found([]) == {}


@pytest.mark.parametrize(
    ("photos", "kind", "severity", "ids"),
    [
        ([photo("0101", "A", description=80 * "tower ")], "long prompt", "error", ("0101",)),
        ([photo("0101"), photo("0102")], "no prompt", "error", ("0101", "0102")),
        ([photo("0101", description="a tower")], "no name", "warning", ("0101",)),
        (
            [photo("0101", "A", likeness=ALIKE), photo("0102", "B", likeness=ALIKE)],
            "near-duplicates",
            "warning",
            ("0101", "0102"),
        ),
        ([photo("0101", "A", width=400, height=255)], "small", "warning", ("0101",)),
        ([photo("0101", "A", brightness=0.119)], "dark", "note", ("0101",)),
        ([photo("0101", "A", brightness=0.881)], "bright", "note", ("0101",)),
        (
            [photo("0101", "A", width=601, height=300), photo("0102", "B", width=300, height=601)],
            "long",
            "note",
            ("0101", "0102"),
        ),
        (
            [photo("0101", "A", split="train"), photo("0102", "a", split="validation")],
            "landmark on both sides",
            "error",
            (),
        ),
    ],
)
def test_one_thing_wrong_is_one_finding(photos, kind, severity, ids):
    assert found(photos) == {kind: (severity, ids)}
    assert found([curation_photos.changed(one, {"rejected": True}) for one in photos]) == {}


@pytest.mark.parametrize(
    "fields", [{"width": 256, "height": 256}, {"brightness": 0.12}, {"brightness": 0.88}, {"width": 600, "height": 300}]
)
def test_at_the_bound_all_is_well(fields):
    assert found([photo("0101", "A", **fields)]) == {}


def test_look_alikes_on_both_sides_are_an_error():
    pair = [photo("0101", "A", likeness=ALIKE, split="train"), photo("0102", "B", likeness=ALIKE, split="validation")]
    assert found(pair) == {"leak": ("error", ("0101", "0102")), "near-duplicates": ("warning", ("0101", "0102"))}


def test_few_one_and_left_out():
    collection = Collection("miniature", 256, 77, tuple(good(19)))
    assert [one.kind for one in findings(collection)] == ["few"]
    one = Collection("miniature", 256, 77, tuple(photo(f"{n:04d}", "Petra") for n in range(1, 31)))
    assert [(one.kind, one.severity) for one in findings(one)] == [("one landmark", "error")]
    left_out = Collection("miniature", 256, 77, tuple(good()), ({"file": "x", "reason": "broken"},))
    assert [one.kind for one in findings(left_out)] == ["left out"]
    assert [one.kind for one in findings(Collection("miniature", 256, 77))] == ["few"]


def test_errors_come_first_and_each_has_its_way_out(workspace):
    project = workspace.project("p", new=True)
    put(project, [photo("0001", "A", brightness=0.0, width=200), photo("0002"), photo("0003", "B")])
    listed = check(project)
    assert [one.severity for one in listed] == ["error", "warning", "note", "note"]
    assert all(one.message and one.way_out for one in listed)
    assert listed[0].message == "1 photographs have no prompt"
