"""The files of a Hugging Face Space, written to a folder: the studio, or a study and nothing else.

What is written is ready to be pushed; nothing is sent from here. A Space of a study has neither torch nor the key.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from adapters.settings import StudioError
from ghibli_studio.runtime.environment import BASE_MODEL_VARIABLE, LASTING, WORKSPACE_VARIABLE
from ghibli_studio.runtime.zero_gpu import SECONDS, SECONDS_VARIABLE
from ghibli_studio.workspace.files import explain_os_error, write_atomic

ROOT = Path(__file__).parents[2]
HARDWARE = {"cpu": "cpu-basic", "gpu": "t4-small", "zero": "zero-a10g"}
STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"
STUDIO = ("app.py", "requirements.txt", "adapters", "ghibli_studio", "study")
STUDY = ("study",)
LEFT_OUT = ("__pycache__", "pretrain")
"""Folders that no Space needs: what trained the embedded model is not what draws with it."""
STUDY_REQUIRES = (
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
    "uvicorn",
)
"""What the study imports, of the studio's own requirements."""

STUDIO_VARIABLES = {
    BASE_MODEL_VARIABLE: f"base model of new projects; `{STABLE_DIFFUSION}` with a GPU. Without it the embedded "
    "miniature, which needs none",
    WORKSPACE_VARIABLE: f"where the projects lie; without it {LASTING}/workspace where the Space has persistent "
    "storage, else a folder that a restart forgets",
    SECONDS_VARIABLE: f"with ZeroGPU: seconds of one chunk of work ({SECONDS})",
    "HF_HOME": f"where downloaded models lie; `{LASTING}/.huggingface` keeps them over a restart",
}
STUDIO_SECRETS = {
    "GHIBLI_PASSWORD": "asks every visitor for this password. Without it the Space is open to all who can see it, and "
    "no study is served beside it",
    "HF_TOKEN": "a token of the Hub, where a base model or a repository needs one",
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
    """Write a Space's files into a new or empty folder; returns them, sorted.

    StudioError for a folder that has something in it already, and for hardware that is none of HARDWARE.
    """
    if hardware not in HARDWARE:
        raise StudioError(f"the hardware is {hardware!r}; choose one of {', '.join(HARDWARE)}")
    if study_only and hardware != "cpu":
        raise StudioError(f"a study needs no GPU, and the hardware is {hardware!r}; leave it out")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudioError(f"{folder} has something in it already; name a new or an empty folder")
    try:
        for source in _sources(STUDY if study_only else STUDIO):
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
            if file.is_file() and not set(LEFT_OUT) & set(file.relative_to(ROOT).parts):
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
        "# Ghibli Studio\n\nTeach Stable Diffusion a drawing style by LoRA and by Textual Inversion, and see "
        "which is better. Everything can be left out; this is what can be set under Settings:\n\n"
    )
    text += _table("Variables", STUDIO_VARIABLES) + _table("Secrets", STUDIO_SECRETS)
    text += (
        f"Without persistent storage at {LASTING} the Space forgets its projects when it restarts or falls "
        "asleep; a run that was cut off says so and goes on from its last finished epoch.\n"
    )
    if hardware == "zero":
        text += (
            "\nOn ZeroGPU training and drawing work in chunks, each of which goes on where the last one ended; "
            "evaluation and styling compute on the processor.\n"
        )
    return {"README.md": _front(front) + text}


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
        "# A study of drawings\n\nServes one locked study and nothing else. Before the first start, where the "
        "study and its key are:\n\n```sh\nexport STUDY_COPY_DATASET=name/dataset HF_TOKEN=...\n"
        "python -m study publish FOLDER\n```\n\nThe Space fetches it from there; the key, which tells what is "
        "behind each picture, never leaves home. Afterwards, at home:\n\n```sh\npython -m study restore FOLDER\n"
        "python -m study close FOLDER\npython -m study analyze FOLDER --out results\n```\n\n"
    )
    text += _table("Variables", VARIABLES) + _table("Secrets", SECRETS)
    text += (
        "Without one of the first two, and without storage at /data, it refuses to start: answers would be "
        "forgotten. The Hub takes about 128 commits an hour to one repository, and people who answer at the same "
        "time share one; for more than a handful of people at once use a folder on a mounted bucket.\n"
    )
    return {
        "README.md": _front(front) + text,
        "requirements.txt": _requirements(),
        "Dockerfile": DOCKERFILE,
        "app.py": STUDY_APP,
    }


def _requirements() -> str:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    by_name = {re.split(r"[<>=;\[]", line)[0].strip(): line for line in lines if line and not line.startswith("#")}
    return "".join(f"{by_name[name]}\n" for name in STUDY_REQUIRES)


def _front(values: Mapping[str, str]) -> str:
    return "---\n" + "".join(f"{name}: {value}\n" for name, value in values.items()) + "---\n\n"


def _table(title: str, rows: Mapping[str, str]) -> str:
    return f"| {title} | what for |\n| --- | --- |\n" + "".join(f"| `{k}` | {v} |\n" for k, v in rows.items()) + "\n"


STUDY_APP = '''"""Serves the study and nothing else; what it needs to know is in the Space's variables."""

import sys

from study.hosted import main

if __name__ == "__main__":
    sys.exit(main())
'''
