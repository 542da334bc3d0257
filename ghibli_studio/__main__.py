"""The command line: the same functions as the tabs.

`python -m ghibli_studio VERB PROJECT [--workspace DIR] [--json]`. Exit codes: 0 done, 1 something to mend (one
sentence says what), 2 wrong usage, 130 cancelled, 141 nobody reads any more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ghibli_studio import (
    adapter_commands,
    collection_commands,
    evaluate_commands,
    picture_commands,
    styling_commands,
    training_commands,
)
from ghibli_studio.config import PAPER_LANDMARKS, GenerationSettings, StudioError
from ghibli_studio.files import explain_os_error
from ghibli_studio.hosting import default_base_model
from ghibli_studio.telling import Told
from ghibli_studio.workspace import Project, Workspace, default_root


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    chosen = _parser().parse_args(arguments)
    told = Told(chosen.json)
    try:
        return chosen.act(chosen, Workspace(chosen.workspace), told)
    except StudioError as error:
        told.close()
        _complain(chosen.json, str(error))
        return 1
    except BrokenPipeError:  # whoever read has read enough (`| head`); Python's own last flush must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        told.close()
        _complain(chosen.json, str(explain_os_error(error, chosen.workspace)))
        return 1
    except KeyboardInterrupt:
        told.close()
        _complain(chosen.json, "cancelled; what was finished is kept")
        return 130
    finally:
        told.close()


def _complain(as_json: bool, message: str) -> None:
    if as_json:
        print(json.dumps({"event": "error", "message": message}), flush=True)
    else:
        print(f"error: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--workspace", type=Path, default=default_root(), help="folder of all projects (%(default)s)")
    common.add_argument("--json", action="store_true", help="one JSON object a line")
    parser = argparse.ArgumentParser(prog="python -m ghibli_studio", description="Teach a drawing style, two ways.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, act: Any, text: str, project: bool = True) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, parents=[common], help=text, description=text)
        if project:
            command.add_argument("project", help="name of the project")
        command.set_defaults(act=act)
        return command

    sample = verb("sample", _sample, "make a project with 115 drawn landmarks, photograph and style")
    sample.add_argument("--count", type=int, default=115, help="landmarks, 2 to 115 (%(default)s)")
    take = verb("import", _import, "make a project from a folder or ZIP of pictures with captions")
    take.add_argument("path", type=Path, help="folder or ZIP")
    for command in (sample, take):
        command.add_argument("--base-model", default=default_base_model(), help="which model it is for (%(default)s)")
        command.add_argument("--seed", type=int, default=0, help="decides the split and the scenes (%(default)s)")
        command.add_argument("--replace", action="store_true", help="make the data set anew if there is one")

    training_commands.add(verb)
    draw = verb("generate", _generate, "draw pictures, every method from the same noise")
    draw.add_argument("--methods", default="base,lora,ti", help="also runs, runs' epochs (RUN@3) and adapters "
                      "that were taken in, separated by commas (%(default)s)")
    what = draw.add_mutually_exclusive_group()
    what.add_argument("--landmarks", help="names separated by commas (default: the paper's five)")
    what.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt a line")
    what.add_argument("--recipe", type=Path, metavar="PNG", help="draw a picture again from its own recipe")
    draw.add_argument("--adapter", action="append", default=[], metavar="METHOD=ADAPTER", help="use this adapter file, "
                      "or this one of the verb adapters")
    draw.add_argument("--base-model", help="default: the one the adapters were trained on")
    draw.add_argument("--seed", type=int, help="decides the noise")
    draw.add_argument("--steps", type=int, dest="num_inference_steps", help="from noise to picture")
    draw.add_argument("--guidance-scale", type=float, help="how strongly to follow the prompt")
    draw.add_argument("--strength", type=float, help="how strongly the adapter acts")
    draw.add_argument("--negative-prompt", help="what not to show")
    draw.add_argument("--photograph", type=Path, metavar="FILE", help="start from a photograph (with --prompts)")
    draw.add_argument("--denoising-strength", type=float, default=picture_commands.DENOISING,
                      help="how much of the photograph is drawn anew, above 0 to 1 (%(default)s)")
    picture_commands.add(verb)
    collection_commands.add(verb)
    styling_commands.add(verb)
    evaluate_commands.add(verb)
    adapter_commands.add(verb)
    hosted = verb("space", _space, "write the files of a Hugging Face Space", project=False)
    hosted.add_argument("folder", type=Path, metavar="DIR", help="a new or an empty folder")
    hosted.add_argument("--study-only", action="store_true", help="a Space that serves a study and nothing else")
    hosted.add_argument("--hardware", default="cpu", metavar="cpu|gpu|zero", help="what it is to run on (%(default)s)")
    verb("doctor", _doctor, "look at this machine and say what will be used", project=False)
    return parser


def _sample(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio.sample import make_sample

    project = workspace.project(chosen.project, new=True)
    progress = make_sample(
        project, chosen.base_model, seed=chosen.seed, count=chosen.count, replace=chosen.replace
    )
    return _made_dataset(project, progress, told)


def _import(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio.importing import import_pictures

    project = workspace.project(chosen.project, new=True)
    progress = import_pictures(project, chosen.path, chosen.base_model, seed=chosen.seed, replace=chosen.replace)
    return _made_dataset(project, progress, told)


def _made_dataset(project: Project, progress: Iterator[Any], told: Told) -> int:
    from ghibli_studio import dataset as datasets

    for _ in told.followed(progress):
        pass
    made = datasets.load(project)
    told.taken(made.notes, made.problems)
    for item in made.too_long():
        told.line(
            f"too long: {item.id} ({item.original}) has {item.tokens} tokens, the model reads {made.token_limit}",
            event="too_long", id=item.id, tokens=item.tokens, limit=made.token_limit,
        )
    train, validation = len(made.part("train")), len(made.part("validation"))
    told.line(
        f"{project.folder}: {train} pictures to train on, {validation} of other landmarks to validate on",
        event="done", train=train, validation=validation, left_out=len(made.problems), too_long=len(made.too_long()),
    )
    return 0


def _generate(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio import library, pictures

    project = workspace.project(chosen.project)
    if chosen.recipe:
        return _reproduce(chosen, project, told)
    names = ("seed", "num_inference_steps", "guidance_scale", "strength", "negative_prompt")
    given = {name: value for name in names if (value := getattr(chosen, name)) is not None}
    settings = GenerationSettings.checked(given)
    if chosen.prompts:
        try:
            lines = chosen.prompts.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StudioError(f"{chosen.prompts} cannot be read ({error}); give a text file of prompts") from error
        requests = pictures.requests_for_prompts(lines)
    else:
        wanted = chosen.landmarks.split(",") if chosen.landmarks else PAPER_LANDMARKS
        requests = pictures.requests_for_landmarks(project, [name.strip() for name in wanted])
    named = dict(text.partition("=")[::2] for text in chosen.adapter)
    methods = [name.strip() for name in chosen.methods.split(",") if name.strip()]
    files = pictures.adapter_files(project, [name for name in methods if name not in named])
    files = {name: library.file_of(project, named[name]) if name in named else files[name]
             for name in [*methods, *named]}
    photograph = picture_commands.photograph(chosen.photograph, chosen.denoising_strength)
    drawing = pictures.draw_set(
        project, requests, files, settings, base=chosen.base_model, photograph=photograph
    )
    for step in told.followed(drawing, workspace):
        if step.picture:
            file = str(step.picture.file)
            told.line(file, event="picture", title=step.picture.title, method=step.picture.method, file=file)
    return 0


def _reproduce(chosen: argparse.Namespace, project: Project, told: Told) -> int:
    from ghibli_studio import generation, jobs, pictures
    from ghibli_studio.files import write_atomic

    for drawing in jobs.in_turn(project.workspace, pictures.reproduce(project, chosen.recipe)):
        if isinstance(drawing, jobs.Waiting):
            told.progress(0, 1, "waiting for another computation")
        else:
            told.progress(drawing.step, drawing.steps, "drawing again")
    file = project.new_image_set() / chosen.recipe.name
    data = generation.to_png(drawing.image, drawing.recipe)
    write_atomic(file, data)
    same = data == chosen.recipe.read_bytes()
    verdict = "the same bit for bit" if same else "not the same: another machine or other versions drew the first"
    told.line(f"{file}: {verdict}", event="picture", file=str(file), same=same)
    return 0 if same else 1


def _space(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio import space

    files = space.write(chosen.folder, study_only=chosen.study_only, hardware=chosen.hardware)
    size = sum(file.stat().st_size for file in files)
    told.line(f"{chosen.folder}: {len(files)} files, {size / 2**20:.0f} MB; what to set is in its README.md. Push it "
              f"with: hf upload NAME/SPACE {chosen.folder} . --repo-type space",
              event="written", folder=str(chosen.folder), files=len(files), bytes=size)
    return 0


def _doctor(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio.doctor import findings

    all_fine = True
    for finding in findings(workspace):
        all_fine = all_fine and finding.fine
        told.line(f"{'ok ' if finding.fine else 'BAD'} {finding.name}: {finding.message}", **asdict(finding))
    return 0 if all_fine else 1


if __name__ == "__main__":
    sys.exit(main())
