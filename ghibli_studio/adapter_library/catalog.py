"""All adapters of a project: trained by its runs, imported, merged or scaled. Nothing is trained here.

An adapter has the name of its run or its file; `RUN@3` is the run's adapter after epoch 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from adapters import merge, registry
from adapters.formats import compatibility, reader, safetensors_file
from adapters.formats import metadata as file_metadata
from adapters.formats.safetensors_file import METADATA_KEY, PICKLE_SUFFIXES, with_metadata
from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.models.location import locate, read_config
from ghibli_studio.workspace.files import sha256_of, write_atomic
from ghibli_studio.workspace.paths import ENDING
from ghibli_studio.workspace.project import Project
from ghibli_studio.workspace.run import Run

ORIGINS = {"run": "trained here", "imported": "imported", "merged": "merged", "scaled": "scaled"}


@dataclass(frozen=True)
class Entry:
    """One adapter of the library."""

    name: str
    file: Path
    method: str
    """Its short name; empty for a file that cannot be used."""
    origin: str
    """One of ORIGINS."""
    run: Run | None = None
    epoch: int | None = None
    problem: str = ""
    """Why it cannot be used."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The adapter metadata in its file: how it was made."""
        return safetensors_file.read_adapter_metadata(self.file)

    @property
    def label(self) -> str:
        """The method's display name."""
        return str(registry.method(self.method).LABEL) if self.method else "not usable"

    @property
    def trigger(self) -> str:
        """The words that trigger the style; of Textual Inversion the token, which diffusers expands to all vectors."""
        adapter = registry.open_file(self.file)
        return getattr(adapter.settings, "placeholder_token", None) or adapter.format_prompt("")

    @property
    def sha256(self) -> str:
        """The file's hash."""
        return sha256_of(self.file)

    @property
    def created(self) -> datetime:
        """When the file was written."""
        return datetime.fromtimestamp(self.file.stat().st_mtime).astimezone()

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON values, for lists."""
        usable = not self.problem
        return {
            "name": self.name,
            "method": self.method,
            "label": self.label,
            "origin": self.origin,
            "file": str(self.file),
            "epoch": self.epoch,
            "bytes": self.file.stat().st_size,
            "created": self.created.isoformat(timespec="seconds"),
            "trigger": self.trigger if usable else "",
            "base_model": self.metadata.get("base_model", {}).get("model_id") if usable else None,
            "parents": [parent["file"] for parent in self.metadata.get("parents", ())] if usable else [],
            "problem": self.problem,
        }


def entries(project: Project) -> list[Entry]:
    """Return all adapters, newest first; a file that cannot be used is included with its problem."""
    trained = [_run_entry(run) for run in project.runs() if run.adapter_file.exists()]
    files = [_file_entry(file) for file in project.adapters.files()]
    return sorted(trained + files, key=lambda entry: entry.created, reverse=True)


def find(project: Project, name: str) -> Entry:
    """Return the adapter with that name; raise StudioError with the existing names."""
    bare, at, epoch = name.partition("@")
    for entry in entries(project):
        if entry.name == bare and not at:
            return entry
        if entry.name == bare and entry.run is not None:
            files = entry.run.epoch_adapter_files()
            if epoch.isdigit() and int(epoch) in files:
                return Entry(name, files[int(epoch)], entry.method, "run", entry.run, int(epoch))
            raise StudioError(f"run {bare} has no epoch {epoch!r}; it has {', '.join(map(str, files)) or 'none yet'}")
    known = ", ".join(entry.name for entry in entries(project)) or "none yet"
    raise StudioError(f"project {project.name!r} has no adapter {name!r}; it has {known}")


def resolve_file(project: Project, text: str) -> Path:
    """Return the file of an adapter given by name or by path; a path need not exist."""
    path = Path(text)
    is_file = path.suffix.lower() in (ENDING, *PICKLE_SUFFIXES) or len(path.parts) > 1
    return path if is_file else find(project, text).file


def _run_entry(run: Run) -> Entry:
    epoch = safetensors_file.read_adapter_metadata(run.adapter_file).get("epoch")
    return Entry(run.id, run.adapter_file, run.config().method, "run", run, epoch)


def _file_entry(file: Path) -> Entry:
    try:
        method = registry.open_file(file).method
        origin = safetensors_file.read_adapter_metadata(file).get("origin", "imported")
        return Entry(file.stem, file, method, origin if origin in ORIGINS else "imported")
    except StudioError as error:
        return Entry(file.stem, file, "", "imported", problem=str(error))


def import_adapter(project: Project, path: Path, name: str = "", trigger: str | None = None) -> Entry:
    """Import an adapter file of any supported layout into the library, written as this project writes its own.

    `trigger` is for a LoRA whose file has no trigger or a wrong one. Raises StudioError for a file that is not an
    adapter, for one made for another base model than the project's, and for a name that exists already.
    """
    path = Path(path)
    target = project.adapters.new(name.strip() or path.stem)
    content = reader.read(path)
    base = _check_base_model(project, path.name, content)
    adapter, tensors = registry.load_file(path)
    if trigger is not None:
        if "trigger" not in type(adapter.settings).model_fields:
            raise StudioError("a Textual Inversion is triggered by its token; rename the file to change the token")
        adapter = registry.build(adapter.method, adapter.settings.changed(trigger=trigger))
    own = content.adapter_metadata
    metadata = {
        **own,
        "origin": "imported",
        "imported": {
            "file": path.name,
            "layout": content.layout,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "header": {
                key: value[:2000]
                for key, value in content.metadata.items()
                if key.startswith(("ss_", "modelspec.")) and key != "ss_tag_frequency"
            },
        },
    }
    if base and "base_model" in own:
        metadata["base_model"] = {**own["base_model"], "model_id": base}
    unchanged = content.layout == "diffusers" and "adapter" in own and trigger is None
    write_atomic(
        target,
        with_metadata(path.read_bytes(), {METADATA_KEY: file_metadata.metadata_json(metadata)})
        if unchanged
        else merge.file_bytes(adapter, tensors, metadata),
    )
    return _file_entry(target)


def _check_base_model(project: Project, name: str, content: reader.Content) -> str | None:
    """Return the project's base model (None without a dataset); raise StudioError for a file that does not fit it."""
    if not datasets.exists(project):
        return None
    model_id = datasets.load(project).base_model
    location = locate(model_id)
    unet, text = read_config(location, "unet"), read_config(location, "text_encoder")
    compatibility.check_width(name, content.shapes, unet["cross_attention_dim"], text["hidden_size"])
    shape = [*unet["block_out_channels"], unet["cross_attention_dim"], text["hidden_size"]]
    trained_on = content.adapter_metadata.get("base_model", {})
    if trained_on.get("shape", shape) != shape:
        raise StudioError(
            f"{name} was trained on {trained_on.get('model_id')!r}, not on {model_id!r}; import it into a project with "
            "that base model"
        )
    return cast(str, model_id)


