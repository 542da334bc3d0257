"""The order of the stages. What is finished is kept: a rerun continues with the first stage that is not.

Every stage writes into a folder of another name, which is renamed when all of it is on disk, so a folder that is
there is whole. Below the result, `stages/` holds what later stages need, in full precision; a finished run does not.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.miniature.pretrain import autoencoder, clip, denoiser, pictures, sheets, teacher, tokenizer
from ghibli_studio.miniature.pretrain.learning import duration
from ghibli_studio.miniature.pretrain.photographs import PHOTOGRAPHS, read_photographs
from ghibli_studio.miniature.pretrain.settings import TARGET_STYLE, TARGET_WORD, Settings, WrongInput

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, ModelMixin, UNet2DConditionModel
    from transformers import CLIPModel, CLIPTokenizer

LARGEST_SHARD = "9MB"
"""Files above 10 MB are not welcome in a git repository."""
LATENTS = "latents.npy"

Figures = dict[str, float]


@dataclass(frozen=True)
class Run:
    """One run of the recipe: its settings, its folder, and the means to compute."""

    settings: Settings
    out: Path
    photographs: Path | None = PHOTOGRAPHS
    """Folder of photographs with their captions.txt; not looked at when the settings want no photographs."""
    device: str = "cpu"
    """'cpu' or 'cuda'."""
    workers: int = 0
    """Processes that paint; 0 paints in this one."""
    compiled: bool = False
    """Whether torch compiles the UNet: minutes at the beginning for quicker steps on a GPU."""

    def kept(self, stage: str) -> Path:
        """Where a stage leaves what later stages need."""
        return self.out / "stages" / stage

    def pictures(self) -> pictures.Pictures:
        """All pictures and captions."""
        return pictures.Pictures.load(self.kept("pictures"))

    def tokenizer(self) -> CLIPTokenizer:
        """The trained tokenizer."""
        from transformers import CLIPTokenizer

        words = CLIPTokenizer.from_pretrained(self.kept("tokenizer"), local_files_only=True)
        for how_loaded in ("is_local", "local_files_only"):  # or they would be saved with the tokenizer
            words.init_kwargs.pop(how_loaded, None)
        return words

    def autoencoder(self) -> AutoencoderKL:
        """The trained autoencoder in full precision, on the run's device."""
        from diffusers import AutoencoderKL

        vae = AutoencoderKL.from_pretrained(self.kept("autoencoder"), local_files_only=True)
        return nameless(vae).to(self.device)

    def clip(self) -> CLIPModel:
        """The trained CLIP in full precision, on the run's device."""
        from transformers import CLIPModel

        return CLIPModel.from_pretrained(self.kept("clip"), local_files_only=True).to(self.device).eval()

    def denoiser(self) -> UNet2DConditionModel:
        """The trained UNet in full precision, on the run's device."""
        from diffusers import UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(self.kept("denoiser"), local_files_only=True)
        return nameless(unet).to(self.device)

    def noisy_latents(self, *, target_style: bool) -> denoiser.NoisyLatentsSource:
        """What the UNet (every style but the target) or the teacher (the target style only) learns from."""
        shown, words = self.pictures(), self.tokenizer()
        rows = np.flatnonzero((shown.styles == TARGET_STYLE) == target_style)
        latents = np.load(self.kept("latents") / LATENTS, allow_pickle=False)
        ids, empty = tokenizer.token_ids(words, shown.captions), tokenizer.empty_ids(words)
        return denoiser.source(latents, ids, empty, rows, clip.text_encoder(self.clip()), self.device)


def nameless(model: ModelMixin) -> ModelMixin:
    """The model, which will not write into its config the folder that it was loaded from."""
    model.register_to_config(_name_or_path="")
    return model


def make_pictures(run: Run, folder: Path) -> Figures:
    """Paint the pictures, and cut the photographs."""
    taken = read_photographs(run.photographs) if run.settings.photograph_count else []
    return pictures.make(run.settings, taken, folder, run.workers)


def make_tokenizer(run: Run, folder: Path) -> Figures:
    """Learn the words of the captions."""
    captions = (caption for several in run.pictures().captions for caption in several)
    words = tokenizer.train(captions, run.settings.vocabulary)
    words.save_pretrained(folder)
    return {"tokens": len(words)}


def make_autoencoder(run: Run, folder: Path) -> Figures:
    """Train the autoencoder."""
    model, figures = autoencoder.train(run.pictures().images, run.settings, run.device)
    model.save_pretrained(folder)
    return figures


def make_latents(run: Run, folder: Path) -> Figures:
    """Encode every picture once, so that the UNet need not."""
    latents = autoencoder.encode(run.autoencoder(), run.pictures().images, run.device)
    np.save(folder / LATENTS, latents, allow_pickle=False)
    return {"standard_deviation": float(latents.std(dtype=np.float64))}


def make_clip(run: Run, folder: Path) -> Figures:
    """Train CLIP."""
    shown, words = run.pictures(), run.tokenizer()
    ids = tokenizer.token_ids(words, shown.captions)
    model, figures = clip.train(shown, ids, words, run.settings, run.device)
    model.save_pretrained(folder)
    return figures


def make_denoiser(run: Run, folder: Path) -> Figures:
    """Train the UNet."""
    model, figures = denoiser.train(run.noisy_latents(target_style=False), run.settings, run.device, run.compiled)
    model.save_pretrained(folder)
    return figures


def make_teacher(run: Run, folder: Path) -> Figures:
    """Train the style teacher."""
    figures = teacher.train(run.denoiser(), run.noisy_latents(target_style=True), run.settings, run.device, folder)
    # the words that call the style, where programs look for those of a LoRA
    notes = json.dumps({"activation text": TARGET_WORD}, indent=1)
    (folder / "pytorch_lora_weights.json").write_text(f"{notes}\n", encoding="utf-8")
    return figures


