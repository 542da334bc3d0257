"""Every issue is reported where it exists, and only there."""

import pytest

from ghibli_studio.curation import photos as curation_photos
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.review import check, find_issues
from tests.support.collection_project import photo, put

SAME_HASH = "0" * 16
SAME = {"perceptual_hash": SAME_HASH}


def good(count=20):
    return [photo(f"{n:04d}", f"Landmark {n}", description="a tower") for n in range(1, count + 1)]


def issues_of(photos, **fields):
    """Return (severity, ids) by kind of the issues in a collection of these and twenty good photos."""
    base = {"base_model": "miniature", "resolution": 256, "token_limit": 77}
    issues = find_issues(Collection(**{**base, "photos": (*good(), *photos), **fields}))
    return {issue.kind: (issue.severity, issue.ids) for issue in issues}


def test_a_good_collection_has_no_issues():
    assert issues_of([]) == {}


@pytest.mark.parametrize(
    ("photos", "kind", "severity", "ids"),
    [
        ([photo("0101", "A", description=80 * "tower ")], "long prompt", "error", ("0101",)),
        ([photo("0101"), photo("0102")], "no prompt", "error", ("0101", "0102")),
        ([photo("0101", description="a tower")], "no name", "warning", ("0101",)),
        (
            [photo("0101", "A", perceptual_hash=SAME_HASH), photo("0102", "B", perceptual_hash=SAME_HASH)],
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
def test_one_problem_is_one_issue(photos, kind, severity, ids):
    assert issues_of(photos) == {kind: (severity, ids)}
    assert issues_of([curation_photos.edited(one, {"rejected": True}) for one in photos]) == {}


@pytest.mark.parametrize(
    "fields", [{"width": 256, "height": 256}, {"brightness": 0.12}, {"brightness": 0.88}, {"width": 600, "height": 300}]
)
def test_values_at_the_bounds_are_no_issue(fields):
    assert issues_of([photo("0101", "A", **fields)]) == {}


def test_near_duplicates_on_both_sides_are_an_error():
    pair = [
        photo("0101", "A", **SAME, split="train"),
        photo("0102", "B", perceptual_hash=SAME_HASH, split="validation"),
    ]
    assert issues_of(pair) == {"leak": ("error", ("0101", "0102")), "near-duplicates": ("warning", ("0101", "0102"))}


def test_few_photos_one_landmark_and_skipped_files():
    collection = Collection("miniature", 256, 77, tuple(good(19)))
    assert [one.kind for one in find_issues(collection)] == ["few"]
    same = Collection("miniature", 256, 77, tuple(photo(f"{n:04d}", "Petra") for n in range(1, 31)))
    assert [(one.kind, one.severity) for one in find_issues(same)] == [("one landmark", "error")]
    with_skipped = Collection("miniature", 256, 77, tuple(good()), ({"file": "x", "reason": "broken"},))
    assert [one.kind for one in find_issues(with_skipped)] == ["skipped files"]
    assert [one.kind for one in find_issues(Collection("miniature", 256, 77))] == ["few"]


def test_errors_come_first_and_each_issue_has_a_fix(workspace):
    project = workspace.project("p", new=True)
    put(project, [photo("0001", "A", brightness=0.0, width=200), photo("0002"), photo("0003", "B")])
    issues = check(project)
    assert [one.severity for one in issues] == ["error", "warning", "note", "note"]
    assert all(one.message and one.fix for one in issues)
    assert issues[0].message == "1 photo without a prompt"