def merge_adapters(
    project: Project, names: Sequence[str], name: str, weights: Sequence[float] | None = None, rank: int | None = None
) -> Entry:
    """Save the weighted sum of several adapters of one method, with the metadata of all of them."""
    target, parents = project.adapters.new(name), [find(project, parent) for parent in names]
    adapter, tensors, how = merge.merge_files([parent.file for parent in parents], weights, rank)
    metadata = {"origin": "merged", "merge": how, **_lineage(parents, how["weights"])}
    write_atomic(target, merge.file_bytes(adapter, tensors, metadata))
    return _file_entry(target)


def scale_adapter(project: Project, source: str, name: str, weight: float, base: Callable[[], Any]) -> Entry:
    """Save a scaled copy of an adapter: the new file at scale 1 generates what the old one does at scale `weight`.

    `base` returns the loaded base model; it is called only if it is needed.
    """
    target, parent = project.adapters.new(name), find(project, source)
    adapter, tensors = merge.scale_file(parent.file, weight, lambda: base().host)
    metadata = {"origin": "scaled", "adapter_scale": weight, **_lineage([parent], [weight])}
    write_atomic(target, merge.file_bytes(adapter, tensors, metadata))
    return _file_entry(target)


def _lineage(parents: Sequence[Entry], weights: Sequence[float]) -> dict[str, Any]:
    """Return the parents' part of the metadata; the base model only if they have one in common."""
    described = [
        {**merge.parent_metadata(entry.file, weight), "file": entry.name} for entry, weight in zip(parents, weights)
    ]
    bases = [parent["metadata"].get("base_model") for parent in described]
    shapes = {str(base.get("shape")) for base in bases if base}
    if len(shapes) > 1:
        raise StudioError("the adapters were trained on different base models; merge adapters of one base model")
    common = bases[0] if all(base == bases[0] for base in bases) else None
    return {"parents": described, **({"base_model": common} if common else {})}


def delete(project: Project, name: str) -> None:
    """Delete an adapter that no run trained; raise StudioError for one of a run."""
    entry = find(project, name)
    if entry.run is not None:
        raise StudioError(f"{name} belongs to a run of the project; only imported, merged and scaled adapters can go")
    entry.file.unlink()


def without_local_paths(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata without paths of this machine: a base model in a folder is named by the folder alone."""
    result = dict(metadata)
    if "base_model" in result and isinstance(result["base_model"], dict):
        model_id = result["base_model"].get("model_id", "")
        name = Path(model_id).name if is_path(model_id) else model_id
        result["base_model"] = {**result["base_model"], "model_id": name}
    if "parents" in result:
        result["parents"] = [
            {**parent, "metadata": without_local_paths(parent["metadata"])} for parent in result["parents"]
        ]
    return result


def is_path(model_id: str) -> bool:
    """Return whether a base model is a folder or a file, rather than the miniature or a model on the Hub."""
    return Path(model_id).is_absolute() or Path(model_id).exists() or model_id.endswith(".safetensors")


def export_files(entry: Entry, info: file_metadata.ExportInfo) -> dict[str, bytes]:
    """Return the adapter's files for other programs by name; a method without other layouts gives its own file."""
    module, metadata = registry.method(entry.method), without_local_paths(entry.metadata)
    if not hasattr(module, "export_files"):
        text = file_metadata.metadata_json(metadata)
        return {f"{info.name}.safetensors": with_metadata(entry.file.read_bytes(), {METADATA_KEY: text})}
    adapter, tensors = registry.load_file(entry.file)
    complete = {**metadata, "method": entry.method, "adapter": adapter.settings.model_dump(mode="json")}
    return cast("dict[str, bytes]", module.export_files(adapter, tensors, complete, info))
