"""The recipe's command line: `python -m ghibli_studio.miniature.pretrain --out FOLDER [--quick] [--...]`."""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

from ghibli_studio.miniature.photo_credits import PHOTOGRAPHS
from ghibli_studio.pretraining.settings import QUICK, Settings, WrongInput


def field_explanations() -> dict[str, str]:
    """The docstring under each field of Settings, by name."""
    statements = ast.parse(inspect.getsource(Settings)).body[0].body
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def argument_parser() -> argparse.ArgumentParser:
    """One option for each setting, and those for where and how to compute."""
    parser = argparse.ArgumentParser(
        prog="python -m ghibli_studio.miniature.pretrain",
        description="Train the embedded model anew, or continue an interrupted run.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the result: new, empty, or an earlier run")
    parser.add_argument(
        "--quick", action="store_true", help="go through every stage in a minute or two; the result is noise"
    )
    parser.add_argument("--photos", type=Path, default=PHOTOGRAPHS, help="folder of photographs with a captions.txt")
    parser.add_argument("--no-photos", action="store_true", help="the same as --photograph-share 0")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda where there is one")
    parser.add_argument("--workers", type=int, help="processes that paint; default: one less than the processors")
    parser.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=60,
        metavar="SECONDS",
        help="how often a training stage saves where it is (%(default)s)",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OLD",
        help="afterwards, or where the run is finished already, "
        "compare with the weights in this folder (its base/ and clip/): sheets and a table",
    )
    parser.add_argument(
        "--compare-preset",
        default="default",
        metavar="PRESET",
        help="settings with which the comparison trains LoRA and Textual Inversion (%(default)s)",
    )
    parser.add_argument("--compile", action="store_true", help="compile the UNet: quicker steps, some minutes later")
    explanations, types = field_explanations(), get_type_hints(Settings)
    for field in fields(Settings):
        choices = get_args(types[field.name]) or None
        explanation = f"{explanations[field.name]} Default: {field.default}.".replace("%", "%%")
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=None if choices else types[field.name],
            choices=choices,
            help=explanation,
        )
    return parser


def chosen_settings(choices: argparse.Namespace) -> Settings:
    """The settings of the command line over the usual or the quick ones."""
    given = {field.name: getattr(choices, field.name) for field in fields(Settings)}
    given = {name: value for name, value in given.items() if value is not None}
    if choices.no_photos:
        given["photograph_share"] = 0.0
    return replace(QUICK if choices.quick else Settings(), **given)


def chosen_device(wanted: str | None) -> str:
    """The device asked for, or a GPU where there is one."""
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise WrongInput("--device is cuda, but torch finds no CUDA device here: leave it out to use the processor")
    device = wanted or ("cuda" if there else "cpu")
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return device


def chosen_workers(wanted: int | None) -> int:
    """The number asked for, or one less than there are processors."""
    if wanted is not None and wanted < 0:
        raise WrongInput(f"--workers is {wanted}, but must be 0 or more: 0 paints without other processes")
    return max(0, (os.cpu_count() or 1) - 1) if wanted is None else wanted


def quiet() -> None:
    """Leave the lines of the recipe readable between those of the libraries."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def main(arguments: list[str] | None = None) -> int:
    """Train, printing how far it is; 0 when the result is complete, 2 when the input is wrong, 130 when stopped."""
    choices = argument_parser().parse_args(arguments)
    try:
        settings, workers = chosen_settings(choices), chosen_workers(choices.workers)
        device = chosen_device(choices.device)
        if choices.checkpoint_seconds < 0:
            raise WrongInput(
                f"--checkpoint-seconds is {choices.checkpoint_seconds}, but must be 0 or more: 0 saves after every step"
            )
        from ghibli_studio.pretraining.evaluation import comparison
        from ghibli_studio.pretraining.pipeline import described, pretrain
        from ghibli_studio.pretraining.run import Run

        if choices.compare is not None:
            comparison.check(choices.compare, choices.compare_preset, settings.picture_size)
        quiet()
        run = Run(settings, choices.out, choices.photos, device, workers, choices.compile, choices.checkpoint_seconds)
        for name, figures in pretrain(run):
            print(described(name, figures), flush=True)
        if choices.compare is not None:
            extent = comparison.extent(choices.compare_preset, choices.quick)
            for line in comparison.compare(run, choices.compare, extent):
                print(line, flush=True)
    except WrongInput as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on in the stage that was not finished", file=sys.stderr)
        return 130
    print(
        f"finished: {choices.out} holds base/, clip/, style_teacher/, their README.md and SHA256SUMS, and sheets/; "
        "its stages/ may be deleted"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
