"""Writes the files of a Hugging Face Space to a folder: the studio, or a study and nothing else.

The folder is ready to be uploaded; nothing is uploaded here. A Space of a study has neither torch nor the key.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from adapters.settings import StudioError
from ghibli_studio.runtime.environment import BASE_MODEL_VARIABLE, PERSISTENT_STORAGE, WORKSPACE_VARIABLE, requirements
from ghibli_studio.runtime.zero_gpu import DEFAULT_SECONDS, SECONDS_VARIABLE
from ghibli_studio.workspace.files import explain_os_error, write_atomic

ROOT = Path(__file__).parents[2]
HARDWARE = {"cpu": "cpu-basic", "gpu": "t4-small", "zero": "zero-a10g"}
STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"
STUDIO_FILES = ("adapters", "ghibli_studio", "study")
STUDY_FILES = ("study",)
EXCLUDED = ("__pycache__", "pretraining")
"""Folders that no Space needs: the embedded model is used there, not pretrained."""
STUDY_REQUIREMENTS = (
    "fastapi",
    "filelock",
    "httpx",
    "huggingface_hub",
    "jinja2",
    "numpy",
    "pillow",
    "pydantic",
    "python-multipart",
    "scipy",
    "sqlite-utils",
    "typer",
    "uvicorn",
)
"""Those of the studio's requirements that the study imports."""

STUDIO_VARIABLES = {
    BASE_MODEL_VARIABLE: f"base model of new projects, such as `{STABLE_DIFFUSION}` with a GPU; by default the "
    "embedded miniature, which needs no GPU",
    WORKSPACE_VARIABLE: f"folder of the projects; by default {PERSISTENT_STORAGE}/workspace if the Space has "
    "persistent storage, else a folder that a restart empties",
    SECONDS_VARIABLE: f"with ZeroGPU: seconds per chunk of work ({DEFAULT_SECONDS})",
    "HF_HOME": f"folder of downloaded models; `{PERSISTENT_STORAGE}/.huggingface` keeps them over a restart",
}
STUDIO_SECRETS = {
    "GHIBLI_PASSWORD": "password that every visitor must enter; without it everyone who can see the Space may use it, "
    "and no study is served",
    "HF_TOKEN": "a Hub token, if a base model or a repository needs one",
}

DOCKERFILE = """FROM python:3.11-slim
RUN useradd -m -u 1000 user
USER user
WORKDIR /home/user/app
COPY --chown=user requirements.txt .
RUN pip install --no-cache-dir --user -r requirements.txt
COPY --chown=user . .
CMD ["python", "app.py"]
"""


def write(folder: Path, *, study_only: bool = False, hardware: str = "cpu") -> list[Path]:
    """Write a Space's files into a new or empty folder; return them, sorted.

    Raises StudioError for a folder that is not empty, and for hardware that is not one of HARDWARE.
    """
    if hardware not in HARDWARE:
        raise StudioError(f"the hardware is {hardware!r}; choose one of {', '.join(HARDWARE)}")
    if study_only and hardware != "cpu":
        raise StudioError(f"the hardware is {hardware!r}, but a study needs no GPU; leave it out")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudioError(f"{folder} is not empty; choose a new or an empty folder")
    try:
        for source in _sources(STUDY_FILES if study_only else STUDIO_FILES):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    for name, text in (_study_files() if study_only else _studio_files(hardware)).items():
        write_atomic(folder / name, text)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sources(names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not set(EXCLUDED) & set(file.relative_to(ROOT).parts):
                yield file


def _studio_files(hardware: str) -> dict[str, str]:
    front = {
        "title": "Ghibli Studio",
        "emoji": "🏯",
        "colorFrom": "green",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "python_version": '"3.11"',
        "app_file": "app.py",
        "pinned": "false",
        "suggested_hardware": HARDWARE[hardware],
        "short_description": "LoRA and Textual Inversion learn a style on equal footing",
    }
    if hardware != "cpu":
        front["preload_from_hub"] = f"\n  - {STABLE_DIFFUSION}"
    text = (
        "# Ghibli Studio\n\nTeach Stable Diffusion a drawing style with LoRA and with Textual Inversion, and see "
        "which is better. You can set these under Settings; all are optional:\n\n"
    )
    text += _table("Variables", STUDIO_VARIABLES) + _table("Secrets", STUDIO_SECRETS)
    text += (
        f"Without persistent storage at {PERSISTENT_STORAGE} the Space forgets its projects when it restarts or falls "
        "asleep; an interrupted run can be resumed from its last finished epoch.\n"
    )
    if hardware == "zero":
        text += (
            "\nOn ZeroGPU training and generation run in chunks, each of which resumes where the last one ended; "
            "evaluation and stylization run on the CPU.\n"
        )
    return {
        "README.md": _front(front) + text,
        "requirements.txt": "".join(f"{line}\n" for line in requirements()),
        "app.py": STUDIO_APP,
    }


def _study_files() -> dict[str, str]:
    from study.web.hosting import PORT, SECRETS, VARIABLES

    front = {
        "title": "A study of drawings",
        "emoji": "🖼",
        "colorFrom": "gray",
        "colorTo": "blue",
        "sdk": "docker",
        "app_port": str(PORT),
        "pinned": "false",
        "short_description": "Which of these drawings would you choose?",
    }
    text = (
        "# A study of drawings\n\nServes one locked study and nothing else. Before the first start, on the "
        "machine with the study and its key:\n\n```sh\nexport STUDY_REPLICA_DATASET=name/dataset HF_TOKEN=...\n"
        "python -m study push FOLDER\n```\n\nThe Space fetches it from there; the key, which says which "
        "method made each image, stays on your machine. After the study, on your machine:\n\n```sh\n"
        "python -m study pull FOLDER\n"
        "python -m study close FOLDER\npython -m study analyze FOLDER --out results\n```\n\n"
    )
    text += _table("Variables", VARIABLES) + _table("Secrets", SECRETS)
    text += (
        "Without one of the first two, and without storage at /data, it does not start, since answers would be "
        "lost. The Hub accepts about 128 commits per hour and repository, and participants who answer at the same "
        "time share one; for more than a handful of participants at once use a folder on a mounted bucket.\n"
    )
    return {
        "README.md": _front(front) + text,
        "requirements.txt": _requirements(),
        "Dockerfile": DOCKERFILE,
        "app.py": STUDY_APP,
    }


def _requirements() -> str:
    by_name = {re.split(r"[<>=;\[]", line)[0].strip(): line for line in requirements()}
    return "".join(f"{by_name[name]}\n" for name in STUDY_REQUIREMENTS)


def _front(values: Mapping[str, str]) -> str:
    return "---\n" + "".join(f"{name}: {value}\n" for name, value in values.items()) + "---\n\n"


def _table(title: str, rows: Mapping[str, str]) -> str:
    return f"| {title} | meaning |\n| --- | --- |\n" + "".join(f"| `{k}` | {v} |\n" for k, v in rows.items()) + "\n"


STUDIO_APP = '''\
"""Starts the page: `python app.py`, then open the address that it prints. The same as `ghibli-studio serve`."""

import sys

from ghibli_studio.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
'''
"""The same as app.py of the repository, which an installed package lacks."""

STUDY_APP = '''"""Serves the study and nothing else; its settings are the Space's variables."""

import sys

from study.web.hosting import main

if __name__ == "__main__":
    sys.exit(main())
'''
