"""The card of an adapter: front matter for the hub, and what a person wants to know before using it. Draws nothing."""

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
HIDDEN = ("trigger", "placeholder_token", "target_modules", "conv_modules", "text_encoder_modules")
ABOUT = (
    "An adapter for Stable Diffusion that draws in a style learned from pictures with captions. Made with Ghibli "
    "Studio, which trains LoRA and Textual Inversion on exactly equal footing."
)
DORA = (
    "With DoRA the weights' lengths are trained too. diffusers reads them as they were trained; ComfyUI and "
    "AUTOMATIC1111 work them out in ways of their own, and draw something near."
)
NO_SCORES = (
    "The adapter was not evaluated. `python -m ghibli_studio evaluate` draws held-out subjects with it and "
    "with the base model, and scores both."
)


@dataclass(frozen=True)
class Card:
    """What a card is made of."""

    entry: Entry
    name: str
    license: str
    description: str
    trigger: str
    """What is put behind the prompt in diffusers."""
    files: Mapping[str, bytes]
    samples: Sequence[tuple[str, str]]
    """(file in the export, prompt with the trigger)."""
    curve: str | None
    """The training curve's file."""
    scores: Sequence[dict[str, Any]]
    recipe: Mapping[str, Any]
    """Without paths of this machine."""


def base_on_hub(recipe: Mapping[str, Any]) -> str | None:
    """The base model's id on the hub; None for one that is not there."""
    spec = recipe.get("base_model", {}).get("spec", "")
    return spec if HUB_ID.fullmatch(spec) and not is_path(spec) else None


def scores_of(project: Project, entry: Entry) -> list[dict[str, Any]]:
    """The means of the newest finished comparison that drew with this very file, with those of the base model.

    `{task, label, better, mean, interval, base}`; empty where there is no such comparison.
    """
    for folder in evaluator.evaluations(project):
        with suppress(StudioError):
            result = evaluator.load(folder)
            own = next(
                (
                    one["name"]
                    for one in result["variants"]
                    if one["sha256"] == entry.sha256 and one["group"] == "compare"
                ),
                None,
            )
            if own is None:
                continue
            base = {one["name"] for one in result["variants"] if one["method"] == "base"}
            means = {(one["task"], one["metric"], one["variant"]): one for one in result["means"]}
            bare = {(task, metric): one["mean"] for (task, metric, variant), one in means.items() if variant in base}
            return [
                {
                    "task": task,
                    "label": result["metrics"][metric]["label"],
                    "better": result["metrics"][metric]["better"],
                    "mean": one["mean"],
                    "interval": one["interval"],
                    "base": bare.get((task, metric)),
                    "subjects": one["landmarks"],
                }
                for (task, metric, variant), one in means.items()
                if variant == own
            ]
    return []


def text(card: Card) -> str:
    """The card's README.md."""
    parts = [_front(card), f"# {card.name}", card.description or ABOUT]
    if card.samples:
        parts.append(
            "\n".join(f'<img src="{file}" width="256" alt="{_attribute(prompt)}">' for file, prompt in card.samples)
        )
    parts += ["## How to use it", *_usage(card), "## Scores", *_scores(card)]
    if card.curve:
        parts += ["## Training", f"![Losses over the epochs]({card.curve})"]
    parts += ["## How it was made", *_making(card), "## License", _licence(card)]
    return "\n\n".join(parts) + "\n"


