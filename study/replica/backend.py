"""Where a second copy of what participants did is kept: a folder on other storage, a dataset repository of the Hub.

A place holds named files and knows nothing of studies: what is in the files is `journal`, when they are written is
`second`. A call that has returned is durable.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from study import StudyError

FOLDER_VARIABLE = "STUDY_COPY_FOLDER"
DATASET_VARIABLE = "STUDY_COPY_DATASET"
TOKEN_VARIABLE = "HF_TOKEN"
VARIABLES = (FOLDER_VARIABLE, DATASET_VARIABLE, TOKEN_VARIABLE)
PATIENCE = 20.0
"""Seconds that the Hub may take for one call; a participant is waiting."""
LONG_PATIENCE = 600.0
"""The same where nobody waits: a whole study is read or a copy of it written."""


class Unreachable(StudyError):
    """A place that cannot be written or read just now."""


class Changed(Exception):
    """Somebody else has written to the place; look at it again first."""


class Place(Protocol):
    """Named files on other storage; names are paths with `/`."""

    label: str
    """What it is called in messages."""

    def read(self, under: str) -> dict[str, bytes]:
        """All files whose names begin with `under`; Unreachable where that is not possible."""

    def names(self) -> list[str]:
        """Names of all files."""

    def put(self, files: Mapping[str, bytes], known: Mapping[str, bytes] | None = None) -> None:
        """Write all files, durable when it returns.

        `known` is what the caller believes to be there under these names; Changed where a file is another one.
        """

    def remove(self, names: Sequence[str], put: Mapping[str, bytes]) -> None:
        """Delete files for good, older versions as well, and write others; names that are not there do no harm."""


def configured(environment: Mapping[str, str] | None = None) -> tuple[Place, ...]:
    """The places that the environment names; none where it names none."""
    given = os.environ if environment is None else environment
    places: list[Place] = []
    if folder := given.get(FOLDER_VARIABLE, "").strip():
        places.append(Folder(Path(folder)))
    if dataset := given.get(DATASET_VARIABLE, "").strip():
        places.append(Dataset(dataset, given.get(TOKEN_VARIABLE, "").strip() or None, given.get("HF_ENDPOINT") or None))
    return tuple(places)


class Folder:
    """A folder on another disk, a network drive, or a mounted bucket; files are replaced whole."""

    def __init__(self, root: Path):
        self.root, self.label = root, f"the folder {root}"

    def read(self, under: str) -> dict[str, bytes]:
        """All files whose names begin with `under`."""
        with _told(self.label):
            return {name: (self.root / name).read_bytes() for name in self._names() if name.startswith(under)}

    def names(self) -> list[str]:
        """Names of all files."""
        with _told(self.label):
            return sorted(self._names())

    def put(self, files: Mapping[str, bytes], known: Mapping[str, bytes] | None = None) -> None:
        """Write each file under another name, to the disk, then rename it."""
        with _told(self.label):
            if not self.root.is_dir():  # a drive that is not mounted must not be written beside
                raise FileNotFoundError(2, "there is no such folder", str(self.root))
            for name, data in files.items():
                path = self.root / name
                if known is not None and path.exists() and path.read_bytes() != known.get(name):
                    raise Changed
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            for folder in {(self.root / name).parent for name in files}:
                _to_the_disk(folder)

    def remove(self, names: Sequence[str], put: Mapping[str, bytes]) -> None:
        """Write what is new first: a note of what was deleted must not be missing after it."""
        self.put(put)
        with _told(self.label):
            for name in names:
                (self.root / name).unlink(missing_ok=True)
                _to_the_disk((self.root / name).parent)

    def _names(self) -> Iterator[str]:
        for path in self.root.rglob("*") if self.root.exists() else ():
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self.root).as_posix()


def _to_the_disk(folder: Path) -> None:
    """The renames in a folder; a mounted bucket may not know this, and needs it no more than it knows it."""
    if not folder.is_dir():
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


class Dataset:
    """A private dataset repository of the Hugging Face Hub; one commit a call, however many files."""

    def __init__(self, name: str, token: str | None, endpoint: str | None = None):
        self.name, self.label = name, f"the dataset {name} on the Hub"
        self._token, self._endpoint = token, endpoint
        self._head: str | None = None
        """The commit that was last seen; a commit on top of another one is refused by the Hub."""
        self._worker = ThreadPoolExecutor(4, thread_name_prefix="hub")

    def read(self, under: str) -> dict[str, bytes]:
        """All files whose names begin with `under`, of one commit."""
        from huggingface_hub import snapshot_download

        def fetch() -> dict[str, bytes]:
            head = self._look()
            with tempfile.TemporaryDirectory(prefix="copy-") as folder:
                snapshot_download(
                    self.name,
                    repo_type="dataset",
                    revision=head,
                    local_dir=folder,
                    allow_patterns=f"{under}*",
                    token=self._token or False,
                    endpoint=self._endpoint,
                    etag_timeout=PATIENCE,
                )
                root = Path(folder)
                return {
                    path.relative_to(root).as_posix(): path.read_bytes()
                    for path in root.rglob("*")
                    if path.is_file() and ".cache" not in path.parts
                }

        return self._call(fetch, LONG_PATIENCE)

    def names(self) -> list[str]:
        """Names of all files."""

        def look() -> list[str]:
            return sorted(self._api().list_repo_files(self.name, repo_type="dataset", revision=self._look()))

        return self._call(look)

    def put(self, files: Mapping[str, bytes], known: Mapping[str, bytes] | None = None) -> None:
        """One commit on top of the last one that was seen; Changed if there is another by now."""
        self._call(lambda: self._commit(files, ()), PATIENCE if known is not None else LONG_PATIENCE)

    def remove(self, names: Sequence[str], put: Mapping[str, bytes]) -> None:
        """A commit without the files, and then one commit in place of all that have been, which still had them."""

        def act() -> None:
            self._commit(
                put,
                [
                    name
                    for name in names
                    if name in set(self._api().list_repo_files(self.name, repo_type="dataset", revision=self._look()))
                ],
            )
            self._api().super_squash_history(self.name, repo_type="dataset")
            self._head = None

        self._call(act, LONG_PATIENCE)

    def _commit(self, files: Mapping[str, bytes], gone: Sequence[str]) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [CommitOperationDelete(name) for name in gone]
        operations += [CommitOperationAdd(name, data) for name, data in files.items()]
        made = self._api().create_commit(
            self.name, operations, commit_message="study", repo_type="dataset", parent_commit=self._head or self._look()
        )
        self._head = made.oid

    def _look(self) -> str:
        self._head = self._api().dataset_info(self.name, timeout=PATIENCE).sha
        return self._head

    def _api(self) -> Any:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self._endpoint, token=self._token or False)

    def _call(self, act: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """In a thread, since the library itself waits for minutes where the Hub tells it to."""
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        try:
            return self._worker.submit(act).result(patience)
        except TooSlow as error:
            self._head = None
            raise Unreachable(f"{self.label} has not answered for {patience:g} s; try again later") from error
        except OfflineModeIsEnabled as error:
            raise Unreachable(f"{self.label} is not reached, since HF_HUB_OFFLINE is set; unset it") from error
        except RepositoryNotFoundError as error:
            raise Unreachable(
                f"{self.label} is not there, or the token in {TOKEN_VARIABLE} may not see it; make it as "
                "a private dataset, and give a token that may write to it"
            ) from error
        except HfHubHTTPError as error:
            self._head = None
            status = error.response.status_code if error.response is not None else 0
            if status in (409, 412):
                raise Changed from error
            way_out = {
                401: f"check the token in {TOKEN_VARIABLE}",
                403: "its token may not write there",
                429: "the Hub takes about 128 commits an hour",
            }.get(status, "try again later")
            raise Unreachable(f"{self.label} refused ({status}); {way_out}") from error
        except Changed:
            raise
        except Exception as error:  # whatever the network or the library under it calls it
            self._head = None
            raise Unreachable(f"{self.label} cannot be reached ({type(error).__name__}); try again later") from error


@contextmanager
def _told(label: str) -> Iterator[None]:
    """What the file system refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        raise Unreachable(f"{label} cannot be used ({error.strerror or error}); look whether it is there") from error
