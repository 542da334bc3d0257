"""The model card of an adapter: front matter for the Hub, and what a user should know. No image is made here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.adapter_library.catalog import Entry, is_path
from ghibli_studio.evaluation import evaluator
from ghibli_studio.plotting.formatting import size
from ghibli_studio.workspace.project import Project

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
TAGS = {"lora": ["lora", "template:sd-lora"], "ti": ["textual_inversion"]}
HIDDEN_SETTINGS = ("trigger", "placeholder_token", "target_modules", "conv_modules", "text_encoder_modules")
SHAPE_SETTINGS = ("rank", "lora_alpha", "num_vectors", "use_dora", "conv_rank", "text_encoder_rank")
"""The settings that describe an adapter without a training of its own."""
ABOUT = (
    "An adapter for Stable Diffusion that generates images in a style learned from captioned images. Made with Ghibli "
    "Studio, which trains LoRA and Textual Inversion on exactly equal footing."
)
DORA = (
    "With DoRA the magnitudes of the weights are trained too. diffusers loads them as they were trained; ComfyUI and "
    "AUTOMATIC1111 compute them in their own ways, so their images differ slightly."
)
NO_SCORES = (
    "The adapter was not evaluated. `python -m ghibli_studio evaluate` generates images of held-out subjects with it "
    "and with the base model, and scores both."
)


@dataclass(frozen=True)
class Card:
    """The content of a model card."""

    entry: Entry
    name: str
    license: str
    description: str
    trigger: str
    """What to add to the prompt in diffusers."""
    files: Mapping[str, bytes]
    samples: Sequence[tuple[str, str]]
    """(file in the export, prompt with the trigger)."""
    curve: str | None
    """The training curve's file."""
    scores: Sequence[dict[str, Any]]
    metadata: Mapping[str, Any]
    """The adapter metadata without paths of this machine."""


def hub_base_model(metadata: Mapping[str, Any]) -> str | None:
    """Return the base model's id on the Hub; None if it is not on the Hub."""
    model_id = metadata.get("base_model", {}).get("model_id", "")
    return model_id if HUB_ID.fullmatch(model_id) and not is_path(model_id) else None


def evaluation_scores(project: Project, entry: Entry) -> list[dict[str, Any]]:
    """Return the means of the newest finished evaluation of this very file, with those of the base model.

    `{task, label, better, mean, interval, base, subjects}`; empty if there is no such evaluation.
    """
    for folder in evaluator.evaluations(project):
        with suppress(StudioError):
            result = evaluator.load(folder)
            own = next(
                (
                    variant["name"]
                    for variant in result["variants"]
                    if variant["sha256"] == entry.sha256 and variant["group"] == "compare"
                ),
                None,
            )
            if own is None:
                continue
            base = {variant["name"] for variant in result["variants"] if variant["method"] == "base"}
            means = {(row["task"], row["metric"], row["variant"]): row for row in result["means"]}
            base_means = {(task, metric): row["mean"] for (task, metric, name), row in means.items() if name in base}
            return [
                {
                    "task": task,
                    "label": result["metrics"][metric]["label"],
                    "better": result["metrics"][metric]["better"],
                    "mean": row["mean"],
                    "interval": row["interval"],
                    "base": base_means.get((task, metric)),
                    "subjects": row["landmarks"],
                }
                for (task, metric, name), row in means.items()
                if name == own
            ]
    return []


def render(card: Card) -> str:
    """Return the card's README.md."""
    parts = [_front_matter(card), f"# {card.name}", card.description or ABOUT]
    if card.samples:
        parts.append(
            "\n".join(f'<img src="{file}" width="256" alt="{_attribute(prompt)}">' for file, prompt in card.samples)
        )
    parts += ["## Usage", *_usage(card), "## Scores", *_scores(card)]
    if card.curve:
        parts += ["## Training", f"![Losses over the epochs]({card.curve})"]
    parts += ["## How it was made", *_origin(card), "## License", _license(card)]
    return "\n\n".join(parts) + "\n"


def _front_matter(card: Card) -> str:
    """Return the front matter, written by huggingface_hub as the Hub reads it."""
    from huggingface_hub import ModelCardData

    base = hub_base_model(card.metadata)
    fields: dict[str, Any] = {
        "license": card.license,
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": [
            "stable-diffusion",
            "stable-diffusion-diffusers",
            "diffusers",
            "text-to-image",
            *TAGS.get(card.entry.method, [card.entry.method]),
            "ghibli-studio",
        ],
        "instance_prompt": card.trigger,
    }
    if card.license == "other":
        fields["license_name"] = "terms-of-the-base-model"
    if base:
        fields |= {"base_model": base, "base_model_relation": "adapter"}
    if card.samples:
        fields["widget"] = [{"text": prompt, "output": {"url": file}} for file, prompt in card.samples]
    return f"---\n{ModelCardData(**fields).to_yaml()}\n---"


