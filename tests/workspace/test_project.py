"""Names, folders and runs of projects, and the paths of their files."""

from pathlib import Path

import pytest

from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.runtime.environment import default_root
from ghibli_studio.workspace.files import append_line, read_json, write_json
from ghibli_studio.workspace.project import Project, Workspace, project_of
from ghibli_studio.workspace.run import Run


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "sample",
        "my style",
        "v1.2",
        "Big-Ben_2",
        "0",
        "a" * 64,
        "Đà Nẵng",
        "吉卜力",
        "Ñandú",
        "путь",
        "مشروع",
        "a.b c-d",
    ],
)
def test_names_allowed(workspace, name):
    project = workspace.project(name, new=True)
    assert (project.name, project.folder, project.workspace) == (name, workspace.root / name, workspace)
    assert not workspace.root.exists(), "a name alone creates nothing"
    project.register()
    assert workspace.project(name) == workspace.project(name, new=True) == project
    assert workspace.projects() == [name]


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc",
        "a\\b",
        ".hidden",
        "-x",
        " x",
        "x ",
        "x.",
        "a" * 65,
        "🏯",
        "a🏯",
        "a\nb",
        "a\n",
        "a\0b",
        "a:b",
        "~",
        "a\tb",
        "c'est",
        "<b>",
        "a\u202eb",
    ],
)
def test_names_refused(workspace, name):
    with pytest.raises(StudioError) as caught:
        workspace.project(name, new=True)
    assert str(caught.value) == (
        f"{name!r} cannot be a project's name; use 1 to 64 letters, digits, spaces, '-', '_' or '.', with a letter or "
        "digit first and no space or '.' last"
    )
    assert not workspace.root.exists()


def test_an_unknown_project_is_reported_with_all_projects(workspace):
    with pytest.raises(StudioError) as caught:
        workspace.project("monet")
    assert str(caught.value) == (
        f"there is no project 'monet' in {workspace.root} (projects: none yet); "
        "create one with: ghibli-studio dataset sample 'monet'"
    )
    for name in ("van gogh", "hokusai"):
        workspace.project(name, new=True).register()
    workspace.project("only named", new=True)
    with pytest.raises(StudioError, match=r"\(projects: hokusai, van gogh\)"):
        workspace.project("monet")
    assert not (workspace.root / "monet").exists()


def test_only_folders_with_a_marker_are_projects(workspace):
    workspace.project("b", new=True).register()
    workspace.project("a", new=True).register()
    (workspace.root / "other").mkdir()
    (workspace.root / "file").write_text("")
    assert workspace.projects() == ["a", "b"]
    assert Workspace(workspace.root / "nowhere").projects() == []


def test_a_reopened_project_keeps_its_creation_time(workspace):
    workspace.project("a", new=True).register()
    marker = workspace.project("a").marker_file
    assert read_json(marker).keys() == {"name", "created"}
    write_json(marker, {"name": "a", "created": "2025-01-02T03:04:05+00:00"})
    before = marker.read_bytes()
    workspace.project("a", new=True).register()
    assert marker.read_bytes() == before


def test_a_file_in_place_of_a_project_is_reported(workspace):
    workspace.root.mkdir()
    (workspace.root / "a").write_text("")
    with pytest.raises(StudioError, match=r"^.*/a cannot be used \(.*\); choose another folder with --workspace$"):
        workspace.project("a", new=True).register()


def test_the_environment_sets_the_workspace(monkeypatch):
    monkeypatch.delenv("GHIBLI_WORKSPACE", raising=False)
    assert default_root() == Path("workspace")
    monkeypatch.setenv("GHIBLI_WORKSPACE", "/data/studio")
    assert default_root() == Path("/data/studio")


def test_the_paths_of_a_project(workspace):
    project = Project(workspace.root / "p")
    run = Run(project.folder / "runs" / "20250102-030405-lora")
    paths = {
        "project.json": project.marker_file,
        ".dataset.lock": project.dataset_lock,
        ".old-dataset": project.previous("dataset"),
        "sources": project.sources,
        "dataset": project.dataset,
        "dataset/manifest.json": project.manifest_file,
        ".building/sources": project.building("sources"),
        "cache/x": project.cache_file("x"),
        "images/1": project.image_set("1"),
        "evaluations/1": project.evaluation("1"),
        **{
            f"runs/{run.id}/{name}": path
            for name, path in {
                "config.json": run.config_file,
                "job.json": run.job_file,
                "cancel": run.cancel_file,
                "progress.jsonl": run.progress_file,
                "log.txt": run.log_file,
                "checkpoints": run.checkpoints,
                "checkpoints/last.safetensors": run.checkpoint_file,
                "adapter.safetensors": run.adapter_file,
                "epochs/epoch-003.safetensors": run.epoch_adapter_file(3),
                "metrics.json": run.metrics_file,
                "done.json": run.done_file,
                "samples/epoch-007.png": run.sample_file(7),
            }.items()
        },
    }
    assert {path.relative_to(project.folder).as_posix() for path in paths.values()} == paths.keys()
    assert project_of(run) == project


