"""All adapters of a project: those of its runs, and those imported, averaged or saved at a strength. Trains nothing.

An adapter is called by its run's name or its file's, with `@3` behind a run for what it was after epoch 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters import merge, registry
from adapters.formats import compatibility, metadata, reader, safetensors_file
from adapters.formats.safetensors_file import PICKLES, RECIPE_KEY, with_metadata
from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.models.location import locate, read_config
from ghibli_studio.workspace.files import sha256_of, write_atomic
from ghibli_studio.workspace.paths import ENDING
from ghibli_studio.workspace.project import Project
from ghibli_studio.workspace.run import Run

ORIGINS = {"run": "trained here", "imported": "imported", "average": "average", "adapter_scale": "other strength"}


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
    def recipe(self) -> dict[str, Any]:
        """What its file says of how it was made."""
        return safetensors_file.recipe_of(self.file)

    @property
    def label(self) -> str:
        """The method as people call it."""
        return registry.method(self.method).LABEL if self.method else "not usable"

    @property
    def trigger(self) -> str:
        """The words that call the style; of a new word its name, to which diffusers adds its further vectors."""
        adapter = registry.open_file(self.file)
        return getattr(adapter.settings, "placeholder_token", None) or adapter.caption("")

    @property
    def sha256(self) -> str:
        """Of the file."""
        return sha256_of(self.file)

    @property
    def made(self) -> datetime:
        """When the file was written."""
        return datetime.fromtimestamp(self.file.stat().st_mtime).astimezone()

    def told(self) -> dict[str, Any]:
        """As JSON values, for lists."""
        usable = not self.problem
        return {
            "name": self.name,
            "method": self.method,
            "label": self.label,
            "origin": self.origin,
            "file": str(self.file),
            "epoch": self.epoch,
            "bytes": self.file.stat().st_size,
            "made": self.made.isoformat(timespec="seconds"),
            "trigger": self.trigger if usable else "",
            "base_model": self.recipe.get("base_model", {}).get("spec") if usable else None,
            "parents": [parent["file"] for parent in self.recipe.get("parents", ())] if usable else [],
            "problem": self.problem,
        }


def entries(project: Project) -> list[Entry]:
    """All adapters, the newest first; a file that cannot be used is there too, and says why."""
    trained = [_of_run(run) for run in project.runs() if run.adapter_file.exists()]
    found = trained + [_of_file(file) for file in project.adapters.files()]
    return sorted(found, key=lambda entry: entry.made, reverse=True)


def find(project: Project, name: str) -> Entry:
    """The adapter of that name; raises StudioError with the names there are."""
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


def file_of(project: Project, text: str) -> Path:
    """The file of an adapter that is named, or given by its path, which need not be there."""
    path = Path(text)
    is_file = path.suffix.lower() in (ENDING, *PICKLES) or len(path.parts) > 1
    return path if is_file else find(project, text).file


def _of_run(run: Run) -> Entry:
    epoch = safetensors_file.recipe_of(run.adapter_file).get("epoch")
    return Entry(run.id, run.adapter_file, run.config().method, "run", run, epoch)


def _of_file(file: Path) -> Entry:
    try:
        method = registry.open_file(file).method
        origin = safetensors_file.recipe_of(file).get("origin", "imported")
        return Entry(file.stem, file, method, origin if origin in ORIGINS else "imported")
    except StudioError as error:
        return Entry(file.stem, file, "", "imported", problem=str(error))


def import_adapter(project: Project, path: Path, name: str = "", trigger: str | None = None) -> Entry:
    """Take an adapter file of any known layout into the library, written as this project writes its own.

    `trigger` is for a LoRA whose file does not tell its words, or tells wrong ones. Raises StudioError for a file that
    is none, that was made for another base model than the project's, and for a name that is taken.
    """
    path = Path(path)
    target = project.adapters.new(name.strip() or path.stem)
    content = reader.read(path)
    base = _fitting_base(project, path.name, content)
    adapter, tensors = registry.load_file(path)
    if trigger is not None:
        field = "trigger" if "trigger" in type(adapter.settings).model_fields else "placeholder_token"
        if field == "placeholder_token":
            raise StudioError("a word is called as its file says; rename the file to call it otherwise")
        adapter = registry.build(adapter.method, adapter.settings.changed(trigger=trigger))
    own = content.recipe
    recipe = {
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
        recipe["base_model"] = {**own["base_model"], "spec": base}
    as_it_is = content.layout == "diffusers" and "adapter" in own and trigger is None
    text = metadata.recipe_text(recipe)
    write_atomic(
        target,
        with_metadata(path.read_bytes(), {RECIPE_KEY: text})
        if as_it_is
        else merge.file_bytes(adapter, tensors, recipe),
    )
    return _of_file(target)


def _fitting_base(project: Project, name: str, content: reader.Content) -> str | None:
    """The project's base model, None before there is a data set; raises StudioError for a file that does not fit it."""
    if not datasets.exists(project):
        return None
    spec = datasets.load(project).base_model
    location = locate(spec)
    unet, text = read_config(location, "unet"), read_config(location, "text_encoder")
    compatibility.refuse_width(name, content.shapes, unet["cross_attention_dim"], text["hidden_size"])
    shape = [*unet["block_out_channels"], unet["cross_attention_dim"], text["hidden_size"]]
    told = content.recipe.get("base_model", {})
    if told.get("shape", shape) != shape:
        raise StudioError(
            f"{name} was trained on {told.get('spec')!r}, not on {spec!r}; import it into a project of that base model"
        )
    return spec


