"""Storage for replicas: a folder on other storage, or a dataset repository of the Hub.

A backend stores named files, independent of studies: their contents are in `journal`, the time of writing is in
`replication`. A call that has returned is durable.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from study import StudyError

FOLDER_VARIABLE = "STUDY_REPLICA_FOLDER"
DATASET_VARIABLE = "STUDY_REPLICA_DATASET"
TOKEN_VARIABLE = "HF_TOKEN"
VARIABLES = (FOLDER_VARIABLE, DATASET_VARIABLE, TOKEN_VARIABLE)
CALL_TIMEOUT = 20.0
"""Seconds that one call to the Hub may take while a participant waits."""
LONG_TIMEOUT = 600.0
"""Seconds that a call may take when no participant waits: a complete study is read or written."""


class BackendUnreachable(StudyError):
    """A backend cannot be written or read at the moment."""


class ReplicaConflict(Exception):
    """Another program has written to the backend; read it again first."""


class ReplicaBackend(Protocol):
    """Named files on other storage; names are paths with `/`."""

    label: str
    """Name in messages."""

    def read(self, prefix: str) -> dict[str, bytes]:
        """Return all files whose names start with `prefix`; raise BackendUnreachable if that is not possible."""
        ...

    def names(self) -> list[str]:
        """Return the names of all files."""
        ...

    def write(self, files: Mapping[str, bytes], expected: Mapping[str, bytes] | None = None) -> None:
        """Write all files, durable on return.

        `expected` is what the caller believes to be stored under these names; raises ReplicaConflict if a file differs.
        """

    def delete(self, names: Sequence[str], write: Mapping[str, bytes]) -> None:
        """Delete files permanently, with their older versions, and write others; missing names are ignored."""


def configured_backends(environment: Mapping[str, str] | None = None) -> tuple[ReplicaBackend, ...]:
    """Return the backends that the environment variables name; none if they name none."""
    variables = os.environ if environment is None else environment
    backends: list[ReplicaBackend] = []
    if folder := variables.get(FOLDER_VARIABLE, "").strip():
        backends.append(FolderBackend(Path(folder)))
    if dataset := variables.get(DATASET_VARIABLE, "").strip():
        token = variables.get(TOKEN_VARIABLE, "").strip() or None
        backends.append(DatasetBackend(dataset, token, variables.get("HF_ENDPOINT") or None))
    return tuple(backends)


class FolderBackend:
    """A folder on another disk, a network drive, or a mounted bucket; each file is replaced as a whole."""

    def __init__(self, root: Path):
        self.root, self.label = root, f"the folder {root}"

    def read(self, prefix: str) -> dict[str, bytes]:
        """Return all files whose names start with `prefix`."""
        with _as_unreachable(self.label):
            return {name: (self.root / name).read_bytes() for name in self._names() if name.startswith(prefix)}

    def names(self) -> list[str]:
        """Return the names of all files."""
        with _as_unreachable(self.label):
            return sorted(self._names())

    def write(self, files: Mapping[str, bytes], expected: Mapping[str, bytes] | None = None) -> None:
        """Write each file under a temporary name, sync it to disk, then rename it."""
        with _as_unreachable(self.label):
            if not self.root.is_dir():  # without this check, files would go to the empty mount point of a missing drive
                raise FileNotFoundError(2, "no such folder", str(self.root))
            for name, data in files.items():
                path = self.root / name
                if expected is not None and path.exists() and path.read_bytes() != expected.get(name):
                    raise ReplicaConflict
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            for folder in {(self.root / name).parent for name in files}:
                _sync_folder(folder)

    def delete(self, names: Sequence[str], write: Mapping[str, bytes]) -> None:
        """Write first, then delete: the note of a withdrawal must exist before its journal disappears."""
        self.write(write)
        with _as_unreachable(self.label):
            for name in names:
                (self.root / name).unlink(missing_ok=True)
                _sync_folder((self.root / name).parent)

    def _names(self) -> Iterator[str]:
        for path in self.root.rglob("*") if self.root.exists() else ():
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self.root).as_posix()


def _sync_folder(folder: Path) -> None:
    """Sync the renames in a folder to disk; a mounted bucket may not support this, and does not need it."""
    if not folder.is_dir():
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


class DatasetBackend:
    """A private dataset repository of the Hugging Face Hub; one commit per call."""

    def __init__(self, name: str, token: str | None, endpoint: str | None = None):
        self.name, self.label = name, f"the dataset {name} on the Hub"
        self._token, self._endpoint = token, endpoint
        self._head: str | None = None
        """The last known commit; the Hub rejects a commit on top of another one."""
        self._worker = ThreadPoolExecutor(4, thread_name_prefix="hub")

    def read(self, prefix: str) -> dict[str, bytes]:
        """Return all files of one commit whose names start with `prefix`."""
        from huggingface_hub import snapshot_download

        def fetch() -> dict[str, bytes]:
            head = self._update_head()
            with tempfile.TemporaryDirectory(prefix="copy-") as folder:
                snapshot_download(
                    self.name,
                    repo_type="dataset",
                    revision=head,
                    local_dir=folder,
                    allow_patterns=f"{prefix}*",
                    token=self._token or False,
                    endpoint=self._endpoint,
                    etag_timeout=CALL_TIMEOUT,
                )
                root = Path(folder)
                return {
                    path.relative_to(root).as_posix(): path.read_bytes()
                    for path in root.rglob("*")
                    if path.is_file() and ".cache" not in path.parts
                }

        return self._call(fetch, LONG_TIMEOUT)

    def names(self) -> list[str]:
        """Return the names of all files."""

        def list_files() -> list[str]:
            return sorted(self._api().list_repo_files(self.name, repo_type="dataset", revision=self._update_head()))

        return self._call(list_files)

    def write(self, files: Mapping[str, bytes], expected: Mapping[str, bytes] | None = None) -> None:
        """Add one commit on top of the last known one; raise ReplicaConflict if there is a newer one."""
        self._call(lambda: self._commit(files, ()), CALL_TIMEOUT if expected is not None else LONG_TIMEOUT)

    def delete(self, names: Sequence[str], write: Mapping[str, bytes]) -> None:
        """Commit the deletion, then squash the history, whose older commits still have the files."""

        def run() -> None:
            existing = set(
                self._api().list_repo_files(self.name, repo_type="dataset", revision=self._update_head())
                if names
                else ()
            )
            self._commit(write, [name for name in names if name in existing])
            self._api().super_squash_history(self.name, repo_type="dataset")
            self._head = None

        self._call(run, LONG_TIMEOUT)

    def _commit(self, files: Mapping[str, bytes], deleted: Sequence[str]) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [CommitOperationDelete(name) for name in deleted]
        operations += [CommitOperationAdd(name, data) for name, data in files.items()]
        commit = self._api().create_commit(
            self.name,
            operations,
            commit_message="study",
            repo_type="dataset",
            parent_commit=self._head or self._update_head(),
        )
        self._head = commit.oid

    def _update_head(self) -> str:
        head: str = self._api().dataset_info(self.name, timeout=CALL_TIMEOUT).sha
        self._head = head
        return head

    def _api(self) -> Any:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self._endpoint, token=self._token or False)

    def _call(self, run: Callable[[], Any], timeout: float = CALL_TIMEOUT) -> Any:
        """Call in a thread with a timeout, because the library itself waits for minutes when the Hub asks it to."""
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        try:
            return self._worker.submit(run).result(timeout)
        except FutureTimeout as error:
            self._head = None
            raise BackendUnreachable(f"{self.label} has not answered for {timeout:g} s; try again later") from error
        except OfflineModeIsEnabled as error:
            raise BackendUnreachable(
                f"{self.label} cannot be reached because HF_HUB_OFFLINE is set; unset it"
            ) from error
        except RepositoryNotFoundError as error:
            raise BackendUnreachable(
                f"{self.label} does not exist, or the token in {TOKEN_VARIABLE} has no access; create it as a private "
                "dataset, and use a token with write access to it"
            ) from error
        except HfHubHTTPError as error:
            self._head = None
            status = error.response.status_code if error.response is not None else 0
            if status in (409, 412):
                raise ReplicaConflict from error
            way_out = {
                401: f"check the token in {TOKEN_VARIABLE}",
                403: "use a token with write access",
                429: "the Hub accepts about 128 commits an hour, so try again later",
            }.get(status, "try again later")
            raise BackendUnreachable(f"{self.label} refused ({status}); {way_out}") from error
        except ReplicaConflict:
            raise
        except Exception as error:  # the network and the libraries raise many types
            self._head = None
            raise BackendUnreachable(
                f"{self.label} cannot be reached ({type(error).__name__}); try again later"
            ) from error


@contextmanager
def _as_unreachable(label: str) -> Iterator[None]:
    """Convert an error of the file system to BackendUnreachable."""
    try:
        yield
    except OSError as error:
        raise BackendUnreachable(
            f"{label} cannot be used ({error.strerror or error}); check that it exists and is writable"
        ) from error
