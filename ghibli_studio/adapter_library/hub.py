"""Uploads an exported adapter to the Hugging Face Hub, private by default. The token is never saved.

`$HF_ENDPOINT` names another hub with the same interface, as for every program that uses huggingface_hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from adapters.settings import StudioError
from ghibli_studio.plotting.formatting import size
from ghibli_studio.runtime.progress import Progress

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
TOKEN = re.compile(r"[\x21-\x7e]{8,400}")


@dataclass(frozen=True)
class Target:
    """The destination: the repository, the token for it, and whether it is private."""

    repository: str
    """`owner/name`."""
    token: str | None = field(default=None, repr=False)
    private: bool = True


def read_token(file: Path | None = None) -> str | None:
    """Return the token in a file, else in `$HF_TOKEN`, else None; raise StudioError for a file without a token."""
    if file is None:
        return os.environ.get("HF_TOKEN", "").strip() or None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StudioError(f"{file} cannot be read as a token file ({type(error).__name__}); check its path") from error
    if not TOKEN.fullmatch(text):
        raise StudioError(f"{file} does not hold a token; it must contain the token alone, on one line")
    return text


def files_to_push(folder: Path) -> list[tuple[str, int]]:
    """Return (relative name, bytes) of the files to upload; raise StudioError for a folder that is not an export."""
    if not (folder / "README.md").is_file():
        raise StudioError(f"{folder} is not an exported adapter; export one first")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]


def push(folder: Path, target: Target) -> Iterator[Progress]:
    """Create the repository if it does not exist and upload the folder as one commit; the last event has the address.

    Raises StudioError without a token, for an invalid name, if the Hub refuses, without a network, and rather than
    upload something private to a repository that is public already.
    """
    from huggingface_hub import HfApi

    files = files_to_push(folder)
    if not REPOSITORY.fullmatch(target.repository):
        raise StudioError(f"{target.repository!r} is not a repository name; write it as your-name/my-style")
    if target.token is None:
        raise StudioError(
            "there is no Hub token; put one with write access into $HF_TOKEN, or into a file for --token-file "
            "(https://huggingface.co/settings/tokens)"
        )
    yield Progress(0, 2, f"checking {target.repository}")
    api = HfApi(token=target.token)
    with _hub_errors(target):
        api.create_repo(target.repository, private=target.private, exist_ok=True)
        if target.private and not api.repo_info(target.repository).private:
            raise StudioError(
                f"{target.repository} exists already and is public; choose public if everyone may see the adapter, or "
                "name another repository"
            )
    yield Progress(1, 2, f"uploading {len(files)} files, {size(sum(count for _, count in files))}")
    with _hub_errors(target):
        commit = api.upload_folder(
            repo_id=target.repository,
            folder_path=folder,
            commit_message="Adapter, model card and sample images from Ghibli Studio",
        )
    yield Progress(2, 2, str(commit.repo_url))


@contextmanager
def _hub_errors(target: Target) -> Iterator[None]:
    """Turn errors of the Hub or the network into StudioErrors without the token."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise StudioError("$HF_HUB_OFFLINE is set, so nothing is uploaded; unset it to push") from error
    except HFValidationError as error:
        raise StudioError(
            f"{target.repository!r} is not a valid name on the Hub; use letters, digits, '-', '_', '.'"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        reason = {
            401: "the token is wrong or was revoked; create another one",
            403: f"the token may not write to {target.repository}; use one of that account with write access",
            404: f"{target.repository} does not exist, or the token may not see it; check the name and the token",
            429: "there were too many requests; try again later",
        }.get(status, "try again later" if status >= 500 else "check the repository's name")
        raise StudioError(f"the Hub refused ({status}): {reason}") from None  # its own text may repeat the request
    except StudioError:
        raise
    except Exception as error:
        # huggingface_hub 1 uses httpx, 2 httpx2; an interrupted upload of a file is a RuntimeError
        network = type(error).__module__.partition(".")[0] in ("httpx", "httpx2")
        if not network and not isinstance(error, (ConnectionError, TimeoutError, RuntimeError)):
            raise
        raise StudioError(
            f"the Hub cannot be reached ({type(error).__name__}); check the network and try again, the export is kept"
        ) from None
