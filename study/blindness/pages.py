"""Leaks in the pages of a visit: in markup, words and error messages, and in what they leave in a browser.

A page is parsed into facts by `markup`. The words that reveal an origin are defined here for all modules.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from study.blindness.images import id_format
from study.blindness.leak import Leak, leak_if_different
from study.blindness.markup import TEXT, Fact, ScreenPart, differences, mask, parse_facts
from study.blindness.visit import Reply, Screen, Visit
from study.design.spec import StimulusImage

BROWSER_STORAGE = re.compile(
    r"localStorage|sessionStorage|indexedDB|document\.cookie|cookieStore|caches\.open|serviceWorker"
)
METHODS = re.compile(r"textual[\W_]*inversion", re.IGNORECASE)
WORDS = {"lora", "original", "originals"}
MARKUP_WORDS = WORDS | {"ti"}  # a word in some languages, so only where nobody reads it
MIN_FACT_LENGTH = 8


def page_leaks(visits: Sequence[Visit], landmarks: Collection[str], secrets: Collection[str]) -> Iterator[Leak]:
    """Yield all leaks outside the images."""
    masks = [mask(landmarks, visit.secrets) for visit in visits]
    parsed = [
        (visit, screen, parse_facts(screen.page.text, masked))
        for visit, masked in zip(visits, masks)
        for screen in visit.screens
    ]
    yield from _markup(parsed)
    yield from _ids(visits)
    for visit, masked in zip(visits, masks):
        yield from _word_leaks(visit, [(screen, found) for own, screen, found in parsed if own is visit], masked)
        yield from _key_leaks(visit, secrets)
        yield from _storage_leaks(visit)
    yield from _error_leaks(visits, masks)


def origin_words(text: str, hidden: bool = False) -> set[str]:
    """Return the words that name an origin in a text; `hidden` for a text that nobody reads."""
    # isLora contains a word, as lora-1 does
    parts = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", text)} | set(re.findall(r"[a-z]+", text.lower()))
    return parts & (MARKUP_WORDS if hidden else WORDS) | {found.lower() for found in METHODS.findall(text)}


def key_facts(images: Mapping[str, StimulusImage]) -> set[str]:
    """Return what no page may contain: hashes of images and adapters, prompts, and all other facts of the key."""
    facts, names = set(images), {image.landmark.casefold() for image in images.values()}
    for image in images.values():
        facts |= {
            text
            for text in _texts(image.metadata)
            if len(text) >= MIN_FACT_LENGTH and not text.isalpha() and text.casefold() not in names
        }
    return facts


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _markup(parsed: Sequence[tuple[Visit, Screen, list[Fact]]]) -> Iterator[Leak]:
    """Compare screens of one block, which may differ only in number, and options, which may differ only in position."""
    blocks = defaultdict(list)
    for visit, screen, found in parsed:
        blocks[screen.kind == "practice", screen.layout].append((visit, screen, found))
    for (_, (options, beside)), group in blocks.items():
        what = f"screens with {options} options and {beside} images beside them"
        # the last screen says that it is the last
        inner = [(screen, found) for visit, screen, found in group if screen is not visit.screens[-1]]
        yield from _compared(what, [_part(screen, found, None) for screen, found in inner])
        for position in range(1, options + 1):
            parts = [_part(screen, found, position) for _, screen, found in group]
            yield from _compared(f"{what}, option {position}", parts)
        kinds = {screen.kind for _, screen, _ in group}
        if kinds <= {"attention_check", "retest"}:
            yield Leak("kind of trial", what, f"all have the kind {' or '.join(sorted(kinds))}")
    for _, screen, _ in parsed:
        values = [option.value for option in screen.form.options if option.image is not None]
        expected = [str(position) for position in range(1, len(values) + 1)]
        if values != expected and sorted(values) == sorted(expected):
            yield Leak("DOM order", "the options on the page", f"are in the order {', '.join(values)}")


def _part(screen: Screen, found: Iterable[Fact], owner: int | None) -> ScreenPart:
    label = screen.options[owner - 1].label if owner else ""
    return ScreenPart(screen.kind, label, screen.number, [fact for fact in found if fact.owner == owner])


def _compared(what: str, parts: Sequence[ScreenPart]) -> Iterator[Leak]:
    for kind, detail in differences(parts):
        yield Leak(kind, what, detail)


def _ids(visits: Sequence[Visit]) -> Iterator[Leak]:
    for name in ("trial", "response"):
        yield from leak_if_different(
            "id",
            f"the format of {name} ids",
            ((screen.kind, id_format(screen.form.fields[name])) for visit in visits for screen in visit.screens),
        )


def _word_leaks(
    visit: Visit, parsed: Iterable[tuple[Screen, list[Fact]]], masked: Callable[[str], str]
) -> Iterator[Leak]:
    """Yield words of origins, wherever a participant gets them before the last block."""
    for screen, found in parsed:
        if screen.kind != "blinding_check":
            yield from _words_in(found, f"screens of the kind {screen.kind}")
    for reply in visit.before:
        if "html" in reply.header("content-type"):
            yield from _words_in(parse_facts(reply.text, masked), visit.describe(reply))
        elif words := origin_words(reply.text):
            yield Leak("word", reply.path, f"has {', '.join(sorted(words))}")
    for name, value in {header for view in visit.views for header in view.reply.headers}:
        if words := origin_words(f"{name} {value}", hidden=True):
            yield Leak("header", f"the header {name} of images", f"has {', '.join(sorted(words))}")


def _key_leaks(visit: Visit, secrets: Collection[str]) -> Iterator[Leak]:
    """Yield facts of the key, which nobody may get at any time."""
    for reply in visit.replies:
        headers = "\n".join(value for _, value in reply.headers)
        text = headers if "image/" in reply.header("content-type") else f"{headers}\n{reply.text}"
        if "orig_name" in text:
            yield Leak("orig_name", visit.describe(reply), "has orig_name in it")
        sent = reply.path.rpartition("/")[2]  # an error message may repeat what was requested
        if any(one in text and one != sent for one in secrets):
            yield Leak("word", visit.describe(reply), "has a hash or another fact of the key")


def _words_in(found: Iterable[Fact], where: str) -> Iterator[Leak]:
    for fact in found:
        read = fact.name == TEXT and fact.tag not in ("#comment", "script", "style")
        if words := origin_words(fact.value, not read) | origin_words(fact.name, True):
            yield Leak("word", where, f"{', '.join(sorted(words))} in <{fact.tag}>")


def _storage_leaks(visit: Visit) -> Iterator[Leak]:
    """Yield what stays in a browser that the next person may use."""
    for reply in visit.replies:
        where = visit.describe(reply)
        if "no-store" not in reply.header("cache-control"):
            yield Leak("browser cache", where, f"Cache-Control is {reply.header('cache-control') or 'missing'}")
        if reply.header("set-cookie"):
            yield Leak("cookie", where, f"sets {reply.header('set-cookie').partition('=')[0]}")
        if "image/" not in reply.header("content-type") and (found := set(BROWSER_STORAGE.findall(reply.text))):
            yield Leak("local storage", where, f"mentions {', '.join(sorted(found))}")


def _error_leaks(visits: Sequence[Visit], masks: Sequence[Callable[[str], str]]) -> Iterator[Leak]:
    """Compare error messages, which must be the same whatever the image is."""
    manners = {how for visit in visits for how, _, _ in visit.forged}
    for how in sorted(manners):
        replies = [(label, reply) for visit in visits for manner, label, reply in visit.forged if manner == how]
        yield from leak_if_different(
            "error text",
            f"the address of an image, {how}",
            ((label, _refused(reply, mask((), [reply.path.rpartition("/")[2]]))) for label, reply in replies),
        )
        if open_to := {label for label, reply in replies if reply.status < 400}:
            yield Leak(
                "address", f"the address of an image, {how}", f"leads to an image ({', '.join(sorted(open_to))})"
            )
    refusals = defaultdict(list)
    for visit, masked in zip(visits, masks):
        for screen in visit.screens:
            if screen.refused:
                position, reply = screen.refused
                label = screen.options[position - 1].label
                refusals[screen.layout, position].append((label, _refused(reply, masked)))
    for ((options, beside), position), found in refusals.items():
        yield from leak_if_different(
            "error text",
            f"an invalid answer to {options} options and {beside} images beside them, option {position}",
            found,
        )


def _refused(reply: Reply, masked: Callable[[str], str]) -> tuple[int, str, str]:
    text = masked(reply.text)
    return reply.status, " ".join(re.sub(r"<[^>]*>", " ", text).split()), text
