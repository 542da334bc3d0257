"""The blindness audit: does anything that a study serves, besides the pixels, reveal where an image comes from?

The audit takes part over HTTP as participants do and compares everything it gets between the origins. It runs before a
study goes live, on a copy: the key of a live study stays closed, and an auditor's answers must not count. The
comparisons are in `images`, `pages` and `rank_test`; `walker` collects what is compared.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from secrets import token_urlsafe
from typing import cast
from urllib.parse import urlsplit

from study import StudyError
from study.blindness.images import codec, image_leaks, pixel_size, pixel_stream
from study.blindness.leak import KINDS, Leak
from study.blindness.pages import key_facts, origin_words, page_leaks
from study.blindness.rank_test import rank_tests, significant
from study.blindness.visit import UNKNOWN, Visit
from study.blindness.walker import Browser, leave, visit
from study.design.blind_image import blind_copies
from study.design.spec import StimulusImage
from study.store import Store

__all__ = ["KINDS", "Leak", "audit", "audit_draft", "audit_repository", "images_by_sha256"]

HIDDEN_PAGES = (
    "config",
    "info",
    "gradio_api/info",
    "gradio_api/config",
    "openapi.json",
    "gradio_api/openapi.json",
    "docs",
    "redoc",
    "gradio_api/queue/status",
    "gradio_api/startup-events",
    "gradio_api/upload",
    "upload",
    "monitoring",
    "gradio_api/monitoring/summary",
    "monitoring/summary",
    "deep_link",
    "gradio_api/deep_link",
    "run",
    "call",
    "gradio_api/run",
    "gradio_api/call",
    "gradio_api/file=study.db",
    "file=study.db",
    "theme.css",
    "study.db",
    "key.db",
    "study/static/study.db",
    "study/static/..%2f..%2fkey.db",
    "study/openapi.json",
    "study/docs",
    "study/config",
)
EXPERIMENTER_PAGES = (
    "admin",
    "studio",
    "login",
    "study/admin",
    "study/status",
    "study/results",
    "study/export",
    "study/analysis",
    "study/key",
    "study/audit",
    "study/participants",
    "study/stimuli",
    "study/p",
    "study-img",
)
SHORT_ADDRESSES = ("", "study/")
"""Shortened addresses that lead to the consent."""
SERVER_START_SECONDS = 60.0
"""Seconds that a server gets to start."""
ROOT = Path(__file__).parents[2]
LOG = "the server's log"


def audit(
    address: str,
    key: Path | Mapping[str, StimulusImage],
    participants: int = 2,
    study_only: bool = True,
    log: Path | None = None,
) -> list[Leak]:
    """Take part several times, withdraw, and return every leak; an empty list is a blind study.

    `address` is the consent page of a copy that serves pilot or simulated participants. `key` is the image behind the
    sha256 of every blind copy, or the folder of a draft, whose audit log then records that its key was opened. Unless
    the server is `study_only`, it may have other pages that name neither an origin nor an image. `log` is the server's
    log. StudyError if nobody can take part there.
    """
    if participants < 1:
        raise StudyError(f"the number of participants is {participants}; use at least one, and two find more")
    images = key if isinstance(key, Mapping) else images_by_sha256(Store(key))
    visits: list[Visit] = []
    try:
        for number in range(participants):
            visits.append(visit(address, images, Random(number)))
    finally:
        for finished in visits:  # not before all have joined, or the next one would get the same slot
            leave(address, finished)
    if all(view.label == UNKNOWN for visited in visits for view in visited.views):
        raise StudyError(
            f"no image served at {address} is one of the study's; give the key of the study that is served there, and "
            "make sure that no proxy changes images"
        )
    facts, landmarks = key_facts(images), {image.landmark for image in images.values()}
    leaks = {
        *image_leaks(visits, {*landmarks, *facts, "original", "lora", "textual inversion"}),
        *page_leaks(visits, landmarks, facts),
        *_other_pages(address, study_only, facts),
        *([] if log is None else _log_leaks(log, visits, facts)),
        *(Leak(test.kind, test.what, test.detail) for test in significant(rank_tests(visits))),
    }
    return sorted(leaks, key=lambda leak: (list(KINDS).index(leak.kind), leak.what, leak.detail))


def audit_draft(store: Store, participants: int = 2) -> list[Leak]:
    """Lock and serve a copy of a draft, audit it with its log, and delete it; the draft stays a draft.

    The draft's audit log records that the key was opened. StudyError for a study that is live or closed.
    """
    if (state := store.status().state) not in ("draft", "pilot"):
        raise StudyError(
            f"the study is {state}, and blindness is audited before the lock; audit a draft that was created from the "
            "same images"
        )
    images = images_by_sha256(store)
    with tempfile.TemporaryDirectory(prefix="blindness-") as temporary:
        folder, log = Path(temporary) / "study", Path(temporary) / "log"
        folder.mkdir()
        store.backup(folder / "study.db")  # the same bytes: creating it anew could repair them
        shutil.copyfile(store.folder / "key.db", folder / "key.db")
        copy = Store(folder)
        copy.clear_pilot()
        copy.lock("0" * 64)  # nobody analyzes it
        with _served(folder, log) as address:
            return audit(address, images, participants, log=log)


def images_by_sha256(store: Store) -> dict[str, StimulusImage]:
    """Return the images of a draft by the sha256 of their bytes; StudyError for a live study."""
    return {
        hashlib.sha256(cast(bytes, image.data)).hexdigest(): image for image in store.stimulus_images("blindness audit")
    }


def audit_repository(folder: Path, key: Mapping[str, StimulusImage] | None = None) -> list[Leak]:
    """Return what a public repository, such as a Space's, would publish: databases, tables, and with `key` images.

    In a git repository only tracked files count, and the names of databases and tables in its history; elsewhere all
    files.
    """
    tracked = _git(folder, "ls-files", "-z")
    if tracked is None:
        tracked = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    past = _git(folder, "log", "--all", "--relative", "--pretty=format:", "--name-only", "-z") or set()
    leaks = [Leak("repository", name, "is in the history") for name in sorted(past - tracked) if _is_study_file(name)]
    copies = [cast(bytes, image.data) for image in (key or {}).values()]
    streams = {pixel_stream(data) for data in copies}
    for name in sorted(tracked):
        file = folder / name
        data = file.read_bytes() if file.is_file() else b""
        if _is_study_file(name) or data.startswith(b"SQLite format 3\0"):
            leaks.append(Leak("repository", name, "is a database or a table of a study"))
        elif copies and _blind_stream(data, copies[0]) in streams:
            leaks.append(Leak("repository", name, "is an image of the study"))
    return leaks


def _git(folder: Path, *arguments: str) -> set[str] | None:
    """Return the names that git prints; None without a repository or without git."""
    try:
        output = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {name.strip() for name in output.stdout.split("\0") if name.strip()}


def _is_study_file(name: str) -> bool:
    return Path(name).name.startswith(("study.db", "key.db", "stimuli.csv", "responses.csv", "participants.csv"))


def _blind_stream(data: bytes, like: bytes) -> bytes | None:
    """Return the pixels of a file as a blind copy of the size of `like` has them; None if it is not an image."""
    if codec(data) == "unknown" or (size := pixel_size(like)) is None:
        return None
    try:
        return pixel_stream(blind_copies([data], size[0])[0].data)
    except StudyError:
        return None


def _other_pages(address: str, study_only: bool, facts: Collection[str]) -> Iterator[Leak]:
    """Yield pages that no participant needs, or unless `study_only` those that name an origin or an image."""
    with Browser(address) as browser:
        missing = browser.send("GET", f"{browser.root}/{token_urlsafe(8)}")
        home = () if study_only else ("",)
        for kind, paths in (("hidden page", HIDDEN_PAGES), ("experimenter's page", (*home, *EXPERIMENTER_PAGES))):
            for path in paths:
                reply = browser.send("GET", f"{browser.root}/{path}")
                reveals = any(word in reply.text for word in ("study-img", *facts)) or origin_words(reply.text)
                if study_only and (reply.status != missing.status or reply.body not in (b"", missing.body)):
                    yield Leak(kind, f"/{path}", f"answers {reply.status}, unlike an address that does not exist")
                elif not study_only and reply.status < 400 and reveals:
                    yield Leak(kind, f"/{path}", f"answers {reply.status} and names an origin or an image")
        for path in SHORT_ADDRESSES if study_only else ():
            reply = browser.send("GET", f"{browser.root}/{path}")
            if reply.body or not urlsplit(reply.header("location")).path.endswith("/study"):
                yield Leak("experimenter's page", f"/{path}", f"answers {reply.status} and does not lead to the study")
            if "no-store" not in reply.header("cache-control"):
                yield Leak("browser cache", f"/{path}", "has no Cache-Control: no-store")


def _log_leaks(log: Path, visits: Sequence[Visit], facts: Collection[str]) -> Iterator[Leak]:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StudyError(f"{log} cannot be read ({error.strerror}); name the server's log") from error
    if any(secret in text for visit in visits for secret in visit.secrets):
        yield Leak("log", LOG, "has personal links, ids of trials or addresses of images")
    if any(fact in text for fact in facts):
        yield Leak("log", LOG, "has a hash or another fact of the key")
    if words := origin_words(text):
        yield Leak("log", LOG, f"has {', '.join(sorted(words))}")


@contextmanager
def _served(folder: Path, log: Path) -> Iterator[str]:
    """Serve the study on its own server, which writes all output to `log`; yields the address of the consent page."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "study", "serve", str(folder), "--port", "0", "--mode", "simulated"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | {"PYTHONPATH": path})
    try:
        until = time.monotonic() + SERVER_START_SECONDS
        while not (links := re.findall(r"(http\S+/study)$", log.read_text(), re.MULTILINE)):
            if server.poll() is not None or time.monotonic() > until:
                raise StudyError(f"the server did not start ({log.read_text()[-500:].strip()})")
            time.sleep(0.05)
        yield links[0]
    finally:
        server.terminate()
        server.wait()