def test_run_names_are_unique_within_a_second(workspace):
    project = workspace.project("p", new=True)
    configs = [preset("quick", method) for method in ("lora", "ti")]
    created = [project.new_run(configs[number % 2]) for number in range(24)]
    assert len({run.id for run in created}) == 24
    assert sorted(project.runs(), key=lambda run: run.id) == sorted(created, key=lambda run: run.id)
    assert sorted(run.id for run in project.runs("ti")) == sorted(run.id for run in created[1::2])
    assert sorted(run.id for run in project.runs("lora")) == sorted(run.id for run in created[::2])
    assert [run.config() for run in created[:2]] == configs


def test_a_run_is_found_by_its_id_and_an_unknown_run_is_reported_with_all_runs(workspace):
    project = workspace.project("p", new=True)
    with pytest.raises(StudioError) as caught:
        project.run("x")
    assert str(caught.value) == "project 'p' has no run 'x'; it has none yet"
    run = project.new_run(preset("quick", "ti"))
    assert project.run(run.id) == run
    for name in ("x", "", "..", "../p"):
        with pytest.raises(StudioError) as caught:
            project.run(name)
        assert str(caught.value) == f"project 'p' has no run {name!r}; it has {run.id}"


def test_runs_by_method_whatever_the_folders_are_called(workspace):
    project = workspace.project("p", new=True)
    runs = project.folder / "runs"
    names = ["20250101-000000-lora", "20250101-000000-lora-2", "20250101-000000-ti", "best", "2025-lora", "a-b-c-ti"]
    for name in names:
        write_json(runs / name / "config.json", {})
    (runs / "unfinished").mkdir()
    assert [run.id for run in project.runs()] == sorted(names)
    assert [run.id for run in project.runs("lora")] == names[:2]
    assert [run.id for run in project.runs("ti")] == [names[2]]


def test_all_runs_of_all_projects(workspace):
    projects = [workspace.project(name, new=True) for name in ("b", "a")]
    created = [project.new_run(preset("quick", "lora")) for project in projects]
    assert list(workspace.runs()) == []
    for project in projects:
        project.register()
    assert list(workspace.runs()) == created[::-1]


def test_image_sets_are_unique_and_the_newest_comes_first(workspace):
    project = workspace.project("p", new=True)
    assert project.image_sets() == []
    created = [project.new_image_set() for _ in range(3)]
    assert len(set(created)) == 3
    project.image_set("19990101-000000").mkdir()
    (project.folder / "images" / "note.txt").write_text("")
    assert project.image_sets() == [*sorted(created, reverse=True), project.image_set("19990101-000000")]


def test_events_metrics_and_samples_of_a_run(workspace):
    run = workspace.project("p", new=True).new_run(preset("quick", "lora"))
    assert (run.progress(), run.metrics(), run.samples()) == ([], {}, [])
    append_line(run.progress_file, {"event": "step"})
    write_json(run.metrics_file, {"epochs": 1})
    run.sample_file(0).parent.mkdir()
    for epoch in (10, 0, 2):
        run.sample_file(epoch).write_bytes(b"")
    assert run.progress() == [{"event": "step"}]
    assert run.metrics() == {"epochs": 1}
    assert [path.name for path in run.samples()] == ["epoch-000.png", "epoch-002.png", "epoch-010.png"]


def test_invalid_settings_are_reported(workspace):
    run = workspace.project("p", new=True).new_run(preset("quick", "lora"))
    write_json(run.config_file, {"method": "lora", "adapter": {"rank": 0}})
    with pytest.raises(StudioError, match=r"^rank is 0; it must be greater than or equal to 1$"):
        run.config()
    run.config_file.unlink()
    with pytest.raises(StudioError, match=r"config\.json cannot be read \(No such file or directory\)"):
        run.config()
