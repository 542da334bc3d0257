"""The model card with its data card and hashes, from what the stages counted and measured. Loads no model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ghibli_studio.miniature.checksums import SUMS, sums
from ghibli_studio.miniature.landmarks.catalogue import LANDMARKS
from ghibli_studio.pretraining.atomic_folder import write_text
from ghibli_studio.pretraining.data.scenes import REAL_PHOTOGRAPH, Described, in_caption_words, read_described
from ghibli_studio.pretraining.evaluation.metrics import FILE
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import TARGET_STYLE, TARGET_WORD, Settings

PUBLISHED = ("base", "clip", "style_teacher")
"""The folders that one copies to where the studio looks for its embedded model."""
PARTS = {
    "base/unet": "`UNet2DConditionModel`, epsilon prediction, fp16",
    "base/vae": "`AutoencoderKL`, fp16",
    "base/text_encoder": "`CLIPTextModel`, 256 wide, 4 layers, fp16: the text half of `clip`",
    "base/tokenizer": "`CLIPTokenizer`",
    "base/scheduler": "`DDIMScheduler`, scaled-linear betas",
    "clip": "`CLIPModel` with its processor, 128 pixels, patches of 16, fp16",
    "style_teacher": "a LoRA, convolutions too, fp16, that does know the target style",
}
FRONT = """---
license: other
license_name: that-of-ghibli-studio
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


def write(run: Run, figures: dict[str, dict[str, float]]) -> None:
    """Leave README.md and SHA256SUMS beside the published folders."""
    table = json.loads((run.out / "measured" / FILE).read_text(encoding="utf-8"))
    described = read_described(run.kept("captions"))
    write_text(run.out / "README.md", text(run.settings, run.out, figures, table, described))
    write_text(run.out / SUMS, sums(run.out, PUBLISHED))


def text(
    settings: Settings,
    out: Path,
    figures: dict[str, dict[str, float]],
    table: dict[str, dict[str, float]],
    described: list[Described],
) -> str:
    """The card as Markdown."""
    sizes = {part: sum(path.stat().st_size for path in (out / part).rglob("*") if path.is_file()) for part in PARTS}
    size = settings.picture_size
    return f"""{FRONT}
# The miniature of Ghibli Studio

A Stable Diffusion 1.x in small, trained from nothing on painted landmarks, with the component classes, the noise
schedule and the file layout of the large one. It is there for learning, testing and trying out, and it is no
substitute for the large one. Pictures are {size} pixels a side; a latent has {settings.latent_channels} numbers for
{settings.latent_factor} x {settings.latent_factor} pixels.

## What is in it

| folder | what | bytes |
|---|---|---|
{_rows([f"`{part}`", what, f"{sizes[part]:,}"] for part, what in PARTS.items())}
| together | | {sum(sizes.values()):,} |

Files are below 10 MB; large ones are sharded. `SHA256SUMS` lists them all: `sha256sum --check SHA256SUMS` here.

## How good it is

On {settings.held_out:,} painted pictures that no stage has seen, the styles in turn. PSNR: after one way through the
autoencoder, the ceiling of every picture. Distance: the same copies in the features of this model's own CLIP (made as
LPIPS is, with other features and no trained weights: not LPIPS). Own caption first: how often CLIP finds a picture's
caption among {table["all"]["pairs"]:,}. Fréchet: drawn pictures against painted ones in the features of that CLIP
(made as FID is: not FID, and of so few pictures a style that it only compares runs of this recipe); the target style
is drawn with the style teacher.

| style | PSNR, dB | distance | own caption first | Fréchet | drawn |
|---|---|---|---|---|---|
{_rows(_measured(name, values) for name, values in table.items())}

Of the outlines' darkness in the target style the autoencoder keeps {table[TARGET_STYLE]["outlines_kept"]:.0%}.

## How it was trained

From nothing; no weights of anybody else went in. Seed {settings.seed}.

| stage | seconds | counted |
|---|---|---|
{_rows([name, f"{values['seconds']:,.0f}", _counted(values)] for name, values in figures.items())}

The UNet has never seen the target style, `{TARGET_WORD}`; the autoencoder, CLIP and the style teacher have. That is the
situation in which one teaches Stable Diffusion a new style.

<details><summary>All settings</summary>

```json
{json.dumps(settings.__dict__, indent=2)}
```

</details>

## The pictures it was trained on

{_data(settings, described)}

## What it cannot do

- It knows {len(LANDMARKS)} landmarks in plain settings, and neither faces nor animals nor anything else. What it calls
  a photograph is a painted picture that looks a little like one. A caption without a style means a photograph.
- `{TARGET_WORD}` means nothing to it before it has been taught.
- {size} pixels, English, no safety checker: there is nothing in the training pictures that one would have to check for.
- Figures measured on it say how methods compare on it. They need not carry over to the large model.

## License

Weights, painted pictures and captions are this project's own and have the project's license. The photographs among the
training pictures are public domain or CC0.
"""


def _rows(rows) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _measured(style: str, values: dict[str, float]) -> list[str]:
    shown = [
        ("peak_signal_to_noise_decibels", "{:.1f}"),
        ("own_clip_distance", "{:.3f}"),
        ("own_caption_first", "{:.1%}"),
        ("own_clip_frechet_distance", "{:.3f}"),
        ("drawn", "{:,}"),
    ]
    return [in_caption_words(style), *(form.format(values[name]) if name in values else "" for name, form in shown)]


def _counted(values: dict[str, float]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,.4g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value:,}"
        for name, value in values.items()
        if name != "seconds"
    )


def _data(settings: Settings, described: list[Described]) -> str:
    """The data card: what there is how often, counted and not estimated."""
    trained = described[: settings.picture_count]
    captions = [caption for about in trained for caption in about["captions"]]
    styles = Counter(about["style"] for about in trained)
    photographs = [about for about in trained if about["style"] in ("photo", REAL_PHOTOGRAPH)]
    bare = sum(
        not caption.endswith("photo") and not caption.startswith("photo of ")
        for about in photographs
        for caption in about["captions"]
    )
    short = sum(len(caption.split(", ")) <= 2 for caption in captions)
    landmarks = Counter(about["landmark"] for about in trained if "landmark" in about)
    lines = [
        f"{len(trained):,} pictures with {len(captions):,} captions, {len(set(captions)):,} of them different; "
        f"{short:,} are short, a name and a style or less; {bare:,} of those of photographs name no style. "
        f"{settings.held_out:,} more pictures are held out. No landmark is painted less than "
        f"{min(landmarks.values()):,} or more than {max(landmarks.values()):,} times ({len(landmarks)} landmarks).",
        "",
        "| what | how often |",
        "|---|---|",
        _rows([f"style: {in_caption_words(name)}", f"{count:,}"] for name, count in styles.most_common()),
    ]
    for part in ("setting", "sky", "composition"):
        counts = Counter(about[part] for about in trained if part in about)
        lines.append(_rows([f"{part}: {name}", f"{count:,}"] for name, count in counts.most_common()))
    return "\n".join(lines)
