"""The blindness audit: whether anything that a study serves, beside the pixels, tells where a picture comes from.

It takes part over HTTP as people do and compares all that it gets between the origins. It is made before a study goes
live, on a copy: the key of a live study stays shut, and an auditor's answers have no place among people's. What is
compared is `blindness_pictures`, `blindness_pages` and `blindness_chance`, how it is got `blindness_walk`.
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
from urllib.parse import urlsplit

from study import StudyError
from study.blindness.images import codec, pictures, pixel_size, stream
from study.blindness.leak import KINDS, Leak
from study.blindness.pages import hashes_of, named, pages
from study.blindness.rank_test import proven, tests
from study.blindness.visit import UNKNOWN, Visit
from study.blindness.walker import Browser, leave, visit
from study.design.blind_image import blind
from study.design.spec import Picture
from study.store import Store

__all__ = ["KINDS", "Leak", "audit", "audit_draft", "known", "repository"]

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
EXPERIMENTERS_PAGES = (
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
DOORS = ("", "study/")
"""Ways to the consent for those who shorten an address."""
SERVER_STARTS = 60.0
"""Seconds within which it does."""
ROOT = Path(__file__).parents[2]


def audit(
    address: str, key: Path | Mapping[str, Picture], people: int = 2, alone: bool = True, log: Path | None = None
) -> list[Leak]:
    """Take part as some people, withdraw, and tell every leak; an empty list is a blind study.

    `address` is the consent's, of a copy that serves pilot or simulated people. `key` is the picture behind the sha256
    of every blind copy, or the folder of a draft, in whose audit the opening of the key then is. Unless the server is
    there for the study `alone`, it may have other pages that name neither an origin nor a picture. `log` is the
    server's log. StudyError if nobody can take part there.
    """
    if people < 1:
        raise StudyError(f"the number of people is {people}; it takes at least one, and two find more")
    behind = key if isinstance(key, Mapping) else known(Store(key))
    visits: list[Visit] = []
    try:
        for number in range(people):
            visits.append(visit(address, behind, Random(number)))
    finally:
        for one in visits:  # not before all have come, or the next one would get the same place
            leave(address, one)
    if all(view.label == UNKNOWN for one in visits for view in one.views):
        raise StudyError(
            f"no picture served at {address} is one of the study's; give the key of the study that is "
            "served there, and let nothing on the way change pictures"
        )
    hashes, landmarks = hashes_of(behind), {picture.landmark for picture in behind.values()}
    found = {
        *pictures(visits, {*landmarks, *hashes, "original", "lora", "textual inversion"}),
        *pages(visits, landmarks, hashes),
        *_other_pages(address, alone, hashes),
        *([] if log is None else _log(log, visits, hashes)),
        *(Leak(test.kind, test.what, test.detail) for test in proven(tests(visits))),
    }
    return sorted(found, key=lambda leak: (list(KINDS).index(leak.kind), leak.what, leak.detail))


def audit_draft(store: Store, people: int = 2) -> list[Leak]:
    """Lock and serve a copy of a draft, audit that with its log, and throw it away; the draft stays a draft.

    The opening of the key is in the draft's own audit. StudyError for a study that is live or closed.
    """
    if (state := store.status().state) not in ("draft", "pilot"):
        raise StudyError(
            f"the study is {state}, and its blindness is audited before it is locked; audit a draft that "
            "was created from the same pictures"
        )
    behind = known(store)
    with tempfile.TemporaryDirectory(prefix="blindness-") as place:
        folder, log = Path(place) / "study", Path(place) / "log"
        folder.mkdir()
        store.backup(folder / "study.db")  # the very bytes: to create it anew could mend them
        shutil.copyfile(store.folder / "key.db", folder / "key.db")
        stage = Store(folder)
        stage.clear_pilot()
        stage.lock("0" * 64)  # nobody analyzes it
        with _served(folder, log) as address:
            return audit(address, behind, people, log=log)


def known(store: Store) -> dict[str, Picture]:
    """The pictures of a draft by the sha256 of their bytes; StudyError for a live study."""
    return {hashlib.sha256(picture.data).hexdigest(): picture for picture in store.pictures("blindness audit")}


def repository(folder: Path, key: Mapping[str, Picture] | None = None) -> list[Leak]:
    """What a public repository, such as a Space's, would show of a study: databases, tables, and with `key` pictures.

    Of a git repository the tracked files count, and of databases and tables the names in its history; else all files.
    """
    tracked = _git(folder, "ls-files", "-z")
    if tracked is None:
        tracked = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    past = _git(folder, "log", "--all", "--relative", "--pretty=format:", "--name-only", "-z") or set()
    found = [Leak("repository", name, "is in the history") for name in sorted(past - tracked) if _of_study(name)]
    streams = {stream(picture.data) for picture in (key or {}).values()}
    for name in sorted(tracked):
        file = folder / name
        data = file.read_bytes() if file.is_file() else b""
        if _of_study(name) or data.startswith(b"SQLite format 3\0"):
            found.append(Leak("repository", name, "is a database or a table of a study"))
        elif key and _copied(data, next(iter(key.values())).data) in streams:
            found.append(Leak("repository", name, "is a picture of the study"))
    return found


def _git(folder: Path, *arguments: str) -> set[str] | None:
    """Names that git tells; None where there is no repository, or no git."""
    try:
        told = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {name.strip() for name in told.stdout.split("\0") if name.strip()}


def _of_study(name: str) -> bool:
    return Path(name).name.startswith(("study.db", "key.db", "stimuli.csv", "responses.csv", "participants.csv"))


def _copied(data: bytes, like: bytes) -> bytes | None:
    """The pixels of a file as a blind copy of the size of another would have them; None for what is no picture."""
    if codec(data) == "unknown" or (size := pixel_size(like)) is None:
        return None
    try:
        return stream(blind([data], size[0])[0].data)
    except StudyError:
        return None


def _other_pages(address: str, alone: bool, hashes: Collection[str]) -> Iterator[Leak]:
    """Nothing is served that no participant needs, or at least nothing that names an origin or a picture."""
    with Browser(address) as browser:
        nothing = browser.send("GET", f"{browser.root}/{token_urlsafe(8)}")
        home = () if alone else ("",)
        for kind, paths in (("hidden page", HIDDEN_PAGES), ("experimenter's page", (*home, *EXPERIMENTERS_PAGES))):
            for path in paths:
                reply = browser.send("GET", f"{browser.root}/{path}")
                told = {word for word in ("study-img", *hashes) if word in reply.text}
                if alone and (reply.status != nothing.status or reply.body not in (b"", nothing.body)):
                    yield Leak(kind, f"/{path}", f"answers {reply.status}, and not as an address that is none")
                elif not alone and reply.status < 400 and (told or named(reply.text)):
                    yield Leak(kind, f"/{path}", f"answers {reply.status} and names an origin or a picture")
        for door in DOORS if alone else ():
            reply = browser.send("GET", f"{browser.root}/{door}")
            if reply.body or not urlsplit(reply.header("location")).path.endswith("/study"):
                yield Leak("experimenter's page", f"/{door}", f"answers {reply.status} and does not lead to the study")
            if "no-store" not in reply.header("cache-control"):
                yield Leak("browser cache", f"/{door}", "has no Cache-Control: no-store")


def _log(log: Path, visits: Sequence[Visit], hashes: Collection[str]) -> Iterator[Leak]:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StudyError(f"{log} cannot be read ({error.strerror}); name the server's log") from error
    where = "the server's log"
    if any(secret in text for visit in visits for secret in visit.secrets):
        yield Leak("log", where, "has personal links, ids of trials or addresses of pictures")
    if any(one in text for one in hashes):
        yield Leak("log", where, "has a hash or another fact of the key")
    if words := named(text):
        yield Leak("log", where, f"has {', '.join(sorted(words))}")


@contextmanager
def _served(folder: Path, log: Path) -> Iterator[str]:
    """The study on a server of its own that writes all it says into a file; yields the address of the consent."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "study", "serve", str(folder), "--port", "0", "--mode", "simulated"]
    with log.open("wb") as written:
        server = subprocess.Popen(command, stdout=written, stderr=written, env=os.environ | {"PYTHONPATH": path})
    try:
        until = time.monotonic() + SERVER_STARTS
        while not (links := re.findall(r"^for participants: (\S+)$", log.read_text(), re.MULTILINE)):
            if server.poll() is not None or time.monotonic() > until:
                raise StudyError(f"the server did not begin ({log.read_text()[-500:].strip()})")
            time.sleep(0.05)
        yield links[0]
    finally:
        server.terminate()
        server.wait()