def _front(card: Card) -> str:
    """The front matter; huggingface_hub writes it as the hub reads it."""
    from huggingface_hub import ModelCardData

    base = base_on_hub(card.recipe)
    told: dict[str, Any] = {
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
        told["license_name"] = "terms-of-the-base-model"
    if base:
        told |= {"base_model": base, "base_model_relation": "adapter"}
    if card.samples:
        told["widget"] = [{"text": prompt, "output": {"url": file}} for file, prompt in card.samples]
    return f"---\n{ModelCardData(**told).to_yaml()}\n---"


def _usage(card: Card) -> list[str]:
    base = base_on_hub(card.recipe)
    spec = base or "path/to/the/base/model"
    told = card.recipe.get("base_model", {}).get("spec")
    lines = [
        f"Trigger: `{card.trigger}`, at the end of the prompt." if card.trigger else "It needs no trigger word.",
        f"Base model: `{told}`" + ("" if base else ", which is not on the hub under this name.")
        if told
        else "Its base model is not told by its file.",
    ]
    prompt = card.samples[0][1] if card.samples else f"a castle on a hill, {card.trigger}"
    if "pytorch_lora_weights.safetensors" in card.files:
        load = 'pipe.load_lora_weights(".", weight_name="pytorch_lora_weights.safetensors")\npipe.unet.eval()'
        place = (
            f"For AUTOMATIC1111 and ComfyUI take `{card.name}.safetensors` into `models/Lora` or `models/loras`; "
            f"AUTOMATIC1111 finds the trigger in `{card.name}.json`."
        )
    elif "learned_embeds.safetensors" in card.files:
        load = 'pipe.load_textual_inversion(".", weight_name="learned_embeds.safetensors")'
        others = [name.removesuffix(".safetensors") for name in card.files if not name.startswith("learned_embeds")]
        place = (
            "For AUTOMATIC1111 and ComfyUI take "
            + " and ".join(f"`{name}.safetensors`" for name in others)
            + f" into `embeddings`; the file's name is the trigger: `{others[0]}`, in ComfyUI "
            f"`embedding:{others[0]}`."
        )
        if others[1:]:
            place += (
                f" `{others[1]}` belongs into the negative prompt; for diffusers it is in "
                "`learned_embeds_negative.safetensors`."
            )
    else:
        return [*lines, "It can be used with Ghibli Studio."]
    code = "\n".join(
        [
            "import torch",
            "from diffusers import StableDiffusionPipeline",
            "",
            f"pipe = StableDiffusionPipeline.from_pretrained({spec!r}, dtype=torch.float32)",
            load,
            f"prompt = {prompt!r}",
            "image = pipe(prompt, num_inference_steps=25, guidance_scale=5.0).images[0]",
        ]
    )
    lines += [f"```python\n{code}\n```", place]
    return [*lines, DORA] if card.recipe.get("adapter", {}).get("use_dora") else lines


def words_for_diffusers(prompt: str, word: str | None) -> str:
    """The prompt with a new word once: diffusers puts the word's further vectors in by itself."""
    return re.sub(rf" ?{re.escape(word)}_\d+", "", prompt).strip() if word else prompt


def _scores(card: Card) -> list[str]:
    if not card.scores:
        return [NO_SCORES]
    rows = ["| drawn from | measure | better is | this adapter | base model |", "|---|---|---|---|---|"]
    for one in card.scores:
        within = "" if one["interval"] is None else " ({:.3g} to {:.3g})".format(*one["interval"])
        bare = "" if one["base"] is None else f"{one['base']:.3g}"
        rows.append(f"| {one['task']} | {one['label']} | {one['better']} | {one['mean']:.3g}{within} | {bare} |")
    subjects = max(one["subjects"] for one in card.scores)
    return ["\n".join(rows), f"Means over {subjects} held-out subjects; in brackets their 95 % intervals."]


def _making(card: Card) -> list[str]:
    recipe, lines = card.recipe, []
    if parents := recipe.get("parents"):
        of = ", ".join(f"`{parent['file']}` x {parent['weight']:g}" for parent in parents)
        how = recipe.get("average", {}).get("way")
        lines.append(f"Made from {of}" + (f" ({how})." if how else "."))
    if imported := recipe.get("imported"):
        lines.append(f"Imported from `{imported['file']}` ({imported['layout']} layout).")
    if data := recipe.get("dataset"):
        lines.append(f"Trained on {data['pictures']} pictures with captions.")
    settings = {
        **recipe.get("training", {}),
        **(
            recipe.get("adapter", {})
            if "training" in recipe
            else {
                name: value
                for name, value in recipe.get("adapter", {}).items()
                if name in ("rank", "lora_alpha", "num_vectors", "use_dora", "conv_rank", "text_encoder_rank")
            }
        ),
    }
    rows = [
        f"| {name} | {value} |"
        for name, value in sorted(settings.items())
        if name not in HIDDEN and value not in (None, "", [])
    ]
    if rows:
        lines.append("\n".join(["| setting | value |", "|---|---|", *rows]))
    sizes = ", ".join(f"`{name}` ({size(len(data))})" for name, data in card.files.items())
    return [*lines, f"All of it stands in `recipe.json`. Files: {sizes}."]


def _licence(card: Card) -> str:
    known = "The license was not named" if card.license == "other" else f"`{card.license}`"
    return (
        f"{known}; the terms of the base model go with any adapter of it, and the rights in the training pictures "
        "are their owners'."
    )


def _attribute(words: str) -> str:
    return words.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