def average(
    project: Project, names: Sequence[str], name: str, weights: Sequence[float] | None = None, rank: int | None = None
) -> Entry:
    """Save the average of several adapters of one method, with the recipes of all."""
    target, parents = project.adapters.new(name), [find(project, one) for one in names]
    adapter, tensors, told = merge.average([parent.file for parent in parents], weights, rank)
    recipe = {"origin": "average", "average": told, **_descent(parents, told["weights"])}
    write_atomic(target, merge.file_bytes(adapter, tensors, recipe))
    return _of_file(target)


def at_strength(project: Project, source: str, name: str, weight: float, base: Callable[[], Any]) -> Entry:
    """Save an adapter as it is at a strength: the new file at 1 draws what the old one drew at `weight`.

    `base` gives the loaded base model; it is asked only where it is needed.
    """
    target, parent = project.adapters.new(name), find(project, source)
    adapter, tensors = merge.at_strength(parent.file, weight, lambda: base().host)
    recipe = {"origin": "adapter_scale", "adapter_scale": weight, **_descent([parent], [weight])}
    write_atomic(target, merge.file_bytes(adapter, tensors, recipe))
    return _of_file(target)


def _descent(parents: Sequence[Entry], weights: Sequence[float]) -> dict[str, Any]:
    """The parents' part of a recipe; the base model only if they have one in common."""
    told = [{**merge.parent(entry.file, weight), "file": entry.name} for entry, weight in zip(parents, weights)]
    bases = [parent["recipe"].get("base_model") for parent in told]
    shapes = {str(base.get("shape")) for base in bases if base}
    if len(shapes) > 1:
        raise StudioError("the adapters were trained on different base models; average those of one base model")
    common = bases[0] if all(base == bases[0] for base in bases) else None
    return {"parents": told, **({"base_model": common} if common else {})}


def remove(project: Project, name: str) -> None:
    """Delete an adapter that no run trained; raises StudioError for one of a run."""
    entry = find(project, name)
    if entry.run is not None:
        raise StudioError(f"{name} belongs to a run of the project, which keeps it; delete an imported or made one")
    entry.file.unlink()


def shareable(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without paths of this machine: a base model in a folder is told by the folder's name."""
    found = dict(recipe)
    if "base_model" in found and isinstance(found["base_model"], dict):
        spec = found["base_model"].get("spec", "")
        found["base_model"] = {**found["base_model"], "spec": Path(spec).name if is_path(spec) else spec}
    if "parents" in found:
        found["parents"] = [{**parent, "recipe": shareable(parent["recipe"])} for parent in found["parents"]]
    return found


def is_path(spec: str) -> bool:
    """True for a base model that is a folder or a file, rather than the miniature or a name on the hub."""
    return Path(spec).is_absolute() or Path(spec).exists() or spec.endswith(".safetensors")


def interchange(entry: Entry, facts: metadata.Facts) -> dict[str, bytes]:
    """The adapter's files for other programs: name -> bytes. A method that knows no other layout gives its own file."""
    module, recipe = registry.method(entry.method), shareable(entry.recipe)
    if not hasattr(module, "interchange"):
        text = metadata.recipe_text(recipe)
        return {f"{facts.name}.safetensors": with_metadata(entry.file.read_bytes(), {RECIPE_KEY: text})}
    adapter, tensors = registry.load_file(entry.file)
    return module.interchange(
        adapter, tensors, {**recipe, "method": entry.method, "adapter": adapter.settings.model_dump(mode="json")}, facts
    )