def publish_base(run: Run, folder: Path) -> Figures:
    """Write the diffusion pipeline in half precision and small shards."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=run.autoencoder().half(), text_encoder=clip.text_encoder(run.clip()).half(), tokenizer=run.tokenizer(),
        unet=run.denoiser().half(), scheduler=denoiser.scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, max_shard_size=LARGEST_SHARD)
    # the studio reads here how to ask the bare model for its plain style
    (folder / "studio.json").write_text(json.dumps({"plain_style": "photo"}) + "\n", encoding="utf-8")
    return {}


def publish_clip(run: Run, folder: Path) -> Figures:
    """Write CLIP in half precision and small shards, with what prepares its pictures and texts."""
    run.clip().half().save_pretrained(folder, max_shard_size=LARGEST_SHARD)
    clip.processor(run.tokenizer()).save_pretrained(folder)
    return {}


def draw_sheets(run: Run, folder: Path) -> Figures:
    """Draw the contact sheets with what was published."""
    sheets.draw(run.out, run.settings, run.device, folder)
    return {}


@dataclass(frozen=True)
class Stage:
    """A piece of the recipe that is done as a whole or not at all."""

    name: str
    result: str
    """The folder that it makes, below the run's."""
    make: Callable[[Run, Path], Figures]
    """Fills the folder that it is given; returns what it measured."""


STAGES = (
    Stage("pictures", "stages/pictures", make_pictures),
    Stage("tokenizer", "stages/tokenizer", make_tokenizer),
    Stage("autoencoder", "stages/autoencoder", make_autoencoder),
    Stage("latents", "stages/latents", make_latents),
    Stage("clip", "stages/clip", make_clip),
    Stage("denoiser", "stages/denoiser", make_denoiser),
    Stage("base", "base", publish_base),
    Stage("published clip", "clip", publish_clip),
    Stage("teacher", "style_teacher", make_teacher),
    Stage("sheets", "sheets", draw_sheets),
)


def pretrain(run: Run) -> Iterator[tuple[str, Figures]]:
    """Run the stages that are not finished, yielding each one's name and figures when it is; stop when you like.

    Once a stage is made, all after it are made anew. `done.json` is written last, with all figures; where it is, there
    is nothing to do. Raises WrongInput if the folder belongs to other settings or to something else, if photographs
    cannot be read, or if the disk has no room.
    """
    begin(run)
    if (run.out / "done.json").exists():
        return
    figures_file = run.out / "stages" / "figures.json"
    figures = json.loads(figures_file.read_text(encoding="utf-8")) if figures_file.exists() else {}
    first = next((n for n, stage in enumerate(STAGES) if not (run.out / stage.result).exists()), len(STAGES))
    for stage in STAGES[first:]:
        began = time.monotonic()
        with whole_folder(run.out / stage.result) as folder:
            measured = stage.make(run, folder)
        figures[stage.name] = measured | {"seconds": round(time.monotonic() - began, 1)}
        write_json(figures_file, figures)
        yield stage.name, figures[stage.name]
    write_json(run.out / "done.json", figures)


def begin(run: Run) -> None:
    """Claim the folder for these settings, or see that it is theirs already and clear away what was interrupted."""
    settings_file = run.out / "settings.json"
    if settings_file.exists():
        differences = run.settings.differences(json.loads(settings_file.read_text(encoding="utf-8")))
        if differences:
            raise WrongInput(f"{run.out} was begun with {', '.join(differences)}: repeat those settings, or choose "
                             "another --out")
    elif run.out.exists() and (not run.out.is_dir() or any(run.out.iterdir())):
        raise WrongInput(f"{run.out} is not empty and holds no run of this recipe: choose an empty or new --out")
    for interrupted in (*run.out.glob("*.partial"), *run.out.glob("stages/*.partial")):
        shutil.rmtree(interrupted) if interrupted.is_dir() else interrupted.unlink()
    if not run.kept("pictures").exists():
        check_room(run)
    run.out.mkdir(parents=True, exist_ok=True)
    write_json(settings_file, asdict(run.settings))


def check_room(run: Run) -> None:
    """Raise WrongInput if the disk cannot hold the run: a memory-mapped file that outgrows it ends the process."""
    there = next(folder for folder in (run.out.absolute(), *run.out.absolute().parents) if folder.exists())
    free, needed = shutil.disk_usage(there).free, run.settings.disk_bytes
    if free < needed:
        raise WrongInput(f"{run.out} has {free / 1e9:.1f} GB of free disk, but {run.settings.picture_count:,} pictures "
                         f"and the models need {needed / 1e9:.1f} GB: make room, choose another --out, or fewer "
                         "with --picture-count")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to fill, which takes the target's name, and its place, only when all of it is on disk."""
    partial = target.with_name(f"{target.name}.partial")
    partial.mkdir(parents=True)
    yield partial
    for path in partial.rglob("*"):
        if path.is_file():
            flush_to_disk(path)
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)


def flush_to_disk(path: Path) -> None:
    """Wait until the file's content would survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_json(path: Path, content: object) -> None:
    """Write the whole file or, if interrupted, leave the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    flush_to_disk(partial)
    partial.replace(path)


def described(name: str, figures: Figures) -> str:
    """A finished stage in a line."""
    measured = "".join(f", {key.replace('_', ' ')} {value:g}" for key, value in figures.items() if key != "seconds")
    return f"{name} finished in {duration(figures['seconds'])}{measured}"
