"""The model card with its data card and hashes, from the metrics of the stages. Loads no model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ghibli_studio.miniature.checksums import SUMS, sums
from ghibli_studio.miniature.landmarks.catalog import LANDMARKS
from ghibli_studio.pretraining.atomic_folder import write_text
from ghibli_studio.pretraining.data.scenes import REAL_PHOTO, ImageDescription, read_descriptions, with_target_word
from ghibli_studio.pretraining.evaluation.metrics import FILE
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import TARGET_STYLE, TARGET_WORD, Settings

PUBLISHED = ("base", "clip", "style_teacher")
"""The folders to copy to the studio's embedded weights."""
PARTS = {
    "base/unet": "`UNet2DConditionModel`, epsilon prediction, fp16",
    "base/vae": "`AutoencoderKL`, fp16",
    "base/text_encoder": "`CLIPTextModel`, 256 wide, 4 layers, fp16: the text model of `clip`",
    "base/tokenizer": "`CLIPTokenizer`",
    "base/scheduler": "`DDIMScheduler`, scaled-linear betas",
    "clip": "`CLIPModel` with its processor, 128 pixels, patches of 16, fp16",
    "style_teacher": "a LoRA on attention and convolutions, fp16, trained on the target style",
}
FRONT = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
language: en
tags:
  - stable-diffusion
  - text-to-image
  - landmarks
  - synthetic-data
inference:
  parameters:
    guidance_scale: 5.0
    num_inference_steps: 25
---
"""


def write(run: Run, stage_metrics: dict[str, dict[str, float]]) -> None:
    """Write README.md and SHA256SUMS beside the published folders."""
    table = json.loads((run.out / "metrics" / FILE).read_text(encoding="utf-8"))
    descriptions = read_descriptions(run.stage_folder("captions"))
    write_text(run.out / "README.md", text(run.settings, run.out, stage_metrics, table, descriptions))
    write_text(run.out / SUMS, sums(run.out, PUBLISHED))


def text(
    settings: Settings,
    out: Path,
    stage_metrics: dict[str, dict[str, float]],
    table: dict[str, dict[str, float]],
    descriptions: list[ImageDescription],
) -> str:
    """Return the card as Markdown."""
    sizes = {part: sum(path.stat().st_size for path in (out / part).rglob("*") if path.is_file()) for part in PARTS}
    size = settings.image_size
    return f"""{FRONT}
# The miniature of Ghibli Studio

A small Stable Diffusion 1.x, trained from scratch on painted landmarks, with the component classes, the noise schedule
and the file layout of the original. It is meant for learning, testing and experiments, and does not replace the
original. Images are {size} pixels per side; a latent has {settings.latent_channels} channels for
{settings.latent_factor} x {settings.latent_factor} pixels.

## Contents

| folder | content | bytes |
|---|---|---|
{_rows([f"`{part}`", what, f"{sizes[part]:,}"] for part, what in PARTS.items())}
| total | | {sum(sizes.values()):,} |

Files are smaller than 10 MB; larger ones are sharded. Check them with `sha256sum --check SHA256SUMS`.

## Quality

On {settings.held_out:,} held-out painted images, all styles in turn. PSNR: after encoding and decoding by the
autoencoder, the upper limit for every image. Distance: the same reconstructions in the features of this model's own
CLIP (computed like LPIPS, with other features and no trained weights: not LPIPS). Own caption first: how often CLIP
ranks an image's caption first among {table["all"]["pairs"]:,}. Fréchet: generated images vs. painted ones in the
features of that CLIP (computed like FID: not FID, and with so few images per style it only compares runs of this
training); the target style is generated with the style teacher.

| style | PSNR, dB | distance | own caption first | Fréchet | generated |
|---|---|---|---|---|---|
{_rows(_metric_row(name, values) for name, values in table.items())}

The autoencoder preserves {table[TARGET_STYLE]["outline_retention"]:.0%} of the outlines' darkness in the target style.

## Training

From scratch, without any other weights. Seed {settings.seed}.

| stage | seconds | metrics |
|---|---|---|
{_rows([name, f"{values['seconds']:,.0f}", _metric_text(values)] for name, values in stage_metrics.items())}

The UNet was never trained on the target style, `{TARGET_WORD}`; the autoencoder, CLIP and the style teacher were. This
is the usual situation when Stable Diffusion is fine-tuned on a new style.

<details><summary>All settings</summary>

```json
{json.dumps(settings.__dict__, indent=2)}
```

</details>

## Training images

{_data(settings, descriptions)}

## Limitations

- It knows {len(LANDMARKS)} landmarks in simple settings, and neither faces nor animals nor anything else. Its photos
  are painted images that resemble photos a little. A caption without a style means a photo.
- `{TARGET_WORD}` has no meaning for it until it is trained.
- {size} pixels, English, no safety checker: nothing in the training images would require one.
- Results with it show how methods compare on it. They need not generalize to the original.

## License

Weights, painted images and captions are this project's own and have the project's license. The photos among the
training images are public domain or CC0.
"""


def _rows(rows: Iterable[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _metric_row(style: str, values: dict[str, float]) -> list[str]:
    columns = [
        ("psnr", "{:.1f}"),
        ("clip_distance", "{:.3f}"),
        ("caption_top_1", "{:.1%}"),
        ("clip_frechet_distance", "{:.3f}"),
        ("generated_images", "{:,}"),
    ]
    return [with_target_word(style), *(form.format(values[name]) if name in values else "" for name, form in columns)]


def _metric_text(values: dict[str, float]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,.4g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value:,}"
        for name, value in values.items()
        if name != "seconds"
    )


def _data(settings: Settings, descriptions: list[ImageDescription]) -> str:
    """Return the data card with counts of the training images."""
    trained = descriptions[: settings.image_count]
    captions = [caption for description in trained for caption in description["captions"]]
    styles = Counter(str(description["style"]) for description in trained)
    photos = [description for description in trained if description["style"] in ("photo", REAL_PHOTO)]
    without_style = sum(
        not caption.endswith("photo") and not caption.startswith("photo of ")
        for description in photos
        for caption in description["captions"]
    )
    short = sum(len(caption.split(", ")) <= 2 for caption in captions)
    landmarks = Counter(str(description["landmark"]) for description in trained if "landmark" in description)
    lines = [
        f"{len(trained):,} images with {len(captions):,} captions, {len(set(captions)):,} of them different; "
        f"{short:,} are short, at most a name and a style; {without_style:,} of those of photos name no style. "
        f"{settings.held_out:,} more images are held out. Each landmark is painted between "
        f"{min(landmarks.values()):,} and {max(landmarks.values()):,} times ({len(landmarks)} landmarks).",
        "",
        "| content | images |",
        "|---|---|",
        _rows([f"style: {with_target_word(name)}", f"{count:,}"] for name, count in styles.most_common()),
    ]
    for part in ("setting", "sky", "composition"):
        counts = Counter(str(description[part]) for description in trained if part in description)
        lines.append(_rows([f"{part}: {name}", f"{count:,}"] for name, count in counts.most_common()))
    return "\n".join(lines)
