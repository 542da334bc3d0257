"""The command line `ghibli-studio`: the same functions as the page.

Exit codes: 0 done, 1 an error (one sentence says what and the way out), 2 wrong usage, 130 cancelled, 141 the reader of
the output has gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from adapters.settings import StudioError
from ghibli_studio.cli import adapters, curation, dataset, deployment, evaluation, generation, images, training
from ghibli_studio.cli.console import Console
from ghibli_studio.runtime.environment import default_root
from ghibli_studio.workspace.files import explain_os_error
from study import StudyError
from study.cli.app import app as study_app
from study.cli.console import CANCELLED, CONTEXT_SETTINGS, DONE, FAILED, abandon_output
from study.cli.console import run as run_app


class ErrorsAsSentences(TyperGroup):
    """Turns errors that a user can mend into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; ends with the exit code that it returns, or that its error stands for."""
        console = Console(ctx.obj["as_json"])
        try:
            code = super().invoke(ctx)
        except (StudioError, StudyError) as error:
            console.error(str(error))
            code = FAILED
        except BrokenPipeError:
            code = abandon_output()
        except OSError as error:
            console.error(str(explain_os_error(error, default_root())))
            code = FAILED
        except KeyboardInterrupt:
            console.error("cancelled; what was finished is kept")
            code = CANCELLED
        raise typer.Exit(code or DONE)


app = typer.Typer(
    name="ghibli-studio",
    cls=ErrorsAsSentences,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT_SETTINGS,
    help="Teach Stable Diffusion a drawing style with LoRA and Textual Inversion, and find out which is better.",
)
app.add_typer(deployment.app)
app.add_typer(dataset.app, name="dataset")
app.add_typer(curation.app, name="curate")
app.add_typer(training.app)
app.add_typer(training.runs_app, name="runs")
app.add_typer(training.tune_app, name="tune")
app.add_typer(generation.app, name="generate")
app.add_typer(images.app, name="images")
app.add_typer(evaluation.app)
app.add_typer(adapters.app, name="adapters")
app.add_typer(study_app, name="study", help="The blind study.")
app.add_typer(deployment.space_app, name="space")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    words = list(sys.argv[1:] if arguments is None else arguments)
    return run_app(app, words, "ghibli-studio", {"as_json": "--json" in words})


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())