def _usage(card: Card) -> list[str]:
    base = hub_base_model(card.metadata)
    model_id = base or "path/to/the/base/model"
    trained_on = card.metadata.get("base_model", {}).get("model_id")
    lines = [
        f"Trigger: `{card.trigger}`, at the end of the prompt." if card.trigger else "It needs no trigger.",
        f"Base model: `{trained_on}`" + ("" if base else ", which is not on the Hub under this name.")
        if trained_on
        else "The file does not name its base model.",
    ]
    prompt = card.samples[0][1] if card.samples else f"a castle on a hill, {card.trigger}"
    if "pytorch_lora_weights.safetensors" in card.files:
        load = 'pipe.load_lora_weights(".", weight_name="pytorch_lora_weights.safetensors")\npipe.unet.eval()'
        elsewhere = (
            f"For AUTOMATIC1111 put `{card.name}.safetensors` and `{card.name}.json`, which has the trigger, into "
            "`models/Lora`; for ComfyUI put the .safetensors file into `models/loras`."
        )
    elif "learned_embeds.safetensors" in card.files:
        load = 'pipe.load_textual_inversion(".", weight_name="learned_embeds.safetensors")'
        others = [name.removesuffix(".safetensors") for name in card.files if not name.startswith("learned_embeds")]
        elsewhere = (
            "For AUTOMATIC1111 and ComfyUI put "
            + " and ".join(f"`{name}.safetensors`" for name in others)
            + f" into `embeddings`; the file name is the trigger: `{others[0]}`, in ComfyUI "
            f"`embedding:{others[0]}`."
        )
        if others[1:]:
            elsewhere += (
                f" `{others[1]}` belongs in the negative prompt; for diffusers it is in "
                "`learned_embeds_negative.safetensors`."
            )
    else:
        return [*lines, "It can be used with Ghibli Studio."]
    code = "\n".join(
        [
            "import torch",
            "from diffusers import StableDiffusionPipeline",
            "",
            f"pipe = StableDiffusionPipeline.from_pretrained({model_id!r}, dtype=torch.float32)",
            load,
            f"prompt = {prompt!r}",
            "image = pipe(prompt, num_inference_steps=25, guidance_scale=5.0).images[0]",
        ]
    )
    lines += [f"```python\n{code}\n```", elsewhere]
    return [*lines, DORA] if card.metadata.get("adapter", {}).get("use_dora") else lines


def prompt_for_diffusers(prompt: str, token: str | None) -> str:
    """Return the prompt with a Textual Inversion token once: diffusers adds the tokens of further vectors itself."""
    return re.sub(rf" ?{re.escape(token)}_\d+", "", prompt).strip() if token else prompt


def _scores(card: Card) -> list[str]:
    if not card.scores:
        return [NO_SCORES]
    rows = ["| task | metric | better is | this adapter | base model |", "|---|---|---|---|---|"]
    for score in card.scores:
        interval = "" if score["interval"] is None else " ({:.3g} to {:.3g})".format(*score["interval"])
        base = "" if score["base"] is None else f"{score['base']:.3g}"
        rows.append(
            f"| {score['task']} | {score['label']} | {score['better']} | {score['mean']:.3g}{interval} | {base} |"
        )
    subjects = max(score["subjects"] for score in card.scores)
    return ["\n".join(rows), f"Means over {subjects} held-out subjects; 95 % intervals in parentheses."]


def _origin(card: Card) -> list[str]:
    metadata = card.metadata
    lines: list[str] = []
    if parents := metadata.get("parents"):
        names = ", ".join(f"`{parent['file']}` x {parent['weight']:g}" for parent in parents)
        how = metadata.get("merge", {}).get("how")
        lines.append(f"Made from {names}" + (f" ({how})." if how else "."))
    if imported := metadata.get("imported"):
        lines.append(f"Imported from `{imported['file']}` ({imported['layout']} layout).")
    if dataset := metadata.get("dataset"):
        lines.append(f"Trained on {dataset['images']} captioned images.")
    adapter = metadata.get("adapter", {})
    if "training" not in metadata:
        adapter = {name: value for name, value in adapter.items() if name in SHAPE_SETTINGS}
    settings = {**metadata.get("training", {}), **adapter}
    rows = [
        f"| {name} | {value} |"
        for name, value in sorted(settings.items())
        if name not in HIDDEN_SETTINGS and value not in (None, "", [])
    ]
    if rows:
        lines.append("\n".join(["| setting | value |", "|---|---|", *rows]))
    sizes = ", ".join(f"`{name}` ({size(len(data))})" for name, data in card.files.items())
    return [*lines, f"All of it is in `metadata.json`. Files: {sizes}."]


def _license(card: Card) -> str:
    license = "The license was not chosen" if card.license == "other" else f"`{card.license}`"
    return (
        f"{license}; the terms of the base model apply to any adapter of it, and the rights to the training images "
        "stay with their owners."
    )


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
