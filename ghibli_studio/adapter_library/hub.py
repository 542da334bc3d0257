"""An exported adapter onto the Hugging Face Hub, private unless it is asked otherwise. The token is never written down.

`$HF_ENDPOINT` names another hub of the same interface, as for every program that uses huggingface_hub.
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
    """Where to: the repository, who may see it, and the key."""

    repository: str
    """`name/of-it`."""
    token: str | None = field(default=None, repr=False)
    private: bool = True


def token_of(file: Path | None = None) -> str | None:
    """The token of a file, else of `$HF_TOKEN`, else None; raises StudioError for a file that holds none."""
    if file is None:
        return os.environ.get("HF_TOKEN", "").strip() or None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StudioError(f"{file} cannot be read as a token file ({type(error).__name__}); check its path") from error
    if not TOKEN.fullmatch(text):
        raise StudioError(f"{file} holds no token; it must be the token alone, on one line")
    return text


def files(folder: Path) -> list[tuple[str, int]]:
    """(relative name, bytes) of what would be sent; raises StudioError for a folder that is no export."""
    if not (folder / "README.md").is_file():
        raise StudioError(f"{folder} holds no exported adapter; make one with export-adapter first")
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in found]


def push(folder: Path, target: Target) -> Iterator[Progress]:
    """Create the repository if need be and send the folder as one commit; the last event has the address.

    Raises StudioError without a token, for a name that is none, where the hub refuses, and without a network; and
    rather than put into a repository that is public what was to be private.
    """
    from huggingface_hub import HfApi

    sent = files(folder)
    if not REPOSITORY.fullmatch(target.repository):
        raise StudioError(f"{target.repository!r} is no repository; write it as your-name/my-style")
    if target.token is None:
        raise StudioError(
            "there is no token for the hub; put one with the right to write into $HF_TOKEN, or into a file and give "
            "--token-file (https://huggingface.co/settings/tokens)"
        )
    yield Progress(0, 2, f"asking for {target.repository}")
    api = HfApi(token=target.token)
    with _told(target):
        api.create_repo(target.repository, private=target.private, exist_ok=True)
        if target.private and not api.repo_info(target.repository).private:
            raise StudioError(
                f"{target.repository} is there already and public; say --public if everybody may see the adapter, or "
                "name another repository"
            )
    yield Progress(1, 2, f"sending {len(sent)} files, {size(sum(count for _, count in sent))}")
    with _told(target):
        made = api.upload_folder(
            repo_id=target.repository,
            folder_path=folder,
            commit_message="Adapter, card and sample pictures from Ghibli Studio",
        )
    yield Progress(2, 2, str(made.repo_url))


@contextmanager
def _told(target: Target) -> Iterator[None]:
    """What the hub or the network refuses, in one sentence without the token."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise StudioError("$HF_HUB_OFFLINE is set, so nothing is sent; unset it to push") from error
    except HFValidationError as error:
        raise StudioError(
            f"{target.repository!r} is no name that the hub takes; use letters, digits, '-', '_', '.'"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        reason = {
            401: "the token is wrong or has been revoked; make another one",
            403: f"the token may not write to {target.repository}; use one with the right to write, of that account",
            404: f"it does not know {target.repository}, or the token may not see it; check the name and the token",
            429: "there were too many requests; try again later",
        }.get(status, "try again later" if status >= 500 else "check the repository's name")
        raise StudioError(f"the hub refused ({status}): {reason}") from None  # its own text may repeat the request
    except StudioError:
        raise
    except Exception as error:
        # huggingface_hub 1 speaks through httpx, 2 through httpx2; what breaks off a file's upload is a RuntimeError
        network = type(error).__module__.partition(".")[0] in ("httpx", "httpx2")
        if not network and not isinstance(error, (ConnectionError, TimeoutError, RuntimeError)):
            raise
        raise StudioError(
            f"the hub cannot be reached ({type(error).__name__}); check the network, the export itself is kept"
        ) from None
