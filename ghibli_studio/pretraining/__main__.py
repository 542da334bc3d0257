"""The command line of the pretraining: `python -m ghibli_studio.pretraining --out FOLDER [--quick] [--...]`."""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ghibli_studio.miniature.photo_credits import PHOTOS
from ghibli_studio.pretraining.settings import QUICK, InvalidInput, Settings


def field_descriptions() -> dict[str, str]:
    """Return the docstring under each field of Settings, by name."""
    (definition,) = ast.parse(inspect.getsource(Settings)).body
    statements = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        ast.unparse(field.target): " ".join(str(ast.literal_eval(text.value)).split())
        for field, text in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser, with an option for each setting and for folders, device and workers."""
    parser = argparse.ArgumentParser(
        prog="python -m ghibli_studio.pretraining",
        description="Train the embedded model from scratch, or resume an interrupted run.",
    )
    parser.add_argument("--out", type=Path, required=True, help="output folder: new, empty, or of an interrupted run")
    parser.add_argument(
        "--quick", action="store_true", help="run every stage in a minute or two as a test; the result is noise"
    )
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder of photos with a captions.txt")
    parser.add_argument("--no-photos", action="store_true", help="same as --photo-share 0")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda if available")
    parser.add_argument("--workers", type=int, help="number of rendering processes; default: one less than CPU cores")
    parser.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=60,
        metavar="SECONDS",
        help="seconds between checkpoints of a training stage (%(default)s)",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OLD",
        help="at the end, compare with the weights in this folder (base/ and clip/): contact sheets and a table",
    )
    parser.add_argument(
        "--compare-preset",
        default="default",
        metavar="PRESET",
        help="preset for training LoRA and Textual Inversion in the comparison (%(default)s)",
    )
    parser.add_argument("--compile", action="store_true", help="compile the UNet: faster steps after some minutes")
    descriptions, types = field_descriptions(), get_type_hints(Settings)
    for field in fields(Settings):
        kind: Any = types[field.name]
        choices = get_args(kind) or None
        description = f"{descriptions[field.name]} Default: {field.default}.".replace("%", "%%")
        option = f"--{field.name.replace('_', '-')}"
        if choices:
            parser.add_argument(option, choices=choices, help=description)
        else:
            parser.add_argument(option, type=kind, help=description)
    return parser


def read_settings(choices: argparse.Namespace) -> Settings:
    """Return the default or quick settings with the changes of the command line."""
    given = {field.name: getattr(choices, field.name) for field in fields(Settings)}
    given = {name: value for name, value in given.items() if value is not None}
    if choices.no_photos:
        given["photo_share"] = 0.0
    return replace(QUICK if choices.quick else Settings(), **given)


def read_device(requested: str | None) -> str:
    """Return the requested device, or by default a GPU if available; raises InvalidInput without CUDA."""
    import torch

    available = torch.cuda.is_available()
    if requested == "cuda" and not available:
        raise InvalidInput("--device is cuda, but torch finds no CUDA device: omit it to use the CPU")
    device = requested or ("cuda" if available else "cpu")
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return device


def read_workers(requested: int | None) -> int:
    """Return the requested number, or by default one less than CPU cores; raises InvalidInput for a negative one."""
    if requested is not None and requested < 0:
        raise InvalidInput(f"--workers is {requested}, but must be at least 0: 0 renders without other processes")
    return max(0, (os.cpu_count() or 1) - 1) if requested is None else requested


def silence_libraries() -> None:
    """Silence warnings and progress bars of the libraries."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def main(arguments: list[str] | None = None) -> int:
    """Train and print the progress; returns 0 on success, 2 for invalid input, 130 if interrupted."""
    choices = argument_parser().parse_args(arguments)
    try:
        settings, workers = read_settings(choices), read_workers(choices.workers)
        device = read_device(choices.device)
        if choices.checkpoint_seconds < 0:
            raise InvalidInput(
                f"--checkpoint-seconds is {choices.checkpoint_seconds}, but must be at least 0: "
                "0 saves after every step"
            )
        from ghibli_studio.pretraining.evaluation import comparison
        from ghibli_studio.pretraining.pipeline import describe_stage, pretrain
        from ghibli_studio.pretraining.run import Run

        if choices.compare is not None:
            comparison.check(choices.compare, choices.compare_preset, settings.image_size)
        silence_libraries()
        run = Run(settings, choices.out, choices.photos, device, workers, choices.compile, choices.checkpoint_seconds)
        for name, stage_metrics in pretrain(run):
            print(describe_stage(name, stage_metrics), flush=True)
        if choices.compare is not None:
            extent = comparison.extent(choices.compare_preset, choices.quick)
            for line in comparison.compare(run, choices.compare, extent):
                print(line, flush=True)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: run the same command to resume the unfinished stage", file=sys.stderr)
        return 130
    print(
        f"finished: {choices.out} holds base/, clip/, style_teacher/, README.md, SHA256SUMS and sheets/; "
        "stages/ can be deleted"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
