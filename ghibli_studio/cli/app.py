"""The command line: the same functions as the tabs.

`python -m ghibli_studio VERB PROJECT [--workspace DIR] [--json]`. Exit codes: 0 done, 1 something to mend (one
sentence says what), 2 wrong usage, 130 cancelled, 141 nobody reads any more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.cli import adapters, curation, evaluation, generation, stylization, training
from ghibli_studio.cli.console import Told
from ghibli_studio.cli.dataset import _import, _sample
from ghibli_studio.cli.deployment import _doctor, _space
from ghibli_studio.cli.generation import _generate
from ghibli_studio.runtime.environment import default_base_model, default_root
from ghibli_studio.workspace.files import explain_os_error
from ghibli_studio.workspace.project import Workspace


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

    training.add(verb)
    draw = verb("generate", _generate, "draw pictures, every method from the same noise")
    draw.add_argument(
        "--methods",
        default="base,lora,ti",
        help="also runs, runs' epochs (RUN@3) and adapters that were taken in, separated by commas (%(default)s)",
    )
    what = draw.add_mutually_exclusive_group()
    what.add_argument("--landmarks", help="names separated by commas (default: the paper's five)")
    what.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt a line")
    what.add_argument("--recipe", type=Path, metavar="PNG", help="draw a picture again from its own recipe")
    draw.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="METHOD=ADAPTER",
        help="use this adapter file, or this one of the verb adapters",
    )
    draw.add_argument("--base-model", help="default: the one the adapters were trained on")
    draw.add_argument("--seed", type=int, help="decides the noise")
    draw.add_argument("--steps", type=int, dest="num_inference_steps", help="from noise to picture")
    draw.add_argument("--guidance-scale", type=float, help="how strongly to follow the prompt")
    draw.add_argument("--strength", type=float, help="how strongly the adapter acts")
    draw.add_argument("--negative-prompt", help="what not to show")
    draw.add_argument("--photograph", type=Path, metavar="FILE", help="start from a photograph (with --prompts)")
    draw.add_argument(
        "--denoising-strength",
        type=float,
        default=generation.DENOISING,
        help="how much of the photograph is drawn anew, above 0 to 1 (%(default)s)",
    )
    generation.add(verb)
    curation.add(verb)
    stylization.add(verb)
    evaluation.add(verb)
    adapters.add(verb)
    hosted = verb("space", _space, "write the files of a Hugging Face Space", project=False)
    hosted.add_argument("folder", type=Path, metavar="DIR", help="a new or an empty folder")
    hosted.add_argument("--study-only", action="store_true", help="a Space that serves a study and nothing else")
    hosted.add_argument("--hardware", default="cpu", metavar="cpu|gpu|zero", help="what it is to run on (%(default)s)")
    verb("doctor", _doctor, "look at this machine and say what will be used", project=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
